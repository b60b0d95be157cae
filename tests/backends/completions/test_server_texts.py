"""What a server says of texts, and what is done where it says nothing."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from apar.backends.completions import CompletionsBackend
from apar.decoding.params import RawPrompt, SamplingParams
from apar.errors import ModelError, RequestError, RunError, UserError
from tests.backends.completions.fake import TextServer
from tests.backends.lists import PIECES, list_tokenizer, save_tokenizer
from tests.backends.vllm_server.fake import Body, Reply

RULES = SamplingParams(max_tokens=12, fork_by="rules")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def _ask(url: str, prompt: Any, **options: Any) -> None:
    async def ask() -> None:
        async with CompletionsBackend(options.pop("model", None), url, **options) as backend:
            await backend.generate([prompt], RULES)

    asyncio.run(ask())


CHAT = [{"role": "system", "content": "Walk"}, {"role": "user", "content": "Tips"}]


def test_a_chat_is_put_into_the_servers_template() -> None:
    server = TextServer()
    with server.running() as url:
        _ask(url, CHAT, model="no/such-model")
    assert server.bodies[0]["prompt"] == "WalkTips"


def test_where_the_server_has_none_the_template_is_that_of_the_named_model(tmp_path: Path) -> None:
    server = TextServer(has=())
    with server.running() as url:
        _ask(url, CHAT, model=save_tokenizer(tmp_path))
    assert server.bodies[0]["prompt"] == "WalkTips"


@pytest.mark.parametrize(("adds", "prompt"), [(True, "Tips"), (False, "RestTips")])
def test_a_token_that_every_text_begins_with_is_left_to_the_server(tmp_path: Path, adds: bool, prompt: str) -> None:
    tokenizer = copy.deepcopy(list_tokenizer())
    tokenizer.add_special_tokens({"bos_token": "Rest"})
    tokenizer.chat_template = "{{ bos_token }}{{ messages[0]['content'] }}"
    if adds:
        begin = ("Rest", PIECES.index("Rest"))
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="Rest $A", special_tokens=[begin])
    tokenizer.save_pretrained(save_tokenizer(tmp_path))
    server = TextServer(has=())
    with server.running() as url:
        _ask(url, "Tips", model=tmp_path)
    assert server.bodies[0]["prompt"] == prompt


def test_where_nobody_has_a_template_the_line_says_so_and_texts_are_answered() -> None:
    server = TextServer(has=())
    with server.running() as url:
        with pytest.raises(ModelError, match=r"no chat template.*/none cannot be had: there is no.*Name a model"):
            _ask(url, CHAT, model="/none")
        _ask(url, RawPrompt("Tips"))
    assert server.bodies[0]["prompt"] == "Tips"


def test_what_the_servers_template_refuses_is_told() -> None:
    def reply(path: str, body: Body) -> Reply | None:
        return Reply(400, {"error": {"message": "roles must alternate"}}) if body.get("messages") else None

    server = TextServer()
    answer = server._beside
    server._beside = lambda path, body: reply(path, body) or answer(path, body)  # type: ignore[method-assign]
    with server.running() as url, pytest.raises(RequestError, match="roles must alternate"):
        _ask(url, CHAT)


def test_what_is_no_chat_is_refused() -> None:
    with TextServer().running() as url, pytest.raises(RequestError, match="no messages"):
        _ask(url, [])


@pytest.mark.parametrize(
    ("server", "options", "context"),
    [
        (TextServer(context=77), {}, 77),
        (TextServer(context=77), {"context": 55}, 55),
        (TextServer(has=()), {}, 4096),
        (TextServer(cards=[{"id": "lists", "max_model_len": 99}]), {}, 99),
    ],
)
def test_the_context_is_what_was_given_or_what_the_server_says(
    server: TextServer, options: dict[str, Any], context: int
) -> None:
    with server.running() as url:
        assert CompletionsBackend(None, url, **options).context == context


def test_a_model_that_is_not_there_is_named() -> None:
    with TextServer().running() as url, pytest.raises(ModelError, match="serves lists, and no other"):
        CompletionsBackend(None, url, served_model="other")
    with pytest.raises(UserError, match="context is 0"):
        CompletionsBackend(None, "http://127.0.0.1:9", context=0)
    with pytest.raises(RunError, match="cannot be reached"):
        CompletionsBackend(None, "http://127.0.0.1:9")
