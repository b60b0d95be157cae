"""`apar merge`, and a GGUF file as the model of the other commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoConfig, AutoTokenizer

from tests.tiny import tiny_model

pytest.importorskip("gguf")
from tests.gguf_files import write_gguf

Apar = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def file(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(base, tmp_path_factory.mktemp("gguf") / "tiny.gguf", "Q8_0")


def test_a_gguf_file_becomes_a_folder(apar: Apar, file: Path, tmp_path: Path) -> None:
    code, out, err = apar("merge", str(file), "-o", str(tmp_path / "folder"))
    assert (code, out) == (0, "")
    assert err.startswith(f"wrote {tmp_path / 'folder'} (")
    assert err.endswith("bfloat16)\n")
    assert str(AutoConfig.from_pretrained(tmp_path / "folder").dtype) == "torch.bfloat16"
    assert AutoTokenizer.from_pretrained(tmp_path / "folder").chat_template
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "folder").iterdir()}
    assert len(modes) == 1
    code, _, _ = apar("generate", str(tmp_path / "folder"), "Q", "--max-tokens", "4")
    assert code == 0


def test_a_folder_that_is_there_is_left_alone(apar: Apar, base: Path, file: Path) -> None:
    code, _, err = apar("merge", str(file), "-o", str(base))
    assert (code, err) == (2, f"apar: {base} is there already; name a new folder\n")


def test_answers_from_a_gguf_file(apar: Apar, file: Path) -> None:
    code, out, _ = apar("generate", str(file), "Q", "--max-tokens", "12", "--json")
    assert code == 0
    assert json.loads(out)["threads"] > 1


def test_what_is_no_gguf_file_is_one_line(apar: Apar, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"nothing")
    for command in (("generate", str(tmp_path / "x.gguf"), "Q"), ("bench", "steps", str(tmp_path / "x.gguf"))):
        code, out, err = apar(*command)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert "is no GGUF file" in err


def test_vllm_is_given_folders_alone(apar: Apar, base: Path) -> None:
    code, _, err = apar("generate", str(base), "Q", "--backend", "vllm", "--adapter", str(base))
    assert code == 2
    assert "write a folder with `apar merge`" in err
