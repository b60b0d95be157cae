"""What a child sees, and where its detail ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.decoding.by_form.child import DetailReader, child_lead, child_text, may_begin
from apar.decoding.by_form.reader import ItemReader, LeadEnd
from tests.structure.texts import markdown_like


def last_lead(text: str) -> LeadEnd:
    return list(ItemReader().feed(text))[-1]


ORDERED = last_lead("1. **Plan:**")
BULLET = last_lead("- Plan:")
NESTED = last_lead("1. A: b\n   - Plan:")
HEADING = last_lead("Intro\n\n## Plan\n")
LABEL = last_lead("Intro\n\n**Plan:**")
TITLE = last_lead("1. **Plan**\n   xy")
PLAIN_TITLE = last_lead("1. Plan ahead\n   xy")
PLAIN_LABEL = last_lead("Money spent: it is low, and there is nothing to pay for it now.\nPlan made: x")
CHINESE = last_lead("1、计划：")


@pytest.mark.parametrize(
    ("text", "lead"),
    [
        ("1. A: b\n2. B: c\n3. Plan:", "1. Plan:"),
        ("- A: b\n- Plan:", "- Plan:"),
        ("1. A: b\n   1. X: y\n   2. Plan:", "   1. Plan:"),
        ("Intro\n\n### 1. A\nb\n### 2. Plan\n", "### 1. Plan"),
        ("一、甲：乙\n二、计划：", "一、计划："),
        ("①甲：乙\n②计划：", "①计划："),
    ],
)
def test_a_childs_lead_is_that_of_the_first_item(text: str, lead: str) -> None:
    assert child_lead(last_lead(text)) == lead


def test_a_child_sees_the_opening_and_its_own_lead() -> None:
    text = "Some tips:\n\n1. Eat:\n\n2. **Rest:**"
    assert child_text(text, last_lead(text)) == "Some tips:\n\n1. **Rest:**"


@pytest.mark.parametrize(
    ("lead", "text", "detail"),
    [
        (ORDERED, " Write it.\n2. **Rest:**", " Write it."),
        (ORDERED, " Write it.\n\n2. **Rest:**", " Write it."),
        (ORDERED, " Write it.\n1. **Rest:**", " Write it."),
        (ORDERED, " Write it.\n\nIn conclusion, rest.", " Write it."),
        (ORDERED, " Write it.\n\n## More", " Write it."),
        (ORDERED, " Write it.\n## More", " Write it."),
        (ORDERED, " Write it.\n\n**Note:** no", " Write it."),
        (ORDERED, " Write it.\n---\nMore", " Write it."),
        (ORDERED, " Write it.\nAnd more.\n\nEnd", " Write it.\nAnd more."),
        (ORDERED, " Write it.\n\n   More of it.\n2. X", " Write it.\n\n   More of it."),
        (ORDERED, " Write it:\n   - a\n   - b\n2. X", " Write it:\n   - a\n   - b"),
        (ORDERED, " Write it:\n- a\n- b\n2. X", " Write it:\n- a\n- b"),
        (ORDERED, " Do:\n   ```\n1. x\n\ny\n   ```\n   Then.\n2. X", " Do:\n   ```\n1. x\n\ny\n   ```\n   Then."),
        (ORDERED, " Do:\n```\n2. x\n```\n2. X", " Do:\n```\n2. x\n```"),
        (ORDERED, " It was 3.5 or 10:30 - yes.\n3.5 is it.\n2. X", " It was 3.5 or 10:30 - yes.\n3.5 is it."),
        (BULLET, " Write it.\n- Rest:", " Write it."),
        (BULLET, " Write it.\n  - sub\n- Rest:", " Write it.\n  - sub"),
        (BULLET, " Write it.\n1. One", " Write it."),
        (NESTED, " Write it.\n   - Rest:", " Write it."),
        (NESTED, " Write it.\n2. Rest:", " Write it."),
        (HEADING, "\nText.\n\nMore.\n\n- a\n\n### Sub\n\nc\n\n## Next", "\nText.\n\nMore.\n\n- a\n\n### Sub\n\nc"),
        (LABEL, " Text.\n- a\n\nMore\n\n**Rest:** x", " Text.\n- a\n\nMore"),
        (LABEL, " Text.\n\n## Next", " Text."),
        (TITLE, "\n   Text.\n\nOut", "\n   Text."),
        (TITLE, "\n\nText.\n\nOut", "\n\nText."),
        (PLAIN_TITLE, "\n\nText.\n\nMore of it than that.\n\n2. X", "\n\nText.\n\nMore of it than that."),
        (PLAIN_TITLE, "\n\nText.\n\nIn conclusion, all is well.", "\n\nText."),
        (PLAIN_TITLE, "\n   Text.\n\nOut of it", "\n   Text."),
        (PLAIN_LABEL, " Text.\n\nOut. More", " Text."),
        (PLAIN_LABEL, " Text.\nMore of it\nTime spent: x", " Text.\nMore of it"),
        (PLAIN_LABEL, " Text.\n- a\n- b\n\nTime spent:\n", " Text.\n- a\n- b"),
        (CHINESE, "写下来。\n2、休息：", "写下来。"),
        (CHINESE, "写下来。\n\n总之，休息。", "写下来。"),
    ],
)
def test_where_a_detail_ends(lead: LeadEnd, text: str, detail: str) -> None:
    state = DetailReader(lead).feed(text)
    assert (state.state, text[: state.chars]) == ("ended", detail)


@pytest.mark.parametrize(
    ("text", "state", "chars"),
    [
        (" Write", "go", 6),
        (" Write.\n", "hold", 7),
        (" Write.\n2", "hold", 7),
        (" Write.\n2.", "hold", 7),
        (" Write.\n2. ", "ended", 7),
        (" Write.\n25 of", "go", 13),
        (" Write.\n\n", "hold", 7),
        (" Write.\n   -", "hold", 7),
        (" Write.\n   - a", "go", 14),
        (" Write.\n--", "hold", 7),
    ],
)
def test_what_may_become_a_border_is_held_back(text: str, state: str, chars: int) -> None:
    assert DetailReader(ORDERED).feed(text) == (state, chars)


@pytest.mark.parametrize(
    ("lead", "said", "may"),
    [
        (ORDERED, " Write", True),
        (ORDERED, " ", True),
        (ORDERED, "\n", False),
        (ORDERED, " \n", False),
        (ORDERED, " Write\n", True),
        (ORDERED, " " * 9, False),
        (HEADING, "\n\nText", True),
        (HEADING, "\n", True),
        (HEADING, "\n## Next", False),
        (TITLE, "\n2. Rest", False),
        (TITLE, "\n   Text", True),
    ],
)
def test_what_a_child_may_begin_with(lead: LeadEnd, said: str, may: bool) -> None:
    assert may_begin(said, lead) is may


@given(st.sampled_from([ORDERED, BULLET, NESTED, HEADING, LABEL, TITLE]), markdown_like(), st.data())
def test_any_cuts_give_the_same_detail(lead: LeadEnd, text: str, data: st.DataObject) -> None:
    whole = DetailReader(lead).feed(text)
    reader, at, safe = DetailReader(lead), 0, 0
    state = reader.feed("")
    while at < len(text):
        step = data.draw(st.integers(1, 9))
        state = reader.feed(text[at : at + step])
        at += step
        assert safe <= state.chars <= whole.chars
        safe = state.chars
    assert state == whole
