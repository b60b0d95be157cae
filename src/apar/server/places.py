"""How many answers may be under way: one more is refused, and told when to come again."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from apar.server.errors import busy

_REMEMBERED = 64
_LONGEST_WAIT = 60


class Places:
    """At most `most` answers are under way or wait to be. For one event loop."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._left: deque[float] = deque(maxlen=_REMEMBERED)  # when places were left, by time.monotonic

    @contextmanager
    def take(self, count: int) -> Iterator[None]:
        """Take places for the answers of a request; raises ApiError 429 with Retry-After where there are too few."""
        if self.taken + count > self.most:
            raise busy(self._reason(count), self.retry_after())
        self.taken += count
        try:
            yield
        finally:
            self.taken -= count
            self._left.extend([time.monotonic()] * count)

    def retry_after(self) -> int:
        """Seconds in which, by the rate of late, a place is left; 1 at the least, a minute at the most."""
        if len(self._left) < 2:
            return 1
        seconds = time.monotonic() - self._left[0]
        return min(_LONGEST_WAIT, max(1, math.ceil(seconds / len(self._left))))

    def _reason(self, count: int) -> str:
        if count > self.most:
            return f"the request asks for {count} answers, and at most {self.most} may be under way; ask for fewer"
        return f"{self.taken} answers are under way, and at most {self.most} may be; try again later"
