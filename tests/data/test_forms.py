"""Records as public data sets have them: what they say of themselves, and turns that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apar.data.formats import Chat, read_chats
from apar.data.raw import BrokenRecord
from tests.data.test_formats import write


def chats_of(folder: Path, *records: dict[str, Any], **options: Any) -> list[Chat]:
    return [chat for chat in read_chats(write(folder, records), **options) if isinstance(chat, Chat)]


def problems_of(folder: Path, *records: dict[str, Any]) -> list[str]:
    return [found.problem for found in read_chats(write(folder, records)) if isinstance(found, BrokenRecord)]


def said(chat: Chat) -> list[tuple[str, str]]:
    return [*((turn["role"], turn["content"]) for turn in chat.messages), ("assistant", chat.response)]


def turns(*pairs: tuple[Any, Any], keys: tuple[str, str] = ("role", "content")) -> list[Any]:
    return [{keys[0]: role, keys[1]: text} for role, text in pairs]


QA = (("user", "Q"), ("assistant", "A"))
SHAREGPT = turns(("human", "Q"), ("gpt", "A"), keys=("from", "value"))


@pytest.mark.parametrize("key", ["system", "system_prompt"])
@pytest.mark.parametrize("conversation", [{"conversations": SHAREGPT}, {"messages": turns(*QA)}, {"data": ["Q", "A"]}])
def test_a_system_message_beside_a_conversation_is_its_first_turn(
    tmp_path: Path, key: str, conversation: dict[str, Any]
) -> None:
    (chat,) = chats_of(tmp_path, {key: "Be brief.", **conversation})
    assert said(chat) == [("system", "Be brief."), *QA]


def test_a_conversation_with_a_system_message_of_its_own_keeps_it(tmp_path: Path) -> None:
    (chat,) = chats_of(tmp_path, {"system": "Other.", "messages": turns(("system", "Own."), *QA)})
    assert said(chat) == [("system", "Own."), *QA]


@pytest.mark.parametrize(
    "record",
    [
        {"messages": SHAREGPT},
        {"conversations": turns(*QA)},
        {"conversations": None, "messages": turns(*QA)},
        {"messages": None, "prompt": "Q", "response": "A"},
        {"conversation": turns(*QA), "conversation_id": "c1", "language": "English", "redacted": False},
        {"data": ["Q", "A"]},
        {"conversations": turns(("User", "Q"), ("bing", "A"), keys=("from", "value"))},
        {"conversations": turns(("human", "Q"), ("GPT", "A"), keys=("from", "value"))},
    ],
)
def test_lists_of_turns_are_read_by_whatever_keys_they_have(tmp_path: Path, record: dict[str, Any]) -> None:
    assert [said(chat) for chat in chats_of(tmp_path, record)] == [list(QA)]


def test_every_record_of_a_mixed_file_is_read_by_its_own_form(tmp_path: Path) -> None:
    mixed = [{"conversations": SHAREGPT}, {"instruction": "Q", "output": "A"}, {"messages": turns(*QA)}]
    chats = chats_of(tmp_path, *mixed)
    assert [said(chat) for chat in chats] == [list(QA)] * 3
    assert [chat.format for chat in chats] == ["jsonl sharegpt", "jsonl alpaca", "jsonl messages"]


@pytest.mark.parametrize(
    ("odd", "problem"),
    [
        ({"role": "tool", "content": "42"}, "`role` is 'tool', which is no known role"),
        ({"role": None, "content": "42"}, "`role` is None, which is no known role"),
        ({"role": "assistant", "content": None}, "`content` is not text"),
        ({"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}, "a turn calls a tool"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "`content` is not text"),
        ({"role": "user", "content": "\ud83d"}, "half of a surrogate pair"),
        (None, "is not an object"),
    ],
)
def test_an_odd_turn_costs_only_what_follows_it(tmp_path: Path, odd: Any, problem: str) -> None:
    record = {"messages": [*turns(*QA, ("user", "More?")), odd, *turns(("user", "Q3"), ("assistant", "A3"))]}
    assert [said(chat) for chat in chats_of(tmp_path, record)] == [list(QA)]
    (told,) = problems_of(tmp_path, record)
    assert told.startswith("turn 4 and what follows it: ")
    assert problem in told


@pytest.mark.parametrize("mark", [{"label": False}, {"weight": 0}, {"weight": 0.0}])
def test_what_is_marked_as_bad_is_told(tmp_path: Path, mark: dict[str, Any]) -> None:
    record = {"prompt": "Q", "response": "A"}
    assert [chat.marked_bad for chat in chats_of(tmp_path, {**record, **mark}, record)] == [True, False]


def test_a_mark_that_is_not_bad_is_none(tmp_path: Path) -> None:
    marks: list[dict[str, Any]] = [{"label": True}, {"label": 0}, {"label": None}, {"weight": 1}, {"weight": False}]
    assert not any(
        chat.marked_bad for chat in chats_of(tmp_path, *({"prompt": "Q", "response": "A"} | m for m in marks))
    )


def test_a_turn_without_weight_is_bad_alone(tmp_path: Path) -> None:
    wrong = {"role": "assistant", "content": "A1", "weight": 0}
    record = {"messages": [*turns(("user", "Q1")), wrong, *turns(("user", "Q2"), ("assistant", "A2"))]}
    chats = chats_of(tmp_path, record)
    assert [(chat.response, chat.marked_bad) for chat in chats] == [("A1", True), ("A2", False)]
    assert said(chats[1])[1] == ("assistant", "A1")


def node(name: str, role: str, text: Any, *replies: Any, **more: Any) -> dict[str, Any]:
    return {"message_id": name, "role": role, "text": text, "lang": "en", "replies": list(replies), **more}


def test_a_tree_of_messages_gives_each_answer_once_with_its_path(tmp_path: Path) -> None:
    good = node("a", "assistant", "A1", node("q", "prompter", "Q2", node("b", "assistant", "A2")))
    failed = node(
        "c", "assistant", "A3", node("r", "prompter", "Q3", node("d", "assistant", "A4")), review_result=False
    )
    odd = node("e", "assistant", None, node("s", "prompter", "Q4"))
    two = node("f", "assistant", "A5", node("t", "prompter", "Why?"), node("u", "prompter", "How?"))
    record = {"message_tree_id": "p", "prompt": node("p", "prompter", "Q1", good, failed, odd, two)}
    chats = chats_of(tmp_path, record)
    assert [(chat.id, chat.marked_bad, len(chat.messages)) for chat in chats] == [
        ("a", False, 1),
        ("b", False, 3),
        ("c", True, 1),
        ("d", True, 3),
        ("f", False, 1),
    ]
    assert said(chats[1]) == [("user", "Q1"), ("assistant", "A1"), ("user", "Q2"), ("assistant", "A2")]
    assert chats[0].extra == {"lang": "en"}
    assert "`text` is not text" in problems_of(tmp_path, record)[0]
    assert [chat.id for chat in chats_of(tmp_path, record, turns="last")] == ["b", "d", "f"]


def exported(*messages: tuple[str, str, Any, dict[str, Any]]) -> dict[str, Any]:
    """An export's conversation, one message after the other; a message is its role, its kind, its content, and more."""
    mapping: dict[str, Any] = {"0": {"id": "0", "message": None, "parent": None, "children": ["1"]}}
    for number, (role, kind, content, more) in enumerate(messages, 1):
        body = {"content_type": kind, "thoughts" if kind == "thoughts" else "parts": content}
        message = {"author": {"role": role}, "content": body, "recipient": "all", **more}
        children = [str(number + 1)] if number < len(messages) else []
        mapping[str(number)] = {"id": str(number), "message": message, "parent": str(number - 1), "children": children}
    return {"title": "T", "conversation_id": "c", "mapping": mapping, "current_node": str(len(messages))}


