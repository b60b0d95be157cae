"""Log probabilities are told where their tokens begin, and are numbers that JSON has."""

from __future__ import annotations

import json

from apar.assemble import Assembler
from apar.events import Delta, Event, Finished, Started, TokenLogprob
from apar.server.chunk_builder import ChunkBuilder, thread_event
from apar.server.protocol.answers import MIN_LOGPROB
from apar.server.response_format import CompletionFormat

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
    assembler = Assembler()
    for event in events:
        assembler.feed(event)
    placed = assembler.take_logprobs()
    assert [(each.start, each.token.token_id) for each in placed] == [(0, 3), (1, 1), (1, 2), (2, 3)]


def test_text_that_is_held_back_shifts_no_token() -> None:
    builder = ChunkBuilder(0, CompletionFormat(_Texts()), ["xZ"], True)  # type: ignore[arg-type]
    choices = [builder.read([event]) for event in said((3, "x"), (3, "x"), (3, "x"))] + [builder.rest()]
    parts = [choice.to_dict() for choice in choices if choice]
    offsets = [offset for part in parts if part for offset in part["logprobs"]["text_offset"]]
    assert offsets == [0, 1, 2]
    assert "".join(part["text"] for part in parts if part) == "xxx"


def test_minus_infinity_is_told_as_a_number() -> None:
    delta = said((3, "x"))[1]
    told = json.loads(thread_event(delta).json_bytes())
    assert told["logprobs"] == [{"token_id": 3, "logprob": MIN_LOGPROB, "top": [[3, MIN_LOGPROB]]}]
