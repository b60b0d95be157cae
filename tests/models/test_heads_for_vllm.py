"""Heads in the form that vLLM reads: made of the model's files, once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM

from apar.errors import ModelError, RunError, UserError
from apar.models import head_files, heads_for_vllm, output_layer
from apar.models.adapter_files import adapter_fingerprint, save_adapter
from apar.models.fingerprint import base_fingerprint
from apar.models.head_files import WEIGHTS_FILE, HeadsInfo, load_heads, save_heads
from apar.models.heads import MedusaHeads
from apar.models.heads_for_vllm import for_vllm, is_for_vllm, write_for_vllm
from apar.models.load import load
from apar.models.model_source import load_tokenizer, model_source
from apar.models.output_layer import load_output_layer
from apar.models.side_file import BaseModel
from tests.models.test_control_adapters import make_base, train

pytest.importorskip("peft")


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_base(tmp_path / "base", request.param)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which copies are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "apar" / "heads"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The models that were loaded whole."""
    loaded: list[Any] = []
    whole = output_layer.load

    def count(model: Any, *arguments: Any, **options: Any) -> Any:
        loaded.append(model)
        return whole(model, *arguments, **options)

    monkeypatch.setattr(output_layer, "load", count)
    return loaded


def heads_of(base: Path, folder: Path, *, own: bool = False) -> Path:
    """Heads that say that they were trained on a base, without its output layer."""
    model, tokenizer = load(base, "float32", "cpu")
    heads = MedusaHeads.on(model, tied=not own)
    for weight in heads.parameters():
        nn.init.normal_(weight)
    save_heads(heads, folder, info=HeadsInfo(BaseModel("OWNER/BASE", base_fingerprint(model, tokenizer))))
    return folder


def output_rows(folder: Path) -> torch.Tensor:
    return load_file(folder / WEIGHTS_FILE)["lm_heads.0.weight"]


def test_a_copy_has_the_output_layer_of_the_models_files_alone(
    base: Path, tmp_path: Path, cache: Path, loads: list[Any]
) -> None:
    heads = heads_of(base, tmp_path / "heads")
    made = for_vllm(heads, model_source(base))
    assert made.parent == cache
    assert len(made.name) == 64
    assert is_for_vllm(str(made))
    rows = AutoModelForCausalLM.from_pretrained(base).get_output_embeddings().weight
    assert torch.equal(output_rows(made), rows.bfloat16())
    torch.testing.assert_close(load_heads(made).state_dict(), load_heads(heads).state_dict(), rtol=0, atol=0)
    assert (made / "apar.json").read_bytes() == (heads / "apar.json").read_bytes()
    assert loads == []


def test_only_the_output_layer_and_the_norms_take_memory(base: Path) -> None:
    model = load_output_layer(model_source(base))
    output = model.get_output_embeddings().weight
    for name, weight in model.named_parameters():
        assert weight.is_meta == (weight.ndim > 1 and weight is not output), name
    assert (output is model.get_input_embeddings().weight) == model.config.tie_word_embeddings
    whole, tokenizer = load(base, "float32", "cpu")
    assert base_fingerprint(model, tokenizer) == base_fingerprint(whole, tokenizer)


