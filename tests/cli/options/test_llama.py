"""Which engine decodes a GGUF file, and llama.cpp's own options on the command line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from apar.backends.llama_cpp import versions
from apar.cli.options.backend import BackendChoice, backend_maker, resolve_backend
from apar.errors import ModelError, UserError

WORDS = ("--llama.n-ctx", "512")


def _choice(backend: str = "auto", words: tuple[str, ...] = ()) -> BackendChoice:
    return BackendChoice(backend, None, None, None, None, None, None, (), words)


@pytest.fixture
def file(tmp_path: Path) -> str:
    made = tmp_path / "model.gguf"
    made.write_bytes(b"GGUF")
    return str(made)


@pytest.fixture
def llama(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "installed", lambda: versions.LOWEST)


@pytest.mark.usefixtures("llama")
def test_a_gguf_file_is_decoded_by_llama_cpp_where_it_is_installed(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert resolve_backend(file, _choice(), {}).backend == "llama-cpp"
    assert resolve_backend(file, _choice(), {"max_rows": 4, "cpu_threads": 2}).backend == "llama-cpp"
    told = capsys.readouterr().err.splitlines()
    assert told == [f"apar: llama.cpp decodes {file} (llama-cpp-python 0.3.36; --backend local does not use it)"] * 2


@pytest.mark.usefixtures("llama")
def test_our_own_engine_decodes_what_only_it_can_and_what_is_asked_of_it(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("{}")
    assert resolve_backend(file, _choice("local"), {}).backend == "local"
    assert resolve_backend(file, _choice(), {"dtype": "float32"}).backend == "local"
    assert resolve_backend(file, _choice(), {"adapter": "adapter"}).backend == "local"
    assert resolve_backend(str(tmp_path / "folder"), _choice(), {}).backend == "local"
    assert resolve_backend("demo", _choice(), {}).backend == "local"
    assert capsys.readouterr().err == ""


def test_without_llama_cpp_a_gguf_file_is_decoded_here(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "installed", lambda: None)
    assert resolve_backend(file, _choice(), {}).backend == "local"
    with pytest.raises(UserError, match="llama-cpp-python is not installed"):
        backend_maker(file, _choice("llama-cpp"), {})


@pytest.mark.usefixtures("llama")
@pytest.mark.parametrize(("words", "threads"), [((), 2), (("--llama.n-threads", "3"), 3)])
def test_the_number_of_threads_is_llama_cpps_too_unless_its_own_is_given(
    file: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], threads: int
) -> None:
    made = SimpleNamespace(LlamaCppBackend=lambda file, max_rows, options: options)
    monkeypatch.setitem(sys.modules, "apar.backends.llama_cpp.backend", made)
    make = backend_maker(file, _choice("llama-cpp", words), {"cpu_threads": 2})
    assert cast(Any, make()) == {"n_threads": threads}


@pytest.mark.usefixtures("llama")
def test_options_that_do_not_go_together_are_one_line(file: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape("--llama.n-ctx is an option of llama.cpp; add --backend llama-cpp")):
        _choice("vllm", WORDS)
    with pytest.raises(UserError, match=re.escape("--dtype is of --backend local; llama.cpp's own are --llama.NAME")):
        backend_maker(file, _choice("llama-cpp"), {"dtype": "float32"})
    with pytest.raises(UserError, match=re.escape("--llama.n-ctx is 'x'; it must be a whole number")):
        backend_maker(file, _choice("llama-cpp", ("--llama.n-ctx", "x")), {})
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"is no GGUF file, and llama\.cpp reads GGUF files: write one with `apar"):
        backend_maker(str(tmp_path), _choice("llama-cpp"), {})
    with pytest.raises(ModelError, match=r"^demo is a base with an adapter.*`apar export demo --gguf Q8_0"):
        backend_maker("demo", _choice("llama-cpp"), {})
