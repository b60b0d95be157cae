"""The same answer again with one thread at a time, as a second column, and an honest verdict."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from apar.events import replay
from apar.tree import ParagraphTree
from tests.server.page.answers import LIST, events_of, flat
from tests.server.page.fake import FakeServer, Reply, chunks
from tests.server.page.view import View

FORKED = chunks(events_of(LIST))
SEQUENTIAL = FORKED
"""The server tells the same answer, with its logical steps; the page gives every token a step of its own."""
TURNS = len({(event.thread, event.step) for event in events_of(LIST)})


def verdict(view: View) -> str:
    return view.page.locator("#verdict").inner_text()


def test_the_sequential_answer_is_asked_after_the_parallel_one_with_the_same_seed(
    view: View, server: FakeServer
) -> None:
    first, second = Reply(FORKED, held=True), Reply(SEQUENTIAL, held=True)
    server.will(first, second)
    view.page.get_by_label("Compare with sequential").check()
    view.set(max_threads=4)
    view.ask("How?")
    first.upto(-1)
    expect(view.figure("forks")).to_have_text("4")
    assert len(server.requests) == 1, "they would take from each other"
    first.finish()
    expect(view.state("Sequential")).to_have_text("waiting")
    second.upto(8)
    expect(view.figure("tokens", "Sequential")).to_have_text("6")
    expect(view.page.locator("#verdict")).to_be_hidden()
    second.finish()
    view.has_ended("Sequential")
    parallel, sequential = server.requests
    assert sequential.pop("apar") == {"stream": "threads", "metrics": True, "max_threads": 4, "max_parallel_threads": 1}
    assert parallel.pop("apar") == {"stream": "threads", "metrics": True, "max_threads": 4}
    assert parallel == sequential
    assert isinstance(parallel["seed"], int)
    assert view.text() == view.text("Sequential") == LIST.text


def test_a_complete_answer_can_be_compared_afterwards(view: View, server: FakeServer) -> None:
    server.will(Reply(FORKED), Reply(SEQUENTIAL))
    view.ask("How?")
    view.has_ended()
    view.button("Compare with sequential").click()
    view.has_ended("Sequential")
    steps = [int(view.figure("steps", title).inner_text()) for title in ("Parallel", "Sequential")]
    assert steps == [1 + max(event.step for event in events_of(LIST)), TURNS]
    assert view.figure("forks").inner_text() == view.figure("forks", "Sequential").inner_text()
    assert f"{steps[0]} steps against {steps[1]}, {steps[1] / steps[0]:.2f} times fewer." in verdict(view)
    expect(view.button("Compare with sequential")).to_be_hidden()


def test_the_columns_are_side_by_side_on_one_axis(view: View, server: FakeServer) -> None:
    server.will(Reply(FORKED), Reply(SEQUENTIAL))
    view.page.get_by_label("Compare with sequential").check()
    view.ask("How?")
    view.has_ended("Sequential")
    left, right = (view.panel(title).bounding_box() for title in ("Parallel", "Sequential"))
    assert left
    assert right
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    widths = [
        float(view.timeline(title).locator("rect[data-thread='0']").get_attribute("width") or 0)
        for title in ("Parallel", "Sequential")
    ]
    last = max(event.step for event in events_of(LIST) if event.thread == (0,))
    turns = {(event.step, event.thread) for event in events_of(LIST) if (event.step, event.thread) <= (last, (0,))}
    assert abs(widths[0] / widths[1] - (last + 1) / len(turns)) < 0.02


def test_without_a_whole_parallel_answer_nothing_is_compared(view: View, server: FakeServer) -> None:
    reply = server.will(Reply(FORKED, held=True), Reply(SEQUENTIAL))
    view.page.get_by_label("Compare with sequential").check()
    view.ask("How?")
    reply.upto(9)
    expect(view.figure("steps")).not_to_have_text("0")
    view.page.keyboard.press("Escape")
    expect(view.state()).to_have_text("stopped")
    assert len(server.requests) == 1
    expect(view.panel("Sequential")).to_have_count(0)


def judged(view: View, runs: list[tuple[float, int, int, int]], queued: float = 0.0) -> dict[str, str]:
    """The verdict on two runs, each given as seconds, steps, tokens and forks."""
    told: dict[str, str] = view.page.evaluate(
        """async ([runs, queued]) => {
          const { verdict } = await import("/page/figures.js");
          const made = runs.map(([seconds, steps, tokens, forks]) =>
            ({ seconds, answer: { steps, tokens, forks }, metrics: { queue_seconds: queued } }));
          return verdict(...made);
        }""",
        [runs, queued],
    )
    return told


def test_the_verdict_is_honest_whoever_wins(view: View) -> None:
    won = judged(view, [(1.0, 100, 200, 5), (2.0, 200, 200, 0)])
    assert won == {
        "who": "parallel",
        "text": "Parallel was 2.00 times as fast: 1.00 s in parallel, 2.00 s sequentially. "
        "100 steps against 200, 2.00 times fewer.",
    }
    lost = judged(view, [(3.0, 150, 400, 5), (2.0, 100, 100, 0)])
    assert lost == {
        "who": "sequential",
        "text": "Sequential was 1.50 times as fast: 3.00 s in parallel, 2.00 s sequentially. "
        "150 steps against 100, 1.50 times more. "
        "The answers are not equally long (400 and 100 tokens); per token parallel was 2.67 times as fast.",
    }


def test_the_verdict_says_where_there_was_no_fork_and_where_others_were_served_first(view: View) -> None:
    told = judged(view, [(1.0, 100, 99, 0), (1.01, 100, 99, 0)], queued=0.5)
    assert told["who"] == ""
    assert re.fullmatch(
        r"It took the same time: 1\.00 s in parallel, 1\.01 s sequentially "
        r"\(in the server's queue 0\.50 s and 0\.50 s of it\)\. Both took 100 steps\. "
        r"The model did not fork here, so both did the same work\.",
        told["text"],
    )


def test_the_verdict_says_which_answers_were_cut(view: View, server: FakeServer) -> None:
    server.will(Reply(FORKED), Reply(chunks(flat(LIST)[:20], finish="length")))
    view.page.get_by_label("Compare with sequential").check()
    view.ask("How?")
    expect(view.state("Sequential")).to_have_text("cut by max. tokens")
    assert "The sequential answer was cut by max. tokens." in verdict(view)


def test_an_answer_without_forks_is_compared_too(view: View, server: FakeServer) -> None:
    events = chunks(list(replay(ParagraphTree.leaf("No parts here."))))
    server.will(Reply(events), Reply(events))
    view.page.get_by_label("Compare with sequential").check()
    view.ask("How?")
    view.has_ended("Sequential")
    assert "did not fork" in verdict(view)
