from __future__ import annotations

from pathlib import Path

import pytest

from apar.doctor.subprocess_probe import run_probe
from apar.errors import RunError
from tests.doctor.conftest import Library


def test_a_package_that_can_be_imported_is_told() -> None:
    assert run_probe("import", "json") == {}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('operator x::nms does not exist')", "RuntimeError: operator x::nms does not exist"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("import os; os.abort()", "it crashed (SIGABRT)"),
        ("import sys; print('bad hardware', file=sys.stderr); sys.exit(3)", "bad hardware"),
        ("import os; os._exit(7)", "it ended with code 7"),
        ("import os; os._exit(0)", "it ended with code 0"),
        ("def broken(:", "SyntaxError: "),
    ],
)
def test_a_library_that_fails_or_crashes_is_a_reason(library: Library, source: str, reason: str) -> None:
    library("brittle", source)
    with pytest.raises(RunError) as raised:
        run_probe("import", "brittle")
    assert str(raised.value).startswith(reason)


def test_a_library_that_hangs_is_given_up(library: Library) -> None:
    library("brittle", "import time; time.sleep(60)")
    with pytest.raises(RunError, match="no answer within 1 seconds"):
        run_probe("import", "brittle", seconds=1.0)


def test_what_a_library_prints_is_not_taken_for_the_answer(library: Library) -> None:
    library("loud", "print('{\"error\": \"no\"}', end='')")
    assert run_probe("import", "loud") == {}


def test_a_file_in_the_working_folder_stands_in_for_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wave.py").write_text("raise RuntimeError('not the library')")
    monkeypatch.chdir(tmp_path)
    assert run_probe("import", "wave") == {}
