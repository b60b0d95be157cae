"""GGUF files of tiny models, written with the gguf package: what the tests of loading them read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

_PERMUTED = ("q_proj.weight", "k_proj.weight")


def write_gguf(
    folder: Path,
    file: Path,
    kind: str = "F32",
    *,
    architecture: str = "llama",
    splitting: str = "default",
    tokenizer: bool = True,
    **more: int,
) -> Path:
    """Write the Llama of a folder, with its tokenizer and chat template, as GGUF; return the file.

    Matrices are kept in the quantisation `kind`, which must have blocks of 32 at most. `splitting` is llama.cpp's name
    for how text is split. `more` are further fields, with `__` for their dots.
    """
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    writer = gguf.GGUFWriter(str(file), architecture)
    _write_shape(writer, model.config)
    if tokenizer:
        _write_tokenizer(writer, folder, splitting)
    for key, value in more.items():
        writer.add_uint32(key.replace("__", "."), value)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        if name.endswith(_PERMUTED):
            weight = _interleaved(weight, model.config, name)
        chosen = gguf.GGMLQuantizationType[kind if weight.ndim > 1 else "F32"]
        data = gguf.quants.quantize(weight.numpy(), chosen)
        writer.add_tensor(names.get_name(name, (".weight",)), data, raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _write_shape(writer: Any, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)


def _write_tokenizer(writer: Any, folder: Path, splitting: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    merges = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["merges"]
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitting)
    writer.add_token_list(tokens)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if number in special else gguf.TokenType.NORMAL for number in range(len(tokens))]
    )
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(tokenizer.chat_template)


def _interleaved(weight: torch.Tensor, config: Any, name: str) -> torch.Tensor:
    """llama.cpp turns neighbouring channels of a head together, Transformers those half a head apart."""
    heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
    return weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape).contiguous()
