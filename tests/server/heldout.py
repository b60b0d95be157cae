"""Held-out prompts over HTTP: streamed text against whole text, and how soon the first of it is there.

    python -m tests.server.heldout ../shared/data/eval/heldout.jsonl
    python -m tests.server.heldout ../shared/data/eval/heldout.jsonl --first --concurrency 1

The file is JSONL with a `prompt` in each line. The model, by default the tiny one of the tests, is served by
`apar serve` in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import openai

from tests.fixtures import TINY
from tests.server.clients.openai_clients import async_client
from tests.server.served import MODEL, Served, serving

WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "sampled": {"temperature": 0.9, "top_p": 0.95, "seed": 11},
}
FORKED: dict[str, Any] = {"apar": {"fork": True}}
SEQUENTIAL: dict[str, Any] = {"apar": {"max_parallel_threads": 1}}
_TURN = 8
"""Prompts of a client before forked and sequential decoding take turns."""


@dataclass(slots=True)
class Texts:
    """Answers that were asked for whole and as a stream. `refused` are prompts that are no request, both ways."""

    answers: int = 0
    refused: int = 0
    forked: int = 0
    different: list[str] = field(default_factory=list)


@dataclass(slots=True)
class First:
    """Seconds from a request to its first visible text, as its client sees it: forked and sequential, by prompt."""

    forked: list[float] = field(default_factory=list)
    sequential: list[float] = field(default_factory=list)

    def report(self) -> dict[str, float]:
        """Medians in seconds, and the medians' ratio."""
        forked, sequential = statistics.median(self.forked), statistics.median(self.sequential)
        return {
            "prompts": len(self.forked),
            "forked_seconds": forked,
            "sequential_seconds": sequential,
            "ratio": forked / sequential,
        }


def prompts_of(file: Path, most: int | None = None) -> list[str]:
    """The different prompts of a file, in its order."""
    lines = file.read_text(encoding="utf-8").split("\n")
    return list(dict.fromkeys(json.loads(line)["prompt"] for line in lines if line))[:most]


async def compare_texts(served: Served, prompts: Sequence[str], tokens: int, concurrency: int) -> Texts:
    """Every prompt greedily and sampled with a seed, each whole and streamed."""
    texts = Texts()

    async def compare(client: openai.AsyncOpenAI, prompt: str) -> None:
        for way, params in WAYS.items():
            asked = {**_asked(prompt, tokens), **params}
            whole, streamed = await _whole(client, asked), await _streamed(client, asked)
            if whole != streamed:
                texts.different.append(f"{way}: {prompt[:60]!r}: {whole} {streamed}")
            texts.answers += 1
            texts.refused += whole[0] is None
            texts.forked += whole[2]

    async with async_client(served) as client:
        await _all_of(prompts, lambda prompt: compare(client, prompt), concurrency)
    return texts


async def time_first(served: Served, prompts: Sequence[str], tokens: int, concurrency: int) -> First:
    """Every prompt forked and sequentially, taking turns. Each was asked before, so its KV is cached for both.

    With a concurrency of N a turn has several prompts for each of N clients, that ask one after the other: their
    prompts come while other answers are under way, which are all forked or all sequential.
    """
    first = First()
    size = 1 if concurrency == 1 else concurrency * _TURN
    async with async_client(served) as client:

        async def warm(prompt: str) -> None:
            await _whole(client, _asked(prompt, 1))

        for number, at in enumerate(range(0, len(prompts), size)):
            together = prompts[at : at + size]
            await _all_of(together, warm, concurrency)
            turns = [(FORKED, first.forked), (SEQUENTIAL, first.sequential)]
            for body, seconds in turns if number % 2 else reversed(turns):
                asked = {**_asked("", tokens), "temperature": 0, "extra_body": body}
                await _all_of(together, partial(_time, client, asked, seconds), concurrency)
    return first


async def _time(client: openai.AsyncOpenAI, asked: dict[str, Any], seconds: list[float], prompt: str) -> None:
    told = await _seconds_to_first(client, {**asked, "messages": _asked(prompt, 1)["messages"]})
    if told is not None:
        seconds.append(told)


def _asked(prompt: str, tokens: int) -> dict[str, Any]:
    turns = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "messages": turns, "max_tokens": tokens, "extra_body": {"apar": {"metrics": True}}}


async def _whole(client: openai.AsyncOpenAI, asked: dict[str, Any]) -> tuple[bytes | None, str, bool]:
    """The text in UTF-8 and why it ended, or None and why it was refused; and whether it forked."""
    try:
        answer = await client.chat.completions.create(**asked)
    except openai.BadRequestError as error:
        return None, error.message, False
    choice = answer.choices[0]
    forked = answer.model_extra["metrics"]["parallel"]["forks"] > 0
    return choice.message.content.encode(), choice.finish_reason, forked


async def _streamed(client: openai.AsyncOpenAI, asked: dict[str, Any]) -> tuple[bytes | None, str, bool]:
    """The same of a stream."""
    try:
        stream = await client.chat.completions.create(**asked, stream=True)
    except openai.BadRequestError as error:
        return None, error.message, False
    chunks = [chunk async for chunk in stream]
    last = chunks[-1]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    forked = last.model_extra["metrics"]["parallel"]["forks"] > 0
    return text.encode(), last.choices[0].finish_reason, forked


async def _seconds_to_first(client: openai.AsyncOpenAI, asked: dict[str, Any]) -> float | None:
    """Seconds until the first visible text; None where there is none. The answer is read to its end."""
    began = time.perf_counter()
    seconds = None
    try:
        async for chunk in await client.chat.completions.create(**asked, stream=True):
            if seconds is None and chunk.choices[0].delta.content:
                seconds = time.perf_counter() - began
    except openai.BadRequestError:
        return None
    return seconds


async def _all_of(prompts: Sequence[str], work: Callable[[str], Awaitable[None]], concurrency: int) -> None:
    """Do the work for all prompts, so many at a time."""
    left = iter(prompts)

    async def worker() -> None:
        for prompt in left:
            await work(prompt)

    await asyncio.gather(*(worker() for _ in range(concurrency)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare streamed with whole answers over held-out prompts.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--first", action="store_true", help="time the first visible text instead")
    parser.add_argument("--prompts", type=int, help="the first so many (default: all)")
    parser.add_argument("--tokens", type=int, default=200, help="of an answer, at most")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--model", default=str(TINY))
    given = parser.parse_args()
    prompts = prompts_of(given.file, given.prompts)
    with serving("--cpu-threads", "1", model=given.model) as served:
        if given.first:
            first = asyncio.run(time_first(served, prompts, given.tokens, given.concurrency))
            print(json.dumps(first.report()))
            return
        texts = asyncio.run(compare_texts(served, prompts, given.tokens, given.concurrency))
        served.check_idle()
        print(json.dumps(asdict(texts)))
    sys.exit(bool(texts.different))


if __name__ == "__main__":
    main()
