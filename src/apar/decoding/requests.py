"""From prompts to requests: what every way to ask the engine does first, so that errors come before anything runs."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from apar.decoding.params import Prompt, RawPrompt, SamplingParams, fresh_seed
from apar.decoding.vocabulary import Vocabulary
from apar.errors import ContextError, RequestError
from apar.tokens import ControlTokens, Message, PromptEncoder


@dataclass(frozen=True, slots=True)
class Request:
    """The token ids of a prompt, what is asked of its answer, and which of the `params.n` answers it is.

    `question` is the text that the answer is to, without the turns before it: rules read it.
    """

    prompt: list[int]
    params: SamplingParams
    choice: int = 0
    question: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an engine can serve; `engine` is its name in messages.

    A path has `context` tokens at most, the prompt included. `vocabulary_size` None is not known. Without
    `penalties_see_forks` the engine cannot apply penalties to a path of several threads; `no_priorities` says why it
    has none, and what to do. Without `typical_drafts` it has drafts of its own, which are exact. `by_rules` says that
    it can fork by the form of the text, `logprobs_by_rules` that it tells log probabilities of such an answer, and
    `logprobs` that it tells any.
    """

    engine: str
    context: int
    control: ControlTokens | None = None
    vocabulary_size: int | None = None
    max_temperature: float = math.inf
    penalties_see_forks: bool = True
    no_priorities: str | None = None
    typical_drafts: bool = True
    by_rules: bool = False
    logprobs_by_rules: bool = True
    logprobs: bool = True

    def has(self, token: int) -> bool:
        """Whether the model has a token, as far as is known."""
        return self.vocabulary_size is None or token < self.vocabulary_size


class RequestBuilder:
    """Encodes prompts, in any thread of the host program, and refuses those that cannot be served."""

    def __init__(self, vocabulary: Vocabulary, limits: Limits) -> None:
        self._vocabulary, self._limits = vocabulary, limits
        self._made: PromptEncoder | None = None
        self._lock = threading.Lock()

    @property
    def _encoder(self) -> PromptEncoder:
        """Made when the first prompt comes: where none does, the tokenizer need not be able to encode."""
        with self._lock:  # for making it changes an option of the tokenizer
            if self._made is None:
                self._made = PromptEncoder(self._vocabulary.tokenizer)
            return self._made

    def build(self, prompt: Prompt, params: SamplingParams | None) -> Request:
        """The request for one answer; raises RequestError, and ModelError where the model cannot fork and should."""
        wanted = params or SamplingParams()
        if wanted.n > 1:
            raise RequestError(
                f"n is {wanted.n}, and a stream is of one answer; ask for several streams, or for a batch"
            )
        return self._request(prompt, wanted)

    def build_all(
        self, prompts: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams] | None
    ) -> list[Request]:
        """The requests for the answers of all prompts, `n` for each; `params` are one for all or one for each.

        Raises as `build` does.
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
        if params.n > 1 and params.seed is None:
            params = replace(params, seed=fresh_seed())
        request = self._request(prompt, params)
        return [replace(request, choice=choice) for choice in range(params.n)]

    def _request(self, prompt: Prompt, params: SamplingParams) -> Request:
        """The request for the first answer to a prompt."""
        self._check_fork(params)
        ids = self._raw(prompt.content) if isinstance(prompt, RawPrompt) else self._chat(turns(prompt))
        check(ids, params, self._limits)
        return Request(ids, params, question=self._question(prompt, params))

    def _check_fork(self, params: SamplingParams) -> None:
        """Raise ModelError where the model cannot fork and should."""
        if params.fork and params.fork_by == "model" and not (params.sequential or self._vocabulary.forks):
            ControlTokens.of(self._vocabulary.tokenizer)  # raises, naming what is missing

    def _question(self, prompt: Prompt, params: SamplingParams) -> str:
        """The text of the last turn, where rules read it."""
        if not params.by_rules:
            return ""
        if isinstance(prompt, RawPrompt):
            content = prompt.content
            return content if isinstance(content, str) else self._vocabulary.decode(list(content))
        return prompt if isinstance(prompt, str) else prompt[-1]["content"]

    def _chat(self, messages: Sequence[Message]) -> list[int]:
        return self._encoder.chat(messages)

    def _raw(self, content: str | tuple[int, ...]) -> list[int]:
        if isinstance(content, str):
            return self._encoder.raw(content)
        self._encoder.check_ids(content)
        return list(content)


def turns(prompt: str | Sequence[Message]) -> Sequence[Message]:
    """A prompt as the turns of a chat."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def check(prompt: Sequence[int], params: SamplingParams, limits: Limits) -> None:
    """Raise RequestError for what the engine cannot serve, ContextError for a prompt that leaves no room."""
    _check_length(prompt, limits.context)
    if unknown := [token for token in params.logit_bias if not limits.has(token)]:
        raise RequestError(f"logit_bias names token {unknown[0]}; the model has {limits.vocabulary_size} tokens")
    if limits.control is not None and limits.control.child in params.logit_bias:
        raise RequestError(f"logit_bias names token {limits.control.child}, which is [Child] and never sampled")
    if params.temperature > limits.max_temperature:
        raise RequestError(
            f"temperature is {params.temperature}; with {limits.engine} it must be at most {limits.max_temperature}"
        )
    if params.fork and params.penalises and not limits.penalties_see_forks:
        raise RequestError(
            f"penalties are of what a thread's whole path has said, and {limits.engine} applies them to the tokens of "
            "one request only: leave them out, or decode without forks (--fork off, fork=False)"
        )
    if params.by_rules and not limits.by_rules:
        raise RequestError(f"{limits.engine} cannot fork by the form of the text: leave out fork_by 'rules'")
    if params.logprobs is not None and not (limits.logprobs_by_rules if params.by_rules else limits.logprobs):
        answer = "an answer that forks by the form of its text" if limits.logprobs else "its answers"
        raise RequestError(f"{limits.engine} tells no log probabilities of {answer}: leave logprobs out")
    if params.priority and limits.no_priorities is not None:
        raise RequestError(limits.no_priorities)
    if params.draft_acceptance != "exact" and not limits.typical_drafts:
        raise RequestError(
            f"{limits.engine} accepts drafts exactly; leave draft_acceptance {params.draft_acceptance!r} out"
        )


def _check_length(prompt: Sequence[int], context: int) -> None:
    if not prompt:
        raise RequestError("the prompt has no tokens")
    if len(prompt) >= context:
        size = f"the prompt has {len(prompt)} tokens"
        raise ContextError.of(
            context, f"{size}, and the context of {context} tokens must also hold the answer; shorten the prompt"
        )


def _params_for_each(count: int, params: SamplingParams | Sequence[SamplingParams] | None) -> Sequence[SamplingParams]:
    if params is None or isinstance(params, SamplingParams):
        return [params or SamplingParams()] * count
    if len(params) != count:
        raise RequestError(f"there are {count} prompts and {len(params)} params; give one for all or one for each")
    return params
