"""Reading chats: records in many forms (`apar.data.forms.table`), whatever file holds them.

Each record is read by the form that its own keys tell, so a file may mix them; one that has the keys of none is held
against the form of the first that fits. An answer of the assistant is a response, what comes before it are its
messages. A turn that cannot be read (of a tool, with an image, of an unknown role) costs only what follows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from apar.data.forms.field_map import FieldMap, mapped
from apar.data.forms.table import KNOWN, format_of, listed, said_in, turns_asked
from apar.data.forms.turns import REASONING, MisfitError, Turn, check_text, given, no_weight
from apar.data.raw import BrokenRecord, Container, Raw, Record, SourceLocation, decoded
from apar.data.read import read_raw
from apar.errors import UserError
from apar.tokens import Message

Turns = Literal["every", "last"]
"""Which answers of a conversation become chats."""

COPIED_KEYS = ("license", "licence", "model", "lang", "category")
"""Keys of a record that are handed on unchanged."""

ANSWER_KEYS = (*COPIED_KEYS, REASONING)
"""Those, and what is handed on with an answer alone."""

_IDS = ("id", "conversation_id", "conversation_hash")


@dataclass(frozen=True, slots=True)
class Chat:
    """One answer and what was said before it; `messages` ends with the user's question.

    `format` is the form it was read from, for example "jsonl alpaca"; `extra` holds the copied keys. `marked_bad`: the
    data say of it that it is not to be learned from. `named`: its id is that of the data, not made of its place.
    """

    id: str
    source: str
    messages: tuple[Message, ...]
    response: str
    format: str
    location: SourceLocation
    extra: Mapping[str, Any] = field(default_factory=dict)
    marked_bad: bool = False
    named: bool = False


def read_chats(path: Path, turns: Turns = "every", fields: FieldMap | None = None) -> Iterator[Chat | BrokenRecord]:
    """The chats of a file in order, and a BrokenRecord for each line, record or turn that could not be read.

    With `turns` "every", each answer of the assistant that follows a question makes a chat; with "last", the
    last alone. An answer may be empty. `fields` are read under other names. Raises UserError where the file cannot
    be read, is of no known format, or has not a single chat.
    """
    container, raws = read_raw(path)
    reader = ChatReader(path, container, turns, fields=fields)
    for raw in raws:
        yield from reader.read(raw)
    reader.check()


class ChatReader:
    """Makes chats of the records of one file; `format` is that of the first record that fits one."""

    def __init__(
        self,
        path: Path,
        container: Container,
        turns: Turns,
        format: str | None = None,
        fields: FieldMap | None = None,
    ) -> None:
        self.path = path
        self.container = container
        self.turns = turns
        self.format = format
        self._fields = fields or {}
        self._usable = 0
        self._problem: BrokenRecord | None = None

    def read(self, raw: Raw) -> list[Chat | BrokenRecord]:
        """The chats of a record, and a BrokenRecord where it, or a turn in it, could not be read."""
        record = decoded(self.path, raw)
        found: list[Chat | BrokenRecord] = self._chats(record) if isinstance(record, Record) else [record]
        self._usable += isinstance(found[0], Chat)
        broken = found[-1]
        if self._problem is None and isinstance(broken, BrokenRecord):
            self._problem = broken
        return found

    def check(self) -> None:
        """Raise UserError if no record of the file was of use."""
        if not self._usable:
            raise UserError(_unusable(self.path, self.format, self._problem))

    def _chats(self, record: Record) -> list[Chat | BrokenRecord]:
        data = mapped(record.data, self._fields)
        name = format_of(data)
        self.format = self.format or name
        if (name := name or self.format) is None:
            return [BrokenRecord(record.location, f"no known keys, but {listed(data)}")]
        try:
            found = _RecordChats(record, data, f"{self.container} {name}", self.turns)
            return found.read(name)
        except MisfitError as error:
            return [BrokenRecord(record.location, str(error))]


def _unusable(path: Path, name: str | None, problem: BrokenRecord | None) -> str:
    if problem is None:
        return f"{path} has no records"
    if name is None:
        return (
            f"{path} is of no known format: {problem.problem} (line {problem.location.line}); expected JSON, JSON "
            f"lines or Parquet with {KNOWN}"
        )
    where = f"line {problem.location.line}"
    return f"{path} has no usable record of format {name}; the first is broken: {problem.problem} ({where})"


def read_turns(data: Mapping[str, Any]) -> list[Message]:
    """The turns of a record of any format, whether or not it has an answer; raises MisfitError where it is of none."""
    return [_message(turn) for turn in turns_asked(data)]


class _RecordChats:
    """The chats of one record."""

    def __init__(self, record: Record, data: Mapping[str, Any], format: str, turns: Turns) -> None:
        self._data, self._location, self._format, self._turns = data, record.location, format, turns
        self._extra = {key: data[key] for key in ANSWER_KEYS if data.get(key) is not None}
        key = given(data, _IDS)
        self._named = key is not None
        self._id = f"{record.location.stem}-{record.number:06d}" if key is None else str(data[key])
        self._source = str(data["source"]) if data.get("source") is not None else record.location.stem
        self._bad = data.get("label") is False or no_weight(data)
        self._seen = set[Turn]()

    def read(self, name: str) -> list[Chat | BrokenRecord]:
        """They, in order, and what could not be read. Raises MisfitError where there is no answer to a question."""
        conversations = said_in(self._data, name)
        problems = [said.problem for said in conversations if said.problem is not None]
        found: list[Chat | BrokenRecord] = []
        wrong = "there is no answer of the assistant"
        for said in conversations:
            try:
                found += self._of(said.turns)
            except MisfitError as error:
                wrong = str(error)
        if not found:
            raise MisfitError(problems[0] if problems else wrong)
        return found + [BrokenRecord(self._location, problem) for problem in problems[:1]]

    def _of(self, said: list[Turn]) -> Iterator[Chat]:
        check_text(*(turn.content for turn in said), self._id, self._source, *map(str, self._extra.values()))
        answers = _answers(said)
        for count, at in enumerate(answers, 1):
            answer = said[at]
            if answer in self._seen or (self._turns == "last" and at != answers[-1]):
                continue
            self._seen.add(answer)
            several = self._turns == "every" and len(answers) > 1
            yield Chat(
                answer.name or (f"{self._id}#{count}" if several else self._id),
                self._source,
                tuple(map(_message, said[:at])),
                answer.content,
                self._format,
                self._location,
                {**self._extra, **answer.extra},
                self._bad or answer.bad,
                self._named or answer.name is not None,
            )


def _answers(said: list[Turn]) -> list[int]:
    """Which turns answer a question."""
    asked = next((k for k, turn in enumerate(said) if turn.role == "user"), len(said))
    answers = [k for k, turn in enumerate(said) if turn.role == "assistant"]
    if not answers:
        raise MisfitError("there is no answer of the assistant")
    if answers[-1] < asked:
        raise MisfitError("there is no question before the answer")
    return [k for k in answers if k > asked]


def _message(turn: Turn) -> Message:
    return {"role": turn.role, "content": turn.content}
