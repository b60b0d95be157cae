"""The few functions of llama.cpp that decoding needs, by the low-level functions of llama-cpp-python."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

from apar.backends.llama_cpp.cells import TokenBatch
from apar.backends.llama_cpp.sampler import Array
from apar.errors import ModelError, RunError

_ERRORS: list[str] = []
_MOST_ERRORS = 8
_LEVEL_ERROR = 4  # GGML_LOG_LEVEL_ERROR


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, data: Any) -> None:
    """Keep what llama.cpp says of errors, and print nothing."""
    if level == _LEVEL_ERROR:
        _ERRORS.append(" ".join(text.decode(errors="replace").split()))
        del _ERRORS[:-_MOST_ERRORS]


def quiet() -> None:
    """Have llama.cpp write no log; called once before a model is loaded."""
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))


def take_errors() -> str:
    """The first that llama.cpp has told of errors since this was last asked, without the name of its function."""
    told = _ERRORS[0].split(": ", 1)[-1] if _ERRORS else ""
    _ERRORS.clear()
    return told


class LlamaModel:
    """A loaded GGUF file. Raises ModelError where llama.cpp cannot load it."""

    def __init__(self, file: Path, params: Mapping[str, Any]) -> None:
        quiet()
        llama_cpp.llama_backend_init()
        settings = llama_cpp.llama_model_default_params()
        for name, value in params.items():
            setattr(settings, name, value)
        take_errors()
        self.pointer = llama_cpp.llama_model_load_from_file(str(file).encode(), settings)
        if not self.pointer:
            raise ModelError(f"llama.cpp cannot load {file}: {take_errors() or 'it does not say why'}")
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.pointer)
        # Freed with this object, not before: whoever encodes texts holds it too.
        weakref.finalize(self, llama_cpp.llama_model_free, self.pointer)

    @property
    def longest(self) -> int:
        """How many tokens a path may have: those that the model was trained with."""
        return int(llama_cpp.llama_model_n_ctx_train(self.pointer))

    @property
    def num_tokens(self) -> int:
        return int(llama_cpp.llama_vocab_n_tokens(self.vocabulary))

    def unfit(self) -> str | None:
        """What stands against sharing cells between sequences; None if nothing does."""
        if llama_cpp.llama_model_is_recurrent(self.pointer) or llama_cpp.llama_model_is_hybrid(self.pointer):
            return "it has recurrent layers, whose state no two threads can share"
        if llama_cpp.llama_model_has_encoder(self.pointer) or not llama_cpp.llama_model_has_decoder(self.pointer):
            return "it is no decoder alone"
        if llama_cpp.llama_model_is_diffusion(self.pointer):
            return "it is a diffusion model"
        if llama_cpp.llama_model_n_swa(self.pointer) > 0:
            return "it has a sliding window, and llama.cpp drops cells outside it that another thread may need"
        return None

    def metadata(self, key: str) -> str | None:
        """The value of a key of the file as text; None where it has none."""
        size = 1 << 10
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama_cpp.llama_model_meta_val_str(self.pointer, key.encode(), buffer, size)
            if length < 0:
                return None
            if length < size:
                return buffer.value.decode(errors="replace")
            size = length + 1


class LlamaContext:
    """A context of a model with one cache for all sequences. Raises ModelError where llama.cpp cannot make it."""

    def __init__(self, model: LlamaModel, params: Mapping[str, Any]) -> None:
        settings = llama_cpp.llama_context_default_params()
        for name, value in params.items():
            setattr(settings, name, value)
        take_errors()
        self.pointer = llama_cpp.llama_init_from_model(model.pointer, settings)
        if not self.pointer:
            raise ModelError(
                f"llama.cpp cannot make a context of {settings.n_ctx} cells: "
                f"{take_errors() or 'it does not say why'}; give a smaller --llama.n-ctx, or fewer --max-rows"
            )
        self._memory = llama_cpp.llama_get_memory(self.pointer)
        self._model = model  # whose weights are needed as long as the context is there
        self._num_tokens = model.num_tokens
        self.max_tokens = int(settings.n_batch)
        self.params = dict(params)

    @property
    def cells(self) -> int:
        """How many there are: llama.cpp rounds up."""
        return int(llama_cpp.llama_n_ctx(self.pointer))

    def share(self, source: int, target: int, begin: int, end: int) -> None:
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, begin, end)

    def remove(self, sequence: int, begin: int, end: int) -> None:
        if not llama_cpp.llama_memory_seq_rm(self._memory, sequence, begin, end):
            raise RunError(f"llama.cpp cannot remove the positions from {begin} of sequence {sequence}")

    def last_position(self, sequence: int) -> int:
        """The last position of a sequence; -1 where it has no cell."""
        return int(llama_cpp.llama_memory_seq_pos_max(self._memory, sequence))

    def decode(self, batch: TokenBatch) -> Array:
        arrays = _Arrays(batch)
        code = llama_cpp.llama_decode(self.pointer, arrays.batch)
        if code:
            raise RunError(f"llama.cpp failed to decode a batch (code {code}): {_reason(code)}")
        if not batch.wanted:
            return np.empty((0, self._num_tokens), dtype=np.float32)
        pointer = llama_cpp.llama_get_logits(self.pointer)
        return np.ctypeslib.as_array(pointer, shape=(len(batch.wanted), self._num_tokens))

    def close(self) -> None:
        """Free the cache. May be called again."""
        if self.pointer:
            llama_cpp.llama_free(self.pointer)
            self.pointer = None


def _reason(code: int) -> str:
    told = take_errors()
    return told or ("no cells are free" if code == 1 else "it does not say why")


class _Arrays:
    """A batch as llama.cpp reads it; lives as long as the call."""

    def __init__(self, batch: TokenBatch) -> None:
        count = len(batch.tokens)
        self._tokens = np.array(batch.tokens, dtype=np.int32)
        self._positions = np.array(batch.positions, dtype=np.int32)
        self._counts = np.array([len(each) for each in batch.sequences], dtype=np.int32)
        self._flat = np.array([number for each in batch.sequences for number in each], dtype=np.int32)
        offsets = np.concatenate(([0], self._counts[:-1].cumsum())).astype(np.uint64)
        self._pointers = self._flat.ctypes.data + offsets * np.uint64(self._flat.itemsize)
        self._wanted = np.zeros(count, dtype=np.int8)
        self._wanted[batch.wanted] = 1
        self.batch = llama_cpp.llama_batch(
            n_tokens=count,
            token=_pointer(self._tokens, ctypes.c_int32),
            embd=None,
            pos=_pointer(self._positions, ctypes.c_int32),
            n_seq_id=_pointer(self._counts, ctypes.c_int32),
            seq_id=ctypes.cast(self._pointers.ctypes.data, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            logits=_pointer(self._wanted, ctypes.c_int8),
        )


def _pointer(array: Array, kind: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(kind))
