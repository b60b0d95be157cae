"""A file appears whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from apar.data import files
from apar.data.files import atomic_folder, atomic_write
from apar.errors import RunError, UserError


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "out.txt"
    with atomic_write(path) as file:
        file.write("é\r\n\u2028")
        assert not path.exists()
    assert path.read_bytes() == "é\r\n\u2028".encode()
    assert os.listdir(path.parent) == ["out.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_what_was_there_before(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "out.txt"
    path.write_text("before")

    def fail() -> None:
        with atomic_write(path) as file:
            file.write("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["out.txt"]


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(RunError, match=r"out\.txt: No space left"), atomic_write(tmp_path / "out.txt") as file:
        file.write("half")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_fills_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "part"

    def on_full_disk(_: Path) -> Path:
        link.symlink_to("/dev/full")
        return link

    monkeypatch.setattr(files, "_temporary_beside", on_full_disk)
    with pytest.raises(RunError, match="No space left"), atomic_write(tmp_path / "out.txt") as file:
        file.write("x" * 10**6)
    assert os.listdir(tmp_path) == []


def test_an_error_about_another_file_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "out.txt"):
        (tmp_path / "missing").read_text()


def test_a_folder_that_cannot_be_made_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write into the folder"), atomic_write(tmp_path / "file" / "out"):
        pass


def test_the_file_has_the_rights_of_an_ordinary_one(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "out.txt") as file:
        file.write("text")
    ordinary = tmp_path / "ordinary.txt"
    ordinary.write_text("text")
    assert (tmp_path / "out.txt").stat().st_mode == ordinary.stat().st_mode


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(pipe) as file:
        file.write("through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()


def fill(folder: Path, text: str, error: BaseException | None = None) -> None:
    with atomic_folder(folder) as temporary:
        (temporary / "file").write_text(text)
        if error is not None:
            raise error


def test_a_folder_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for text in ("old", "new"):
        fill(tmp_path / "in" / "folder", text)
    assert (tmp_path / "in" / "folder" / "file").read_text() == "new"
    assert os.listdir(tmp_path / "in") == ["folder"]


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_an_exception_leaves_the_folder_before(tmp_path: Path, error: BaseException) -> None:
    fill(tmp_path / "folder", "old")
    with pytest.raises(RunError if isinstance(error, OSError) else type(error)):
        fill(tmp_path / "folder", "new", error)
    assert (tmp_path / "folder" / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["folder"]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "folder", "old")
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(RunError, match="Input/output error"):
        fill(tmp_path / "folder", "new")
    assert (tmp_path / "folder" / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["folder"]
