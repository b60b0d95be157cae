"""`write_gguf`: a model as one GGUF file, read again by the loader of GGUF files and by the gguf package."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

from apar.errors import ModelError, UserError
from apar.models.gguf_export import write_gguf
from apar.models.load import load
from apar.tokens import CHILD, FORK
from tests.tiny import SENTENCES, tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny model whose tokenizer splits text as GPT-2's does."""
    made = tiny_model(tmp_path / "model", seed=3)
    tokenizer = AutoTokenizer.from_pretrained(made)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save_pretrained(made)
    return made


def _field(file: Path, key: str) -> object:
    found = gguf.GGUFReader(file).get_field(key)
    return None if found is None else found.contents()


def test_the_file_has_the_weights_and_the_vocabulary_of_the_model(folder: Path, tmp_path: Path) -> None:
    file = write_gguf(folder, tmp_path / "tiny.gguf", "F16")
    model, tokenizer = load(folder, "float32", "cpu")
    again, other = load(file, "float32", "cpu", decodable=False)
    ids = torch.tensor([tokenizer.encode(SENTENCES[0])])
    with torch.no_grad():
        difference = (model(ids).logits - again(ids).logits).abs().max()
    assert difference < 0.05
    assert other.encode(SENTENCES[0]) == ids[0].tolist()
    assert _field(file, "tokenizer.chat_template") == tokenizer.chat_template
    assert _field(file, "tokenizer.ggml.eos_token_id") == tokenizer.eos_token_id


def test_control_tokens_are_tokens_that_no_text_becomes(folder: Path, tmp_path: Path) -> None:
    file = write_gguf(folder, tmp_path / "tiny.gguf", "Q8_0")
    tokens, types = _field(file, "tokenizer.ggml.tokens"), _field(file, "tokenizer.ggml.token_type")
    assert isinstance(tokens, list)
    assert isinstance(types, list)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for name in (FORK, CHILD):
        assert tokens.index(name) == tokenizer.convert_tokens_to_ids(name)
        assert types[tokens.index(name)] == gguf.TokenType.CONTROL
    assert types[tokens.index("a")] == gguf.TokenType.NORMAL


@pytest.mark.parametrize(("kind", "matrices", "embeddings"), [("Q8_0", "Q8_0", "Q8_0"), ("Q4_1", "Q4_1", "Q8_0")])
def test_matrices_are_quantised_and_vectors_are_not(
    folder: Path, tmp_path: Path, kind: str, matrices: str, embeddings: str
) -> None:
    file = write_gguf(folder, tmp_path / "tiny.gguf", kind)
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(file).tensors}
    assert kinds["blk.0.attn_q.weight"] == kinds["blk.1.ffn_up.weight"] == matrices
    assert kinds["token_embd.weight"] == kinds["output.weight"] == embeddings
    assert kinds["blk.0.attn_norm.weight"] == "F32"


def test_a_file_of_a_file_keeps_its_vocabulary_and_gets_the_adapters_tokens(folder: Path, tmp_path: Path) -> None:
    first = write_gguf(folder, tmp_path / "first.gguf", "F16")
    second = write_gguf(first, tmp_path / "second.gguf", "F16")
    for key in ("tokens", "token_type", "merges", "pre", "model", "eos_token_id"):
        assert _field(first, f"tokenizer.ggml.{key}") == _field(second, f"tokenizer.ggml.{key}")
    again = {tensor.name: tensor for tensor in gguf.GGUFReader(second).tensors}
    for tensor in gguf.GGUFReader(first).tensors:
        assert (again[tensor.name].data == tensor.data).all(), tensor.name


def test_what_cannot_be_written_is_one_line_and_leaves_no_file(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    with pytest.raises(UserError, match=r"^--gguf is 'Q9'; it must be one of F16, Q8_0, Q4_1$"):
        write_gguf(folder, file, "Q9")
    with pytest.raises(ModelError, match=r"how the tokenizer of .* splits text has no name that is known here"):
        write_gguf(tiny_model(tmp_path / "own"), file)
    assert not file.exists()
    file.write_text("mine")
    with pytest.raises(UserError, match="is there already; name a new file"):
        write_gguf(folder, file)
    assert file.read_text() == "mine"
