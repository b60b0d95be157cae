"""The official `openai` client: completions, without a chat template."""

from __future__ import annotations

import asyncio

import openai
import pytest

from tests.fixtures import TINY
from tests.server.clients.openai_clients import async_client
from tests.server.served import MODEL, Served

GREEDY = {"model": MODEL, "temperature": 0, "max_tokens": 24}
PROMPTS = ["Three things that one needs for a cake are", "The sea is"]


def text_of(client: openai.OpenAI, prompt: object) -> str:
    text: str = client.completions.create(**GREEDY, prompt=prompt).choices[0].text
    return text


def test_a_text_is_gone_on_with_whole_and_streamed(client: openai.OpenAI) -> None:
    answer = client.completions.create(**GREEDY, prompt=PROMPTS[0])
    chunks = list(client.completions.create(**GREEDY, prompt=PROMPTS[0], stream=True))
    assert answer.object == "text_completion"
    assert answer.choices[0].text == "".join(chunk.choices[0].text for chunk in chunks) != ""
    assert chunks[-1].choices[0].finish_reason == answer.choices[0].finish_reason == "stop"


def test_sixteen_tokens_are_given_if_nothing_is_said(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=PROMPTS[0], seed=3)
    assert answer.usage.completion_tokens <= 16


def test_several_texts_are_gone_on_with_each_by_itself(client: openai.OpenAI) -> None:
    alone = [text_of(client, prompt) for prompt in PROMPTS]
    together = client.completions.create(**GREEDY, prompt=PROMPTS)
    assert [choice.text for choice in together.choices] == alone
    assert [choice.index for choice in together.choices] == [0, 1]
    assert together.usage.completion_tokens <= 48


def test_several_answers_to_several_texts_are_numbered_text_by_text(client: openai.OpenAI) -> None:
    asked = {"model": MODEL, "max_tokens": 8, "seed": 4, "n": 2}
    both = client.completions.create(**asked, prompt=PROMPTS)
    single = [client.completions.create(**asked, prompt=prompt).choices for prompt in PROMPTS]
    assert [choice.text for choice in both.choices] == [choice.text for choices in single for choice in choices]


def test_token_ids_are_gone_on_with_as_their_text(client: openai.OpenAI) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(TINY)
    ids = [tokenizer.encode(prompt, add_special_tokens=False) for prompt in PROMPTS]
    texts = [text_of(client, prompt) for prompt in PROMPTS]
    assert [text_of(client, one) for one in ids] == texts
    assert [choice.text for choice in client.completions.create(**GREEDY, prompt=ids).choices] == texts


def test_logprobs_have_the_place_of_each_token(client: openai.OpenAI) -> None:
    choice = client.completions.create(**GREEDY, prompt=PROMPTS[0], logprobs=2).choices[0]
    told = choice.logprobs
    assert "".join(told.tokens) == choice.text
    for token, logprob, top, offset in zip(
        told.tokens, told.token_logprobs, told.top_logprobs, told.text_offset, strict=True
    ):
        assert choice.text[offset:].startswith(token)
        assert len(top) <= 2
        assert top[token] == pytest.approx(logprob, abs=1e-4)


def test_logprobs_of_a_stream_have_the_same_places(client: openai.OpenAI) -> None:
    asked = {**GREEDY, "prompt": PROMPTS[0], "logprobs": 1}
    whole = client.completions.create(**asked).choices[0].logprobs
    chunks = [chunk.choices[0].logprobs for chunk in client.completions.create(**asked, stream=True)]
    streamed = [chunk for chunk in chunks if chunk]
    assert [token for chunk in streamed for token in chunk.tokens] == whole.tokens
    assert [offset for chunk in streamed for offset in chunk.text_offset] == whole.text_offset


def test_the_asynchronous_client_streams_several_texts(client: openai.OpenAI, served: Served) -> None:
    async def texts() -> list[str]:
        told = ["", ""]
        async with async_client(served) as asking:
            async for chunk in await asking.completions.create(**GREEDY, prompt=PROMPTS, stream=True):
                told[chunk.choices[0].index] += chunk.choices[0].text
        return told

    assert asyncio.run(texts()) == [text_of(client, prompt) for prompt in PROMPTS]
