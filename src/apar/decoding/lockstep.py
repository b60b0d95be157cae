"""The end of a logical step: every live thread has a token ahead, and now the tokens count.

Decisions are taken in path order, so that they depend on nothing but the answer: not on which threads shared
a forward pass, nor on what else the engine decodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from apar.decoding import form_steps
from apar.decoding.grammar import FULL, Effect
from apar.decoding.group import Group, Sampled, Thread
from apar.decoding.leads import Leads
from apar.errors import RunError
from apar.events import Delta, Event, Finished, FinishReason, Forked, Started
from apar.tree import ThreadPath


@dataclass(frozen=True, slots=True)
class Completed:
    """What a logical step came to: the tokens that count, in path order, and the threads that ended.

    Where some threads were `refused` their tokens, or have them `outdated`, the step is not complete: nothing counts,
    and they are to sample again behind their paths. The paths of those that are `rewritten` are others behind so many
    tokens.
    """

    sampled: list[Sampled] = field(default_factory=list)
    ended: list[Thread] = field(default_factory=list)
    refused: list[Thread] = field(default_factory=list)
    rewritten: list[tuple[Thread, int]] = field(default_factory=list)
    outdated: list[Thread] = field(default_factory=list)


def complete_step(group: Group) -> Completed:
    """Let the next token of all live threads count, and note the step's events.

    `group.threads` are then the live threads of the next step, new children among them. Raises RunError where a
    token was sampled that had been refused before.
    """
    if outdated := _drop_outdated(group):
        return Completed(outdated=outdated)
    if refused := _refuse(group):
        return Completed(refused=refused)
    step = _Step(group)
    sampled = [step.take(thread) for thread in group.threads]
    if not group.budget:
        step.end_open(lambda thread: "length")
    if step.hits_stop():
        step.stop()
    return Completed(sampled, step.close(), rewritten=step.rewritten)


def _drop_outdated(group: Group) -> list[Thread]:
    """The threads whose next tokens were sampled ahead of the step, under other bans than those that it has now.

    Of these nothing is ahead any more: what is sampled does not depend on how far ahead it was sampled.
    """
    outdated = []
    for thread in group.threads:
        assumed = thread.ahead[0].banned
        if assumed is not None and assumed != group.banned(thread, thread.state):
            thread.ahead.clear()
            outdated.append(thread)
    return outdated


def _refuse(group: Group) -> list[Thread]:
    """The threads whose next tokens the grammar forbids; of these nothing is ahead any more."""
    grammar, state = group.grammar, group.state
    refused = []
    for thread in group.threads:
        token = thread.ahead[0].token
        if token not in grammar.hidden:
            continue
        effect = grammar.effect(token, thread.repeats_lead)
        # An end needs none of the room that the step's forks leave.
        if token in grammar.banned(thread.state, group.state if effect is Effect.END else state):
            send_back(group, thread, token)
            refused.append(thread)
        elif effect is Effect.FORK:
            state = replace(state, created=state.created + 1)
    return refused


def send_back(group: Group, thread: Thread, token: int) -> None:
    """Drop what a thread has ahead: another token than `token` is to be sampled next."""
    if token in thread.refused:
        raise RunError(f"the engine sampled token {token} of {group.name} though it was banned")
    thread.refused |= group.eos if token in group.eos else {token}
    thread.ahead.clear()


class _Step:
    """One logical step of a group while it is being completed."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.events: dict[ThreadPath, list[Event]] = {}
        self.children: list[Thread] = []
        self.dropped: list[Thread] = []
        self.rewritten: list[tuple[Thread, int]] = []

    def take(self, thread: Thread) -> Sampled:
        """Append the thread's next token to its path and note the events."""
        group, sampled = self.group, thread.ahead.popleft()
        thread.refused = frozenset()
        self.events[thread.path] = []
        if not thread.sampled:
            self.emit(thread, Started(thread.path, thread.path[:-1] or None, group.step))
            if thread.form is not None:
                form_steps.begin(self, thread)
        if sampled.token == FULL:
            self.finish(thread, "length")
            return sampled
        effect = group.grammar.effect(sampled.token, thread.repeats_lead)
        if effect is Effect.END and sampled.token in group.eos:
            self._end(thread)
        elif effect is Effect.END:
            self._drop_repeated(thread)
        elif effect is Effect.FORK:
            self._fork(thread, sampled.token)
        elif group.budget:
            self._say(thread, sampled)
        return sampled

    def _end(self, thread: Thread) -> None:
        if thread.form is not None:
            form_steps.end(self, thread)
        else:
            self.finish(thread, "eos")

    def _fork(self, thread: Thread, token: int) -> None:
        self._flush(thread)
        if thread.leads is not None:
            thread.leads.fork()
        thread.tokens.append(token)
        child = spawn(self.group, thread)
        self.children.append(child)
        self.emit(thread, Forked(thread.path, child.path, self.group.step))

    def _say(self, thread: Thread, sampled: Sampled) -> None:
        self.group.budget -= 1
        thread.tokens.append(sampled.token)
        text = thread.detokenizer.feed(sampled.token)
        logprobs = (sampled.logprob,) if sampled.logprob else ()
        thread.held.append(Delta(thread.path, self.group.step, (sampled.token,), text, logprobs))
        if thread.form is not None:
            form_steps.say(self, thread, text)
        elif thread.leads is not None:
            thread.leads.say(text)
        if thread.form is None and (thread.leads is None or not thread.leads.may_repeat):
            self._release(thread)
        if len(thread.tokens) >= self.group.context and not thread.finished:
            self.finish(thread, "length")

    def end_open(self, reason: Callable[[Thread], FinishReason]) -> None:
        """Finish every thread that is still open."""
        for thread in self.group.threads:
            if not thread.finished:
                self.finish(thread, reason(thread))

    def hits_stop(self) -> bool:
        """Whether a stop string occurs in the text that is final with the step's events."""
        if not self.group.params.stop:
            return False
        assembler = self.group.assembler
        for event in self._all_events():
            assembler.feed(event)
        return assembler.stopped

    def stop(self) -> None:
        """End the answer: all that is open comes after the stop string in reading order.

        The thread that would have been read next ends by `stop`, the others by `cancelled`. Forks of this step
        are not carried out.
        """
        for path, events in self.events.items():
            self.events[path] = [event for event in events if not isinstance(event, Forked)]
        self.group.created -= len(self.children)
        # They may have been started early.
        self.dropped, self.children = self.children, []
        reading = min((thread for thread in self.group.threads if not thread.finished), key=_reading_end, default=None)
        self.end_open(lambda thread: "stop" if thread is reading else "cancelled")

    def close(self) -> list[Thread]:
        group = self.group
        ended = [thread for thread in group.threads if thread.finished] + self.dropped
        alive = [thread for thread in group.threads if not thread.finished]
        group.threads = sorted(alive + self.children, key=lambda thread: thread.path)
        group.events += self._all_events()
        if group.params.stop:
            group.assembled = len(group.events)
        group.step += 1
        return ended

    def finish(self, thread: Thread, reason: FinishReason) -> None:
        """End a thread here."""
        if thread.form is not None:
            form_steps.close(self, thread, reason)
        self._flush(thread)
        thread.finished = True
        drafted, accepted = self.group.drafts_of(thread.path)
        refused = {str(why): count for why, count in sorted(thread.not_forked.items())}
        self.emit(thread, Finished(thread.path, self.group.step, reason, drafted, accepted, refused))

    def _drop_repeated(self, thread: Thread) -> None:
        """The thread ends before the node that repeats a lead: nothing of it was told."""
        thread.held.clear()
        thread.detokenizer.flush()
        self.finish(thread, "repeated")

    def _release(self, thread: Thread) -> None:
        """Emit what was held back, at the steps at which it was sampled."""
        for delta in thread.held:
            self.emit(thread, delta)
        thread.held.clear()

    def _flush(self, thread: Thread) -> None:
        """A node ends: emit all of it, and the text of a last incomplete character, which no token may complete."""
        self._release(thread)
        if rest := thread.detokenizer.flush():
            self.emit(thread, Delta(thread.path, self.group.step, (), rest))

    def emit(self, thread: Thread, event: Event) -> None:
        """Note an event of the step."""
        self.events[thread.path].append(event)

    def _all_events(self) -> list[Event]:
        return [event for events in self.events.values() for event in events]


