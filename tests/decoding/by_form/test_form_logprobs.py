"""Log probabilities of answers that fork by the form of their text: of the tokens that are told, and of no others."""

from __future__ import annotations

import pytest

from apar.assemble import Assembler
from apar.decoding.answer import Answer
from apar.decoding.by_form.form_tokens import FormTokens
from apar.decoding.forced_deltas import by_token, forced_logprobs
from apar.decoding.group import Sampled, Thread
from apar.decoding.lockstep import complete_step
from apar.events import Delta, TokenLogprob
from apar.tree import ROOT
from tests.decoding.by_form.test_form_steps import EOS, PIECES, PROMPT, TWO, Script, chars, decode, encode

DRAWN = -0.5


class Told(Script):
    """A script whose drawn tokens have a log probability that is not 0."""

    def __init__(self, says: dict[tuple[int, ...], list[str]], **params: object) -> None:
        super().__init__(says, logprobs=1, **params)  # type: ignore[arg-type]

    def step(self) -> None:
        for thread in self.group.threads:
            self.paths.setdefault(thread.path, decode(thread.tokens[len(PROMPT) :]))
            thread.ahead.append(self._drawn(thread))
        complete_step(self.group)

    def _drawn(self, thread: Thread) -> Sampled:
        token = self._next(thread)
        return Sampled(token, TokenLogprob(token, DRAWN, ((token, DRAWN),)))

    @property
    def deltas(self) -> list[Delta]:
        return [event for event in self.group.events if isinstance(event, Delta)]

    def forced(self) -> list[str]:
        """The pieces that were forced, in the order in which they were told."""
        return [PIECES[each.token_id] for delta in self.deltas for each in delta.logprobs if each.logprob == 0.0]


SCRIPTS = {
    "a colon": TWO,
    "white space that is merged with a colon": {**TWO, ROOT: [*chars("Tips, \n\n1. Rest"), ": ", *chars(" Walk:")]},
    "line breaks that are merged with a colon": {**TWO, ROOT: [*chars("Tips, \n\n1. Rest"), ":\n\n", *chars(" Walk:")]},
    "a letter that is merged with a colon": {**TWO, ROOT: [*chars("Tips, \n\n1. Rest"), "s:x", *chars(" Walk:")]},
    "bold text": {
        ROOT: [*chars("1. **Rest** is "), *chars("Walk** is ")],
        (0, 0): chars(" good."),
        (0, 1): chars(" great."),
    },
    "a border in a detail": {**TWO, (0, 0): [" sleep", " ", "early\n\n2. ", "a"]},
    "a closing paragraph": {**TWO, ROOT: [*TWO[ROOT], *chars("This is all.\n")]},
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_token_that_is_told_has_one_and_the_text_is_that_of_the_tokens(name: str) -> None:
    script = Told(SCRIPTS[name]).run()
    assert script.text == Script(SCRIPTS[name]).run().text
    for delta in script.deltas:
        assert [each.token_id for each in delta.logprobs] == list(delta.token_ids)
        assert len(delta.token_ids) <= 1
        if delta.token_ids:
            assert decode(list(delta.token_ids)).startswith(delta.text)
    answer = Answer.of(script.group)
    assert len(answer.logprobs) == answer.tokens


def test_forced_tokens_were_not_drawn_and_have_no_alternatives() -> None:
    script = Told(TWO).run()
    assert script.forced() == chars("\n\n2.")
    for delta in script.deltas:
        for each in delta.logprobs:
            assert each.top == (() if each.logprob == 0.0 else ((each.token_id, DRAWN),))


def test_what_is_dropped_has_none() -> None:
    script = Told({**TWO, ROOT: [*TWO[ROOT], *chars("3 Rest:")]}).run()
    told = "".join(PIECES[each.token_id] for delta in script.deltas for each in delta.logprobs)
    assert "3" not in told
    assert "".join(delta.text for delta in script.deltas).count("Rest") == 1


def test_entries_begin_where_their_text_does() -> None:
    script = Told(SCRIPTS["white space that is merged with a colon"]).run()
    assembler = Assembler()
    for event in script.group.events:
        assembler.feed(event)
    assembler.end()
    for placed in assembler.take_logprobs():
        piece = PIECES[placed.token.token_id]
        assert assembler.text[placed.start :].startswith(piece.rstrip())


def test_a_delta_of_several_tokens_is_told_token_by_token() -> None:
    tokens = FormTokens(encode, decode, frozenset([EOS]), len(PIECES))
    ids = encode("\n2.")
    delta = Delta(ROOT, 3, tuple(ids), "\n2.", forced_logprobs(ids))
    whole = list(by_token(tokens, delta, 3))
    assert [part.text for part in whole] == ["\n", "2", "."]
    assert [part.token_ids for part in whole] == [(token,) for token in ids]
    assert [part.logprobs for part in whole] == [(TokenLogprob(token, 0.0),) for token in ids]
    assert [part.text for part in by_token(tokens, delta, 2)] == ["\n", "2"]


@pytest.mark.parametrize(("chars_told", "told"), [(1, ["a"]), (2, ["a", "", "é"])])
def test_a_part_of_a_character_stays_with_the_rest_of_it(chars_told: int, told: list[str]) -> None:
    data = {1: b"a", 2: b"\xc3", 3: b"\xa9", 4: b"\n"}

    def text_of(ids: list[int]) -> str:
        return b"".join(data[token] for token in ids).decode("utf-8", "replace")

    tokens = FormTokens(lambda text: [4] * len(text), text_of, frozenset([EOS]), 5)
    delta = Delta(ROOT, 3, (1, 2, 3), "aé")
    assert [part.text for part in by_token(tokens, delta, chars_told)] == told
