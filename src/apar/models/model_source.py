"""Finding what a user names: the folder, GGUF file or hub id of a model or of an adapter."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apar import demo
from apar.errors import ModelError
from apar.models.local_copies import has_snapshot, how_to_get, is_cached, local_copy

DEMO = "demo"
_GGUF_OF_HUB = re.compile(r"[\w.-]+/[\w.-]+:[^:]+\.gguf")
_SHOWN_FILES = 4
_HUB_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where Transformers finds a model: a folder or hub id, in it a GGUF file, and an adapter to be merged into it."""

    path: str
    gguf_file: str | None = None
    adapter: str | None = None

    @property
    def options(self) -> dict[str, str]:
        """Keyword arguments for every `from_pretrained` of Transformers, beside `path`."""
        return {} if self.gguf_file is None else {"gguf_file": self.gguf_file}

    def __str__(self) -> str:
        if self.gguf_file is None:
            return self.path
        return os.path.join(self.path, self.gguf_file) if os.path.isdir(self.path) else f"{self.path}:{self.gguf_file}"


def model_source(model: str | os.PathLike[str], adapter: str | os.PathLike[str] | None = None) -> ModelSource:
    """Where the model of that name is, with the adapter that is given, or else the one that comes with the model.

    A name is a folder, a GGUF file, a folder with one of them, `OWNER/NAME` or `OWNER/NAME:FILE.gguf` of the hub, or
    `demo`. A model of the hub that is not in its cache is taken from an installed package that has it. Raises
    ModelError where there is none.
    """
    source = _demo() if model == DEMO else _model(model)
    return source if adapter is None else replace(source, adapter=adapter_source(adapter))


def check_present(model: str | os.PathLike[str], adapter: str | os.PathLike[str] | None = None) -> None:
    """Raise ModelError at once where a model, or its adapter, is neither on this machine nor on the hub.

    Neither torch nor Transformers is imported. The hub is asked for what its cache has nothing of, and not
    again and again as by a loader.
    """
    source = model_source(model, adapter)
    for path in filter(None, (source.path, source.adapter)):
        if not Path(path).is_dir():
            _check_on_hub(path)


