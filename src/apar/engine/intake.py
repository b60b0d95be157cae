"""From prompts to requests: what every way to ask the engine does first, so that errors come before anything runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apar.engine.params import Prompt, SamplingParams
from apar.errors import RequestError
from apar.tokens import ControlTokens, encode_prompt


@dataclass(frozen=True, slots=True)
class Request:
    """The token ids of a prompt, and what is asked of its answer."""

    prompt: list[int]
    params: SamplingParams


class Intake:
    """Encodes prompts, in any thread of the host program, and refuses those that cannot be served.

    `forks` says whether the model was trained to fork; `check` raises RequestError for a prompt of the wrong length.
    """

    def __init__(self, tokenizer: Any, forks: bool, check: Callable[[Sequence[int]], None]) -> None:
        self._tokenizer, self._forks, self._check = tokenizer, forks, check
        # A tokenizer keeps the options of a call as its state: without the lock, the text `[Fork]` of one prompt
        # becomes a control token while another prompt is being encoded.
        self._lock = threading.Lock()

    def one(self, prompt: Prompt, params: SamplingParams | None) -> Request:
        """The request for one answer; raises RequestError, and ModelError where the model cannot fork and should."""
        wanted = params or SamplingParams()
        return Request(self._encode(prompt, wanted), wanted)

    def many(
        self, prompts: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams] | None
    ) -> list[Request]:
        """The requests for the answers of all prompts; `params` are one for all or one for each. Raises as `one`."""
        if isinstance(prompts, str):
            raise RequestError("prompts is one string; give a list of prompts")
        if any(isinstance(prompt, Mapping) for prompt in prompts):
            raise RequestError("prompts is one chat; give a list of chats, [[{...}]]")
        each = _params_for_each(len(prompts), params)
        return [self.one(prompt, wanted) for prompt, wanted in zip(prompts, each, strict=True)]

    def _encode(self, prompt: Prompt, params: SamplingParams) -> list[int]:
        if params.fork and not self._forks:
            ControlTokens.of(self._tokenizer)  # raises, naming what is missing
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        with self._lock:
            ids = encode_prompt(self._tokenizer, messages)
        self._check(ids)
        return ids


def _params_for_each(count: int, params: SamplingParams | Sequence[SamplingParams] | None) -> Sequence[SamplingParams]:
    if params is None or isinstance(params, SamplingParams):
        return [params or SamplingParams()] * count
    if len(params) != count:
        raise RequestError(f"there are {count} prompts and {len(params)} params; give one for all or one for each")
    return params
