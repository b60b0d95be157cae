"""Logical steps of answers that fork by the form of their text, with given tokens in place of a model's."""

from __future__ import annotations

import pytest

from apar.decoding.answer import Answer
from apar.decoding.by_form.form_tokens import FormTokens
from apar.decoding.by_form.reader import ItemReader
from apar.decoding.by_form.thread_form import ThreadForm
from apar.decoding.detokenize import Detokenizer
from apar.decoding.group import Group, Sampled, Thread
from apar.decoding.lockstep import complete_step
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Request
from apar.decoding.vocabulary import Vocabulary
from apar.events import Delta, Finished, Forked
from apar.scheduling.place import Place
from apar.tree import ROOT, ThreadPath

EOS = 0
CHARACTERS = "\x00\n 0123456789.-#*:abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,"
MERGED = (":\n", ": ", ":\n\n", "s:x", "early\n\n2. ", " sleep", "Tips")
PIECES = (*CHARACTERS, *MERGED)
PROMPT = [PIECES.index("a")] * 3


def decode(ids: list[int]) -> str:
    return "".join(PIECES[token] for token in ids if token)


def encode(text: str) -> list[int]:
    """Character by character; one that there is no token for gives nothing."""
    return [CHARACTERS.index(character) for character in text if character in CHARACTERS]


class Script:
    """An answer whose threads say given pieces, a token each; None is end-of-sequence, which comes behind the last."""

    def __init__(
        self, says: dict[ThreadPath, list[str]], question: str = "Any tips?", context: int = 500, **params: object
    ) -> None:
        wanted = SamplingParams(fork_by="rules", seed=1, **params)  # type: ignore[arg-type]
        vocabulary = Vocabulary(None, None, frozenset([EOS]))
        self.group = Group.start(0, Request(PROMPT, wanted, 0, question), vocabulary, context, Detokenizer(decode))
        tokens = FormTokens(encode, decode, frozenset([EOS]), len(PIECES))
        self.group.threads[0].form = ThreadForm(tokens, question, len(PROMPT), wanted.max_items)
        self.says = {path: list(pieces) for path, pieces in says.items()}
        self.paths: dict[ThreadPath, str] = {}
        self.rewritten: list[tuple[ThreadPath, int]] = []

    def step(self) -> None:
        for thread in self.group.threads:
            self.paths.setdefault(thread.path, decode(thread.tokens[len(PROMPT) :]))
            thread.ahead.append(Sampled(self._next(thread)))
        completed = complete_step(self.group)
        self.rewritten += [(thread.path, kept) for thread, kept in completed.rewritten]

    def run(self) -> Script:
        while not self.group.done:
            self.step()
        return self

    def _next(self, thread: Thread) -> int:
        rest = self.says.get(thread.path, [])
        return PIECES.index(rest.pop(0)) if rest else EOS

    @property
    def text(self) -> str:
        return self.group.assembler.text

    def said(self, path: ThreadPath) -> str:
        return "".join(e.text for e in self.group.events if isinstance(e, Delta) and e.thread == path)

    def reasons(self) -> dict[ThreadPath, str]:
        return {event.thread: event.reason for event in self.group.events if isinstance(event, Finished)}


def chars(text: str) -> list[str]:
    return list(text)


TWO = {
    ROOT: [*chars("Tips, \n\n1. Rest:"), *chars(" Walk:")],
    (0, 0): chars(" sleep early."),
    (0, 1): chars(" go out."),
}


def test_the_parent_is_forced_on_and_children_write_the_details() -> None:
    script = Script(TWO).run()
    assert script.text == "Tips, \n\n1. Rest: sleep early.\n\n2. Walk: go out."
    assert script.said(ROOT) == "Tips, \n\n1. Rest:\n\n2. Walk:"
    assert script.reasons() == {ROOT: "eos", (0, 0): "eos", (0, 1): "eos"}
    answer = Answer.of(script.group)
    assert (answer.forks, answer.control_tokens) == (2, 0)


