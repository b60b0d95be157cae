"""What the server costs: the same requests by the bare engine and through HTTP streams, taking turns in one process.

    python -m tests.server.overhead --concurrency 8,32
    python -m tests.server.overhead --shape qwen-0.5b --dtype bfloat16 --concurrency 1,8 --requests 16

Clients are a process of their own. Prints a line for each concurrency, and one line of JSON. With `--first` it
measures instead when the first visible token comes, forked and sequentially, one request at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from apar import AsyncLLM, SamplingParams
from apar.bench.model import load_bench_model
from apar.demo import QUESTIONS
from apar.engine.llm import LLM
from apar.errors import UserError
from apar.models.model_source import load_tokenizer, model_source
from apar.server.app import guarded_app
from apar.server.health import Health
from apar.server.http.connection import HttpConfig
from apar.server.http.server import HttpServer
from apar.server.http.sockets import listen
from apar.server.settings import ServerLimits, ServerSettings
from tests.fixtures import TINY

NAME = "measured"
WARM_UP = 4


@dataclass(frozen=True, slots=True)
class Round:
    """Some requests, all done: seconds that it took, those of the processor by thread; visible tokens."""

    seconds: float
    busy: dict[str, float]
    tokens: int

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


class Clock:
    """The seconds that the processor has worked for the engine's thread, and for the thread of the event loop."""

    def __init__(self) -> None:
        self._clocks = {
            "engine" if thread.name == "apar-engine" else "loop": time.pthread_getcpuclockid(thread.ident)
            for thread in threading.enumerate()
            if thread.name == "apar-engine" or thread is threading.main_thread()
        }
        self._began = self._now()

    def past(self) -> dict[str, float]:
        return {name: now - self._began[name] for name, now in self._now().items()}

    def _now(self) -> dict[str, float]:
        return {name: time.clock_gettime(clock) for name, clock in self._clocks.items()}


class Clients:
    """The process of the clients, which is told what to ask and tells how it went."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, port: int) -> Clients:
        words = [sys.executable, "-m", "tests.server.asking", str(port)]
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, limit=2**26))

    async def ask(self, bodies: Sequence[dict[str, Any]], concurrency: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"bodies": bodies, "concurrency": concurrency}).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise UserError("the clients failed; what they say is above")
        told: dict[str, Any] = json.loads(line)
        return told

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


def backend(given: argparse.Namespace) -> AsyncLLM:
    """The engine of a model, or of random weights of a shape with the tiny model's tokenizer and no control tokens."""
    if given.shape is None:
        return AsyncLLM(given.model, dtype=given.dtype)
    target = load_bench_model(None, given.shape, given.dtype, "auto")
    return AsyncLLM.from_llm(LLM.from_parts(target.model, load_tokenizer(model_source(TINY))))


def bodies(given: argparse.Namespace, stream: bool = True) -> list[dict[str, Any]]:
    questions = QUESTIONS.read_text(encoding="utf-8").splitlines()
    return [
        {
            "model": NAME,
            "messages": [{"role": "user", "content": f"{questions[number % len(questions)]} ({number})"}],
            "max_tokens": given.tokens,
            "temperature": 0,
            "stream": stream,
            "stream_options": {"include_usage": True},
        }
        for number in range(given.requests)
    ]


async def bare(llm: AsyncLLM, requests: Sequence[dict[str, Any]], concurrency: int) -> Round:
    """The requests by the engine itself, to somebody who reads the events and does nothing with them."""
    left = list(reversed(requests))
    tokens = 0

    async def work() -> None:
        nonlocal tokens
        while left:
            request = left.pop()
            params = SamplingParams(max_tokens=request["max_tokens"], temperature=0)
            [stream] = await llm.ask([request["messages"]], params)
            while await stream.take():
                pass
            tokens += stream.answer.tokens

    began, clock = time.perf_counter(), Clock()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return Round(time.perf_counter() - began, clock.past(), tokens)


async def served(clients: Clients, requests: Sequence[dict[str, Any]], concurrency: int) -> Round:
    """The same through the server."""
    clock = Clock()
    told = await clients.ask(requests, concurrency)
    return Round(told["seconds"], clock.past(), told["tokens"])


