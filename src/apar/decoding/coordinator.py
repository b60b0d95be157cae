"""Forking over an engine that knows sequences only: what its tokens mean for an answer, and what to ask of it next.

Every thread of an answer is decoded by ordinary requests to the engine: go on behind these tokens. The requests of
one answer advance at different speeds; the answer does not depend on that. A token counts when every live thread has
one for the same logical step: then the step is completed by the very rules of the engine in process
(`apar.decoding.lockstep`), with the same events. What the grammar forbids, such as one `[Fork]` too many, is known
only then: the thread is taken back to that token and goes on with it banned.

A child is started as soon as its `[Fork]` arrives if the grammar is likely to grant it, before the step is complete.
Plain data: who drives a coordinator feeds it tokens and carries out its actions.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from apar.decoding.group import Group, Sampled, Thread
from apar.decoding.lockstep import Completed, complete_step
from apar.errors import RunError
from apar.tree import ThreadPath

_SEED_BITS = 63

_RUN_AHEAD = 16
"""Tokens that a thread may always be ahead of the others: requests to an engine never advance quite evenly."""


@dataclass(frozen=True, slots=True, eq=False)
class SequenceRequest:
    """One request to the engine: sample behind `tokens`, until an end-of-sequence or for `limit` tokens.

    `sampled` of `tokens` are the thread's own, of an earlier request. Tokens that are `banned` must not be sampled.
    `number` counts the answer's requests; `parent` is the number of the request whose tokens these begin with, None
    for the first request of all. `opens` says that the request is its thread's first. `tries` counts the tokens that
    were sampled there before and refused.
    """

    number: int
    thread: ThreadPath
    tokens: tuple[int, ...]
    sampled: int
    limit: int
    banned: frozenset[int]
    parent: int | None
    opens: bool
    tries: int = 0

    def seed(self, group: Group) -> int:
        """Of the request's random numbers: another one for every thread, wherever it goes on, and for every try."""
        place = (group.seed, group.choice, self.thread, self.sampled)
        key = repr((*place, self.tries) if self.tries else place).encode()
        return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) >> (64 - _SEED_BITS)


