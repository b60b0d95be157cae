"""Medusa heads as vLLM's engine arguments; needs no vLLM. tests/backends/vllm/test_heads.py runs one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apar.backends.vllm.heads import arguments_to_draft
from apar.backends.vllm.passthrough_flags import to_words
from apar.errors import ModelError, UserError
from apar.models.fingerprint import base_fingerprint
from apar.models.head_files import HeadsInfo, save_heads
from apar.models.heads import MedusaHeads
from apar.models.heads_for_vllm import is_for_vllm
from apar.models.load import load
from apar.models.side_file import BaseModel
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def heads_of(base: Path, folder: Path, fingerprint: str | None = None) -> Path:
    model, tokenizer = load(base, "float32", "cpu")
    info = HeadsInfo(BaseModel("OWNER/BASE", fingerprint or base_fingerprint(model, tokenizer)))
    save_heads(MedusaHeads.on(model, heads=3), folder, info=info)
    return folder


def test_heads_draft_as_many_tokens_as_there_are(base: Path, tmp_path: Path) -> None:
    given = {"dtype": "float32"}
    arguments = arguments_to_draft(given, heads_of(base, tmp_path / "heads"), base)
    config = arguments.pop("speculative_config")
    assert arguments == given == {"dtype": "float32"}
    assert (config["method"], config["num_speculative_tokens"]) == ("medusa", 3)
    assert is_for_vllm(config["model"])
    assert to_words({"speculative_config": config}) == ["--speculative-config", json.dumps(config)]


def test_heads_that_vllm_reads_are_named_as_they_are(base: Path, tmp_path: Path) -> None:
    save_heads(MedusaHeads.on(load(base, "float32", "cpu")[0], tied=False), tmp_path / "heads")
    config = arguments_to_draft({}, tmp_path / "heads", base)["speculative_config"]
    assert config["model"] == str(tmp_path / "heads")


@pytest.mark.parametrize("given", [{"speculative_config": {"method": "ngram"}}, {"spec_method": "ngram"}])
def test_drafts_of_two_kinds_are_one_line(base: Path, tmp_path: Path, given: dict[str, object]) -> None:
    [name] = given
    with pytest.raises(UserError, match=rf"both Medusa heads and {name} \(--vllm\.spec.*\) say what drafts; give one"):
        arguments_to_draft(given, heads_of(base, tmp_path / "heads"), base)


def test_heads_of_another_base_are_one_line(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="are of another base: trained on OWNER/BASE") as found:
        arguments_to_draft({}, heads_of(base, tmp_path / "heads", "0" * 64), base)
    assert "\n" not in str(found.value)


def test_a_folder_without_heads_is_one_line(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no Medusa heads"):
        arguments_to_draft({}, tmp_path, base)
    with pytest.raises(ModelError, match="holds no Medusa heads but a model"):
        arguments_to_draft({}, base, base)
