"""The official `openai` client: what only this server has, asked for by `extra_body`, and clients that go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import openai
import pytest

from apar.assemble import tree_of
from apar.events import Event, Finished, from_json
from apar.stats import event_stats
from tests.server.clients.openai_clients import GREEDY, QUESTION, async_client
from tests.server.clients.test_openai_chat import text_of
from tests.server.processes import wait_until
from tests.server.served import MODEL, Served, later_word

END = "0"
"""The id of the model's end-of-sequence."""
LONG = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_tokens": 400}
# It never ends by itself: only its client's going can end it before its budget does.
ENDLESS = {**LONG, "max_tokens": 2000, "extra_body": {"apar": {"fork": False}}, "logit_bias": {END: -100}}


def threads(**options: Any) -> dict[str, Any]:
    return {"stream": True, "extra_body": {"apar": {"stream": "threads", **options}}}


def told(chunks: Sequence[Any]) -> list[dict[str, Any]]:
    return [line for chunk in chunks for line in (chunk.model_extra.get("apar") or {}).get("events", [])]


def as_event(line: dict[str, Any]) -> Event:
    """A chunk's event as a line of a trace, which has the parent in `started` alone."""
    assert line["parent"] == (line["thread"][:-1] or None)
    kept = {key: value for key, value in line.items() if key != "parent" or line["event"] == "started"}
    return from_json(json.dumps(kept))


def test_the_tree_of_an_answer_is_rebuilt_from_its_stream_alone(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(**LONG, **threads(metrics=True)))
    events = [as_event(line) for line in told(chunks)]
    tree = tree_of(events)
    whole = client.chat.completions.create(**LONG).choices[0].message.content
    assert tree.text == text_of(chunks) == whole
    figures = chunks[-1].model_extra["metrics"]["parallel"]
    stats = event_stats(events)
    assert figures["mode"] == "forked"
    assert (figures["threads"], figures["critical_path"]) == (stats.threads, stats.critical_path)
    assert stats.threads > 2
    assert figures["tokens_per_step"] > 1.3


def test_the_tree_of_a_stopped_answer_ends_before_the_stop_text(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**LONG).choices[0].message.content
    stop = later_word(whole.partition("\n\n")[0])  # in the first detail: the others are under way then
    chunks = list(client.chat.completions.create(**LONG, **threads(), stop=stop))
    events = [as_event(line) for line in told(chunks)]
    assert tree_of(events, stop=[stop]).text == text_of(chunks)
    assert {event.reason for event in events if isinstance(event, Finished)} >= {"stop"}


def test_each_of_n_answers_has_its_own_tree(client: openai.OpenAI) -> None:
    asked = {**LONG, "temperature": 1, "seed": 5, "max_tokens": 60, "n": 2}
    chunks = list(client.chat.completions.create(**asked, **threads()))
    for choice in range(2):
        own = [chunk for chunk in chunks if chunk.choices[0].index == choice]
        assert tree_of(map(as_event, told(own))).text == text_of(own, choice) != ""


@pytest.mark.parametrize(("limit", "most"), [({"max_threads": 2}, 2), ({"fork": False}, 1)])
def test_threads_are_limited_as_asked(client: openai.OpenAI, limit: dict[str, Any], most: int) -> None:
    answer = client.chat.completions.create(**GREEDY, extra_body={"apar": {**limit, "metrics": True}})
    figures = answer.model_extra["metrics"]["parallel"]
    assert figures["threads"] == most
    assert figures["mode"] == ("forked" if most > 1 else "unforked")
    assert (
        answer.usage.completion_tokens_details.model_extra["control_tokens"] == 2 * figures["forks"] == 2 * (most - 1)
    )


def test_metrics_are_told_where_they_are_asked_for_only(client: openai.OpenAI) -> None:
    asked = {"extra_body": {"apar": {"metrics": True}}}
    figures = client.chat.completions.create(**GREEDY, **asked).model_extra["metrics"]["parallel"]
    assert set(figures) == {
        "mode", "fork", "not_forked",
        "threads", "forks", "steps", "critical_path", "forward_passes", "tokens_per_step", "tokens_per_pass",
        "drafted", "accepted", "kv_blocks_peak", "preemptions", "seconds", "queue_seconds", "first_token_seconds",
    }  # fmt: skip
    assert figures["tokens_per_step"] == pytest.approx(60 / figures["steps"])
    assert 0 <= figures["queue_seconds"] <= figures["first_token_seconds"] <= figures["seconds"]
    assert "metrics" not in client.chat.completions.create(**GREEDY).model_extra
    plain = list(client.chat.completions.create(**GREEDY, stream=True))
    assert not any("apar" in chunk.model_extra or "metrics" in chunk.model_extra for chunk in plain)


def test_metrics_of_a_stream_come_with_its_usage(client: openai.OpenAI) -> None:
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(**GREEDY, **usage, extra_body={"apar": {"metrics": True}}))
    assert [bool(chunk.model_extra.get("metrics")) for chunk in chunks[-2:]] == [False, True]
    assert chunks[-1].usage.completion_tokens == 60


def test_a_client_that_waits_no_longer_cancels_its_answer(served: Served, client: openai.OpenAI) -> None:
    before = served.metric("apar_answers_cancelled_total")
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.5).chat.completions.create(**ENDLESS)
    wait_until(lambda: served.metric("apar_answers_cancelled_total") == before + 1, "the answer is cancelled")
    served.check_idle()


def test_a_client_that_closes_its_stream_cancels_its_answer(served: Served) -> None:
    before = served.metric("apar_answers_cancelled_total")

    async def read_a_little() -> None:
        async with async_client(served) as client:
            stream = await client.chat.completions.create(**ENDLESS, stream=True)
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
            await stream.close()

    asyncio.run(read_a_little())
    wait_until(lambda: served.metric("apar_answers_cancelled_total") == before + 1, "the answer is cancelled")
    served.check_idle()