@functools.cache
def _check_on_hub(name: str) -> None:
    """Raise ModelError where the hub has no such model or cannot be reached; what else is wrong, loading will say."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    reason = None
    try:
        if not has_snapshot(name):
            HfApi().model_info(name, timeout=_HUB_SECONDS)
    except GatedRepoError:
        return
    except RepositoryNotFoundError:
        reason = "it has no model of that name, or a private one"
    except HfHubHTTPError:
        return
    except HFValidationError as error:
        reason = str(error)
    except Exception as error:  # whatever the HTTP client raises
        if "timeout" in type(error).__name__.lower():
            return
        reason = f"it cannot be reached ({_first_line(error)})"
    if reason is not None:
        raise ModelError(f"cannot load the model {name}: {reason_of(OSError(reason), name)}")


def adapter_source(adapter: str | os.PathLike[str]) -> str:
    """The folder or hub id of an adapter. Raises ModelError where a folder holds none."""
    return _part_source(adapter, "adapter", "adapter", "adapter_config.json")


def heads_source(heads: str | os.PathLike[str]) -> str:
    """The folder or hub id of Medusa heads. Raises ModelError where a folder holds none."""
    return _part_source(heads, "heads", "Medusa heads", "config.json")


def plain_source(model: str | os.PathLike[str], reader: str) -> str:
    """The folder or hub id of a model for a `reader` of ordinary models. Raises ModelError for a GGUF or an adapter."""
    source = model_source(model)
    if source.gguf_file is None and source.adapter is None:
        return source.path
    what = "is a GGUF file" if source.adapter is None else "is a base with an adapter"
    raise ModelError(
        f"{model} {what}, and {reader} loads folders of ordinary files: write one with "
        f"`apar merge {model} -o FOLDER`, and give that"
    )


def load_tokenizer(source: ModelSource) -> Any:
    """A model's tokenizer, or that of its adapter; with control tokens, where the adapter adds them.

    Raises ModelError where it cannot be loaded or its control tokens are not those of the adapter.
    """
    if source.adapter is None:
        return _read_tokenizer(source)
    from apar.models.adapter_files import add_tokens, has_tokenizer, read_info

    of_adapter = has_tokenizer(source.adapter)
    tokenizer = _read_tokenizer(ModelSource(source.adapter) if of_adapter else replace(source, adapter=None))
    info = read_info(source.adapter, source.adapter)
    if info is not None:
        add_tokens(tokenizer, info, source.adapter)
    return tokenizer


def reason_of(error: Exception, source: str) -> str:
    """Why a folder or hub id could not be read, in one line; for a known model with how else to get it."""
    reason = _first_line(error)
    if Path(source).is_dir():
        return reason
    how = how_to_get(source)
    return f"there is no such folder, and from the hub: {reason.rstrip('.')}" + (f"; {how}" if how else "")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _read_tokenizer(source: ModelSource) -> Any:
    from transformers import AutoTokenizer

    if source.gguf_file is not None:
        from apar.models.gguf_tokenizer import read_tokenizer

        return read_tokenizer(source)
    try:
        return AutoTokenizer.from_pretrained(source.path, **source.options)
    except Exception as error:  # files of a model hold whatever their author wrote
        raise ModelError(f"cannot load the tokenizer of {source}: {reason_of(error, source.path)}") from error


def _demo() -> ModelSource:
    """The base with the shipped adapter."""
    from apar.models.adapter_files import read_info

    adapter = str(demo.adapter_folder())
    info = read_info(adapter, DEMO)
    if info is None:
        raise ModelError(f"the adapter in {adapter} names no base; install the package again")
    return replace(_model(info.base.name), adapter=adapter)


def _model(name: str | os.PathLike[str]) -> ModelSource:
    place = Path(name)
    if place.is_dir():
        return _in_folder(place)
    if place.suffix == ".gguf" and (place.is_file() or not _GGUF_OF_HUB.fullmatch(str(name))):
        return _gguf(place)
    if isinstance(name, str) and _GGUF_OF_HUB.fullmatch(name):
        return ModelSource(*name.split(":"))
    return _of_hub(_hub_id(name, "model"))


def _in_folder(folder: Path) -> ModelSource:
    """The model of a folder, or its only GGUF file where it has no weights of another kind."""
    configured = (folder / "config.json").is_file()
    files = sorted(file for file in folder.glob("*.gguf") if file.is_file())
    if configured and (not files or any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))):
        return ModelSource(str(folder))
    if len(files) > 1:
        more = ", …" if len(files) > _SHOWN_FILES else ""
        names = ", ".join(file.name for file in files[:_SHOWN_FILES]) + more
        raise ModelError(f"the folder {folder} holds {len(files)} GGUF files ({names}): name one of them")
    if not files:
        raise ModelError(f"the folder {folder} holds no model: it has no config.json and no GGUF file")
    return _gguf(files[0])


def _gguf(file: Path) -> ModelSource:
    if not file.is_file():
        raise ModelError(f"there is no GGUF file {file}")
    return ModelSource(str(file.parent), file.name)


def _of_hub(name: str) -> ModelSource:
    """A model of the hub; where its cache lacks it, that of a copy on this machine."""
    copy = local_copy(name)
    if copy is None or is_cached(name):
        return ModelSource(name)
    return _in_folder(copy) if copy.is_dir() else _gguf(copy)


def _part_source(name: str | os.PathLike[str], what: str, content: str, mark: str) -> str:
    """The folder or hub id of what goes with a model; a folder with it has the file `mark`."""
    folder = Path(name)
    if not folder.is_dir():
        return _hub_id(name, what)
    if not (folder / mark).is_file():
        raise ModelError(f"the folder {folder} holds no {content}: it has no {mark}")
    return str(folder)


def _hub_id(name: str | os.PathLike[str], what: str) -> str:
    """The name, if it can be a hub id: `name` or `owner/name`. Raises ModelError if it is a place on a disk."""
    folder = Path(name)
    if folder.is_file():
        raise ModelError(
            f"{folder} is a file, and no {what}; give its folder" + ", or a .gguf file" * (what == "model")
        )
    if isinstance(name, os.PathLike) or folder.is_absolute() or folder.exists() or name.count("/") > 1:
        raise ModelError(f"there is no {what} folder {folder}")
    return name
