"""Reading chats: four formats of records, in JSON arrays or JSON lines, plain or gzip-compressed.

| format            | a record has                                                                      |
|-------------------|-----------------------------------------------------------------------------------|
| `sharegpt`        | `conversations`: `[{"from": "human" or "gpt", "value": text}, …]`                 |
| `alpaca`          | `instruction`, `input`, `output`; `system` and `history` (pairs) where present    |
| `messages`        | `messages`: `[{"role": "user" or "assistant", "content": text}, …]`               |
| `prompt_response` | `prompt`, `response`; `history` (`[user, assistant, …]`) where present            |

The format is that of a file's first record that fits one; other records of the file must fit it too. The last
answer of the assistant is the response, what comes before it are the messages. A `history` of odd length
opens with a system message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apar.data.lines import BrokenRecord, Container, Place, Record, detect_container, read_records
from apar.errors import UserError
from apar.tokens import Message

__all__ = ["BrokenRecord", "Chat", "Place", "read_chats"]

COPIED_KEYS = ("license", "licence", "model", "lang")
"""Keys of a record that are handed on unchanged."""

_ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}


@dataclass(frozen=True, slots=True)
class Chat:
    """One answer and what was said before it; `messages` ends with the user's question.

    `format` is the form it was read from, for example "jsonl alpaca"; `extra` holds the copied keys.
    """

    id: str
    source: str
    messages: tuple[Message, ...]
    response: str
    format: str
    place: Place
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> str | None:
        """The question, if there is nothing else before the answer."""
        return self.messages[0]["content"] if len(self.messages) == 1 else None


class _MisfitError(ValueError):
    """A record does not have the form that its format asks for; the message says what is wrong."""


def read_chats(path: Path) -> Iterator[Chat | BrokenRecord]:
    """The chats of a file in order, and a BrokenRecord for each line or record that is none.

    An answer may be empty. Raises UserError where the file cannot be read, is of no known format, or has
    not a single chat; what comes first tells the places.
    """
    container = detect_container(path)
    name: str | None = None
    usable = 0
    first_problem: BrokenRecord | None = None
    for record in read_records(path, container):
        if isinstance(record, Record):
            name = name or _format_of(record.data)
        found = _chat(record, name, container) if isinstance(record, Record) else record
        if isinstance(found, Chat):
            usable += 1
        elif first_problem is None:
            first_problem = found
        yield found
    if not usable:
        raise UserError(_unusable(path, name, first_problem))


def _unusable(path: Path, name: str | None, problem: BrokenRecord | None) -> str:
    if problem is None:
        return f"{path} has no records"
    if name is None:
        return (
            f"{path} is of no known format: {problem.problem} (line {problem.place.line}); expected JSON or "
            "JSON lines with `conversations` (ShareGPT), `instruction` and `output` (Alpaca), `messages`, or "
            "`prompt` and `response`"
        )
    where = f"line {problem.place.line}"
    return f"{path} has no usable record of format {name}; the first is broken: {problem.problem} ({where})"


def _format_of(data: Mapping[str, Any]) -> str | None:
    return next((name for name, (keys, _) in _FORMATS.items() if all(key in data for key in keys)), None)


def _chat(record: Record, name: str | None, container: Container) -> Chat | BrokenRecord:
    if name is None:
        return BrokenRecord(record.place, f"no known keys, but {_listed(record.data)}")
    try:
        messages, response = _last_answer(_FORMATS[name][1](record.data))
        extra = {key: record.data[key] for key in COPIED_KEYS if record.data.get(key) is not None}
        labels = (record.data.get("id", ""), record.data.get("source", ""), *extra.values())
        _check_text(*(message["content"] for message in messages), response, *map(str, labels))
    except _MisfitError as error:
        return BrokenRecord(record.place, str(error))
    stem = record.place.stem
    return Chat(
        id=str(record.data.get("id", f"{stem}-{record.place.line:06d}")),
        source=str(record.data.get("source", stem)),
        messages=messages,
        response=response,
        format=f"{container} {name}",
        place=record.place,
        extra=extra,
    )


def _listed(data: Mapping[str, Any]) -> str:
    keys = [f"`{key}`"[:30] for key in data]
    return ", ".join(keys[:6]) + (", …" if len(keys) > 6 else "") if keys else "an empty object"


def _last_answer(turns: list[Message]) -> tuple[tuple[Message, ...], str]:
    """The messages before the last answer of the assistant, and that answer."""
    last = next((k for k in reversed(range(len(turns))) if turns[k]["role"] == "assistant"), None)
    if last is None:
        raise _MisfitError("there is no answer of the assistant")
    if not any(turn["role"] == "user" for turn in turns[:last]):
        raise _MisfitError("there is no question before the answer")
    return tuple(turns[:last]), turns[last]["content"]


def _check_text(*texts: str) -> None:
    """Half a surrogate pair (`"\\ud83d"` alone) is no text: it cannot be written as UTF-8, nor tokenised."""
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise _MisfitError("a text holds half of a surrogate pair, which is no valid Unicode") from None


def _sharegpt(data: Mapping[str, Any]) -> list[Message]:
    return [_turn(turn, "from", "value") for turn in _list(data, "conversations")]


def _openai(data: Mapping[str, Any]) -> list[Message]:
    return [_turn(turn, "role", "content") for turn in _list(data, "messages")]


def _alpaca(data: Mapping[str, Any]) -> list[Message]:
    question = _text(data, "instruction")
    if data.get("input") not in (None, ""):
        question = f"{question}\n\n{_text(data, 'input')}" if question else _text(data, "input")
    return [*_before(data), _message("user", question), _message("assistant", _text(data, "output"))]


def _prompt_response(data: Mapping[str, Any]) -> list[Message]:
    return [
        *_before(data),
        _message("user", _text(data, "prompt")),
        _message("assistant", _text(data, "response")),
    ]


# A format's name: the keys that tell it, and the reader of its turns.
_FORMATS: dict[str, tuple[tuple[str, ...], Callable[[Mapping[str, Any]], list[Message]]]] = {
    "sharegpt": (("conversations",), _sharegpt),
    "messages": (("messages",), _openai),
    "alpaca": (("instruction", "output"), _alpaca),
    "prompt_response": (("prompt", "response"), _prompt_response),
}


def _before(data: Mapping[str, Any]) -> list[Message]:
    """The system message and the earlier turns, where a record has them."""
    system = [_message("system", _text(data, "system"))] if data.get("system") else []
    if data.get("history") is None:
        return system
    flat = [text for turn in _list(data, "history") for text in (turn if isinstance(turn, list) else [turn])]
    if not all(isinstance(text, str) for text in flat):
        raise _MisfitError("`history` is not a list of texts")
    if len(flat) % 2:
        system.append(_message("system", flat.pop(0)))
    return system + [_message(("user", "assistant")[k % 2], text) for k, text in enumerate(flat)]


def _turn(turn: Any, role_key: str, text_key: str) -> Message:
    if not isinstance(turn, Mapping):
        raise _MisfitError("a turn of the conversation is not an object")
    role = _ROLES.get(str(turn.get(role_key)))
    if role is None:
        raise _MisfitError(f"a turn's `{role_key}` is {turn.get(role_key)!r}, which is no known role"[:120])
    return _message(role, _joined(turn.get(text_key), text_key))


def _joined(content: Any, key: str) -> str:
    """A turn's text; OpenAI's messages may give it as a list of parts."""
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    strings = [text for text in texts if isinstance(text, str)]
    if len(strings) < len(texts):
        raise _MisfitError(f"a turn's `{key}` is not text")
    return "".join(strings)


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _text(data: Mapping[str, Any], key: str) -> str:
    if not isinstance(data.get(key), str):
        raise _MisfitError(f"`{key}` is not text" if key in data else f"`{key}` is missing")
    return str(data[key])


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    if not isinstance(data.get(key), list):
        raise _MisfitError(f"`{key}` is not a list" if key in data else f"`{key}` is missing")
    return list(data[key])