def test_a_child_sees_the_opening_and_its_own_lead_as_that_of_the_first_item() -> None:
    script = Script(TWO).run()
    assert script.paths[0, 1] == "Tips, \n\n1. Walk:"


def test_paths_share_what_stands_before_the_list() -> None:
    script = Script(TWO)
    while len(script.group.threads) < 3:
        script.step()
    root, first, second = script.group.threads
    opening = len(PROMPT) + len("Tips, \n\n")
    assert root.common(first) == root.common(second) == first.common(second) == opening
    assert first.tokens[:opening] == root.tokens[:opening]
    assert first.starts == (len(PROMPT), opening + len("1. Rest:"))


def test_text_is_told_in_reading_order_as_it_comes() -> None:
    script = Script(TWO)
    shown = ""
    while not script.group.done:
        script.step()
        assert script.text.startswith(shown)
        shown = script.text
    forks = [number for number, event in enumerate(script.group.events) if isinstance(event, Forked)]
    lead = "".join(e.text for e in script.group.events[: forks[0]] if isinstance(e, Delta))
    assert lead == "Tips, \n\n1. Rest:"


def test_a_child_ends_at_the_border_of_the_next_item() -> None:
    says = {**TWO, (0, 0): [" sleep", " ", "early\n\n2. ", "a"]}
    script = Script(says).run()
    assert script.said((0, 0)) == " sleep early"
    assert script.reasons()[0, 0] == "eos"
    assert script.text == "Tips, \n\n1. Rest: sleep early\n\n2. Walk: go out."


@pytest.mark.parametrize("merged", [":\n", ": ", ":\n\n"])
def test_white_space_that_is_merged_with_a_colon_comes_behind_the_detail(merged: str) -> None:
    says = {**TWO, ROOT: [*chars("Tips, \n\n1. Rest"), merged, *chars(" Walk:")]}
    text = Script(says).run().text
    assert text.startswith("Tips, \n\n1. Rest: sleep early.")
    assert text.endswith("\n\n2. Walk: go out.")


def test_of_a_token_with_the_end_of_a_lead_and_more_the_end_is_encoded_anew() -> None:
    says = {**TWO, ROOT: [*chars("Tips, \n\n1. Rest"), "s:x", *chars(" Walk:")]}
    script = Script(says).run()
    assert script.text == "Tips, \n\n1. Rests:x sleep early.\n\n2. Walk: go out."
    assert script.said(ROOT) == "Tips, \n\n1. Rests:\n\n2. Walk:"
    assert script.paths[0, 0] == "Tips, \n\n1. Rests:x"
    told = [token for event in script.group.events if isinstance(event, Delta) for token in event.token_ids]
    assert PIECES.index("s:x") not in told


def test_what_was_said_behind_a_lead_goes_to_the_child() -> None:
    says = {ROOT: [*chars("1. **Rest** is "), *chars("Walk** is ")], (0, 0): chars(" good."), (0, 1): chars(" great.")}
    script = Script(says).run()
    assert script.text == "1. **Rest** is good.\n\n2. **Walk** is great."
    assert script.paths[0, 1] == "1. **Walk** is"
    assert script.said(ROOT) == "1. **Rest**\n\n2. **Walk**"


def test_lists_within_details_fork_too() -> None:
    says = {
        ROOT: [*chars("1. Rest:"), *chars(" Walk:")],
        (0, 0): chars(" so\n   - Bed:") + chars(" Book:"),
        (0, 0, 0): chars(" early."),
        (0, 0, 1): chars(" long."),
        (0, 1): chars(" go."),
    }
    script = Script(says).run()
    assert script.text == "1. Rest: so\n   - Bed: early.\n   - Book: long.\n\n2. Walk: go."
    assert script.paths[0, 0, 1] == "1. Rest: so\n   - Book:"


