"""The state of an answer under way: its threads and their group."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Literal

from apar.assemble import Assembler
from apar.decoding.by_form.form_tokens import FormTokens
from apar.decoding.by_form.thread_form import ThreadForm, WhyNotForked
from apar.decoding.detokenize import Detokenizer
from apar.decoding.forced_answer import ForcedAnswer
from apar.decoding.grammar import ForkLimits, Grammar, GroupState, ThreadState
from apar.decoding.leads import Leads
from apar.decoding.params import SamplingParams, fresh_seed
from apar.decoding.requests import Request
from apar.decoding.vocabulary import Vocabulary
from apar.errors import AparError
from apar.events import Delta, Event, Finished, TokenLogprob
from apar.tokens import ControlTokens
from apar.tree import ROOT, ThreadPath


@dataclass(frozen=True, slots=True)
class Sampled:
    """A token that an engine sampled, or that was forced on a thread.

    `banned` are the tokens that the grammar did not allow there, as far as the engine knew: None where it need not
    be looked at again.
    """

    token: int
    logprob: TokenLogprob | None = None
    banned: frozenset[int] | None = field(default=None, compare=False)


@dataclass(slots=True, eq=False)
class Thread:
    """One root-to-leaf path that is being decoded.

    `tokens` is the whole path, the prompt first; a token's index is its path position. `starts` has, for
    every thread along the path, the index of the first token that it sampled; this thread's own is the last. `shares`
    has for each of them how many of the first tokens are its parent's, too.
    """

    path: ThreadPath
    tokens: list[int]
    starts: tuple[int, ...]
    detokenizer: Detokenizer
    children: int = 0
    finished: bool = False
    shares: tuple[int, ...] = (0,)

    # Set by the scheduler: the block table, how many tokens have their keys and values in it, and the nodes
    # of the prefix cache after the full blocks.
    blocks: list[int] = field(default_factory=list)
    stored: int = 0
    prefix_nodes: list[int] = field(default_factory=list)

    # Tokens that do not count yet, the next one first: sampled or forced. They count when every live thread has one.
    # Those of `refused` had been sampled next, against the grammar: another token is to be.
    ahead: deque[Sampled] = field(default_factory=deque)
    refused: frozenset[int] = frozenset()

    # Where a repeated lead ends the thread: its leads so far, and the deltas of a node that may yet be one of them.
    leads: Leads | None = None
    held: list[Delta] = field(default_factory=list)

    # What its text is read by, where the answer forks by the form of the text, and how many leads did not fork, by
    # reason.
    form: ThreadForm | None = None
    not_forked: Counter[WhyNotForked] = field(default_factory=Counter)

    @property
    def repeats_lead(self) -> bool:
        """Whether a `[Fork]` would now stand behind a repeated lead, and that ends the thread."""
        return self.leads is not None and self.leads.repeats

    @property
    def sampled(self) -> int:
        """How many tokens the thread sampled, `[Fork]` included."""
        return len(self.tokens) - self.starts[-1]

    @property
    def length(self) -> int:
        """How many tokens the path has with what is ahead."""
        return len(self.tokens) + len(self.ahead)

    @property
    def decoded(self) -> list[int]:
        """The path, and behind it what is ahead."""
        return [*self.tokens, *(sampled.token for sampled in self.ahead)] if self.ahead else self.tokens

    @property
    def state(self) -> ThreadState:
        """What the grammar asks of a thread."""
        return ThreadState(len(self.path), len(self.tokens), self.sampled, self.tokens[-1])

    def common(self, other: Thread) -> int:
        """How many leading tokens the two paths of one answer share."""
        level = next(
            (k for k, (a, b) in enumerate(zip(self.path, other.path, strict=False)) if a != b),
            min(len(self.path), len(other.path)),
        )
        return min(thread.shares[level] for thread in (self, other) if len(thread.path) > level)


@dataclass(slots=True, eq=False)
class Group:
    """All threads of one answer. `choice` numbers the answers that one request asks for."""

    number: int
    params: SamplingParams
    seed: int
    control: ControlTokens | None
    eos: frozenset[int]
    context: int
    prompt_tokens: int
    threads: list[Thread]
    choice: int = 0
    # What the threads are to sample, where that is given (benchmarks).
    forced: ForcedAnswer | None = None

    # The answer so far. `threads` are those not finished, in path order; `early` are children of `[Fork]`s that do
    # not count yet, which are decoded already; `created` counts all threads there ever were; `budget` is the visible
    # tokens left.
    step: int = 0
    created: int = 1
    budget: int = field(init=False)
    grammar: Grammar = field(init=False)
    events: list[Event] = field(default_factory=list)
    error: AparError | None = None
    early: list[Thread] = field(default_factory=list)

    # The same of all its threads.
    not_forked: Counter[WhyNotForked] = field(default_factory=Counter)

    # By time.perf_counter: when the request came, when the first pass with a row of ours began, when the first
    # visible token was there (0.0: not yet), and when the answer was complete.
    began: float = field(default_factory=time.perf_counter)
    entered: float = 0.0
    first_token: float = 0.0
    ended: float = 0.0

    # Counted by the scheduler: how many threads hold each block, the most distinct blocks there were, forward
    # passes with a row of ours, successive passes without one, times that threads lost their blocks, and prompt
    # tokens that were found in the cache.
    holders: Counter[int] = field(default_factory=Counter)
    blocks_peak: int = 0
    passes: int = 0
    passes_skipped: int = 0
    preemptions: int = 0
    cached_tokens: int = 0

    # Of each thread, by how far behind the path: draft tokens that were verified there, and those that were right.
    drafted: dict[ThreadPath, list[int]] = field(default_factory=dict)
    accepted: dict[ThreadPath, list[int]] = field(default_factory=dict)

    # The text, put together as far as somebody asked for it: `assembled` events.
    _assembler: Assembler = field(init=False)
    assembled: int = 0

    @classmethod
    def start(
        cls, number: int, request: Request, vocabulary: Vocabulary, context: int, detokenizer: Detokenizer
    ) -> Group:
        """The group of a request that was checked. Where the request has no seed, it takes a fresh one."""
        prompt, params = list(request.prompt), request.params
        seed = fresh_seed() if params.seed is None else params.seed
        root = Thread(ROOT, prompt, (len(prompt),), detokenizer)
        # Rules know themselves what a repeated lead is.
        root.leads = Leads() if params.repeated_leads == "end" and not params.by_rules else None
        control, eos = vocabulary.control, vocabulary.eos
        return cls(number, params, seed, control, eos, context, len(prompt), [root], request.choice)

    def read_form(self, tokens: FormTokens, request: Request) -> None:
        """Have the answer fork by the form of its text. Called before anything is decoded."""
        [root] = self.threads
        root.form = ThreadForm(tokens, request.question, len(root.tokens), self.params.max_items)

    def __post_init__(self) -> None:
        params = self.params
        self.budget = params.max_tokens
        limits = ForkLimits(params.fork and not params.by_rules, params.max_threads, params.max_depth, self.context)
        self.grammar = Grammar(self.control, self.eos, limits)
        self._assembler = Assembler(params.stop)

    @property
    def assembler(self) -> Assembler:
        """The answer's text so far."""
        for event in self.events[self.assembled :]:
            self._assembler.feed(event)
        self.assembled = len(self.events)
        return self._assembler

    @property
    def decoding(self) -> list[Thread]:
        """All threads that are decoded, in path order: the live ones, and those that were started early."""
        return sorted((*self.threads, *self.early), key=lambda thread: thread.path) if self.early else self.threads

    def drafts_of(self, path: ThreadPath) -> tuple[int, int]:
        """How many draft tokens were verified for a thread, and how many of them were right."""
        return sum(self.drafted.get(path, ())), sum(self.accepted.get(path, ()))

    @property
    def blocks(self) -> int:
        """Distinct blocks that the threads hold; other groups may hold some of them too."""
        return len(self.holders)

    @property
    def done(self) -> bool:
        return not self.threads

    @property
    def state(self) -> GroupState:
        """What the grammar asks of a group, before a logical step."""
        return GroupState(len(self.threads), self.created, self.budget)

    def banned(self, thread: Thread, state: ThreadState, is_next: bool = True) -> frozenset[int]:
        """The tokens that may not come behind a thread in that state.

        Unless it `is_next`, behind what counts, the form of the text up to there is not known: then it is a guess.
        """
        banned = self.grammar.banned(state, self.state)
        return banned if thread.form is None else thread.form.banned(banned, is_next)

    @property
    def ready(self) -> bool:
        """Whether every live thread has a token for the next logical step."""
        return bool(self.threads) and all(thread.ahead for thread in self.threads)

    @property
    def visible_tokens(self) -> int:
        """How many were decoded so far."""
        return self.params.max_tokens - self.budget

    @property
    def finish_reason(self) -> Literal["stop", "length"]:
        """Of a finished answer: `length` where the budget or the context cut any of its threads."""
        cut = any(isinstance(event, Finished) and event.reason == "length" for event in self.events)
        return "length" if cut and not self.assembler.stopped else "stop"

    @property
    def name(self) -> str:
        return f"request {self.number}"
