"""The engine in a thread of the host program, serving many requests that come from others.

Requests go in through one queue. Their events go out to the event loops that asked: after each pass once to each
loop, for all its requests together. Nothing waits for a reader.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from apar.backends.backend import PendingAnswer
from apar.decoding.group import Group
from apar.decoding.requests import Request
from apar.errors import AparError, BusyError, RunError
from apar.events import Event

if TYPE_CHECKING:
    from apar.scheduling.core import EngineCore


class PendingRequest(PendingAnswer):
    """A request that was handed in, and its answer on the way to the event loop that runs here.

    The engine's thread sets the group, or the error where there is none to carry it; how many events were sent; and
    whether no pass has had a row of the request yet.
    """

    def __init__(self, request: Request, thread: EngineThread, end_only: bool) -> None:
        super().__init__(end_only)
        self.request = request
        self.loop = asyncio.get_running_loop()
        self.began = time.perf_counter()
        self.num_sent = 0
        self.waiting = True
        self._thread = thread

    def cancel(self) -> None:
        """End the request before the next pass and free its blocks."""
        self._thread.cancel(self)

    async def wait_cancelled(self) -> None:
        """Nothing is to be waited for: the engine's thread does it."""

    def unsent_events(self, group: Group) -> list[Event]:
        """The events that the last pass has brought; from here on they count as sent."""
        if self.end_only or self.num_sent == len(group.events):
            return []
        events = group.events[self.num_sent :]
        self.num_sent = len(group.events)
        return events


class EventBatch(NamedTuple):
    """What a pass has brought for one request."""

    pending: PendingRequest
    events: Sequence[Event] = ()
    ended: bool = False


@dataclass(frozen=True, slots=True)
class _Command:
    """Begin a request, or cancel it."""

    pending: PendingRequest
    cancel: bool = False


class EngineThread:
    """Steps an engine in a thread of its own, which sleeps while there is nothing to do.

    All methods may be called in any thread. At most `max_waiting` requests wait for their first pass (None: no
    bound).
    """

    def __init__(self, engine: EngineCore, max_waiting: int | None = None) -> None:
        self._engine = engine
        self._max_waiting = max_waiting
        # None is the command to end. Of all queues, this one may be filled by a finalizer too.
        self._commands: queue.SimpleQueue[_Command | None] = queue.SimpleQueue()
        # Guards `_waiting` and `_ended`: why no more requests are taken, and what caused it.
        self._lock = threading.Lock()
        self._waiting = 0
        self._ended: tuple[str, BaseException | None] | None = None
        # The engine's thread alone reads and writes the requests that are in the engine.
        self._open: dict[PendingRequest, Group] = {}
        self._thread = threading.Thread(target=self._run, name="apar-engine", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that no pass has had a row of yet."""
        return self._waiting

    @property
    def failure(self) -> str | None:
        """Why no more requests are taken; None while they are."""
        return self._ended[0] if self._ended else None

    def submit(self, requests: Sequence[PendingRequest]) -> None:
        """Hand requests in, all or none. Raises BusyError where too many wait, RunError where the engine is gone."""
        with self._lock:
            if self._ended is not None:
                raise _gone(*self._ended)
            if self._max_waiting is not None and self._waiting + len(requests) > self._max_waiting:
                raise BusyError(
                    f"{self._waiting} requests are waiting, and at most {self._max_waiting} may; try again later"
                )
            self._waiting += len(requests)
            for pending in requests:
                self._commands.put(_Command(pending))

    def cancel(self, pending: PendingRequest) -> None:
        """End a request before the next pass and free its blocks; nothing more is sent of it."""
        self._commands.put(_Command(pending, cancel=True))

    def close(self) -> None:
        """End all open requests, and the thread after the pass under way. May be called again."""
        self._commands.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._take_commands():
                self._engine.step()
                self._send_events()
            for group in self._open.values():
                self._engine.cancel(group)
            self._end("the engine was closed", None)
        except BaseException as error:  # whatever ends the thread, nobody may wait for ever
            self._end(f"the engine stopped ({type(error).__name__}: {error})", error)

    def _take_commands(self) -> bool:
        """Do what was asked for, and sleep while there is no request; False is to end."""
        while True:
            try:
                command = self._commands.get(block=not self._open)
            except queue.Empty:
                return True
            if command is None:
                return False
            if command.cancel:
                self._drop(command.pending)
            else:
                self._begin(command.pending)

    def _begin(self, pending: PendingRequest) -> None:
        request = pending.request
        try:
            group = self._engine.add(request.prompt, request.params, request.choice, question=request.question)
        except AparError as error:
            pending.error = error
            self._leave_queue([pending])
            self._post([EventBatch(pending, ended=True)])
            return
        group.began = pending.began
        pending.group = self._open[pending] = group

    def _drop(self, pending: PendingRequest) -> None:
        group = self._open.pop(pending, None)
        if group is not None:
            self._engine.cancel(group)
            self._leave_queue([pending])

    def _send_events(self) -> None:
        """Post what the pass has brought, and forget the requests that have ended."""
        batches = [
            EventBatch(pending, events, group.done)
            for pending, group in self._open.items()
            if (events := pending.unsent_events(group)) or group.done
        ]
        self._leave_queue([pending for pending, group in self._open.items() if group.passes or group.done])
        for batch in batches:
            if batch.ended:
                del self._open[batch.pending]
        self._post(batches)

    def _leave_queue(self, requests: Sequence[PendingRequest]) -> None:
        left = [pending for pending in requests if pending.waiting]
        for pending in left:
            pending.waiting = False
        if left:
            with self._lock:
                self._waiting -= len(left)

    def _post(self, batches: Sequence[EventBatch]) -> None:
        loops: dict[asyncio.AbstractEventLoop, list[EventBatch]] = {}
        for batch in batches:
            loops.setdefault(batch.pending.loop, []).append(batch)
        for loop, own in loops.items():
            try:
                loop.call_soon_threadsafe(_deliver, own)
            except RuntimeError:  # the loop is closed: nobody can read any more of these
                for batch in own:
                    self.cancel(batch.pending)

    def _end(self, reason: str, cause: BaseException | None) -> None:
        """Take no more requests, and report to those that are here why."""
        with self._lock:
            self._ended = reason, cause
            self._waiting = 0
        left = dict.fromkeys(self._open)
        while not self._commands.empty():
            command = self._commands.get()
            if command is not None and not command.cancel:
                left[command.pending] = None
        self._open.clear()
        for pending in left:
            pending.error = _gone(reason, cause)
        self._post([EventBatch(pending, ended=True) for pending in left])


def _gone(reason: str, cause: BaseException | None) -> RunError:
    """A new error for everybody who asks: each is raised in a place of its own."""
    error = RunError(f"{reason}: this request cannot be answered")
    error.__cause__ = cause
    return error


def _deliver(batches: Sequence[EventBatch]) -> None:
    for batch in batches:
        batch.pending.receive(batch.events, batch.ended)
