"""The engine over llama.cpp: the passes of the scheduler are its batches."""

from __future__ import annotations

from typing import Protocol

from apar.backends.llama_cpp.cells import CellManager, CellPool, Memory, TokenBatch
from apar.backends.llama_cpp.sampler import Array, sample
from apar.decoding.detokenize import Decode
from apar.decoding.group import Group
from apar.errors import AparError
from apar.scheduling.core import EngineCore
from apar.scheduling.forced import force_tokens
from apar.scheduling.place import Place
from apar.scheduling.scheduler import Pass, Scheduler
from apar.scheduling.verified import Verified
from apar.tokens import ControlTokens, Encode

BLOCK_SIZE = 16
"""Cells that are counted, kept and found together."""


class Decoder(Memory, Protocol):
    """A llama.cpp context: its cache, and its forward pass."""

    def decode(self, batch: TokenBatch) -> Array:
        """Run a batch; the logits of its wanted tokens [wanted, vocabulary], float32, valid until the next one.

        Raises RunError where llama.cpp fails.
        """


class LlamaCppEngine(EngineCore):
    """Decodes many answers at once in one KV cache of `cells` cells.

    At most `max_rows` threads share a batch, of at most `max_tokens` tokens, and no more threads hold cells. `longest`
    is how many tokens a path may have for the model. For one thread of the host program.
    """

    def __init__(
        self,
        decoder: Decoder,
        decode: Decode,
        encode: Encode,
        eos: frozenset[int],
        control: ControlTokens | None,
        *,
        vocabulary_size: int,
        longest: int,
        cells: int,
        max_rows: int,
        max_tokens: int,
    ) -> None:
        pool = CellPool(cells // BLOCK_SIZE, BLOCK_SIZE)
        scheduler = Scheduler(pool, max_rows, max_tokens, max_holding=max_rows)
        context = min(longest, pool.num_blocks * BLOCK_SIZE)
        super().__init__(decode, eos, control, scheduler, context, vocabulary_size, encode)
        self._decoder = decoder
        self.cells = CellManager(decoder, pool, scheduler.holding, max_rows)

    def step(self) -> None:
        """Run one batch, if there is anything to run; the cells of what has ended are free then."""
        super().step()
        self.cells.settle()

    def cancel(self, group: Group, error: AparError | None = None) -> None:
        """End a group now and free its cells; nothing more is told of it. A finished one stays as it is."""
        super().cancel(group, error)
        self.cells.settle()

    def _run(self, work: Pass) -> list[Verified]:
        logits = self._decoder.decode(self.cells.lay_out(work))
        self.cells.ran(work)
        rows = [row for row in work.rows.values() if row.sampled]
        places = [Place(row.group, row.thread) for row in rows]
        drawn = force_tokens(places, sample(places, logits)) if places else []
        return [
            Verified(row, number, None if token is None else [token])
            for number, (row, token) in enumerate(zip(rows, drawn, strict=True))
        ]
