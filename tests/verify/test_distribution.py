"""The report of independence counts every token once and every fork where it belongs."""

from __future__ import annotations

import json
import random
from math import nan

import pytest

from apar.data.records import TreeRecord
from apar.tree import ParagraphTree
from apar.verify.distribution import EDGES, Distribution, rounded_interval
from apar.verify.losses import NOTHING, DetailLoss, DetailLosses, Sums, Verified
from apar.verify.merge import merge_back


def verified(*costs: float, error: float = 0.0) -> Verified:
    """An answer of parts of 20 tokens at 2 nats a token; hiding costs `costs` nats a token."""
    tree = ParagraphTree.from_forks("a:b" * len(costs), [(3 * k + 2, 3 * k + 3) for k in range(len(costs))])
    record = TreeRecord("x", "s", (), tree.text, "labels", None, tree, extra={})
    details = []
    for k, cost in enumerate(costs):
        sums = Sums(20, 40.0, 40.0 + 20 * cost)
        details.append(DetailLoss(0, 20, 1, k, sums, sums, error, Sums(4, 8.0, 8.0 + 20 * cost)))
    total = Sums(20 * len(costs), 40.0 * len(costs), 40.0 * len(costs) + 20 * sum(costs))
    losses = DetailLosses(tuple(details), total.plus(Sums(10, 5.0, 6.0)))
    return Verified(record, merge_back(record, losses.least_increases(2.0, 16), 0.1), losses)


def report(*answers: Verified) -> dict[str, object]:
    distribution = Distribution(threshold=0.1, certainty=2.0, min_tokens=16)
    for answer in answers:
        distribution.add(answer)
    return json.loads(json.dumps(distribution.to_dict()))


def test_losses_are_means_over_tokens_and_the_ratio_is_one_of_sums() -> None:
    found = report(verified(0.0, 0.2, 0.4), verified(0.1, 0.0))
    assert found["loss"] == {
        "tokens": 100,
        "shown": 2.0,
        "hidden": 2.14,
        "increase": 0.14,
        "ratio": 1.07,
        "ratio_interval": found["loss"]["ratio_interval"],
    }
    assert found["loss_of_first"]["increase"] == 0.05
    assert found["loss_of_later"]["increase"] == 0.2
    assert found["loss_of_leads"] == {"tokens": 20, "shown": 0.5, "hidden": 0.6, "increase": 0.1, "ratio": 1.2}
    # All that hiding costs is in the first four tokens here.
    assert found["loss_without_start"]["increase"] == 0
    assert found["loss_without_start"]["tokens"] == 80
    assert found["by_rule"]["labels"]["tokens"] == found["by_source"]["s"]["tokens"] == 100
    assert found["by_level"] == {"1": {key: found["loss"][key] for key in found["by_level"]["1"]}}


def test_only_what_is_surely_above_the_threshold_is_dependent() -> None:
    sure, unsure = verified(0.0, 0.0, 0.5, 0.0, 0.0), verified(0.0, 0.0, 0.5, 0.0, 0.0, error=0.25)
    found = report(sure, unsure)
    assert found["details"] == {
        "number": 10,
        "judged": 8,
        "dependent": 1,
        "dependent_share": 0.125,
        "merged": 3,
        "merged_share": 0.3,
    }
    assert found["answers"] == {"read": 2, "measured": 2, "skipped": {}, "changed": 1, "unstructured": 0}


def test_details_that_are_first_or_short_or_of_one_token_are_not_judged() -> None:
    losses = verified(0.9, 0.9, 0.9).losses
    assert losses.least_increases(2.0, 21) == pytest.approx([nan] * 3, nan_ok=True)
    assert losses.least_increases(2.0, 20) == pytest.approx([nan, 0.9, 0.9], nan_ok=True)
    alone = losses.details[1]._replace(error=nan)
    assert DetailLosses((alone,)).least_increases(0.0, 1) == pytest.approx([nan], nan_ok=True)


def test_the_histogram_holds_every_judged_detail_in_its_bin() -> None:
    found = report(verified(0.0, -0.7, 0.021, 0.029, 5.0))["increase"]
    counts = {(one["from"], one["to"]): one["details"] for one in found["histogram"]}
    assert len(counts) == len(EDGES) + 1
    assert {edges for edges, number in counts.items() if number} == {(None, -0.5), (0.02, 0.05), (1.0, None)}
    assert counts[0.02, 0.05] == 2
    assert found["mean"] == pytest.approx((5 - 0.7 + 0.05) / 4)
    assert found["quantiles"]["0.99"] == 5.0


def test_nothing_measured_has_no_figures() -> None:
    empty = report()
    assert empty["loss"]["ratio"] is empty["loss"]["ratio_interval"] is empty["increase"]["mean"] is None
    assert empty["details"]["dependent_share"] is None
    assert NOTHING.increase == 0


def test_the_interval_covers_the_ratio_and_narrows_with_more_answers() -> None:
    rng = random.Random(0)
    shown = [rng.uniform(1, 3) for _ in range(400)]
    hidden = [loss * rng.uniform(0.9, 1.3) for loss in shown]
    few, many = rounded_interval(shown[:40], hidden[:40]), rounded_interval(shown, hidden)
    assert few is not None
    assert many is not None
    assert many[0] < sum(hidden) / sum(shown) < many[1]
    assert many[1] - many[0] < few[1] - few[0]
    assert rounded_interval(shown, hidden) == many
    assert rounded_interval(shown[:1], hidden[:1]) is None
