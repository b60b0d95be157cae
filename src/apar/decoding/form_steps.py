"""What a logical step does to threads that fork by the form of their text.

The text of each token is read (`apar.decoding.by_form`). What comes of it is carried out at once, in the same step: the
thread forks, is forced to say a text, or ends. What may yet be taken back is told when it cannot be any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from apar.decoding.by_form.thread_form import ForkPlan, Said, ThreadForm, WhyNotForked
from apar.decoding.detokenize import Detokenizer
from apar.decoding.forced_deltas import by_token, forced_logprobs
from apar.decoding.group import Group, Thread
from apar.events import Delta, Event, FinishReason, Forked

_MOST_FORCED = 16
"""Tokens of what is forced behind a lead, as far as the limits of the answer are kept free for it."""


class Step(Protocol):
    """A logical step that is being completed; `rewritten` threads have another path behind so many tokens."""

    group: Group
    children: list[Thread]
    rewritten: list[tuple[Thread, int]]

    def emit(self, thread: Thread, event: Event) -> None: ...

    def finish(self, thread: Thread, reason: FinishReason) -> None: ...


def begin(step: Step, thread: Thread) -> None:
    """A thread has started: tell what is there of its text already."""
    form = _form(thread)
    if form.tail_ids:
        thread.held.append(_forced(step, thread, form.tail_ids, form.tail))
        _tell(step, thread, form.told + len(form.tail), cut=True)


def say(step: Step, thread: Thread, text: str) -> None:
    """A thread's last token has said `text`, and its delta is held."""
    form = _form(thread)
    said = form.say(
        text,
        len(thread.tokens),
        lambda plan, threads: _allowed(step, thread, plan, threads),
        lambda reason: _count_not_forked(step.group, thread, reason),
    )
    _carry_out(step, thread, said)


def end(step: Step, thread: Thread) -> None:
    """The model ends a thread. Where its last line is a lead as those before it, that forks as at a line break."""
    said = _form(thread).end(
        lambda plan, threads: _allowed(step, thread, plan, threads),
        lambda reason: _count_not_forked(step.group, thread, reason),
    )
    if said is None:
        step.finish(thread, "eos")
    else:
        _carry_out(step, thread, said)


def _carry_out(step: Step, thread: Thread, said: Said) -> None:
    form = _form(thread)
    if (plan := said.plan) is not None:
        said = form.fork(plan, is_last=step.group.created + 1 >= step.group.params.max_threads)
        if said.action == "force" or said.action == "go":
            _fork(step, thread, plan, said)
            return
    if said.action == "end":
        form.end_at(said.keep)
        step.finish(thread, "repeated" if said.repeats else "length" if said.lacks_room else "eos")
    elif said.action == "again":
        _take_back(step, thread, said.kept)
    elif said.action == "force":
        step.rewritten.append((thread, len(thread.tokens)))
        _force(step, thread, said.text)
    else:
        _tell(step, thread, said.keep)


def close(step: Step, thread: Thread, reason: FinishReason) -> None:
    """A thread ends: tell what stays of its text, and what of that is not told yet."""
    form = _form(thread)
    keep = form.finish(is_cut=reason == "length")
    whole = keep == len(form.text)
    _tell(step, thread, keep, cut=True)
    if whole:
        for delta in thread.held:  # of a character that is not complete
            step.emit(thread, delta)
    thread.held.clear()
    if not whole:
        thread.detokenizer.flush()


def _count_not_forked(group: Group, thread: Thread, reason: WhyNotForked) -> None:
    group.not_forked[reason] += 1
    thread.not_forked[reason] += 1


def _fork(step: Step, thread: Thread, plan: ForkPlan, said: Said) -> None:
    """Carry out a fork: the child, and what the parent is forced to say."""
    group, form = step.group, _form(thread)
    _drop_held(thread, plan.kept)
    _tell(step, thread, plan.cut - len(plan.rest_text), cut=True)
    surplus = _surplus(step, thread, plan)
    thread.held.clear()
    if plan.rest:
        _emit(step, thread, _forced(step, thread, plan.rest, plan.rest_text), len(plan.rest_text))
    form.told = plan.cut
    group.budget -= len(plan.rest) + len(plan.tail_ids)
    child = _child(group, thread, plan)
    step.children.append(child)
    del thread.tokens[plan.kept :]
    thread.tokens += plan.rest
    step.rewritten.append((thread, plan.kept))
    step.emit(thread, Forked(thread.path, child.path, group.step))
    _force(step, thread, said.text, surplus)


def _take_back(step: Step, thread: Thread, kept: int) -> None:
    """Drop a path behind its first `kept` tokens: another token is to come there than the next one that is dropped."""
    form = _form(thread)
    form.say_not_again(kept, thread.tokens[kept])
    _drop_held(thread, kept)
    del thread.tokens[kept:]
    thread.ahead.clear()
    thread.detokenizer = Detokenizer(form.tokens.decode, thread.tokens[-1:])
    step.rewritten.append((thread, kept))


