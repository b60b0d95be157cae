"""The two formats of answers: chat completions and text completions, whole and in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from apar.assemble import Assembler, PlacedLogprob
from apar.decoding.answer import Answer
from apar.server.protocol.answers import (
    AssistantMessage,
    ChatChoice,
    ChatCompletion,
    ChatLogprobs,
    ChatTokenLogprob,
    Completion,
    CompletionChoice,
    CompletionLogprobs,
    TokenLogprob,
)
from apar.server.protocol.chunks import (
    ChatChunk,
    ChatChunkChoice,
    ChatDelta,
    CompletionChunk,
    CompletionChunkChoice,
)
from apar.server.token_text import TokenTexts

Logprobs = Sequence[PlacedLogprob] | None
"""Of the tokens of a text; None where they were not asked for."""
Reason = Literal["stop", "length"]


class ChatFormat:
    """`chat.completion` and `chat.completion.chunk`: builds them, of all their fields, and their choices."""

    id_prefix = "chatcmpl-"

    def __init__(self, texts: TokenTexts) -> None:
        self._texts = texts

    def completion(self, **fields: Any) -> ChatCompletion:
        return ChatCompletion(object="chat.completion", **fields)

    def choice(self, index: int, answer: Answer, logprobs: Logprobs) -> ChatChoice:
        message = AssistantMessage(role="assistant", content=answer.text, refusal=None)
        return ChatChoice(
            index=index, message=message, logprobs=self._logprobs(logprobs), finish_reason=answer.finish_reason
        )

    def chunk(self, **fields: Any) -> ChatChunk:
        return ChatChunk(object="chat.completion.chunk", **fields)

    def first(self, index: int) -> ChatChunkChoice | None:
        """The choice of the chunk that begins an answer, if there is such a one."""
        delta = ChatDelta(role="assistant", content="")
        return ChatChunkChoice(index=index, delta=delta, logprobs=None, finish_reason=None)

    def piece(self, index: int, text: str, logprobs: Logprobs = None, reason: Reason | None = None) -> ChatChunkChoice:
        """The choice of a chunk with a piece of an answer; that with the `reason` ends it, and has no text."""
        delta = ChatDelta() if reason else ChatDelta(content=text)
        return ChatChunkChoice(index=index, delta=delta, logprobs=self._logprobs(logprobs), finish_reason=reason)

    def _logprobs(self, logprobs: Logprobs) -> ChatLogprobs | None:
        if logprobs is None:
            return None
        content = [
            ChatTokenLogprob(
                **self._token(placed.token.token_id, placed.token.logprob),
                top_logprobs=[TokenLogprob(**self._token(*each)) for each in placed.token.top],
            )
            for placed in logprobs
        ]
        return ChatLogprobs(content=content, refusal=None)

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        text, data = self._texts.of(token)
        return {"token": text, "logprob": logprob, "bytes": data}


class CompletionFormat:
    """The same for `text_completion`, whole and in chunks."""

    id_prefix = "cmpl-"

    def __init__(self, texts: TokenTexts) -> None:
        self._texts = texts

    def completion(self, **fields: Any) -> Completion:
        return Completion(object="text_completion", **fields)

    def choice(self, index: int, answer: Answer, logprobs: Logprobs) -> CompletionChoice:
        return CompletionChoice(
            index=index, text=answer.text, logprobs=self._logprobs(logprobs), finish_reason=answer.finish_reason
        )

    def chunk(self, **fields: Any) -> CompletionChunk:
        return CompletionChunk(object="text_completion", **fields)

    def first(self, index: int) -> CompletionChunkChoice | None:
        return None

    def piece(
        self, index: int, text: str, logprobs: Logprobs = None, reason: Reason | None = None
    ) -> CompletionChunkChoice:
        return CompletionChunkChoice(index=index, text=text, logprobs=self._logprobs(logprobs), finish_reason=reason)

    def _logprobs(self, logprobs: Logprobs) -> CompletionLogprobs | None:
        if logprobs is None:
            return None
        tokens = [placed.token for placed in logprobs]
        return CompletionLogprobs(
            tokens=[self._text(token.token_id) for token in tokens],
            token_logprobs=[token.logprob for token in tokens],
            top_logprobs=[{self._text(top): logprob for top, logprob in token.top} for token in tokens],
            text_offset=[placed.start for placed in logprobs],
        )

    def _text(self, token: int) -> str:
        return self._texts.of(token)[0]


ResponseFormat = ChatFormat | CompletionFormat


def placed_logprobs(answer: Answer) -> list[PlacedLogprob]:
    """The log probabilities of all tokens of a whole answer."""
    assembler = Assembler()
    for event in answer.events:
        assembler.feed(event)
    assembler.end()
    # Behind a stop text tokens were decoded that are no part of the answer.
    return assembler.take_logprobs()[: len(answer.logprobs)]
