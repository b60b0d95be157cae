"""Which of several answers to the same messages are kept: the first ones, or the best by structure and quality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from apar.config import Section
from apar.data.records import TreeRecord
from apar.structure.extract import Items

ChoiceDrop = Literal[
    "ambiguous_prompt",  # some of the prompt's answers are structured, but too few of them
    "other_form",  # unstructured, and the prompt is kept with structured answers; or the other way round
    "items",  # structured, with too few or too many items
    "repeated_leads",  # structured, with leads that repeat each other
]
"""Why an answer is left out for the others to its prompt, besides `answers_per_prompt`."""

Range = tuple[int, int]


class ChoiceConfig(Section):
    """Which answers to the same messages are kept where there are several.

    With `prefer: first` the first ones are. With `structure`, a prompt is kept with structured answers or with
    unstructured ones, never with both: with structured ones if enough of its answers are structured. Of these, the
    `duplicates.answers_per_prompt` with the most points are kept. An answer has a point if it has `best_items` items,
    one if all of them have a detail, one if it has at most `best_chars` characters, and one for each place in
    `models`, counted from the end, that its model has. A hash of its id decides where points are the same.
    """

    prefer: Literal["first", "structure"] = "first"
    min_structured_share: float = Field(default=0.34, gt=0, le=1)
    """The share of a prompt's answers that must be structured for it to be kept with structured ones."""
    ambiguous: Literal["leave_out", "unstructured"] = "leave_out"
    """What becomes of a prompt some of whose answers are structured, but too few: it is left out, or kept with its
    unstructured ones."""
    unstructured_per_prompt: int | None = Field(default=None, ge=1)
    """How many answers a prompt with unstructured ones keeps at most; null keeps `duplicates.answers_per_prompt`."""
    items: Range = (3, 12)
    """Structured answers with fewer or more outermost parts are left out."""
    repeated_leads: bool = False
    """Whether structured answers stay in which a lead says word for word what one before it said."""
    best_items: Range = (4, 10)
    whole_items: bool = True
    """Whether an answer has a point for having a detail in every item."""
    best_chars: int | None = Field(default=1600, ge=1)
    models: tuple[str | tuple[str, ...], ...] = ()
    """Names that the records have as `model`, the best first; names in a list of their own are equally good."""

    @model_validator(mode="after")
    def _are_of_use(self) -> Self:
        for name in ("items", "best_items"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} goes from {low} to {high}; give the smaller number first")
        changed = [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]
        if self.prefer == "first" and changed:
            raise ValueError(f"{changed[0]} is read only with prefer: structure")
        return self


class Rating(NamedTuple):
    """What the choice must know of an answer: `unfit` says why it is not wanted, `lot` orders equal points."""

    structured: bool
    unfit: ChoiceDrop | None
    points: int
    lot: int


def rate(record: TreeRecord, items: Items, lot: int, config: ChoiceConfig) -> Rating:
    """The rating of an answer with these items."""
    structured = record.reason is None
    points = _model_points(str(record.extra.get("model")), config)
    points += config.best_chars is not None and len(record.response) <= config.best_chars
    if structured:
        points += config.best_items[0] <= items.forking <= config.best_items[1]
        points += config.whole_items and not items.bare
    return Rating(structured, _unfit(items, config) if structured else None, points, lot)


def _model_points(model: str, config: ChoiceConfig) -> int:
    places = [(names,) if isinstance(names, str) else names for names in config.models]
    return next((len(places) - place for place, names in enumerate(places) if model in names), 0)


def _unfit(items: Items, config: ChoiceConfig) -> ChoiceDrop | None:
    if not config.items[0] <= items.forking <= config.items[1]:
        return "items"
    return "repeated_leads" if items.repeated_leads and not config.repeated_leads else None


Numbered = tuple[int, Rating]
"""An answer by its number in the run."""


def left_out(
    answers: Sequence[Numbered], most: int | None, config: ChoiceConfig
) -> Iterator[tuple[int, ChoiceDrop | Literal["answers_per_prompt"]]]:
    """The numbers of those answers to one prompt that are left out, and why, if at most `most` are kept."""
    share = sum(rating.structured for _, rating in answers) / len(answers)
    structured = share >= config.min_structured_share
    if share and not structured and config.ambiguous == "leave_out":
        yield from ((number, "ambiguous_prompt") for number, _ in answers)
        return
    fit: list[Numbered] = []
    for number, rating in answers:
        if rating.structured is not structured:
            yield number, "other_form"
        elif rating.unfit is not None:
            yield number, rating.unfit
        else:
            fit.append((number, rating))
    if not structured:
        most = config.unstructured_per_prompt or most
    best = sorted(fit, key=lambda one: (-one[1].points, one[1].lot, one[0]))
    yield from ((number, "answers_per_prompt") for number, _ in best[len(best) if most is None else most :])