def spawn(group: Group, parent: Thread) -> Thread:
    """The child of `parent`, which has just sampled `[Fork]`: the same path, with `[Child]` appended.

    One that was not started early holds no blocks yet. Where its parent's keys and values are, the scheduler finds by
    the path.
    """
    path = (*parent.path, parent.children)
    child = next((early for early in group.early if early.path == path), None)
    if child is None:
        child = child_of(group, parent, parent.tokens, parent.children)
    else:
        group.early.remove(child)
    child.detokenizer = parent.detokenizer.fork()
    child.leads = None if parent.leads is None else Leads()
    parent.children += 1
    group.created += 1
    return child


def child_of(group: Group, parent: Thread, prefix: Sequence[int], number: int) -> Thread:
    """Child `number` of `parent`, behind a `prefix` that ends with its `[Fork]`. It has no text yet."""
    assert group.control is not None
    tokens = [*prefix, group.control.child]
    path, starts, shares = (*parent.path, number), (*parent.starts, len(tokens)), (*parent.shares, len(prefix))
    return Thread(path, tokens, starts, parent.detokenizer, shares=shares)


def _reading_end(thread: Thread) -> tuple[float, ...]:
    """Orders threads by where their ends stand in reading order: a thread goes on after its details."""
    return (*thread.path, math.inf)
