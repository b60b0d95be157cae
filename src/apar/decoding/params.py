"""What a request may ask of a generation. No torch here: the command line checks its options with this."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from apar.errors import RequestError
from apar.tokens import Message


@dataclass(frozen=True, slots=True)
class RawPrompt:
    """A text, or token ids, that the answer goes on from: no chat template is put around it.

    In a text the tokenizer's special tokens are recognised, as in a chat that somebody else has put into the
    template; control tokens are not, and are refused among token ids.
    """

    content: str | tuple[int, ...]


Prompt = str | Sequence[Message] | RawPrompt
"""A question: plain text is one user turn, otherwise the turns of a chat, or what is to be gone on from."""

RepeatedLeads = Literal["allow", "end"]
"""What becomes of a thread that says a lead of its list again: it goes on, or it ends before the repeated lead."""

DraftAcceptance = Literal["exact", "typical"]
"""When a draft token counts: if the model draws it, or if the model finds it likely enough, which is inexact."""

ForkBy = Literal["model", "rules", "auto"]
"""What forks: the model by its own tokens, rules by the form of its text (`apar.decoding.by_form`), or the model if it
has such tokens and else nothing (auto)."""

MAX_PRIORITY = 1_000_000
MAX_LOGPROBS = 20
MAX_BIAS = 100
MAX_PENALTY = 2
MIN_REPETITION, MAX_REPETITION = 0.01, 100
"""Far beyond what is of use; logits times these are still finite numbers."""

_SEED_BITS = 32


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How an answer is decoded; every limit is of the whole answer, all its threads together.

    `max_tokens` counts visible tokens. `stop` strings are matched in reading order and are no part of the text.
    With `fork` off the answer never forks: it is another answer, and one that a model trained to fork is not used
    to. `fork_by` "rules" forks by the form of the text, which any chat model can; a list then has `max_items` at most.
    `max_threads` counts every thread the answer ever has, the root included; `max_depth` is the length of the
    longest thread path. At most `max_parallel_threads` of its threads are decoded at the same time (None: as many as
    there are): with 1 the answer is the same, one thread at a time, which is sequential decoding. `n` answers are
    independent groups of threads. With `repeated_leads` "end" a thread ends where it would fork behind a lead that it
    has said before in the same list (`apar.decoding.leads` says what counts); the repeated lead is not shown, and
    what may yet become one is told later than it is sampled. Requests of higher `priority` run first, which changes
    no text, and nor does it to turn `drafts` off where the engine has some: a draft token counts only if the model
    draws it. With `draft_acceptance` "typical" it counts where the model finds it likely enough (Medusa,
    arXiv 2401.10774): at a temperature above 0 that is faster, and another distribution than the model's.

    A token is chosen in this order. `logit_bias` is added to the logits of its token ids. `repetition_penalty`
    divides positive logits of tokens that stand in the prompt or on the thread's own path and multiplies negative
    ones; `presence_penalty` is subtracted from the logit of every token that was sampled along the path, and
    `frequency_penalty` for each time it was (an ancestor's tokens count, another branch's do not, control tokens
    never). `temperature` 0 then takes the largest. Else the logits are divided by it, and of the tokens those are
    left that have at least `min_p` times the probability of the likeliest, of these the `top_k` likeliest (0:
    all), of these the fewest that together have probability `top_p`. `seed` None takes a fresh one, which the
    answer reports.

    With `logprobs` (0 to 20) the answer tells the log probability of every token and of so many of the likeliest,
    by the model itself: after tokens that may not come are banned, before everything above. Tokens that rules force
    were not drawn: theirs is 0, without others beside it.

    Raises RequestError where a value is out of its range.
    """

    max_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    logprobs: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    fork: bool = True
    max_threads: int = 32
    max_depth: int = 4
    max_parallel_threads: int | None = None
    repeated_leads: RepeatedLeads = "allow"
    priority: int = 0
    drafts: bool = True
    draft_acceptance: DraftAcceptance = "exact"
    fork_by: ForkBy = "model"
    max_items: int | None = None

    def __post_init__(self) -> None:
        _check_integer("max_tokens", self.max_tokens, 1)
        _check_number("temperature", self.temperature, "at least 0", lambda value: value >= 0)
        _check_number("top_p", self.top_p, "above 0 and at most 1", lambda value: 0 < value <= 1)
        _check_integer("top_k", self.top_k, 0)
        _check_number("min_p", self.min_p, "from 0 to 1", lambda value: 0 <= value <= 1)
        extent = f"from {MIN_REPETITION} to {MAX_REPETITION}"
        _check_number("repetition_penalty", self.repetition_penalty, extent, _is_repetition)
        for name in ("presence_penalty", "frequency_penalty"):
            extent = f"from {-MAX_PENALTY} to {MAX_PENALTY}"
            _check_number(name, getattr(self, name), extent, lambda value: abs(value) <= MAX_PENALTY)
        object.__setattr__(self, "logit_bias", _biases(self.logit_bias))
        if self.logprobs is not None:
            _check_integer("logprobs", self.logprobs, 0, MAX_LOGPROBS)
        if self.seed is not None:
            _check_integer("seed", self.seed, 0)
        for name in ("fork", "drafts"):
            if not isinstance(getattr(self, name), bool):
                raise RequestError(f"{name} is {getattr(self, name)!r}; it must be True or False")
        for name in ("n", "max_threads", "max_depth"):
            _check_integer(name, getattr(self, name), 1)
        if self.max_parallel_threads is not None:
            _check_integer("max_parallel_threads", self.max_parallel_threads, 1)
        if self.repeated_leads not in get_args(RepeatedLeads):
            raise RequestError(f"repeated_leads is {self.repeated_leads!r}; it must be 'allow' or 'end'")
        if self.draft_acceptance not in get_args(DraftAcceptance):
            raise RequestError(f"draft_acceptance is {self.draft_acceptance!r}; it must be 'exact' or 'typical'")
        if self.fork_by not in get_args(ForkBy):
            raise RequestError(f"fork_by is {self.fork_by!r}; it must be 'model', 'rules' or 'auto'")
        if self.max_items is not None:
            _check_integer("max_items", self.max_items, 1)
        _check_integer("priority", self.priority, -MAX_PRIORITY, MAX_PRIORITY)
        object.__setattr__(self, "stop", _stop_strings(self.stop))

    @property
    def by_rules(self) -> bool:
        """Whether the answer forks by the form of its text."""
        return self.fork and self.fork_by == "rules"

    @property
    def sequential(self) -> bool:
        """Whether the threads of an answer are decoded one at a time."""
        return self.max_parallel_threads == 1

    @property
    def penalises(self) -> bool:
        """Whether what was said before changes what comes."""
        return bool(self.presence_penalty or self.frequency_penalty or self.repetition_penalty != 1)

    @property
    def adjusts(self) -> bool:
        """Whether logits are changed before a token is taken."""
        return self.penalises or bool(self.logit_bias)


