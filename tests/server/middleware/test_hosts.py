from __future__ import annotations

import asyncio
from typing import Any

import pytest

from apar.errors import UserError
from apar.server.middleware import guard
from apar.server.middleware.hosts import names_of
from apar.server.settings import ServerLimits
from tests.server.calls import Sent, call


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def ask(*hosts: bytes, listens: str = "127.0.0.1", allowed: tuple[str, ...] = (), key: str | None = None) -> Sent:
    names = names_of(listens, key is not None, allowed)
    app = guard(_app, ServerLimits(), None, (), names)
    return asyncio.run(call(app, "/v1/models", headers=[(b"host", host) for host in hosts]))


@pytest.mark.parametrize(
    "host", [b"localhost", b"LocalHost:8000", b"127.0.0.1", b"127.0.0.1:8000", b"[::1]", b"[::1]:8000", b"10.0.0.7:80"]
)
def test_a_server_of_this_machine_is_asked_by_its_own_names_and_by_addresses(host: bytes) -> None:
    assert ask(host).status == 204


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example",
        b"evil.example:8000",
        b"localhost.evil.example",
        b"127.0.0.1.evil.example",
        b"evil.example:80:80",
        b"localhost@evil.example",
        b"[::1].evil.example",
        b"[evil.example]",
        b"::1",
        b"",
        b"\xff",
        b"localhost, evil.example",
    ],
)
def test_a_page_that_gave_its_own_name_this_address_gets_nothing(host: bytes) -> None:
    sent = ask(host)
    assert sent.status == 421
    assert sent.json["error"]["code"] == "unknown_host"
    assert "--allowed-hosts" in sent.json["error"]["message"]


def test_no_host_and_two_hosts_are_refused() -> None:
    assert ask().status == ask(b"localhost", b"evil.example").status == 421


def test_other_names_may_be_allowed() -> None:
    assert ask(b"Apar.example.org:443", allowed=("apar.EXAMPLE.org",)).status == 204
    assert ask(b"other.example", allowed=("apar.example.org",)).status == 421
    assert ask(b"other.example", allowed=("*",)).status == 204


def test_names_that_are_allowed_are_checked_wherever_it_listens_and_with_a_key_too() -> None:
    assert ask(b"other.example", listens="0.0.0.0", allowed=("a.example",), key="k").status == 421
    assert ask(b"a.example", listens="0.0.0.0", allowed=("a.example",), key="k").status == 204


def test_with_a_key_or_beyond_this_machine_any_name_will_do() -> None:
    assert ask(b"apar.example.org", key="k").status == 204
    assert ask(b"apar.example.org", listens="0.0.0.0").status == 204
    assert ask(b"apar.example.org", listens="localhost").status == 421


@pytest.mark.parametrize("name", ["https://a.example", "a.example:8000", "a.example/", "", "*.example", "a b", "-"])
def test_what_is_no_name_of_a_host_is_a_clear_error(name: str) -> None:
    with pytest.raises(UserError, match="without scheme and port"):
        names_of("127.0.0.1", False, [name])
