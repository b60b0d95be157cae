from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.fixtures import TINY
from tests.server.crowd import Look, Tally, crowd, failures, growth
from tests.server.processes import running


def test_a_crowd_of_whom_a_third_leaves_is_served_and_leaves_nothing_behind() -> None:
    with running("apar", "serve", str(TINY), "--port", "0", "--cpu-threads", "1", "--max-open", "40") as server:
        server.said("the model is ready")
        tally, looks, last = asyncio.run(crowd(server, clients=20, seconds=5))
        assert server.stop() == 0
    assert tally.errors == []
    assert tally.complete > 0
    assert tally.left > 0
    assert max(one.open for one in looks) > 1
    assert last.at_rest, last.figures
    assert not [line for line in server.lines if "Traceback" in line]


def _look(memory: float, held: float = 0) -> Look:
    busy = ("apar_engine_threads", 'apar_engine_requests{state="waiting"}', 'apar_engine_requests{state="running"}')
    figures = dict.fromkeys(busy, 0.0) | {
        "process_resident_memory_bytes": memory,
        'apar_engine_blocks{state="held"}': held,
        "apar_answers_open": 0.0,
    }
    return Look(0.0, figures, 0.0)


def test_memory_that_grows_a_block_that_is_held_and_an_error_are_found() -> None:
    flat = [_look(100.0)] * 9
    grown = [*[_look(100.0)] * 6, *[_look(120.0)] * 3]
    seen = Tally(complete=1, left=1)
    assert failures(seen, flat, flat[-1]) == []
    assert round(growth(grown), 6) == 0.2
    assert len(failures(seen, grown, grown[-1])) == 1
    assert len(failures(seen, flat, _look(100.0, held=3))) == 1
    assert len(failures(replace(seen, errors=["ValueError: x"]), flat, flat[-1])) == 1
    assert len(failures(Tally(), flat, flat[-1])) == 1
