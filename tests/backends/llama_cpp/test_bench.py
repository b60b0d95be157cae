"""Replaying answers on llama.cpp: in threads, and by llama.cpp alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apar.backends.llama_cpp.options import Settings
from apar.bench.answers import BenchAnswer
from apar.bench.llama_replay import LlamaBenchModel, LlamaReplay
from apar.bench.steps import measure_steps, step_control
from apar.tree import Node, ParagraphTree
from tests.backends.llama_cpp.tiny import write_tiny

ASKED = ({"role": "user", "content": "How?"},)
LIST = ParagraphTree(
    Node("1. Bed:", Node(" go early, the body likes it."), Node("\n2. Book:", Node(" read it."), Node("\nDone.")))
)
OPTIONS = {"n_threads": 1, "n_ctx": 1024}


@pytest.fixture(scope="module", params=[True, False], ids=["trained to fork", "without control tokens"])
def replay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaReplay]:
    file = write_tiny(tmp_path_factory.mktemp("bench") / "tiny.gguf", control=request.param)
    answers = [
        BenchAnswer("list", "lists", ASKED, LIST),
        BenchAnswer("plain", "prose", ASKED, ParagraphTree.leaf("Yes.")),
    ]
    made = LlamaReplay(LlamaBenchModel.load(file, {}), answers, Settings(16, OPTIONS), None)
    yield made
    made.close()


def test_passes_are_those_that_the_tree_says(replay: LlamaReplay) -> None:
    list_answer, plain = replay.answers
    for _ in range(2):
        assert replay.run_one(list_answer, "sequential").passes == list_answer.stats.sequential_steps - 1
        assert replay.run_one(list_answer, "forked").passes == list_answer.stats.critical_path - 1
        assert replay.run_one(plain, "forked").passes == plain.stats.sequential_steps - 1
    assert list_answer.stats.forks == 2
    replay.engine.check()


def test_all_answers_together(replay: LlamaReplay) -> None:
    forked, sequential = replay.run_all("forked", None), replay.run_all("sequential", 1)
    assert forked.tokens == sequential.tokens
    assert forked.passes < sequential.passes
    assert replay.facts()["n_ctx"] == 1024


def test_steps_are_timed_for_every_number_of_threads(tiny: Path) -> None:
    model = LlamaBenchModel.load(tiny, {})
    control = step_control(model)
    context, engine = model.engine(control, Settings(8, OPTIONS), None)
    found = measure_steps(engine, control, (2, 4), 5, 2, lambda: None)
    context.close()
    assert [one.threads for one in found] == [1, 2, 4]
    assert all(one.milliseconds > 0 for one in found)
