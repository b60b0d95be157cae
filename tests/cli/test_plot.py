from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from apar.events import replay, to_json
from tests.cli.conftest import Run
from tests.scripted import LIST

Apar = Callable[..., Run]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "trace.jsonl"
    file.write_text("".join(to_json(event) + "\n" for event in replay(LIST)), encoding="utf-8")
    return file


def test_a_trace_becomes_an_svg_file(apar: Apar, trace: Path, tmp_path: Path) -> None:
    picture = tmp_path / "new folder" / "picture.svg"
    code, out, _ = apar("plot", trace, "-o", picture, "--title", "What helps?")
    assert (code, out) == (0, "")
    text = picture.read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "What helps?" in text


def test_without_a_file_the_picture_goes_to_standard_output(apar: Apar, trace: Path) -> None:
    code, out, err = apar("plot", trace)
    assert (code, err) == (0, "")
    assert ElementTree.fromstring(out).tag.endswith("svg")


@pytest.mark.parametrize("broken", ["not json", '{"event": "begun"}', '{"event": "finished", "thread": [0]}'])
def test_a_broken_line_is_named_and_no_picture_is_written(apar: Apar, trace: Path, tmp_path: Path, broken: str) -> None:
    lines = trace.read_text(encoding="utf-8").splitlines()
    trace.write_text("\n".join([*lines[:4], broken, *lines[4:]]) + "\n", encoding="utf-8")
    code, out, err = apar("plot", trace, "-o", tmp_path / "picture.svg")
    assert (code, out) == (2, "")
    assert "line 5" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "picture.svg").exists()


def test_an_event_that_cannot_follow_is_named_by_its_line(apar: Apar, trace: Path) -> None:
    lines = trace.read_text(encoding="utf-8").splitlines()
    trace.write_text("\n".join([*lines, lines[1]]) + "\n", encoding="utf-8")
    code, _, err = apar("plot", trace)
    assert code == 2
    assert f"line {len(lines) + 1}: illegal event Delta at step 0: thread (0,) had finished" in err


def test_an_empty_and_a_missing_trace_are_one_line(apar: Apar, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    for name, message in (("empty", "is empty"), ("none", "cannot read the trace")):
        code, _, err = apar("plot", tmp_path / name)
        assert code == 2
        assert message in err
        assert err.count("\n") == 1
