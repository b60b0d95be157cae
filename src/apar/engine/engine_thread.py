"""The engine in a thread of the host program, serving many requests that come from others.

Requests go in through one queue. What is told of them goes out to the event loops that asked: after each pass
once to each loop, for all its requests together. Nothing waits for a reader.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apar.decoding.answer import Answer, outcome
from apar.decoding.group import Group
from apar.decoding.requests import Request
from apar.errors import AparError, BusyError, RunError
from apar.events import Event

if TYPE_CHECKING:
    from apar.engine.engine import Engine

EventBatch = list[Event]
"""The news of one pass; without any, the request has ended."""


@dataclass(slots=True, eq=False)
class PendingRequest:
    """A request that was handed in, and the box where its letters arrive, in the thread of `loop`.

    `silent` tickets are told the end alone. The rest is set by the service: the group, or the error where there
    is none to carry it; how many events were told; and whether no pass has had a row of the request yet.
    """

    request: Request
    loop: asyncio.AbstractEventLoop
    silent: bool = False
    letters: asyncio.Queue[EventBatch] = field(default_factory=asyncio.Queue)
    began: float = field(default_factory=time.perf_counter)

    group: Group | None = None
    error: AparError | None = None
    told: int = 0
    waiting: bool = True
    ended: bool = False
    """Whether the last letter has come; `on_end` is called when it comes, in the thread of `loop`."""
    on_end: Callable[[], None] | None = None

    @property
    def outcome(self) -> Answer | AparError:
        """Of a request that has ended: the answer, or what went wrong."""
        if self.error is not None:
            return self.error
        assert self.group is not None, "the last letter has come"
        return outcome(self.group)

    def news(self, group: Group) -> list[EventBatch]:
        """The letters that are due."""
        letters = []
        if not self.silent and self.told < len(group.events):
            letters.append(group.events[self.told :])
            self.told = len(group.events)
        return [*letters, []] if group.done else letters


@dataclass(frozen=True, slots=True)
class _Command:
    """Begin a request, or cancel it."""

    ticket: PendingRequest
    cancel: bool = False


class EngineThread:
    """Steps an engine in a thread of its own, which sleeps while there is nothing to do.

    All methods may be called in any thread. At most `max_waiting` requests wait for their first pass (None: no
    bound).
    """

    def __init__(self, engine: Engine, max_waiting: int | None = None) -> None:
        self._engine = engine
        self._max_waiting = max_waiting
        # None is the order to end. Of all queues, this one may be filled by a finalizer too.
        self._orders: queue.SimpleQueue[_Command | None] = queue.SimpleQueue()
        # Guards `_waiting` and `_ended`: why no more requests are taken, and what caused it.
        self._lock = threading.Lock()
        self._waiting = 0
        self._ended: tuple[str, BaseException | None] | None = None
        # The engine's thread alone reads and writes the requests that are in the engine.
        self._open: dict[PendingRequest, Group] = {}
        self._thread = threading.Thread(target=self._live, name="apar-engine", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that no pass has had a row of yet."""
        return self._waiting

    @property
    def failure(self) -> str | None:
        """Why no more requests are taken; None while they are."""
        return self._ended[0] if self._ended else None

    def submit(self, tickets: Sequence[PendingRequest]) -> None:
        """Hand requests in, all or none. Raises BusyError where too many wait, RunError where the engine is gone."""
        with self._lock:
            if self._ended is not None:
                raise _gone(*self._ended)
            if self._max_waiting is not None and self._waiting + len(tickets) > self._max_waiting:
                raise BusyError(
                    f"{self._waiting} requests are waiting, and at most {self._max_waiting} may; try again later"
                )
            self._waiting += len(tickets)
            for ticket in tickets:
                self._orders.put(_Command(ticket))

    def cancel(self, ticket: PendingRequest) -> None:
        """End a request before the next pass and free its blocks; nothing more is told of it."""
        self._orders.put(_Command(ticket, cancel=True))

    def close(self) -> None:
        """End all open requests, and the thread after the pass under way. May be called again."""
        self._orders.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _live(self) -> None:
        try:
            while self._take_orders():
                self._engine.step()
                self._tell()
            for group in self._open.values():
                self._engine.cancel(group)
            self._end("the engine was closed", None)
        except BaseException as error:  # whatever ends the thread, nobody may wait for ever
            self._end(f"the engine stopped ({type(error).__name__}: {error})", error)

    def _take_orders(self) -> bool:
        """Do what was ordered, and sleep while there is no request; False is to end."""
        while True:
            try:
                order = self._orders.get(block=not self._open)
            except queue.Empty:
                return True
            if order is None:
                return False
            if order.cancel:
                self._drop(order.ticket)
            else:
                self._begin(order.ticket)

    def _begin(self, ticket: PendingRequest) -> None:
        try:
            group = self._engine.add(ticket.request.prompt, ticket.request.params, ticket.request.choice)
        except AparError as error:
            ticket.error = error
            self._leave_queue([ticket])
            self._post([(ticket, [])])
            return
        group.began = ticket.began
        ticket.group = self._open[ticket] = group

    def _drop(self, ticket: PendingRequest) -> None:
        group = self._open.pop(ticket, None)
        if group is not None:
            self._engine.cancel(group)
            self._leave_queue([ticket])

    def _tell(self) -> None:
        """Post what the pass has brought, and forget the requests that have ended."""
        letters = [(ticket, letter) for ticket, group in self._open.items() for letter in ticket.news(group)]
        self._leave_queue([ticket for ticket, group in self._open.items() if group.passes or group.done])
        for ticket in [ticket for ticket, group in self._open.items() if group.done]:
            del self._open[ticket]
        self._post(letters)

    def _leave_queue(self, tickets: Sequence[PendingRequest]) -> None:
        left = [ticket for ticket in tickets if ticket.waiting]
        for ticket in left:
            ticket.waiting = False
        if left:
            with self._lock:
                self._waiting -= len(left)

    def _post(self, letters: Sequence[tuple[PendingRequest, EventBatch]]) -> None:
        loops: dict[asyncio.AbstractEventLoop, list[tuple[PendingRequest, EventBatch]]] = {}
        for ticket, letter in letters:
            loops.setdefault(ticket.loop, []).append((ticket, letter))
        for loop, own in loops.items():
            try:
                loop.call_soon_threadsafe(_deliver, own)
            except RuntimeError:  # the loop is closed: nobody can read any more of these
                for ticket, _ in own:
                    self.cancel(ticket)

    def _end(self, reason: str, cause: BaseException | None) -> None:
        """Take no more requests, and tell those that are here why."""
        with self._lock:
            self._ended = reason, cause
            self._waiting = 0
        left = dict.fromkeys(self._open)
        while not self._orders.empty():
            order = self._orders.get()
            if order is not None and not order.cancel:
                left[order.ticket] = None
        self._open.clear()
        for ticket in left:
            ticket.error = _gone(reason, cause)
        self._post([(ticket, []) for ticket in left])


def _gone(reason: str, cause: BaseException | None) -> RunError:
    """A new error for everybody who asks: each is raised in a place of its own."""
    error = RunError(f"{reason}: this request cannot be answered")
    error.__cause__ = cause
    return error


def _deliver(letters: Sequence[tuple[PendingRequest, EventBatch]]) -> None:
    for ticket, letter in letters:
        ticket.letters.put_nowait(letter)
        if not letter:
            ticket.ended = True
            if ticket.on_end is not None:
                ticket.on_end()
