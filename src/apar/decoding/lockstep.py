"""The end of a logical step: every live thread has sampled a token, and now the tokens count.

Decisions are taken in path order, so that they depend on nothing but the answer: not on which threads shared
a forward pass, nor on what else the engine decodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from apar.decoding.grammar import spawn
from apar.decoding.group import Group, Thread
from apar.events import Delta, Event, Finished, FinishReason, Forked, Started, TokenLogprob
from apar.tree import Path


def complete_step(group: Group) -> list[Thread]:
    """Take over the choices of all live threads and tell the step's events; return the threads that ended.

    `group.threads` are then the live threads of the next step, new children among them.
    """
    step = _Step(group)
    for thread in group.threads:
        step.take(thread)
    if not group.budget:
        step.end_open(lambda thread: "length")
    if step.hits_stop():
        step.stop()
    return step.close()


class _Step:
    """One logical step of a group while it is being completed."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.told: dict[Path, list[Event]] = {}
        self.children: list[Thread] = []

    def take(self, thread: Thread) -> None:
        """Append what the thread sampled to its path and note the events."""
        group, choice = self.group, thread.choice
        assert choice is not None
        self.told[thread.path] = []
        if not thread.sampled:
            self._tell(thread, Started(thread.path, thread.path[:-1] or None, group.step))
        refused = group.created >= group.params.max_threads and choice.token == group.fork
        token = choice.otherwise if refused else choice.token
        logprob = choice.otherwise_logprob if refused else choice.logprob
        thread.choice = None
        if token in group.eos:
            self._finish(thread, "eos")
        elif token == group.fork:
            self._fork(thread, token)
        elif group.budget:
            self._say(thread, token, logprob)

    def _fork(self, thread: Thread, token: int) -> None:
        self._flush(thread)
        thread.tokens.append(token)
        child = spawn(self.group, thread)
        self.children.append(child)
        self._tell(thread, Forked(thread.path, child.path, self.group.step))

    def _say(self, thread: Thread, token: int, logprob: TokenLogprob | None) -> None:
        self.group.budget -= 1
        thread.tokens.append(token)
        text = thread.detokenizer.feed(token)
        self._tell(thread, Delta(thread.path, self.group.step, (token,), text, (logprob,) if logprob else ()))
        if len(thread.tokens) >= self.group.context:
            self._finish(thread, "length")

    def end_open(self, reason: Callable[[Thread], FinishReason]) -> None:
        """Finish every thread that is still open."""
        for thread in self.group.threads:
            if not thread.finished:
                self._finish(thread, reason(thread))

    def hits_stop(self) -> bool:
        """Whether a stop string occurs in the text that is final with the step's events."""
        if not self.group.params.stop:
            return False
        assembler = self.group.assembler
        for event in self._events():
            assembler.feed(event)
        return assembler.stopped

    def stop(self) -> None:
        """End the answer: all that is open comes after the stop string in reading order.

        The thread that would have been read next is told `stop`, the others `cancelled`. Forks of this step
        are not carried out.
        """
        for path, events in self.told.items():
            self.told[path] = [event for event in events if not isinstance(event, Forked)]
        self.group.created -= len(self.children)
        self.children = []
        reading = min((thread for thread in self.group.threads if not thread.finished), key=_reading_end, default=None)
        self.end_open(lambda thread: "stop" if thread is reading else "cancelled")

    def close(self) -> list[Thread]:
        group = self.group
        ended = [thread for thread in group.threads if thread.finished]
        alive = [thread for thread in group.threads if not thread.finished]
        group.threads = sorted(alive + self.children, key=lambda thread: thread.path)
        group.events += self._events()
        if group.params.stop:
            group.assembled = len(group.events)
        group.step += 1
        return ended

    def _finish(self, thread: Thread, reason: FinishReason) -> None:
        self._flush(thread)
        thread.finished = True
        self._tell(thread, Finished(thread.path, self.group.step, reason))

    def _flush(self, thread: Thread) -> None:
        """A node ends: tell the text of a last incomplete character, which no later token may complete."""
        if rest := thread.detokenizer.flush():
            self._tell(thread, Delta(thread.path, self.group.step, (), rest))

    def _tell(self, thread: Thread, event: Event) -> None:
        self.told[thread.path].append(event)

    def _events(self) -> list[Event]:
        return [event for events in self.told.values() for event in events]


def _reading_end(thread: Thread) -> tuple[float, ...]:
    """Orders threads by the place of their ends in reading order: a thread goes on after its details."""
    return (*thread.path, math.inf)
