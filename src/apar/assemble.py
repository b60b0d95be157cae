"""From events to text: what an answer reads like, while its threads are still being decoded.

Text appears in reading order and is append-only: what was shown never changes, so an ordinary client can
print it as it comes. A thread's own text is shown up to its first fork, then the whole content of that child,
then the thread goes on; text of later threads waits until everything before it is complete.

Everything is iterative and costs time in proportion to the events and the text, however they interleave.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from apar.errors import TreeError, UserError
from apar.events import Delta, Event, Finished, Forked, Started, TokenLogprob
from apar.tree import ROOT, Node, ParagraphTree, ThreadPath


@dataclass(slots=True)
class ThreadRecord:
    """What the events have told of one thread so far.

    `nodes` holds the deltas of each node; every node but the last was closed by the fork of the same index.
    """

    path: ThreadPath
    start: int
    nodes: list[list[Delta]] = field(default_factory=lambda: [[]])
    forks: list[Forked] = field(default_factory=list)
    finished: Finished | None = None

    def child(self, index: int) -> ThreadPath:
        """The path of the thread that the fork `index` opens."""
        return (*self.path, index)

    @property
    def last_step(self) -> int:
        """The last step in which the thread was heard of."""
        if self.finished is not None:
            return self.finished.step
        if self.nodes[-1]:
            return self.nodes[-1][-1].step
        return self.forks[-1].step if self.forks else self.start


class Recording:
    """The threads of one answer, folded from its events; `threads` is in the order in which they started."""

    def __init__(self) -> None:
        self.threads: dict[ThreadPath, ThreadRecord] = {}
        self.encoded = False
        """Whether the events carry token ids."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> Recording:
        """The recording of a whole stream; raises TreeError as `add` does."""
        recording = cls()
        for event in events:
            recording.add(event)
        return recording

    def tokens_of(self, delta: Delta) -> int:
        """The visible tokens of a delta. In a replay of a tree that is not encoded every delta is one."""
        return len(delta.token_ids) if self.encoded else 1

    def tokens(self, path: ThreadPath) -> int:
        """The visible tokens that a thread sampled itself."""
        return sum(self.tokens_of(delta) for deltas in self.threads[path].nodes for delta in deltas)

    def check_started(self) -> None:
        """Raise TreeError if there is no answer: no thread has started."""
        if not self.threads:
            raise TreeError("there are no events: the answer never started")

    def add(self, event: Event) -> None:
        """Take one event in; raise TreeError, naming event and thread, if it cannot follow those before it.

        The order between threads is free, except that a child is forked before it starts.
        """
        match event:
            case Started():
                self._start(event)
            case Delta():
                self._running(event).nodes[-1].append(event)
                self.encoded = self.encoded or bool(event.token_ids)
            case Forked():
                self._fork(event)
            case Finished():
                self._running(event).finished = event

    def _start(self, event: Started) -> None:
        if event.thread in self.threads:
            raise _illegal(event, "has started already")
        if event.thread != ROOT:
            parent = self.threads.get(event.thread[:-1])
            if parent is None or event.parent != parent.path:
                raise _illegal(event, f"names {event.parent} as its parent, and that is no thread it can come from")
            if event.thread[-1] not in range(len(parent.forks)):
                raise _illegal(event, "was never forked")
            if event.step <= (forked := parent.forks[event.thread[-1]].step):
                raise _illegal(event, f"was forked at step {forked} and can start no earlier than the step after")
        elif event.parent is not None:
            raise _illegal(event, "is the root and has no parent")
        self.threads[event.thread] = ThreadRecord(event.thread, event.step)

    def _fork(self, event: Forked) -> None:
        record = self._running(event)
        if event.child != record.child(len(record.forks)):
            raise _illegal(event, f"forks {event.child}, but its next child is {record.child(len(record.forks))}")
        if not record.nodes[-1]:
            raise _illegal(event, "forks without a token since it started or last forked")
        record.forks.append(event)
        record.nodes.append([])

    def _running(self, event: Delta | Forked | Finished) -> ThreadRecord:
        record = self.threads.get(event.thread)
        if record is None:
            raise _illegal(event, "never started")
        if record.finished is not None:
            raise _illegal(event, f"had finished at step {record.finished.step}")
        if event.step < record.last_step:
            raise _illegal(event, f"was heard of at step {record.last_step} already")
        return record


def _illegal(event: Event, why: str) -> TreeError:
    return TreeError(f"illegal event {type(event).__name__} at step {event.step}: thread {event.thread} {why}")


