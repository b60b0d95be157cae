"""llama.cpp by its Python package, on a GGUF file of the same weights in the same type."""

from __future__ import annotations

import ctypes
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np

Array = np.ndarray[Any, Any]

_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2"}
_TYPES = {
    "float32": gguf.GGMLQuantizationType.F32,
    "bfloat16": gguf.GGMLQuantizationType.BF16,
    "float16": gguf.GGMLQuantizationType.F16,
}


class Peer:
    """Greedy decoding of a batch of prompts of one length, by the package's low-level functions."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.version = f"llama-cpp-python {llama_cpp.__version__}"
        self.threads = settings["threads"]
        file = Path(settings["scratch"]) / "model.gguf"
        write_gguf(Path(settings["folder"]), file, settings["dtype"])
        # Kept in a member: the library calls it as long as the process lives.
        self._quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(str(file).encode(), llama_cpp.llama_model_default_params())
        if not self._model:
            raise RuntimeError("llama.cpp cannot load the GGUF file")
        self._context = self._new_context(settings)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._batch = llama_cpp.llama_batch_init(settings["batch"] * settings["context"], 0, 1)

    def _new_context(self, settings: dict[str, Any]) -> Any:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = settings["batch"] * settings["context"]
        params.n_seq_max = settings["batch"]
        params.n_threads = params.n_threads_batch = self.threads
        context = llama_cpp.llama_init_from_model(self._model, params)
        if not context:
            raise RuntimeError("llama.cpp cannot make a context")
        return context

    def decode(self, prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self._context), True)
        length = len(prompts[0])
        chosen = self._feed(prompts, 0)
        answers = [[token] for token in chosen]
        for position in range(length, length + new_tokens - 1):
            chosen = self._feed([[token] for token in chosen], position)
            for answer, token in zip(answers, chosen, strict=True):
                answer.append(token)
        return answers

    def _feed(self, rows: list[list[int]], position: int) -> list[int]:
        """Feed each sequence its tokens from `position` on; the likeliest next token of each."""
        batch = self._batch
        batch.n_tokens = 0
        ends = []
        for sequence, tokens in enumerate(rows):
            for offset, token in enumerate(tokens):
                number = batch.n_tokens
                batch.token[number] = token
                batch.pos[number] = position + offset
                batch.n_seq_id[number] = 1
                batch.seq_id[number][0] = sequence
                batch.logits[number] = offset == len(tokens) - 1
                batch.n_tokens += 1
            ends.append(batch.n_tokens - 1)
        if llama_cpp.llama_decode(self._context, batch):
            raise RuntimeError("llama.cpp failed to decode")
        return [int(self._logits(number).argmax()) for number in ends]

    def _logits(self, number: int) -> Array:
        pointer = llama_cpp.llama_get_logits_ith(self._context, number)
        return np.ctypeslib.as_array(pointer, shape=(self._vocabulary,))


def write_gguf(folder: Path, file: Path, dtype: str) -> None:
    """Write a Llama or Qwen2 folder as GGUF, without a vocabulary. Raises ValueError for another model."""
    config = json.loads((folder / "config.json").read_text())
    rope = config.get("rope_parameters") or {"rope_theta": config.get("rope_theta", 10000.0)}
    if config["model_type"] not in _ARCHITECTURES or rope.get("rope_type", "default") != "default":
        raise ValueError(f"no GGUF names are known for {config['model_type']} with its rotary positions")
    writer = gguf.GGUFWriter(str(file), _ARCHITECTURES[config["model_type"]])
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")
    for name, weight in _weights(folder):
        if config["model_type"] == "llama" and name.endswith(("q_proj.weight", "k_proj.weight")):
            weight = _interleaved(weight, heads if "q_proj" in name else kv_heads)
        # llama.cpp wants vectors in float32 whatever the type of the matrices.
        kind = _TYPES[dtype] if weight.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(_gguf_name(name), gguf.quants.quantize(weight, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _gguf_name(name: str) -> str:
    stem, _, kind = name.rpartition(".")
    if stem in _NAMES:
        return f"{_NAMES[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{_LAYER_NAMES[part]}.{kind}"


def _interleaved(weight: Array, heads: int) -> Array:
    """llama.cpp turns neighbouring channels of a head together, Transformers those half a head apart."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def _weights(folder: Path) -> Iterator[tuple[str, Array]]:
    """The tensors of the folder's safetensors files, in float32."""
    for path in sorted(folder.glob("*.safetensors")):
        data = np.memmap(path, dtype=np.uint8, mode="r")
        start = 8 + struct.unpack("<Q", data[:8].tobytes())[0]
        header = json.loads(data[8:start].tobytes())
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                yield name, _to_float32(data[start + begin : start + end], entry["dtype"]).reshape(entry["shape"])


def _to_float32(raw: Array, dtype: str) -> Array:
    if dtype == "BF16":
        return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return raw.view({"F32": np.float32, "F16": np.float16}[dtype]).astype(np.float32)
