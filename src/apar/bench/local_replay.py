"""Real answers forced through the engine in this process."""

from __future__ import annotations

from collections.abc import Sequence

from apar.bench.answers import BenchAnswer
from apar.bench.core_replay import CoreReplay
from apar.bench.model import BenchModel
from apar.bench.replay import replay_answers


class LocalReplay(CoreReplay):
    """The engine in this process, as a `ReplayEngine`."""

    def __init__(
        self, bench_model: BenchModel, answers: Sequence[BenchAnswer], num_blocks: int | None, max_rows: int
    ) -> None:
        self.control, forced = replay_answers(bench_model, answers)
        super().__init__(bench_model.engine(self.control, num_blocks, max_rows), forced, "local")