def test_a_model_in_several_files_is_read_as_one_in_one_file(base: Path, tmp_path: Path, loads: list[Any]) -> None:
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    load_tokenizer(model_source(base)).save_pretrained(tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 2
    heads = heads_of(base, tmp_path / "heads")
    assert for_vllm(heads, model_source(tmp_path / "parts")) == for_vllm(heads, model_source(base))
    assert loads == []


def test_a_copy_is_made_once_for_the_same_heads_and_output_layer(
    base: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = heads_of(base, tmp_path / "heads")
    made = for_vllm(heads, model_source(base))
    monkeypatch.setattr(heads_for_vllm, "save_heads", lambda *arguments, **options: pytest.fail("written again"))
    assert for_vllm(heads, model_source(base)) == made
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.get_output_embeddings().weight[5] += 1
    model.save_pretrained(base)
    changed = for_vllm(heads, model_source(base))
    assert changed != made
    assert torch.equal(output_rows(changed)[5], model.get_output_embeddings().weight[5].bfloat16())
    assert len(list(cache.iterdir())) == 2


def test_another_process_that_was_first_is_no_error(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = heads_of(base, tmp_path / "heads")

    def lose(loaded: Any, folder: Path, *arguments: Any, **options: Any) -> None:
        save_heads(loaded, folder, *arguments, **options)
        raise RunError(f"cannot write {folder}: Directory not empty")

    monkeypatch.setattr(heads_for_vllm, "save_heads", lose)
    assert is_for_vllm(str(for_vllm(heads, model_source(base))))


def test_heads_in_this_form_are_taken_as_they_are(base: Path, tmp_path: Path, cache: Path) -> None:
    own = heads_of(base, tmp_path / "own", own=True)
    assert for_vllm(own, model_source(base)) == own
    written = write_for_vllm(heads_of(base, tmp_path / "heads"), model_source(base), tmp_path / "written")
    assert for_vllm(written, model_source(base)) == written
    assert not cache.exists()


def test_heads_that_claim_the_form_and_lack_the_layer_are_completed(base: Path, tmp_path: Path) -> None:
    heads = heads_of(base, tmp_path / "heads")
    config = heads / "config.json"
    config.write_text(config.read_text().replace(head_files.NOT_FOR_VLLM, head_files.FOR_VLLM))
    assert for_vllm(heads, model_source(base)) != heads


def test_heads_of_another_model_are_one_line(base: Path, tmp_path: Path, cache: Path) -> None:
    heads = heads_of(base, tmp_path / "heads")
    other = model_source(make_base(tmp_path / "other", tied=True, seed=1))
    with pytest.raises(ModelError, match="are of another base: trained on OWNER/BASE"):
        for_vllm(heads, other)
    (heads / "apar.json").unlink()
    smaller = AutoModelForCausalLM.from_pretrained(base)
    smaller.resize_token_embeddings(300)
    smaller.save_pretrained(tmp_path / "smaller")
    with pytest.raises(ModelError, match="are of another model: they have 32 channels and 320 tokens"):
        for_vllm(heads, model_source(tmp_path / "smaller"))
    assert not cache.exists()


def test_a_folder_that_is_there_is_left_alone(base: Path, tmp_path: Path) -> None:
    heads = heads_of(base, tmp_path / "heads")
    with pytest.raises(UserError, match="is there already; name a new folder"):
        write_for_vllm(heads, model_source(base), heads)


def test_where_an_adapter_is_merged_its_rows_are_written(
    base: Path, tmp_path: Path, loads: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    adapted, _, ids, fingerprint = train(base)
    adapter = tmp_path / "adapter"
    save_adapter(adapted, adapter, "OWNER/BASE", fingerprint, ids)
    model, _ = load(base, "float32", "cpu", adapter)
    info = HeadsInfo(BaseModel("OWNER/BASE", fingerprint), adapter_fingerprint(str(adapter)))
    save_heads(MedusaHeads.on(model), tmp_path / "heads", info=info)
    with caplog.at_level(logging.WARNING):
        made = for_vllm(tmp_path / "heads", model_source(base, adapter))
    assert torch.equal(output_rows(made), model.get_output_embeddings().weight.bfloat16())
    assert len(loads) == 1
    assert not [record for record in caplog.records if record.name.startswith("apar")]


def test_what_is_no_safetensors_file_is_loaded_whole(tmp_path: Path, loads: list[Any]) -> None:
    pytest.importorskip("gguf")
    from tests.gguf_files import write_gguf

    base = make_base(tmp_path / "base", tied=False)
    file = write_gguf(base, tmp_path / "base.gguf", "F16")
    made = for_vllm(heads_of(base, tmp_path / "heads"), model_source(file))
    assert loads == [str(file)]
    expected = load(file, "float32", "cpu")[0].get_output_embeddings().weight
    assert torch.equal(output_rows(made), expected.bfloat16())


def test_files_that_are_cut_off_are_one_line(base: Path, tmp_path: Path) -> None:
    heads = heads_of(base, tmp_path / "heads")
    whole = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError) as found:
        for_vllm(heads, model_source(base))
    assert "\n" not in str(found.value)