def test_a_child_begins_with_text() -> None:
    script = Script(TWO)
    while len(script.group.threads) < 2:
        script.step()
    root, child = script.group.threads
    banned = script.group.banned(child, child.state)
    assert {EOS, PIECES.index("\n")} <= banned
    assert PIECES.index(" ") not in banned
    assert PIECES.index("s") not in banned
    assert script.group.banned(root, root.state) == {PIECES.index("\n")}
    child.ahead.append(Sampled(PIECES.index(" ")))
    root.ahead.append(Sampled(PIECES.index(" ")))
    complete_step(script.group)
    assert {EOS, PIECES.index(" "), PIECES.index("\n")} <= script.group.banned(child, child.state)


def test_tokens_ahead_of_a_thread_that_forks_are_dropped() -> None:
    script = Script(TWO)
    pieces = [PIECES.index(piece) for piece in TWO[ROOT]]
    [root] = script.group.threads
    root.ahead.extend(Sampled(token) for token in [*pieces[: len("Tips, \n\n1. Rest:")], EOS, EOS])
    while not script.rewritten:
        completed = complete_step(script.group)
        script.rewritten += [(thread.path, kept) for thread, kept in completed.rewritten]
    assert not root.ahead
    assert script.rewritten == [(ROOT, len(PROMPT) + len("Tips, \n\n1. Rest:"))]


def test_with_one_thread_only_the_answer_stays_sequential() -> None:
    script = Script({ROOT: chars("1. Rest: a, b\n\n2. Walk: c, d")}, max_threads=1).run()
    assert script.text == "1. Rest: a, b\n\n2. Walk: c, d"
    assert Answer.of(script.group).not_forked == {"limits": 2}


def test_why_an_answer_did_not_fork_is_counted() -> None:
    script = Script({ROOT: chars("1. Rest: a, b")}, question="Write a poem").run()
    assert Answer.of(script.group).not_forked == {"short_lines": 1}
    assert Answer.of(script.group).forks == 0


@pytest.mark.parametrize("budget", range(1, 60))
def test_a_budget_is_never_exceeded_and_leaves_no_detail_empty(budget: int) -> None:
    script = Script(TWO, max_tokens=budget).run()
    answer = Answer.of(script.group)
    assert answer.tokens <= answer.decoded <= budget
    for event in script.group.events:
        if isinstance(event, Forked):
            assert script.said(event.child).strip()


@pytest.mark.parametrize("context", range(10, 80, 3))
def test_no_path_is_longer_than_the_context(context: int) -> None:
    script = Script(TWO, context=context)
    while not script.group.done:
        script.step()
        assert all(len(thread.tokens) <= context for thread in script.group.threads)


def test_a_stop_string_in_a_lead_ends_the_answer_there() -> None:
    script = Script(TWO, stop=("Walk",)).run()
    assert script.text == "Tips, \n\n1. Rest: sleep early.\n\n2. "
    assert set(script.reasons().values()) <= {"eos", "stop", "cancelled"}


def test_a_list_has_max_items_at_most() -> None:
    says = {**TWO, ROOT: [*TWO[ROOT], *chars("3. Eat:")]}
    script = Script(says, max_items=2).run()
    assert script.text == "Tips, \n\n1. Rest: sleep early.\n\n2. Walk: go out."


def test_a_repeated_lead_ends_the_thread_before_it() -> None:
    says = {**TWO, ROOT: [*TWO[ROOT], *chars("3 Rest:")]}
    script = Script(says).run()
    assert script.text == "Tips, \n\n1. Rest: sleep early.\n\n2. Walk: go out."
    assert script.reasons()[ROOT] == "repeated"


def test_a_closing_paragraph_stays() -> None:
    says = {**TWO, ROOT: [*TWO[ROOT], *chars("In conclusion, do all of it.")]}
    assert Script(says).run().text.endswith("2. Walk: go out.\n\nIn conclusion, do all of it.")


