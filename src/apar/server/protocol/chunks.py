"""The events of a stream: its chunks are built of these models, and the OpenAPI description too."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.json_schema import models_json_schema

from apar.events import FinishReason
from apar.server.protocol.answers import (
    AnswerMetrics,
    ChatLogprobs,
    CompletionLogprobs,
    Envelope,
    Error,
    Logprob,
    ResponseModel,
    Usage,
)

ThreadPath = list[int]
Step = Annotated[int, Field(ge=0, description="Logical; in each of them every live thread samples one token.")]


class ThreadEventBase(ResponseModel):
    """What happened to a thread. A thread is named by its path, its `parent` is null for the first one.

    The fields of each kind have the order in which they are sent.
    """

    event: str
    thread: ThreadPath


class StartedEvent(ThreadEventBase):
    """The thread exists."""

    event: Literal["started"]
    parent: ThreadPath | None
    step: Step


class EventLogprob(ResponseModel):
    token_id: int
    logprob: Logprob
    top: list[tuple[int, Logprob]]


class DeltaEvent(ThreadEventBase):
    """The thread sampled visible tokens."""

    event: Literal["delta"]
    step: Step
    token_ids: list[int]
    text: str = Field(description="Empty where a character is not complete.")
    logprobs: list[EventLogprob] = Field(default=[], description="If they were asked for.")
    parent: ThreadPath | None


class ForkedEvent(ThreadEventBase):
    """The thread forked: `child` gives the detail."""

    event: Literal["forked"]
    child: ThreadPath
    step: Step
    parent: ThreadPath | None


class FinishedEvent(ThreadEventBase):
    """The thread ended."""

    event: Literal["finished"]
    step: Step
    reason: FinishReason
    drafted: int = Field(default=0, ge=0, description="Draft tokens that were verified for the thread, if any.")
    accepted: int = Field(default=0, ge=0, description="Of these, those that were right, if any.")
    not_forked: dict[str, int] = Field(
        default={}, description="With rules: leads behind which the thread did not fork, by reason, if any."
    )
    parent: ThreadPath | None


ThreadEvent = StartedEvent | DeltaEvent | ForkedEvent | FinishedEvent


class ThreadEvents(ResponseModel):
    """What happened to the threads of the chunk's answer."""

    events: list[ThreadEvent]


class Chunk(Envelope):
    """A piece of the answers, or where `choices` is empty their usage."""

    usage: Usage | None = Field(
        default=None, description="In the last chunk, if `stream_options.include_usage` is true."
    )
    metrics: AnswerMetrics | None = Field(
        default=None, description="If `apar.metrics` is true: with the usage, else in an answer's last chunk."
    )
    apar: ThreadEvents | None = Field(default=None, description="If `apar.stream` is `threads`.")


class ChatDelta(ResponseModel):
    role: Literal["assistant"] | None = Field(default=None, description="In an answer's first chunk.")
    content: str | None = Field(default=None, description="The next text in reading order.")


class ChatChunkChoice(ResponseModel):
    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length"] | None


class ChatChunk(Chunk):
    """A piece of the answers to a chat."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChatChunkChoice]


class CompletionChunkChoice(ResponseModel):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length"] | None


class CompletionChunk(Chunk):
    """A piece of the texts that prompts were gone on with."""

    object: Literal["text_completion"]
    choices: list[CompletionChunkChoice]


_REFERENCE = "#/components/schemas/{model}"


def stream_of(chunk: type[Chunk]) -> dict[str, Any]:
    """The media type of a stream of such chunks. OpenAPI 3.1 has `schema` describe one event of it."""
    event = {"anyOf": [{"$ref": _REFERENCE.format(model=model.__name__)} for model in (chunk, Error)]}
    data = {
        "type": "string",
        "description": "A chunk; an error, after which nothing comes; or at the end [DONE].",
        "anyOf": [{"const": "[DONE]"}, {"contentMediaType": "application/json", "contentSchema": event}],
    }
    return {"text/event-stream": {"schema": {"type": "object", "properties": {"data": data}, "required": ["data"]}}}


def chunk_schemas() -> dict[str, Any]:
    """The schemas that `stream_of` refers to, by name."""
    _, schemas = models_json_schema(
        [(ChatChunk, "serialization"), (CompletionChunk, "serialization"), (Error, "serialization")],
        ref_template=_REFERENCE,
    )
    defined: dict[str, Any] = schemas["$defs"]
    return defined
