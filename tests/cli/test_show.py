"""`apar show` as a user runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from apar.cli.show import command
from apar.data.formats import Chat
from apar.data.lines import Place
from apar.data.records import TreeRecord
from apar.errors import AparError, UserError
from apar.structure.extract import extract


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    path = tmp_path / "trees.jsonl"
    answers = ["1. One: the first of all\n2. Two: the second of all\n3. Three: the third of all", "[b]Plain[/b]"]
    with path.open("w") as file:
        for k, answer in enumerate(answers):
            messages = ({"role": "user", "content": "Which [bold]ones[/bold]?"},)
            chat = Chat(f"id-{k}", "source", messages, answer, "jsonl messages", Place(path, k))
            file.write(TreeRecord.of(chat, extract(answer)).to_json() + "\n")
    return path


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if isinstance(result.exception, AparError):
        raise result.exception
    return result


def test_prompt_tree_and_figures_are_shown_as_plain_text(trees: Path) -> None:
    output = run(trees).stdout
    assert "user: Which [bold]ones[/bold]?" in output
    assert "id-0 (ordered list)" in output
    assert "1. One:[Fork]" in output
    assert "the second of all" in output
    assert "24 tokens (words and punctuation), 4 threads" in output
    assert "\x1b" not in output


def test_a_refusal_is_shown_with_its_reason(trees: Path) -> None:
    output = run(trees, "-i", 1).stdout
    assert "id-1 (unstructured: too few parts)" in output
    assert "[b]Plain[/b]" in output
    assert "[Fork]" not in output


def test_an_index_out_of_range_is_the_users_mistake(trees: Path) -> None:
    with pytest.raises(UserError, match=r"there is no tree 2 in .*numbered 0 to 1"):
        run(trees, "-i", 2)
    assert run(trees, "-i", -1).exit_code == 2


def test_a_file_of_something_else_is_the_users_mistake(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"prompt": "Q", "response": "A"}\n')
    with pytest.raises(UserError, match=r"line 1 is not a tree written by `apar extract`"):
        run(path)
