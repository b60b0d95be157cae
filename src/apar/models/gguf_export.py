"""Writing a model as a GGUF file: its adapter merged, control tokens in the vocabulary, weights quantised."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apar.data.files import atomic_path, give_usual_rights
from apar.errors import ModelError, UserError
from apar.extras import require
from apar.models.gguf_vocabulary import write_vocabulary
from apar.models.load import load
from apar.models.model_source import model_source

KINDS = ("F16", "Q8_0", "Q4_1")
"""How the matrices are kept."""

_EMBEDDINGS = {"F16": "F16", "Q8_0": "Q8_0", "Q4_1": "Q8_0"}
"""How the embeddings are kept, of which each token reads one row and the output all: more bits are worth it there."""

_FILE_TYPES = {"F16": "MOSTLY_F16", "Q8_0": "MOSTLY_Q8_0", "Q4_1": "MOSTLY_Q4_1"}
_ARCHITECTURES = {"llama": "LLAMA", "mistral": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3"}
_INTERLEAVED = ("q_proj.weight", "k_proj.weight", "q_proj.bias", "k_proj.bias")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What of a Hugging Face config a GGUF file names."""

    architecture: str
    layers: int
    heads: int
    kv_heads: int
    head_size: int

    @classmethod
    def of(cls, config: Any, name: str) -> _Shape:
        """Raises ModelError for an architecture, or rotary positions, that are not written here."""
        rope = getattr(config, "rope_parameters", None) or {}
        fits = config.model_type in _ARCHITECTURES and rope.get("rope_type", "default") == "default"
        if not fits or (getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)):
            raise ModelError(
                f"{name} ({config.model_type}) cannot be written as GGUF here, only Llama, Mistral, Qwen2 and Qwen3 "
                "with full attention and plain rotary positions: write a folder with `apar merge`, and convert that "
                "with llama.cpp's convert_hf_to_gguf.py"
            )
        heads = config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // heads
        return cls(
            _ARCHITECTURES[config.model_type],
            config.num_hidden_layers,
            heads,
            getattr(config, "num_key_value_heads", None) or heads,
            size,
        )


def write_gguf(
    model: str | os.PathLike[str],
    file: str | os.PathLike[str],
    kind: str = "Q8_0",
    adapter: str | os.PathLike[str] | None = None,
) -> Path:
    """Write a model to a new GGUF file that any llama.cpp program loads, its matrices kept as `kind` says.

    In it are the weights, with the adapter merged in float32, the vocabulary with the control tokens as such, and the
    chat template. Raises UserError where the file is there already or an extra is missing, ModelError where the model
    cannot be loaded or written as GGUF; then nothing is left of the file.
    """
    target = Path(file)
    if kind not in KINDS:
        raise UserError(f"--gguf is {kind!r}; it must be one of {', '.join(KINDS)}")
    if target.exists():
        raise UserError(f"{target} is there already; name a new file")
    require("gguf", "gguf")
    source = model_source(model, adapter)
    loaded, tokenizer = load(model, "float32", "cpu", adapter, decodable=False)
    shape = _Shape.of(loaded.config, str(model))
    with atomic_path(target) as temporary:
        _write(temporary, loaded, tokenizer, shape, kind, source)
        give_usual_rights(temporary)
    return target


def _write(file: Path, model: Any, tokenizer: Any, shape: _Shape, kind: str, source: Any) -> None:
    import gguf

    architecture = gguf.MODEL_ARCH[shape.architecture]
    writer = gguf.GGUFWriter(str(file), gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(Path(source.gguf_file or source.path).stem)
    writer.add_file_type(gguf.LlamaFileType[_FILE_TYPES[kind]])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _write_shape(writer, model.config, shape)
    write_vocabulary(writer, tokenizer, model.get_input_embeddings().weight.shape[0], source)
    names = gguf.get_tensor_name_map(architecture, shape.layers)
    for name, weight in _weights(model):
        written = names.get_name(name, (".weight", ".bias"))
        if written is None:
            raise ModelError(f"{source} has the weight {name}, for which GGUF has no name in a {shape.architecture}")
        data, chosen = _packed(_reordered(name, weight, shape), written, kind)
        writer.add_tensor(written, data, raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_shape(writer: Any, config: Any, shape: _Shape) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])


def _weights(model: Any) -> list[tuple[str, Any]]:
    """All weights but an output layer that is tied to the embeddings."""
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    tied = head is None or head.weight is table.weight
    state = model.state_dict()
    return [(name, weight) for name, weight in state.items() if not (tied and name == "lm_head.weight")]


def _reordered(name: str, weight: Any, shape: _Shape) -> Any:
    """llama.cpp turns neighbouring channels of a head together in a Llama, Transformers those half a head apart."""
    if shape.architecture != "LLAMA" or not name.endswith(_INTERLEAVED):
        return weight
    heads = shape.heads if "q_proj" in name else shape.kv_heads
    return weight.reshape(heads, 2, shape.head_size // 2, -1).transpose(1, 2).reshape(weight.shape)


def _packed(weight: Any, written: str, kind: str) -> tuple[Any, Any]:
    """A weight's numbers as they are kept, and how: vectors in float32, rows that no block divides in float16."""
    import gguf

    chosen = "F32"
    if weight.ndim > 1:
        chosen = _EMBEDDINGS[kind] if written.startswith(("token_embd", "output.")) else kind
        block, _ = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[chosen]]
        chosen = chosen if weight.shape[-1] % block == 0 else "F16"
    quantisation = gguf.GGMLQuantizationType[chosen]
    return gguf.quants.quantize(weight.detach().float().contiguous().numpy(), quantisation), quantisation
