"""What is forced on the parent of a list, and when the list ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apar.decoding.by_form.parent import ParentRules
from apar.decoding.by_form.reader import ItemReader


class Drive:
    """A parent that samples given pieces: its text, what was forced on it, and why it ended."""

    def __init__(self, prompt: str, pieces: list[str], max_items: int | None = None, sure_items: int = 2) -> None:
        self.rules = ParentRules(prompt, max_items, sure_items)
        self.reader = ItemReader()
        self.text = ""
        self.forced: list[str] = []
        self.reason: str | None = None
        self.ended = False
        for piece in pieces:
            if not self.ended:
                self._sample(piece)

    def _sample(self, piece: str) -> None:
        self.text += piece
        step = self.rules.feed(piece)
        for lead in self.reader.feed(piece) if step.action != "end" else ():
            assert lead.at == len(self.text), "pieces end with the leads here"
            step = self.rules.fork(lead)
        assert step.keep <= len(self.text)
        if step.action == "end":
            self.ended, self.reason, self.text = True, step.reason, self.text[: step.keep]
        elif step.action == "force":
            self.forced.append(step.text)
            self.text += step.text
            assert not self.reader.feed(step.text)

    @property
    def finished(self) -> str:
        """The text, if the model ends the thread now."""
        return self.text if self.ended else self.text[: self.rules.finish()]


BOLD = ["Tips:\n\n", "1. **Plan:**", "Rest:**"]


def test_the_second_item_is_forced_and_later_markers_are_completed() -> None:
    drive = Drive("Any tips?", [*BOLD, "3", "Eat:**"])
    assert drive.forced == ["\n\n2. **", "\n\n", ". **", "\n\n"]
    assert drive.text == "Tips:\n\n1. **Plan:**\n\n2. **Rest:**\n\n3. **Eat:**\n\n"


@pytest.mark.parametrize(
    ("first", "forced"),
    [
        ("1. Plan:", "\n\n2."),
        ("- **Plan**:", "\n- **"),
        ("Tips:\n- Plan:", "\n-"),
        ("Tips:\n1) Plan:", "\n2)"),
        ("9. Plan:", "\n\n10."),
        ("1、计划：", "\n\n2、"),
        ("（1）计划：", "\n\n（2）"),
        ("一、计划：", "\n\n二、"),
        ("Tips:\n\n**Plan:**", "\n\n**"),
        ("**1. Plan:**", "\n\n**2."),
        ("Tips:\n   - Plan:", "\n   -"),
    ],
)
def test_what_is_forced_behind_the_first_lead(first: str, forced: str) -> None:
    assert Drive("Any tips?", [first]).forced == [forced]


def test_what_is_forced_behind_headings() -> None:
    reader, rules = ItemReader(), ParentRules("Any tips?")
    [lead] = reader.feed("Tips\n\n### 1. Plan\n")
    assert rules.fork(lead, tail="\n").text == "\n### 2."


def test_bold_is_forced_only_where_all_leads_are_bold() -> None:
    assert Drive("Any tips?", ["1. **Plan:**", "Rest**:", "3"]).forced[-1] == ". **"
    mixed = Drive("Any tips?", ["1. Plan:", " **Rest:**", "3"])
    assert mixed.forced[-1] == "."


def test_the_separator_that_the_list_uses_is_forced() -> None:
    text = "Tips:\n\n1. Plan: a\n2. Rest:"
    *_, lead = ItemReader().feed(text)
    assert ParentRules("Any tips?").fork(lead).text == "\n"


def test_line_breaks_that_are_there_are_not_forced_again() -> None:
    [lead] = ItemReader().feed("1. Plan:")
    assert ParentRules("Any tips?").fork(lead, tail="\n").text == "\n2."
    assert ParentRules("Any tips?").fork(lead, tail="\n\n").text == "2."


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        (["3", "PLAN:**"], "repeated"),
        (["3. **Rest:**"], "repeated"),
        (["1", ". Go"], "restarted"),
        (["- ", "Go"], "detail"),
        (["This one is about sleep and"], "detail"),
        (["Rest is what everybody needs"], "repeated"),
        (["**Rest** is what everybody needs"], "repeated"),
    ],
)
def test_a_list_ends_before_what_is_no_new_item(pieces: list[str], reason: str) -> None:
    drive = Drive("Any tips?", [*BOLD, *pieces])
    assert drive.reason == reason
    assert drive.text == "Tips:\n\n1. **Plan:**\n\n2. **Rest:**"


@pytest.mark.parametrize(
    "closing",
    [
        "In conclusion, do all of it.",
        "These tips help you every day.",
        "Good health to all of you!",
        "Planning and resting are what makes you well.",
        "Restful days are what all of us need.",
        "总之，这些方法都有效，请坚持下去，祝你健康快乐每一天。",
    ],
)
def test_a_closing_paragraph_stays(closing: str) -> None:
    drive = Drive("Any tips?", [*BOLD, *closing, " More."])
    assert not drive.ended
    assert drive.text.endswith(f"2. **Rest:**\n\n{closing} More.")
    assert drive.finished == drive.text


@pytest.mark.parametrize("rest", [[], ["\n"], ["3."][:0]])
def test_the_separator_goes_where_the_model_ends_behind_it(rest: list[str]) -> None:
    assert Drive("Any tips?", [*BOLD, *rest]).finished == "Tips:\n\n1. **Plan:**\n\n2. **Rest:**"


def test_an_item_without_text_goes_where_the_model_ends_in_it() -> None:
    assert Drive("Any tips?", ["1. **Plan:**"]).finished == "1. **Plan:**"


@pytest.mark.parametrize(("item", "stays"), [("Go", False), ("Go.", True), ("Pla", False)])
def test_an_item_without_a_lead_goes_where_the_thread_ends_unless_it_is_a_sentence(item: str, stays: bool) -> None:
    expected = f"1. Plan:\n\n2. {item}" if stays else "1. Plan:"
    assert Drive("Any tips?", ["1. Plan:", f" {item}"]).finished == expected


def test_the_model_may_not_end_in_an_item_before_there_are_as_many_as_were_asked_for() -> None:
    assert not Drive("Give me 3 tips", ["1. Plan:", " Go"]).rules.may_end
    assert not Drive("Give me 3 tips", ["1. Plan:", " Go:", " Eat"]).rules.may_end
    assert Drive("Give me 3 tips", ["1. Plan:", " Go. It is good.\n"]).rules.may_end
    assert Drive("Any tips?", ["1. Plan:", " Go"]).rules.may_end


@pytest.mark.parametrize("piece", ["\n", " \n", "\nAnd that is it.", "**\n"])
def test_a_list_ends_before_an_item_without_text(piece: str) -> None:
    for drive in (Drive("Any tips?", ["1. Plan:", piece]), Drive("Any tips?", ["1. Plan:", " Go:", f"3.{piece}"])):
        assert drive.reason == "empty"
        assert drive.text in ("1. Plan:", "1. Plan:\n\n2. Go:")


def test_a_prompt_that_asks_for_items_gets_as_many() -> None:
    drive = Drive("Give me 3 tips", [*BOLD, "Eat:**", "4", ". **Go:**"])
    assert drive.forced == ["\n\n2. **", "\n\n3. **", "\n\n"]
    assert (drive.reason, drive.text) == ("count", "Tips:\n\n1. **Plan:**\n\n2. **Rest:**\n\n3. **Eat:**")


def test_the_model_may_not_end_before() -> None:
    assert not Drive("Give me 3 tips", BOLD).rules.may_end
    assert Drive("Give me 3 tips", [*BOLD, "Eat:**"]).rules.may_end
    assert Drive("Any tips?", BOLD).rules.may_end


def test_a_closing_paragraph_may_follow_the_last_item_that_was_asked_for() -> None:
    drive = Drive("Give me 2 tips", [*BOLD, "In conclusion, do all of it."])
    assert drive.finished.endswith("2. **Rest:**\n\nIn conclusion, do all of it.")


def test_max_items_bounds_a_list() -> None:
    drive = Drive("Give me 9 tips", [*BOLD, "3", ". **Go:**"], max_items=2)
    assert (drive.reason, drive.text) == ("count", "Tips:\n\n1. **Plan:**\n\n2. **Rest:**")


def test_the_count_is_that_of_the_first_list() -> None:
    text = "A:\n\n- Plan: a\n- Rest: b\n\nOther:\n\n- Eat:"
    reader, rules = ItemReader(), ParentRules("Give me 2 tips", sure_items=1)
    one, _, other = reader.feed(text)
    rules.fork(one)
    assert rules.fork(other).text == "\n"
    for piece in ("\n", "-", " Go:"):
        leads = reader.feed(piece)
    for piece in ("-", " Go:"):
        assert rules.feed(piece).action == "go"
    assert rules.fork(leads[0]).text == "\n"


def test_an_outer_item_may_follow_a_list_within() -> None:
    pieces = ["1. Plan all of it.\n   - Time:", " Place:", "2. Rest"]
    drive = Drive("Any tips?", pieces, sure_items=2)
    assert not drive.ended
    assert drive.finished == "1. Plan all of it.\n   - Time:\n   - Place:\n2. Rest"


def test_what_may_be_dropped_is_not_to_be_shown() -> None:
    reader, rules = ItemReader(), ParentRules("Any tips?")
    text = "1. Plan ahead:"
    [lead] = reader.feed(text)
    step = rules.fork(lead)
    assert step.keep == len(text)
    steps: Iterator[int] = (rules.feed(piece).keep for piece in (" Pl", "an", " b"))
    # "Plan" may become "Plan ahead", "Plan b" does not.
    assert list(steps) == [len(text), len(text), len(text + step.text + " Plan b")]


def test_a_chinese_lead_is_known_in_a_paragraph_without_spaces() -> None:
    drive = Drive(
        "Any tips?", ["1. 早睡觉：", " 早起床：", "早睡觉是每一个人都需要的事情，也是最好的休息方法，请大家坚持。"]
    )
    assert (drive.reason, drive.text) == ("repeated", "1. 早睡觉：\n\n2. 早起床：")


@pytest.mark.parametrize(("max_items", "threads"), [(None, 40), (3, 3), (1, 1)])
def test_max_items_lowers_the_threads_that_a_list_needs(max_items: int | None, threads: int) -> None:
    [lead] = ItemReader().feed("1. Plan:")
    assert ParentRules("List 40 tips", max_items).threads_for(lead) == threads


@pytest.mark.parametrize(
    ("lead", "forced"), [("１. Plan:", "\n\n２."), ("９、Plan:", "\n\n１０、"), ("y) Plan:", "\n\nz)")]
)
def test_markers_are_counted_on_as_they_are_written(lead: str, forced: str) -> None:
    assert Drive("Any tips?", [lead]).forced == [forced]


@pytest.mark.parametrize("last", ["z) Plan:", "⑳Plan:", "200. Plan:"])
def test_a_list_ends_where_there_is_no_next_marker(last: str) -> None:
    drive = Drive("Give me 3 tips", [last])
    assert drive.forced == ["\n\n"]
    assert drive.finished == last
    assert drive.rules.may_end
    assert Drive("Give me 3 tips", [last, "1. Go"]).reason == "count"
