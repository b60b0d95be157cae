"""Training and evaluation read what extraction wrote, all of it, in order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apar.data.examples import first_question, read_examples
from apar.errors import UserError
from apar.tree import Node, ParagraphTree

FORKING = ParagraphTree(Node("a:", Node(" b"), Node("")))


def write(path: Path, *trees: ParagraphTree) -> Path:
    shared = {"id": "1", "source": "s", "prompt": "Q?", "rule": "ordered_list", "reason": None}
    lines = [json.dumps({**shared, "response": tree.text, "forks": tree.forks()}) + "\n" for tree in trees]
    path.write_text("".join(lines))
    return path


def test_all_answers_of_all_files_are_read_in_order(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", FORKING, FORKING)
    write(tmp_path / "a.jsonl", ParagraphTree.leaf("x"))
    write(tmp_path / "c.jsonl")
    examples = read_examples([tmp_path / "*.jsonl", tmp_path / "a.jsonl"])
    assert [example.tree.text for example in examples] == ["x", "a: b", "a: b", "x"]
    assert [example.structured for example in examples] == [False, True, True, False]


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