def test_an_export_of_chatgpt_gives_the_branch_seen_last(tmp_path: Path) -> None:
    record = exported(
        ("system", "text", [""], {"metadata": {"is_visually_hidden_from_conversation": True}}),
        ("user", "text", ["Q1"], {}),
        ("assistant", "thoughts", [{"content": "Hm."}], {}),
        ("assistant", "text", ["A1"], {"metadata": {"model_slug": "gpt-5"}}),
        ("user", "text", ["Q2"], {}),
        ("assistant", "text", ["A2"], {}),
        ("user", "text", ["Q3"], {}),
        ("assistant", "code", ["1+1"], {"recipient": "python"}),
        ("assistant", "text", ["A3"], {}),
    )
    message = {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["old"]}}
    record["mapping"]["4b"] = {"id": "4b", "message": message, "parent": "3", "children": []}
    record["mapping"]["3"]["children"].insert(0, "4b")
    chats = chats_of(tmp_path, record)
    assert [said(chat) for chat in chats] == [
        [("user", "Q1"), ("assistant", "A1")],
        [("user", "Q1"), ("assistant", "A1"), ("user", "Q2"), ("assistant", "A2")],
    ]
    assert [(chat.id, dict(chat.extra)) for chat in chats] == [
        ("c#1", {"model": "gpt-5", "reasoning_content": "Hm."}),
        ("c#2", {}),
    ]
    assert problems_of(tmp_path, record) == ["turn 6 and what follows it: a turn calls a tool"]
    del record["current_node"]
    assert chats_of(tmp_path, record) != []


