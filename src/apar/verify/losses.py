"""What the details of an answer lose when the details before them are hidden, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from apar.data.records import TreeRecord

Skipped = Literal["no_forks", "too_long", "prompt_refused", "not_utf8"]
"""Why an answer was left as it is, unmeasured: nothing forks, it is longer than `max_length`, the model's chat
template refuses its messages, or it holds characters that no text in UTF-8 has."""

START_TOKENS = 4
"""Tokens at a detail's start whose loss is told apart: they also carry what the form of a thread costs."""


class Sums(NamedTuple):
    """Summed losses in nats over `tokens` tokens: with the earlier details `shown`, and with them `hidden`."""

    tokens: int = 0
    shown: float = 0.0
    hidden: float = 0.0

    def plus(self, other: Sums) -> Sums:
        return Sums(self.tokens + other.tokens, self.shown + other.shown, self.hidden + other.hidden)

    def minus(self, other: Sums) -> Sums:
        return Sums(self.tokens - other.tokens, self.shown - other.shown, self.hidden - other.hidden)

    @property
    def increase(self) -> float:
        """Nats a token; 0 without tokens."""
        return (self.hidden - self.shown) / self.tokens if self.tokens else 0.0

    @property
    def ratio(self) -> float | None:
        """Hidden over shown; None where nothing is lost."""
        return self.hidden / self.shown if self.shown else None


NOTHING = Sums()


class DetailLoss(NamedTuple):
    """What hiding costs one detail.

    `whole` compares everything shown with the whole tree path. `own` is what the detail's own fork costs: the
    details before it in its thread are hidden, against all else being as it is one level above. For details
    at level 1 without details in them the two are the same. `error` is the standard error of `own.increase`, from
    the spread over the detail's tokens (NaN for a single one). `start` is the part of `whole` that the detail's
    first tokens have.
    """

    at: int
    end: int
    level: int
    number: int
    whole: Sums
    own: Sums
    error: float
    start: Sums


@dataclass(frozen=True, slots=True)
class DetailLosses:
    """The details of one answer, one for each fork in reading order; none where `skipped` says why not.

    `text` is all text after the first fork.
    """

    details: tuple[DetailLoss, ...] = ()
    text: Sums = NOTHING
    skipped: Skipped | None = None

    @property
    def outermost(self) -> Sums:
        """All text of all details, each token once."""
        total = NOTHING
        for detail in self.details:
            total = total.plus(detail.whole) if detail.level == 1 else total
        return total

    @property
    def leads(self) -> Sums:
        """The text of the answer's own thread after the first fork: leads, and what follows the last part."""
        return self.text.minus(self.outermost)

    def least_increases(self, certainty: float, min_tokens: int) -> list[float]:
        """For each fork the nats a token that it costs at least: `certainty` standard errors below what was measured.

        NaN where nothing can be said: for details of fewer than `min_tokens` tokens, and for the first of a
        thread, from which nothing is hidden.
        """
        return [
            d.own.increase - certainty * d.error if d.number and d.own.tokens >= min_tokens else float("nan")
            for d in self.details
        ]


class Verified(NamedTuple):
    """A record as it was, the same with its dependent details merged back, and what was measured."""

    before: TreeRecord
    after: TreeRecord
    losses: DetailLosses