def _child(group: Group, parent: Thread, plan: ForkPlan) -> Thread:
    """The child of a fork: what it shares of the parent's path, its own lead, and the tail that it takes over."""
    form = _form(parent)
    tokens = [*parent.tokens[: plan.shared], *plan.hidden, *plan.tail_ids]
    path = (*parent.path, parent.children)
    starts, shares = (*parent.starts, len(tokens)), (*parent.shares, plan.shared)
    context = plan.tail_ids or plan.hidden
    child = Thread(path, tokens, starts, Detokenizer(form.tokens.decode, context), shares=shares)
    child.form = ThreadForm(form.tokens, form.question, len(tokens), form.max_items, plan)
    parent.children += 1
    group.created += 1
    return child


def _surplus(step: Step, thread: Thread, plan: ForkPlan) -> list[Delta]:
    """The white space that a thread has said behind a lead, and that is told behind the detail."""
    behind = [replace(delta, step=step.group.step) for delta in thread.held]
    own = plan.surplus[: len(plan.surplus) - sum(len(delta.text) for delta in behind)]
    return [Delta(thread.path, step.group.step, (), own), *behind] if own else behind


def _force(step: Step, thread: Thread, text: str, before: Sequence[Delta] = ()) -> None:
    """Have a thread say `text`, and `before` it what it has said already. It ends for want of room."""
    group, form = step.group, _form(thread)
    ids = form.tokens.encode(text) if text else []
    thread.ahead.clear()
    if not _is_room(step, len(ids)) or len(thread.tokens) + len(ids) >= group.context:
        step.finish(thread, "length")
        return
    thread.tokens += ids
    group.budget -= len(ids)
    thread.held += before
    if ids:
        thread.held.append(_forced(step, thread, ids, text))
    thread.detokenizer = Detokenizer(form.tokens.decode, ids or thread.tokens[-1:])
    _tell(step, thread, form.force(text, len(thread.tokens)))


def _allowed(step: Step, thread: Thread, plan: ForkPlan, threads: int) -> bool:
    """Whether the limits of the answer allow a fork, with a token for the child in the next step.

    The list must have so many `threads`: its parent, which then sees bare leads, leaves other details empty.
    """
    group, params = step.group, step.group.params
    own = len(plan.rest) + _MOST_FORCED
    return (
        group.created + threads <= params.max_threads
        and len(thread.path) < params.max_depth
        and _is_room(step, own + len(plan.tail_ids) + 1)
        and plan.kept + own < group.context
        and plan.shared + len(plan.hidden) + len(plan.tail_ids) < group.context
    )


def _is_room(step: Step, tokens: int) -> bool:
    """Whether the budget has so many tokens beside one for every thread in this step and in the next."""
    return step.group.budget - tokens >= 2 * len(step.group.threads) + len(step.children)


def _tell(step: Step, thread: Thread, keep: int, cut: bool = False) -> None:
    """Tell the deltas that are held, as far as `keep` characters of the text have them; with `cut` a part of one.

    A part of a character is told with the rest of it.
    """
    form = _form(thread)
    while (count := _num_to_next_text(thread.held)) and form.told + len(thread.held[count - 1].text) <= keep:
        for delta in thread.held[:count]:
            _emit(step, thread, delta, len(delta.text))
        form.told += len(thread.held[count - 1].text)
        del thread.held[:count]
    if cut and count and form.told < keep:
        for delta in thread.held[:count]:
            _emit(step, thread, delta, keep - form.told)
        del thread.held[:count]
        form.told = keep


def _num_to_next_text(held: Sequence[Delta]) -> int:
    """How many deltas there are up to the first one with text; 0 if there is none."""
    return next((number for number, delta in enumerate(held, 1) if delta.text), 0)


def _forced(step: Step, thread: Thread, ids: Sequence[int], text: str) -> Delta:
    """What a thread is made to say now."""
    logprobs = () if step.group.params.logprobs is None else forced_logprobs(ids)
    return Delta(thread.path, step.group.step, tuple(ids), text, logprobs)


def _emit(step: Step, thread: Thread, delta: Delta, chars: int) -> None:
    """Tell the first characters of a delta, token by token."""
    for part in by_token(_form(thread).tokens, delta, chars):
        step.emit(thread, part)


def _drop_held(thread: Thread, kept: int) -> None:
    """Drop what is held of tokens behind the first `kept` of the path."""
    index = len(thread.tokens) - sum(len(delta.token_ids) for delta in thread.held)
    for number, delta in enumerate(thread.held):
        index += len(delta.token_ids)
        if index > kept:
            del thread.held[number:]
            return


def _form(thread: Thread) -> ThreadForm:
    assert thread.form is not None
    return thread.form
