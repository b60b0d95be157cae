"""Requests that offer to go on in another protocol."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.server.processes import Running, read_reply, read_until_closed, running, send
from tests.server.toy import KEY

AUTHORIZED = f"Authorization: Bearer {KEY}"
UPGRADE = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"]


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("tests.server.toy") as server:
        yield server


def test_a_request_that_offers_http_2_is_answered_over_http_1_with_its_body(server: Running) -> None:
    with server.connect() as connection:
        for _ in range(2):
            send(connection, "/v1/echo", b"four", AUTHORIZED, *UPGRADE, method="POST")
            assert read_reply(connection).json == {"length": 4}
        send(connection, "/v1/echo", b"", AUTHORIZED, *UPGRADE, "Transfer-Encoding: chunked", method="POST")
        connection.sendall(b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
        assert read_reply(connection).json == {"length": 6}
        send(connection, "/health")
        assert read_reply(connection).status == 200


def test_a_request_that_offers_an_upgrade_may_come_byte_by_byte(server: Running) -> None:
    lines = ["POST /v1/echo HTTP/1.1", "Host: toy", AUTHORIZED, *UPGRADE, "Content-Length: 4", "", "four"]
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in "\r\n".join(lines).encode():
            connection.sendall(bytes([byte]))
        assert read_reply(connection).json == {"length": 4}


@pytest.mark.parametrize("protocol", ["websocket", "h2c, websocket"])
def test_an_upgrade_without_a_body_is_an_ordinary_request(server: Running, protocol: str) -> None:
    with server.connect() as connection:
        for _ in range(2):
            send(connection, "/health", b"", "Connection: upgrade", f"Upgrade: {protocol}")
            assert read_reply(connection).status == 200


def test_many_offers_of_an_upgrade_may_come_at_once(server: Running) -> None:
    with server.connect() as connection:
        one = b"GET /health HTTP/1.1\r\nHost: toy\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
        last = b"GET /health HTTP/1.1\r\nHost: toy\r\nConnection: close\r\n\r\n"
        connection.sendall(one * 2000 + last)
        assert read_until_closed(connection).count(b"HTTP/1.1 200") == 2001


def test_a_tunnel_is_refused(server: Running) -> None:
    assert server.ask("a.example:443", method="CONNECT").status == 400
