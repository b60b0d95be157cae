"""What a running server writes of requests."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator

import httpx
import pytest

from apar.errors import ModelError
from apar.server.app import guarded_app
from apar.server.health import Health
from apar.server.http.server import serve
from apar.server.settings import ServerLimits, ServerSettings
from tests.engine.crowd import PATIENCE, Crowd
from tests.server.serving import MODEL, wait_for

LOGGERS = ("apar.server", "uvicorn.access", "uvicorn.error")


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    """Those of the process are as before at the end."""
    before = {name: logging.getLogger(name).level for name in LOGGERS}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def log_of_a_request(access_log: bool, caplog: pytest.LogCaptureFixture) -> str:
    """What `serve` writes while it answers a request of a user."""
    health, end, lines = Health(), ModelError("the test is over"), list[str]()

    def run(crowd: Crowd) -> None:
        app = guarded_app(ServerSettings(MODEL, "local"), lambda: crowd.llm, health, ServerLimits())
        with pytest.raises(ModelError):
            serve(app, health, MODEL, port=0, access_log=access_log, announce=lines.append)

    with Crowd() as crowd:
        thread = threading.Thread(target=run, args=[crowd])
        thread.start()
        try:
            wait_for(lambda: health.status == "ok" and bool(lines), "ready")
            [url] = re.findall(r"http://\S+", lines[0])
            body = {"model": MODEL, "prompt": "a", "max_tokens": 2, "user": "ada\n"}
            assert httpx.post(f"{url}/v1/completions", json=body, timeout=PATIENCE).status_code == 200
        finally:
            health.fail(end)
            thread.join(PATIENCE)
        assert not thread.is_alive()
    return caplog.text


def test_requests_are_logged_with_their_users_where_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    text = log_of_a_request(True, caplog)
    assert re.search(r"request \S+ is of user 'ada\\n'", text)
    assert '"POST /v1/completions HTTP/1.1" 200' in text


def test_requests_are_not_logged_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    assert log_of_a_request(False, caplog) == ""
