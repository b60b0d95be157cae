"""Extraction loses nothing, cuts where a person would, and names why it does not cut."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.structure.config import DEFAULT, PAPER, StructureConfig
from apar.structure.extract import extract
from tests.structure.drawing import redrawn
from tests.structure.texts import markdown_like

# Cuts wherever anything can be cut: the hardest on losslessness.
EAGER = StructureConfig(
    min_parts=2,
    min_paragraphs=2,
    max_parts=10**6,
    max_depth=16,
    min_detail_chars=1,
    min_sentence_chars=0,
    min_sentence_detail_ratio=0,
    min_fork_share=0,
    min_gain=1,
    refused=frozenset(),
)


def check(text: str, config: StructureConfig) -> None:
    found = extract(text, config)
    assert found.tree.text == text
    found.tree.check()
    assert (found.tree.num_forks == 0) == (found.reason is not None)
    assert (found.rule == "unstructured") == (found.reason is not None)
    assert all(0 <= refusal.start <= refusal.end <= len(text) for refusal in found.refusals)


@given(st.one_of(st.text(st.characters()), markdown_like()), st.sampled_from([EAGER, DEFAULT, PAPER]))
def test_nothing_is_lost_whatever_the_text(text: str, config: StructureConfig) -> None:
    check(text, config)


def test_nothing_is_lost_of_the_real_answers(shared_data: Path) -> None:
    for response in islice(_responses(shared_data), 0, None, 50):
        for config in (DEFAULT, EAGER):
            check(response, config)


def _responses(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*/*.jsonl*")):
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as file:
            yield from (data["response"] for data in map(json.loads, file) if "response" in data)


LIST = "1. One: the first of them all\n2. Two: the second one of all\n3. Three: the third one of all"


@pytest.mark.parametrize(
    "drawn",
    [
        pytest.param(
            "1. Plan ahead:▶ Write down all of it.◀\n2. Rest:▶ Take a break each day.◀\n\n3. Ask:▶ Nobody "
            "minds a question.◀\n",
            id="white space belongs to the node behind it",
        ),
        pytest.param(
            "- One:▶ the first of them all◀\n- Two:▶ the second one of all◀", id="nothing follows the last detail"
        ),
        pytest.param(
            "Some ways:\n\n1. **Water at dawn:**▶ the sun takes less of it.◀\n2. Cover the soil:▶ straw "
            "keeps it cool.◀\n"
            "3. Collect rain –▶ a barrel is enough for that.◀\n\nWhatever you do, watch the leaves.",
            id="a list between an opening and a closing paragraph",
        ),
        pytest.param(
            "1. Sleep\n2. Eat well:▶ plenty of fresh greens◀\n3. Walk:▶ an hour on every day◀\n4. Read:▶ "
            "before you go to sleep◀",
            id="an item without a detail joins the next node",
        ),
        pytest.param(
            "- **Fruit**▶\n  - Apples:▶ sweet or sour, and cheap◀\n  - Pears:▶ soft and full of juice◀◀\n"
            "- **Bread**▶\n  - Rye:▶ dark and quite a bit heavy◀\n  - Wheat:▶ light, and best while warm◀◀",
            id="a list in a list",
        ),
        pytest.param(
            "# Title\n\nAn opening.\n\n## Before▶\n\n- Pack:▶ take what you will need◀\n- Plan:▶ write down "
            "what is to do◀◀\n\n"
            "## After▶\n\nSleep as long as you like, and then unpack.◀",
            id="sections under headings, the title being no part",
        ),
        pytest.param(
            "**Pros**▶\n\n- Speed:▶ it is very fast indeed◀\n- Size:▶ it is very small indeed◀◀\n\n"
            "**Cons**▶\n\n- Noise:▶ it is very loud indeed◀\n- Heat:▶ it is very hot indeed◀◀\n",
            id="lines in bold are headings",
        ),
        pytest.param(
            "Reasons for it:▶\n\n- it is very fast\n- it is small◀\n\nReasons against it:▶\n\n- it is loud\n"
            "- it is hot◀\n",
            id="lines that end in a colon are headings where there are two",
        ),
        pytest.param(
            "**Osmosis** –▶ water passes through a membrane.◀\n**Diffusion** –▶ particles spread out evenly.◀\n"
            "**Active transport** –▶ a cell spends energy on it.◀",
            id="terms and their definitions, a line each",
        ),
        pytest.param(
            "Cost:▶ it is not cheap, and it never was.◀\n\nSpeed:▶ it is the fastest that there is.◀\n\n"
            "Care:▶ it needs none at all for years.◀",
            id="labelled paragraphs",
        ),
        pytest.param(
            "1. Roof\n\nCheck it first.\n\n- Tiles:▶ look for cracks in them◀\n- Gutters:▶ clean out the "
            "old leaves◀\n\n2. Walls",
            id="a list under an item that has no indentation",
        ),
        pytest.param(
            "1. Install it:▶ run the command below.\n\n   ```sh\n   make it: now\n   ```◀\n2. Use it:▶ open "
            "the page in a browser.\n\n   "
            "| a: | b |\n   |---|---|\n   | 1: | 2 |◀",
            id="code and tables stay whole in a detail",
        ),
        pytest.param(
            "1. 早睡早起：▶保持规律的作息时间，有助于身体恢复。◀\n2. 多吃蔬菜：▶蔬菜含有丰富的维生素和纤维。"
            "◀\n3. 坚持运动：▶每天散步半小时就足够了。◀",
            id="a Chinese list",
        ),
        pytest.param(
            "一、准备材料：▶把需要的东西都放在桌子上面。◀\n二、清洗干净：▶用清水把它们都洗三遍以上。◀",
            id="a Chinese list with Chinese numbers",
        ),
        pytest.param(
            "下面介绍三座城市。\n\n北京是中国的首都。▶它有三千多年的历史，人口超过两千万。城里有很多名胜古迹。◀\n\n"
            "上海是最大的港口城市。▶它位于长江口，"
            "以金融和贸易闻名于世。◀\n\n广州是南方的门户。▶这里的菜很有名，四季都很温暖，花市每年都有。◀",
            id="Chinese paragraphs",
        ),
        pytest.param(
            "• Cost:▶ it is not cheap, and it never was.◀\n• Speed:▶ it is the fastest that there is.◀",
            id="bullets as signs",
        ),
        pytest.param(
            "1. Fiscal policy: taxes can be cut to help.▶ This leaves people more to spend on their own.◀\n"
            "2. Monetary policy:▶ interest rates can fall. This makes loans cheaper than before.◀\n"
            "3. Fiscal policy: money can be spent on works.▶ This gives work to those who have none.◀\n"
            "4. Trade policy:▶ tariffs can be cut. This opens the markets for all goods.◀",
            id="a label that comes twice tells nothing: the sentence leads",
        ),
    ],
)
def test_forks_are_where_a_person_would_draw_them(drawn: str) -> None:
    assert redrawn(drawn) == drawn


def test_paragraphs_with_topic_sentences() -> None:
    drawn = (
        "Lighthouses are a thing of the past. Three things are to be said of them.\n\n"
        "A lighthouse was a machine for being seen.▶ Its lamp stood high, and its lens turned day and night.◀\n\n"
        "Keepers lived by the lamp.▶ They wound the clockwork, trimmed the wick and wrote down the weather.◀\n\n"
        "Electric light ended that life within a generation.▶ The last towers are run from offices far away.◀\n\n"
        "In conclusion, the light stayed. The people went."
    )
    assert redrawn(drawn) == drawn
    assert extract(drawn.replace("▶", "").replace("◀", "")).rule == "paragraphs"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t\u2028", "empty"),
        ("One paragraph. It has two sentences.", "too_few_parts"),
        ("1. One: the first of them all", "too_few_parts"),
        ("1. One\n2. Two\n3. Three", "short_details"),
        ("1. One: a\n2. Two: b\n3. Three: c", "short_details"),
        (f"1. One: the first of them all\n2. Two: {'all of it is here, ' * 60}", "one_part"),
        ("```\ncode\n```\nThat was it.", "code"),
        ("So $x^2 = 5$ holds.", "formula"),
    ],
)
def test_an_unstructured_answer_is_a_leaf_with_a_reason(text: str, reason: str) -> None:
    found = extract(text)
    assert (found.rule, found.reason) == ("unstructured", reason)
    assert found.tree.root.text == text


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("\n\n```\ncode\n```", "code"),
        ("\n\nSo x = 5.", "formula"),
        ("\n\n| a | b |\n|---|---|", "table"),
        ("<br>", "markup"),
        (" https://example.org", "url"),
        ("\n\n> quoted", "quotation"),
        ("\n4. 第一：这是第一个", "cjk"),
        ("\n4. Four: the fourth of all", None),
    ],
)
def test_the_papers_rules_part_nothing_with_code_formulas_tables_markup_or_addresses(
    more: str, reason: str | None
) -> None:
    assert extract(LIST + more, PAPER).reason == reason
    assert extract(LIST + more).rule == "ordered_list"


def test_the_papers_rules_read_numbered_lists_one_level_deep() -> None:
    nested = "".join(f"   {k}. Part {k}: all that there is to say of it\n" for k in (1, 2, 3))
    text = f"1. One: look at these\n{nested}2. Two: the second one of all\n3. Three: the third one of all"
    assert extract(text, PAPER).tree.num_forks == 3
    assert extract(text).tree.num_forks == 6
    assert extract(LIST.replace("1.", "-").replace("2.", "-").replace("3.", "-"), PAPER).tree.num_forks == 0


def test_with_rules_for_lists_only_paragraphs_and_sections_do_not_fork() -> None:
    lists = StructureConfig(rules=frozenset(("ordered_list", "bullet_list")))
    topics = ("lamp", "keeper", "tower", "sea")
    prose = [f"The {topic} is a thing to see. All that can be said of the {topic} is written here." for topic in topics]
    paragraphs = "\n\n".join(prose)
    sections = "\n\n".join(f"## The {topic}\n\n{text}" for topic, text in zip(topics, prose, strict=True))
    for text, rule in ((paragraphs, "paragraphs"), (sections, "sections")):
        assert extract(text).rule == rule
        assert extract(text, lists).tree.num_forks == 0
    assert extract(f"{paragraphs}\n\n{LIST}", lists).rule == "ordered_list"


def test_a_list_of_which_most_items_have_no_detail_does_not_fork() -> None:
    bare = "\n".join(f"{k}. A plain item without anything" for k in range(4, 12))
    assert extract(f"{LIST}\n{bare}").reason == "short_details"


def test_where_there_are_too_many_details_the_innermost_do_not_fork() -> None:
    inner = "\n".join(f"   - Part {k}{{0}}: this is all its detail" for k in range(4))
    text = "\n".join(f"{k}. **Item {k}**\n{inner.format(k)}" for k in range(1, 5))
    assert extract(text).tree.num_forks == 20
    assert extract(text, StructureConfig(max_parts=10)).tree.num_forks == 4
    assert extract(text, StructureConfig(max_parts=3)).reason == "too_many_parts"
    assert extract(text, StructureConfig(max_depth=1)).tree.num_forks == 4


def test_a_reason_that_is_not_refused_forks() -> None:
    text = "\n\n".join(f"He went to place {k} of his. He saw his house {k} there, and it was his." for k in range(4))
    assert extract(text).reason == "narrative"
    assert extract(text, StructureConfig(refused=frozenset())).rule == "paragraphs"


@pytest.mark.parametrize(
    "text",
    [
        "It was founded in 1995. It grew quickly: sales doubled.",
        "Morning 10:30 Meet\nNoon 12:00 Eat\nEvening 18:15 Rest",
        "1. Morning 10:30 Meet\n2. Noon 12:00 Eat\n3. Evening 18:15 Rest",
        "- The U.S. economy\n- The U.K. economy\n- The E.U. economy",
        "- Fruit, e.g. this: that and the other thing\n- Bread, e.g. this: that and another thing",
        "- See https://a.b/c: d and what is there\n- See https://a.b/e: f and what is there",
        "- `key: a value that is quite long`\n- `other: a value that is quite long`",
        "```\nfirst: of all the many lines\nsecond: of all the many lines\n```",
        "1995. It grew: sales doubled in a year\n1996. It fell: sales halved\n1997. It ended: sales ceased",
    ],
)
def test_what_looks_like_a_lead_to_a_regular_expression_alone_is_no_cut(text: str) -> None:
    assert extract(text).tree.num_forks == 0


def test_a_remark_before_a_list_is_no_part() -> None:
    text = f"Note: read all of it before you begin.\n\n{LIST}"
    assert extract(text).tree.root.text == "Note: read all of it before you begin.\n\n1. One:"


def test_an_answer_too_long_to_read_is_a_leaf() -> None:
    assert extract(LIST * 20, StructureConfig(max_chars=1000)).reason == "too_long"


@pytest.mark.parametrize(
    "seed",
    [
        "[",
        "- ",
        "`",
        "**a ",
        "a. ",
        "<a ",
        "(\n",
        "$a",
        '"',
        "[a](",
        "1. a: b\n",
        "|a",
        ">",
        "# a\n",
        "\t",
        "•",
        "\x00",
        "a:\n\n",
    ],
)
@pytest.mark.parametrize("config", [DEFAULT, EAGER])
def test_long_hostile_texts_take_no_more_than_their_length(seed: str, config: StructureConfig) -> None:
    # A pattern that backtracks would not end here at all.
    check(seed * 20_000, config.model_copy(update={"max_chars": 10**7}))


def test_a_list_a_thousand_deep_is_read() -> None:
    check("\n".join(f"{'  ' * k}- item {k}: with something to say" for k in range(1000)), EAGER)
