"""The turns of a conversation, as data sets write them: who spoke, what was said, and what is not text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

REASONING = "reasoning_content"
"""The key of what a model thought before it answered, kept apart from the answer."""

_REASONING_KEYS = (REASONING, "reasoning", "thinking")
_CALLS = ("tool_calls", "function_call")
_ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot", "chatbot", "ai"), "assistant"),
    **dict.fromkeys(("bing", "bard", "claude"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}


class MisfitError(ValueError):
    """A record does not have the form that its format asks for; the message says what is wrong."""


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """What one side said. `extra` holds keys of an answer such as `reasoning_content`; `bad`: it is marked as bad.

    `name` is the id of this turn, where the data give it one.
    """

    role: str
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    bad: bool = False
    name: str | None = None


class Said(NamedTuple):
    """The turns of a conversation up to the first that cannot be read, and what is wrong with that one."""

    turns: list[Turn]
    problem: str | None = None


def readable(items: Iterable[Any], read: Callable[[Any], Turn]) -> Said:
    """The turns of some items, up to the first for which `read` raises MisfitError."""
    turns: list[Turn] = []
    for number, item in enumerate(items, 1):
        try:
            turn = read(item)
            check_text(turn.content, *map(str, turn.extra.values()))
        except MisfitError as error:
            return Said(turns, f"turn {number} and what follows it: {error}" if turns else str(error))
        turns.append(turn)
    return Said(turns)


def turn_of(item: Any, role_keys: tuple[str, ...], text_keys: tuple[str, ...]) -> Turn:
    """A turn that is an object with a role and a text under one of some keys. Raises MisfitError where it is none."""
    if not isinstance(item, Mapping):
        raise MisfitError("a turn of the conversation is not an object")
    role = role_of(item, given(item, role_keys) or role_keys[0])
    if any(item.get(key) for key in _CALLS):
        raise MisfitError("a turn calls a tool")
    content, thought = _joined(item, given(item, text_keys) or text_keys[0])
    thought = next((item[key] for key in _REASONING_KEYS if isinstance(item.get(key), str)), thought)
    extra = {REASONING: thought} if thought and role == "assistant" else {}
    return Turn(role, content, extra, no_weight(item))


def role_of(item: Mapping[str, Any], key: str) -> str:
    """Who speaks: `user`, `assistant` or `system`. Raises MisfitError for any other."""
    role = _ROLES.get(str(item.get(key)).strip().lower())
    if role is None:
        raise MisfitError(f"a turn's `{key}` is {item.get(key)!r}, which is no known role"[:120])
    return role


def no_weight(data: Mapping[str, Any]) -> bool:
    """Whether data say of themselves that nothing is to be learned from them: `weight` is 0."""
    weight = data.get("weight")
    return isinstance(weight, int | float) and not isinstance(weight, bool) and weight == 0


def given(data: Mapping[str, Any], keys: Iterable[str]) -> str | None:
    """The first of some keys that has a value."""
    return next((key for key in keys if data.get(key) is not None), None)


def _joined(item: Mapping[str, Any], key: str) -> tuple[str, str]:
    """A turn's text, and what was thought; OpenAI's messages may give them as a list of parts."""
    content = item.get(key)
    parts = content if isinstance(content, list) else [content]
    texts, thoughts = [], []
    for part in parts:
        thought = part.get("thinking") if isinstance(part, Mapping) else None
        text = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(thought, str):
            thoughts.append(thought)
        elif isinstance(text, str):
            texts.append(text)
        else:
            raise MisfitError(f"a turn's `{key}` is not text")
    return "".join(texts), "".join(thoughts)


def text_of(data: Mapping[str, Any], key: str) -> str:
    """The text under a key. Raises MisfitError where there is none."""
    if not isinstance(data.get(key), str):
        raise MisfitError(f"`{key}` is not text" if key in data else f"`{key}` is missing")
    return str(data[key])


def list_of(data: Mapping[str, Any], key: str) -> list[Any]:
    """The list under a key. Raises MisfitError where there is none."""
    if not isinstance(data.get(key), list):
        raise MisfitError(f"`{key}` is not a list" if key in data else f"`{key}` is missing")
    return list(data[key])


def check_text(*texts: str) -> None:
    """Half a surrogate pair (`"\\ud83d"` alone) is no text: it cannot be written as UTF-8, nor tokenised."""
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise MisfitError("a text holds half of a surrogate pair, which is no valid Unicode") from None
