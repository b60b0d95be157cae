from __future__ import annotations

import json
from pathlib import Path

import pytest

from apar.chat.conversation import Conversation
from apar.data.formats import Chat, read_chats
from apar.errors import UserError

TALK = Conversation("Be brief.").with_turn("Why?", "Because.\u2028So.").with_turn("And [Fork]?", "Hülfe ✓")


def test_messages_have_the_system_message_first_and_the_question_last() -> None:
    assert [message["role"] for message in TALK.asking("More?")] == [
        "system", "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip
    assert TALK.asking("More?")[-1]["content"] == "More?"
    assert Conversation().asking("First?") == [{"role": "user", "content": "First?"}]


def test_asking_changes_nothing() -> None:
    before = TALK.messages
    TALK.asking("More?")
    assert TALK.messages == before


@pytest.mark.parametrize("question", ["", " \n", "half \udc80"])
def test_what_is_no_question_is_refused(question: str) -> None:
    with pytest.raises(UserError, match="the question is"):
        TALK.asking(question)


def test_the_last_turn_can_be_taken_back_until_none_is_left() -> None:
    kept, question = TALK.without_last()
    assert question == "And [Fork]?"
    assert kept == Conversation("Be brief.").with_turn("Why?", "Because.\u2028So.")
    empty, _ = kept.without_last()
    assert empty == Conversation("Be brief.")
    with pytest.raises(UserError, match="nothing was asked"):
        empty.without_last()


def test_a_chat_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    for talk in (TALK, Conversation().with_turn("a", "b")):
        talk.write(tmp_path / "chat.json")
        assert Conversation.read(tmp_path / "chat.json") == talk


def test_extraction_reads_what_was_written(tmp_path: Path) -> None:
    TALK.write(tmp_path / "chat.json")
    chats = list(read_chats(tmp_path / "chat.json"))
    assert [chat.response for chat in chats if isinstance(chat, Chat)] == ["Because.\u2028So.", "Hülfe ✓"]


def test_an_empty_chat_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing was said"):
        Conversation("Be brief.").write(tmp_path / "chat.json")
    assert list(tmp_path.iterdir()) == []


def test_a_list_of_messages_over_many_lines_is_a_chat_too(tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text("\ufeff" + json.dumps(TALK.messages, indent=2), encoding="utf-8")
    assert Conversation.read(tmp_path / "chat.json") == TALK


def test_a_question_without_an_answer_is_told_apart() -> None:
    asking = Conversation(None, (*TALK.turns, {"role": "user", "content": "More?"}))
    assert asking.unanswered() == (Conversation(None, TALK.turns), "More?")
    assert TALK.unanswered() == (TALK, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not one JSON value"),
        (b"no json", "not one JSON value"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "not one JSON value"),
        (b"3", "it must hold"),
        (b'{"messages": []}', "it must hold"),
        (b'{"messages": 3}', "it must hold"),
        (b'[{"role": "user", "content": "a"}, {"role": "robot", "content": "b"}]', "message 2 must have a role"),
        (b'[{"role": "user", "content": 3}]', "message 1 must have"),
        (b'[{"role": ["user"], "content": "a"}]', "message 1 must have"),
        (b"[3]", "message 1 must have"),
        (b'[{"role": "user", "content": "\\ud800"}]', "message 1 is not UTF-8"),
    ],
)
def test_a_file_that_is_no_chat_is_refused_with_its_name_and_the_reason(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "chat.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        Conversation.read(path)
    assert str(path) in str(raised.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the chat"):
        Conversation.read(tmp_path / "none.json")
