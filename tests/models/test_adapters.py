"""LoRA adapters, merged at load: the merged model gives what peft's unmerged one gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from apar.decoding.params import SamplingParams
from apar.engine.llm import LLM
from apar.errors import ModelError, UserError
from apar.models.load import load
from apar.tokens import ControlTokens, add_control_tokens
from tests.tiny import tiny_model

peft = pytest.importorskip("peft")

LINEAR = ["q_proj", "v_proj", "down_proj"]
IDS = torch.arange(20, 60).unsqueeze(0)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


def wrapped(model: Any, **settings: Any) -> Any:
    """The model with a LoRA whose every weight is random: as trained, it changes what the model says."""
    torch.manual_seed(1)
    config = peft.LoraConfig(r=4, target_modules=LINEAR, task_type="CAUSAL_LM", **settings)
    adapted = peft.get_peft_model(model, config).eval()
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.2)
    return adapted


@torch.no_grad()
def logits(model: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    return model(input_ids=ids, use_cache=False).logits


def save(base: Path, folder: Path, **settings: Any) -> torch.Tensor:
    """Save an adapter of the base; return the logits of the base with it, unmerged."""
    adapted = wrapped(AutoModelForCausalLM.from_pretrained(base), **settings)
    adapted.save_pretrained(folder)
    return logits(adapted)


@pytest.mark.parametrize(
    "settings",
    [{}, {"modules_to_save": ["embed_tokens", "lm_head"]}, {"use_dora": True}],
    ids=["lora", "tables", "dora"],
)
def test_a_merged_adapter_gives_the_logits_of_the_unmerged_one(base: Path, tmp_path: Path, settings: Any) -> None:
    expected = save(base, tmp_path, **settings)
    model, _ = load(base, "auto", "cpu", adapter=tmp_path)
    assert not hasattr(model, "peft_config")
    assert torch.allclose(logits(model), expected, atol=1e-4)
    plain, _ = load(base, "auto", "cpu")
    assert (logits(plain) - expected).abs().max() > 0.1


def test_the_engine_says_what_the_unmerged_model_says(base: Path, tmp_path: Path) -> None:
    adapted = wrapped(AutoModelForCausalLM.from_pretrained(base))
    adapted.save_pretrained(tmp_path)
    llm = LLM(base, adapter=tmp_path, num_blocks=32)
    [answer] = llm.generate(["How?"], SamplingParams(max_tokens=12, fork=False))
    ids = llm._requests.build("How?", SamplingParams()).prompt
    ended, control = {llm.tokenizer.eos_token_id}, ControlTokens.of(llm.tokenizer)
    said: list[int] = []
    while len(said) < 12 and not ended & set(said):
        row = logits(adapted, torch.tensor([[*ids, *said]]))[0, -1].clone()
        row[[control.fork, control.child]] = float("-inf")
        said.append(int(row.argmax()))
    assert answer.text == llm.tokenizer.decode(said, skip_special_tokens=True)


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
@pytest.mark.parametrize("trained", [True, False], ids=["trained tables", "saved tables"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_rows_that_the_adapter_added_are_loaded_and_its_tokenizer_is_used(
    tmp_path: Path, tied: bool, trained: bool
) -> None:
    base = tiny_model(tmp_path / "base", control=False)
    model = AutoModelForCausalLM.from_pretrained(base, tie_word_embeddings=tied)
    if tied:
        model.save_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    add_control_tokens(tokenizer)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    tables = ["embed_tokens"] if tied else ["embed_tokens", "lm_head"]
    adapted = wrapped(model, **({"modules_to_save": tables, "ensure_weight_tying": tied} if trained else {}))
    adapted.save_pretrained(tmp_path / "adapter")  # sees that rows were added, and saves them
    tokenizer.save_pretrained(tmp_path / "adapter")
    ids = torch.tensor([[3, *tokenizer.convert_tokens_to_ids(["[Fork]", "[Child]"]), 7]])
    loaded, found = load(base, "auto", "cpu", adapter=tmp_path / "adapter")
    assert len(found) == len(tokenizer) == loaded.get_input_embeddings().weight.shape[0]
    assert loaded.lm_head.out_features == len(tokenizer)
    assert torch.allclose(logits(loaded, ids), logits(adapted, ids), atol=1e-4)
    [answer] = LLM(base, adapter=tmp_path / "adapter", num_blocks=32).generate(["Q"], SamplingParams(max_tokens=4))
    assert answer.tokens > 0


def test_trained_rows_of_single_tokens_are_merged(base: Path, tmp_path: Path) -> None:
    expected = save(base, tmp_path, trainable_token_indices={"embed_tokens": [30, 31]})
    model, _ = load(base, "auto", "cpu", adapter=tmp_path)
    assert torch.allclose(logits(model), expected, atol=1e-4)


def test_an_adapter_without_a_tokenizer_leaves_the_models(base: Path, tmp_path: Path) -> None:
    save(base, tmp_path)
    _, tokenizer = load(base, "auto", "cpu", adapter=tmp_path)
    assert tokenizer.get_vocab() == AutoTokenizer.from_pretrained(base).get_vocab()


def refusal(base: Path, adapter: Any) -> str:
    with pytest.raises(ModelError) as found:
        load(base, "auto", "cpu", adapter=adapter)
    assert "\n" not in str(found.value)
    return str(found.value)


def test_what_is_no_adapter_is_named(base: Path, tmp_path: Path) -> None:
    assert "no adapter: it has no adapter_config.json" in refusal(base, base)
    assert "there is no adapter folder" in refusal(base, tmp_path / "nowhere")
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "cannot load the adapter" in refusal(base, tmp_path)


def test_an_adapter_without_weights_is_one_line(base: Path, tmp_path: Path) -> None:
    save(base, tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    assert "cannot load the adapter" in refusal(base, tmp_path)


def test_an_adapter_of_another_shape_is_refused(base: Path, tmp_path: Path) -> None:
    save(base, tmp_path / "adapter")
    model = AutoModelForCausalLM.from_pretrained(base)
    for name, changes in [("wider", {"intermediate_size": 96}), ("deeper", {"num_hidden_layers": 3}),
                          ("shallower", {"num_hidden_layers": 1})]:  # fmt: skip
        config = type(model.config)(**{**model.config.to_dict(), **changes})
        type(model)(config).save_pretrained(tmp_path / name)
        AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / name)
        assert "does not fit the model" in refusal(tmp_path / name, tmp_path / "adapter"), name


def test_an_adapter_of_layers_that_the_model_lacks_is_refused(base: Path, tmp_path: Path) -> None:
    save(base, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["c_attn"]}))
    assert "does not fit the model" in refusal(base, tmp_path)


def test_a_learned_prompt_is_refused(base: Path, tmp_path: Path) -> None:
    config = peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(tmp_path)
    assert "cannot be merged" in refusal(base, tmp_path)


def test_without_peft_the_extra_is_named(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(base, tmp_path)
    monkeypatch.setattr("apar.extras.importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs peft: .*apar-llm\[adapters\]"):
        load(base, "auto", "cpu", adapter=tmp_path)
