"""Extraction loses nothing, cuts at the right places, and names why it does not cut."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.structure.criteria import ExtractConfig
from apar.structure.extract import Extraction, extract
from apar.tree import Node
from tests.structure.texts import markdown_like

FIXTURES = Path(__file__).parents[1] / "fixtures"
# Cuts wherever anything can be cut: the hardest on losslessness.
EAGER = ExtractConfig(
    min_parts=1,
    max_parts=10**6,
    min_detail_chars=1,
    min_sentence_chars=1,
    min_sentence_detail_ratio=0,
    max_part_share=1,
    min_fork_share=0,
    refused=frozenset(),
)


def main_thread(found: Extraction) -> list[str]:
    node: Node | None = found.tree.root
    texts = []
    while node is not None:
        texts.append(node.text)
        node = node.next
    return texts


def details(found: Extraction) -> list[str]:
    return [node.detail.text for node in found.tree.nodes() if node.detail is not None]


def check(text: str, config: ExtractConfig) -> None:
    found = extract(text, config)
    assert found.tree.text == text
    found.tree.check()
    assert found.tree.num_forks == 0 if found.reason else found.tree.num_forks >= config.min_parts
    assert (found.rule == "unstructured") == (found.reason is not None)


@given(st.one_of(st.text(st.characters()), markdown_like()), st.sampled_from([EAGER, ExtractConfig()]))
def test_nothing_is_lost_whatever_the_text(text: str, config: ExtractConfig) -> None:
    check(text, config)


def test_nothing_is_lost_of_the_real_answers(shared_data: Path) -> None:
    for response in islice(_responses(shared_data), 0, None, 50):
        check(response, ExtractConfig())
        check(response, EAGER)


def _responses(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*/*.jsonl*")):
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as file:
            yield from (data["response"] for data in map(json.loads, file) if "response" in data)


def test_white_space_belongs_to_the_node_behind_it() -> None:
    found = extract("1. Plan ahead: Write down it all.\n2. Rest: Take a break.\n\n3. Ask: Nobody minds it.\n")
    assert main_thread(found) == ["1. Plan ahead:", "\n2. Rest:", "\n\n3. Ask:", "\n"]
    assert details(found) == [" Write down it all.", " Take a break.", " Nobody minds it."]


def test_the_last_next_is_empty_where_nothing_follows() -> None:
    found = extract("- One: the first of all\n- Two: the second one\n- Three: the third one")
    assert main_thread(found)[-1] == ""


def test_a_numbered_list_between_an_opening_and_a_closing_paragraph() -> None:
    found = extract((FIXTURES / "ordered_list.md").read_text(encoding="utf-8"))
    assert found.rule == "ordered_list"
    first, *others = main_thread(found)
    assert first.startswith("Here are four ways")
    assert first.endswith("\n\n1. **Water at dawn:**")
    assert others[:-1] == [
        "\n2. Cover the soil:",
        "\n3. Choose thirsty plants with care –",
        "\n4. Collect rain.",
    ]
    assert others[-1] == "\n\nWhatever you do, watch the leaves: they tell you first.\n"


def test_paragraphs_with_topic_sentences() -> None:
    found = extract((FIXTURES / "paragraphs.md").read_text(encoding="utf-8"))
    assert found.rule == "paragraphs"
    assert main_thread(found) == [
        "A lighthouse was a machine for being seen.",
        "\n\nKeepers lived by the lamp.",
        "\n\nElectric light ended that life within a generation.",
        "\n\n",
    ]


def test_headings_stay_in_the_main_thread() -> None:
    found = extract((FIXTURES / "bullets.md").read_text(encoding="utf-8"))
    assert found.rule == "bullet_list"
    assert main_thread(found)[0].startswith("## Before the trip")
    assert main_thread(found)[-1] == "\n\n## After it\n\nSleep.\n"


def test_every_long_list_of_an_answer_forks() -> None:
    good = "- Speed: it is very fast\n- Size: it is very small\n- Price: it is very low"
    bad = "- Noise: it is very loud\n- Heat: it is very hot\n- Smell: it is very bad"
    found = extract(f"**Pros**\n\n{good}\n\n**Cons**\n\n{bad}\n")
    assert found.tree.num_forks == 6
    assert main_thread(found)[3] == "\n\n**Cons**\n\n- Noise:"


def test_items_without_a_detail_join_the_next_node() -> None:
    items = ["Sleep", "Eat well: plenty of greens", "Walk: an hour every day", "Read: before you sleep"]
    found = extract("\n".join(f"{k}. {item}" for k, item in enumerate(items, 1)))
    assert main_thread(found) == ["1. Sleep\n2. Eat well:", "\n3. Walk:", "\n4. Read:", ""]


LIST = "1. One: the first of all\n2. Two: the second one\n3. Three: the third one"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n\t\u2028", "empty"),
        (f"{LIST}\n\n```\ncode\n```", "code"),
        (f"{LIST}\n\nSo x = 5.", "formula"),
        (f"{LIST}\n\n| a | b |\n|---|---|", "table"),
        (f"{LIST}<br>", "markup"),
        (f"{LIST} https://example.org", "url"),
        (f"{LIST}\n\n> quoted", "quotation"),
        ("1. 第一：这是第一个\n2. 第二：这是第二个\n3. 第三：这是第三个", "cjk"),
        ("One paragraph. It has two sentences.", "too_few_parts"),
        ("1. One: the first of all\n2. Two: the second one", "too_few_parts"),
        ("1. One\n2. Two\n3. Three", "short_details"),
        ("1. One: a\n2. Two: b\n3. Three: c", "short_details"),
        ("\n".join(f"{k}. Item {k} here: this is its detail" for k in range(1, 40)), "too_many_parts"),
        (f"{LIST}\n4. Four: {'all of it is here, ' * 60}", "one_part"),
    ],
)
def test_an_unstructured_answer_is_a_leaf_with_a_reason(text: str, reason: str) -> None:
    found = extract(text)
    assert (found.rule, found.reason) == ("unstructured", reason)
    assert found.tree.root.text == text
    assert not found.tree.root.forks


def test_a_list_of_which_most_items_have_no_detail_does_not_fork() -> None:
    bare = "\n".join(f"{k}. A plain item without anything" for k in range(4, 12))
    assert extract(f"{LIST}\n{bare}").reason == "short_details"


def test_content_that_is_not_refused_forks() -> None:
    text = f"{LIST}\n\n```\ncode\n```"
    assert extract(text, ExtractConfig(refused=frozenset())).rule == "ordered_list"


@pytest.mark.parametrize(
    "text",
    [
        "It was founded in 1995. It grew quickly: sales doubled.",
        "Morning 10:30 Meet\nNoon 12:00 Eat\nEvening 18:15 Rest",
        "1. Morning 10:30 Meet\n2. Noon 12:00 Eat\n3. Evening 18:15 Rest",
        "- The U.S. economy\n- The U.K. economy\n- The E.U. economy",
        "1995. It grew: sales doubled in a year\n1996. It fell: sales halved\n1997. It ended: sales ceased",
    ],
)
def test_what_looks_like_a_lead_to_a_regular_expression_alone_is_no_cut(text: str) -> None:
    assert extract(text).tree.num_forks == 0


def test_a_remark_before_a_list_is_no_part() -> None:
    found = extract(f"Note: read all of it before you begin.\n\n{LIST}")
    assert main_thread(found)[0] == "Note: read all of it before you begin.\n\n1. One:"


@pytest.mark.parametrize("seed", ["[", "- ", "`", "**a ", "a. ", "<a ", "(\n", "$a", '"', "[a](", "1. a: b\n", "|a"])
def test_long_hostile_texts_take_no_more_than_their_length(seed: str) -> None:
    # A pattern that backtracks would not end here at all.
    check(seed * 20_000, ExtractConfig())
