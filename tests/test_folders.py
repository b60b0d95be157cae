"""The check of folders."""

from __future__ import annotations

from pathlib import Path

from tests.folders import PACKAGE, grown


def test_a_folder_that_grew_is_named_with_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "apar" / "server"
    folder.mkdir(parents=True)
    for name in ("__init__.py", "a.py", "b.py", "c.js", "d.txt"):
        (folder / name).touch()
    assert grown(tmp_path / "apar", most=3) == []
    assert grown(tmp_path / "apar", most=2) == ["apar/server has 3 files, and 2 are the most: give some a folder"]


def test_no_folder_of_the_package_has_grown() -> None:
    assert grown(PACKAGE) == []