def test_a_repeated_lead_is_written_again_where_the_list_must_go_on() -> None:
    says = {**TWO, ROOT: [*chars("Tips, \n\n1. Rest:"), *chars(" Rest:"), *chars("Walk:")]}
    script = Script(says).run()
    assert script.text == "Tips, \n\n1. Rest: sleep early.\n\n2. Walk: go out."
    assert script.reasons()[ROOT] == "eos"
    kept = len(PROMPT) + len("Tips, \n\n1. Rest:\n\n2. ")
    assert (ROOT, kept) in script.rewritten


def test_a_word_that_began_a_repeated_lead_may_not_come_there_again() -> None:
    script = Script({**TWO, ROOT: [*chars("1. Rest:"), *chars(" Rest:"), *chars("Walk:")]})
    while len(script.rewritten) < 2:
        script.step()
    root = script.group.threads[0]
    assert script.group.banned(root, root.state) == {PIECES.index("R"), PIECES.index("\n")}
    script.step()
    assert PIECES.index("R") not in script.group.banned(root, root.state)


def test_a_list_ends_where_nothing_but_repeated_leads_comes() -> None:
    says = {**TWO, ROOT: [*chars("1. Rest:"), *chars(" Rest:"), *chars("rest:") * 4]}
    script = Script(says).run()
    assert script.text == "1. Rest: sleep early."
    assert script.reasons()[ROOT] == "repeated"


def test_white_space_behind_the_last_item_is_dropped() -> None:
    says = {ROOT: [*chars("1. Rest:"), *chars(" Walk"), ":\n\n"], (0, 0): chars(" early"), (0, 1): chars(" far")}
    assert Script(says, max_items=2).run().text == "1. Rest: early\n\n2. Walk: far"


def test_a_list_that_has_forked_goes_on_forking() -> None:
    """Its thread sees bare leads: it would leave the detail of another item empty."""
    says = {
        ROOT: [*chars("1. Rest:"), *chars(" Walk:"), *chars("3 Then eat:")],
        (0, 0): chars(" early"),
        (0, 1): chars(" far"),
        (0, 2): chars(" well"),
    }
    script = Script(says).run()
    assert script.text == "1. Rest: early\n\n2. Walk: far\n\n3. Then eat: well"
    assert not script.group.not_forked


@pytest.mark.parametrize(("ends", "detail"), [("Eat\n", ": well"), ("Eat -\n", " well"), ("**Eat**\n", ": well")])
def test_a_line_that_is_nothing_but_a_lead_forks_in_a_list_that_has_forked(ends: str, detail: str) -> None:
    says = {
        ROOT: [*chars("1. Rest:"), *chars(" Walk:"), *chars("3 "), *chars(ends)],
        (0, 0): chars(" early"),
        (0, 1): chars(" far"),
        (0, 2): chars(detail),
    }
    script = Script(says).run()
    assert script.text == f"1. Rest: early\n\n2. Walk: far\n\n3. {ends.rstrip()}{detail}"


def test_a_list_ends_with_its_last_thread() -> None:
    says = {**TWO, ROOT: [*TWO[ROOT], *chars("3. Eat: a, b")]}
    script = Script(says, max_threads=3).run()
    assert script.text == "Tips, \n\n1. Rest: sleep early.\n\n2. Walk: go out."
    assert Answer.of(script.group).forks == 2


def test_a_list_that_there_are_no_threads_for_stays_sequential() -> None:
    text = "1. Rest: a, b\n\n2. Walk: c, d\n\n3. Eat: e"
    script = Script({ROOT: chars(text)}, question="Give me three tips", max_threads=3).run()
    assert script.text == text
    assert Answer.of(script.group).not_forked == {"limits": 3}


@pytest.mark.parametrize("budget", range(10, 60))
def test_no_item_is_told_without_a_detail_where_the_budget_ends(budget: int) -> None:
    script = Script(TWO, max_tokens=budget).run()
    if not Answer.of(script.group).forks:
        return
    assert not script.text.endswith(("Walk", "Walk:", "2.", "2. "))


def test_titles_have_their_details_below_them() -> None:
    says = {
        ROOT: [*chars("1. Rest\n\nY"), *chars(" Walk\n")],
        (0, 0): chars("es, early."),
        (0, 1): chars("Far."),
    }
    script = Script(says).run()
    assert script.text == "1. Rest\n\nYes, early.\n\n2. Walk\nFar."


