"""What is asked of a server first: its models, and whether its tokens are ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apar.backends.vllm_server import VllmServerBackend
from apar.errors import ModelError, RequestError, RunError
from tests.backends.vllm_server.fake import NAME, FakeServer, Reply


def test_the_key_is_sent_and_never_told(folder: Path) -> None:
    server = FakeServer(key="sesame")
    with server.running() as url:
        with pytest.raises(RequestError, match=r"API key.*; give one it knows$") as caught:
            VllmServerBackend(folder, url, api_key="wrong-key")
        assert "wrong-key" not in str(caught.value)
        assert VllmServerBackend(folder, url, api_key="sesame").served_model == NAME


@pytest.mark.parametrize(
    ("cards", "wanted", "words"),
    [
        ([{"id": "a", "max_model_len": 9}, {"id": "b", "max_model_len": 9}], None, "serves a, b; name one"),
        ([{"id": "a", "max_model_len": 9}], "b", "serves a, and no b"),
        ([{"id": "a"}], None, "max_model_len"),
        ([{"id": "a", "max_model_len": 9, "owned_by": "apar"}], None, "apar chat --url"),
    ],
)
def test_the_model_must_be_one_that_the_server_has(
    folder: Path, cards: list[dict[str, Any]], wanted: str | None, words: str
) -> None:
    with FakeServer(cards=cards).running() as url, pytest.raises(ModelError, match=words):
        VllmServerBackend(folder, url, served_model=wanted)


def test_an_adapter_has_the_context_of_its_model(folder: Path) -> None:
    cards = [{"id": "base", "max_model_len": 90}, {"id": "own", "parent": "base", "max_model_len": None}]
    with FakeServer(cards=cards).running() as url:
        backend = VllmServerBackend(folder, url, served_model="own")
    assert (backend.served_model, backend.context) == ("own", 90)


@pytest.mark.parametrize("reply", [Reply(404, {}), Reply(200, {"models": []}), Reply(200, "[]"), Reply(200, "null")])
def test_what_lists_no_models_is_no_such_server(folder: Path, reply: Reply) -> None:
    server = FakeServer(reply=lambda path, body: reply)
    with server.running() as url, pytest.raises(ModelError, match="lists no models"):
        VllmServerBackend(folder, url)


def test_what_answers_no_json_is_no_such_server(folder: Path) -> None:
    server = FakeServer(reply=lambda path, body: Reply(200, "<html>"))
    with server.running() as url, pytest.raises(RunError, match="/v1/models with what is no JSON"):
        VllmServerBackend(folder, url)


def test_an_answer_that_is_too_large_is_named_so(folder: Path) -> None:
    server = FakeServer(reply=lambda path, body: Reply(200, {"data": "x" * 2**20}))
    with server.running() as url, pytest.raises(RunError, match="/v1/models: the response is too large"):
        VllmServerBackend(folder, url)


def test_another_model_than_the_tokenizers_is_refused(folder: Path) -> None:
    other = {"/tokenize": Reply(200, {"tokens": [1, 2]})}
    server = FakeServer(reply=lambda path, body: other.get(path))
    with server.running() as url, pytest.raises(ModelError, match="not the same model"):
        VllmServerBackend(folder, url)


def test_a_server_that_hides_its_tokenizer_is_believed(folder: Path) -> None:
    server = FakeServer(reply=lambda path, body: Reply(404) if path == "/tokenize" else None)
    with server.running() as url:
        assert VllmServerBackend(folder, url).context == server.context
