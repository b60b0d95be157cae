"""How many answers may be under way: one more is refused, with the time after which to try again."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from apar.server.errors import busy, too_many

_REMEMBERED = 64
_MAX_RETRY_SECONDS = 60


class AdmissionLimit:
    """At most `limit` answers are under way or wait to be. For one event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.admitted = 0
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)  # that the last answers took

    @contextmanager
    def admit(self, count: int) -> Iterator[None]:
        """Count the answers of a request as under way until the context ends.

        Raises ApiError 400 where it asks for more than there may ever be, 429 with Retry-After where too many are open.
        """
        if count > self.limit:
            raise too_many(count, self.limit)
        if self.admitted + count > self.limit:
            raise busy(
                f"{self.admitted} answers are under way, and at most {self.limit} may be; try again later",
                self.retry_after(count),
            )
        self.admitted += count
        began = time.monotonic()
        try:
            yield
        finally:
            self.admitted -= count
            self._seconds.extend([time.monotonic() - began] * count)

    def retry_after(self, count: int) -> int:
        """Seconds in which, as long as answers took of late, so many of them end; from 1 to 60."""
        if not self._seconds:
            return 1
        seconds = sum(self._seconds) / len(self._seconds) * count / self.limit
        return min(_MAX_RETRY_SECONDS, max(1, math.ceil(seconds)))
