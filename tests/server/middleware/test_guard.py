from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import ASGIApp

from apar.server.middleware import guard
from apar.server.settings import ServerLimits
from tests.server.calls import Sent, call

CHUNKED = [(b"transfer-encoding", b"chunked")]
LIMITS = ServerLimits(body=1000, body_seconds=10)
ORIGIN = "https://a.example"


async def _length(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the length of the body that it is given, in one message."""
    message = await receive()
    assert not message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % len(message["body"])})


def _ask(
    app: ASGIApp, pieces: Sequence[bytes], headers: Any = CHUNKED, limits: ServerLimits = LIMITS, **more: Any
) -> Sent:
    return asyncio.run(call(guard(app, limits), "/v1/x", pieces, headers=headers, **more))


def test_a_body_within_the_limit_comes_whole() -> None:
    assert _ask(_length, [b"x" * 400, b"", b"x" * 600]).body == b"1000"


def test_a_body_is_counted_even_if_its_length_was_not_told() -> None:
    sent = _ask(_length, [b"x" * 600, b"x" * 401])
    assert sent.status == 413
    assert "1000 bytes" in sent.json["error"]["message"]
    assert sent.headers[b"connection"] == b"close"
    assert sent.complete


def test_a_body_is_refused_by_its_length_before_it_comes() -> None:
    headers = [(b"content-length", b"1001")]
    assert _ask(_length, [b"x"], headers, pause=0.01, limits=ServerLimits(body=1000, body_seconds=0)).status == 413


def test_a_slow_body_is_refused() -> None:
    sent = _ask(_length, [b"x"] * 1000, limits=ServerLimits(body=1000, body_seconds=0.05), pause=0.02)
    assert sent.status == 408
    assert sent.json["error"]["type"] == "invalid_request_error"


def test_a_client_that_leaves_within_its_body_is_not_answered() -> None:
    assert _ask(_length, [b"x", b"x"], leave=True).status == 0


async def _three(*askers: Any) -> list[int]:
    """What requests of 400 bytes each get, one after the other before any of them is complete, of room for 1000."""
    app = guard(_length, ServerLimits(body=1000, bodies=1000))
    tasks = [asyncio.create_task(call(app, "/v1/x", pieces, headers=CHUNKED, **more)) for pieces, more in askers]
    first = [(await task).status for task in tasks]
    again = await call(app, "/v1/x", [b"x" * 1000], headers=CHUNKED)
    return [*first, again.status]


def test_bodies_that_are_not_complete_take_room_from_one_another_until_their_requests_end() -> None:
    stalled = [b"x" * 400, b"x"], {"pause": 0.1}
    late = [b"x" * 400, b""], {"pause": 0.15}
    assert asyncio.run(_three(stalled, stalled, late)) == [200, 200, 503, 200]


@pytest.mark.parametrize(
    "first",
    [
        ([b"x" * 900, b"x" * 900], {"pause": 0.01}),  # too large
        ([b"x" * 900, b"x"], {"pause": 0.01, "leave": True}),
        ([b"x" * 900, b""], {"pause": 0.01}),
    ],
)
def test_a_body_gives_its_room_back_however_its_request_ends(first: Any) -> None:
    assert asyncio.run(_three(first))[-1] == 200


def test_a_body_takes_its_room_until_its_request_is_answered() -> None:
    async def ask() -> tuple[int, int, int]:
        go_on = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await go_on.wait()
            await _length(scope, _nothing, send)

        guarded = guard(app, ServerLimits(body=1000, bodies=1000))
        answering = asyncio.create_task(call(guarded, "/v1/x", [b"x" * 600], headers=CHUNKED))
        await asyncio.sleep(0.01)
        refused = await call(guarded, "/v1/x", [b"x" * 600], headers=CHUNKED)
        assert refused.headers[b"retry-after"]
        assert refused.json["error"]["code"] == "unavailable"
        go_on.set()
        again = call(guarded, "/v1/x", [b"x" * 600], headers=CHUNKED)
        return (await answering).status, refused.status, (await again).status

    assert asyncio.run(ask()) == (200, 503, 200)


async def _fails(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("the secret is 42")


def test_an_unexpected_error_is_told_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "apar.server"):
        sent = _ask(_fails, [b""])
    assert sent.status == 500
    assert sent.json["error"]["type"] == "server_error"
    assert b"42" not in sent.body
    assert "the secret is 42" in caplog.text


def _failing_after(kind: bytes, error: BaseException) -> ASGIApp:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        raise error

    return app


def test_an_error_in_mid_stream_is_an_event_and_the_stream_ends_without_done() -> None:
    sent = _ask(_failing_after(b"text/event-stream; charset=utf-8", ValueError("the secret is 42")), [b""])
    first, second, rest = sent.body.split(b"\n\n")
    assert first == b"data: 1"
    assert second.startswith(b'data: {"error": ')
    assert b"42" not in second
    assert rest == b""
    assert sent.complete


def test_an_error_in_the_middle_of_anything_else_leaves_it_cut() -> None:
    sent = _ask(_failing_after(b"application/json", ValueError("the secret is 42")), [b""])
    assert sent.body == b"data: 1\n\n"
    assert not sent.complete


def test_a_cancelled_stream_says_that_the_server_stops() -> None:
    sent = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    async def ask() -> None:
        app = guard(_failing_after(b"text/event-stream", asyncio.CancelledError()), LIMITS)
        with pytest.raises(asyncio.CancelledError):
            await app({"type": "http", "method": "GET", "path": "/v1/x", "headers": []}, _nothing, send)

    asyncio.run(ask())
    assert b"stopping" in sent[-1]


async def _nothing() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


def test_every_response_tells_browsers_to_be_careful_and_keeps_its_own_headers() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Frame-Options", b"SAMEORIGIN")]})
        await send({"type": "http.response.body", "body": b""})

    headers = _ask(app, [b""]).headers
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"referrer-policy"] == b"no-referrer"
    assert headers[b"x-frame-options"] == b"SAMEORIGIN"


def _from_origin(method: str, *headers: tuple[bytes, bytes], origin: str = ORIGIN) -> Sent:
    app = guard(_length, LIMITS, "sk-1", [ORIGIN])
    return asyncio.run(call(app, "/v1/x", headers=[(b"origin", origin.encode()), *headers], method=method))


def test_a_refusal_for_want_of_a_key_can_be_read_by_a_page_of_an_allowed_origin() -> None:
    sent = _from_origin("POST")
    assert sent.status == 401
    assert sent.headers[b"access-control-allow-origin"] == ORIGIN.encode()


def test_a_browsers_question_beforehand_needs_no_key() -> None:
    asked = (b"access-control-request-method", b"POST"), (b"access-control-request-headers", b"authorization")
    sent = _from_origin("OPTIONS", *asked)
    assert sent.status == 200
    assert b"authorization" in sent.headers[b"access-control-allow-headers"]


def test_other_origins_get_no_leave() -> None:
    assert b"access-control-allow-origin" not in _from_origin("POST", origin="https://b.example").headers


def test_without_origins_there_are_no_headers_for_them() -> None:
    sent = asyncio.run(call(guard(_length, LIMITS), "/v1/x", headers=[(b"origin", ORIGIN.encode())]))
    assert not [name for name in sent.headers if name.startswith(b"access-control")]
