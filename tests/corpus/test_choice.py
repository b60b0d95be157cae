"""A prompt is kept with answers of one form, the best of them, whatever their order; what is left out has a reason."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.corpus import chunks as chunks_module
from apar.corpus.choice import ChoiceConfig, Rating, left_out, rate
from apar.corpus.chunks import Source
from apar.corpus.config import ExtractConfig, configuration
from apar.corpus.run import ExtractionRun, Progress
from apar.data.records import TreeRecord, read_trees
from apar.errors import ConfigError
from apar.structure.extract import extract
from tests.corpus.answers import chat
from tests.corpus.kills import outputs

TOPICS = (
    "tea",
    "bread",
    "roofs",
    "trains",
    "gardens",
    "clocks",
    "rivers",
    "maps",
    "bees",
    "salt",
    "ice",
    "wool",
    "ink",
)


def listing(items: int, more: str = "") -> str:
    return "".join(f"- The {topic}: {topic} takes time and care{more}\n" for topic in TOPICS[:items])


def config(**changes: Any) -> ChoiceConfig:
    return ChoiceConfig.model_validate({"prefer": "structure", **changes})


def rated(answer: str, lot: int = 0, model: str = "m", choice: ChoiceConfig | None = None) -> Rating:
    found = extract(answer)
    return rate(TreeRecord.of(chat(answer, model=model), found), found.items, lot, choice or config())


def reasons(answers: Sequence[Rating], choice: ChoiceConfig, most: int | None = 1) -> list[str | None]:
    dropped = dict(left_out(list(enumerate(answers)), most, choice))
    return [dropped.get(number) for number in range(len(answers))]


LIST, PLAIN = Rating(True, None, 1, 5), Rating(False, None, 1, 5)


def test_a_prompt_is_kept_with_structured_answers_where_enough_are_structured() -> None:
    half = config(min_structured_share=0.5)
    assert reasons([PLAIN, LIST], half) == ["other_form", None]
    assert reasons([PLAIN, PLAIN], half) == [None, "answers_per_prompt"]
    assert reasons([PLAIN, LIST, PLAIN], half) == ["ambiguous_prompt"] * 3
    kept = config(min_structured_share=0.5, ambiguous="unstructured")
    assert reasons([PLAIN, LIST, PLAIN], kept, most=None) == [None, "other_form", None]


def test_a_prompt_whose_structured_answers_are_all_unfit_is_left_out() -> None:
    unfit = LIST._replace(unfit="items")
    assert reasons([unfit, PLAIN], config()) == ["items", "other_form"]


def test_the_best_are_kept_and_a_lot_decides_between_equals() -> None:
    answers = [LIST, LIST._replace(points=3, lot=9), LIST._replace(points=3, lot=7), LIST._replace(lot=4)]
    assert reasons(answers, config()) == ["answers_per_prompt", "answers_per_prompt", None, "answers_per_prompt"]
    assert reasons(answers, config(), most=3) == ["answers_per_prompt", None, None, None]
    assert reasons([PLAIN, PLAIN, PLAIN], config(unstructured_per_prompt=1), most=3).count(None) == 1


@pytest.mark.parametrize(
    ("answer", "unfit"),
    [
        (listing(2), "items"),
        (listing(3), None),
        (listing(12), None),
        (listing(13), "items"),
        (listing(3) + "- **The tea**: as was said before it takes time\n", "repeated_leads"),
        ("Plain.", None),
    ],
)
def test_lists_too_short_too_long_or_that_repeat_themselves_are_not_wanted(answer: str, unfit: str | None) -> None:
    assert rated(answer).unfit == unfit
    assert rated(answer, choice=config(items=(0, 99), repeated_leads=True)).unfit is None


def test_an_answer_has_points_for_items_details_length_and_model() -> None:
    assert rated(listing(4)).points == 3
    assert rated(listing(3)).points == 2
    assert rated(listing(4) + "- Bare\n").points == 2
    assert rated(listing(4) + "- Bare\n", choice=config(whole_items=False)).points == 2
    assert rated(listing(5, ", and more of it" * 40)).points == 2
    assert rated(listing(5, ", and more of it" * 40), choice=config(best_chars=None)).points == 2
    assert rated("Plain.").points == 1
    tiers = config(models=("best", ("good", "fine"), "fair"))
    points = [rated("Plain.", model=name, choice=tiers).points for name in ("best", "good", "fine", "fair", "m")]
    assert points == [4, 3, 3, 2, 1]


ratings = st.builds(Rating, st.booleans(), st.just(None), st.integers(0, 3), st.integers(0, 2**64))


@given(st.lists(ratings, min_size=1, max_size=12), st.integers(1, 4), st.floats(0.01, 1), st.randoms())
def test_what_is_kept_has_one_form_and_does_not_depend_on_the_order(
    answers: list[Rating], most: int, share: float, chance: random.Random
) -> None:
    choice = config(min_structured_share=share)
    kept = Counter(one for one, reason in zip(answers, reasons(answers, choice, most), strict=True) if reason is None)
    assert len({one.structured for one in kept}) <= 1
    assert kept.total() <= most
    shuffled = chance.sample(answers, len(answers))
    again = zip(shuffled, reasons(shuffled, choice, most), strict=True)
    assert kept == Counter(one for one, reason in again if reason is None)


@pytest.mark.parametrize(
    ("knob", "problem"),
    [
        ("choice.models=[gpt-4]", "choice: models is read only with prefer: structure"),
        ("choice={prefer: structure, items: [9, 3]}", "choice: items goes from 9 to 3; give the smaller number first"),
        ("choice.prefer=best", r"choice\.prefer: Input should be 'first' or 'structure'"),
    ],
)
def test_a_knob_that_says_nothing_is_an_error(knob: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        configuration(None, "default", (knob,))


KNOBS = (
    "choice.prefer=structure",
    "choice.unstructured_per_prompt=1",
    "choice.models=[[a, b], c]",
    "duplicates={near: null, answers_per_prompt: 2}",
    "split.held_out=0.2",
    "split.unstructured_per_source={town: 7}",
)


def write_answers(path: Path, seed: int = 0) -> Path:
    """Several answers to each of 80 prompts, at random structured or not."""
    chance = random.Random(seed)
    lines = []
    for k in range(80):
        share = chance.choice((0, 0.3, 0.8))
        for n in range(chance.randrange(1, 7)):
            is_list = chance.random() < share
            answer = (
                listing(chance.randrange(2, 8), f" {k} {n}") if is_list else f"There is no more of it in town {k} {n}."
            )
            record = {"id": f"{k}-{n}", "prompt": f"What of {k}?", "response": answer, "model": chance.choice("abcd")}
            lines.append(json.dumps(record | {"source": chance.choice(("town", "land"))}))
    chance.shuffle(lines)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setattr(chunks_module, "MAX_RECORDS", 16)
    return Source(write_answers(tmp_path / "chats.jsonl"))


def kept(folder: Path) -> list[TreeRecord]:
    return [record for name in ("trees", "heldout") for record in read_trees(folder / f"{name}.jsonl")]


def test_no_prompt_of_a_run_is_both_structured_and_unstructured(source: Source, tmp_path: Path) -> None:
    report = ExtractionRun([source], tmp_path / "out", configuration(None, "default", KNOBS)).run()
    forms: dict[str, Counter[bool]] = {}
    for record in kept(tmp_path / "out"):
        forms.setdefault(record.messages[0]["content"], Counter())[record.tree.root.forks] += 1
    assert {len(form) for form in forms.values()} == {1}
    assert max(form[True] for form in forms.values()) == 2
    assert max(form[False] for form in forms.values()) == 1
    dropped = report["dropped"]["by_reason"]
    wanted = {"ambiguous_prompt", "other_form", "items", "answers_per_prompt", "per_source"}
    assert wanted <= dropped.keys()
    assert report["answers"] + report["dropped"]["count"] == len(source.path.read_text().splitlines())
    card = (tmp_path / "out" / "card.md").read_text()
    assert all(f"| {name.replace('_', ' ')} | {dropped[name]} |" in card for name in wanted)
    assert "with structured answers or with unstructured ones, not with both" in card


def test_a_source_adds_no_more_unstructured_answers_than_its_cap(source: Source, tmp_path: Path) -> None:
    ExtractionRun([source], tmp_path / "out", configuration(None, "default", KNOBS)).run()
    plain = [r.source for r in read_trees(tmp_path / "out" / "trees.jsonl") if not r.tree.root.forks]
    assert Counter(plain)["town"] == 7
    assert Counter(plain)["land"] > 7


def test_the_choice_does_not_depend_on_the_order_of_the_answers(source: Source, tmp_path: Path) -> None:
    lines = source.path.read_text().splitlines()
    other = tmp_path / "other.jsonl"
    other.write_text("\n".join(reversed(lines)) + "\n")
    for path in (source.path, other):
        ExtractionRun([Source(path)], tmp_path / path.stem, configuration(None, "default", KNOBS)).run()
    assert {r.id for r in kept(tmp_path / "chats")} == {r.id for r in kept(tmp_path / "other")}


def test_a_run_that_was_interrupted_chooses_the_same(source: Source, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.chunks == 3:
            raise KeyboardInterrupt

    settings = configuration(None, "default", KNOBS)
    ExtractionRun([source], tmp_path / "whole", settings).run()
    with pytest.raises(KeyboardInterrupt):
        ExtractionRun([source], tmp_path / "out", settings).run(interrupt)
    ExtractionRun([source], tmp_path / "out", settings, processes=2).run()
    assert outputs(tmp_path / "whole") == outputs(tmp_path / "out")


@pytest.mark.parametrize("recipe", ["smollm2-extract", "heldout-extract"])
def test_the_recipes_are_configurations(recipe: str) -> None:
    path = Path(__file__).parents[2] / "recipes" / f"{recipe}.yaml"
    assert configuration(path, "default", ()) != ExtractConfig()
