"""Answers by a server that decodes sequences only are those of the oracle, event for event."""

from __future__ import annotations

import asyncio
import logging
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apar.backends.sync import SyncBackend
from apar.backends.vllm_server import VllmServerBackend
from apar.decoding.answer import Answer
from apar.decoding.params import SamplingParams
from apar.errors import RequestError, RunError
from apar.events import Delta, Forked
from tests.backends.vllm.tiny import texts
from tests.backends.vllm_server.fake import CONTROL, NAME, FakeServer, PathModel
from tests.oracle import Oracle

WORDS = [text for text in texts() if text.strip() and text not in ("[Fork]", "[Child]")]


def _params(rng: random.Random) -> SamplingParams:
    return SamplingParams(
        max_tokens=rng.choice([1, 2, 5, 12, 24, 60]),
        seed=0,
        stop=tuple(rng.choice(["aba", "cc", "b a"]) for _ in range(rng.choice([0, 0, 0, 1]))),
        fork=rng.random() < 0.95,
        max_threads=rng.choice([1, 2, 3, 5, 32]),
        max_depth=rng.choice([1, 2, 3, 4]),
        logit_bias={rng.randrange(1, 38): 3.0} if rng.random() < 0.2 else {},
    )


def _oracle(server: FakeServer, word: str, params: SamplingParams) -> Oracle:
    prompt = [texts().index(word)]
    return Oracle(server.model, texts(), CONTROL, server.context, prompt, params)


async def _generate(backend: VllmServerBackend, prompts: list[str], params: Any) -> list[Answer]:
    async with backend:
        return await backend.generate(prompts, params)


