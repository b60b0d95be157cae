"""Models in GGUF files: loaded as the folder that they were made of, and whatever is wrong said in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from apar.decoding.params import SamplingParams
from apar.engine.llm import LLM
from apar.errors import ModelError, UserError
from apar.models.gguf_file import gguf_path, read_gguf
from apar.models.load import load
from apar.models.model_source import ModelSource, load_tokenizer, model_source
from apar.models.vocabulary import load_vocabulary
from tests.tiny import tiny_model

pytest.importorskip("gguf")
from tests.gguf_files import write_gguf

IDS = torch.arange(20, 60).unsqueeze(0)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def file(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(base, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model(input_ids=IDS, use_cache=False).logits


def test_a_gguf_file_is_the_model_that_it_was_made_of(base: Path, file: Path) -> None:
    expected, tokenizer = load(base, "auto", "cpu")
    model, found = load(file, "auto", "cpu")
    assert torch.equal(logits(model), logits(expected))
    assert found.get_vocab() == tokenizer.get_vocab()
    assert found.chat_template == tokenizer.chat_template
    assert found.get_added_vocab() == tokenizer.get_added_vocab()


def test_its_folder_names_it_as_well(file: Path) -> None:
    assert model_source(file.parent) == model_source(str(file)) == ModelSource(str(file.parent), "tiny.gguf")


def test_its_answers_are_those_of_the_folder(base: Path, file: Path) -> None:
    params = SamplingParams(max_tokens=24)
    texts = [LLM(model, num_blocks=64).generate(["How?"], params)[0].text for model in (base, file)]
    assert texts[0] == texts[1]


def test_a_loaded_model_can_be_saved_and_is_the_same(file: Path, tmp_path: Path) -> None:
    model, _ = load(file, "auto", "cpu")
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path)), logits(model))
    assert "quantization" not in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_1"])
def test_quantised_weights_become_numbers_of_the_type_that_is_asked_for(base: Path, tmp_path: Path, kind: str) -> None:
    file = write_gguf(base, tmp_path / "tiny.gguf", kind)
    exact = load(base, "auto", "cpu")[0].model.embed_tokens.weight
    for dtype in ("float32", "bfloat16"):
        weight = load(file, dtype, "cpu")[0].model.embed_tokens.weight
        assert weight.dtype == getattr(torch, dtype)
        # Rounding to 4 bits in blocks of 32 moves a number by 1/30 of the block's range at most.
        assert (weight.float() - exact).abs().max() <= (exact.max() - exact.min()) / 28


def test_the_weights_are_counted_before_they_are_loaded(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_gguf(base, tmp_path / "tiny.gguf", "Q4_1")
    count = sum(weight.numel() for weight in load(base, "auto", "cpu")[0].parameters())
    facts = read_gguf(file)
    assert (facts.architecture, facts.weights, facts.kinds, facts.dtype) == ("llama", count, ("F32", "Q4_1"), "float32")
    monkeypatch.setattr("apar.models.memory.free_bytes", lambda device: 4 * count - 1)
    with pytest.raises(ModelError, match=r"float32, and .* are free"):
        load(file, "auto", "cpu")
    load(file, "bfloat16", "cpu")


def test_the_vocabulary_needs_no_weights(base: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_vocabulary(model_source(base))
    monkeypatch.setattr("apar.models.load.AutoModelForCausalLM", None)
    found = load_vocabulary(model_source(file))
    assert (found.control, found.eos) == (expected.control, expected.eos)


def test_digits_are_split_as_smollm_was_trained_to(base: Path, tmp_path: Path) -> None:
    plain, digits = (
        load_tokenizer(model_source(write_gguf(base, tmp_path / f"{name}.gguf", splitting=name)))
        for name in ("default", "smollm")
    )
    split = [
        [piece for piece, _ in t.backend_tokenizer.pre_tokenizer.pre_tokenize_str("a\n\n10")] for t in (plain, digits)
    ]
    assert split == [["a", "Ċ", "Ċ", "10"], ["a", "ĊĊ", "1", "0"]]


def refusal(model: Any) -> str:
    with pytest.raises(ModelError) as found:
        load(model, "auto", "cpu")
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize("kept", [10, 30, 500, 5_000, 100_000, -1])
def test_a_cut_file_is_one_line(file: Path, tmp_path: Path, kept: int) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(file.read_bytes()[:kept])
    assert "cut.gguf is cut off or damaged; download it again" in refusal(cut)


def test_what_is_no_gguf_file_is_named(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"no such thing")
    assert "is no GGUF file" in refusal(other)
    other.write_bytes(b"")
    assert "is no GGUF file" in refusal(other)
    assert "there is no GGUF file" in refusal(tmp_path / "nowhere.gguf")
    assert "there is no GGUF file" in refusal(str(tmp_path / "nowhere.gguf"))
    (tmp_path / "model.bin").write_bytes(file.read_bytes())
    assert "give its folder, or a .gguf file" in refusal(tmp_path / "model.bin")


def test_a_folder_of_several_names_them(file: Path, tmp_path: Path) -> None:
    for name in ("b.gguf", "a.gguf"):
        (tmp_path / name).write_bytes(file.read_bytes())
    assert "holds 2 GGUF files (a.gguf, b.gguf): name one of them" in refusal(tmp_path)


def test_a_folder_with_weights_of_both_kinds_is_the_ordinary_model(base: Path, file: Path, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    (folder / "tiny.gguf").write_bytes(file.read_bytes())
    assert model_source(folder) == ModelSource(str(folder))
    (folder / "model.safetensors").unlink()
    assert model_source(folder) == ModelSource(str(folder), "tiny.gguf")
    assert load(folder, "auto", "cpu")[1].chat_template  # of the file, whatever else lies there


def test_an_unknown_architecture_is_named(base: Path, tmp_path: Path) -> None:
    message = refusal(write_gguf(base, tmp_path / "odd.gguf", architecture="perceptron"))
    assert "architecture perceptron is not supported" in message


def test_an_unknown_quantisation_is_named(base: Path, tmp_path: Path) -> None:
    file = write_gguf(base, tmp_path / "odd.gguf")
    raw = file.read_bytes()
    name = b"token_embd.weight"
    place = raw.index(name) + len(name) + 4 + 2 * 8  # behind the number of dimensions and two of them
    file.write_bytes(raw[:place] + (999).to_bytes(4, "little") + raw[place + 4 :])
    assert "a quantisation that is not known" in refusal(file)


def test_one_part_of_several_is_refused(base: Path, tmp_path: Path) -> None:
    assert "is one of 3 files" in refusal(write_gguf(base, tmp_path / "part.gguf", split__count=3))


def test_a_file_without_a_tokenizer_is_refused(base: Path, tmp_path: Path) -> None:
    assert "holds no tokenizer" in refusal(write_gguf(base, tmp_path / "bare.gguf", tokenizer=False))


def test_without_the_package_the_extra_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_gguf(gguf_path(model_source(file)))
    from apar.models import gguf_file

    gguf_file._read.cache_clear()
    monkeypatch.setattr("apar.extras.importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"apar-llm\[gguf\]"):
        load(file, "auto", "cpu")
