"""Fields that chats and completions have in common, and how a request becomes parameters of an answer."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from apar.decoding.params import (
    MAX_BIAS,
    MAX_LOGPROBS,
    MAX_PENALTY,
    MAX_REPETITION,
    MIN_REPETITION,
    DraftAcceptance,
    RepeatedLeads,
    SamplingParams,
)
from apar.server.protocol.unsupported import RefusalOf, refusal_in_stream_options, refusal_of

MAX_TOKENS = 1_000_000
MAX_CHOICES = 128
MAX_STOPS = 64
MAX_BIASES = 1024
MAX_THREADS = 1024
MAX_DEPTH = 64
_NAME = 100
"""Characters of a field's name that are repeated."""
_SEEDS = 2 * 10**19
"""Beyond all integers of 64 bits, with a sign or without. In the description bounds are decimals of few digits."""


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("not_text", "it has half of a surrogate pair, which is no character") from None
    return text


def _few(biases: Any) -> Any:
    """Before each of them is looked at."""
    if isinstance(biases, dict) and len(biases) > MAX_BIASES:
        raise PydanticCustomError("too_long", f"there are {len(biases)} of them, and at most {MAX_BIASES} may be")
    return biases


Text = Annotated[str, AfterValidator(_encodable)]
"""A text of whole characters: JSON can write others."""
StopText = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_encodable)]
StopTextOrNone = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_encodable)]
"""A stop text that may be empty, which is none."""
TokenId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")]
Penalty = Annotated[float, Field(ge=-MAX_PENALTY, le=MAX_PENALTY)]
Logprobs = Annotated[int, Field(ge=0, le=MAX_LOGPROBS)]
ForkPolicy = Literal["model", "rules", "off", "auto"]
Bias = Annotated[float, Field(ge=-MAX_BIAS, le=MAX_BIAS)]


_SHORT = 4096


class Part(BaseModel):
    """A part of a request: nothing is converted, an unknown field is an error, and null is as good as absent.

    JSON knows numbers only, so 3.0 is the integer 3.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _as_json_means(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for name in data:
            if name not in cls.model_fields:  # the first one: there may be any number of them
                raise unknown(name, cls.model_fields)
        return {key: _whole(value) for key, value in data.items() if value is not None}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = handler(schema)
        form = handler.resolve_ref_schema(described)
        for name, field in form["properties"].items():
            if name not in form.get("required", ()):
                form["properties"][name] = _or_null(field)
        return described


def _whole(value: Any) -> Any:
    """A number without a fraction as an integer, in short lists too."""
    if isinstance(value, list) and len(value) <= _SHORT and {float, list} & set(map(type, value)):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _or_null(field: JsonSchemaValue) -> JsonSchemaValue:
    """A field's schema that takes null too."""
    about = {key: value for key, value in field.items() if key in ("title", "description", "default")}
    form = {key: value for key, value in field.items() if key not in about}
    forms = form.get("anyOf", [form])
    return {"anyOf": forms if {"type": "null"} in forms else [*forms, {"type": "null"}], **about}


class StreamOptions(Part):
    """OpenAI's options of a stream."""

    include_usage: bool = Field(default=False, description="One more chunk at the end, with the usage.")

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, data: Any) -> Any:
        return supported(data, cls.model_fields, refusal_in_stream_options) if isinstance(data, dict) else data


class Parallel(Part):
    """How an answer is decoded in parallel, and what is reported of it. Only this server knows these fields."""

    stream: Literal["text", "threads"] = Field(
        default="text",
        description="`threads`: chunks have threads, parents, steps and texts in a key `apar`.",
    )
    fork: bool | ForkPolicy | None = Field(
        default=None,
        description="What forks: `model`, its own tokens; `rules`, the form of the text; `off`, nothing; `auto`, the "
        "model if it was trained to fork. true is `model`, or `rules` if the server was started so, false `off`. "
        "By default as the server was started.",
    )
    max_items: int | None = Field(
        default=None, ge=1, le=MAX_THREADS, description="Most items of a list that is forked by rules."
    )
    max_threads: int = Field(default=32, ge=1, le=MAX_THREADS, description="Threads in all, the first included.")
    max_depth: int = Field(default=4, ge=1, le=MAX_DEPTH, description="Length of the longest thread path.")
    max_parallel_threads: int | None = Field(
        default=None,
        ge=1,
        le=MAX_THREADS,
        description="Threads decoded at the same time. 1: the same answer, decoded sequentially.",
    )
    repeated_leads: RepeatedLeads = Field(
        default="allow",
        description="`end`: a thread ends before a lead that it has said before in the same list.",
    )
    drafts: bool = Field(
        default=True, description="false: decode without drafts where the engine makes some; the text is the same."
    )
    draft_acceptance: DraftAcceptance = Field(
        default="exact", description="`typical`: drafts count where they are likely enough, faster and inexact."
    )
    metrics: bool = Field(default=False, description="The answer has `metrics.parallel`.")

    @property
    def fork_policy(self) -> ForkPolicy | None:
        """What is to fork; None if nothing was said."""
        if isinstance(self.fork, bool):
            return "model" if self.fork else "off"
        return self.fork


