"""Forking by the form of the text over an engine that knows sequences only: which requests decode an answer's threads.

The counterpart of `apar.decoding.coordinator` for models that were never taught to fork. Each thread is decoded by
ordinary requests that go on behind its path. What their tokens mean is said by the logical steps, as in the engine in
process: where a step writes a thread's path anew (forced text, a fork, dropped tokens) the thread's request is aborted
and another one begins behind the new path. A token that may not stand where it was sampled is refused, and another one
is asked for with that one banned, until the engine gives one that may.

An engine that does not know its own context may sample `FULL` where there is no room for a token.

Plain data: who drives a coordinator feeds it tokens and carries out its actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apar.decoding.coordinator import Actions, SequenceRequest
from apar.decoding.grammar import FULL
from apar.decoding.group import Group, Sampled, Thread
from apar.decoding.lockstep import Completed, complete_step, send_back
from apar.errors import RunError
from apar.tree import ThreadPath

_RUN_AHEAD = 16
"""Tokens that a thread may be ahead of the others. More are of no use: the slowest thread decides, and what is ahead
of a fork is dropped."""


@dataclass(slots=True, eq=False)
class _Decoded:
    """A live thread, and the request that decodes it. `checked` is the next token, once it is known that it may come.

    `tries` counts the tokens that were refused where the thread is now.
    """

    thread: Thread
    request: SequenceRequest | None = None
    last_request: int | None = None
    checked: Sampled | None = None
    tries: int = 0


class FormCoordinator:
    """The threads of an answer that forks by its form or not at all, and the requests that decode them.

    `group` has its root thread and nothing decoded; its events and threads are always those of the last complete
    logical step. With `pace` threads that are far ahead of the others wait, as in `ForkCoordinator`. Where the answer
    wants few threads at the same time there are so many requests at most.

    An engine without bans cannot keep to `SequenceRequest.banned` and samples again: after `most_tries` refusals
    `stand_in` takes the place of a thread's first token, and any other token is taken as it is. None is for engines
    that ban what they are told to.
    """

    def __init__(
        self, group: Group, pace: bool = True, most_tries: int | None = None, stand_in: int | None = None
    ) -> None:
        self.group = group
        self._may_pause, self._most_tries, self._stand_in = pace, most_tries, stand_in
        self._actions = Actions()
        self._requests = 0
        self._decoded: dict[ThreadPath, _Decoded] = {}
        self._join_new()

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
        decoded = self._decoded[request.thread]
        thread = decoded.thread
        if ended and not sampled and not thread.ahead and len(thread.tokens) == len(request.tokens):
            raise RunError(f"the engine ended thread {request.thread} of {self.group.name} without a token")
        for token in sampled:
            thread.ahead.append(token)
            if self._ends(token):
                ended = ended or self._abort(decoded)
                break
        if ended:
            decoded.request = None
        self._advance()
        self._pace()

    def wants(self, request: SequenceRequest) -> bool:
        """Whether what the request samples is still of interest."""
        decoded = self._decoded.get(request.thread)
        return decoded is not None and decoded.request is request

    def abort(self) -> None:
        """Abort all requests. The group is left as it is."""
        for path in list(self._decoded):
            self._close(path)

    def _advance(self) -> None:
        """Complete the logical steps for which every live thread has a token that may come."""
        self._check()
        while self.group.ready:
            self._take_over(complete_step(self.group))
            self._check()

    def _check(self) -> None:
        """Have other tokens sampled in place of those that come next and may not."""
        for decoded in self._decoded.values():
            thread = decoded.thread
            if thread.ahead and decoded.checked is not thread.ahead[0]:
                if thread.ahead[0].token in self.group.banned(thread, thread.state):
                    self._refuse(decoded)
                else:
                    decoded.checked = thread.ahead[0]

    def _refuse(self, decoded: _Decoded) -> None:
        """Have another token sampled, as long as that is tried."""
        thread, token = decoded.thread, decoded.thread.ahead[0].token
        decoded.tries += 1
        if self._most_tries is None:
            send_back(self.group, thread, token)
        elif decoded.tries <= self._most_tries:
            thread.refused |= {token}
            thread.ahead.clear()
        elif thread.sampled or self._stand_in in (None, token):
            decoded.checked = thread.ahead[0]
            return
        else:
            decoded.checked = Sampled(self._stand_in)
            thread.ahead.clear()
            thread.ahead.append(decoded.checked)
        self._restart(decoded)

    def _take_over(self, completed: Completed) -> None:
        for thread in completed.refused:
            self._restart(self._decoded[thread.path])
        if completed.refused:
            return
        for thread in completed.ended:
            self._close(thread.path)
        for decoded in self._decoded.values():
            decoded.tries = 0
        for thread, _ in completed.rewritten:
            if thread.path in self._decoded:
                self._restart(self._decoded[thread.path])
        self._join_new()

    def _join_new(self) -> None:
        """Start the threads that the last step began."""
        for thread in self.group.threads:
            if thread.path not in self._decoded:
                self._decoded[thread.path] = _Decoded(thread)
                self._start_if_room(self._decoded[thread.path])

    def _restart(self, decoded: _Decoded) -> None:
        """Nothing that the thread's request samples counts: another one goes on behind the path."""
        if decoded.request is not None:
            self._abort(decoded)
        self._start_if_room(decoded)

    def _pace(self) -> None:
        """Have threads wait that are far ahead, and go on with those that are not."""
        for decoded in self._decoded.values():
            if self._may_pause and decoded.request is not None and len(decoded.thread.ahead) > _RUN_AHEAD:
                self._abort(decoded)
        for decoded in sorted(self._decoded.values(), key=lambda each: (bool(each.thread.ahead), each.thread.path)):
            ahead = decoded.thread.ahead
            if decoded.request is None and len(ahead) <= _RUN_AHEAD // 2 and not (ahead and self._ends(ahead[-1])):
                self._start_if_room(decoded)

    def _ends(self, sampled: Sampled) -> bool:
        """Whether nothing comes behind a token."""
        return sampled.token in self.group.eos or sampled.token == FULL

    def _start_if_room(self, decoded: _Decoded) -> None:
        """Start a request for a thread, unless as many as the answer wants are under way; then it waits."""
        limit = self.group.params.max_parallel_threads
        if limit is None or sum(other.request is not None for other in self._decoded.values()) < limit:
            self._start(decoded)

    def _start(self, decoded: _Decoded) -> None:
        """Start a request that goes on where the thread ends. After a refusal it is of one token."""
        group, thread = self.group, decoded.thread
        tokens = tuple(thread.decoded)
        limit = min(group.budget - len(thread.ahead), group.context - len(tokens))
        if limit < 1:
            return
        banned = frozenset() if thread.ahead else thread.refused
        limit = 1 if banned else limit
        opens = decoded.last_request is None
        parent = self._last_request(thread.path[:-1]) if opens else decoded.last_request
        request = SequenceRequest(
            self._requests,
            thread.path,
            tokens,
            thread.sampled + len(thread.ahead),
            limit,
            banned | group.grammar.hidden - group.eos,
            parent,
            opens,
            tries=0 if thread.ahead else decoded.tries,
        )
        self._requests += 1
        decoded.request, decoded.last_request = request, request.number
        self._actions.start.append(request)

    def _last_request(self, path: ThreadPath) -> int | None:
        """The number of a thread's last request; of a parent that has ended with its fork, none is known."""
        return self._decoded[path].last_request if path in self._decoded else None

    def _close(self, path: ThreadPath) -> None:
        """The thread has ended."""
        decoded = self._decoded.pop(path, None)
        if decoded is not None and decoded.request is not None:
            self._abort(decoded)

    def _abort(self, decoded: _Decoded) -> bool:
        """Have the thread's request aborted; it has ended as far as the thread is concerned."""
        request, decoded.request = decoded.request, None
        assert request is not None
        if request in self._actions.start:  # nobody has started it yet
            self._actions.start.remove(request)
            decoded.last_request = None if request.opens else request.parent
        else:
            self._actions.abort.append(request)
        return True
