"""Medusa heads: what new ones say, and their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from apar.errors import ModelError, UserError
from apar.models.fingerprint import base_fingerprint
from apar.models.head_files import (
    CONFIG_FILE,
    FOR_VLLM,
    NOT_FOR_VLLM,
    WEIGHTS_FILE,
    HeadsInfo,
    check_base,
    check_fit,
    load_heads,
    read_heads_info,
    save_heads,
)
from apar.models.heads import HeadsShape, MedusaHeads
from apar.models.side_file import BaseModel
from tests.engine.tiny import VOCABULARY, tiny_model, tiny_tokenizer

SHAPE = HeadsShape(hidden_size=8, vocab_size=12)


def model_with_bias() -> Any:
    model = tiny_model(0)
    model.lm_head.bias.data[3] = 1.0
    return model


def random_heads(shape: HeadsShape = SHAPE) -> MedusaHeads:
    heads = MedusaHeads(shape)
    for parameter in heads.parameters():
        nn.init.normal_(parameter)
    return heads


@pytest.mark.parametrize("tied", [True, False])
def test_new_heads_say_what_the_model_says(tied: bool) -> None:
    model = tiny_model(0)
    heads = MedusaHeads.on(model, heads=3, tied=tied)
    ids = torch.arange(5)[None]
    logits = heads.logits(model.model(ids).last_hidden_state, model.lm_head)
    assert logits.shape == (3, 1, 5, VOCABULARY)
    torch.testing.assert_close(logits, model(ids).logits.expand(3, -1, -1, -1))


def test_heads_that_share_the_output_layer_have_few_weights_of_their_own() -> None:
    model = tiny_model(0)
    hidden = model.config.hidden_size
    assert sum(weight.numel() for weight in MedusaHeads.on(model).parameters()) == 2 * 2 * hidden**2
    own = MedusaHeads.on(model, tied=False)
    assert own.lm_heads[0].weight is not model.lm_head.weight
    assert [len(heads.lm_heads) for heads in (MedusaHeads.on(model), own)] == [0, 2]


def test_output_layers_of_their_own_have_no_place_for_a_bias() -> None:
    with pytest.raises(ModelError, match="has a bias"):
        MedusaHeads.on(model_with_bias(), tied=False)
    assert MedusaHeads.on(model_with_bias()).shape.tied


@pytest.mark.parametrize(
    "shape", [SHAPE, HeadsShape(8, 12, heads=1, layers=3, bias=True), HeadsShape(8, 12, heads=3, tied=False)]
)
def test_heads_are_the_same_after_saving(shape: HeadsShape, tmp_path: Path) -> None:
    heads = random_heads(shape)
    save_heads(heads, tmp_path / "heads", dtype=torch.float32)
    loaded = load_heads(tmp_path / "heads")
    assert loaded.shape == shape
    torch.testing.assert_close(loaded.state_dict(), heads.state_dict(), rtol=0, atol=0)


def test_weights_are_saved_in_bfloat16_and_an_earlier_folder_goes(tmp_path: Path) -> None:
    folder = tmp_path / "heads"
    save_heads(random_heads(HeadsShape(8, 12, heads=4)), folder)
    (folder / "more").touch()
    save_heads(random_heads(), folder)
    weights = load_file(folder / WEIGHTS_FILE)
    assert sorted(weights) == [f"blocks.{head}.layers.{layer}.weight" for head in (0, 1) for layer in (0, 1)]
    assert {weight.dtype for weight in weights.values()} == {torch.bfloat16}
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG_FILE, WEIGHTS_FILE]
    assert load_heads(folder).dtype == torch.float32
    assert architectures(folder) == [NOT_FOR_VLLM]
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_for_vllm_the_shared_output_layer_is_written_along_once(tmp_path: Path) -> None:
    model = tiny_model(0)
    heads = MedusaHeads.on(model)
    save_heads(heads, tmp_path / "heads", model, torch.float32)
    written = load_file(tmp_path / "heads" / WEIGHTS_FILE)
    assert torch.equal(written["lm_heads.0.weight"], model.lm_head.weight)
    assert len(written) == 5
    assert architectures(tmp_path / "heads") == [FOR_VLLM]
    assert load_heads(tmp_path / "heads").shape == heads.shape


def test_the_output_layer_is_written_with_the_rows_that_an_adapter_trained(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    config = LlamaConfig(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        tie_word_embeddings=True,
    )  # fmt: skip
    lora = peft.LoraConfig(r=2, target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [38, 39]})
    adapted = peft.get_peft_model(LlamaForCausalLM(config), lora)
    [rows] = [each for name, each in adapted.named_parameters() if "trainable_tokens_delta" in name]
    nn.init.ones_(rows)
    hidden = torch.randn(3, 32)
    save_heads(MedusaHeads.on(adapted), tmp_path / "heads", adapted, torch.float32)
    written = load_file(tmp_path / "heads" / WEIGHTS_FILE)["lm_heads.0.weight"]
    torch.testing.assert_close(hidden @ written.T, adapted.get_output_embeddings()(hidden))
    assert torch.equal(written[38:], torch.ones(2, 32))


def test_the_configuration_has_one_key_that_vllm_takes_for_the_number_of_heads(tmp_path: Path) -> None:
    save_heads(random_heads(), tmp_path / "heads")
    config = json.loads((tmp_path / "heads" / CONFIG_FILE).read_text())
    assert [key for key in config if "num" in key and "heads" in key] == ["num_heads"]
    assert [key for key in config if "num" in key and "layers" in key] == ["num_hidden_layers"]
    assert config["vocab_size"] == config["truncated_vocab_size"] == 12


def test_an_output_layer_with_a_bias_is_not_written_for_vllm(tmp_path: Path) -> None:
    model = model_with_bias()
    with pytest.raises(ModelError, match="has a bias"):
        save_heads(MedusaHeads.on(model), tmp_path / "heads", model)
    assert not (tmp_path / "heads").exists()


def test_heads_of_another_model_are_told_by_their_sizes(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="are of another model: they have 8 channels and 12 tokens, the model 32 and"):
        check_fit(random_heads(), tiny_model(0), "heads")
    with pytest.raises(ModelError, match="are of another model"):
        save_heads(random_heads(), tmp_path / "heads", tiny_model(0))


def test_heads_say_what_they_were_trained_on(tmp_path: Path) -> None:
    model, tokenizer = tiny_model(0), tiny_tokenizer()
    info = HeadsInfo(BaseModel("OWNER/BASE", base_fingerprint(model, tokenizer)), "0" * 64)
    save_heads(MedusaHeads.on(model), tmp_path / "heads", info=info)
    assert read_heads_info(str(tmp_path / "heads")) == info
    check_base(tmp_path / "heads", model, tokenizer)
    with torch.no_grad():
        model.model.norm.weight[0] += 1
    with pytest.raises(
        ModelError, match=r"of another base: trained on OWNER/BASE .*, and this model is .*; give OWNER/BASE$"
    ):
        check_base(tmp_path / "heads", model, tokenizer)


def test_heads_that_do_not_say_what_they_were_trained_on_are_taken(tmp_path: Path) -> None:
    save_heads(MedusaHeads.on(tiny_model(0)), tmp_path / "heads")
    assert read_heads_info(str(tmp_path / "heads")) is None
    check_base(tmp_path / "heads", tiny_model(1), tiny_tokenizer())


@pytest.mark.parametrize("content", ["{", "[]", '{"base": {}}', '{"base": {"name": "x", "fingerprint": "y"}}'])
def test_a_damaged_side_file_is_one_line(content: str, tmp_path: Path) -> None:
    save_heads(random_heads(), tmp_path / "heads")
    (tmp_path / "heads" / "apar.json").write_text(content)
    with pytest.raises(ModelError, match=r"has a damaged apar\.json .*; save or download it again") as found:
        check_base(tmp_path / "heads", tiny_model(0), tiny_tokenizer())
    assert "\n" not in str(found.value)


def test_heads_are_found_by_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    heads = random_heads()
    snapshot = tmp_path / "models--me--heads" / "snapshots" / "0"
    save_heads(heads, snapshot, dtype=torch.float32)
    (tmp_path / "models--me--heads" / "refs").mkdir()
    (tmp_path / "models--me--heads" / "refs" / "main").write_text("0")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    torch.testing.assert_close(load_heads("me/heads").state_dict(), heads.state_dict(), rtol=0, atol=0)
    with pytest.raises(ModelError, match=f"me/others .* holds no Medusa heads: it has no {CONFIG_FILE}"):
        load_heads("me/others")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        save_heads(random_heads(), tmp_path / "file" / "heads")


def architectures(folder: Path) -> list[str]:
    found: list[str] = json.loads((folder / CONFIG_FILE).read_text())["architectures"]
    return found


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / CONFIG_FILE
    data = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def change_weights(folder: Path, **changes: Any) -> None:
    path = folder / WEIGHTS_FILE
    data = load_file(path) | {key.replace("__", "."): value for key, value in changes.items()}
    save_file({key: value for key, value in data.items() if value is not None}, path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / CONFIG_FILE).unlink(), f"it has no {CONFIG_FILE}"),
        (lambda folder: (folder / CONFIG_FILE).write_text("{"), "is no configuration of Medusa heads"),
        (lambda folder: (folder / CONFIG_FILE).write_text("[]"), "is no configuration of Medusa heads"),
        (lambda folder: change_config(folder, model_type="llama"), "no Medusa heads but a model"),
        (lambda folder: change_config(folder, num_heads=None), "'num_heads' is missing"),
        (lambda folder: change_config(folder, num_heads=0), "heads is 0; it must be at least 1"),
        (lambda folder: change_config(folder, truncated_vocab_size=3), "a truncated vocabulary"),
        (lambda folder: change_config(folder, num_heads=3), "lack the weight blocks.2.layers.0.weight"),
        (lambda folder: change_config(folder, num_heads=1), "for which config.json has no place"),
        (lambda folder: change_config(folder, original_lm_head=False), "lack the weight lm_heads.0.weight"),
        (lambda folder: change_config(folder, hidden_size=9), r"has the shape \(8, 8\), and .* says \(9, 9\)"),
        (lambda folder: change_weights(folder, blocks__0__layers__0__bias=torch.zeros(8)), "has no place"),
        (lambda folder: (folder / WEIGHTS_FILE).unlink(), f"has no {WEIGHTS_FILE}"),
        (lambda folder: (folder / WEIGHTS_FILE).write_bytes(b"no weights"), "cannot read"),
    ],
)
def test_a_damaged_folder_is_one_line(damage: Any, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "heads"
    save_heads(random_heads(), folder)
    damage(folder)
    with pytest.raises(ModelError, match=message) as found:
        load_heads(folder)
    assert "\n" not in str(found.value)
