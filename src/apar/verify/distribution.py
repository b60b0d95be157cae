"""What `report.json` says of the details' independence: corpus losses, the distribution, what was merged back."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isnan
from typing import Any

from apar.intervals import ratio_interval
from apar.verify.losses import NOTHING, DetailLosses, Sums, Verified

EDGES = (-0.5, -0.2, -0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Of the histogram, in nats a token; below the first and from the last on there is one bin each."""

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


class Distribution:
    """Collects verified answers. Memory grows by 16 bytes for an answer and 8 for a detail."""

    def __init__(self, threshold: float, certainty: float, min_tokens: int) -> None:
        self.answers = 0
        self._certainty = certainty
        self._min_tokens = min_tokens
        self._threshold = threshold
        self._skipped: Counter[str] = Counter()
        self._sums: defaultdict[str, Sums] = defaultdict(lambda: NOTHING)
        self._groups: dict[str, defaultdict[str, Sums]] = {
            f"by_{name}": defaultdict(lambda: NOTHING) for name in ("rule", "source", "level")
        }
        self._shown, self._hidden = array("d"), array("d")  # of each measured answer
        self._increases = array("d")
        self._details: Counter[str] = Counter()
        self._changed: Counter[str] = Counter()

    def add(self, verified: Verified) -> None:
        """Count an answer."""
        self.answers += 1
        losses = verified.losses
        if losses.skipped is not None:
            self._skipped[losses.skipped] += 1
            return
        self._add_losses(losses)
        outer = losses.outermost
        self._shown.append(outer.shown)
        self._hidden.append(outer.hidden)
        for name, key in (("by_rule", verified.before.rule), ("by_source", verified.before.source)):
            self._groups[name][key] = self._groups[name][key].plus(outer)
        merged = len(losses.details) - verified.after.tree.num_forks
        self._details["merged"] += merged
        self._changed["changed"] += merged > 0
        self._changed["unstructured"] += not verified.after.tree.root.forks

    def _add_losses(self, losses: DetailLosses) -> None:
        self._put("details", losses.outermost)
        self._put("leads", losses.leads)
        least = losses.least_increases(self._certainty, self._min_tokens)
        for detail, least_increase in zip(losses.details, least, strict=True):
            self._put("later" if detail.number else "first", detail.own)
            if detail.level == 1:
                self._put("start", detail.start)
            level = self._groups["by_level"]
            level[str(detail.level)] = level[str(detail.level)].plus(detail.own)
            self._details["number"] += 1
            if not isnan(least_increase):
                self._increases.append(detail.own.increase)
                self._details["dependent"] += least_increase > self._threshold

    def _put(self, name: str, sums: Sums) -> None:
        self._sums[name] = self._sums[name].plus(sums)

    def to_dict(self) -> dict[str, Any]:
        """The figures; `docs/verify.md` says what each means. None where there is nothing to measure."""
        details = self._sums["details"]
        return {
            "answers": {
                "read": self.answers,
                "measured": len(self._shown),
                "skipped": dict(sorted(self._skipped.items())),
                "changed": self._changed["changed"],
                "unstructured": self._changed["unstructured"],
            },
            "details": {
                "number": self._details["number"],
                "judged": len(self._increases),
                "dependent": self._details["dependent"],
                "dependent_share": _share(self._details["dependent"], len(self._increases)),
                "merged": self._details["merged"],
                "merged_share": _share(self._details["merged"], self._details["number"]),
            },
            "loss": {**_figures(details), "ratio_interval": rounded_interval(self._shown, self._hidden)},
            "loss_without_start": _figures(details.minus(self._sums["start"])),
            **{f"loss_of_{name}": _figures(self._sums[name]) for name in ("first", "later", "leads")},
            "increase": _spread(self._increases),
            **{name: {key: _figures(group[key]) for key in sorted(group)} for name, group in self._groups.items()},
        }


def rounded_interval(shown: Sequence[float], hidden: Sequence[float]) -> list[float] | None:
    """The 95 % bootstrap interval of hidden over shown, both summed by answer; None for fewer than two answers."""
    if len(shown) < 2:
        return None
    found = ratio_interval(hidden, shown)
    return [round(found.low, 5), round(found.high, 5)]


def _figures(sums: Sums) -> dict[str, Any]:
    """Means in nats a token."""
    mean = {key: sums[k] / sums.tokens if sums.tokens else None for k, key in ((1, "shown"), (2, "hidden"))}
    increase = sums.increase if sums.tokens else None
    return {"tokens": sums.tokens, **_rounded({**mean, "increase": increase, "ratio": sums.ratio})}


def _spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, quantiles and histogram of the details' increases."""
    ordered = sorted(values)
    if not ordered:
        return {"mean": None, "median": None, "quantiles": {}, "histogram": []}
    quantiles = {str(q): ordered[round(q * (len(ordered) - 1))] for q in QUANTILES}
    counts = Counter(bisect_right(EDGES, value) for value in ordered)
    borders = pairwise((None, *EDGES, None))
    return {
        **_rounded({"mean": sum(ordered) / len(ordered), "median": quantiles["0.5"]}),
        "quantiles": _rounded(quantiles),
        "histogram": [{"from": a, "to": b, "details": counts[k]} for k, (a, b) in enumerate(borders)],
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 5) if whole else None


def _rounded(values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {key: None if value is None else round(value, 5) for key, value in values.items()}