class Request(Part):
    """What chats and completions have in common."""

    model: Text = Field(description="A name that /v1/models lists.", max_length=1000)
    stream: bool = Field(default=False, description="Answer by server-sent events, in reading order.")
    stream_options: StreamOptions | None = None
    temperature: float = Field(default=1.0, ge=0, le=2, description="0 is greedy.")
    top_p: float = Field(default=1.0, ge=0, le=1, description="0 is greedy.")
    top_k: int = Field(default=0, ge=-1, le=MAX_TOKENS, description="0 and -1 are off.")
    min_p: float = Field(default=0.0, ge=0, le=1)
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    repetition_penalty: float = Field(default=1.0, ge=MIN_REPETITION, le=MAX_REPETITION)
    logit_bias: Annotated[dict[TokenId, Bias], BeforeValidator(_few)] = Field(
        default_factory=dict,
        max_length=MAX_BIASES,
        description="Token ids and what is added to their logits.",
        json_schema_extra={"additionalProperties": False},
    )
    seed: int | None = Field(default=None, ge=-_SEEDS, le=_SEEDS, description="The same seed gives the same answer.")
    stop: Annotated[
        StopTextOrNone | Annotated[list[StopText], Field(max_length=MAX_STOPS, fail_fast=True)] | None,
        BeforeValidator(lambda value: None if value == "" else value),
    ] = Field(
        default=None, description="The answer ends before the first of these texts, wherever in reading order it is."
    )
    n: int = Field(default=1, ge=1, le=MAX_CHOICES, description="Independent answers.")
    user: Text | None = Field(default=None, max_length=1000, description="Who asks, for the server's log.")
    apar: Parallel = Parallel()

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, data: Any) -> Any:
        """Drop fields that ask for nothing, and say why those are refused that ask for what is not here."""
        if not isinstance(data, dict):
            return data
        return supported(data, cls.model_fields, refusal_of)

    @model_validator(mode="after")
    def _options_of_streams(self) -> Request:
        for name, given in (("stream_options", self.stream_options), ("apar.stream", self.apar.stream == "threads")):
            if given and not self.stream:
                raise wrong(name, f"{name} is of streams; set stream to true")
        return self

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(
        self, max_tokens: int, logprobs: int | None, forks: bool, max_parallel_threads: int | None = None
    ) -> SamplingParams:
        """The parameters of the answers, but for what rules fork.

        `forks` and `max_parallel_threads` are what holds if nothing is said.
        """
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return SamplingParams(
            max_tokens=max_tokens,
            temperature=self.temperature if self.top_p else 0.0,
            top_p=self.top_p or 1.0,
            top_k=max(self.top_k, 0),
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logit_bias={int(token): bias for token, bias in self.logit_bias.items()},
            logprobs=logprobs,
            seed=None if self.seed is None else self.seed % 2**64,
            stop=tuple(stops),
            n=self.n,
            fork=forks if self.apar.fork is None else self.apar.fork_policy != "off",
            max_threads=self.apar.max_threads,
            max_depth=self.apar.max_depth,
            max_parallel_threads=self.apar.max_parallel_threads or max_parallel_threads,
            repeated_leads=self.apar.repeated_leads,
            drafts=self.apar.drafts,
            draft_acceptance=self.apar.draft_acceptance,
        )


def supported(data: Mapping[str, Any], known: Container[str], refusal_of: RefusalOf) -> dict[str, Any]:
    """The fields of a part of a request, without those that ask for nothing.

    `refusal_of` says of a field that is not `known` why it is refused: None if it asks for nothing. Raises the
    reason, if there is one.
    """
    kept = {}
    for name, value in data.items():
        refusal = "" if name in known else refusal_of(name, value, data)
        if refusal:
            raise unsupported(name, refusal)
        if refusal is not None:
            kept[name] = value
    return kept


def unknown(field: str, known: Iterable[str]) -> PydanticCustomError:
    """There is no such field; `known` are those that there are."""
    [nearest] = difflib.get_close_matches(field[:_NAME], known, n=1) or [""]
    mend = f"; did you mean {nearest}?" if nearest else ""
    reason = f"unknown field {field[:_NAME]}{mend}"
    return PydanticCustomError("unknown", "{reason}", {"reason": reason, "field": field[:_NAME]})


def wrong(field: str, reason: str) -> PydanticCustomError:
    """What fields together ask for does not fit."""
    return PydanticCustomError("unfit", "{reason}", {"reason": reason, "field": field})


def unsupported(field: str, reason: str) -> PydanticCustomError:
    """A field asks for what is not here."""
    return PydanticCustomError("unsupported", "{reason}", {"reason": reason, "field": field})