def test_plain_labels_fork_from_the_second_on() -> None:
    first = "Monthly cost: it is low, and there is nothing to pay before you begin."
    says = {
        ROOT: [*chars(f"{first}\n\nTime spent: "), *chars("Help given:")],
        (0, 0): chars(" little."),
        (0, 1): chars(" much."),
    }
    script = Script(says).run()
    assert script.text == f"{first}\n\nTime spent: little.\n\nHelp given: much."
    assert script.paths[0, 1] == "Help given:"


@pytest.mark.parametrize("budget", range(14, 40))
def test_a_detail_that_a_limit_cuts_ends_before_what_may_be_the_next_item(budget: int) -> None:
    script = Script({ROOT: chars("1. Rest:"), (0, 0): chars(" early\n2. x")}, max_tokens=budget).run()
    assert " early".startswith(script.said((0, 0)))


def test_no_empty_lines_come_behind_those_that_are_forced() -> None:
    says = {**TWO, ROOT: [*TWO[ROOT], "3"]}
    script = Script(says)
    while len(script.group.threads) < 3 or script.group.threads[0].tokens[-1] != PIECES.index("\n"):
        script.step()
    root = script.group.threads[0]
    banned = script.group.banned(root, root.state)
    assert {PIECES.index("\n")} <= banned
    assert EOS not in banned


def test_leads_without_words_repeat_each_other_and_end_the_list() -> None:
    says = {ROOT: [*chars("1. Rest:"), *chars(" ..:"), *chars(" ..:") * 5], (0, 0): chars(" a"), (0, 1): chars(" b")}
    script = Script(says, question="Give me five tips").run()
    assert script.text == "1. Rest: a\n\n2. ..: b"
    assert script.reasons()[ROOT] == "repeated"


@pytest.mark.parametrize("ends", ["Eat\n", "Eat -\n", "Eat:\n"])
@pytest.mark.parametrize("budget", range(30, 60))
def test_an_item_that_there_is_no_room_for_is_dropped_whatever_ends_its_lead(ends: str, budget: int) -> None:
    says = {ROOT: [*chars("1. Rest:"), *chars(" Walk:"), *chars("3 "), *chars(ends)], (0, 0): chars(" early")}
    script = Script({**says, (0, 1): chars(" far"), (0, 2): chars(" well")}, max_tokens=budget).run()
    if Answer.of(script.group).forks == 2:
        assert script.text.endswith(("Rest: early\n\n2. Walk: far", "Walk: f", "Walk: fa", "Walk:"))


@pytest.mark.parametrize(
    ("before", "last", "detail"),
    [
        ("1. Rest:", " Eat well", ": yes."),
        ("1. Rest:", " Walk at 10:", " yes."),
        ("1. Rest:", " Walk Far -", " yes."),
        ("1. Rest:", " **far**", ": yes."),
        ("- Rest:", " Eat", ": yes."),
        ("## Rest now\n", " Walk far", "\nYes."),
    ],
)
def test_a_lead_that_ends_with_the_thread_forks_as_at_a_line_break(before: str, last: str, detail: str) -> None:
    says = {
        ROOT: [*chars(f"Tips, \n\n{before}"), *chars(last)],
        (0, 0): chars(detail),
        (0, 1): chars(detail),
    }
    script = Script(says).run()
    assert script.text.endswith(last.strip() + detail)
    assert Answer.of(script.group).forks == 2
    assert script.reasons() == dict.fromkeys((ROOT, (0, 0), (0, 1)), "eos")


@pytest.mark.parametrize("budget", range(30, 60))
def test_no_item_is_told_without_a_detail_where_the_model_ends(budget: int) -> None:
    says = {ROOT: [*chars("1. Rest:"), *chars(" Walk:"), *chars("3 Eat")], (0, 0): chars(" early")}
    script = Script({**says, (0, 1): chars(" far"), (0, 2): chars(": well")}, max_tokens=budget).run()
    if Answer.of(script.group).forks == 2:
        assert script.text.endswith(("Rest: early\n\n2. Walk: far", "Walk: f", "Walk: fa", "Walk:"))


