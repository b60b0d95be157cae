"""llama.cpp's own options, `--llama.n-gpu-layers N`, as the parameters of a model and of a context."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apar.errors import ModelError, UserError

PREFIX = "--llama."

MAX_ROWS = 32
"""Threads in one batch, unless somebody says otherwise."""

_MOST_SEQUENCES = 256
"""Sequences that llama.cpp can tell apart at most."""

_CELLS = 8192
"""Cells of the cache, unless somebody says otherwise."""

_SWITCH = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
_FLASH = {"auto": -1, "off": 0, "on": 1}
_SPLIT = {"none": 0, "layer": 1, "row": 2}
_ROPE = {"none": 0, "linear": 1, "yarn": 2, "longrope": 3}
_CACHE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "bf16": 30}

_Read = Callable[[str], Any]


def _one_of(values: Mapping[str, Any]) -> _Read:
    def read(text: str) -> Any:
        if text.lower() not in values:
            raise ValueError(f"one of {', '.join(values)}")
        return values[text.lower()]

    return read


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ValueError("a whole number of at least 1")
    return int(text)


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("a number") from None


_MODEL: dict[str, _Read] = {
    "n_gpu_layers": _integer,
    "main_gpu": _integer,
    "split_mode": _one_of(_SPLIT),
    "check_tensors": _one_of(_SWITCH),
}
_CONTEXT: dict[str, _Read] = {
    "n_ctx": _count,
    "n_batch": _count,
    "n_ubatch": _count,
    "n_threads": _count,
    "n_threads_batch": _count,
    "type_k": _one_of(_CACHE_TYPES),
    "type_v": _one_of(_CACHE_TYPES),
    "flash_attn": _one_of(_FLASH),
    "offload_kqv": _one_of(_SWITCH),
    "op_offload": _one_of(_SWITCH),
    "rope_scaling_type": _one_of(_ROPE),
    "rope_freq_base": _number,
    "rope_freq_scale": _number,
}


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """llama.cpp's words, with the value of each, and the others. Raises UserError where a value is missing."""
    own, others = [], []
    rest = iter(words)
    for word in rest:
        if not word.startswith(PREFIX):
            others.append(word)
            continue
        name, equals, value = word.partition("=")
        if not equals:
            value = next(rest, "")
            if not value or value.startswith("--"):
                raise UserError(f"{name} needs a value: {name} VALUE")
        own += [name, value]
    return own, others


def parse_options(words: Sequence[str]) -> dict[str, Any]:
    """The options of `split_words`, by llama.cpp's names. Raises UserError for what it does not have."""
    known = _MODEL | _CONTEXT
    options = {}
    for word, text in zip(words[::2], words[1::2], strict=True):
        name = word.removeprefix(PREFIX).replace("-", "_")
        if name not in known:
            names = ", ".join(each.replace("_", "-") for each in known)
            raise UserError(f"llama.cpp has no option {word} that can be chosen here; there are {names}")
        try:
            options[name] = known[name](text)
        except ValueError as error:
            raise UserError(f"{word} is {text!r}; it must be {error}") from None
    return options


@dataclass(frozen=True, slots=True)
class Settings:
    """How a model and its context are made; `options` are llama.cpp's own, by its names.

    Raises UserError for an option that is not known, ModelError for sizes that do not go together.
    """

    max_rows: int = MAX_ROWS
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := sorted(self.options.keys() - _MODEL.keys() - _CONTEXT.keys()):
            raise UserError(f"llama.cpp has no option {unknown[0]} that can be chosen here")
        most = _MOST_SEQUENCES // 3
        if not 1 <= self.max_rows <= most:
            raise ModelError(f"max_rows is {self.max_rows}; with llama.cpp it must be from 1 to {most}")

    @property
    def model(self) -> dict[str, Any]:
        """Parameters of the model."""
        return {name: value for name, value in self.options.items() if name in _MODEL}

    def context(self, longest: int, sequences: int) -> dict[str, Any]:
        """Parameters of the context, for a model whose paths have `longest` tokens at most."""
        given = {name: value for name, value in self.options.items() if name in _CONTEXT}
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        chosen = {
            "n_ctx": min(_CELLS, max(longest, 512)),
            "n_threads": threads,
            "n_threads_batch": given.get("n_threads", threads),
            "n_batch": 2048,
            "n_ubatch": 512,
            **given,
            "n_seq_max": sequences,
            "kv_unified": True,
            "no_perf": True,
        }
        if "flash_attn" in chosen:
            chosen["flash_attn_type"] = chosen.pop("flash_attn")
        chosen["n_ubatch"] = min(chosen["n_ubatch"], chosen["n_batch"])
        return chosen
