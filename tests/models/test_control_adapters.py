"""Adapters of ours: LoRA and the rows of the control tokens, of a base that is told by its fingerprint."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from apar.errors import ModelError, RunError
from apar.models.adapter_files import read_info, save_adapter
from apar.models.fingerprint import base_fingerprint
from apar.models.load import load, load_for_training
from apar.models.merged_folder import write_merged
from apar.models.model_source import model_source
from apar.models.vocabulary import load_vocabulary
from apar.tokens import CHILD, FORK, ControlTokens, add_control_tokens
from tests.tiny import tiny_model

peft = pytest.importorskip("peft")


def make_base(folder: Path, tied: bool, seed: int = 0) -> Path:
    """A chat model that was not trained to fork; tied or not."""
    tiny_model(folder, control=False, seed=seed)
    model = AutoModelForCausalLM.from_pretrained(folder)
    if tied:
        config = type(model.config)(**{**model.config.to_dict(), "tie_word_embeddings": True})
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = type(model)(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_(torch.linspace(0.5, 1.5, len(weight)) + seed)
    model.save_pretrained(folder)
    return folder


def train(base: Path) -> tuple[Any, Any, dict[str, int], str]:
    """A base with an adapter of random weights that bfloat16 has, its tokenizer, the control ids, the fingerprint."""
    model, tokenizer = load_for_training(base)
    fingerprint = base_fingerprint(model, tokenizer)
    add_control_tokens(tokenizer)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    ids = tokenizer.convert_tokens_to_ids([FORK, CHILD])
    tables = ["embed_tokens"] if model.config.tie_word_embeddings else ["embed_tokens", "lm_head"]
    config = peft.LoraConfig(
        r=4,
        target_modules=["q_proj", "v_proj", "down_proj"],
        task_type="CAUSAL_LM",
        trainable_token_indices=dict.fromkeys(tables, ids),
    )
    torch.manual_seed(1)
    adapted = peft.get_peft_model(model, config).eval()
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.copy_((weight + torch.randn_like(weight) * 0.2).bfloat16())
    return adapted, tokenizer, dict(zip((FORK, CHILD), ids, strict=True)), fingerprint


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_base(tmp_path / "base", request.param)


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> tuple[Path, Any]:
    """The folder of an adapter, and the model with it as it was before saving."""
    adapted, _, ids, fingerprint = train(base)
    save_adapter(adapted, tmp_path / "adapter", "OWNER/BASE", fingerprint, ids)
    return tmp_path / "adapter", adapted


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    ids = torch.tensor([[30, 31, 320, 321, 40, 50]])  # the control tokens in the middle
    return model(input_ids=ids, use_cache=False).logits


def test_logits_are_identical_before_saving_and_after_loading_and_merging(
    base: Path, adapter: tuple[Path, Any]
) -> None:
    folder, adapted = adapter
    unmerged = logits(adapted)
    loaded, tokenizer = load(base, "float32", "cpu", adapter=folder)
    assert torch.equal(logits(loaded), logits(adapted.merge_and_unload()))
    assert torch.allclose(logits(loaded), unmerged, atol=2e-5)
    tied = loaded.config.tie_word_embeddings
    assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) == tied
    assert ControlTokens.of(tokenizer).fork == 320
    assert loaded.config.vocab_size == len(tokenizer) == 322


def test_only_its_own_rows_are_written_in_bfloat16(base: Path, adapter: tuple[Path, Any]) -> None:
    weights = load_file(adapter[0] / "adapter_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    tied = AutoModelForCausalLM.from_pretrained(base).config.tie_word_embeddings
    rows = [weight.shape for key, weight in weights.items() if "lora" not in key]
    assert rows == [(2, 32)] * (1 if tied else 2)
    assert sorted(file.name for file in adapter[0].iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "apar.json"
    ]  # fmt: skip
    config = json.loads((adapter[0] / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "OWNER/BASE"
    assert config["inference_mode"] is True


def test_compiled_layers_have_their_ordinary_names(base: Path, tmp_path: Path) -> None:
    adapted, _, ids, fingerprint = train(base)
    save_adapter(adapted, tmp_path / "plain", "OWNER/BASE", fingerprint, ids)
    layers = adapted.base_model.model.model.layers
    for number, layer in enumerate(layers):
        layers[number] = torch.compile(layer)
    save_adapter(adapted, tmp_path / "compiled", "OWNER/BASE", fingerprint, ids)
    files = [tmp_path / name / "adapter_model.safetensors" for name in ("plain", "compiled")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_peft_alone_loads_it(base: Path, adapter: tuple[Path, Any]) -> None:
    folder, adapted = adapter
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(322, mean_resizing=False)
    assert torch.equal(logits(peft.PeftModel.from_pretrained(model, folder)), logits(adapted))


def test_a_merged_folder_is_an_ordinary_model_with_the_same_logits(
    base: Path, adapter: tuple[Path, Any], tmp_path: Path
) -> None:
    folder = write_merged(base, tmp_path / "merged", adapter[0], "float32")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    expected, of_adapter = load(base, "float32", "cpu", adapter=adapter[0])
    assert torch.equal(logits(model), logits(expected))
    assert tokenizer.get_vocab() == of_adapter.get_vocab()
    assert tokenizer.chat_template == of_adapter.chat_template
    assert (folder / "generation_config.json").is_file()
    assert load_vocabulary(model_source(folder)).control == ControlTokens.of(of_adapter)


def test_a_gguf_file_of_the_base_takes_the_adapter(base: Path, adapter: tuple[Path, Any], tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    from tests.gguf_files import write_gguf

    file = write_gguf(base, tmp_path / "base.gguf", "F16")
    loaded, tokenizer = load(file, "float32", "cpu", adapter=adapter[0])
    expected, _ = load(base, "float32", "cpu", adapter=adapter[0])
    assert torch.allclose(logits(loaded), logits(expected), atol=0.05)
    assert ControlTokens.of(tokenizer).child == 321
    assert load_vocabulary(model_source(file, adapter[0])).control == ControlTokens.of(tokenizer)


def test_the_fingerprint_is_that_of_the_base_in_any_type_or_file(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    from tests.gguf_files import write_gguf

    def of(model: Path, dtype: str = "float32") -> str:
        return base_fingerprint(*load(model, dtype, "cpu"))

    expected = of(base)
    model, tokenizer = load(base, "float32", "cpu")
    add_control_tokens(tokenizer)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    assert base_fingerprint(model, tokenizer) == expected
    assert of(base, "bfloat16") == of(write_gguf(base, tmp_path / "base.gguf", "Q8_0")) == expected
    assert of(make_base(tmp_path / "other", tied=True, seed=1)) != expected


def refusal(base: Path, adapter: Path) -> str:
    with pytest.raises(ModelError) as found:
        load(base, "auto", "cpu", adapter=adapter)
    assert "\n" not in str(found.value)
    return str(found.value)


def test_an_adapter_of_another_base_is_refused_by_name_and_fingerprints(
    base: Path, adapter: tuple[Path, Any], tmp_path: Path
) -> None:
    other = make_base(tmp_path / "other", tied=True, seed=1)
    info = read_info(str(adapter[0]), "")
    assert info is not None
    message = refusal(other, adapter[0])
    assert f"is of another base: trained on OWNER/BASE ({info.base.fingerprint[:12]})" in message
    assert f"this model is {base_fingerprint(*load(other, 'auto', 'cpu'))[:12]}" in message


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda side: side["control_tokens"].update({FORK: 319}), r"\[Fork\] is token 319 there and 320 here"),
        (lambda side: side.pop("control_tokens"), "damaged apar.json"),
        (lambda side: side["base"].pop("name"), "damaged apar.json"),
        (lambda side: side["control_tokens"].update({CHILD: "x"}), "damaged apar.json"),
    ],
)
def test_a_side_file_that_does_not_fit_is_one_line(tmp_path: Path, change: Change, message: str) -> None:
    base = make_base(tmp_path / "base", tied=True)
    adapted, _, ids, fingerprint = train(base)
    save_adapter(adapted, tmp_path / "adapter", "OWNER/BASE", fingerprint, ids)
    file = tmp_path / "adapter" / "apar.json"
    side = json.loads(file.read_text())
    change(side)
    file.write_text(json.dumps(side))
    assert re.search(message, refusal(base, tmp_path / "adapter"))


def test_rows_that_were_not_trained_are_refused(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", tied=False)
    model, tokenizer = load_for_training(base)
    fingerprint = base_fingerprint(model, tokenizer)
    model.resize_token_embeddings(322, mean_resizing=False)
    for rows, table in (({"embed_tokens": [320, 321]}, "output layer"), (None, "embeddings")):
        config = peft.LoraConfig(r=2, target_modules=["q_proj"], trainable_token_indices=rows)
        folder = tmp_path / table
        adapted = peft.get_peft_model(model, config)
        save_adapter(adapted, folder, "OWNER/BASE", fingerprint, {FORK: 320, CHILD: 321})
        assert re.search(f"lacks rows of its control tokens in the .*{table}", refusal(base, folder))
        model = adapted.unload()


def test_an_earlier_folder_is_kept_where_writing_fails(
    base: Path, adapter: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, adapted = adapter
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(RunError, match="No space left"):
        save_adapter(adapted, folder, "OWNER/BASE", "0" * 64, {FORK: 320, CHILD: 321})
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_model_that_comes_with_an_adapter_is_loaded_with_it(
    base: Path, adapter: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "package"
    shutil.copytree(adapter[0], shipped / "adapter")
    monkeypatch.setattr("apar.demo._HERE", shipped)
    monkeypatch.setenv("APAR_MODELS", str(tmp_path / "models"))
    shutil.copytree(base, tmp_path / "models" / "OWNER" / "BASE")
    source = model_source("demo")
    assert (source.path, source.adapter) == (str(tmp_path / "models" / "OWNER" / "BASE"), str(shipped / "adapter"))
    loaded, _ = load("demo", "float32", "cpu")
    expected, _ = load(base, "float32", "cpu", adapter=adapter[0])
    assert torch.equal(logits(loaded), logits(expected))
    assert load_vocabulary(source).forks
