"""What a paragraph tree saves: steps, attended tokens and KV cache, forked against sequential.

All figures are counts of tokens and steps. They follow from the tree alone, so they are what an engine with a
row for every thread and one token per thread and step reaches; wall-clock time is measured elsewhere.

A *step* (logical step) is the time in which each live thread samples one token: visible text, `[Fork]`, or
end-of-sequence. Step 0 reads the prompt. A thread's first token comes in the step after its parent sampled
`[Fork]`. A token sampled in one step is read, and its keys and values stored, in the next. An engine that is short
of rows or blocks needs several forward passes for a step: passes are no steps and are not counted here.

- `critical_path` is the number of steps of the forked answer, from its first to its last;
- `sequential_steps` is the number of steps of the same visible text decoded in one thread;
- `threads_per_step` has for each step of the critical path the threads that sample in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from apar.assemble import Recording, ThreadRecord
from apar.events import Event
from apar.tree import ParagraphTree, ThreadPath


@dataclass(frozen=True, slots=True)
class KvUse:
    """Tokens whose keys and values are held: the `peak` over the steps, and the `sum` in tokens x steps."""

    peak: int
    sum: int


@dataclass(frozen=True, slots=True)
class TreeStats:
    """Figures of one answer. Both sides of a comparison count the same visible text."""

    tokens: int
    """Visible tokens; control tokens and end-of-sequence are not counted."""
    threads: int
    """Threads in all, the root included."""
    depth: int
    """Length of the longest thread path; 1 without forks."""
    sequential_steps: int
    """Steps of the same text in one thread: one per visible token, and one for end-of-sequence unless it was cut."""
    critical_path: int
    """Steps of the forked answer: visible tokens, `[Fork]`s and end-of-sequence on the longest path."""
    attended_forked: int
    """Tokens attended to: the sum, over all sampled tokens, of the path they are sampled from (prompt,
    ancestors and own thread with their control tokens)."""
    attended_sequential: int
    """The same sum for sequential decoding, where the path is all text before."""
    kv_forked: KvUse
    """KV held in each step while forking: shared prefixes once, and a token's KV until the last thread that
    sees it has ended."""
    kv_sequential: KvUse
    """KV held in each step of sequential decoding: everything, until the end."""
    threads_per_step: tuple[int, ...]
    """Threads that sample a token in each step."""
    detail_tokens: tuple[int, ...]
    """Visible tokens of each detail, those of details within it included, in reading order."""

    @property
    def forks(self) -> int:
        return self.threads - 1

    @property
    def speedup(self) -> float:
        """The ideal speed-up: visible tokens per step of the critical path. What a step costs is left out."""
        return self.tokens / self.critical_path

    @property
    def peak_threads(self) -> int:
        """The largest number of threads alive in one step."""
        return max(self.threads_per_step)


@dataclass(frozen=True, slots=True)
class _Span:
    """When one thread sampled what.

    `nodes` has for each node the steps of its visible tokens, `forks` the step of the `[Fork]` closing it.
    """

    path: ThreadPath
    start: int
    end: int
    nodes: tuple[Sequence[int], ...]
    forks: tuple[int, ...]
    ends_in_eos: bool

    @property
    def tokens(self) -> int:
        return sum(map(len, self.nodes))

    @property
    def sampled(self) -> int:
        """Tokens sampled: visible ones, forks, end-of-sequence."""
        return self.tokens + len(self.forks) + self.ends_in_eos


def tree_stats(tree: ParagraphTree, count: Callable[[str], int], prompt_tokens: int = 0) -> TreeStats:
    """The figures of a tree; `count` gives the tokens of a node's text.

    `prompt_tokens` are added to what is attended to and held; without them the figures are the answer's own.
    """
    starts: dict[ThreadPath, int] = {}
    spans: list[_Span] = []
    for thread in tree.threads():
        start = step = starts.pop(thread.path, 0)
        nodes: list[Sequence[int]] = []
        forks: list[int] = []
        for node in thread.nodes:
            nodes.append(range(step, step + count(node.text)))
            step += len(nodes[-1])
            if node.forks:
                starts[(*thread.path, len(forks))] = step + 1
                forks.append(step)
                step += 1
        spans.append(_Span(thread.path, start, step, tuple(nodes), tuple(forks), True))
    return _stats(spans, prompt_tokens)


def event_stats(events: Iterable[Event], prompt_tokens: int = 0) -> TreeStats:
    """The figures of an answer as it was decoded, from its events; the same as its tree's if it was not cut.

    Raises TreeError where the events do not fit together or there are none.
    """
    return recording_stats(Recording.of(events), prompt_tokens)


def recording_stats(recording: Recording, prompt_tokens: int = 0) -> TreeStats:
    """The figures of a recording of events, as `event_stats` gives them."""
    recording.check_started()
    return _stats([_span(recording, record) for record in recording.threads.values()], prompt_tokens)


def _span(recording: Recording, record: ThreadRecord) -> _Span:
    nodes = tuple(
        [delta.step for delta in deltas for _ in range(recording.tokens_of(delta))] for deltas in record.nodes
    )
    forks = tuple(fork.step for fork in record.forks)
    ends_in_eos = record.finished is not None and record.finished.reason == "eos"
    return _Span(record.path, record.start, record.last_step, nodes, forks, ends_in_eos)


def _stats(spans: Sequence[_Span], prompt: int) -> TreeStats:
    """The figures of an answer's threads, parents before children."""
    tokens = sum(span.tokens for span in spans)
    sequential_steps = tokens + all(span.ends_in_eos for span in spans)
    critical_path = max(span.end for span in spans) + 1
    attended_sequential = _attended(prompt, sequential_steps)
    alive = [0] * (critical_path + 1)
    for span in spans:
        alive[span.start] += 1
        alive[span.end + 1] -= 1
    return TreeStats(
        tokens=tokens,
        threads=len(spans),
        depth=max(len(span.path) for span in spans),
        sequential_steps=sequential_steps,
        critical_path=critical_path,
        attended_forked=_attended_by_threads(spans, prompt),
        attended_sequential=attended_sequential,
        kv_forked=_kv_of_threads(spans, prompt, critical_path),
        # One thread attends in each step to just what is held then.
        kv_sequential=KvUse(prompt + max(sequential_steps - 1, 0), attended_sequential),
        threads_per_step=tuple(accumulate(alive[:-1])),
        detail_tokens=_detail_tokens(spans),
    )


