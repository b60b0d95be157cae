"""Records of a question and its answer under keys of their own, and of the better of two answers (`chosen`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from apar.data.forms.conversations import ROLE_KEYS, TEXT_KEYS, system_turns
from apar.data.forms.turns import MisfitError, Said, Turn, list_of, readable, text_of, turn_of

QUESTIONS = ("instruction", "prompt", "question", "query", "input")
ANSWERS = ("output", "response", "completion", "answer", "chosen")
# What an answer of hh-rlhf is written as, the conversation before it included.
_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant):[ \t]?")


def answered(data: Mapping[str, Any], question: str, answer: str) -> Iterator[Said]:
    """The question under one key, with what is before it, and the answer under another; each may be turns."""
    before = asked(data, question)
    if not isinstance(data.get(answer), list):
        yield _joined(before, Said([Turn("assistant", text_of(data, answer))]))
        return
    said = _turns(data, answer)
    # A preference's answer may be the whole conversation, its question included.
    yield said if any(turn.role == "user" for turn in said.turns) else _joined(before, said)


def asked(data: Mapping[str, Any], key: str) -> Said:
    """The turns up to the question under a key."""
    if isinstance(data.get(key), list):
        said = _turns(data, key)
        opens = bool(said.turns) and said.turns[0].role == "system"
        return said if opens else Said([*system_turns(data), *said.turns], said.problem)
    question = text_of(data, key)
    for more in ("input", "context"):
        if (more == "context" or key == "instruction") and data.get(more) not in (None, ""):
            question = f"{question}\n\n{text_of(data, more)}" if question else text_of(data, more)
    return Said([*_before(data), Turn("user", question)])


def chosen(data: Mapping[str, Any]) -> Iterator[Said]:
    """A preferred answer without a question beside it: turns, or a text in which speakers are named."""
    if isinstance(data.get("chosen"), list):
        yield _turns(data, "chosen")
        return
    _, *pieces = _SPEAKER.split(text_of(data, "chosen"))
    if not pieces:
        raise MisfitError("`chosen` has no question: neither beside it nor as `Human:` in its text")
    roles = ("user" if name == "Human" else "assistant" for name in pieces[::2])
    yield Said([Turn(role, text.strip()) for role, text in zip(roles, pieces[1::2], strict=True)])


def _joined(before: Said, after: Said) -> Said:
    """One conversation; nothing follows a turn that cannot be read."""
    return before if before.problem else Said([*before.turns, *after.turns], after.problem)


def _turns(data: Mapping[str, Any], key: str) -> Said:
    return readable(list_of(data, key), lambda item: turn_of(item, ROLE_KEYS, TEXT_KEYS))


def _before(data: Mapping[str, Any]) -> list[Turn]:
    """The system message and the earlier turns, where a record has them."""
    system = system_turns(data)
    if data.get("history") is None:
        return system
    flat = [text for turn in list_of(data, "history") for text in (turn if isinstance(turn, list) else [turn])]
    if not all(isinstance(text, str) for text in flat):
        raise MisfitError("`history` is not a list of texts")
    if len(flat) % 2:
        system.append(Turn("system", flat.pop(0)))
    return system + [Turn(("user", "assistant")[k % 2], text) for k, text in enumerate(flat)]
