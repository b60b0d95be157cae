"""Trees are written and read back the same; a line that is no tree is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apar.data.formats import Chat
from apar.data.raw import SourceLocation
from apar.data.records import TreeRecord, expand, first_question, read_examples, read_tree, read_trees
from apar.errors import UserError
from apar.structure.extract import extract
from apar.tokens import Message
from apar.tree import Node, ParagraphTree

ANSWER = "1. One: the first of them all\n2. Two: the second\u2028one of all\n3. Three: the third one of all\n"


def record(response: str = ANSWER, *before: Message, **extra: str) -> TreeRecord:
    messages = (*before, {"role": "user", "content": "Which?"})
    chat = Chat("id-1", "source", messages, response, "jsonl messages", SourceLocation(Path("a.jsonl"), 1), extra)
    return TreeRecord.of(chat, extract(response))


def write(folder: Path, *records: TreeRecord) -> Path:
    path = folder / "trees.jsonl"
    path.write_text("".join(one.to_json() + "\n" for one in records), encoding="utf-8")
    return path


def test_a_record_comes_back_the_same() -> None:
    for one in (record(), record("A leaf."), record(ANSWER, {"role": "system", "content": "Brief."}, model="m")):
        line = one.to_json()
        assert "\n" not in line
        assert TreeRecord.from_json(line) == one


def test_the_keys_of_a_record() -> None:
    data = json.loads(record(license="MIT").to_json())
    assert list(data) == ["id", "source", "license", "prompt", "response", "rule", "reason", "forks"]
    assert (data["prompt"], data["rule"], data["reason"]) == ("Which?", "ordered_list", None)
    [at, end] = data["forks"][0]
    assert (ANSWER[:at], ANSWER[at:end]) == ("1. One:", " the first of them all")


def test_a_conversation_is_written_as_messages() -> None:
    before: list[Message] = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    data = json.loads(record(ANSWER, *before).to_json())
    assert "prompt" not in data
    assert [message["role"] for message in data["messages"]] == ["user", "assistant", "user"]


def test_one_tree_and_all_trees_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, record(), record("A leaf."))
    assert [one.rule for one in read_trees(path)] == ["ordered_list", "unstructured"]
    assert read_tree(path, 1).response == "A leaf."


def test_a_tree_beyond_the_last_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no tree 2 in .*: it has 2 trees, numbered 0 to 1"):
        read_tree(write(tmp_path, record(), record()), 2)
    with pytest.raises(UserError, match="it has no trees"):
        read_tree(write(tmp_path), 0)


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[]",
        '{"id": "a"}',
        '{"id": "a", "source": "s", "prompt": "Q", "response": "A", "rule": "r", "reason": null, "forks": 3}',
        '{"id": "a", "source": "s", "prompt": "Q", "response": "A", "rule": "r", "reason": null, "forks": [[1, 9]]}',
    ],
)
def test_a_line_that_is_no_tree_is_told(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, record())
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2 is not a tree"):
        list(read_trees(path))


def test_a_file_of_nested_trees_asks_for_a_new_extraction(tmp_path: Path) -> None:
    path = tmp_path / "trees.jsonl"
    path.write_text('{"id": "a", "source": "s", "prompt": "Q", "response": "A", "tree": {"text": "A"}}\n')
    with pytest.raises(UserError, match="an older version wrote it; run `apar extract` again"):
        read_tree(path, 0)


def test_a_file_that_is_no_text_or_is_missing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "trees.jsonl"
    with pytest.raises(UserError, match="No such file"):
        read_tree(path, 0)
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(UserError, match="not UTF-8"):
        read_tree(path, 0)


LISTING = ParagraphTree(Node("a:", Node(" b"), Node("")))


def write_trees(path: Path, *trees: ParagraphTree) -> Path:
    shared = {"id": "1", "source": "s", "prompt": "Q?", "rule": "ordered_list", "reason": None}
    lines = [json.dumps({**shared, "response": tree.text, "forks": tree.forks()}) + "\n" for tree in trees]
    path.write_text("".join(lines))
    return path


def test_all_answers_of_all_files_are_read_in_order(tmp_path: Path) -> None:
    write_trees(tmp_path / "b.jsonl", LISTING, ParagraphTree.leaf("y"))
    write_trees(tmp_path / "a.jsonl", ParagraphTree.leaf("x"))
    write_trees(tmp_path / "c.jsonl")
    examples = read_examples([tmp_path / "*.jsonl"])
    assert [example.tree.text for example in examples] == ["x", "a: b", "y"]
    assert [example.structured for example in examples] == [False, True, False]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    first, second = (write_trees(tmp_path / name, LISTING) for name in ("a.jsonl", "b.jsonl"))
    named = [second, tmp_path / "*.jsonl", tmp_path / ".." / tmp_path.name / "b.jsonl"]
    assert list(expand(named)) == [second, first]


def test_the_same_answer_to_the_same_messages_is_used_once(tmp_path: Path) -> None:
    write_trees(tmp_path / "a.jsonl", LISTING, LISTING)
    write_trees(tmp_path / "b.jsonl", ParagraphTree.leaf("a: b"), ParagraphTree.leaf("x"))
    other = (tmp_path / "a.jsonl").read_text().splitlines()[0].replace("Q?", "Another?")
    (tmp_path / "c.jsonl").write_text(other + "\n")
    examples = read_examples([tmp_path / "*.jsonl"])
    found = [(example.messages[0]["content"], example.tree.text, example.structured) for example in examples]
    assert found == [("Q?", "a: b", True), ("Q?", "x", False), ("Another?", "a: b", True)]


@pytest.mark.parametrize("name", ["none.jsonl", "*.jsonl"])
def test_files_that_are_not_there_are_named_with_the_command_that_makes_them(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"apar extract FILE\.\.\. -o"):
        read_examples([tmp_path / name])


def test_the_command_that_makes_held_out_answers_holds_them_out(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"-o .* --set split\.held_out=0\.01`"):
        read_examples([tmp_path / "heldout.jsonl"])


def test_a_chat_is_known_by_its_first_question() -> None:
    system, question = {"role": "system", "content": "Be short."}, {"role": "user", "content": " What\nis IT? "}
    later = [{"role": "assistant", "content": "That."}, {"role": "user", "content": "And?"}]
    assert first_question([system, question]) == first_question([question, *later]) == "what is it?"
