"""Children that are started before their `[Fork]` counts, and whose `[Fork]` then does not."""

from __future__ import annotations

from apar.decoding.early import update_early
from apar.decoding.group import Group, Sampled
from apar.scheduling.blocks import BlockPool
from apar.scheduling.draft import Draft
from apar.scheduling.scheduler import Scheduler
from tests.engine.states import CHILD, FORK, new_group

SAID = (5, 6, FORK, 7)


def started_early(schedule: Scheduler) -> Group:
    """A group whose thread is ahead by `SAID` and one token more, and whose child has its first token."""
    group = new_group(6)
    [root] = group.threads
    schedule.commit(schedule.plan([group], drafts={root: Draft(SAID)}), [group], {root: range(len(SAID))})
    root.ahead.extend(map(Sampled, (*SAID, 8)))
    assert update_early(group) == []
    [child] = group.early
    assert child.tokens == [*root.tokens, 5, 6, FORK, CHILD]
    schedule.commit(schedule.plan([group]), [group])
    assert child.stored == child.length
    return group


def test_what_may_not_come_to_count_is_not_found_by_others() -> None:
    schedule = Scheduler(BlockPool(20, 4), 64, 1000, run_ahead=16)
    group = started_early(schedule)
    [root] = group.threads
    root.ahead.clear()
    for thread in update_early(group):
        schedule.release(group, thread)
    schedule.feed_again(group, root)
    # The second block will hold other tokens behind the prompt.
    assert schedule.pool.prefixes.find([*root.tokens, 5, 6, 0])[0] == root.blocks[:1]
    schedule.pool.check([root.blocks])


def test_what_has_come_to_count_is_found() -> None:
    schedule = Scheduler(BlockPool(20, 4), 64, 1000, run_ahead=16)
    group = started_early(schedule)
    [root], [child] = group.threads, group.early
    root.tokens += [5, 6, FORK, 7]
    root.ahead.clear()
    root.ahead.append(Sampled(8))
    group.early, group.threads = [], [root, child]
    child.tokens += [11]
    schedule.commit(schedule.plan([group]), [group])
    child.tokens += [12]
    schedule.commit(schedule.plan([group]), [group])
    assert schedule.pool.prefixes.find([*child.tokens, 0])[0] == child.blocks[:3]
