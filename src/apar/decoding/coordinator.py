"""Forking over an engine that knows sequences only: what its tokens mean for an answer, and what to ask of it next.

Every thread of an answer is an ordinary request to the engine, a *run*: go on behind these tokens. Runs of one
answer advance at different speeds; the answer does not depend on that. A token counts when every live thread has
one for the same logical step: then the step is completed by the very rules of the engine in process
(`apar.decoding.lockstep`), with the same events. What those rules forbid, such as one `[Fork]` too many, is known
only then: the run is taken back to the place and goes on with the token banned there.

A child is begun as soon as its `[Fork]` arrives if the rules are likely to grant it, before the step is complete.
Plain data: who drives a conductor feeds it tokens and carries out its orders.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from apar.decoding.grammar import may_end, may_fork
from apar.decoding.group import Choice, Group, Thread
from apar.decoding.lockstep import complete_step
from apar.errors import RunError
from apar.events import TokenLogprob
from apar.tree import ROOT, Path

_SEED_BITS = 63


@dataclass(frozen=True, slots=True)
class Sampled:
    """A token that an engine sampled."""

    token: int
    logprob: TokenLogprob | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SequenceRequest:
    """One request to the engine: sample behind `tokens`, until an end-of-sequence or for `limit` tokens.

    `sampled` of `tokens` are the thread's own, of an earlier run. Tokens that are `banned` must not be sampled.
    `number` counts the answer's runs; `parent` is the number of the run whose tokens these begin with, None for the
    first run of all. `opens` says that the run is its thread's first.
    """

    number: int
    thread: Path
    tokens: tuple[int, ...]
    sampled: int
    limit: int
    banned: frozenset[int]
    parent: int | None
    opens: bool

    def seed(self, group: Group) -> int:
        """Of the run's random numbers: another one for every thread, and for every place where a thread goes on."""
        key = repr((group.seed, group.choice, self.thread, self.sampled)).encode()
        return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) >> (64 - _SEED_BITS)


@dataclass(slots=True)
class Actions:
    """What the engine is to do next: end these runs, then begin those."""

    end: list[SequenceRequest] = field(default_factory=list)
    begin: list[SequenceRequest] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _ThreadProgress:
    """What the engine has sampled for one thread, which may be ahead of the answer.

    `start` is the path up to the thread's first own token. Of `sampled` the first `taken` count; `forks` of them
    all are `[Fork]`s. `refused` are the tokens that may not stand next, `forkless` says that no `[Fork]` may.
    """

    path: Path
    start: tuple[int, ...]
    forkless: bool
    sampled: list[Sampled] = field(default_factory=list)
    taken: int = 0
    forks: int = 0
    refused: frozenset[int] = frozenset()
    run: SequenceRequest | None = None
    last_run: int | None = None

    @property
    def starving(self) -> bool:
        return self.taken == len(self.sampled)

    @property
    def tokens(self) -> tuple[int, ...]:
        return self.start + tuple(one.token for one in self.sampled)


