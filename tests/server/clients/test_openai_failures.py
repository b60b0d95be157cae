"""The official `openai` client: a server that is busy, slow, silent or broken, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import openai
import pytest

from apar.errors import RunError
from tests.engine.crowd import Crowd
from tests.server.serving import MODEL, Site, serving, wait_for

ASKED: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "a"}],
    "temperature": 0,
    "max_tokens": 60,
}


@contextmanager
def connected(held: bool = True, retries: int = 0, **settings: Any) -> Iterator[tuple[Crowd, Site, openai.OpenAI]]:
    """A tiny model, its server, and a client of it that asks again so often."""
    with Crowd(held=held) as crowd, serving(lambda: crowd.llm, **settings) as site:
        wait_for(lambda: site.health.status == "ok", "loaded")
        url = f"{site.client.base_url}/v1"
        with openai.OpenAI(base_url=url, api_key="none", max_retries=retries) as client:
            yield crowd, site, client
        crowd.let()


def test_a_client_that_was_told_to_come_again_comes_again_and_is_answered() -> None:
    with connected(retries=5, max_open=1) as (crowd, site, client), ThreadPoolExecutor() as pool:
        first = client.chat.completions.create(**ASKED, stream=True)
        second = pool.submit(client.chat.completions.create, **ASKED)
        wait_for(lambda: site.metric("apar_requests_refused_total") >= 1, "the second is refused")
        crowd.let()
        text = "".join(chunk.choices[0].delta.content or "" for chunk in first)
        assert second.result().choices[0].message.content == text != ""


def test_an_answer_that_takes_too_long_is_an_error_whole_and_streamed() -> None:
    with connected(request_seconds=0.2) as (_, _, client):
        with pytest.raises(openai.InternalServerError) as whole:
            client.chat.completions.create(**ASKED)
        assert (whole.value.status_code, whole.value.code) == (504, "timeout")
        stream = client.chat.completions.create(**ASKED, stream=True)
        with pytest.raises(openai.APIError, match=r"not complete within 0\.2 seconds") as streamed:
            list(stream)
        assert streamed.value.code == "timeout"


def test_pings_in_silence_are_no_chunks() -> None:
    with connected(ping_seconds=0.02) as (crowd, site, client), ThreadPoolExecutor() as pool:
        stream = client.chat.completions.create(**ASKED, stream=True)
        first = next(iter(stream))
        second = pool.submit(next, iter(stream))
        wait_for(lambda: site.metric("apar_answers_open") == 1, "it is under way")
        with pytest.raises(TimeoutError):
            second.result(0.2)
        crowd.let()
        rest = [second.result(), *stream]
        assert first.choices[0].delta.role == "assistant"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in rest) != ""
        assert rest[-1].choices[0].finish_reason in ("stop", "length")


def test_an_engine_that_fails_is_a_server_error_that_tells_nothing_of_its_inside() -> None:
    with connected(held=False) as (crowd, _, client):

        def fail() -> None:
            raise RunError("a secret of the engine")

        crowd.engine.step = fail  # type: ignore[method-assign]
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(**ASKED)
        assert caught.value.status_code == 500
        assert "secret" not in str(caught.value)
