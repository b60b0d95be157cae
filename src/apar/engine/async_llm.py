"""The engine for asyncio programs: many answers at once, each to whoever waits for it."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from typing import Any, Self

from apar.backends.engine_backend import EngineBackend
from apar.engine.llm import LLM


class AsyncLLM(EngineBackend):
    """A model that answers many at once: whatever is asked while others are answered shares their passes.

    The engine runs in a thread of its own, from the start until `close`, or the end of `async with`. Everything
    here may be used from several threads and event loops. `model` and `options` are those of `LLM`. At most
    `max_waiting` requests wait for their first pass (None: no bound); one more is refused with BusyError.
    """

    def __init__(self, model: str | os.PathLike[str], *, max_waiting: int | None = None, **options: Any) -> None:
        self._serve(LLM(model, **options), max_waiting)

    @classmethod
    def from_llm(cls, llm: LLM, *, max_waiting: int | None = None) -> Self:
        """An AsyncLLM of an LLM, which must not be used itself until this one is closed."""
        self = cls.__new__(cls)
        self._serve(llm, max_waiting)
        return self

    def _serve(self, llm: LLM, max_waiting: int | None) -> None:
        # A copy, because the engine's thread decodes with the other one while prompts are encoded.
        vocabulary = replace(llm.vocabulary, tokenizer=copy.deepcopy(llm.tokenizer))
        self._set_up(vocabulary, llm.engine, max_waiting)
