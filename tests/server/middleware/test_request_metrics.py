"""Every request is counted once, by the status that it was answered with, and refusals of the API by their reason."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apar.server.metrics import Metrics
from apar.server.middleware.request_metrics import RequestMetrics
from tests.server.scraped import metrics, value, values

REASONS = {
    400: "request", 401: "key", 404: "path", 405: "path", 408: "slow", 413: "large", 415: "type", 421: "request",
    429: "busy", 503: "unready",
}  # fmt: skip


def answering(status: int, pieces: int = 3) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        for k in range(pieces):
            await send({"type": "http.response.body", "body": b"x", "more_body": k < pieces - 1})

    return app


def ask(app: ASGIApp, subject: Metrics, path: str = "/health", kind: str = "http") -> list[Message]:
    """What a client gets."""
    got: list[Message] = []

    async def send(message: Message) -> None:
        got.append(message)

    async def receive() -> Message:
        raise AssertionError("nobody reads")

    asyncio.run(RequestMetrics(app, subject)({"type": kind, "path": path}, receive, send))
    return got


def refusals(subject: Metrics) -> dict[str, float]:
    """Those that there were, by reason."""
    told = values(subject).items()
    return {dict(labels)["reason"]: n for (name, labels), n in told if n and name == "apar_requests_refused_total"}


def test_an_answer_in_pieces_counts_once_and_passes_unchanged() -> None:
    subject = metrics()
    got = ask(answering(200), subject)
    assert [message["type"] for message in got] == ["http.response.start"] + 3 * ["http.response.body"]
    assert value(subject, "apar_requests_total", endpoint="/health", status="200") == 1


@pytest.mark.parametrize(("status", "reason"), REASONS.items())
def test_a_refusal_counts_with_its_reason(status: int, reason: str) -> None:
    subject = metrics()
    ask(answering(status), subject, "/v1/completions")
    assert refusals(subject) == {reason: 1}


@pytest.mark.parametrize("status", [200, 499, 500, 504])
def test_what_is_no_refusal_has_no_reason(status: int) -> None:
    subject = metrics()
    ask(answering(status), subject, "/v1/completions")
    assert refusals(subject) == {}
    assert value(subject, "apar_requests_total", endpoint="/v1/completions", status=str(status)) == 1


def test_a_health_check_while_loading_is_no_refusal() -> None:
    subject = metrics()
    ask(answering(503), subject)
    assert refusals(subject) == {}
    assert value(subject, "apar_requests_total", endpoint="/health", status="503") == 1


def test_an_answer_that_breaks_off_keeps_the_status_that_the_client_saw() -> None:
    async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
        await answering(200)(scope, receive, send)
        raise ValueError("broken")

    subject = metrics()
    with pytest.raises(ValueError, match="broken"):
        ask(breaking, subject)
    assert value(subject, "apar_requests_total", endpoint="/health", status="200") == 1
    assert ("apar_requests_total", frozenset({("endpoint", "/health"), ("status", "500")})) not in values(subject)


def test_what_is_no_http_request_is_not_counted() -> None:
    async def living(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.complete"})

    subject = metrics()
    assert ask(living, subject, kind="lifespan") == [{"type": "lifespan.startup.complete"}]
    assert not [name for name, _ in values(subject) if name == "apar_requests_total"]
