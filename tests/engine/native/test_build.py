"""Compiling the kernels, and doing without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apar.engine.native import build


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder, and nothing loaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build.available.cache_clear()
    yield tmp_path
    build.available.cache_clear()


def test_without_a_compiler_the_engine_does_without_and_says_so(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not build.available()
    assert "there is no C++ compiler" in caplog.text


def test_a_compiler_that_fails_is_not_fatal_and_leaves_nothing(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    compiler = fresh / "broken"
    compiler.write_text("#!/bin/sh\necho 'kernels.cpp:1: error: no such standard' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert not build.available()
    assert "error: no such standard" in caplog.text
    assert list((fresh / "apar").iterdir()) == []


def test_the_library_is_named_after_all_that_it_depends_on(tmp_path: Path) -> None:
    for name in (*build._SOURCES, *build._HEADERS):
        (tmp_path / name).write_text("")
    first = build._fingerprint(tmp_path, "c++")
    assert build._fingerprint(tmp_path, "c++") == first
    assert build._fingerprint(tmp_path, "clang++") != first
    (tmp_path / build._HEADERS[0]).write_text("// changed")
    assert build._fingerprint(tmp_path, "c++") != first