def test_a_list_that_has_not_forked_may_end_with_a_lead() -> None:
    script = Script({ROOT: chars("Tips\n\n## Rest now")}).run()
    assert script.text == "Tips\n\n## Rest now"
    assert Answer.of(script.group).forks == 0


def test_a_lead_that_ends_with_the_thread_and_repeats_another_one_goes() -> None:
    script = Script({**TWO, ROOT: [*TWO[ROOT], *chars("3 Rest")]}).run()
    assert script.text == "Tips, \n\n1. Rest: sleep early.\n\n2. Walk: go out."
    assert script.reasons()[ROOT] == "repeated"


def test_a_thread_does_not_end_in_an_item_before_there_are_as_many_as_were_asked_for() -> None:
    says = {(0, number): chars(" and so on") for number in range(3)}
    says[ROOT] = [*chars("1. Rest:"), *chars(" Walk:"), *chars(" Eat:")]
    script = Script(says, question="Give me three tips")
    while len(script.group.threads) < 2:
        script.step()
    while script.group.created < 4:
        root = script.group.threads[0]
        assert EOS in script.group.banned(root, root.state)
        script.step()
    root = script.group.threads[0]
    assert EOS not in script.group.banned(root, root.state)


def test_no_line_break_comes_behind_a_forced_marker() -> None:
    script = Script({ROOT: [*chars("1. Rest:"), " ", "W"], (0, 0): chars(" early")})
    breaks = {PIECES.index("\n")}
    while len(script.group.threads) < 2:
        script.step()
    for _ in range(2):
        root = script.group.threads[0]
        assert breaks <= script.group.banned(root, root.state)
        script.step()
    root = script.group.threads[0]
    assert not breaks & script.group.banned(root, root.state)


@pytest.mark.parametrize("question", ["Any tips?", "Give me three tips"])
def test_an_empty_item_is_not_told(question: str) -> None:
    says = {**TWO, ROOT: [*chars("Tips, \n\n1. Rest:"), *chars("\nThat is all of it.")]}
    assert Script(says, question=question).run().text == "Tips, \n\n1. Rest: sleep early."


def test_a_list_of_max_items_forks_where_more_are_asked_for_than_there_are_threads() -> None:
    script = Script(TWO, question="List 40 tips for better sleep", max_items=2).run()
    assert script.text == "Tips, \n\n1. Rest: sleep early.\n\n2. Walk: go out."


def test_a_list_whose_details_are_short_goes_on_forking() -> None:
    says = {ROOT: [*chars("1. Rest:"), *chars(" Walk:"), *chars("3 Eat:"), *chars("4 Run:")]}
    script = Script({**says, **{(0, number): chars(" x") for number in range(4)}}).run()
    assert Answer.of(script.group).forks == 4
    assert not script.group.not_forked


def test_sets_of_tokens_that_no_detail_begins_with_are_made_once() -> None:
    [lead] = ItemReader().feed("1. Rest:")
    tokens = FormTokens(encode, decode, frozenset([EOS]), len(PIECES))
    assert tokens.not_first(lead, " ") is tokens.not_first(lead, "  ")


def test_what_is_drawn_after_a_lead_was_taken_back_is_drawn_by_other_numbers() -> None:
    script = Script({**TWO, ROOT: [*chars("1. Rest:"), *chars(" Rest:"), *chars(" Rest:"), *chars("Walk:")]})
    numbers: dict[int, list[float]] = {}
    while len(script.rewritten) < 3:
        place = Place(script.group, script.group.threads[0])
        numbers.setdefault(place.index, []).append(place.random_number)
        script.step()
    assert max(map(len, numbers.values())) > 1
    assert all(len(set(drawn)) == len(drawn) for drawn in numbers.values())
