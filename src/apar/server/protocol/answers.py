"""What the server answers, for its OpenAPI description; tests hold answers against it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Told(BaseModel):
    """A part of an answer, with just these fields."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetail(Told):
    """What is wrong, where, and what to do."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(Told):
    """A request that was refused or failed."""

    error: ErrorDetail


class PromptDetails(Told):
    cached_tokens: int = Field(ge=0, description="Found in the cache.")


class CompletionDetails(Told):
    control_tokens: int = Field(ge=0, description="[Fork] and [Child]: two for each fork.")
    discarded_tokens: int = Field(ge=0, description="Decoded behind a stop text.")


class Usage(Told):
    """Prompts are counted once, completion tokens are the visible ones."""

    prompt_tokens: int = Field(ge=1)
    completion_tokens: int = Field(ge=0)
    total_tokens: int = Field(ge=1)
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class ParallelFigures(Told):
    """How the answer was decoded; of several answers steps and times are the longest, the rest is summed."""

    mode: Literal["forked", "sequential"]
    threads: int = Field(ge=1)
    forks: int = Field(ge=0)
    steps: int = Field(ge=0, description="Forward passes.")
    critical_path: int = Field(ge=0, description="Logical steps.")
    tokens_per_step: float = Field(ge=0)
    kv_blocks_peak: int | None = Field(description="None where the engine does not tell (vLLM).")
    preemptions: int | None = Field(description="None where the engine does not tell (vLLM).")
    seconds: float = Field(ge=0)
    queue_seconds: float = Field(ge=0)
    first_token_seconds: float | None


class Figures(Told):
    parallel: ParallelFigures


class TokenLogprob(Told):
    token: str
    logprob: float
    bytes: list[int] | None


class ChatTokenLogprob(TokenLogprob):
    top_logprobs: list[TokenLogprob]


class ChatLogprobs(Told):
    content: list[ChatTokenLogprob]
    refusal: None


class AssistantMessage(Told):
    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(Told):
    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length"]


class Envelope(Told):
    id: str
    created: int
    model: str
    system_fingerprint: None
    usage: Usage
    metrics: Figures | None = Field(None, description="If `apar.metrics` is true.")


class ChatCompletion(Envelope):
    """The answers to a chat. As a stream: chunks of the type `chat.completion.chunk`."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]


class CompletionLogprobs(Told):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(Told):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length"]


class Completion(Envelope):
    """The texts that prompts were gone on with. As a stream: chunks of the same type."""

    object: Literal["text_completion"]
    choices: list[CompletionChoice]


class Model(Told):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int = Field(description="Tokens that a path may have, the prompt included.")


class Models(Told):
    object: Literal["list"]
    data: list[Model]


class HealthReport(Told):
    status: Literal["ok", "loading", "failed", "stopping"]
    reason: str | None = None


class Version(Told):
    version: str
    backend: str
    model: str
