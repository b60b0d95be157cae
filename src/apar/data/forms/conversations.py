"""Conversations that are lists: of objects with a role and a text, or of texts that take turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apar.data.forms.turns import Said, Turn, list_of, readable, text_of, turn_of

ROLE_KEYS, TEXT_KEYS = ("role", "from"), ("content", "value", "text")
_SYSTEM = ("system", "system_prompt")


def conversation(data: Mapping[str, Any], key: str) -> Iterator[Said]:
    """The turns of the list `key`, after the record's system message where the list opens with none."""
    # A problem names the keys of ShareGPT's records where both are missing.
    sharegpt = key == "conversations"
    roles, texts = (("from", "role"), ("value", "content", "text")) if sharegpt else (ROLE_KEYS, TEXT_KEYS)
    said = readable(list_of(data, key), lambda item: turn_of(item, roles, texts))
    opens = bool(said.turns) and said.turns[0].role == "system"
    yield said if opens else Said([*system_turns(data), *said.turns], said.problem)


def texts_in_turn(data: Mapping[str, Any]) -> Iterator[Said]:
    """UltraChat's `data`: texts of the user and the assistant in turn, the user's first."""
    turns = [Turn(("user", "assistant")[k % 2], text) for k, text in enumerate(list_of(data, "data"))]
    yield Said([*system_turns(data), *turns])


def system_turns(data: Mapping[str, Any]) -> list[Turn]:
    """The system message that stands beside a conversation, where there is one."""
    key = next((key for key in _SYSTEM if data.get(key)), None)
    return [] if key is None else [Turn("system", text_of(data, key))]