@dataclass(slots=True)
class _Cursor:
    """How far a thread has been read: `delta` deltas of node `node`."""

    path: ThreadPath
    node: int = 0
    delta: int = 0


class Reader:
    """Hands out the deltas of a growing recording in reading order, each as soon as all before it are there."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._reading = [_Cursor(ROOT)]  # the thread being read, below it its ancestors

    @property
    def finished(self) -> bool:
        """Whether everything has been read."""
        return not self._reading

    @property
    def thread(self) -> ThreadPath | None:
        """The thread that is read next: once all is read that can be, only its events bring more."""
        return self._reading[-1].path if self._reading else None

    def read(self, ended: bool = False) -> Iterator[Delta]:
        """The deltas that can be read by now; with `ended` threads that did not finish are taken as they are."""
        while self._reading:
            cursor = self._reading[-1]
            record = self._recording.threads.get(cursor.path)
            if record is not None:
                deltas = record.nodes[cursor.node]
                yield from deltas[cursor.delta :]
                cursor.delta = len(deltas)
            if record is not None and cursor.node < len(record.forks):
                self._reading.append(_Cursor(record.child(cursor.node)))
                cursor.node, cursor.delta = cursor.node + 1, 0
            elif ended or (record is not None and record.finished is not None):
                self._reading.pop()
            else:
                return


@dataclass(frozen=True, slots=True)
class PlacedLogprob:
    """A token's log probability, and the character of the answer where the token begins."""

    start: int
    token: TokenLogprob


