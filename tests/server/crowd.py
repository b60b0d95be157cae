"""Many clients of one server for a while, a third of whom leave whenever they like; the others must not notice.

    python -m tests.server.crowd --clients 200 --seconds 60

The server is `apar serve` with the tiny model of the tests, in a process of its own. Checked: no client that stays
sees an error; every greedy answer is the same whenever it is asked for; at the end no answer is open and every KV
block is free; the memory after the first third does not grow. Prints a card and one line of JSON; the exit code is 1
where a check fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from apar.demo import QUESTIONS
from tests.fixtures import TINY
from tests.server.processes import Running, running
from tests.server.raw import HttpError, content, get, opened

LEAVING = 3
"""One client of so many leaves in the midst of its answers."""
GROWTH = 0.05
"""Share by which the memory may grow after the first third of the time."""
PATIENCE = 30.0


@dataclass
class Tally:
    """What the clients have seen; `texts` are the greedy answers by what was asked."""

    complete: int = 0
    left: int = 0
    tokens: int = 0
    errors: list[str] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """The server at one moment: seconds since the beginning, its figures, and how long it took to tell them."""

    time: float
    figures: dict[str, float]
    seconds: float

    @property
    def memory(self) -> float:
        """Resident, in MiB."""
        return self.figures["process_resident_memory_bytes"] / 2**20

    @property
    def held(self) -> float:
        """KV blocks that answers hold."""
        return self.figures['apar_engine_blocks{state="held"}']

    @property
    def open(self) -> float:
        return self.figures["apar_answers_open"]

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way and nothing is held."""
        busy = ("apar_engine_threads", 'apar_engine_requests{state="waiting"}', 'apar_engine_requests{state="running"}')
        return not (self.held or self.open or any(self.figures[name] for name in busy))


def request(rng: random.Random, questions: Sequence[str]) -> dict[str, Any]:
    """Some question; mostly greedy, some sampled, some told by threads or with log probabilities."""
    body = {
        "model": TINY.name,
        "messages": [{"role": "user", "content": rng.choice(questions)}],
        "max_tokens": rng.choice((8, 32, 64, 128)),
        "temperature": rng.choice((0, 0, 0, 0.8)),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    kind = rng.randrange(6)
    if kind == 0:
        body["apar"] = {"stream": "threads", "metrics": True}
    elif kind == 1:
        body |= {"logprobs": True, "top_logprobs": 2}
    elif kind == 2:
        body["apar"] = {"fork": False}
    return body


async def client(server: Running, number: int, until: float, tally: Tally, questions: Sequence[str]) -> None:
    """Ask again and again."""
    rng = random.Random(number)
    while time.monotonic() < until:
        body = request(rng, questions)
        if number % LEAVING == 0:
            await _leave(server, body, rng, tally)
            continue
        try:
            async with asyncio.timeout(until - time.monotonic() + PATIENCE):
                await _stay(server, body, tally)
        except (HttpError, OSError, EOFError, ValueError, TimeoutError) as error:
            tally.errors.append(f"{type(error).__name__}: {error}")


async def _stay(server: Running, body: dict[str, Any], tally: Tally) -> None:
    began = time.monotonic()
    text, reason, usage, first = "", None, None, None
    async with opened(server.host, server.port, body) as stream:
        async for chunk in stream.chunks():
            text += content(chunk)
            if text and first is None:
                first = time.monotonic() - began
            reason = next((choice["finish_reason"] for choice in chunk["choices"]), None) or reason
            usage = chunk.get("usage") or usage
    if reason not in ("stop", "length") or usage is None:
        raise HttpError(f"the stream ended with reason {reason} and usage {usage}")
    if body["temperature"] == 0:
        asked = json.dumps([body["messages"], body["max_tokens"], body.get("apar", {}).get("fork", True)])
        if tally.texts.setdefault(asked, text) != text:
            raise HttpError(f"another answer than before: {text!r} to {asked}")
    tally.complete += 1
    tally.tokens += usage["completion_tokens"]
    if first is not None:
        tally.first.append(first)


async def _leave(server: Running, body: dict[str, Any], rng: random.Random, tally: Tally) -> None:
    """Ask, and leave after a while or after some of the answer."""
    try:
        async with asyncio.timeout(rng.expovariate(1.0)), opened(server.host, server.port, body) as stream:
            for _ in range(rng.randrange(20)):
                if not await stream.read():
                    break
    except (HttpError, OSError, EOFError, TimeoutError):
        pass
    tally.left += 1


async def look(server: Running, began: float) -> Look:
    asked = time.monotonic()
    _, text = await get(server.host, server.port, "/metrics")
    figures = {name: float(value) for name, value in re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)}
    return Look(asked - began, figures, time.monotonic() - asked)


