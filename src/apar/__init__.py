"""APAR: language models that answer faster by decoding the parts of an answer in parallel.

The names below are the public interface. They are imported when first used, so that `import apar` stays
quick and needs no torch. Without vLLM `VllmBackend` raises UserError.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from apar.cpus import prepare
from apar.moved import put_up_signpost

if TYPE_CHECKING:
    from apar.assemble import Assembler
    from apar.backends.backend import AnswerStream
    from apar.backends.completions.engine import CompletionsBackend
    from apar.backends.vllm.engine import VllmBackend
    from apar.backends.vllm_server.engine import VllmServerBackend
    from apar.decoding.answer import Answer, BatchError
    from apar.decoding.params import SamplingParams
    from apar.decoding.statistics import EngineStatistics
    from apar.engine.async_llm import AsyncLLM
    from apar.engine.llm import LLM
    from apar.errors import AparError, BusyError, ModelError, RequestError, RunError, UserError
    from apar.events import Delta, Event, Finished, Forked, Started
    from apar.tokens import CHILD, FORK, ControlTokens
    from apar.tree import Node, ParagraphTree

_HOMES = {
    "Assembler": "apar.assemble",
    "Answer": "apar.decoding.answer",
    "AnswerStream": "apar.backends.backend",
    "BatchError": "apar.decoding.answer",
    "CompletionsBackend": "apar.backends.completions.engine",
    "AsyncLLM": "apar.engine.async_llm",
    "LLM": "apar.engine.llm",
    "SamplingParams": "apar.decoding.params",
    "EngineStatistics": "apar.decoding.statistics",
    "AparError": "apar.errors",
    "BusyError": "apar.errors",
    "ModelError": "apar.errors",
    "RequestError": "apar.errors",
    "RunError": "apar.errors",
    "UserError": "apar.errors",
    "Delta": "apar.events",
    "Event": "apar.events",
    "Finished": "apar.events",
    "Forked": "apar.events",
    "Started": "apar.events",
    "CHILD": "apar.tokens",
    "FORK": "apar.tokens",
    "ControlTokens": "apar.tokens",
    "Node": "apar.tree",
    "ParagraphTree": "apar.tree",
    "VllmServerBackend": "apar.backends.vllm_server.engine",
    "VllmBackend": "apar.backends.vllm.engine",
}
__all__ = sorted(_HOMES)

_RENAMED = {"EventStream": "AnswerStream", "RemoteBackend": "VllmServerBackend"}

prepare()  # before anything imports torch
put_up_signpost()


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        raise AttributeError(f"apar.{name} is now apar.{_RENAMED[name]}")
    if name not in _HOMES:
        raise AttributeError(f"module 'apar' has no attribute {name!r}")
    if name == "VllmBackend":
        from apar.backends.vllm.versions import require_vllm

        require_vllm()
    return getattr(importlib.import_module(_HOMES[name]), name)
