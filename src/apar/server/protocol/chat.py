"""`/v1/chat/completions`: the request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from apar.decoding.params import SamplingParams
from apar.server.protocol.fields import MAX_TOKENS, Logprobs, Part, Request, Text, supported, unsupported, wrong
from apar.server.protocol.unsupported import refusal_in_part, refusal_in_turn
from apar.tokens import Message

MAX_MESSAGES = 10_000
MAX_PARTS = 10_000


class TextPart(Part):
    """A piece of a message; only text can be read."""

    type: Literal["text"]
    text: Text

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, data: Any) -> Any:
        return supported(data, cls.model_fields, refusal_in_part) if isinstance(data, dict) else data


def _form(content: Any) -> str | None:
    """Which of its two forms a message's content has: only that is tried."""
    if isinstance(content, list):
        return "<parts>"
    return "<text>" if isinstance(content, str) else None


class Turn(Part):
    """One message of a chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        Annotated[Text, Tag("<text>")]
        | Annotated[list[TextPart], Field(min_length=1, max_length=MAX_PARTS, fail_fast=True), Tag("<parts>")],
        Discriminator(_form, custom_error_type="form", custom_error_message="it must be a text, or a list of parts"),
    ]

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, data: Any) -> Any:
        """Drop fields that ask for nothing, and say why a message is refused that asks for what is not here."""
        if not isinstance(data, dict):
            return data
        if data.get("role") in ("tool", "function"):
            raise unsupported("role", f"messages of the role {data['role']} are of tools, which are not supported")
        content = data.get("content")
        for part in content[:MAX_PARTS] if isinstance(content, list) else ():
            if isinstance(part, dict) and isinstance(kind := part.get("type"), str) and kind != "text":
                raise unsupported("content", f"messages can have text only, and this one has {kind[:40]!r}")
        return supported(data, cls.model_fields, refusal_in_turn)

    def message(self) -> Message:
        """The message for a chat template; `developer` is OpenAI's later name of `system`."""
        role = "system" if self.role == "developer" else self.role
        parts = [self.content] if isinstance(self.content, str) else [part.text for part in self.content]
        return {"role": role, "content": "".join(parts)}


class ChatRequest(Request):
    """A chat to be gone on with by the assistant. A field that is not here is refused."""

    messages: list[Turn] = Field(
        min_length=1,
        max_length=MAX_MESSAGES,
        fail_fast=True,
        description="The chat so far. Control tokens in it are ordinary text.",
    )
    max_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS, description="OpenAI's older name of the next.")
    max_completion_tokens: int | None = Field(
        default=None,
        ge=1,
        le=MAX_TOKENS,
        description="Budget of visible tokens, all threads together. By default the length of the model's context.",
    )
    logprobs: bool = Field(default=False, description="Log probabilities of the tokens, in reading order.")
    top_logprobs: Logprobs | None = Field(default=None, description="And of so many of the likeliest; needs logprobs.")

    @model_validator(mode="after")
    def _fitting(self) -> ChatRequest:
        if self.top_logprobs and not self.logprobs:
            raise wrong("top_logprobs", "top_logprobs needs logprobs to be true")
        if None not in (self.max_tokens, self.max_completion_tokens) and self.max_tokens != self.max_completion_tokens:
            raise wrong("max_tokens", "max_tokens and max_completion_tokens are the same limit; give one of them")
        return self

    def params(self, context: int, forks: bool, max_parallel_threads: int | None = None) -> SamplingParams:
        """What is asked of the answers of a model with `context` tokens."""
        budget = self.max_completion_tokens or self.max_tokens or context
        return self.sampling(budget, (self.top_logprobs or 0) if self.logprobs else None, forks, max_parallel_threads)
