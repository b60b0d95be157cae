"""Running the command line in this process, with a real tiny model or a scripted one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from apar.cli import main
from tests.scripted import ScriptedLLM


class Run(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def apar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Run `apar` with arguments, as the installed command does."""

    def run(*arguments: str | Path) -> Run:
        monkeypatch.setattr(sys, "argv", ["apar", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Run(code, *capsys.readouterr())

    return run


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> ScriptedLLM:
    """Whatever model is named, this one answers."""
    llm = ScriptedLLM()

    def load_llm(model: str, console: object, **loading: object) -> ScriptedLLM:
        llm.loading = loading
        llm.loaded.append(model)
        return llm

    monkeypatch.setattr("apar.cli.answering.load_llm", load_llm)
    return llm


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random model that forks whenever it may."""
    pytest.importorskip("torch")
    from tests.tiny import tiny_model

    return tiny_model(tmp_path_factory.mktemp("tiny"))