class Assembler:
    """Events in, text in reading order out.

    `stop` are texts that end the answer: the answer is what stands before the first of them to be complete in
    the assembled text, across the borders of nodes and threads, however the events interleave. Text that may
    still become a stop text is held back.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._recording = Recording()
        self._reader = Reader(self._recording)
        self._stop = _StopText(stop)
        self._shown: list[str] = []
        self._shown_length = 0
        self._read_length = 0  # of what has been read, the text that is held back included
        self._length = 0
        self._logprobs: deque[PlacedLogprob] = deque()  # of what has been read and not been taken

    @property
    def text(self) -> str:
        """All text shown so far."""
        if len(self._shown) > 1:
            self._shown = ["".join(self._shown)]
        return self._shown[0] if self._shown else ""

    @property
    def pending(self) -> int:
        """Characters that are decoded and cannot be shown yet; 0 once the answer is finished."""
        return 0 if self.finished else self._length - self._shown_length

    @property
    def stopped(self) -> bool:
        """Whether a stop text was met: nothing more will be shown."""
        return self._stop.met

    @property
    def finished(self) -> bool:
        """Whether all text has been shown."""
        return self.stopped or self._reader.finished

    @property
    def threads(self) -> dict[ThreadPath, ThreadRecord]:
        """The threads so far, in the order in which they started."""
        return self._recording.threads

    def feed(self, event: Event) -> str:
        """Take one event in and return the text that may be shown now, often none.

        Raises TreeError, naming event and thread, if the event cannot follow those before it.
        """
        self._recording.add(event)
        if isinstance(event, Delta):
            self._length += len(event.text)
        if self.stopped or event.thread != self._reader.thread:
            return ""
        return self._show(self._reader.read())

    def end(self) -> str:
        """The stream has ended: return the rest, taking threads that did not finish as they are.

        An answer that was cut (by its budget, by a cancelled request) may name children that never started.
        """
        return "" if self.finished else self._show(self._reader.read(ended=True))

    def take_logprobs(self) -> list[PlacedLogprob]:
        """The log probabilities of tokens that began to be shown since the last call, in reading order.

        At the end of an answer tokens without text are among them; never those behind a stop text.
        """
        taken: list[PlacedLogprob] = []
        ended = self.finished and not self.stopped
        while self._logprobs and (ended or self._logprobs[0].start < self._shown_length):
            taken.append(self._logprobs.popleft())
        return taken

    def tree(self) -> ParagraphTree:
        """The answer so far as a tree: threads as far as they came, a fork without detail text left out.

        If a stop text was met, the tree's text ends before it; a token that the border cuts stays whole.
        """
        nodes = _in_reading_order(self.threads)
        return _tree(_cut(nodes, self._shown_length) if self.stopped else nodes)

    def deltas(self) -> list[Delta]:
        """What the text so far is made of, in reading order; nothing of what comes after a stop text that was met."""
        nodes = _in_reading_order(self.threads)
        shown = _cut(nodes, self._shown_length) if self.stopped else nodes
        return [delta for deltas, _ in shown for delta in deltas]

    def _show(self, deltas: Iterator[Delta]) -> str:
        texts = []
        for delta in deltas:
            self._logprobs += [PlacedLogprob(self._read_length, logprob) for logprob in delta.logprobs]
            self._read_length += len(delta.text)
            texts.append(delta.text)
        text = self._stop.feed("".join(texts))
        if self._reader.finished:
            text += self._stop.rest()
        if text:
            self._shown.append(text)
            self._shown_length += len(text)
        return text


class _StopText:
    """Looks for stop texts in text that arrives in pieces; the result does not depend on the pieces."""

    def __init__(self, stops: Sequence[str]) -> None:
        if not all(stops):
            raise UserError("a stop text is empty; give text that the answer may contain")
        self._stops = tuple(stops)
        self._held = ""
        self.met = False

    def feed(self, text: str) -> str:
        """The part of the text so far, not returned before, that no stop text can still touch."""
        if self.met or not self._stops:
            return "" if self.met else text
        text = self._held + text
        # The stop text that is complete first wins, as it would if the text came character by character.
        found = [(start + len(stop), start) for stop in self._stops if (start := text.find(stop)) >= 0]
        self.met = bool(found)
        border = min(found)[1] if found else len(text) - self._unsure(text)
        self._held = "" if self.met else text[border:]
        return text[:border]

    def rest(self) -> str:
        """The text held back, when there is no more to come."""
        held, self._held = self._held, ""
        return held

    def _unsure(self, text: str) -> int:
        """Length of the longest end of `text` with which a stop text begins."""
        longest = min(len(text), max(len(stop) for stop in self._stops) - 1)
        ends = (n for n in range(longest, 0, -1) if any(stop.startswith(text[-n:]) for stop in self._stops))
        return next(ends, 0)


def tree_of(events: Iterable[Event], stop: Sequence[str] = ()) -> ParagraphTree:
    """The paragraph tree of an answer, from its events (of an engine, a trace or `replay`).

    `stop` are the stop texts of the request. Threads that were cut are taken as far as they came. Nodes have
    tokens if the events carry ids. Raises TreeError where the events do not fit together.
    """
    assembler = Assembler(stop)
    for event in events:
        assembler.feed(event)
    assembler.end()
    return assembler.tree()


def _in_reading_order(threads: dict[ThreadPath, ThreadRecord]) -> Iterator[tuple[list[Delta], bool]]:
    """The deltas of each node, and whether it forks; a child that never started is an empty node."""
    stack = [_Cursor(ROOT)]
    while stack:
        cursor = stack.pop()
        record = threads.get(cursor.path)
        if record is None:
            yield [], False
            continue
        forks = cursor.node < len(record.forks)
        yield record.nodes[cursor.node], forks
        if forks:
            stack += [_Cursor(cursor.path, cursor.node + 1), _Cursor(record.child(cursor.node))]


def _cut(nodes: Iterable[tuple[list[Delta], bool]], limit: int) -> Iterator[tuple[list[Delta], bool]]:
    """The nodes with the deltas that make the first `limit` characters; nothing of what comes after."""
    for deltas, forks in nodes:
        kept: list[Delta] = []
        for delta in deltas:
            if limit == 0:
                break
            kept.append(replace(delta, text=delta.text[:limit]))
            limit -= len(kept[-1].text)
        yield kept, forks


def _tree(nodes: Iterable[tuple[list[Delta], bool]]) -> ParagraphTree:
    """The tree of nodes in reading order."""
    order = list(nodes)
    encoded = any(delta.token_ids for deltas, _ in order for delta in deltas)
    built: list[Node] = []
    for deltas, forks in reversed(order):
        text = "".join(delta.text for delta in deltas)
        tokens = tuple(token for delta in deltas for token in delta.token_ids) if encoded else None
        # In reversed reading order both subtrees of a node are built before it: detail on top, then next.
        detail, follow = (built.pop(), built.pop()) if forks else (None, None)
        built.append(_joined(Node(text, detail, follow, tokens)))
    return ParagraphTree(built[0])


def _joined(node: Node) -> Node:
    """The node, or if it forks to a detail without text, the node and its next as one."""
    if node.detail is None or node.next is None or node.detail.text or node.detail.forks:
        return node
    parts = (node, node.detail, node.next)
    tokens = None if node.tokens is None else tuple(token for part in parts for token in part.tokens or ())
    return Node("".join(part.text for part in parts), node.next.detail, node.next.next, tokens)
