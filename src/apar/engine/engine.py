"""The engine in process: PyTorch runs the passes, and drafts may go before them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from apar.decoding.detokenize import Decode
from apar.decoding.early import update_early
from apar.decoding.group import Group, Sampled
from apar.engine.drafts.setup import DraftSetup
from apar.engine.drafts.speculator import RUN_AHEAD
from apar.engine.drafts.verify import verify
from apar.engine.runner import PassOutput, Runner
from apar.engine.sampler import sample
from apar.scheduling.blocks import BlockPool
from apar.scheduling.core import EngineCore
from apar.scheduling.forced import force_tokens
from apar.scheduling.place import Place
from apar.scheduling.scheduler import Pass, Scheduler
from apar.scheduling.verified import Verified
from apar.tokens import ControlTokens, Encode

MAX_PASS_TOKENS = 4096
"""Tokens fed in one pass, which bounds the memory of prompts that come together."""


class Engine(EngineCore):
    """Runs the passes of many answers on a Hugging Face model; see `EngineCore`, and `Runner` for the options."""

    def __init__(
        self,
        model: Any,
        decode: Decode,
        eos: frozenset[int],
        control: ControlTokens | None,
        pool: BlockPool,
        max_rows: int,
        native: bool = True,
        graphs: bool = True,
        drafts: DraftSetup | None = None,
        encode: Encode | None = None,
    ) -> None:
        context = min(int(model.config.max_position_embeddings), pool.num_blocks * pool.block_size)
        scheduler = Scheduler(pool, max_rows, MAX_PASS_TOKENS)
        super().__init__(decode, eos, control, scheduler, context, int(model.config.vocab_size), encode)
        self._runner = Runner(model, pool, native, graphs, drafts.heads if drafts else None)
        self._output: PassOutput | None = None
        self.speculator = drafts.speculator(self._runner, pool) if drafts else None
        self.scheduler.run_ahead = RUN_AHEAD if drafts else 0

    def _next_pass(self) -> Pass:
        drafts = self.speculator.propose(self.groups, self.scheduler.max_rows) if self.speculator else None
        return self.scheduler.plan(self.groups, drafts=drafts)

    def _run(self, work: Pass) -> list[Verified]:
        output = self._runner.run(work, guess=self.speculator is not None and self.speculator.heads_on)
        self._output = output
        return verify(output.rows, output.logits, _draw)

    def _move(self, moves: Sequence[tuple[int, int]]) -> None:
        if moves:
            self._runner.cache.move(moves)

    def _learn(self, work: Pass, verified: Sequence[Verified], seconds: float) -> None:
        output, self._output = self._output, None
        if self.speculator is not None and output is not None:
            self.speculator.learn(work, verified, seconds, lambda tokens: self._runner.guesses(output, tokens))

    def _before_alone(self) -> None:
        if self.speculator is not None:
            self.speculator.pause()

    def _clear(self, blocks: Sequence[int]) -> None:
        self._runner.cache.clear(blocks)

    def _update_early(self, group: Group) -> None:
        if self.speculator is not None:
            for thread in update_early(group):
                self.scheduler.release(group, thread)

    def _is_plain(self, work: Pass) -> bool:
        return self.speculator is None or not self.speculator.takes_part(work)

    def _close(self, group: Group) -> None:
        super()._close(group)
        if self.speculator is not None:
            self.speculator.forget(group)


def _draw(places: Sequence[Place], logits: Tensor) -> list[Sampled | None]:
    return force_tokens(places, sample(places, logits))
