from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.server.processes import Running, read_reply, read_until_closed, running, send, wait_until
from tests.server.toy import KEY, PIECE

AUTHORIZED = f"Authorization: Bearer {KEY}"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Limits are short, so that a client that is too slow is found out soon."""
    limits = {"body": 2**20, "body_seconds": 1, "head": 8192, "head_seconds": 1, "idle_seconds": 1, "unread_seconds": 1}
    with running("tests.server.toy", *(f"--{name}={value}" for name, value in limits.items())) as server:
        yield server
        assert server.process.poll() is None, server.lines


def test_a_body_of_ten_megabytes_is_refused_by_its_length(server: Running) -> None:
    reply = server.ask("/v1/echo", b"x" * 10_000_000, AUTHORIZED, method="POST")
    assert reply.status == 413
    assert reply.headers["connection"] == "close"
    assert reply.json["error"]["code"] == "body_too_large"


def test_a_body_of_ten_megabytes_in_chunks_is_refused(server: Running) -> None:
    with server.connect() as connection:
        send(connection, "/v1/echo", b"", AUTHORIZED, "Transfer-Encoding: chunked", method="POST")
        for _ in range(10):
            connection.sendall(b"%x\r\n%b\r\n" % (10**6, b"x" * 10**6))
        connection.sendall(b"0\r\n\r\n")
        assert read_reply(connection).status == 413


def test_chunks_without_end_are_refused_and_then_cut(server: Running) -> None:
    with server.connect() as connection:
        send(connection, "/v1/echo", b"", AUTHORIZED, "Transfer-Encoding: chunked", method="POST")
        with pytest.raises(ConnectionError):
            _send_without_end(connection, b"%x\r\n%b\r\n" % (10**6, b"x" * 10**6))


def test_a_body_without_the_key_is_refused_and_the_reason_arrives(server: Running) -> None:
    assert server.ask("/v1/echo", b"x" * 10_000_000, method="POST").status == 401


def test_a_body_that_is_shorter_than_it_says_is_refused_in_time(server: Running) -> None:
    with server.connect() as connection:
        send(connection, "/v1/echo", b"", AUTHORIZED, "Content-Length: 1000", method="POST")
        connection.sendall(b"half")
        assert read_reply(connection).status == 408


def test_what_follows_a_body_that_is_longer_than_it_says_is_no_request(server: Running) -> None:
    with server.connect() as connection:
        send(connection, "/v1/echo", b"", AUTHORIZED, "Content-Length: 4", method="POST")
        connection.sendall(b"halfrest and no request\r\n\r\n")
        data = read_until_closed(connection)
    assert data.count(b"HTTP/1.1 ") == 1
    assert data.startswith(b"HTTP/1.1 200")
    assert data.endswith(b'{"length": 4}')


@pytest.mark.parametrize("length", ["-1", "ten", "99999999999999999999999", "1, 2"])
def test_a_length_that_is_no_length_is_refused(server: Running, length: str) -> None:
    assert server.ask("/v1/echo", b"", AUTHORIZED, f"Content-Length: {length}", method="POST").status == 400


def test_a_length_and_chunks_at_once_are_refused(server: Running) -> None:
    headers = ["Content-Length: 4", "Transfer-Encoding: chunked"]
    assert server.ask("/v1/echo", b"", AUTHORIZED, *headers, method="POST").status == 400


@pytest.mark.parametrize(
    "words",
    [b"\x00\xff\xfe\r\n\r\n", b"GET\r\n\r\n", b"GET /%ff HTTP/9\r\n\r\n", "GET /\u00fc HTTP/1.1\r\n\r\n".encode()],
)
def test_what_is_not_http_is_refused_in_the_shape_of_openai(server: Running, words: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(words)
        reply = read_reply(connection)
    assert reply.status == 400
    assert reply.json["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", ["/%ff%fe", "/%00", "/v1/%2e%2e/secret", "//v1/echo", "/v1/echo/"])
def test_odd_paths_are_not_found_or_need_the_key(server: Running, path: str) -> None:
    assert server.ask(path).status in (401, 404)


def test_a_connection_that_sends_nothing_is_closed(server: Running) -> None:
    with server.connect() as connection:
        assert read_until_closed(connection) == b""


def test_half_a_head_is_refused_in_time(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: ")
        assert read_reply(connection).status == 408


def test_empty_lines_do_not_keep_a_connection(server: Running) -> None:
    with server.connect() as connection, pytest.raises(ConnectionError):
        _send_without_end(connection, b"\r\n", pause=0.2)


def test_a_head_without_end_is_refused(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nX: " + b"x" * 9000)
        reply = read_reply(connection)
    assert reply.status == 431
    assert "8192 bytes" in reply.json["error"]["message"]


def test_a_large_head_that_comes_at_once_is_refused(server: Running) -> None:
    assert server.ask("/health", b"", *(f"X-{number}: {'x' * 100}" for number in range(100))).status == 431


def test_a_connection_that_does_nothing_after_a_request_is_closed(server: Running) -> None:
    with server.connect() as connection:
        send(connection, "/health")
        assert read_reply(connection).status == 200
        assert read_until_closed(connection) == b""


def test_a_connection_is_used_again(server: Running) -> None:
    with server.connect() as connection:
        for _ in range(3):
            send(connection, "/v1/echo", b"four", AUTHORIZED, method="POST")
            assert read_reply(connection).json == {"length": 4}


def test_the_answer_of_a_client_that_reads_nothing_is_cancelled(server: Running) -> None:
    before = server.counts()["cancelled"]
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        send(connection, "/v1/endless", b"", AUTHORIZED)
        wait_until(lambda: server.counts()["open"] == 1, "the stream has begun")
        wait_until(lambda: server.counts() == {"open": 0, "cancelled": before + 1}, "the stream is cancelled")
        assert PIECE[:6] in read_until_closed(connection)


def test_the_answer_of_a_client_that_leaves_is_cancelled(server: Running) -> None:
    before = server.counts()["cancelled"]
    with server.connect() as connection:
        send(connection, "/v1/waiting", b"", AUTHORIZED)
        connection.recv(100)
    wait_until(lambda: server.counts() == {"open": 0, "cancelled": before + 1}, "the stream is cancelled")


def test_failures_tell_nothing_and_the_log_has_them(server: Running) -> None:
    reply = server.ask("/v1/fails", b"{}", AUTHORIZED, method="POST")
    assert reply.status == 500
    assert "connection" not in reply.headers
    assert b"business" not in reply.body
    server.said("nobody's business")


def test_a_failure_in_mid_stream_ends_the_stream(server: Running) -> None:
    reply = server.ask("/v1/fails-later", b"", AUTHORIZED)
    assert b"data: 1" in reply.body
    assert b'data: {"error"' in reply.body
    assert b"business" not in reply.body


def test_the_server_does_not_say_what_it_is_made_of(server: Running) -> None:
    assert "server" not in server.ask("/health").headers


def test_thousands_of_connections_that_come_and_go_leave_nothing_behind(server: Running) -> None:
    for number in range(3000):
        with server.connect() as connection:
            if number % 3 == 1:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: ")
            elif number % 3 == 2:
                send(connection, "/v1/waiting", b"", AUTHORIZED)
    wait_until(lambda: server.counts()["open"] == 0, "all streams are cancelled")
    assert server.ask("/health").status == 200


def test_connections_beyond_the_most_are_told_so() -> None:
    with running("tests.server.toy", "--connections=3") as server:
        held = [server.connect() for _ in range(3)]
        for one in held:
            send(one, "/health")
            assert read_reply(one).status == 200
        with server.connect() as late:
            assert read_reply(late).status == 503
        held[0].close()

        def is_free() -> bool:
            with server.connect() as connection:
                send(connection, "/health")
                return read_reply(connection).status == 200

        wait_until(is_free, "a connection is free again")
        for one in held:
            one.close()


def _send_without_end(connection: socket.socket, data: bytes, pause: float = 0.0) -> None:
    while True:
        connection.sendall(data)
        time.sleep(pause)
