"""A server is a real one that answers as vLLM does, or as it should not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from apar.doctor.checks import server_checks
from apar.doctor.report import Finding, lacking
from apar.errors import UserError


class FakeServer:
    """Answers by path: a status and a JSON value, or text as it is. Remembers what it was asked."""

    def __init__(self) -> None:
        models = [{"id": "first", "max_model_len": 256}, {"id": "second", "root": "some/folder", "max_model_len": 512}]
        self.answers: dict[str, tuple[int, Any]] = {
            "/version": (200, {"version": "0.32.0"}),
            "/v1/models": (200, {"data": models}),
            "/v1/completions": (200, {"choices": [{"token_ids": [7], "prompt_token_ids": [1, 1]}]}),
        }
        self.asked: list[tuple[str, Any, str | None]] = []
        self.address = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.asked.append((handler.path, json.loads(body) if body else None, handler.headers.get("Authorization")))
        status, value = self.answers.get(handler.path, (404, {"detail": "Not Found"}))
        data = (value if isinstance(value, str) else json.dumps(value)).encode()
        handler.send_response(status)
        if 300 <= status < 400:
            handler.send_header("Location", value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def findings(self, model: str | None = None) -> dict[str, Finding]:
        return {check.name: check.finding for check in server_checks(self.address, None, model)}


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    server = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self)

        def do_POST(self) -> None:
            server.answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: the test's output is its own."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.address = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        http.shutdown()
        thread.join()


def test_a_vllm_server_is_asked_for_one_token(fake: FakeServer) -> None:
    assert fake.findings() == {
        "server": ("ok", f"vLLM 0.32.0 at {fake.address}", ""),
        "its models": ("ok", "first (context 256), second (context 512)", ""),
        "its completions": ("ok", "first takes token ids and gives them", ""),
    }
    path, body, _ = fake.asked[-1]
    assert path == "/v1/completions"
    assert (body["model"], body["prompt"], body["max_tokens"], body["return_token_ids"]) == ("first", [1, 1], 1, True)


@pytest.mark.parametrize("model", ["second", "some/folder"])
def test_the_model_that_is_asked_about_is_the_one_that_is_tried(fake: FakeServer, model: str) -> None:
    fake.findings(model)
    assert fake.asked[-1][1]["model"] == "second"


def test_the_model_that_is_named_is_tried(fake: FakeServer) -> None:
    assert lacking(server_checks(fake.address, None, "first", "second"), "server") == []
    assert fake.asked[-1][1]["model"] == "second"


def test_a_name_that_the_server_has_not_is_told_with_those_it_has(fake: FakeServer) -> None:
    models = server_checks(fake.address, None, None, "third")[-1]
    assert models.finding.status == "missing"
    assert models.finding.found == "first (context 256), second (context 512)"
    assert models.finding.advice == "there is no third; give one of these by --remote-model"


def test_an_address_may_end_in_v1_and_a_key_is_sent(fake: FakeServer) -> None:
    checks = server_checks(fake.address + "/v1/", "secret")
    assert lacking(checks, "server") == []
    assert [(path, key) for path, _, key in fake.asked] == [
        (path, "Bearer secret") for path in ("/version", "/v1/models", "/v1/completions")
    ]


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", "host"])
def test_what_is_no_address_is_the_users_mistake(url: str) -> None:
    with pytest.raises(UserError, match="give its address as http://host:8000"):
        server_checks(url)


def test_a_server_that_is_not_there_is_one_broken_row() -> None:
    [check] = server_checks("http://127.0.0.1:9")
    assert check.finding.status == "broken"
    assert "http://127.0.0.1:9/version: " in check.finding.found
    assert "vllm serve" in check.finding.advice


def test_without_httpx_the_server_is_one_missing_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    [check] = server_checks("http://127.0.0.1:9")
    assert check.finding == ("missing", "cannot be asked without httpx", "pip install 'apar-llm[remote]'")
    assert lacking([check], "server") == [check]


@pytest.mark.parametrize("body", ["[" * 100_000, "{", ""])
def test_what_is_no_json_is_broken(fake: FakeServer, body: str) -> None:
    fake.answers["/v1/models"] = (200, body)
    status, found, _ = fake.findings()["its models"]
    assert (status, found.startswith(f"{fake.address}/v1/models: ")) == ("broken", True)


def test_a_redirect_is_followed(fake: FakeServer) -> None:
    fake.answers["/new"] = fake.answers["/version"]
    fake.answers["/version"] = (302, "/new")
    assert fake.findings()["server"].status == "ok"


def test_an_answer_that_is_too_large_is_named_so(fake: FakeServer) -> None:
    fake.answers["/v1/models"] = (200, {"data": "x" * 2**20})
    assert "/v1/models: the response is too large" in fake.findings()["its models"].found


def test_an_empty_key_is_none(fake: FakeServer) -> None:
    server_checks(fake.address, "")
    assert {key for _, _, key in fake.asked} == {None}


def test_a_version_out_of_bounds_is_named(fake: FakeServer) -> None:
    fake.answers["/version"] = (200, {"version": "0.19.1"})
    assert fake.findings()["server"] == ("missing", "vLLM 0.19.1", "use vLLM 0.28 or later, below 0.34")


def test_another_kind_of_server_is_broken(fake: FakeServer) -> None:
    fake.answers["/version"] = (200, "<html>")
    assert fake.findings()["server"].status == "broken"


@pytest.mark.parametrize("value", ["a text", ["a list"], None])
def test_an_answer_of_another_form_is_broken(fake: FakeServer, value: object) -> None:
    fake.answers["/v1/models"] = (200, value)
    assert fake.findings()["its models"].status == "broken"


def test_a_key_that_is_missing_is_told_as_the_server_tells_it(fake: FakeServer) -> None:
    fake.answers["/v1/models"] = (401, {"error": "Unauthorized"})
    status, found, advice = fake.findings()["its models"]
    assert (status, found) == ("broken", "/v1/models answers 401: Unauthorized")
    assert "--api-key" in advice


def test_a_server_without_a_model_is_not_asked_for_tokens(fake: FakeServer) -> None:
    fake.answers["/v1/models"] = (200, {"data": []})
    found = fake.findings()
    assert found["its models"][:2] == ("missing", "none")
    assert "its completions" not in found


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            (404, {"error": {"message": "The model `first`\ndoes not exist."}}),
            "answers 404: The model `first` does not",
        ),
        ((500, "trouble"), "answers 500: trouble"),
        ((200, {"choices": [{"text": "a"}]}), "first answers without token ids, though return_token_ids was set"),
        ((200, {"choices": []}), "first answers without token ids"),
        (
            (200, {"choices": [{"token_ids": [7], "prompt_token_ids": [0, 1, 1]}]}),
            r"the prompt [1, 1] and read [0, 1, 1]",
        ),
        ((200, {"choices": [{"token_ids": [7]}]}), "the prompt [1, 1] and read None"),
    ],
)
def test_completions_that_are_of_no_use_are_broken(fake: FakeServer, answer: tuple[int, Any], told: str) -> None:
    fake.answers["/v1/completions"] = answer
    status, found, advice = fake.findings()["its completions"]
    assert status == "broken"
    assert told in found
    assert "token ids" in advice
