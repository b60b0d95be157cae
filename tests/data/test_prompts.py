"""Prompts are read from files of any form, whatever answers they have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apar.data.prompts import FilePrompt, read_prompts
from apar.errors import UserError


def written(folder: Path, *records: Any) -> Path:
    path = folder / "asked.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_what_is_asked_is_all_up_to_the_last_question(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"prompt": "A?"},
        {"prompt": "B?", "response": "b", "system": "Be kind."},
        {"messages": [turn("user", "C?"), turn("assistant", "c"), turn("user", "D?"), turn("assistant", "d")]},
        {"conversations": [{"from": "human", "value": "E?"}, {"from": "gpt", "value": "e"}]},
        {"instruction": "F", "input": "f"},
    )
    assert [list(prompt.messages) for prompt in read_prompts(path)] == [
        [turn("user", "A?")],
        [turn("system", "Be kind."), turn("user", "B?")],
        [turn("user", "C?"), turn("assistant", "c"), turn("user", "D?")],
        [turn("user", "E?")],
        [turn("user", "F\n\nf")],
    ]


def test_a_prompt_keeps_its_id_its_source_and_what_is_known_of_it(tmp_path: Path) -> None:
    path = written(tmp_path, {"id": 7, "source": "s", "lang": "en", "prompt": "A?", "forks": []}, {"prompt": "B?"})
    assert read_prompts(path) == [
        FilePrompt("7", "s", (turn("user", "A?"),), {"lang": "en"}),
        FilePrompt("asked-000002", "asked", (turn("user", "B?"),)),
    ]


def test_the_same_messages_are_asked_once(tmp_path: Path) -> None:
    path = written(tmp_path, {"id": "a", "prompt": "A?"}, {"id": "b", "messages": [turn("user", "A?")]})
    assert [prompt.id for prompt in read_prompts(path)] == ["a"]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"prompt": "A?"}, {"text": "B?"}], "line 2 is no prompt: no known keys, but `text`"),
        ([{"prompt": " "}], "line 1 is no prompt: it asks nothing"),
        ([{"messages": [turn("assistant", "a")]}], "line 1 is no prompt: it asks nothing"),
        ([{"prompt": 3}], "line 1 is no prompt: `prompt` is not text"),
        ([{"prompt": "\ud83d"}], "line 1 is no prompt: a text holds half of a surrogate pair"),
        (["A?"], "line 1: the record is no JSON object"),
        ([{"id": 1, "prompt": "A?"}, {"id": "1", "prompt": "B?"}], "two prompts of .* have the id 1"),
        ([], "has no prompts"),
    ],
)
def test_what_is_no_prompt_is_named(tmp_path: Path, records: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_prompts(written(tmp_path, *records))
