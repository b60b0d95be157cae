"""Short leads and openings that fork: forks move to the front, what forks stays the same, nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.config import load_config
from apar.errors import ConfigError
from apar.structure.config import DEFAULT, StructureConfig
from apar.structure.extract import extract
from apar.structure.words import lead_words, word_spans
from tests.structure.drawing import plain, redrawn
from tests.structure.test_extract import EAGER, LIST, check
from tests.structure.texts import markdown_like


def short(words: int, fork_opening: bool = False, **changes: object) -> StructureConfig:
    return StructureConfig.model_validate({"lead_words": words, "fork_opening": fork_opening, **changes})


@pytest.mark.parametrize(
    ("words", "drawn"),
    [
        (
            2,
            "Some ways:\n\n1. **Water early▶ in the day:** the sun takes less of it.◀\n2. **Shade:**▶ a cloth keeps "
            "the sun away.◀\n3. Collect rain▶ from the roof – a barrel is enough for it.◀\n\nGood luck.",
        ),
        (
            1,
            "- **Fruit▶ of the season**\n  - Apples:▶ sweet or sour, and cheap◀\n  - Pears▶ and plums: soft and full "
            "of juice◀◀\n- **Bread▶ of all kinds**\n  - Rye:▶ dark and quite a bit heavy◀\n  - Wheat:▶ light, best "
            "while warm◀◀",
        ),
        (3, "1. 早睡早▶起：保持规律的作息时间，有助于身体恢复。◀\n2. 蔬菜：▶蔬菜含有丰富的维生素和纤维。◀"),
        # Leads keep the words that tell them apart, and those that are alike stay whole.
        (
            1,
            "1. How to plan a trip▶ with friends: ask all of them first.◀\n2. How to plan a party▶ at home: write a "
            "list of the guests.◀\n3. Rest▶ a day before it: sleep is never lost.◀",
        ),
        (1, "1. Plan:▶ write it all down on paper.◀\n2. Plan again▶ later: nothing stays as it was.◀"),
    ],
)
def test_a_lead_is_cut_after_its_first_words(words: int, drawn: str) -> None:
    assert redrawn(drawn, short(words)) == drawn


@pytest.mark.parametrize(
    "drawn",
    [
        pytest.param(
            "A garden needs▶ little, and most of that comes by itself.◀\n\nStill, there are▶ a few things that help it:"
            "◀\n\n1. Water early in▶ the day: the sun takes less of it.◀\n2. Shade young plants:▶ a cloth keeps the "
            "sun away.◀\n\nThe rest can wait until the spring comes back.",
            id="what opens the answer forks, what closes it does not",
        ),
        pytest.param(
            "Sure! Some ways:\n\n- Cost:▶ it is not cheap, and never was.◀\n- Speed:▶ it is the fastest there is.◀",
            id="a short opening stays whole",
        ),
        pytest.param(
            "- Cost:▶ it is not cheap, and never was.◀\n- Speed:▶ it is the fastest there is.◀\n\nThere is more▶ to "
            "say of the size of it all.◀\n\n1. Width:▶ a door must let it through.◀\n2. Height:▶ a ceiling must be "
            "above it.◀",
            id="so does a paragraph between two lists",
        ),
        pytest.param(
            "- **Fruit**▶ is bought each▶ week, and eaten on the day.◀\n\n  - Apples:▶ sweet or sour, and cheap◀\n  - "
            "Pears:▶ soft and full of juice◀◀\n- **Bread**▶ is baked at home, and kept for a week.◀",
            id="a detail has an opening as well",
        ),
        pytest.param(
            "Some things to think about here are these:\n• Cost:▶ it is not cheap, and never was.◀\n• Speed:▶ it is "
            "the fastest there is.◀",
            id="what is one paragraph with its items to Markdown stays whole",
        ),
        pytest.param(
            "```\na program of some\n\nlines and more lines\n```\n\n**A Title of Some Words Which Is Bold**\n\n1. Run "
            "it:▶ call it by its name.◀\n2. Stop it:▶ press two keys at once.◀",
            id="code and titles are no plain paragraphs",
        ),
    ],
)
def test_openings_fork_after_their_first_words(drawn: str) -> None:
    assert redrawn(drawn, short(3, fork_opening=True)) == drawn


def test_paragraphs_that_need_one_another_do_not_fork_as_openings() -> None:
    story = (
        "Once upon a time a miller lived by a stream of water. He had a mill and very little else.",
        "The cat wanted boots, and the miller bought some for it. They were red, and the best of the town.",
        "So the cat went to see the king of the land in them. The king liked the boots and asked for more.",
    )
    text = "\n\n".join(story) + "\n\n## What it says\n\n" + LIST + "\n\n## What it does not\n\n" + LIST
    found = extract(text, short(2, fork_opening=True))
    assert {refusal.reason for refusal in found.refusals} == {"narrative"}
    assert found.tree.root.text.startswith("\n\n".join(story) + "\n\n## What")


def test_openings_are_no_more_than_an_answer_may_have_parts() -> None:
    opening = "".join(f"Paragraph {k} has a few words to say.\n\n" for k in range(5))
    assert extract(opening + LIST, short(2, True, rules=["ordered_list"])).tree.num_forks == 8
    assert extract(opening + LIST, short(2, True, rules=["ordered_list"], max_parts=5)).tree.num_forks == 5


def test_an_opening_needs_a_number_of_words() -> None:
    with pytest.raises(ConfigError, match="fork_opening needs lead_words"):
        load_config(None, StructureConfig, ("fork_opening=true",))


eager = st.sampled_from([DEFAULT, EAGER])
texts = st.one_of(st.text(st.characters()), markdown_like())


@given(texts, eager, st.integers(1, 6), st.booleans())
def test_nothing_is_lost_by_a_cut(text: str, config: StructureConfig, words: int, opening: bool) -> None:
    check(text, config.model_copy(update={"lead_words": words, "fork_opening": opening}))


@given(texts, eager, st.integers(1, 6))
def test_what_forks_stays_the_same(text: str, config: StructureConfig, words: int) -> None:
    whole, cut = extract(text, config), extract(text, config.model_copy(update={"lead_words": words}))
    assert (cut.rule, cut.reason, cut.refusals, cut.items) == (whole.rule, whole.reason, whole.refusals, whole.items)
    pairs = list(zip(whole.tree.forks(), cut.tree.forks(), strict=True))
    assert all(short.end == long.end and short.at <= long.at for long, short in pairs)
    # What is cut off a lead are words: the cut comes after one, never in it.
    assert {short.at for long, short in pairs if short.at < long.at} <= {end for _, end in word_spans(text)}


@given(texts, st.integers(1, 6))
def test_openings_come_to_the_forks_of_leads(text: str, words: int) -> None:
    leads = EAGER.model_copy(update={"lead_words": words})
    openings = leads.model_copy(update={"fork_opening": True})
    assert set(extract(text, leads).tree.forks()) <= set(extract(text, openings).tree.forks())


def test_a_list_number_is_no_word_of_a_lead() -> None:
    lead = "2. Rest well:"
    assert [lead[start:end] for start, end in lead_words(lead)] == ["Rest", "well"]


STAY = "1. Stay healthy: eat the fruit of the season\n2. Walk a lot: an hour on every day is enough\n"


@pytest.mark.parametrize(
    "more", ["3. **Stay healthy:** sleep as long as you like\n", "3. stay healthy - drink plenty of water too\n"]
)
def test_an_answer_whose_leads_repeat_does_not_fork(more: str) -> None:
    clean = StructureConfig(max_repeated_leads=0)
    assert extract(STAY + more).items == (3, 0, 1)
    assert extract(STAY + more, clean).reason == "repeated_leads"
    assert extract(STAY + more, StructureConfig(max_repeated_leads=1)).reason is None
    assert extract(STAY, clean).reason is None


def test_leads_of_different_threads_may_be_the_same() -> None:
    pair = "   - Pro: it is the fastest there is\n   - Con: it is not cheap at all\n"
    text = f"1. **Train**\n{pair}2. **Plane**\n{pair}"
    found = extract(text, StructureConfig(max_repeated_leads=0))
    assert found.tree.num_forks == 6
    assert found.items == (2, 0, 0)


def test_parts_without_a_detail_are_counted() -> None:
    assert extract(LIST + "\n4. Bare").items == (3, 1, 0)
    assert extract("Plain.").items == (0, 0, 0)
    assert plain("a▶b◀") == "ab"
