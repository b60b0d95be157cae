"""GGUF models on llama.cpp as a backend: one decoding thread, and any number of event loops that ask it."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apar.backends.engine_backend import EngineBackend
from apar.backends.engine_thread import EngineThread
from apar.backends.llama_cpp.cells import sequences_for
from apar.backends.llama_cpp.engine import BLOCK_SIZE, LlamaCppEngine
from apar.backends.llama_cpp.library import LlamaContext, LlamaModel
from apar.backends.llama_cpp.options import MAX_ROWS, Settings
from apar.backends.llama_cpp.tokenizer import LlamaTokenizer, vocabulary_of
from apar.errors import ModelError
from apar.tokens import encode_text

_MAGIC = b"GGUF"


class LlamaCppBackend(EngineBackend):
    """A GGUF file that answers many at once; everything here may be used from several threads and event loops.

    `options` are llama.cpp's own by its names (`n_gpu_layers`, `n_ctx`, `n_threads`, `type_k`, …). At most `max_rows`
    threads share a batch; at most `max_waiting` requests wait for their first batch (None: no bound).

    Raises ModelError where the file is none of GGUF, is damaged, or cannot be decoded in parallel threads; UserError
    for options that llama.cpp does not have.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        *,
        max_rows: int = MAX_ROWS,
        max_waiting: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        settings = Settings(max_rows, dict(options or {}))
        model = _load(Path(file), settings)
        tokenizer = LlamaTokenizer(model, str(file))
        vocabulary = vocabulary_of(tokenizer, str(file))
        context = _context(model, settings)
        engine = LlamaCppEngine(
            context,
            vocabulary.decode,
            lambda text: encode_text(tokenizer, text),
            vocabulary.eos,
            vocabulary.control,
            vocabulary_size=model.num_tokens,
            longest=model.longest,
            cells=context.cells,
            max_rows=settings.max_rows,
            max_tokens=context.max_tokens,
        )
        self._set_up(vocabulary, engine, max_waiting)
        self._context = context
        # For those who forget to close: the cache is freed when the thread that decodes in it has ended.
        self._close = weakref.finalize(self, _close, self._thread, context)


def _load(file: Path, settings: Settings) -> LlamaModel:
    with file.open("rb") as opened:
        magic = opened.read(len(_MAGIC))
    if magic != _MAGIC:
        raise ModelError(f"{file} is no GGUF file: it does not begin with {_MAGIC.decode()}; download it again")
    model = LlamaModel(file, settings.model)
    if reason := model.unfit():
        raise ModelError(
            f"{file} cannot be decoded in parallel threads by llama.cpp: {reason}; take another model, or --backend "
            "local where that knows it"
        )
    return model


def _context(model: LlamaModel, settings: Settings) -> LlamaContext:
    params = settings.context(model.longest, sequences_for(settings.max_rows))
    if params["n_ctx"] < settings.max_rows * BLOCK_SIZE:
        raise ModelError(
            f"a cache of {params['n_ctx']} cells is too small for {settings.max_rows} threads at a time: give "
            f"--llama.n-ctx of at least {settings.max_rows * BLOCK_SIZE}, or fewer --max-rows"
        )
    return LlamaContext(model, params)


def _close(thread: EngineThread, context: LlamaContext) -> None:
    thread.close()
    context.close()
