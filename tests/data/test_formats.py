"""All formats give the same chats; what fits none is told, never guessed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from apar.data.formats import Chat, read_chats
from apar.data.raw import BrokenRecord
from apar.errors import UserError


def write(folder: Path, records: Sequence[Any], name: str = "chats.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def chat_of(folder: Path, record: dict[str, Any]) -> Chat:
    (chat,) = read_chats(write(folder, [record]), turns="last")
    assert isinstance(chat, Chat)
    return chat


def problem_of(folder: Path, broken: dict[str, Any], good: dict[str, Any]) -> str:
    _, found = read_chats(write(folder, [good, broken]), turns="last")
    assert isinstance(found, BrokenRecord)
    assert found.location.line == 2
    return found.problem


TWO_TURNS = [("user", "Q1"), ("assistant", "A1"), ("user", "Q2"), ("assistant", "A2")]
GOOD = {
    "sharegpt": {
        "conversations": [
            {"from": {"user": "human", "assistant": "gpt"}[role], "value": text} for role, text in TWO_TURNS
        ]
    },
    "messages": {"messages": [{"role": role, "content": text} for role, text in TWO_TURNS]},
    "alpaca": {"instruction": "Q2", "input": "", "output": "A2", "history": [["Q1", "A1"]]},
    "prompt_response": {"prompt": "Q2", "response": "A2", "history": ["Q1", "A1"]},
}


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_the_last_answer_and_what_was_before(tmp_path: Path, name: str) -> None:
    chat = chat_of(tmp_path, GOOD[name])
    assert [(m["role"], m["content"]) for m in chat.messages] == TWO_TURNS[:-1]
    assert chat.response == "A2"
    assert chat.format == f"jsonl {name}"


@pytest.mark.parametrize("name", GOOD)
def test_every_answer_makes_a_chat_with_an_id_of_its_own(tmp_path: Path, name: str) -> None:
    found = read_chats(write(tmp_path, [{**GOOD[name], "id": "a"}]))
    chats = [chat for chat in found if isinstance(chat, Chat)]
    assert [(chat.id, chat.response, len(chat.messages)) for chat in chats] == [("a#1", "A1", 1), ("a#2", "A2", 3)]


def test_ids_that_are_missing_or_null_are_made_of_file_and_number(tmp_path: Path) -> None:
    path = tmp_path / "chats.json"
    path.write_text(json.dumps([{**GOOD["alpaca"], "id": None}, GOOD["alpaca"]]))
    assert [chat.id for chat in read_chats(path, "last") if isinstance(chat, Chat)] == ["chats-000001", "chats-000002"]


def test_a_json_array_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "chats.json"
    path.write_text(json.dumps(list([GOOD["alpaca"]] * 2), indent=1))
    assert [chat.format for chat in read_chats(path, "last") if isinstance(chat, Chat)] == ["json alpaca"] * 2


def test_the_input_of_an_alpaca_record_belongs_to_the_question(tmp_path: Path) -> None:
    record = {"instruction": "Translate", "input": "bonjour", "output": "hello", "system": "Be brief."}
    chat = chat_of(tmp_path, record)
    assert chat.messages == (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Translate\n\nbonjour"},
    )


def test_what_follows_the_last_answer_is_left_out(tmp_path: Path) -> None:
    turns = [("human", "Q"), ("gpt", "A"), ("human", "thanks")]
    chat = chat_of(tmp_path, {"conversations": [{"from": role, "value": text} for role, text in turns]})
    assert (chat.messages[-1]["content"], chat.response) == ("Q", "A")


def test_content_in_parts_is_joined(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there"}]
    record = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "Hi"}]}
    assert chat_of(tmp_path, record).messages[-1]["content"] == "Hello there"


def test_a_history_of_odd_length_opens_with_a_system_message(tmp_path: Path) -> None:
    chat = chat_of(tmp_path, {"prompt": "Q", "response": "A", "history": ["Be brief."]})
    assert [m["role"] for m in chat.messages] == ["system", "user"]


def test_ids_sources_and_copied_keys(tmp_path: Path) -> None:
    named = {"id": 7, "source": "a/b", "license": "MIT", "model": "m", "lang": "en", "prompt": "Q", "response": "A"}
    bare = {"prompt": "Q", "response": "A"}
    one, two = read_chats(write(tmp_path, [named, bare], "some.chats.jsonl"))
    assert isinstance(one, Chat)
    assert isinstance(two, Chat)
    assert (one.id, one.source, one.extra) == ("7", "a/b", {"license": "MIT", "model": "m", "lang": "en"})
    assert (two.id, two.source, two.extra) == ("some-000002", "some", {})


def test_an_empty_answer_is_an_answer(tmp_path: Path) -> None:
    assert chat_of(tmp_path, {"prompt": "Q", "response": ""}).response == ""


@pytest.mark.parametrize(
    ("name", "broken", "problem"),
    [
        ("sharegpt", {"conversations": "text"}, "`conversations` is not a list"),
        ("sharegpt", {"conversations": []}, "there is no answer of the assistant"),
        ("sharegpt", {"conversations": [{"from": "gpt", "value": "A"}]}, "there is no question before the answer"),
        ("sharegpt", {"conversations": ["text"]}, "a turn of the conversation is not an object"),
        ("sharegpt", {"conversations": [{"from": "tool", "value": "A"}]}, "`from` is 'tool', which is no known role"),
        ("sharegpt", {"conversations": [{"from": "gpt", "value": 3}]}, "a turn's `value` is not text"),
        ("messages", {"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "`content` is not text"),
        ("alpaca", {"instruction": "Q"}, "`output` is missing"),
        ("alpaca", {"instruction": "Q", "output": None}, "`output` is not text"),
        ("prompt_response", {"prompt": "Q"}, "`response` is missing"),
        ("prompt_response", {"prompt": "Q", "response": "A", "history": [1]}, "`history` is not a list of texts"),
        ("prompt_response", {"prompt": "Q", "response": "\ud83d"}, "half of a surrogate pair"),
        ("prompt_response", {"prompt": "Q", "response": "A", "license": "\ud83d"}, "half of a surrogate pair"),
        ("prompt_response", {"instruction": "Q"}, "`prompt` is missing"),
    ],
)
def test_a_record_that_does_not_fit_is_told_and_left_out(
    tmp_path: Path, name: str, broken: dict[str, Any], problem: str
) -> None:
    assert problem in problem_of(tmp_path, broken, GOOD[name])


def test_the_format_is_that_of_the_first_record_that_fits_one(tmp_path: Path) -> None:
    path = write(tmp_path, [{"note": "no chat"}, GOOD["alpaca"]])
    broken, chat = read_chats(path, "last")
    assert isinstance(broken, BrokenRecord)
    assert "no known keys, but `note`" in broken.problem
    assert isinstance(chat, Chat)


def test_a_file_of_no_known_format_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no known format: no known keys, but `text` \(line 1\); expected"):
        list(read_chats(write(tmp_path, [{"text": "A"}])))


def test_a_file_without_one_usable_record_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no usable record of format alpaca; the first is broken: `output`"):
        list(read_chats(write(tmp_path, [{"instruction": "Q", "output": 1}])))
    with pytest.raises(UserError, match="has no records"):
        list(read_chats(write(tmp_path, [])))
