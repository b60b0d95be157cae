"""How many answers may be under way: one more is refused, and told when to come again."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from apar.server.errors import busy, too_many

_REMEMBERED = 64
_LONGEST_WAIT = 60


class Places:
    """At most `most` answers are under way or wait to be. For one event loop."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)  # that the last answers took

    @contextmanager
    def take(self, count: int) -> Iterator[None]:
        """Take places for the answers of a request.

        Raises ApiError 400 where it asks for more than there are, 429 with Retry-After where too few are free.
        """
        if count > self.most:
            raise too_many(count, self.most)
        if self.taken + count > self.most:
            raise busy(
                f"{self.taken} answers are under way, and at most {self.most} may be; try again later",
                self.retry_after(count),
            )
        self.taken += count
        began = time.monotonic()
        try:
            yield
        finally:
            self.taken -= count
            self._seconds.extend([time.monotonic() - began] * count)

    def retry_after(self, count: int) -> int:
        """Seconds in which, as long as answers took of late, so many places are left; from 1 to 60."""
        if not self._seconds:
            return 1
        seconds = sum(self._seconds) / len(self._seconds) * count / self.most
        return min(_LONGEST_WAIT, max(1, math.ceil(seconds)))
