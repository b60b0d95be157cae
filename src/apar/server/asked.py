"""What a request asks for, whichever of the two forms it came in."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from apar.backends.streams import Backend
from apar.engine.params import Prompt, SamplingParams
from apar.server.forms import ChatForm, CompletionForm, Form
from apar.server.protocol.chat import ChatRequest
from apar.server.protocol.completion import CompletionRequest


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
