"""The official `openai` client: chats."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import openai
import pytest

from tests.server.clients.openai_clients import ASKED, GREEDY, QUESTION, SAMPLED, async_client
from tests.server.served import MODEL, Served, later_word


def text_of(chunks: Iterable[Any], choice: int = 0) -> str:
    """What a stream's chunks say for one choice."""
    choices = [one for chunk in chunks for one in chunk.choices if one.index == choice]
    return "".join(one.delta.content or "" for one in choices)


def test_a_chat_is_answered(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(**GREEDY)
    [choice] = answer.choices
    assert answer.model == MODEL
    assert answer.id.startswith("chatcmpl-")
    assert choice.message.role == "assistant"
    assert choice.message.content.startswith("1.")
    assert choice.finish_reason == "length"
    assert answer.usage.completion_tokens == 60
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 60


def test_a_greedy_stream_says_what_the_whole_answer_says(client: openai.OpenAI) -> None:
    asked = {**GREEDY, "max_tokens": 180}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert text_of(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "length"]
    assert all(chunk.object == "chat.completion.chunk" and chunk.id == chunks[0].id for chunk in chunks)
    assert len(chunks) > 20


def test_a_seed_gives_the_same_sampled_answer_whole_and_streamed(client: openai.OpenAI) -> None:
    first, second = (client.chat.completions.create(**SAMPLED).choices[0].message.content for _ in range(2))
    streamed = text_of(client.chat.completions.create(**SAMPLED, stream=True))
    other = client.chat.completions.create(**{**SAMPLED, "seed": 8}).choices[0].message.content
    assert first == second == streamed
    assert other != first


def test_usage_of_a_stream_comes_last_if_asked_for(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**GREEDY)
    chunks = list(client.chat.completions.create(**GREEDY, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    # The second of them finds the prompt in the cache.
    hidden = {"prompt_tokens_details": True}
    assert chunks[-1].usage.model_dump(exclude=hidden) == whole.usage.model_dump(exclude=hidden)
    assert all(chunk.usage is None for chunk in chunks[:-1])
    plain = list(client.chat.completions.create(**GREEDY, stream=True))
    assert all(chunk.usage is None for chunk in plain)


def test_n_answers_are_independent_and_each_is_streamed(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**SAMPLED, n=3)
    texts = [choice.message.content for choice in whole.choices]
    chunks = list(client.chat.completions.create(**SAMPLED, n=3, stream=True))
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert [text_of(chunks, choice) for choice in range(3)] == texts
    assert whole.usage.completion_tokens <= 3 * 60


@pytest.mark.parametrize("several", [False, True])
def test_an_answer_ends_before_a_stop_text(client: openai.OpenAI, several: bool) -> None:
    whole = client.chat.completions.create(**GREEDY).choices[0].message.content
    word = later_word(whole)
    stop = ["nowhere at all", word] if several else word
    stopped = client.chat.completions.create(**GREEDY, stop=stop).choices[0]
    chunks = list(client.chat.completions.create(**GREEDY, stop=stop, stream=True))
    assert stopped.message.content == whole[: whole.index(word)]
    assert stopped.finish_reason == "stop"
    assert text_of(chunks) == stopped.message.content
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_logprobs_are_of_the_tokens_in_reading_order(client: openai.OpenAI) -> None:
    choice = client.chat.completions.create(**GREEDY, logprobs=True, top_logprobs=3).choices[0]
    told = choice.logprobs.content
    assert b"".join(bytes(token.bytes) for token in told).decode() == choice.message.content
    assert len(told) == 60
    for token in told:
        assert len(token.top_logprobs) == 3
        assert token.logprob == pytest.approx(max(other.logprob for other in token.top_logprobs), abs=1e-4)
        assert token.logprob <= 0


def test_logprobs_of_a_stream_are_those_of_the_whole_answer(client: openai.OpenAI) -> None:
    asked = {**GREEDY, "logprobs": True, "top_logprobs": 2}
    whole = client.chat.completions.create(**asked).choices[0].logprobs.content
    chunks = client.chat.completions.create(**asked, stream=True)
    choices = [chunk.choices[0] for chunk in chunks]
    streamed = [token for choice in choices if choice.logprobs for token in choice.logprobs.content]
    assert [token.token for token in streamed] == [token.token for token in whole]
    # The two may have run with other answers beside them.
    assert [token.logprob for token in streamed] == pytest.approx([token.logprob for token in whole], abs=1e-4)


def test_a_chat_of_several_turns_is_gone_on_with(client: openai.OpenAI) -> None:
    turns = [
        {"role": "developer", "content": "Answer in a list."},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
        {"role": "assistant", "content": "1. Go to bed early."},
        {"role": "user", "content": "And what else?"},
    ]
    longer = client.chat.completions.create(**{**GREEDY, "messages": turns})
    alone = client.chat.completions.create(**{**GREEDY, "messages": turns[-1:]})
    assert longer.usage.prompt_tokens > alone.usage.prompt_tokens + 10
    assert longer.choices[0].message.content != alone.choices[0].message.content


def test_the_stream_helper_collects_the_answer(client: openai.OpenAI) -> None:
    # It refuses answers that are cut by their budget.
    asked = {**GREEDY, "stop": later_word(client.chat.completions.create(**GREEDY).choices[0].message.content)}
    whole = client.chat.completions.create(**asked)
    with client.chat.completions.stream(**asked) as stream:
        pieces = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(pieces) == whole.choices[0].message.content == final.choices[0].message.content
    assert final.choices[0].finish_reason == "stop"


def test_an_answer_that_is_parsed_is_the_text(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**GREEDY).choices[0].message.content
    parsed = client.chat.completions.parse(**{**GREEDY, "stop": "."})
    assert parsed.choices[0].message.content == whole.partition(".")[0] != whole
    assert parsed.choices[0].message.parsed is None


def test_raw_responses_have_their_headers(client: openai.OpenAI) -> None:
    whole = client.chat.completions.with_raw_response.create(**GREEDY)
    assert whole.headers["content-type"] == "application/json"
    assert whole.parse().choices[0].message.content
    with client.chat.completions.with_streaming_response.create(**GREEDY, stream=True) as streamed:
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert streamed.headers["cache-control"] == "no-cache"
        lines = [line for line in streamed.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


def test_many_are_asked_at_once_and_each_gets_its_own_answer(served: Served) -> None:
    questions = [f"Give me {count} tips for {what}." for count in ("two", "three") for what in ("work", "cooking")]

    async def answer(client: openai.AsyncOpenAI, question: str, stream: bool) -> str:
        asked = {**ASKED, "temperature": 0, "messages": [{"role": "user", "content": question}]}
        if stream:
            return text_of([chunk async for chunk in await client.chat.completions.create(**asked, stream=True)])
        content: str = (await client.chat.completions.create(**asked)).choices[0].message.content
        return content

    async def answers() -> list[str]:
        async with async_client(served) as client:
            together = [answer(client, question, stream) for stream in (False, True) for question in questions]
            alone = [await answer(client, question, False) for question in questions]
            assert await asyncio.gather(*together) == alone * 2
            return alone

    assert len(set(asyncio.run(answers()))) == len(questions)


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    [model] = client.models.list()
    assert model.id == MODEL
    assert client.models.retrieve(MODEL) == model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("another/model")
