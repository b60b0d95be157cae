"""What an engine has done so far and what it is doing now: figures for those who run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """The state of an engine at one moment, and its counts since it was made, which never go down.

    Requests are `waiting` until the first pass with a row of theirs has run, then `running`, with `threads` live
    threads in all. The last pass had `rows` rows and was fed `fed_tokens` tokens. Of the `blocks` of the cache
    some are held and the others free; of the free ones `blocks_cached` still hold what a later prompt may
    begin with.

    Counted since the start: `passes` that ran; `preemptions`, each of a group or a thread that lost its blocks;
    `prompt_tokens` of the requests that began to run, of which `cached_tokens` were found in the cache;
    `visible_tokens` decoded; `forks`; draft tokens that were `drafted` and of these `accepted`, by their depth too, as
    `Answer` has them; requests `finished`, by the reason that their answers give, `failed` and `cancelled`.
    """

    waiting: int
    running: int
    threads: int
    rows: int
    fed_tokens: int
    blocks: int
    blocks_free: int
    blocks_cached: int
    passes: int
    preemptions: int
    prompt_tokens: int
    cached_tokens: int
    visible_tokens: int
    forks: int
    finished: Mapping[str, int]
    failed: int
    cancelled: int
    drafted_by_depth: tuple[int, ...] = ()
    accepted_by_depth: tuple[int, ...] = ()

    @property
    def blocks_held(self) -> int:
        return self.blocks - self.blocks_free

    @property
    def drafted(self) -> int:
        return sum(self.drafted_by_depth)

    @property
    def accepted(self) -> int:
        return sum(self.accepted_by_depth)

    @property
    def requests(self) -> int:
        """How many there ever were."""
        return self.waiting + self.running + sum(self.finished.values()) + self.failed + self.cancelled

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        derived = ("drafted", "accepted", "blocks_held", "requests")
        return {**asdict(self), **{name: getattr(self, name) for name in derived}}
