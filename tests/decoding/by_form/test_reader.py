"""The reader says where leads end, as extraction would, from the text so far and however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.decoding.by_form.reader import ItemReader, LeadEnd
from apar.structure.extract import extract
from tests.structure.texts import markdown_like


def read(text: str, cuts: list[int] | None = None) -> list[LeadEnd]:
    reader = ItemReader()
    ends = sorted({min(cut, len(text)) for cut in cuts or []} | {len(text)})
    found: list[LeadEnd] = []
    for start, end in zip([0, *ends], ends, strict=False):
        found += reader.feed(text[start:end])
    assert reader.text == text
    return found


def leads(text: str) -> list[str]:
    return [one.lead for one in read(text)]


@pytest.mark.parametrize(
    ("text", "lead", "form"),
    [
        ("1. Plan ahead: write", "1. Plan ahead:", "colon"),
        ("1) Plan ahead: write", "1) Plan ahead:", "colon"),
        ("- **Plan**: write", "- **Plan**:", "colon"),
        ("* **Plan:** write", "* **Plan:**", "colon"),
        ("• Plan: write", "• Plan:", "colon"),
        ("1. **Plan** (two days): write", "1. **Plan** (two days):", "colon"),
        ("1. **Plan** - write", "1. **Plan** -", "dash"),
        ("1. **Red Rising** by Pierce Brown - a series", "1. **Red Rising** by Pierce Brown -", "dash"),
        ("- Netflix - films", "- Netflix -", "dash"),
        ("- Netflix (US) – films", "- Netflix (US) –", "dash"),
        ("1. **Spotify** is a service", "1. **Spotify**", "bold"),
        ("1. **Rest well.** Sleep", "1. **Rest well.**", "bold"),
        ("Intro\n\n## Plan ahead\nText", "## Plan ahead", "line"),
        ("Intro\n\n### 1. Plan ahead\nText", "### 1. Plan ahead", "line"),
        ("1. **Plan**\n   Text under", "1. **Plan**", "line"),
        ("1. **Plan**\n\nText under", "1. **Plan**", "line"),
        ("1. Being feared\nA king", "1. Being feared", "line"),
        ("1. Plan ahead\n\nText under", "1. Plan ahead", "line"),
        ("1. 安装服务\n\n首先", "1. 安装服务", "line"),
        ("1. 灵活性:Ansible 支持", "1. 灵活性:", "colon"),
        ("- Netflix -\n", "- Netflix -", "dash"),
        ("1. Breakfast\n   - oats", "1. Breakfast", "line"),
        ("1. Get up at 10:30 or so: no later", "1. Get up at 10:30 or so:", "colon"),
        ("1. Get up at 10: no later", "1. Get up at 10:", "colon"),
        ("1. Use `a: b` pairs: clear", "1. Use `a: b` pairs:", "colon"),
        ("1、优点：很好", "1、优点：", "colon"),
        ("1. **优点**：很好", "1. **优点**：", "colon"),
        ("（2）缺点：不好", "（2）缺点：", "colon"),
        ("一、概述：内容", "一、概述：", "colon"),
        ("- 网飞——电影", "- 网飞——", "dash"),
        ("**Plan:** write", "**Plan:**", "colon"),
        ("**Plan** - write", "**Plan** -", "dash"),
        ("**1. Plan:** write", "**1. Plan:**", "colon"),
    ],
)
def test_a_lead_of_each_form(text: str, lead: str, form: str) -> None:
    if text.startswith("**"):
        text = f"Intro\n\n{text}"
    [found] = read(text)
    assert (found.lead, found.form) == (lead, form)


@pytest.mark.parametrize(
    "text",
    [
        "Plan ahead: write",
        "1. Meet at 10:30",
        "1. See https://a.b: d",
        "1. It costs 3.14 euros",
        "3.14 is a number: yes",
        "1995. It grew: slowly",
        "1. Use fruit, e.g. this: that",
        "1. Read (note: short) it",
        '1. Say "a: b" aloud',
        "1. **Plan: write",
        "1. It takes 10 - 20 minutes",
        "- Use -n for this",
        "1. Founded in 1995. It grew: slowly",
        "1. A plain item\n2. Another one\n",
        "1. **Apple**\n2. **Pear**\n3. **Plum**",
        "```\n1. code: x\n- y: z\n```\n",
        "~~~yaml\n- name: x\n~~~\n",
        "$$\n1. a: b\n$$",
        "\\[\n- a: b\n\\]",
        "| 1. a: b | c: d |\n|---|---|\n| - e: f | g |",
        "> 1. Plan: write",
        "# Title\nText",
        "**Title**\nText",
        "**Note** this is bold",
        "---\nText",
        "1. \n2. \n",
        "a::b",
        "",
    ],
)
def test_no_lead(text: str) -> None:
    assert leads(text) == []


def test_a_lead_is_told_at_its_last_character_where_that_decides() -> None:
    reader = ItemReader()
    assert reader.feed("1. **Plan") == ()
    [lead] = reader.feed(":**")
    assert lead.at == lead.read == len("1. **Plan:**")


def test_a_token_with_the_end_of_a_lead_and_more_tells_where_it_ended() -> None:
    reader = ItemReader()
    reader.feed("1. Plan")
    [lead] = reader.feed(":\n")
    assert (lead.at, reader.read) == (len("1. Plan:"), len("1. Plan:\n"))
    reader.feed("2. **Rest")
    assert reader.feed("**") == ()
    [lead] = reader.feed(" -")
    assert lead.lead == "2. **Rest** -"


def test_the_items_of_a_list_know_it() -> None:
    one, two, three = read("Tips:\n\n1. Plan: a\n\n2. Rest: b\n\n3. Eat: c")
    assert [lead.opening for lead in (one, two, three)] == [7, 7, 7]
    assert [lead.place for lead in (one, two, three)] == [0, 1, 2]
    assert [lead.marker.number for lead in (one, two, three)] == [1, 2, 3]
    assert [lead.learned for lead in (one, two, three)] == [False, True, True]
    assert {lead.separator for lead in (one, two, three)} == {"\n\n"}


@pytest.mark.parametrize(
    ("text", "guess", "separator"),
    [
        ("Tips:\n1. Plan: a\n2. Rest: b", "\n", "\n"),
        ("Tips:\n\n1. Plan: a\n2. Rest: b", "\n\n", "\n"),
        ("Tips:\n\n- Plan: a\n\n- Rest: b", "\n", "\n\n"),
    ],
)
def test_the_separator_is_guessed_and_then_learned(text: str, guess: str, separator: str) -> None:
    one, two = read(text)
    assert (one.separator, two.separator) == (guess, separator)


def test_a_list_in_a_list_is_one_level_deep_and_deeper_ones_are_not_read() -> None:
    found = read("1. Plan: a\n   - Time: b\n      - Hour: c\n   - Place: d\n2. Rest: e")
    assert [(lead.lead, lead.level) for lead in found] == [
        ("1. Plan:", 0),
        ("   - Time:", 1),
        ("   - Place:", 1),
        ("2. Rest:", 0),
    ]
    assert found[-1].opening == 0


def test_bullets_under_a_number_without_indentation_are_a_list_of_their_own() -> None:
    found = read("1. Plan: a\n- Time: b\n2. Rest: c")
    assert [(lead.level, lead.place) for lead in found] == [(0, 0), (1, 0), (0, 1)]


def test_numbers_that_begin_anew_open_another_list() -> None:
    found = read("1. Plan: a\n2. Rest: b\n\nMore:\n\n1. Eat: c")
    assert [lead.opening for lead in found] == [0, 0, found[2].start]


def test_a_paragraph_between_items_does_not_end_a_numbered_list() -> None:
    found = read("1. **Plan**: a\n\nMore of it.\n\n2. **Rest**: b")
    assert [lead.place for lead in found] == [0, 1]


def test_items_without_lead_are_counted() -> None:
    found = read("1. Get up early\n2. Rest: a")
    assert [(lead.place, lead.bare) for lead in found] == [(1, 1)]


def test_leads_are_those_of_extraction() -> None:
    text = (
        "Some tips:\n\n1. **Plan ahead:** write down all that you need today.\n"
        "2. **Rest** - sleep for eight hours in a dark room.\n3. Eat well: take fruit and bread in the morning."
    )
    assert [lead.at for lead in read(text)] == [fork.at for fork in extract(text).tree.forks()]


@given(markdown_like(), st.lists(st.integers(0, 600), max_size=60))
def test_any_cuts_give_the_same_leads(text: str, cuts: list[int]) -> None:
    assert read(text, cuts) == read(text)


@given(markdown_like())
def test_leads_lie_in_the_text_in_order(text: str) -> None:
    found = read(text)
    for lead in found:
        assert lead.opening <= lead.start < lead.at <= lead.read <= len(text)
        assert text[lead.start : lead.at] == lead.lead
    assert [lead.at for lead in found] == sorted({lead.at for lead in found})


LONG = " it is low, and there is nothing to pay before you begin."


def test_plain_labels_in_a_row_are_a_list_from_the_second_on() -> None:
    found = read(f"Money spent:{LONG}\n\nTime spent:{LONG}\n\nHelp given: yes")
    assert [(lead.lead, lead.kind, lead.place) for lead in found] == [
        ("Time spent:", "label", 1),
        ("Help given:", "label", 2),
    ]
    assert {lead.opening for lead in found} == {0}
    assert {lead.separator for lead in found} == {"\n\n"}


def test_chinese_labels_have_no_space_behind_them() -> None:
    text = "使用费用：这项服务的费用很低，在开始之前您什么都不需要支付。\n\n所需时间：很少。"
    assert leads(text) == ["所需时间："]


@pytest.mark.parametrize(
    "text",
    [
        f"Money spent:{LONG}",
        "Full name: Ann\nHome town: Rome\nFirst job: baker\nLast job: cook",
        f"Anna:{LONG}\n\nBob:{LONG}\n\nAnna:{LONG}\n\nBob:{LONG}",
        f"Money spent:{LONG}\n\nAnother paragraph.\n\nTime spent:{LONG}",
        f"Money spent:{LONG}\n\n## Title\n\nTime spent:{LONG}",
        f"money spent:{LONG}\n\ntime spent:{LONG}",
        f"See https://a.b:{LONG}\n\nSee it https://c.d:{LONG}",
    ],
)
def test_no_row_of_plain_labels(text: str) -> None:
    assert [lead for lead in leads(text) if not lead.startswith("#")] == []


def test_three_names_of_one_word_are_labels() -> None:
    assert leads(f"Money:{LONG}\n\nTime:{LONG}\n\nHelp:{LONG}") == ["Help:"]


def test_labels_between_the_items_of_a_list_do_not_end_it() -> None:
    found = read(f"1. **Plan**: a\n\nMoney spent:{LONG}\n\nTime spent:{LONG}\n\n2. **Rest**: b")
    assert [(lead.lead, lead.place) for lead in found if lead.kind == "ordered"] == [
        ("1. **Plan**:", 0),
        ("2. **Rest**:", 1),
    ]


def test_a_lead_is_taken_back_and_read_again() -> None:
    reader = ItemReader()
    [first] = reader.feed("1. Plan: ")
    reader.rewind(first)
    [again] = reader.feed("\n\n2. Plan:")
    reader.rewind_within(again, again.start + len("2. "))
    assert reader.text == "1. Plan:\n\n2. "
    [other] = reader.feed("Rest:")
    assert (other.lead, other.place, other.opening, other.separator) == ("2. Rest:", 1, 0, "\n\n")


def test_a_line_is_a_lead_in_a_list_that_has_forked() -> None:
    reader = ItemReader()
    [first] = reader.feed("1. Plan:")
    reader.rewind(first)
    assert reader.feed("\n\n2. Rest well.\n\n") == ()
    [lead] = reader.feed("3. Eat well\n")
    assert (lead.lead, lead.form) == ("3. Eat well", "bare")