async def compare(llm: AsyncLLM, clients: Clients, given: argparse.Namespace, concurrency: int) -> dict[str, Any]:
    """Both ways in turn, whichever goes first alternates; the overhead is of the medians and of each round."""
    requests = bodies(given)
    ways: list[tuple[str, Callable[[], Awaitable[Round]]]] = [
        ("bare", lambda: bare(llm, requests, concurrency)),
        ("served", lambda: served(clients, requests, concurrency)),
    ]
    await bare(llm, requests[:WARM_UP], WARM_UP)
    await served(clients, requests[:WARM_UP], WARM_UP)
    rounds: dict[str, list[Round]] = {"bare": [], "served": []}
    for turn in range(given.rounds):
        for name, way in ways if turn % 2 == 0 else reversed(ways):
            rounds[name].append(await way())
    if len({round.tokens for both in rounds.values() for round in both}) > 1:
        raise UserError("the two ways did not decode the same number of tokens")
    each = [b.seconds / a.seconds - 1 for a, b in zip(rounds["bare"], rounds["served"], strict=True)]
    return {
        "concurrency": concurrency,
        "tokens": rounds["bare"][0].tokens,
        "bare_rate": statistics.median(round.rate for round in rounds["bare"]),
        "served_rate": statistics.median(round.rate for round in rounds["served"]),
        "overhead": statistics.median(each),
        "overhead_least": min(each),
        "overhead_most": max(each),
        "overhead_of_fastest": _fastest(rounds["served"]) / _fastest(rounds["bare"]) - 1,
        "processor": {way: _processor(both) for way, both in rounds.items()},
    }


def _fastest(rounds: Sequence[Round]) -> float:
    """Seconds of the round that the machine's other work disturbed the least."""
    return min(round.seconds for round in rounds)


def _processor(rounds: Sequence[Round]) -> dict[str, float]:
    """Microseconds of the processor for a token, by thread."""
    return {
        thread: 1e6 * statistics.median(round.busy[thread] / round.tokens for round in rounds)
        for thread in ("engine", "loop")
    }


def _line(told: dict[str, Any]) -> str:
    bare, served = told["processor"]["bare"], told["processor"]["served"]
    return (
        f"concurrency {told['concurrency']:4d}: bare {told['bare_rate']:8.1f} tokens/s, "
        f"served {told['served_rate']:8.1f}, overhead {told['overhead']:6.1%} "
        f"({told['overhead_least']:.1%} to {told['overhead_most']:.1%}), of the fastest rounds "
        f"{told['overhead_of_fastest']:.1%}; microseconds of the processor for a token: "
        f"bare {bare['engine']:.0f} + {bare['loop']:.0f}, served {served['engine']:.0f} + {served['loop']:.0f}"
    )


async def first_tokens(clients: Clients, given: argparse.Namespace) -> dict[str, Any]:
    """Seconds to the first visible text, alone, forked and sequentially in turn; medians over requests and rounds."""
    limits: dict[bool, dict[str, int]] = {True: {}, False: {"max_parallel_threads": 1}}
    seconds: dict[bool, list[float]] = {True: [], False: []}
    requests = bodies(given)
    for turn in range(given.rounds):
        for number, body in enumerate(requests):
            for fork in (True, False) if (turn + number) % 2 == 0 else (False, True):
                told = await clients.ask([{**body, "apar": limits[fork]}], 1)
                seconds[fork].append(told["first"][0])
    ratios = [forked / sequential for forked, sequential in zip(seconds[True], seconds[False], strict=True)]
    return {
        "requests": len(ratios),
        "forked_ms": 1000 * statistics.median(seconds[True]),
        "sequential_ms": 1000 * statistics.median(seconds[False]),
        "ratio": statistics.median(seconds[True]) / statistics.median(seconds[False]),
        "ratio_of_pairs": statistics.median(ratios),
    }


async def measure(given: argparse.Namespace, llm: AsyncLLM) -> None:
    sockets = listen("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    health, limits = Health(), ServerLimits(drain_seconds=1)
    app = guarded_app(ServerSettings(NAME, "local"), lambda: llm, health, limits)
    settings = HttpConfig(app, limits)
    server = HttpServer(settings, health, lambda line: None)
    serving = asyncio.create_task(server.serve(sockets))
    while health.status == "loading":
        await asyncio.sleep(0.05)
    clients = await Clients.start(port)
    if given.first:
        told = await first_tokens(clients, given)
        print("  ".join(f"{name} {value:.3f}" for name, value in told.items()))
        print(json.dumps({"what": given.shape or given.model, "first": told}))
    else:
        lines = []
        for concurrency in given.concurrency:
            lines.append(await compare(llm, clients, given, concurrency))
            print(_line(lines[-1]), flush=True)
        print(json.dumps({"what": given.shape or given.model, "dtype": given.dtype, "rounds": lines}))
    await clients.end()
    server.should_exit = True
    await serving


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(TINY))
    parser.add_argument("--shape")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--cpu-threads", type=int, default=1)
    parser.add_argument("--concurrency", type=lambda text: [int(part) for part in text.split(",")], default=[8, 32])
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--first", action="store_true")
    given = parser.parse_args()
    import torch
    import uvloop

    torch.set_num_threads(given.cpu_threads)
    llm = backend(given)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(given, llm))


if __name__ == "__main__":
    main()