def fresh_seed() -> int:
    """A seed that nobody chose."""
    return secrets.randbits(_SEED_BITS)


def _check_integer(name: str, value: Any, least: int, most: int | None = None) -> None:
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
    if not fits or (most is not None and value > most):
        extent = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise RequestError(f"{name} is {value!r}; it must be a whole number {extent}")


def _check_number(name: str, value: Any, extent: str, fits: Callable[[float], bool]) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not fits(value):
        raise RequestError(f"{name} is {value!r}; it must be a number {extent}")


def _is_repetition(value: float) -> bool:
    return MIN_REPETITION <= value <= MAX_REPETITION


def _biases(biases: Any) -> Mapping[int, float]:
    if not isinstance(biases, Mapping):
        raise RequestError(f"logit_bias is {biases!r}; it must be a mapping of token ids to numbers")
    for token, bias in biases.items():
        _check_integer("a token id of logit_bias", token, 0)
        extent = f"from {-MAX_BIAS} to {MAX_BIAS}"
        _check_number(f"logit_bias of {token}", bias, extent, lambda value: abs(value) <= MAX_BIAS)
    # A copy: what is changed in the caller's own does not count. A plain one, which can be pickled.
    return dict(biases)


def _stop_strings(stop: Any) -> tuple[str, ...]:
    several = isinstance(stop, list | tuple)
    if not several or not all(isinstance(string, str) and string for string in stop):
        raise RequestError(f"stop is {stop!r}; it must be a tuple of strings, none of them empty")
    return tuple(stop)
