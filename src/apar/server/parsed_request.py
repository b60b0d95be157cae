"""A request that was checked, whichever of the two formats it came in."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from apar.backends.backend import Backend
from apar.decoding.params import Prompt, RawPrompt, SamplingParams
from apar.errors import ContextError
from apar.server.forking import Forking, requested
from apar.server.protocol.chat import ChatRequest
from apar.server.protocol.completion import CompletionRequest
from apar.server.response_format import ChatFormat, CompletionFormat, ResponseFormat
from apar.server.token_text import TokenTexts

_DEFAULT = Forking()
CHARACTERS_PER_TOKEN = 32
"""Far more than text has, in any language; only runs of blanks have as many."""


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """Prompts, each with `params.n` answers, and what responses have. `model` is the name that the client used."""

    format: ResponseFormat
    model: str
    prompts: tuple[Prompt, ...]
    params: SamplingParams
    include_usage: bool
    threads: bool
    metrics: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def of(
        cls,
        request: ChatRequest | CompletionRequest,
        backend: Backend,
        texts: TokenTexts,
        forking: Forking = _DEFAULT,
        max_parallel_threads: int | None = None,
    ) -> ParsedRequest:
        """`forking` and `max_parallel_threads` hold for a request that does not say so itself.

        Raises RequestError where the parameters do not fit, ContextError for a prompt that is far too long, and
        ApiError where the backend cannot fork so.
        """
        wanted = requested(request.apar, forking, backend)
        params = wanted.applied(request.params(backend.context, False, max_parallel_threads), backend)
        threads = request.apar.stream == "threads"
        prompts: tuple[Prompt, ...]
        response_format: ResponseFormat
        if isinstance(request, ChatRequest):
            prompts, response_format = ([turn.message() for turn in request.messages],), ChatFormat(texts)
        else:
            prompts, response_format = tuple(request.prompts), CompletionFormat(texts)
        _check_size(prompts, backend.context)
        return cls(
            response_format, request.model, prompts, params, request.include_usage, threads, request.apar.metrics
        )

    @property
    def num_answers(self) -> int:
        """How many are asked for."""
        return len(self.prompts) * self.params.n

    @property
    def logprobs(self) -> bool:
        return self.params.logprobs is not None

    @property
    def envelope(self) -> dict[str, Any]:
        """What is around the choices, in an answer or a chunk."""
        return {
            "id": self.format.id_prefix + self.id,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": None,
        }


def _check_size(prompts: tuple[Prompt, ...], context: int) -> None:
    """Raise ContextError for a prompt that is far too long, before time is spent on its tokens."""
    limit = CHARACTERS_PER_TOKEN * context
    for prompt in prompts:
        size = _size(prompt)
        if size > limit:
            raise ContextError.of(
                context, f"the prompt has {size} characters, and at most {limit} are taken for it; shorten the prompt"
            )


def _size(prompt: Prompt) -> int:
    """Characters of a prompt; tokens, which are as many as they are, have none."""
    if isinstance(prompt, str):
        return len(prompt)
    if isinstance(prompt, RawPrompt):
        return len(prompt.content) if isinstance(prompt.content, str) else 0
    return sum(len(message["content"]) for message in prompt)
