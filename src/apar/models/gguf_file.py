"""GGUF files: what they hold, before Transformers reads their weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apar.errors import ModelError
from apar.extras import require

if TYPE_CHECKING:
    from apar.models.model_source import ModelSource

_MAGIC = b"GGUF"
_FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class GgufFile:
    """What a GGUF file holds: its architecture, the number of its weights, the types that they are kept in, the
    number of its tokens, and llama.cpp's name for how its tokenizer splits text."""

    architecture: str
    weights: int
    kinds: tuple[str, ...]
    tokens: int
    splitting: str

    @property
    def dtype(self) -> str:
        """The type that the weights are loaded in where none is asked for; quantised ones in float32."""
        plain = [_FLOATS[kind] for kind in self.kinds if kind in _FLOATS]
        halves = [name for name in plain if name != "float32"]
        return halves[0] if halves and len(plain) == len(self.kinds) else "float32"


def check_installed() -> None:
    """Raise UserError if what reads GGUF files is not installed."""
    require("gguf", "gguf", "accelerate")


def gguf_path(source: ModelSource) -> Path:
    """The file of a source with one, downloaded where it is of the hub. Raises ModelError where it is no GGUF file."""
    from transformers.utils.hub import cached_file

    from apar.models.model_source import reason_of

    try:
        path = Path(str(cached_file(source.path, str(source.gguf_file))))
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise ModelError(f"cannot read {source}: {reason_of(error, source.path)}") from error
    if magic != _MAGIC:
        raise ModelError(f"{source} is no GGUF file: it does not begin with {_MAGIC.decode()}; download it again")
    return path


def plain_gguf(model: str) -> Path:
    """The GGUF file that llama.cpp reads. Raises ModelError where the model is none, or has an adapter beside it."""
    from apar.models.model_source import model_source

    source = model_source(model)
    if source.gguf_file is None or source.adapter is not None:
        what = "is no GGUF file" if source.gguf_file is None else "is a base with an adapter"
        raise ModelError(
            f"{model} {what}, and llama.cpp reads GGUF files: write one with "
            f"`apar export {model} --gguf Q8_0 -o FILE.gguf`, and give that"
        )
    place = Path(source.path) / source.gguf_file
    if place.is_file():
        return place
    require("local", "transformers")  # whose download of files of the hub it is
    return gguf_path(source)


def read_gguf(path: Path) -> GgufFile:
    """What a GGUF file holds; no weights are read. Raises ModelError where it is cut off, damaged or one of several."""
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, time: int, size: int) -> GgufFile:
    """Kept as long as the file is the same: reading all tokens takes seconds."""
    check_installed()
    import gguf

    try:
        reader = gguf.GGUFReader(path)
        architecture = _value(reader, "general.architecture")
        parts = _value(reader, "split.count")
        tokens, splitting = reader.get_field("tokenizer.ggml.tokens"), _value(reader, "tokenizer.ggml.pre")
        kinds = {tensor.tensor_type.name for tensor in reader.tensors}
        weights = sum(int(tensor.n_elements) for tensor in reader.tensors)
    except Exception as error:  # the reader trusts the lengths in a file, and raises what they lead to
        raise ModelError(_unreadable(path, str(error))) from error
    if architecture is None:
        raise ModelError(f"{path} names no architecture (general.architecture); download it again")
    if parts is not None and int(parts) > 1:
        raise ModelError(f"{path} is one of {parts} files of a model: join them with `llama-gguf-split --merge`")
    count = 0 if tokens is None else len(tokens.data)
    return GgufFile(str(architecture), weights, tuple(sorted(kinds)), count, str(splitting))


def make_ordinary(model: Any) -> None:
    """Let a model that was loaded from a GGUF file, whose weights are plain now, be moved and saved as any other."""
    for owner, names in (
        (model, ("hf_quantizer", "quantization_method", "is_quantized")),
        (model.config, ("quantization_config", "_is_quantized")),
    ):
        for name in names:
            owner.__dict__.pop(name, None)


def _value(reader: Any, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _unreadable(path: Path, reason: str) -> str:
    if "GGMLQuantizationType" in reason:
        return f"{path} has weights of a quantisation that is not known ({reason}); take a file of another, as Q8_0"
    return f"{path} is cut off or damaged; download it again"
