from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apar.errors import UserError
from apar.server.middleware.keys import KeyCheck
from tests.server.calls import call

KEY = "sk-secret"


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _status(path: str, *headers: bytes, **scope: Any) -> int:
    pairs = [(b"authorization", header) for header in headers]
    return asyncio.run(call(KeyCheck(_app, KEY), path, headers=pairs, **scope)).status


@pytest.mark.parametrize("header", [b"Bearer sk-secret", b"bearer sk-secret", b"BEARER  sk-secret "])
def test_the_right_key_passes(header: bytes) -> None:
    assert _status("/v1/models", header) == 204


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer sk-secre",
        b"Bearer sk-secret2",
        b"Bearer SK-SECRET",
        b"Basic sk-secret",
        b"sk-secret",
        b"Bearer sk-secret,sk-other",
        "Bearer schl\u00fcssel".encode(),
        b"Bearer \xff\xfe\x00",
        b"Bearer " + b"k" * 60_000,
    ],
)
def test_any_other_is_refused(header: bytes) -> None:
    assert _status("/v1/chat/completions", header) == 401


def test_no_key_and_two_keys_are_refused_in_the_shape_of_openai() -> None:
    for headers in [[], [(b"authorization", b"Bearer sk-secret"), (b"authorization", b"Bearer other")]]:
        reply = asyncio.run(call(KeyCheck(_app, KEY), "/v1/models", headers=headers))
        assert reply.status == 401
        assert reply.headers[b"www-authenticate"] == b"Bearer"
        error = reply.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["code"] == "invalid_api_key"
        assert KEY not in error["message"]


def test_a_key_in_the_query_is_not_taken() -> None:
    assert (
        _status("/v1/models", query_string=b"api_key=sk-secret&key=sk-secret&authorization=Bearer%20sk-secret") == 401
    )


@pytest.mark.parametrize("path", ["/", "/page/app.js", "/health", "/version", "/metrics", "/docs", "/v10", "/v"])
def test_what_is_not_of_the_api_needs_no_key(path: str) -> None:
    assert _status(path) == 204


@pytest.mark.parametrize("key", ["", "two words", "schl\u00fcssel", "end\n"])
def test_a_key_that_clients_cannot_send_is_a_clear_error(key: str) -> None:
    with pytest.raises(UserError, match="API key"):
        KeyCheck(_app, key)