def _detail_tokens(spans: Sequence[_Span]) -> tuple[int, ...]:
    inside: dict[ThreadPath, int] = {}
    for span in reversed(spans):  # children before parents
        inside[span.path] = inside.get(span.path, 0) + span.tokens
        if len(span.path) > 1:
            parent = span.path[:-1]
            inside[parent] = inside.get(parent, 0) + inside[span.path]
    return tuple(inside[path] for path in sorted(inside) if len(path) > 1)


def _attended(path: int, sampled: int) -> int:
    """Tokens attended to by a thread that samples `sampled` tokens, the first of them after `path` tokens."""
    return sampled * path + sampled * (sampled - 1) // 2


def _attended_by_threads(spans: Iterable[_Span], prompt: int) -> int:
    before: dict[ThreadPath, int] = {}
    total = 0
    for span in spans:
        own = path = before.pop(span.path, prompt)
        for k in range(len(span.forks)):
            path += len(span.nodes[k]) + 1
            before[(*span.path, k)] = path + 1  # [Child]
        total += _attended(own, span.sampled)
    return total


def _kv_of_threads(spans: Sequence[_Span], prompt: int, steps: int) -> KvUse:
    """KV held: every token from the step that reads it to the end of the last thread that sees it."""
    held = _Held(steps)
    subtree_end: dict[ThreadPath, int] = {}
    for span in reversed(spans):  # children before parents
        until = span.end
        for k in reversed(range(len(span.nodes))):
            until = max(until, subtree_end.pop((*span.path, k), 0))
            held.add(span.nodes[k], until)
            if k < len(span.forks):
                held.add(range(span.forks[k], span.forks[k] + 1), until)
        if len(span.path) > 1:  # [Child], as if it were sampled in the step of [Fork]
            held.add(range(span.start - 1, span.start), until)
        subtree_end[span.path] = until
    by_step = [prompt + tokens for tokens in held.by_step()]
    return KvUse(max(by_step), sum(by_step))


class _Held:
    """Tokens held in each step, kept as what changes: a run of consecutive steps costs as much as one step."""

    def __init__(self, steps: int) -> None:
        self._growth = [0] * (steps + 2)  # by how much more tokens the tokens held grow in each step
        self._freed = [0] * (steps + 2)

    def add(self, sampled: Sequence[int], until: int) -> None:
        """Hold tokens from the step after each of `sampled` to `until`; one sampled last of all is never read."""
        runs = [sampled] if isinstance(sampled, range) else [range(step, step + 1) for step in sampled]
        for run in runs:
            number = min(len(run), until - run.start)
            if number > 0:
                self._growth[run.start + 1] += 1
                self._growth[run.start + number + 1] -= 1
                self._freed[until + 1] += number

    def by_step(self) -> list[int]:
        """Tokens held in each step."""
        grown = accumulate(self._growth)
        changes = [more - less for more, less in zip(grown, self._freed, strict=True)]
        return list(accumulate(changes))[:-2]
