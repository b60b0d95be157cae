"""An AsyncLLM of a tiny model that forks often, whose passes a test can hold up and whose blocks are checked."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from apar.decoding.params import SamplingParams
from apar.engine.async_llm import AsyncLLM
from apar.engine.llm import LLM
from apar.tokens import ControlTokens
from tests.engine.tiny import favour, tiny_model, tiny_tokenizer

PATIENCE = 30.0
"""Seconds after which a test that hangs fails."""

WORDS = ["a", "b", "c", "aa", "ab", "ac", "ba", "bb", "bc", "ca", "cb", "cc", "aac", "abc", "bac", "bbc", "cac", "cbc"]
"""Prompts of a token each."""

LONG = SamplingParams(max_tokens=60, seed=0)


def tiny_llm(blocks: int = 400, eos: float = 1.0) -> LLM:
    model, tokenizer = tiny_model(3), tiny_tokenizer()
    favour(model, ControlTokens.of(tokenizer), fork=6.0, eos=eos)
    return LLM.from_parts(model, tokenizer, block_size=4, num_blocks=blocks)


class Crowd:
    """`with Crowd() as crowd:` has `crowd.llm`, an AsyncLLM; its thread has ended after the `with`.

    With `held`, no pass runs before `let` allows it.
    """

    def __init__(self, blocks: int = 400, held: bool = False, eos: float = 1.0, max_waiting: int | None = None) -> None:
        llm = tiny_llm(blocks, eos)
        self.engine = llm.engine
        self._held = held
        self._passes = threading.Semaphore(0)
        self._step = self.engine.step
        self.engine.step = self._checked_step  # type: ignore[method-assign]
        self.llm = AsyncLLM.from_llm(llm, max_waiting=max_waiting)

    def _checked_step(self) -> None:
        if self._held and not self._passes.acquire(timeout=PATIENCE):
            raise TimeoutError("the test never let this pass run")
        self._step()
        self.engine.check()

    def let(self, passes: int | None = None) -> None:
        """Allow so many passes more, or all."""
        self._held = passes is not None and self._held
        self._passes.release(passes or 1)

    @property
    def blocks_held(self) -> int:
        return self.engine.pool.num_blocks - self.engine.pool.num_free

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let()
        self.llm.close()
