"""The loss on held-out answers: of the taught model on their trees, of the twin on the same text."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from apar.data.records import Example, read_examples
from apar.errors import UserError
from apar.eval.answering import Report
from apar.eval.journal import Journal, Key
from apar.eval.plan import Plan
from apar.eval.scoring import Text, load_scorer, read
from apar.verify.distribution import rounded_interval
from apar.verify.scorer import Scorer

EDGES = (16, 32, 64, 128, 256, 512)
"""Where the buckets of path positions end, in tokens from the answer's beginning; the last one has no end."""

_SKIPPED: dict[str, Any] = {"tokens": None}


class Sums(NamedTuple):
    """By bucket of path position: tokens, and nats of the model on the tree and of the twin on the same text."""

    tokens: Sequence[int]
    model: Sequence[float]
    twin: Sequence[float] | None


def held_out_loss(plan: Plan, journal: Journal, report: Report) -> dict[str, Any] | None:
    """The figures over all answers, over those that fork and those that do not; None where the plan wants none, or
    has no taught model.

    Both models leave control tokens out of what they may predict, so that only text counts. Raises UserError if the
    twin's tokenizer splits an answer differently.
    """
    examples = _drawn(plan)
    if not examples:
        return None
    _measure(plan, examples, journal, report)
    found = [(example, _sums(journal[_key(number)])) for number, example in enumerate(examples)]
    measured = [(example, sums) for example, sums in found if sums is not None]
    return {
        "answers": len(measured),
        "skipped": len(found) - len(measured),
        "all": _figures([sums for _, sums in measured]),
        "structured": _figures([sums for example, sums in measured if example.structured]),
        "unstructured": _figures([sums for example, sums in measured if not example.structured]),
    }


def _drawn(plan: Plan) -> list[Example]:
    """As many answers that fork and that do not as the plan wants, by its seed."""
    files = [path for chosen in plan.sets.values() for path in chosen.trees]
    if not files or not plan.loss.answers or plan.model is None:
        return []
    examples = read_examples(files)
    random.Random(plan.seed).shuffle(examples)
    structured = [example for example in examples if example.structured]
    others = [example for example in examples if not example.structured]
    return [*structured[: plan.loss.answers], *others[: plan.loss.answers]]


def _measure(plan: Plan, examples: Sequence[Example], journal: Journal, report: Report) -> None:
    missing = [number for number in range(len(examples)) if _key(number) not in journal]
    if not missing or plan.model is None:
        return
    scorer = load_scorer(plan.model, plan)
    twin = None if plan.twin is None else load_scorer(plan.twin, plan)
    chosen = [examples[number] for number in missing]
    own = _read(plan, scorer, chosen, as_tree=True)
    other = [None] * len(chosen) if twin is None else _read(plan, twin, chosen, as_tree=False)
    for done, (number, first, second) in enumerate(zip(missing, own, other, strict=True)):
        report("held-out loss", done, len(missing))
        journal.put(_key(number), _value(plan, first, second))


def _read(plan: Plan, scorer: Scorer, examples: Sequence[Example], *, as_tree: bool) -> Iterable[Any]:
    texts = [Text(example.messages, example.tree, as_tree) for example in examples]
    return read(scorer, texts, plan.loss.max_length, plan.batch_tokens)


def _value(plan: Plan, own: Any, other: Any) -> dict[str, Any]:
    """What is kept of an answer. Tokens of the twin count at the places that they have in the tree."""
    if own.losses is None or (other is not None and other.losses is None):
        return _SKIPPED
    if other is not None and len(other.losses) != len(own.losses):
        raise UserError(f"{plan.twin} is no twin of {plan.model}: their tokenizers split the answers differently")
    return {
        "tokens": _by_place(own.places, [1] * len(own.places)),
        "model": _by_place(own.places, own.losses.tolist()),
        "twin": None if other is None else _by_place(own.places, other.losses.tolist()),
    }


def _by_place(places: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """The sums of the values by bucket of their places."""
    sums = [0] * (len(EDGES) + 1)
    for place, value in zip(places, values, strict=True):
        sums[bisect_right(EDGES, place)] += value
    return sums


def _sums(value: dict[str, Any]) -> Sums | None:
    return None if value["tokens"] is None else Sums(**value)


def _figures(each: Sequence[Sums]) -> dict[str, Any] | None:
    """None without answers."""
    if not each:
        return None
    model = [sum(one.model) for one in each]
    twins = [one.twin for one in each if one.twin is not None]
    twin = [sum(one) for one in twins] if twins else None
    return {
        **_ratio(sum(sum(one.tokens) for one in each), sum(model), None if twin is None else sum(twin)),
        "ratio_interval": None if twin is None else rounded_interval(twin, model),
        "by_position": [_bucket(number, each) for number in range(len(EDGES) + 1)],
    }


def _bucket(number: int, each: Sequence[Sums]) -> dict[str, Any]:
    twins = [one.twin[number] for one in each if one.twin is not None]
    return {
        "from": EDGES[number - 1] if number else 0,
        "to": EDGES[number] if number < len(EDGES) else None,
        **_ratio(
            sum(one.tokens[number] for one in each),
            sum(one.model[number] for one in each),
            sum(twins) if twins else None,
        ),
    }


def _ratio(tokens: int, model: float, twin: float | None) -> dict[str, Any]:
    """Means in nats a token, and the model's over the twin's."""
    return {
        "tokens": tokens,
        "model": model / tokens if tokens else None,
        "twin": twin / tokens if tokens and twin is not None else None,
        "ratio": model / twin if twin else None,
    }


def _key(number: int) -> Key:
    return "held-out loss", str(number)
