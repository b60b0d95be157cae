"""What may go wrong in an answer that forks by its form: it is right or sequential, never broken."""

from __future__ import annotations

import pytest

from apar.decoding.answer import Answer
from apar.decoding.by_form.child import DetailReader
from apar.decoding.by_form.form_tokens import FormTokens
from apar.decoding.by_form.reader import ItemReader
from apar.decoding.by_form.thread_form import ThreadForm
from apar.events import Finished
from apar.tree import ROOT
from tests.decoding.by_form.test_form_steps import EOS, PIECES, TWO, Script, chars, decode, encode

NAMES = ("Rest", "Walk", "Read", "Cook", "Swim", "Sing", "Draw", "Play", "Hike", "Nap")
ENDLESS = {ROOT: [*chars("1. Eat:"), *chars("".join(f"{k} {name}:" for k, name in enumerate(NAMES, 3)))]}
SAID = {(0, k): chars(" a, b.") for k in range(12)}


@pytest.mark.parametrize("merged", ["early\n\n2. ", ":\n\n", ":\n", "s:x"])
@pytest.mark.parametrize("in_child", [True, False])
def test_a_token_that_merges_a_separator_with_what_follows(merged: str, in_child: bool) -> None:
    says = {path: list(pieces) for path, pieces in TWO.items()}
    says[(0, 0) if in_child else ROOT].insert(-1, merged)
    script = Script(says).run()
    assert script.text.startswith("Tips, \n\n1. Rest:")
    assert script.text.count("1. ") == 1
    assert "::" not in script.text.replace(merged, "")
    assert all(script.said(event.thread).strip() for event in script.group.events if isinstance(event, Finished))


@pytest.mark.parametrize("threads", [3, 4, 7])
def test_a_list_that_never_ends_has_as_many_items_as_there_are_threads(threads: int) -> None:
    says = {ROOT: [*chars("- Eat:"), *chars(" Rest:"), *chars("".join(f"- {name}:" for name in NAMES[1:]))]}
    script = Script({**says, **SAID}, max_threads=threads).run()
    answer = Answer.of(script.group)
    assert answer.forks == threads - 1
    assert answer.finish_reason == "stop"
    assert script.text.rstrip().endswith("a, b.")


def test_a_list_that_never_ends_and_has_no_leads_is_cut_by_the_budget() -> None:
    script = Script({ROOT: chars("- a\n" * 100)}, max_tokens=50).run()
    answer = Answer.of(script.group)
    assert (answer.forks, answer.finish_reason, answer.tokens) == (0, "length", 50)


@pytest.mark.parametrize(
    "text",
    [
        "```\n1. Plan: a\n2. Rest: b\n# Walk on\n```\nSo it is.",
        "~~~\n- **Plan**: a\n- **Rest**: b\n~~~",
        "Use it:\n\n```yaml\nname: a\n- Plan: b\n",
        "\\[\n1. Plan: a\n\\]",
    ],
)
def test_leads_in_the_middle_of_code_stay_there(text: str) -> None:
    question = "Any tips?"
    assert ItemReader().feed(text) == ()
    form = ThreadForm(FormTokens(encode, decode, frozenset([EOS]), len(PIECES)), question, 1)
    for number, character in enumerate(text):
        said = form.say(character, number + 2, lambda plan, threads: True, lambda reason: None)
        assert (said.action, said.plan) == ("go", None)


def test_code_in_a_detail_is_the_detail_s() -> None:
    detail = " do\n   ```\n1. x\n\ny: z\n   ```\n   Then go."
    state = DetailReader(ItemReader().feed("1. Rest:")[0]).feed(f"{detail}\n2. Walk:")
    assert (state.state, state.chars) == ("ended", len(detail))


@pytest.mark.parametrize("question", ["1. Plan: x\n2. Rest: y", "- **Plan**: x\n- **Rest**:", "### Plan\n\n1. Rest:"])
def test_a_question_that_looks_like_a_list_is_none_of_the_answer(question: str) -> None:
    script = Script({ROOT: chars("Do a, b and c. So: it is good.")}, question=question).run()
    assert script.text == "Do a, b and c. So: it is good."
    assert Answer.of(script.group).forks == 0
    listed = Script(TWO, question=question).run()
    assert listed.text == "Tips, \n\n1. Rest: sleep early.\n\n2. Walk: go out."


@pytest.mark.parametrize("limits", [{"max_threads": 1}, {"max_threads": 2}, {"max_depth": 1}])
def test_limits_that_leave_no_room_for_a_list_keep_the_answer_sequential(limits: dict[str, int]) -> None:
    text = "1. Rest: a, b\n\n2. Walk: c, d\n\n3. Eat: e"
    script = Script({ROOT: chars(text)}, **limits).run()
    assert script.text == text
    assert Answer.of(script.group).not_forked == {"limits": 3}


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        ("Rest", "Tips, \n\n1. "),
        ("Rest:", "Tips, \n\n1. "),
        (": sleep", "Tips, \n\n1. Rest"),
        (".\n\n2", "Tips, \n\n1. Rest: sleep early"),
        ("2. W", "Tips, \n\n1. Rest: sleep early.\n\n"),
        ("k: go", "Tips, \n\n1. Rest: sleep early.\n\n2. Wal"),
    ],
)
def test_a_stop_string_in_or_beside_a_lead_is_found_in_reading_order(stop: str, text: str) -> None:
    script = Script(TWO, stop=(stop,)).run()
    assert script.text == text
    assert set(script.reasons().values()) <= {"eos", "stop", "cancelled"}


def test_a_stop_string_in_a_lead_that_is_dropped_stops_nothing() -> None:
    says = {**TWO, ROOT: [*chars("1. Rest:"), *chars(" Rest:"), *chars("Walk:")]}
    script = Script(says, stop=("2. R",)).run()
    assert script.text == "1. Rest: sleep early.\n\n2. Walk: go out."


@pytest.mark.parametrize("budget", range(8, 120, 3))
@pytest.mark.parametrize("context", [40, 60, 500])
def test_whatever_ends_a_list_no_item_is_without_a_detail(budget: int, context: int) -> None:
    script = Script({**ENDLESS, **SAID}, max_tokens=budget, context=context).run()
    if not Answer.of(script.group).forks:
        return
    lines = [line for line in script.text.split("\n") if line.strip()]
    assert all(line.split(":", 1)[-1].strip() for line in lines), script.text
