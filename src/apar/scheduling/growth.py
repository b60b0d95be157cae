"""How many blocks a group needs, and how many it will grow by: sideways too, with every thread it forks."""

from __future__ import annotations

from dataclasses import dataclass

from apar.decoding.group import Group
from apar.scheduling.blocks import BlockPool


def blocks_needed(group: Group, pool: BlockPool) -> int:
    """Free blocks that a group without blocks takes to run all its threads once.

    What its threads share is counted once, and what running groups hold of its prompt not at all.
    """
    needed = 0
    for before, thread in zip([None, *group.threads], group.threads, strict=False):
        shared = before.common(thread) // pool.block_size if before else 0
        needed += pool.blocks_for(len(thread.tokens)) - shared
    found, _ = pool.prefixes.find(group.threads[0].tokens)
    return needed - sum(pool.held(block) for block in found)


@dataclass(slots=True)
class GrowthEstimator:
    """Learns from finished groups what share of the most that they could grow by they grew by.

    It decides only when a group is let in, so a wrong guess costs time (a preemption, or an idle block) and
    never changes an answer.
    """

    share: float = 0.25
    weight: float = 0.1

    def estimate(self, group: Group, pool: BlockPool) -> int:
        """Blocks that the group will take on top of those it holds, by what others did."""
        return max(len(group.threads), round(self.share * _most(group, pool)) - _grown(group, pool))

    def learn(self, group: Group, pool: BlockPool) -> None:
        """Take a finished group's growth into account."""
        found = min(1.0, _grown(group, pool) / max(1, _most(group, pool)))
        self.share += self.weight * (found - self.share)


def _most(group: Group, pool: BlockPool) -> int:
    """The most blocks that an answer can add: its budget, and a partly filled block for every thread."""
    forks = group.params.by_rules or (group.params.fork and group.control)
    threads = group.params.max_threads if forks else 1
    return pool.blocks_for(min(group.params.max_tokens, group.context)) + min(threads, group.params.max_tokens)


def _grown(group: Group, pool: BlockPool) -> int:
    return max(0, group.blocks_peak - pool.blocks_for(group.prompt_tokens))