async def crowd(server: Running, clients: int, seconds: float) -> tuple[Tally, list[Look], Look]:
    """The clients' tally, looks at the server meanwhile, and a last one when it has come to rest."""
    questions = QUESTIONS.read_text(encoding="utf-8").splitlines()
    tally, looks = Tally(), []
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(client(server, number, began + seconds, tally, questions))
        while time.monotonic() < began + seconds:
            await asyncio.sleep(min(1.0, seconds / 10))
            looks.append(await look(server, began))
    last = await look(server, began)
    while not last.at_rest and last.time < seconds + 2 * PATIENCE:
        await asyncio.sleep(0.2)
        last = await look(server, began)
    return tally, looks, last


def growth(looks: Sequence[Look]) -> float:
    """The share by which the memory has grown from the second third of the time to the last."""
    third = len(looks) // 3
    before, after = looks[third : 2 * third], looks[2 * third :]
    return statistics.median(one.memory for one in after) / statistics.median(one.memory for one in before) - 1


def report(tally: Tally, looks: Sequence[Look], last: Look, seconds: float) -> dict[str, Any]:
    first = sorted(tally.first)
    return {
        "answers": tally.complete,
        "left": tally.left,
        "errors": len(tally.errors),
        "tokens_per_second": tally.tokens / seconds,
        "first_text_seconds": {"median": statistics.median(first), "p95": first[int(0.95 * len(first))]},
        "most_open": max(one.open for one in looks),
        "most_blocks_held": max(one.held for one in looks),
        "blocks_held_at_the_end": last.held,
        "answers_open_at_the_end": last.open,
        "memory_mib": {"first": looks[0].memory, "most": max(one.memory for one in looks), "last": last.memory},
        "memory_growth": growth(looks),
        "metrics_seconds": {
            "median": statistics.median(x.seconds for x in looks),
            "most": max(x.seconds for x in looks),
        },
        "cancelled": last.figures["apar_answers_cancelled_total"],
    }


def failures(tally: Tally, looks: Sequence[Look], last: Look) -> list[str]:
    """What is wrong, in words."""
    found = [f"{len(tally.errors)} errors, as: {error}" for error in tally.errors[:3]]
    if not last.at_rest:
        found.append(f"the server is not at rest: {last.open:.0f} answers are open, {last.held:.0f} blocks are held")
    if growth(looks) > GROWTH:
        found.append(f"the memory has grown by {growth(looks):.1%}")
    if not tally.complete or not tally.left:
        found.append(f"{tally.complete} answers were read to their end and {tally.left} were left")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--cpu-threads", type=int, default=1)
    given = parser.parse_args()
    words = [
        "serve",
        str(TINY),
        "--port",
        "0",
        "--cpu-threads",
        str(given.cpu_threads),
        "--max-open",
        str(2 * given.clients),
    ]
    with running("apar", *words) as server:
        server.said("the model is ready")
        tally, looks, last = asyncio.run(crowd(server, given.clients, given.seconds))
        code = server.stop()
    told, wrong = report(tally, looks, last, given.seconds), failures(tally, looks, last)
    wrong += [f"the server ended with {code}"] if code else []
    for name, value in told.items():
        parts = value if isinstance(value, dict) else {"": value}
        print(
            f"{name.replace('_', ' '):28s}", "  ".join(f"{key} {number:,.4g}".strip() for key, number in parts.items())
        )
    print("FAILED: " + "; ".join(wrong) if wrong else "all is well")
    print(json.dumps({"clients": given.clients, "seconds": given.seconds, **told, "failures": wrong}))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
