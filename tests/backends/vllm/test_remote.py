"""The backend for a server elsewhere, against a real vLLM server."""

from __future__ import annotations

import asyncio
import random
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apar.backends.vllm_server import VllmServerBackend
from apar.decoding.answer import Answer
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Request
from apar.errors import RequestError
from tests.backends.vllm.served import vllm_server
from tests.backends.vllm.tiny import CONTEXT, control, forking_model, texts
from tests.engine.tiny import random_prompt
from tests.oracle import Oracle


@dataclass
class Server:
    """`model` is what it serves, as Transformers runs it."""

    url: str
    folder: Path
    model: Any

    def answer(self, *requests: Request, **options: Any) -> list[Answer]:
        """The answers, all asked for at once."""

        async def ask() -> list[Answer]:
            async with VllmServerBackend(self.folder, self.url, priorities=True, **options) as backend:
                return await asyncio.gather(*(_read(backend, request) for request in requests))

        return asyncio.run(ask())

    def counted(self, name: str) -> float:
        """One of the server's metrics."""
        with urllib.request.urlopen(f"{self.url}/metrics") as response:
            lines = response.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))


async def _read(backend: VllmServerBackend, request: Request) -> Answer:
    async with backend._stream(request) as stream:
        async for _ in stream:
            pass
        return stream.answer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    model = forking_model(folder, fork=14.0, eos=-2.0)
    options = ["--enable-prompt-tokens-details", "--scheduling-policy", "priority"]
    with vllm_server(folder, folder / "server.log", *options) as url:
        yield Server(url, folder, model)


def _requests(count: int, seed: int) -> list[Request]:
    rng = random.Random(seed)
    return [
        Request(
            random_prompt(rng, 40),
            SamplingParams(
                max_tokens=rng.choice([1, 8, 30, 60, 90]),
                seed=0,
                max_threads=rng.choice([2, 4, 8, 32]),
                max_depth=rng.choice([2, 3, 4]),
                priority=rng.randrange(3),
            ),
        )
        for _ in range(count)
    ]


def _oracle(server: Server, request: Request, noise: random.Random | None = None) -> Oracle:
    return Oracle(server.model, texts(), control(), CONTEXT, request.prompt, request.params, noise=noise)


def test_greedy_answers_are_the_oracles(server: Server) -> None:
    requests = _requests(40, seed=0)
    same = forks = 0
    for request, answer in zip(requests, server.answer(*requests), strict=True):
        expected = _oracle(server, request).run()
        if list(answer.events) == expected:
            same, forks = same + 1, forks + answer.forks
        else:  # it hangs on a tie of logits
            assert _oracle(server, request, noise=random.Random(1)).run() != expected
    assert same >= 35
    assert forks > 30


def test_forbidden_tokens_seeds_and_filters_work_over_http(server: Server) -> None:
    params = SamplingParams(max_tokens=60, temperature=1.0, seed=7, top_k=20, top_p=0.95, min_p=0.01)
    prompt = random_prompt(random.Random(3), 20)
    other = SamplingParams(max_tokens=60, temperature=1.0, seed=8, top_k=20, top_p=0.95, min_p=0.01)
    first, second, third = server.answer(Request(prompt, params), Request(prompt, params), Request(prompt, other))
    assert first.events == second.events != third.events
    likeliest = SamplingParams(max_tokens=60, temperature=2.0, seed=7, min_p=1.0)
    greedy = SamplingParams(max_tokens=60, seed=7)
    one, two = server.answer(Request(prompt, likeliest), Request(prompt, greedy))
    assert one.events == two.events


def test_log_probabilities_are_the_models(server: Server) -> None:
    prompt = random_prompt(random.Random(5), 20)
    params = SamplingParams(max_tokens=12, seed=0, fork=False, logprobs=3)
    [answer] = server.answer(Request(prompt, params))
    import torch

    path = list(prompt)
    for each in answer.logprobs:
        with torch.no_grad():
            logits = server.model(input_ids=torch.tensor([path])).logits[0, -1]
        values, tokens = torch.log_softmax(logits.float(), -1).topk(3)
        assert [token for token, _ in each.top] == tokens.tolist()
        assert [value for _, value in each.top] == pytest.approx(values.tolist(), abs=1e-4)
        path.append(each.token_id)
    assert len(answer.logprobs) > 3


def test_what_is_in_the_cache_is_told(server: Server) -> None:
    request = Request(random_prompt(random.Random(9), 1) * 70, SamplingParams(max_tokens=2, fork=False))
    [first] = server.answer(request, cache_salt="one")
    [again] = server.answer(request, cache_salt="one")
    [salted] = server.answer(request, cache_salt="two")
    assert (first.cached_tokens, again.cached_tokens, salted.cached_tokens) == (0, 64, 0)


def test_closed_streams_are_aborted_by_the_server(server: Server) -> None:
    params = SamplingParams(max_tokens=100, fork=False, logit_bias=dict.fromkeys(control().eos, -100.0))

    async def leave() -> None:
        async with VllmServerBackend(server.folder, server.url) as backend:
            streams = [backend._stream(Request([5, 6, 7], params)) for _ in range(60)]
            await asyncio.gather(*(anext(stream) for stream in streams))
            await asyncio.gather(*(stream.aclose() for stream in streams))

    # On a busy machine answers may be complete before their streams are closed.
    for _ in range(5):
        before = server.counted("vllm:generation_tokens_total")
        asyncio.run(leave())
        end = time.monotonic() + 10
        while server.counted("vllm:num_requests_running") and time.monotonic() < end:
            time.sleep(0.05)
        assert server.counted("vllm:num_requests_running") == 0
        if server.counted("vllm:generation_tokens_total") - before < 60 * 80:
            return
    raise AssertionError("closed streams were decoded to their ends")


def test_the_servers_own_words_are_told(server: Server) -> None:
    params = SamplingParams(max_tokens=4, fork=False, logit_bias={99_999: 1.0})
    with pytest.raises(RequestError, match=r"refuses the request \(400\).*99999"):
        server.answer(Request([5, 6, 7], params))
