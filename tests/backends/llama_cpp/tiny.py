"""Tiny random Llamas as GGUF files: written by the gguf package in a moment, nothing downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from apar.tokens import CHILD, FORK

END, USER, ASSISTANT = "<|end|>", "<|user|>", "<|assistant|>"
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
LAYERS, WIDTH, HEADS, INNER, CONTEXT = 2, 64, 2, 96, 256


def letters() -> list[str]:
    """How GPT-2's vocabulary writes each byte: those that are no printable character as others beyond 255."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def write_tiny(
    file: Path,
    seed: int = 0,
    *,
    control: bool = True,
    fork: float = 18.0,
    end: float = 4.0,
    template: str | None = TEMPLATE,
    context: int = CONTEXT,
    architecture: str = "llama",
    **more: int,
) -> Path:
    """Write a Llama of two layers in float32; return the file. Its `[Fork]` and its end are so much likelier.

    `more` are further fields of the architecture, with `__` for their dots.
    """
    tokens = [*letters(), "he", "th", "Ġa", END, USER, ASSISTANT, *((FORK, CHILD) if control else ())]
    special = len(tokens) - tokens.index(END)
    writer = gguf.GGUFWriter(str(file), architecture)
    _write_shape(writer, context)
    for key, value in more.items():
        writer.add_uint32(f"{architecture}.{key.replace('__', '.')}", value)
    _write_vocabulary(writer, tokens, special, ["h e", "t h", "Ġ a"])
    writer.add_eos_token_id(tokens.index(END))
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)
    biases = {tokens.index(END): end} | ({tokens.index(FORK): fork} if control else {})
    for name, weight in _weights(len(tokens), seed, biases).items():
        writer.add_tensor(name, weight.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def write_sliding(file: Path) -> Path:
    """Write a tiny Gemma 2, whose layers have a sliding window; return the file."""
    more = {
        f"blk.{layer}.{name}.weight": np.ones(WIDTH)
        for layer in range(LAYERS)
        for name in ("post_attention_norm", "post_ffw_norm")
    }
    return _write_other(file, "gemma2", {"attention.sliding_window": 16}, more)


def write_recurrent(file: Path) -> Path:
    """Write a tiny Mamba, whose layers keep a state instead of keys and values; return the file."""
    inner, state, rank = 2 * WIDTH, 4, 4
    sizes = {"conv_kernel": 4, "inner_size": inner, "state_size": state, "time_step_rank": rank}
    shapes = {
        "attn_norm.weight": (WIDTH,),
        "ssm_in.weight": (2 * inner, WIDTH),
        "ssm_conv1d.weight": (inner, 4),
        "ssm_conv1d.bias": (inner,),
        "ssm_x.weight": (rank + 2 * state, inner),
        "ssm_dt.weight": (inner, rank),
        "ssm_dt.bias": (inner,),
        "ssm_a": (inner, state),
        "ssm_d": (inner,),
        "ssm_out.weight": (WIDTH, inner),
    }
    weights = {f"blk.{layer}.{name}": np.ones(shape) for layer in range(LAYERS) for name, shape in shapes.items()}
    return _write_other(file, "mamba", {f"ssm.{name}": size for name, size in sizes.items()}, weights, own=False)


def _write_other(file: Path, architecture: str, fields: dict[str, int], more: dict[str, Any], own: bool = True) -> Path:
    """Write a model of another architecture, with `more` weights and, if `own`, those of the tiny Llama's layers."""
    tokens = [*letters(), END]
    writer = gguf.GGUFWriter(str(file), architecture)
    _write_shape(writer, CONTEXT)
    for key, value in fields.items():
        writer.add_uint32(f"{architecture}.{key}", value)
    _write_vocabulary(writer, tokens, 1, ["h e"])
    writer.add_eos_token_id(256)
    weights = _weights(len(tokens), 0, {})
    del weights["output.weight"]  # that of the embeddings serves
    kept = {name: weight for name, weight in weights.items() if own or not name.startswith("blk.")}
    for name, weight in {**kept, **more}.items():
        writer.add_tensor(name, weight.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _write_vocabulary(writer: gguf.GGUFWriter, tokens: list[str], special: int, merges: list[str]) -> None:
    """Of the tokens the last `special` are control tokens."""
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * (len(tokens) - special) + [gguf.TokenType.CONTROL] * special)
    writer.add_token_merges(merges)


def _write_shape(writer: Any, context: int) -> None:
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)


def _weights(size: int, seed: int, biases: dict[int, float]) -> dict[str, Any]:
    """Random weights. The first channel holds the same number everywhere: by it the output has biases."""
    rng = np.random.default_rng(seed)
    head = WIDTH // HEADS

    def random(*shape: int, scale: float = 0.3) -> Any:
        return rng.normal(0, scale, shape)

    weights = {
        "token_embd.weight": random(size, WIDTH, scale=1.0),
        "output_norm.weight": np.ones(WIDTH),
        "output.weight": random(size, WIDTH, scale=0.35),
    }
    for layer in range(LAYERS):
        weights |= {
            f"blk.{layer}.attn_norm.weight": np.ones(WIDTH),
            f"blk.{layer}.attn_q.weight": random(WIDTH, WIDTH),
            f"blk.{layer}.attn_k.weight": random(head, WIDTH),
            f"blk.{layer}.attn_v.weight": random(head, WIDTH),
            f"blk.{layer}.attn_output.weight": random(WIDTH, WIDTH),
            f"blk.{layer}.ffn_norm.weight": np.ones(WIDTH),
            f"blk.{layer}.ffn_gate.weight": random(INNER, WIDTH),
            f"blk.{layer}.ffn_up.weight": random(INNER, WIDTH),
            f"blk.{layer}.ffn_down.weight": random(WIDTH, INNER),
        }
        weights[f"blk.{layer}.attn_output.weight"][0] = weights[f"blk.{layer}.ffn_down.weight"][0] = 0
    weights["token_embd.weight"][:, 0] = 4.0
    weights["output.weight"][:, 0] = 0
    for token, bias in biases.items():
        weights["output.weight"][token, 0] = bias
    return weights
