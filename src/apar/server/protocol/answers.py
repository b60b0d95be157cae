"""What the server answers: responses are built of these models, and its OpenAPI description too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from apar.decoding.answer import Forker, Mode

MIN_LOGPROB = -9999.0
"""Stands for minus infinity, which JSON does not have."""

Logprob = Annotated[float, AfterValidator(lambda value: max(value, MIN_LOGPROB))]


class ResponseModel(BaseModel):
    """A part of a response, with just these fields; those that were not given are left out of it."""

    model_config = ConfigDict(extra="forbid")

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data."""
        return self.model_dump(exclude_unset=True)

    def json_bytes(self) -> bytes:
        """The model as JSON in ASCII: clients may take other characters for the end of a stream's line."""
        return json.dumps(self.to_dict(), allow_nan=False).encode()


class ErrorDetail(ResponseModel):
    """What is wrong, where, and what to do."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(ResponseModel):
    """A request that was refused or failed."""

    error: ErrorDetail


class PromptDetails(ResponseModel):
    cached_tokens: int = Field(ge=0, description="Found in the cache.")


class CompletionDetails(ResponseModel):
    control_tokens: int = Field(ge=0, description="[Fork] and [Child]: two for each fork; none by rules.")
    discarded_tokens: int = Field(
        ge=0, description="Decoded behind a stop text, as a repeated lead, or dropped by rules."
    )
    accepted_prediction_tokens: int | None = Field(
        default=None, ge=0, description="Draft tokens that were right, if there were drafts."
    )
    rejected_prediction_tokens: int | None = Field(
        default=None, ge=0, description="Draft tokens that were wrong, if there were drafts; no completion tokens."
    )
    not_forked: dict[str, int] | None = Field(
        default=None, description="With rules: leads behind which nothing forked, by reason, if there were any."
    )


class Usage(ResponseModel):
    """Prompts are counted once, completion tokens are the visible ones."""

    prompt_tokens: int = Field(ge=1)
    completion_tokens: int = Field(ge=0)
    total_tokens: int = Field(ge=1)
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class ParallelMetrics(ResponseModel):
    """How the answer was decoded; of several answers steps and times are the longest, the rest is summed."""

    mode: Mode
    fork: Forker = Field(description="What forks: the model's own tokens, rules by the form of the text, or nothing.")
    not_forked: dict[str, int] = Field(description="With rules: leads behind which nothing forked, by reason.")
    threads: int = Field(ge=1)
    forks: int = Field(ge=0)
    steps: int = Field(ge=0, description="Logical steps: in each, every live thread gives one token.")
    critical_path: int = Field(ge=0, description="The same number by its other name: the length of the longest path.")
    forward_passes: int | None = Field(ge=0, description="Passes of the model; null where the engine does not say.")
    tokens_per_step: float = Field(ge=0)
    tokens_per_pass: float | None = Field(ge=0, description="Null where the engine does not say how many passes.")
    drafted: list[int] = Field(
        description="Draft tokens that were verified: the first ones behind a path, those after them, and so on; with "
        "Medusa, by head."
    )
    accepted: list[int] = Field(description="Of these, those that were right.")
    kv_blocks_peak: int | None = Field(description="None where the engine does not report it (vLLM).")
    preemptions: int | None = Field(description="None where the engine does not report it (vLLM).")
    seconds: float = Field(ge=0)
    queue_seconds: float = Field(ge=0)
    first_token_seconds: float | None


class AnswerMetrics(ResponseModel):
    parallel: ParallelMetrics


class TokenLogprob(ResponseModel):
    token: str
    logprob: Logprob
    bytes: list[int] | None


class ChatTokenLogprob(TokenLogprob):
    top_logprobs: list[TokenLogprob]


class ChatLogprobs(ResponseModel):
    content: list[ChatTokenLogprob]
    refusal: None


class AssistantMessage(ResponseModel):
    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(ResponseModel):
    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length"]


class Envelope(ResponseModel):
    """What whole answers and chunks have in common."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: None
    choices: Sequence[ResponseModel]


class WholeAnswers(Envelope):
    usage: Usage
    metrics: AnswerMetrics | None = Field(default=None, description="If `apar.metrics` is true.")


class ChatCompletion(WholeAnswers):
    """The answers to a chat. As a stream: chunks of the type `chat.completion.chunk`."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]


class CompletionLogprobs(ResponseModel):
    tokens: list[str]
    token_logprobs: list[Logprob]
    top_logprobs: list[dict[str, Logprob]]
    text_offset: list[int]


class CompletionChoice(ResponseModel):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length"]


class Completion(WholeAnswers):
    """The texts that prompts were gone on with. As a stream: chunks of the same type."""

    object: Literal["text_completion"]
    choices: list[CompletionChoice]


class Model(ResponseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int = Field(description="Tokens that a path may have, the prompt included.")


class Models(ResponseModel):
    object: Literal["list"]
    data: list[Model]


class HealthReport(ResponseModel):
    status: Literal["ok", "loading", "failed", "stopping"]
    reason: str | None = None


class Version(ResponseModel):
    version: str
    backend: str
    model: str