@pytest.mark.parametrize("seed", range(4))
def test_answers_are_the_oracles(folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    model = PathModel(seed, fork=rng.uniform(1, 5), eos=rng.uniform(-3, 0))
    server = FakeServer(model, context=rng.choice([8, 20, 100]), pause=0.001)
    words, params = rng.choices(WORDS, k=20), [_params(rng) for _ in range(20)]
    with server.running() as url:
        backend = VllmServerBackend(folder, url, max_connections=rng.choice([1, 3, 500]))
        answers = asyncio.run(_generate(backend, words, params))
    for word, wanted, answer in zip(words, params, answers, strict=True):
        oracle = _oracle(server, word, wanted)
        assert list(answer.events) == oracle.run()
        assert answer.text == oracle.text
    assert sum(answer.forks for answer in answers) > 10


def test_a_limit_of_one_connection_starves_no_thread(folder: Path) -> None:
    server = FakeServer()
    with server.running() as url:
        backend = VllmServerBackend(folder, url, max_connections=1)
        answers = asyncio.run(asyncio.wait_for(_generate(backend, WORDS[:8], SamplingParams(max_tokens=60)), 60))
    assert server.most_streams == 1
    assert sum(answer.forks for answer in answers) > 8


def test_the_threads_of_many_answers_go_at_once_and_reuse_connections(folder: Path) -> None:
    server = FakeServer(PathModel(0, fork=1.0, eos=-1.0), pause=0.002)
    with server.running() as url:
        answers = asyncio.run(_generate(VllmServerBackend(folder, url), WORDS[:8], SamplingParams(max_tokens=60)))
    assert server.most_streams > 8
    assert server.connections < len(server.bodies) + 2
    assert sum(answer.threads for answer in answers) <= len(server.bodies)


def test_the_request_says_everything_that_the_server_has_defaults_for(folder: Path) -> None:
    server = FakeServer(cached=7)
    params = SamplingParams(
        max_tokens=8, temperature=0.5, top_p=0.9, top_k=3, min_p=0.1, seed=5, logit_bias={9: 2.5}, fork=False,
        presence_penalty=0.5, frequency_penalty=0.25, repetition_penalty=1.5,
    )  # fmt: skip
    with server.running() as url:
        backend = VllmServerBackend(folder, url + "/v1/", cache_salt="salt", ranks=2)
        [answer] = asyncio.run(_generate(backend, ["ab"], params))
    body = server.bodies[0]
    assert body["prompt"] == [texts().index("ab")]
    named = ["temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty"]
    assert {name: body[name] for name in named} == {name: getattr(params, name) for name in named}
    assert (body["model"], body["logit_bias"], body["cache_salt"]) == (NAME, {"9": 2.5}, "salt")
    assert body["bad_words"] == ["[Fork]", "[Child]"]
    assert body["stop_token_ids"] == sorted(CONTROL.eos)
    assert body["seed"] > 0
    assert "priority" not in body
    assert answer.cached_tokens == 7
    assert answer.queue_seconds > 0


def test_greedy_requests_have_no_seed(folder: Path) -> None:
    server = FakeServer()
    with server.running() as url:
        asyncio.run(_generate(VllmServerBackend(folder, url), ["ab"], SamplingParams(max_tokens=4)))
    assert "seed" not in server.bodies[0]


def test_log_probabilities_are_those_the_server_tells(folder: Path) -> None:
    server = FakeServer()
    with server.running() as url:
        [answer] = asyncio.run(
            _generate(VllmServerBackend(folder, url), ["ab"], SamplingParams(max_tokens=30, logprobs=3))
        )
    assert answer.forks
    for delta in (event for event in answer.events if isinstance(event, Delta)):
        [logprob] = delta.logprobs
        assert logprob.token_id == delta.token_ids[0]
        assert len(logprob.top) == 3
        values = [value for _, value in logprob.top]
        assert values == sorted(values, reverse=True)
        assert logprob.logprob <= values[0]


def test_all_threads_of_an_answer_are_on_one_rank_and_answers_on_several(folder: Path) -> None:
    server = FakeServer(pause=0.001)
    with server.running() as url:
        backend = VllmServerBackend(folder, url, ranks=2)
        asyncio.run(_generate(backend, ["ab", "ba"], SamplingParams(max_tokens=40)))
    ranks: dict[int, set[str | None]] = {}
    for body, rank in zip(server.bodies, server.ranks, strict=True):
        ranks.setdefault(body["prompt"][0], set()).add(rank)
    assert sorted(map(sorted, ranks.values())) == [["0"], ["1"]]
    assert len(server.bodies) > 4


def test_children_come_before_new_answers_where_the_server_has_priorities(folder: Path) -> None:
    server = FakeServer()
    with server.running() as url:
        backend = VllmServerBackend(folder, url, priorities=True)
        asyncio.run(_generate(backend, ["ab"], SamplingParams(max_tokens=40, priority=3)))
    assert [body["priority"] for body in server.bodies[:2]] == [-6, -7]


def test_a_priority_is_refused_where_the_server_has_none(folder: Path) -> None:
    with FakeServer().running() as url, pytest.raises(RequestError, match="--scheduling-policy priority"):
        VllmServerBackend(folder, url).stream("ab", SamplingParams(priority=1))


def test_what_vllm_has_no_room_for_is_refused_at_once(folder: Path) -> None:
    with FakeServer().running() as url:
        backend = VllmServerBackend(folder, url)
        with pytest.raises(RequestError, match="temperature"):
            backend.stream("ab", SamplingParams(temperature=2.5))
        with pytest.raises(RequestError, match="penalties"):
            backend.stream("ab", SamplingParams(presence_penalty=1.0))


def test_a_closed_stream_ends_every_request(folder: Path) -> None:
    server = FakeServer(PathModel(0, fork=3.0, eos=-9.0), context=4000, pause=0.005)

    async def look() -> None:
        params = SamplingParams(max_tokens=2000)
        async with VllmServerBackend(folder, url) as backend, backend.stream("ab", params) as stream:
            async for event in stream:
                if isinstance(event, Forked):
                    break

    with server.running() as url:
        asyncio.run(look())
        server.wait_until_left()
    assert server.left >= 2


def test_closing_the_backend_fails_open_answers(folder: Path) -> None:
    server = FakeServer(PathModel(0, fork=-9.0, eos=-9.0), context=4000, pause=0.005)

    async def look() -> None:
        backend = VllmServerBackend(folder, url, max_connections=1)
        streams = [backend.stream("ab", SamplingParams(max_tokens=2000)) for _ in range(2)]
        await anext(streams[0])
        waiting = asyncio.create_task(anext(streams[1]))
        await asyncio.sleep(0.05)
        await backend.aclose()
        with pytest.raises(RunError, match="closed"):
            await waiting
        with pytest.raises(RunError, match="closed"):
            async for _ in streams[0]:
                pass
        with pytest.raises(RunError, match="closed"):
            await anext(backend.stream("ab"))

    with server.running() as url:
        asyncio.run(look())


def test_a_fork_that_finds_nothing_in_the_cache_is_told_once(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apar.backends.vllm_server.engine._LONG", 4)
    server = FakeServer(cached=0)
    with server.running() as url, caplog.at_level(logging.WARNING):
        asyncio.run(_generate(VllmServerBackend(folder, url), WORDS[:4], SamplingParams(max_tokens=60)))
    told = [record.message for record in caplog.records if record.name.startswith("apar")]
    assert ["found nothing" in message for message in told] == [True]


def test_programs_without_an_event_loop_have_it_too(folder: Path) -> None:
    server = FakeServer()
    params = SamplingParams(max_tokens=40, seed=0)
    with server.running() as url, SyncBackend(lambda: VllmServerBackend(folder, url)) as blocking:
        [answer] = blocking.generate(["ab"], params)
        events = list(blocking.stream("ab", params))
    assert list(answer.events) == events == _oracle(server, "ab", params).run()


def test_no_torch_is_needed(folder: Path) -> None:
    server = FakeServer()
    params = SamplingParams(max_tokens=20, seed=0)
    with server.running() as url:
        code = (
            "import sys; sys.modules['torch'] = None; sys.modules['vllm'] = None\n"
            "from apar import SamplingParams\nfrom apar.backends.sync import SyncBackend\n"
            "from apar.backends.vllm_server import VllmServerBackend\n"
            f"with SyncBackend(lambda: VllmServerBackend({str(folder)!r}, {url!r})) as blocking:\n"
            "    print(blocking.generate(['ab'], SamplingParams(max_tokens=20))[0].text, end='')"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    oracle = _oracle(server, "ab", params)
    oracle.run()
    assert done.stdout == oracle.text, done.stderr
