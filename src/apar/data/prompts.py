"""Prompts of a file, to be answered: what its records ask, whatever they were answered with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apar.data.formats import COPIED_KEYS, read_turns
from apar.data.forms.turns import MisfitError
from apar.data.raw import BrokenRecord
from apar.data.read import read_records
from apar.errors import UserError
from apar.tokens import Message


@dataclass(frozen=True, slots=True)
class FilePrompt:
    """A record's messages up to its last question; `extra` holds keys such as `category`."""

    id: str
    source: str
    messages: tuple[Message, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)


def read_prompts(path: Path) -> list[FilePrompt]:
    """The prompts of a file in order, the same messages once.

    A record has `prompt` or `messages`, as in files of trees and of chats, or a chat of another known format; answers
    after its last question do not count. A record without an `id` is named by its file and number. Raises UserError
    naming the first record that asks nothing, or has the `id` of one before, and where there is none.
    """
    prompts: dict[tuple[tuple[str, str], ...], FilePrompt] = {}
    for prompt in _all(path):
        prompts.setdefault(tuple((turn["role"], turn["content"]) for turn in prompt.messages), prompt)
    _check_names(path, prompts.values())
    return list(prompts.values())


def _all(path: Path) -> Iterator[FilePrompt]:
    for record in read_records(path):
        if isinstance(record, BrokenRecord):
            raise UserError(f"{record.location}: {record.problem}")
        data, location = record.data, record.location
        try:
            messages = _asked(read_turns(data))
        except MisfitError as error:
            raise UserError(f"{location} is no prompt: {error}") from error
        name = str(data["id"]) if data.get("id") is not None else f"{location.stem}-{record.number:06d}"
        source = str(data["source"]) if data.get("source") is not None else location.stem
        yield FilePrompt(name, source, messages, {key: data[key] for key in COPIED_KEYS if data.get(key) is not None})


def _asked(turns: list[Message]) -> tuple[Message, ...]:
    """The turns up to the last question."""
    questions = [number for number, turn in enumerate(turns, 1) if turn["role"] == "user"]
    if not questions or not turns[questions[-1] - 1]["content"].strip():
        raise MisfitError("it asks nothing")
    return tuple(turns[: questions[-1]])


def _check_names(path: Path, prompts: Iterable[FilePrompt]) -> None:
    """Raise UserError where there is no prompt, or two of them have one id."""
    seen = set[str]()
    for prompt in prompts:
        if prompt.id in seen:
            raise UserError(f"two prompts of {path} have the id {prompt.id}: give each its own, or none")
        seen.add(prompt.id)
    if not seen:
        raise UserError(f"{path} has no prompts")
