from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Sequence

import pytest

from apar.errors import UserError
from apar.server.http.sockets import listen, url
from tests.server.processes import PATIENCE, Running, read_reply, read_until_closed, running, send, wait_until
from tests.server.toy import KEY

AUTHORIZED = f"Authorization: Bearer {KEY}"
BOTH = pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")
pytestmark = posix


def _toy(*words: str) -> Sequence[str]:
    return ("tests.server.toy", *words)


def _waiting(server: Running, path: str) -> socket.socket:
    """A connection whose stream has begun."""
    connection = server.connect()
    send(connection, path, b"", AUTHORIZED)
    assert connection.recv(1)
    return connection


def test_it_tells_where_it_listens_and_when_the_model_is_ready_and_nothing_else() -> None:
    with running(*_toy()) as server:
        server.said("the model is ready")
        assert server.ask("/health").json == {"status": "ok"}
        assert server.stop() == 0
    assert server.lines == [f"apar serves toy at http://127.0.0.1:{server.port}\n", "the model is ready\n"]


@BOTH
def test_an_idle_server_stops(sig: signal.Signals) -> None:
    with running(*_toy()) as server, server.connect() as idle:
        server.said("ready")
        assert server.stop(sig) == 0
        assert read_until_closed(idle) == b""


@BOTH
def test_a_server_stops_while_its_model_is_loaded(sig: signal.Signals) -> None:
    with running(*_toy("--load=1000")) as server:
        assert server.ask("/health").json["status"] == "loading"
        assert server.stop(sig) == 0


def test_open_answers_end_and_no_new_connection_is_taken() -> None:
    with running(*_toy()) as server:
        server.said("ready")
        idle = server.connect()
        send(idle, "/health")
        assert read_reply(idle).status == 200
        with _waiting(server, "/v1/two-seconds") as connection, idle:
            server.process.send_signal(signal.SIGTERM)
            server.said("stopping: 1 open requests have")
            wait_until(lambda: not _takes(server), "it has stopped listening")
            send(idle, "/health")
            assert read_reply(idle).json["status"] == "stopping"
            assert b"[DONE]" in read_until_closed(connection)
        assert server.ended() == 0


@BOTH
def test_answers_that_do_not_end_in_time_are_cancelled_and_told_so(sig: signal.Signals) -> None:
    with running(*_toy("--drain_seconds=0.3")) as server:
        server.said("ready")
        with _waiting(server, "/v1/waiting") as connection:
            server.process.send_signal(sig)
            data = read_until_closed(connection)
        assert server.ended() == 0
    assert b'data: {"error"' in data
    assert b"stopping" in data
    assert data.endswith(b"0\r\n\r\n")
    assert not [line for line in server.lines if "Traceback" in line]


def test_a_client_that_does_not_read_holds_nobody_up() -> None:
    with running(*_toy("--drain_seconds=0.3")) as server:
        server.said("ready")
        with _waiting(server, "/v1/endless"):
            time.sleep(0.3)
            assert server.stop() == 0


def test_a_second_signal_ends_it_at_once() -> None:
    with running(*_toy("--drain_seconds=1000")) as server:
        server.said("ready")
        with _waiting(server, "/v1/waiting") as connection:
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not _takes(server), "it has stopped listening")
            assert server.stop(signal.SIGINT) == 128 + signal.SIGINT
            read_until_closed(connection)


def test_an_event_loop_that_hangs_does_not_keep_the_process() -> None:
    with running(*_toy("--drain_seconds=0.3")) as server:
        server.said("ready")
        with server.connect() as connection:
            send(connection, "/v1/hangs", b"", AUTHORIZED)
            time.sleep(0.3)
            assert server.stop() == 0


def test_a_model_that_cannot_be_loaded_ends_the_process_with_its_error() -> None:
    with running(*_toy("--fail", "--load=0.2")) as server:
        assert server.ended() == 1
    assert server.lines[1:] == ["apar: there is no such model\n"]


def test_connections_of_a_server_that_fails_are_closed() -> None:
    with running(*_toy("--fail", "--load=1")) as server, server.connect() as connection:
        assert read_until_closed(connection) == b""
        assert server.ended() == 1


def test_the_access_log_is_off() -> None:
    with running(*_toy()) as server:
        server.ask("/health")
        server.ask("/nowhere")
        assert server.stop() == 0
    assert not [line for line in server.lines if "nowhere" in line]


def test_a_port_in_use_is_a_clear_error() -> None:
    [first] = listen("127.0.0.1", 0)
    with first, pytest.raises(UserError, match=r"port \d+ of 127.0.0.1 is in use"):
        listen("127.0.0.1", first.getsockname()[1])


def test_a_port_is_free_again_at_once() -> None:
    with running(*_toy("--drain_seconds=0.2")) as server:
        server.said("ready")
        with _waiting(server, "/v1/waiting"):
            assert server.stop() == 0
        with running(*_toy(f"--port={server.port}")) as again:
            assert again.ask("/health").status in (200, 503)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 300, "a..b"])
def test_an_unknown_host_is_a_clear_error(host: str) -> None:
    with pytest.raises(UserError, match="no host"):
        listen(host, 0)


def test_the_address_of_another_machine_is_a_clear_error() -> None:
    with pytest.raises(UserError, match="not an address of this machine"):
        listen("192.0.2.1", 0)


def test_all_addresses_of_a_name_have_one_port() -> None:
    sockets = listen("localhost", 0)
    try:
        assert len({one.getsockname()[1] for one in sockets}) == 1
        assert url(sockets, "::1") == f"http://[::1]:{sockets[0].getsockname()[1]}"
        assert all(one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for one in sockets)
    finally:
        for one in sockets:
            one.close()


def _takes(server: Running) -> bool:
    try:
        socket.create_connection((server.host, server.port), timeout=PATIENCE).close()
    except ConnectionError:
        return False
    return True
