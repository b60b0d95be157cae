"""Log probabilities are told where their tokens begin, and are numbers that JSON has."""

from __future__ import annotations

import json

from apar.events import Delta, Event, Finished, Started, TokenLogprob
from apar.server.forms import CompletionForm
from apar.server.logprobs import LEAST, LogprobsInOrder
from apar.server.telling import Telling, as_thread_event

ROOT = (0,)
MINUS_INFINITY = float("-inf")


class _Texts:
    """Tokens 1 and 2 are the two halves of a character."""

    def of(self, token: int) -> tuple[str, tuple[int, ...]]:
        return {1: (r"\xc3", (0xC3,)), 2: (r"\xa9", (0xA9,)), 3: ("x", (0x78,))}[token]


def said(*pieces: tuple[int, str]) -> list[Event]:
    deltas = [
        Delta(ROOT, step, (token,), text, (TokenLogprob(token, MINUS_INFINITY, ((token, MINUS_INFINITY),)),))
        for step, (token, text) in enumerate(pieces)
    ]
    return [Started(ROOT, None, 0), *deltas, Finished(ROOT, len(pieces), "eos")]


def test_a_token_that_is_half_a_character_begins_where_the_character_does() -> None:
    events = said((3, "x"), (1, ""), (2, "é"), (3, "x"))
    placed = LogprobsInOrder().take(events, 3, all_is_shown=True)
    assert [(each.start, each.token.token_id) for each in placed] == [(0, 3), (1, 1), (1, 2), (2, 3)]


def test_text_that_is_held_back_shifts_no_token() -> None:
    telling = Telling(0, CompletionForm(), _Texts(), ["xZ"], True)  # type: ignore[arg-type]
    parts = [telling.read([event]) for event in said((3, "x"), (3, "x"), (3, "x"))] + [telling.rest()]
    offsets = [offset for part in parts if part for offset in part["logprobs"]["text_offset"]]
    assert offsets == [0, 1, 2]
    assert "".join(part["text"] for part in parts if part) == "xxx"


def test_minus_infinity_is_told_as_a_number() -> None:
    delta = said((3, "x"))[1]
    told = json.loads(json.dumps(as_thread_event(delta), allow_nan=False))
    assert told["logprobs"] == [{"token_id": 3, "logprob": LEAST, "top": [[3, LEAST]]}]
