"""What a completions server says of texts: how long its context is, a chat as a prompt, and the ids of a piece.

Servers differ in what they have beside completions: llama.cpp's `llama-server` has its context under /props and applies
the chat template under /apply-template, vLLM's names its context among the models; both tokenize. Of the rest nothing
is expected.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from apar.errors import ModelError, RunError, UserError
from apar.tokens import Message, chat_text, check_messages

if TYPE_CHECKING:
    from apar.client.http import Endpoint

_MISSING = (404, 405, 501)


class ServerTexts:
    """Asks the server, and blocks until it answers. Where it has no chat template to apply, that of the tokenizer of
    `model` is: a folder, GGUF file or hub id. Calls raise RunError where the server is lost.
    """

    def __init__(self, endpoint: Endpoint, served_model: str, model: str | os.PathLike[str] | None) -> None:
        self._endpoint, self._served, self._model = endpoint, served_model, model
        self._missing: set[str] = set()
        self._ids: dict[str, list[int] | None] = {}

    def context(self) -> int | None:
        """How many tokens a path may have, as the server says it."""
        props = self._ask("/props")
        settings = props.get("default_generation_settings")
        found = settings.get("n_ctx") if isinstance(settings, dict) else None
        return found if isinstance(found, int) and found > 0 else None

    def prompt(self, messages: Sequence[Message]) -> str:
        """A chat up to where the answer begins.

        Raises RequestError for what is no chat or is refused by its template, ModelError where nobody has a template.
        """
        check_messages(messages)
        answer = self._ask("/apply-template", {"messages": list(messages)}, refusals=True)
        if isinstance(answer.get("prompt"), str):
            return str(answer["prompt"])
        tokenizer = self._template_tokenizer()
        text = chat_text(tokenizer, messages)
        begin, first = tokenizer.bos_token, tokenizer.encode("a", add_special_tokens=True)[:1]
        # What texts are encoded with anyway, the server puts before them itself.
        return text.removeprefix(begin) if begin is not None and first == [tokenizer.bos_token_id] else text

    def count(self, text: str) -> int | None:
        """How many tokens a prompt has; None where the server does not say."""
        ids = self._tokenize(text, special=True)
        return None if ids is None else len(ids)

    def token(self, piece: str) -> int | None:
        """The id of a piece that is one token; None where it is not, or the server does not say."""
        if piece not in self._ids:
            self._ids[piece] = self._tokenize(piece, special=False)
        ids = self._ids[piece]
        return ids[0] if ids is not None and len(ids) == 1 else None

    def _tokenize(self, text: str, special: bool) -> list[int] | None:
        """The fields of llama.cpp's server and those of vLLM's together."""
        question = {
            "content": text, "add_special": special, "parse_special": special,
            "model": self._served, "prompt": text, "add_special_tokens": special,
        }  # fmt: skip
        tokens = self._ask("/tokenize", question).get("tokens")
        fits = isinstance(tokens, list) and all(isinstance(token, int) for token in tokens)
        return tokens if fits else None

    def _ask(self, path: str, question: dict[str, Any] | None = None, refusals: bool = False) -> dict[str, Any]:
        """The object that a path answers with, empty where there is none; with `refusals` what it refuses is raised."""
        if path in self._missing:
            return {}
        from apar.client.http import HttpClient

        with HttpClient(self._endpoint) as http:
            response = http.ask(path, question)
        if response.status in _MISSING:
            self._missing.add(path)
        elif refusals and 400 <= response.status < 500:
            raise self._endpoint.refusal(response)
        return response.fields if response.status == 200 else {}

    @cached_property
    def _tokenizer(self) -> Any:
        """The tokenizer with the model's template, or why there is none; looked for once."""
        from apar.models.model_source import load_tokenizer, model_source

        try:
            return load_tokenizer(model_source(self._model or self._served))
        except (UserError, RunError, ImportError) as error:
            return error

    def _template_tokenizer(self) -> Any:
        if isinstance(self._tokenizer, Exception):
            raise ModelError(
                f"the server at {self._endpoint.address} applies no chat template (/apply-template), and that of "
                f"{self._model or self._served} cannot be had: {self._tokenizer}. Name a model whose tokenizer has "
                "the template"
            ) from self._tokenizer
        return self._tokenizer