@dataclass(slots=True)
class Actions:
    """What the engine is to do next: abort these requests, then start those."""

    abort: list[SequenceRequest] = field(default_factory=list)
    start: list[SequenceRequest] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _ThreadProgress:
    """What the engine has sampled for one thread, which may be ahead of the answer.

    `start` is the path up to the thread's first own token. `ahead` are the tokens that do not count yet, the very
    queue of `thread` once the answer has come to the thread. Of all its tokens `forks` are `[Fork]`s; `forkless` says
    that no further one may be.
    """

    path: ThreadPath
    start: tuple[int, ...]
    forkless: bool
    thread: Thread | None = None
    ahead: deque[Sampled] = field(default_factory=deque)
    forks: int = 0
    request: SequenceRequest | None = None
    last_request: int | None = None

    @property
    def needs_token(self) -> bool:
        return not self.ahead

    @property
    def sampled(self) -> int:
        """Tokens of its own, those ahead included."""
        return len(self.ahead) + (self.thread.sampled if self.thread else 0)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The path, with what is ahead."""
        path = self.start if self.thread is None else tuple(self.thread.tokens)
        return path + tuple(sampled.token for sampled in self.ahead)

    @property
    def refused(self) -> frozenset[int]:
        """Tokens that may not come next, where nothing is ahead."""
        return self.thread.refused if self.thread else frozenset()

    def ends(self, eos: frozenset[int]) -> bool:
        """Whether the last token ahead is an end-of-sequence."""
        return bool(self.ahead) and self.ahead[-1].token in eos


class ForkCoordinator:
    """The threads of one answer, and the requests that decode them.

    `group` has its root thread and nothing decoded; its events and threads are always those of the last complete
    logical step. `on_step` is called with every step's tokens in path order, control tokens included. With `pace`
    threads that are far ahead of the others wait; one that goes on is a new request with random numbers of its own,
    so that what is sampled from a seed then hangs on who was ahead when.

    Where the answer wants few threads at the same time there are so many requests at most, and the other threads wait:
    those without a token first, in path order. A thread that is decoded before the others is ahead of them, and may
    sample tokens in vain that the budget then does not cover.
    """

    def __init__(
        self, group: Group, on_step: Callable[[Sequence[Sampled]], None] | None = None, pace: bool = True
    ) -> None:
        self.group = group
        self._may_pause = pace
        self._on_step = on_step
        self._actions = Actions()
        self._requests = 0
        # Live threads of the group, and children that were started early.
        self._threads: dict[ThreadPath, _ThreadProgress] = {}
        [root] = group.threads
        self._join(root)

    def actions(self) -> Actions:
        """What is to be done since the last time this was asked."""
        actions, self._actions = self._actions, Actions()
        return actions

    def on_tokens(self, request: SequenceRequest, sampled: Sequence[Sampled], ended: bool) -> None:
        """Take in what a request sampled; `ended` says that the engine samples no more for it.

        What still comes of a request that was to be aborted is dropped. Raises RunError where the engine breaks a
        rule that it was given.
        """
        if not self.wants(request):
            return
        thread = self._threads[request.thread]
        if ended and not sampled and thread.needs_token and len(thread.tokens) == len(request.tokens):
            raise RunError(f"the engine ended thread {request.thread} of {self.group.name} without a token")
        for token in sampled:
            thread.ahead.append(token)
            if token.token in self.group.eos:
                ended = ended or self._abort(thread)
                break
            if self.group.control is not None and token.token == self.group.control.fork:
                self._start_child_early(thread)
        if ended:
            thread.request = None
        self._advance()
        self._pace()

    def wants(self, request: SequenceRequest) -> bool:
        """Whether what the request samples is still of interest."""
        thread = self._threads.get(request.thread)
        return thread is not None and thread.request is request

    def abort(self) -> None:
        """Abort all requests. The group is left as it is."""
        for thread in self._threads.values():
            if thread.request is not None:
                self._abort(thread)
        self._threads = {}

    def _advance(self) -> None:
        """Complete the logical steps for which every live thread has a token."""
        while self.group.ready:
            completed = complete_step(self.group)
            for thread in completed.refused:
                self._roll_back(self._threads[thread.path])
            if not completed.refused:
                self._take_over(completed)

    def _take_over(self, completed: Completed) -> None:
        if self._on_step is not None:
            self._on_step(completed.sampled)
        for thread in completed.ended:
            self._close(thread.path)
        if self.group.done:
            self.abort()
            return
        for thread in self.group.threads:
            progress = self._threads.get(thread.path)
            if progress is None or progress.thread is None:
                self._join(thread)

    def _join(self, thread: Thread) -> None:
        """The answer has come to a thread: it takes over what was sampled for it early, or is started now."""
        if thread.path not in self._threads:
            self._open(thread.path, tuple(thread.tokens))
        progress = self._threads[thread.path]
        progress.thread, thread.ahead = thread, progress.ahead

    def _roll_back(self, thread: _ThreadProgress) -> None:
        """Nothing that was ahead of a refused thread counts: have another token sampled there."""
        assert thread.thread is not None
        thread.forks = thread.thread.children
        control, created = self.group.control, self.group.created
        if control is not None and control.fork in thread.refused and created >= self.group.params.max_threads:
            thread.forkless = True
        for other in [other for other in self._threads.values() if self._is_after(other, thread)]:
            self._close(other.path)
        if thread.request is not None:
            self._abort(thread)
        self._start_if_room(thread)

    def _is_after(self, other: _ThreadProgress, thread: _ThreadProgress) -> bool:
        """Whether a thread comes from a fork that `thread` does not have any more."""
        depth = len(thread.path)
        return other.path[:depth] == thread.path and len(other.path) > depth and other.path[depth] >= thread.forks

    def _start_child_early(self, thread: _ThreadProgress) -> None:
        """Start the child of the `[Fork]` that came last, if it is likely to be granted."""
        child = (*thread.path, thread.forks)
        thread.forks += 1
        params, control = self.group.params, self.group.control
        assert control is not None
        tokens = (*thread.tokens, control.child)
        unborn = len(self._threads) - len(self.group.threads)
        ahead = sum(len(other.ahead) for other in self._threads.values())
        likely = (
            not thread.forkless
            and thread.sampled > 1
            and tokens[-3] != control.fork
            and self.group.created + unborn < params.max_threads
            and self.group.budget - ahead >= 2 * len(self._threads)
        )
        if likely and len(tokens) < self.group.context:
            self._open(child, tokens)

    def _open(self, path: ThreadPath, tokens: tuple[int, ...]) -> None:
        self._threads[path] = _ThreadProgress(path, tokens, self.group.grammar.never_forks(len(path)))
        self._start_if_room(self._threads[path])

    def _pace(self) -> None:
        """Have threads wait that are far ahead: what the budget will not cover is decoded in vain."""
        most = max(_RUN_AHEAD, self.group.budget // max(1, len(self._threads)))
        for thread in self._threads.values():
            if self._may_pause and thread.request is not None and len(thread.ahead) > most:
                self._abort(thread)
        for thread in sorted(self._threads.values(), key=lambda thread: (not thread.needs_token, thread.path)):
            if thread.request is None and len(thread.ahead) <= most // 2 and not thread.ends(self.group.eos):
                self._start_if_room(thread)

    def _start_if_room(self, thread: _ThreadProgress) -> None:
        """Start a request for a thread, unless as many as the answer wants are under way; then it waits."""
        limit = self.group.params.max_parallel_threads
        if limit is None or sum(other.request is not None for other in self._threads.values()) < limit:
            self._start(thread)

    def _start(self, thread: _ThreadProgress) -> None:
        """Start a request that goes on where the thread ends. After a refusal it is of one token."""
        control, group = self.group.control, self.group
        tokens = thread.tokens
        forks = group.params.max_threads + 1 if group.params.fork else 0
        limit = min(group.budget + forks, group.context - len(tokens))
        if limit < 1:
            return
        banned = thread.refused if thread.needs_token else frozenset()
        limit = 1 if banned else limit
        if control is not None:
            banned |= {control.child, control.fork} if thread.forkless else {control.child}
        opens = thread.last_request is None
        parent = self._threads[thread.path[:-1]].last_request if opens and len(thread.path) > 1 else thread.last_request
        request = SequenceRequest(self._requests, thread.path, tokens, thread.sampled, limit, banned, parent, opens)
        self._requests += 1
        thread.request, thread.last_request = request, request.number
        self._actions.start.append(request)

    def _close(self, path: ThreadPath) -> None:
        """The thread has ended, and children of it that were only started early are not to be."""
        thread = self._threads.pop(path, None)
        if thread is None:
            return
        if thread.request is not None:
            self._abort(thread)
        live = {other.path for other in self.group.threads}
        for other in [other for other in self._threads if other[:-1] == path and other not in live]:
            self._close(other)

    def _abort(self, thread: _ThreadProgress) -> bool:
        """Have the thread's request aborted; it has ended as far as the thread is concerned."""
        request, thread.request = thread.request, None
        assert request is not None
        if request in self._actions.start:  # nobody has started it yet
            self._actions.start.remove(request)
            thread.last_request = None if request.opens else request.parent
        else:
            self._actions.abort.append(request)
        return True
