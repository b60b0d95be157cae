"""Random lives on a real llama.cpp: the same events as where llama.cpp decodes each path alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.backends.llama_cpp.lives import World, run_case


def test_lives_are_the_oracles_and_no_cell_is_held(tiny: Path) -> None:
    world, counts = World(tiny, exact=True, rounding=1e-3), Counter[str]()
    differences = [difference for number in range(40) if (difference := run_case(world, number, counts))]
    assert not differences
    assert counts["cells held"] == 0
    assert counts["ties"] <= 0.02 * counts["answers"]
    assert counts["answers"] > 100
    assert counts["forks"] > 100
    assert counts["nested forks"] > 10
    assert counts["preemptions"] > 20
    assert counts["cancelled"] > 5
