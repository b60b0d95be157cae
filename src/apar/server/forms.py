"""The two forms in which answers are told: chat completions and completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from apar.decoding.answer import Answer
from apar.server.logprobs import LEAST, Placed, placed_logprobs
from apar.server.token_text import TokenTexts

Logprobs = Sequence[Placed] | None
"""Of the tokens of a text; None where they were not asked for."""


class Form(Protocol):
    """How a choice of an answer or of a chunk looks."""

    prefix: str
    whole: str
    chunk: str

    def answer(self, index: int, answer: Answer, logprobs: bool, texts: TokenTexts) -> dict[str, Any]:
        """The choice of a whole answer, with log probabilities if they were asked for."""
        ...

    def first(self, index: int) -> dict[str, Any] | None:
        """The choice of the chunk that begins an answer, if there is such a one."""
        ...

    def piece(self, index: int, text: str, logprobs: Logprobs, texts: TokenTexts) -> dict[str, Any]:
        """The choice of a chunk with a piece of an answer."""
        ...

    def last(self, index: int, reason: str) -> dict[str, Any]:
        """The choice of the chunk that ends an answer."""
        ...


class ChatForm:
    """`chat.completion` and `chat.completion.chunk`."""

    prefix = "chatcmpl-"
    whole = "chat.completion"
    chunk = "chat.completion.chunk"

    def answer(self, index: int, answer: Answer, logprobs: bool, texts: TokenTexts) -> dict[str, Any]:
        return {
            "index": index,
            "message": {"role": "assistant", "content": answer.text, "refusal": None},
            "logprobs": _chat_logprobs(placed_logprobs(answer), texts) if logprobs else None,
            "finish_reason": answer.finish_reason,
        }

    def first(self, index: int) -> dict[str, Any] | None:
        return {
            "index": index,
            "delta": {"role": "assistant", "content": ""},
            "logprobs": None,
            "finish_reason": None,
        }

    def piece(self, index: int, text: str, logprobs: Logprobs, texts: TokenTexts) -> dict[str, Any]:
        told = None if logprobs is None else _chat_logprobs(logprobs, texts)
        return {"index": index, "delta": {"content": text}, "logprobs": told, "finish_reason": None}

    def last(self, index: int, reason: str) -> dict[str, Any]:
        return {"index": index, "delta": {}, "logprobs": None, "finish_reason": reason}


class CompletionForm:
    """`text_completion`, whole and in chunks."""

    prefix = "cmpl-"
    whole = chunk = "text_completion"

    def answer(self, index: int, answer: Answer, logprobs: bool, texts: TokenTexts) -> dict[str, Any]:
        told = self.piece(index, answer.text, placed_logprobs(answer) if logprobs else None, texts)
        return {**told, "finish_reason": answer.finish_reason}

    def first(self, index: int) -> dict[str, Any] | None:
        return None

    def piece(self, index: int, text: str, logprobs: Logprobs, texts: TokenTexts) -> dict[str, Any]:
        told = None if logprobs is None else _completion_logprobs(logprobs, texts)
        return {"index": index, "text": text, "logprobs": told, "finish_reason": None}

    def last(self, index: int, reason: str) -> dict[str, Any]:
        return {"index": index, "text": "", "logprobs": None, "finish_reason": reason}


def _chat_logprobs(logprobs: Sequence[Placed], texts: TokenTexts) -> dict[str, Any]:
    def entry(token: int, logprob: float) -> dict[str, Any]:
        text, data = texts.of(token)
        return {"token": text, "logprob": max(logprob, LEAST), "bytes": list(data)}

    content = [
        {
            **entry(placed.token.token_id, placed.token.logprob),
            "top_logprobs": [entry(*each) for each in placed.token.top],
        }
        for placed in logprobs
    ]
    return {"content": content, "refusal": None}


def _completion_logprobs(logprobs: Sequence[Placed], texts: TokenTexts) -> dict[str, Any]:
    return {
        "tokens": [texts.of(placed.token.token_id)[0] for placed in logprobs],
        "token_logprobs": [max(placed.token.logprob, LEAST) for placed in logprobs],
        "top_logprobs": [
            {texts.of(token)[0]: max(logprob, LEAST) for token, logprob in placed.token.top} for placed in logprobs
        ],
        "text_offset": [placed.start for placed in logprobs],
    }
