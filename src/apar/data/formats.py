"""Reading chats: four formats of records, in JSON arrays or JSON lines, plain or gzip-compressed.

| format            | a record has                                                                      |
|-------------------|-----------------------------------------------------------------------------------|
| `sharegpt`        | `conversations`: `[{"from": "human" or "gpt", "value": text}, …]`                 |
| `alpaca`          | `instruction`, `input`, `output`; `system` and `history` (pairs) where present    |
| `messages`        | `messages`: `[{"role": "user" or "assistant", "content": text}, …]`               |
| `prompt_response` | `prompt`, `response`; `history` (`[user, assistant, …]`) where present            |

The format is that of a file's first record that fits one; other records of the file must fit it too. An answer
of the assistant is a response, what comes before it are its messages. A `history` of odd length opens with a
system message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from apar.data.raw import BrokenRecord, Container, Raw, Record, SourceLocation, decoded
from apar.data.read import read_raw
from apar.errors import UserError
from apar.tokens import Message

Turns = Literal["every", "last"]
"""Which answers of a conversation become chats."""

COPIED_KEYS = ("license", "licence", "model", "lang", "category")
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
    location: SourceLocation
    extra: Mapping[str, Any] = field(default_factory=dict)


class MisfitError(ValueError):
    """A record does not have the form that its format asks for; the message says what is wrong."""


def read_chats(path: Path, turns: Turns = "every") -> Iterator[Chat | BrokenRecord]:
    """The chats of a file in order, and a BrokenRecord for each line or record that is none.

    With `turns` "every", each answer of the assistant that follows a question makes a chat; with "last", the
    last alone. An answer may be empty. Raises UserError where the file cannot be read, is of no known
    format, or has not a single chat.
    """
    container, raws = read_raw(path)
    reader = ChatReader(path, container, turns)
    for raw in raws:
        yield from reader.read(raw)
    reader.check()


class ChatReader:
    """Makes chats of the records of one file; `format` is that of the first record that fits one."""

    def __init__(self, path: Path, container: Container, turns: Turns, format: str | None = None) -> None:
        self.path = path
        self.container = container
        self.turns = turns
        self.format = format
        self._usable = 0
        self._problem: BrokenRecord | None = None

    def read(self, raw: Raw) -> list[Chat | BrokenRecord]:
        """The chats of a record, or a BrokenRecord that says why there are none."""
        record = decoded(self.path, raw)
        if isinstance(record, Record):
            self.format = self.format or format_of(record.data)
        found: list[Chat | BrokenRecord] = self._chats(record) if isinstance(record, Record) else [record]
        self._usable += not isinstance(found[0], BrokenRecord)
        if self._problem is None and isinstance(found[0], BrokenRecord):
            self._problem = found[0]
        return found

    def check(self) -> None:
        """Raise UserError if no record of the file was of use."""
        if not self._usable:
            raise UserError(_unusable(self.path, self.format, self._problem))

    def _chats(self, record: Record) -> list[Chat | BrokenRecord]:
        if self.format is None:
            return [BrokenRecord(record.location, f"no known keys, but {_listed(record.data)}")]
        try:
            return list(_chats(record, self.format, f"{self.container} {self.format}", self.turns))
        except MisfitError as error:
            return [BrokenRecord(record.location, str(error))]


def _unusable(path: Path, name: str | None, problem: BrokenRecord | None) -> str:
    if problem is None:
        return f"{path} has no records"
    if name is None:
        return (
            f"{path} is of no known format: {problem.problem} (line {problem.location.line}); expected JSON, JSON "
            "lines or Parquet with `conversations` (ShareGPT), `instruction` and `output` (Alpaca), `messages`, "
            "or `prompt` and `response`"
        )
    where = f"line {problem.location.line}"
    return f"{path} has no usable record of format {name}; the first is broken: {problem.problem} ({where})"


def format_of(data: Mapping[str, Any]) -> str | None:
    """The name of the format whose keys a record has."""
    return next((name for name, (keys, _) in _FORMATS.items() if all(key in data for key in keys)), None)


def read_turns(data: Mapping[str, Any]) -> list[Message]:
    """The turns of a record of any format, whether or not it has an answer; raises MisfitError where it is of none."""
    if (name := format_of(data)) is not None:
        said = _FORMATS[name][1](data)
    elif "prompt" in data or "instruction" in data:
        said = _prompted(data) if "prompt" in data else _instructed(data)
    else:
        raise MisfitError(f"no known keys, but {_listed(data)}")
    _check_text(*(message["content"] for message in said))
    return said


def _chats(record: Record, name: str, described: str, turns: Turns) -> Iterator[Chat]:
    data, location = record.data, record.location
    said = _FORMATS[name][1](data)
    extra = {key: data[key] for key in COPIED_KEYS if data.get(key) is not None}
    identity = str(data["id"]) if data.get("id") is not None else f"{location.stem}-{record.number:06d}"
    source = str(data["source"]) if data.get("source") is not None else location.stem
    _check_text(*(message["content"] for message in said), identity, source, *map(str, extra.values()))
    answers = _answers(said)
    for count, at in enumerate(answers, 1):
        if turns == "every" or at == answers[-1]:
            own = f"{identity}#{count}" if turns == "every" and len(answers) > 1 else identity
            yield Chat(own, source, tuple(said[:at]), said[at]["content"], described, location, extra)


def _answers(said: list[Message]) -> list[int]:
    """Which turns answer a question."""
    asked = next((k for k, turn in enumerate(said) if turn["role"] == "user"), len(said))
    answers = [k for k, turn in enumerate(said) if turn["role"] == "assistant"]
    if not answers:
        raise MisfitError("there is no answer of the assistant")
    if answers[-1] < asked:
        raise MisfitError("there is no question before the answer")
    return [k for k in answers if k > asked]


def _listed(data: Mapping[str, Any]) -> str:
    keys = [f"`{key}`"[:30].encode("utf-8", "replace").decode() for key in data]
    return ", ".join(keys[:6]) + (", …" if len(keys) > 6 else "") if keys else "an empty object"


def _check_text(*texts: str) -> None:
    """Half a surrogate pair (`"\\ud83d"` alone) is no text: it cannot be written as UTF-8, nor tokenised."""
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise MisfitError("a text holds half of a surrogate pair, which is no valid Unicode") from None


def _sharegpt(data: Mapping[str, Any]) -> list[Message]:
    return [_turn(turn, "from", "value") for turn in _list(data, "conversations")]


def _openai(data: Mapping[str, Any]) -> list[Message]:
    return [_turn(turn, "role", "content") for turn in _list(data, "messages")]


def _instructed(data: Mapping[str, Any]) -> list[Message]:
    question = _text(data, "instruction")
    if data.get("input") not in (None, ""):
        question = f"{question}\n\n{_text(data, 'input')}" if question else _text(data, "input")
    return [*_before(data), _message("user", question)]


def _alpaca(data: Mapping[str, Any]) -> list[Message]:
    return [*_instructed(data), _message("assistant", _text(data, "output"))]


def _prompted(data: Mapping[str, Any]) -> list[Message]:
    return [*_before(data), _message("user", _text(data, "prompt"))]


def _prompt_response(data: Mapping[str, Any]) -> list[Message]:
    return [*_prompted(data), _message("assistant", _text(data, "response"))]


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
        raise MisfitError("`history` is not a list of texts")
    if len(flat) % 2:
        system.append(_message("system", flat.pop(0)))
    return system + [_message(("user", "assistant")[k % 2], text) for k, text in enumerate(flat)]


def _turn(turn: Any, role_key: str, text_key: str) -> Message:
    if not isinstance(turn, Mapping):
        raise MisfitError("a turn of the conversation is not an object")
    role = _ROLES.get(str(turn.get(role_key)))
    if role is None:
        raise MisfitError(f"a turn's `{role_key}` is {turn.get(role_key)!r}, which is no known role"[:120])
    return _message(role, _joined(turn.get(text_key), text_key))


def _joined(content: Any, key: str) -> str:
    """A turn's text; OpenAI's messages may give it as a list of parts."""
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    strings = [text for text in texts if isinstance(text, str)]
    if len(strings) < len(texts):
        raise MisfitError(f"a turn's `{key}` is not text")
    return "".join(strings)


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _text(data: Mapping[str, Any], key: str) -> str:
    if not isinstance(data.get(key), str):
        raise MisfitError(f"`{key}` is not text" if key in data else f"`{key}` is missing")
    return str(data[key])


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    if not isinstance(data.get(key), list):
        raise MisfitError(f"`{key}` is not a list" if key in data else f"`{key}` is missing")
    return list(data[key])
