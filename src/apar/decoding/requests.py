"""From prompts to requests: what every way to ask the engine does first, so that errors come before anything runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apar.decoding.params import Prompt, RawPrompt, SamplingParams, fresh_seed
from apar.errors import ContextError, RequestError
from apar.tokens import ControlTokens, Message, PromptEncoder


@dataclass(frozen=True, slots=True)
class Request:
    """The token ids of a prompt, what is asked of its answer, and which of the `params.n` answers it is."""

    prompt: list[int]
    params: SamplingParams
    choice: int = 0


class RequestBuilder:
    """Encodes prompts, in any thread of the host program, and refuses those that cannot be served.

    `forks` says whether the model was trained to fork; `check` raises RequestError for what
    the engine cannot serve.
    """

    def __init__(self, tokenizer: Any, forks: bool, check: Callable[[Sequence[int], SamplingParams], None]) -> None:
        self.forks = forks
        self._tokenizer, self._check = tokenizer, check
        self._made: PromptEncoder | None = None
        self._lock = threading.Lock()

    @property
    def _encoder(self) -> PromptEncoder:
        """Made when the first prompt comes: where none does, the tokenizer need not be able to encode."""
        with self._lock:  # for making it changes an option of the tokenizer
            if self._made is None:
                self._made = PromptEncoder(self._tokenizer)
            return self._made

    def one(self, prompt: Prompt, params: SamplingParams | None) -> Request:
        """The request for one answer; raises RequestError, and ModelError where the model cannot fork and should."""
        wanted = params or SamplingParams()
        if wanted.n > 1:
            raise RequestError(
                f"n is {wanted.n}, and a stream is of one answer; ask for several streams, or for a batch"
            )
        return Request(self._encode(prompt, wanted), wanted)

    def many(
        self, prompts: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams] | None
    ) -> list[Request]:
        """The requests for the answers of all prompts, `n` for each; `params` are one for all or one for each.

        Raises as `one` does.
        """
        if isinstance(prompts, str):
            raise RequestError("prompts is one string; give a list of prompts")
        if any(isinstance(prompt, Mapping) for prompt in prompts):
            raise RequestError("prompts is one chat; give a list of chats, [[{...}]]")
        each = _params_for_each(len(prompts), params)
        return [
            request for prompt, wanted in zip(prompts, each, strict=True) for request in self._choices(prompt, wanted)
        ]

    def _choices(self, prompt: Prompt, params: SamplingParams) -> list[Request]:
        """The `n` requests of one prompt: of one seed, which the choice makes different random numbers of."""
        ids = self._encode(prompt, params)
        if params.n > 1 and params.seed is None:
            params = replace(params, seed=fresh_seed())
        return [Request(ids, params, choice) for choice in range(params.n)]

    def _encode(self, prompt: Prompt, params: SamplingParams) -> list[int]:
        if params.fork and not self.forks:
            ControlTokens.of(self._tokenizer)  # raises, naming what is missing
        ids = self._raw(prompt.content) if isinstance(prompt, RawPrompt) else self._chat(prompt)
        self._check(ids, params)
        return ids

    def _chat(self, prompt: str | Sequence[Message]) -> list[int]:
        return self._encoder.chat([{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt)

    def _raw(self, content: str | tuple[int, ...]) -> list[int]:
        if isinstance(content, str):
            return self._encoder.raw(content)
        self._encoder.check_ids(content)
        return list(content)


def check_length(prompt: Sequence[int], context: int) -> None:
    """Raise RequestError if a prompt is empty, ContextError if it leaves no room for an answer."""
    if not prompt:
        raise RequestError("the prompt has no tokens")
    if len(prompt) >= context:
        raise ContextError(
            f"the prompt has {len(prompt)} tokens, and the context of {context} tokens must also "
            "hold the answer; shorten the prompt"
        )


def _params_for_each(count: int, params: SamplingParams | Sequence[SamplingParams] | None) -> Sequence[SamplingParams]:
    if params is None or isinstance(params, SamplingParams):
        return [params or SamplingParams()] * count
    if len(params) != count:
        raise RequestError(f"there are {count} prompts and {len(params)} params; give one for all or one for each")
    return params