class ForkCoordinator:
    """The threads of one answer, and the runs that decode them.

    `group` has its root thread and nothing decoded; its events and threads are always those of the last complete
    logical step. `on_step` is told every step's tokens in path order, control tokens included.
    """

    def __init__(self, group: Group, on_step: Callable[[Sequence[Sampled]], None] | None = None) -> None:
        self.group = group
        self._on_step = on_step
        self._orders = Actions()
        self._runs = 0
        [root] = group.threads
        self._lanes = {ROOT: _ThreadProgress(ROOT, tuple(root.tokens), self._never_forks(ROOT))}
        # The live threads of the group, and how many of them have no token for the step under way.
        self._live = {ROOT}
        self._starving = 1
        # Tokens of all lanes that do not count yet.
        self._ahead = 0
        self._begin(self._lanes[ROOT])

    def orders(self) -> Actions:
        """What is to be done since the last time this was asked."""
        orders, self._orders = self._orders, Actions()
        return orders

    def take(self, run: SequenceRequest, news: Sequence[Sampled], ended: bool) -> None:
        """Take in what a run sampled; `ended` says that the engine samples no more for it.

        News of a run that was to end are of no interest any more. Raises RunError where the engine breaks a rule
        that it was given.
        """
        if not self.wants(run):
            return
        lane = self._lanes[run.thread]
        if ended and not news and lane.taken == len(lane.sampled) and len(lane.tokens) == len(run.tokens):
            raise RunError(f"the engine ended thread {run.thread} of {self.group.name} without a token")
        hungry = lane.starving and lane.path in self._live
        for one in news:
            lane.sampled.append(one)
            self._ahead += 1
            if one.token in self.group.eos:
                ended = ended or self._end(lane)
                break
            if one.token == self.group.fork:
                self._foresee(lane)
        if ended:
            lane.run = None
        if hungry and not lane.starving:
            self._starving -= 1
        self._advance()
        if lane.run is None and self._lanes.get(lane.path) is lane:
            self._go_on(lane)

    def wants(self, run: SequenceRequest) -> bool:
        """Whether what the run samples is still of interest."""
        lane = self._lanes.get(run.thread)
        return lane is not None and lane.run is run

    def abort(self) -> None:
        """End all runs. The group is left as it is."""
        for lane in self._lanes.values():
            if lane.run is not None:
                self._end(lane)
        self._lanes, self._ahead = {}, 0

    def _advance(self) -> None:
        """Complete the logical steps for which every live thread has a token."""
        while not self.group.done and not self._starving:
            if refused := self._refused():
                for lane, token in refused:
                    self._refuse(lane, token)
                self._count_starving()
                return
            self._complete()

    def _complete(self) -> None:
        group = self.group
        step = []
        for thread in group.threads:
            lane = self._lanes[thread.path]
            one = lane.sampled[lane.taken]
            lane.taken, lane.refused = lane.taken + 1, frozenset()
            thread.choice = Choice(one.token, one.token, one.logprob, one.logprob)
            step.append(one)
        self._ahead -= len(step)
        ended = complete_step(group)
        self._live = {thread.path for thread in group.threads}
        if self._on_step is not None:
            self._on_step(step)
        for thread in ended:
            self._close(thread.path)
        if group.done:
            self.abort()
            return
        for thread in group.threads:
            if thread.path not in self._lanes:
                self._open(thread.path, tuple(thread.tokens))
        self._count_starving()

    def _count_starving(self) -> None:
        self._starving = sum(self._lanes[thread.path].starving for thread in self.group.threads)

    def _refused(self) -> list[tuple[_ThreadProgress, int]]:
        """The lanes whose next token the rules of forking forbid, with the token."""
        created = self.group.created
        refused = []
        for thread in self.group.threads:
            lane = self._lanes[thread.path]
            token = lane.sampled[lane.taken].token
            if token == self.group.fork and created < self.group.params.max_threads and may_fork(self.group, thread):
                created += 1
            elif self._forbidden(thread, token):
                refused.append((lane, token))
        return refused

    def _forbidden(self, thread: Thread, token: int) -> bool:
        control = self.group.control
        if control is not None and token in (control.fork, control.child):
            return True
        return token in self.group.eos and not may_end(thread)

    def _refuse(self, lane: _ThreadProgress, token: int) -> None:
        """Take a lane back to its next token, and have another one sampled there."""
        if token in lane.refused:
            raise RunError(f"the engine sampled token {token} of {self.group.name} though it was banned")
        lane.refused |= self.group.eos if token in self.group.eos else {token}
        self._ahead -= len(lane.sampled) - lane.taken
        del lane.sampled[lane.taken :]
        lane.forks = sum(one.token == self.group.fork for one in lane.sampled)
        if token == self.group.fork and self.group.created >= self.group.params.max_threads:
            lane.forkless = True
        for other in [other for other in self._lanes.values() if self._is_after(other, lane)]:
            self._close(other.path)
        if lane.run is not None:
            self._end(lane)
        self._begin(lane)

    def _is_after(self, other: _ThreadProgress, lane: _ThreadProgress) -> bool:
        """Whether a thread comes from a fork that `lane` does not have any more."""
        depth = len(lane.path)
        return other.path[:depth] == lane.path and len(other.path) > depth and other.path[depth] >= lane.forks

    def _foresee(self, lane: _ThreadProgress) -> None:
        """Begin the child of the `[Fork]` that came last, if it is likely to be granted."""
        child = (*lane.path, lane.forks)
        lane.forks += 1
        params, control = self.group.params, self.group.control
        assert control is not None
        before = lane.sampled[-2].token if len(lane.sampled) > 1 else control.fork
        unborn = len(self._lanes) - len(self._live)
        likely = (
            not lane.forkless
            and before != control.fork
            and self.group.created + unborn < params.max_threads
            and self.group.budget - self._ahead >= 2 * len(self._lanes)
        )
        tokens = (*lane.tokens, control.child)
        if likely and len(tokens) < self.group.context:
            self._open(child, tokens)

    def _open(self, path: Path, tokens: tuple[int, ...]) -> None:
        self._lanes[path] = _ThreadProgress(path, tokens, self._never_forks(path))
        self._begin(self._lanes[path])

    def _never_forks(self, path: Path) -> bool:
        """Whether no thread with this path may fork; nothing that depends on how fast others are."""
        params = self.group.params
        return not params.fork or len(path) >= params.max_depth or params.max_threads == 1

    def _go_on(self, lane: _ThreadProgress) -> None:
        """The engine ended a run before its thread has ended."""
        if not (lane.sampled and lane.sampled[-1].token in self.group.eos):
            self._begin(lane)

    def _begin(self, lane: _ThreadProgress) -> None:
        """Order a run that goes on where the lane ends. After a refusal it is of one token."""
        control, group = self.group.control, self.group
        tokens = lane.tokens
        forks = group.params.max_threads + 1 if group.params.fork else 0
        limit = min(group.params.max_tokens + forks, group.context - len(tokens))
        if limit < 1:
            return
        banned = lane.refused if lane.starving else frozenset()
        limit = 1 if banned else limit
        if control is not None:
            banned |= {control.child, control.fork} if lane.forkless else {control.child}
        parent = self._lanes[lane.path[:-1]].last_run if lane.last_run is None and len(lane.path) > 1 else lane.last_run
        run = SequenceRequest(
            self._runs, lane.path, tokens, len(lane.sampled), limit, banned, parent, lane.last_run is None
        )
        self._runs += 1
        lane.run, lane.last_run = run, run.number
        self._orders.begin.append(run)

    def _close(self, path: Path) -> None:
        """The thread has ended, and children of it that were only foreseen are not to be."""
        lane = self._lanes.pop(path, None)
        if lane is None:
            return
        self._ahead -= len(lane.sampled) - lane.taken
        if lane.run is not None:
            self._end(lane)
        if len(self._lanes) > len(self._live - {path}):
            for other in [other for other in self._lanes if other[:-1] == path and other not in self._live]:
                self._close(other)

    def _end(self, lane: _ThreadProgress) -> bool:
        """Order the lane's run to end; it has ended as far as the lane is concerned."""
        run, lane.run = lane.run, None
        assert run is not None
        if run in self._orders.begin:  # nobody has begun it yet
            self._orders.begin.remove(run)
            lane.last_run = None if run.opens else run.parent
        else:
            self._orders.end.append(run)
        return True
