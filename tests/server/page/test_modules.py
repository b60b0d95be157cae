"""The parts of the page that know nothing of it: events out of a stream, threads out of events, numbers."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page

from apar.assemble import Recording
from apar.errors import TreeError
from apar.events import Event, replay, to_json
from apar.stats import event_stats
from apar.tree import ParagraphTree
from tests.server.page.fake import FakeServer
from tests.trees import encoded, shuffled, trees

MANY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def module(browser: Any) -> Any:
    """Calls JavaScript in a page that can import the page's modules."""
    with FakeServer() as server:
        page: Page = browser.new_page()
        page.goto(server.url)
        yield lambda script, data=None: page.evaluate(script, data)
        page.close()


def test_events_come_out_of_a_stream_however_it_is_cut(module: Any) -> None:
    stream = (
        ': ping\n\ndata: {"a": 1}\n\nevent: x\r\ndata:one\r\ndata: two\r\n\r\n\n\ndata\n\nid: 7\rdata:  é\r\r: end\n\n'
    )
    cuts = """async (stream) => {
      const { EventParser } = await import("/page/client.js");
      const told = new Set();
      for (let one = 0; one <= stream.length; one += 1) for (let other = one; other <= stream.length; other += 1) {
        const parser = new EventParser();
        const pieces = [stream.slice(0, one), stream.slice(one, other), stream.slice(other)];
        told.add(JSON.stringify(pieces.flatMap((piece) => parser.push(piece))));
      }
      return [...told];
    }"""
    assert [json.loads(told) for told in module(cuts, stream)] == [['{"a": 1}', "one\ntwo", "", " é"]]


FOLD = """async (lines) => {
  const { AnswerState } = await import("/page/answer-state.js");
  const { readTrace, inStepOrder } = await import("/page/trace.js");
  const { AnswerDocument } = await import("/page/document.js");
  const document = new AnswerDocument("");
  const recording = new AnswerState();
  const news = new Set();
  for (const event of readTrace(lines, "trace")) {
    news.add(recording.add(event));
    if (event.step % 3 === 0) {
      document.draw(news);
      news.clear();
    }
  }
  document.draw(news);
  const again = new AnswerState();
  for (const event of inStepOrder(recording.events)) again.add(event);
  return { text: document.element.textContent, tokens: recording.tokens, steps: recording.steps,
    forks: recording.forks, alive: recording.alive, again: again.steps,
    threads: recording.inReadingOrder().map((thread) => thread.path) };
}"""


@MANY
@given(trees(), st.booleans(), st.randoms(use_true_random=False))
def test_the_recording_of_a_page_is_that_of_the_server(
    module: Any, tree: ParagraphTree, ids: bool, rng: random.Random
) -> None:
    events = shuffled(replay(encoded(tree) if ids else tree), rng)
    stats = event_stats(events)
    assert module(FOLD, "".join(to_json(event) + "\n" for event in events)) == {
        "text": tree.text,
        "tokens": stats.tokens,
        "steps": stats.critical_path,
        "again": stats.critical_path,
        "forks": stats.forks,
        "alive": 0,
        "threads": [list(path) for path in sorted(Recording.of(events).threads)],
    }


READ = """async (lines) => {
  const { readTrace } = await import("/page/trace.js");
  try { readTrace(lines, "trace"); return ""; } catch (error) { return error.message; }
}"""


@MANY
@given(trees(), st.randoms(use_true_random=False), st.data())
def test_the_page_refuses_the_traces_that_the_server_refuses_at_the_same_line(
    module: Any, tree: ParagraphTree, rng: random.Random, data: st.DataObject
) -> None:
    events = shuffled(replay(tree), rng)
    index = data.draw(st.integers(0, len(events) - 1))
    moved = events.pop(index)
    events.insert(data.draw(st.integers(0, len(events))), moved)
    told = module(READ, "".join(to_json(event) + "\n" for event in events))
    line = first_illegal(events)
    assert told.startswith(f"trace, line {line}:") if line else told == ""


def first_illegal(events: list[Event]) -> int:
    """The number of the first event that cannot follow those before it; 0 if there is none."""
    recording = Recording()
    for number, event in enumerate(events, 1):
        try:
            recording.add(event)
        except TreeError:
            return number
    return 0


def test_the_axis_has_few_round_marks_and_room_for_what_comes(module: Any) -> None:
    told = module(
        """async () => {
          const { extent, tick } = await import("/page/timeline.js");
          const steps = Array.from({ length: 5000 }, (_, k) => k + 1);
          return { rooms: steps.map(extent), ticks: steps.map((one) => tick(one, 8)) };
        }"""
    )
    assert all(step <= room for step, room in enumerate(told["rooms"], 1))
    assert len(set(told["rooms"])) == 16
    for step, tick in enumerate(told["ticks"], 1):
        assert step / tick <= 8
        assert str(tick).rstrip("0") in ("1", "2", "5")


def test_a_player_counts_steps_by_time_and_stops_at_the_end(module: Any) -> None:
    told = module(
        """async () => {
          const { Playback } = await import("/page/playback.js");
          const player = new Playback(10);
          const steps = [player.step];
          player.play();
          player.speed = 4;
          for (const pause of [0, 250, 250, 1000, 0]) { player.advance(pause); steps.push(player.step); }
          player.pause();
          player.advance(9999);
          steps.push(player.step);
          player.play();
          player.advance(9999);
          steps.push(player.step, player.playing);
          player.seek(-5);
          steps.push(player.step);
          return steps;
        }"""
    )
    assert told == [10, -1, 0, 1, 5, 5, 5, 10, False, -1]
