"""What a step costs besides the model, with a thousand live threads.

    python -m tests.engine.scheduler_cost

Prints the median milliseconds of planning and committing a pass, and of completing the logical steps; and the
microseconds that a fork adds to both, until its child has a row (what the model computes is left out).
"""

from __future__ import annotations

import json
import statistics
import time

from apar.decoding.group import Group
from apar.decoding.lockstep import complete_step
from apar.decoding.params import SamplingParams
from apar.scheduling.blocks import BlockPool
from apar.scheduling.scheduler import Scheduler
from tests.engine.states import FORK, choose, new_group

_STEPS = 100
_WORD = 3


def grown(groups: int, threads: int, schedule: Scheduler, most: int | None = None) -> list[Group]:
    """Groups that have all forked into so many threads; they may fork into `most`."""
    params = SamplingParams(max_tokens=6000, max_threads=most or threads)
    made = [new_group(64, params, number=number, context=100_000) for number in range(groups)]
    advance(made, schedule, fork=False)
    for _ in range(threads - 1):
        advance(made, schedule, fork=True)
        advance(made, schedule, fork=False)
    return made


def advance(groups: list[Group], schedule: Scheduler, fork: bool) -> tuple[float, float]:
    """One pass of all threads; the seconds of the scheduler, and of completing the steps."""
    began = time.perf_counter()
    schedule.commit(schedule.plan(groups), groups)
    planned = time.perf_counter() - began
    for group in groups:
        choose(group, [FORK if fork and not k else _WORD for k in range(len(group.threads))])
    began = time.perf_counter()
    for group in groups:
        complete_step(group)
    return planned, time.perf_counter() - began


def fork_cost(groups: int = 32, forks: int = 20) -> float:
    """Microseconds of a fork: of the two passes around it, over two passes of as many threads without one."""
    schedule = Scheduler(BlockPool(400_000, 16), 4096, 80_000)
    made = grown(groups, 1, schedule, most=forks + 1)
    costs = []
    for _ in range(forks):
        forking = sum(advance(made, schedule, fork=True)) + sum(advance(made, schedule, fork=False))
        plain = sum(advance(made, schedule, fork=False)) + sum(advance(made, schedule, fork=False))
        costs.append((forking - plain) / groups)
    return 1e6 * statistics.median(costs)


def main() -> None:
    print(json.dumps({"microseconds a fork": round(fork_cost(), 1)}))
    for groups, threads in ((1000, 1), (100, 10), (32, 32)):
        schedule = Scheduler(BlockPool(400_000, 16), 4096, 80_000)
        made = grown(groups, threads, schedule)
        times = [advance(made, schedule, fork=False) for _ in range(_STEPS)]
        plan, complete = (1000 * statistics.median(column) for column in zip(*times, strict=True))
        live = sum(len(group.threads) for group in made)
        figures = {"groups": groups, "threads": live, "schedule ms": round(plan, 2), "complete ms": round(complete, 2)}
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
