"""What a request asks for, whichever of the two forms it came in."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from apar.backends.backend import Backend
from apar.decoding.params import Prompt, RawPrompt, SamplingParams
from apar.errors import ContextError
from apar.server.forms import ChatForm, CompletionForm, Form
from apar.server.protocol.chat import ChatRequest
from apar.server.protocol.completion import CompletionRequest

CHARACTERS_PER_TOKEN = 32
"""Far more than text has, in any language; only runs of blanks have as many."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Prompts, each with `params.n` answers, and how they are told. `model` is the name that the client used."""

    form: Form
    model: str
    prompts: tuple[Prompt, ...]
    params: SamplingParams
    include_usage: bool
    threads: bool
    metrics: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def chat(cls, request: ChatRequest, backend: Backend) -> Asked:
        """Raises RequestError where the parameters do not fit."""
        prompt = [turn.message() for turn in request.messages]
        return cls._of(request, ChatForm(), (prompt,), request.params(backend.context, backend.forks))

    @classmethod
    def completion(cls, request: CompletionRequest, backend: Backend) -> Asked:
        """Raises RequestError where the parameters do not fit."""
        prompts = tuple(request.prompts)
        return cls._of(request, CompletionForm(), prompts, request.params(backend.context, backend.forks))

    @classmethod
    def _of(
        cls,
        request: ChatRequest | CompletionRequest,
        form: Form,
        prompts: tuple[Prompt, ...],
        params: SamplingParams,
    ) -> Asked:
        threads = request.apar.stream == "threads"
        return cls(form, request.model, prompts, params, request.include_usage, threads, request.apar.metrics)

    def check_size(self, context: int) -> None:
        """Raise ContextError for a prompt that is far too long, before time is spent on its tokens."""
        most = CHARACTERS_PER_TOKEN * context
        for prompt in self.prompts:
            size = _size(prompt)
            if size > most:
                raise ContextError(
                    f"the prompt has {size} characters, and for a context of {context} tokens at most {most} are "
                    "taken; shorten the prompt"
                )

    @property
    def answers(self) -> int:
        """How many are asked for."""
        return len(self.prompts) * self.params.n

    @property
    def logprobs(self) -> bool:
        return self.params.logprobs is not None

    def envelope(self, kind: str) -> dict[str, Any]:
        """What is around the choices, in an answer or a chunk."""
        return {
            "id": self.form.prefix + self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": None,
        }


def _size(prompt: Prompt) -> int:
    """Characters of a prompt; tokens, which are as many as they are, have none."""
    if isinstance(prompt, str):
        return len(prompt)
    if isinstance(prompt, RawPrompt):
        return len(prompt.content) if isinstance(prompt.content, str) else 0
    return sum(len(message["content"]) for message in prompt)