def test_ids_are_those_of_the_data_wherever_they_stand(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [{"conversation_id": "x"}, {"conversation_hash": "y"}, {"id": 3}, {}]
    chats = chats_of(tmp_path, *({"conversation": turns(*QA)} | record for record in records))
    assert [(chat.id, chat.named) for chat in chats] == [
        ("x", True),
        ("y", True),
        ("3", True),
        ("chats-000004", False),
    ]


HH = "\n\nHuman: Q1\n\nAssistant: A1\n\nHuman: Q\n\nAssistant: A"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"prompt": "Q", "completion": "A"}, [*QA]),
        ({"question": "Q", "answer": "A"}, [*QA]),
        ({"input": "Q", "output": "A"}, [*QA]),
        ({"query": "Q", "response": "A"}, [*QA]),
        ({"system_prompt": "S", "question": "Q", "response": "A"}, [("system", "S"), *QA]),
        ({"instruction": "Q", "context": "", "response": "A", "category": "open_qa"}, [*QA]),
        ({"instruction": "Q", "context": "C", "response": "A"}, [("user", "Q\n\nC"), ("assistant", "A")]),
        ({"prompt": turns(QA[0]), "completion": turns(QA[1])}, [*QA]),
        ({"prompt": "Q", "chosen": "A", "rejected": "bad"}, [*QA]),
        ({"system": "S", "question": "Q", "chosen": "A", "rejected": "bad"}, [("system", "S"), *QA]),
        ({"prompt": "Q", "chosen": turns(*QA), "rejected": turns(QA[0], ("assistant", "bad"))}, [*QA]),
        ({"prompt": turns(QA[0]), "chosen": turns(QA[1]), "rejected": turns(("assistant", "bad"))}, [*QA]),
        ({"chosen": turns(*QA), "rejected": turns(QA[0], ("assistant", "bad"))}, [*QA]),
        ({"chosen": HH, "rejected": HH}, [("user", "Q1"), ("assistant", "A1"), *QA]),
    ],
)
def test_questions_and_answers_under_the_names_they_have(
    tmp_path: Path, record: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    (chat,) = chats_of(tmp_path, record, turns="last")
    assert said(chat) == expected


@pytest.mark.parametrize(
    "answer",
    [
        {"content": "A", "reasoning_content": "Hm."},
        {"content": "A", "thinking": "Hm."},
        {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "A"}]},
    ],
)
def test_reasoning_is_kept_apart_from_the_answer(tmp_path: Path, answer: dict[str, Any]) -> None:
    first = {"messages": [*turns(QA[0]), {"role": "assistant", **answer}, *turns(("user", "Q2"), ("assistant", "A2"))]}
    chats = chats_of(tmp_path, first)
    assert [(chat.response, dict(chat.extra)) for chat in chats] == [("A", {"reasoning_content": "Hm."}), ("A2", {})]
    assert said(chats[1])[1] == ("assistant", "A")


def test_fields_of_other_names_are_read_by_a_map(tmp_path: Path) -> None:
    record = {"ask": "Q", "meta": {"reply": "A"}, "output": "no", "messages": [], "lang": "en"}
    (chat,) = chats_of(tmp_path, record, fields={"prompt": "ask", "response": "meta.reply"})
    assert (said(chat), chat.format, dict(chat.extra)) == ([*QA], "jsonl prompt_response", {"lang": "en"})


def test_a_map_of_one_key_goes_with_those_that_a_record_has(tmp_path: Path) -> None:
    (chat,) = chats_of(tmp_path, {"prompt": "Q", "text": "A"}, fields={"response": "text"})
    assert said(chat) == [*QA]
