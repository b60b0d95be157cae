"""Results that outlive a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from apar.errors import RunError, UserError
from apar.eval.journal import Journal


def test_what_was_put_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "j.jsonl"
    Journal(path, "f").put(("a", "b"), {"text": "ü"})
    again = Journal(path, "f")
    assert ("a", "b") in again
    assert again["a", "b"] == {"text": "ü"}
    assert again.get(("a",)) is None


@pytest.mark.parametrize("cut", [1, 10, 22])
def test_a_line_that_a_kill_cut_is_dropped_and_written_anew(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j.jsonl"
    journal = Journal(path, "f")
    journal.put(("a",), 1)
    whole = path.read_bytes()
    journal.put(("b",), 2)
    path.write_bytes(whole + path.read_bytes()[len(whole) :][:cut])
    again = Journal(path, "f")
    assert ("b",) not in again
    again.put(("b",), 3)
    assert [Journal(path, "f")[key] for key in (("a",), ("b",))] == [1, 3]


def test_a_first_line_that_was_cut_begins_the_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text('{"finger')
    Journal(path, "f").put(("a",), 1)
    assert Journal(path, "f")["a",] == 1


def test_answers_of_another_plan_are_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    Journal(path, "f").put(("a",), 1)
    before = path.read_bytes()
    with pytest.raises(UserError, match="holds answers of another plan"):
        Journal(path, "g")
    assert path.read_bytes() == before


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "j.jsonl").mkdir()
    with pytest.raises(RunError, match=r"cannot write .*j\.jsonl"):
        Journal(tmp_path / "j.jsonl", "f")
