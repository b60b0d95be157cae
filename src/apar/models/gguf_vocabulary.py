"""The vocabulary of a model as a GGUF file has it, with the control tokens as tokens that no text becomes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from apar.errors import ModelError
from apar.models.gguf_file import gguf_path
from apar.models.model_source import ModelSource
from apar.tokens import CHILD, FORK

_COPIED = "tokenizer."
_LISTS = ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.scores")
_TEMPLATE = "tokenizer.chat_template"

_LETTERS_AND_DIGITS = r"\p{N}{1,3}"
_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITTING_BY_PATTERN = {_QWEN2: "qwen2", _QWEN2.replace(r"\p{N}| ?", rf"{_LETTERS_AND_DIGITS}| ?"): "llama-bpe"}
"""llama.cpp's names for how text is split before it is encoded, by the pattern in a tokenizer's file."""


def write_vocabulary(writer: Any, tokenizer: Any, rows: int, source: ModelSource) -> None:
    """Write tokens, how text is split into them, special tokens and the chat template.

    There are as many tokens as the model has `rows`. What a GGUF file `source` has of it is kept, and what the
    tokenizer has more is added. Raises ModelError for a tokenizer that GGUF has no name for.
    """
    if source.gguf_file is not None:
        _copy(writer, tokenizer, rows, source)
    else:
        _write_bytes_level(writer, tokenizer, rows, str(source))


def _copy(writer: Any, tokenizer: Any, rows: int, source: ModelSource) -> None:
    """The vocabulary of a file, and behind it the tokens that the tokenizer has more."""
    import gguf

    reader = gguf.GGUFReader(gguf_path(ModelSource(source.path, source.gguf_file)))
    tokens = _contents(reader, "tokenizer.ggml.tokens") or []
    types = _contents(reader, "tokenizer.ggml.token_type") or [gguf.TokenType.NORMAL] * len(tokens)
    more = _texts(tokenizer, range(len(tokens), rows))
    writer.add_token_list([*tokens, *more])
    writer.add_token_types([*types, *(_type(tokenizer, text, number) for number, text in enumerate(more, len(tokens)))])
    if scores := _contents(reader, "tokenizer.ggml.scores"):
        writer.add_token_scores([*scores, *(0.0 for _ in more)])
    for field in reader.fields.values():
        if field.name.startswith(_COPIED) and field.name not in (*_LISTS, _TEMPLATE):
            sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type)
    _write_template(writer, tokenizer)


def _contents(reader: Any, key: str) -> list[Any] | None:
    field = reader.get_field(key)
    return None if field is None else list(field.contents())


def _write_bytes_level(writer: Any, tokenizer: Any, rows: int, name: str) -> None:
    """The vocabulary of a fast tokenizer that merges bytes, as those of GPT-2, Llama 3 and Qwen are."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitting(state, name))
    tokens = _texts(tokenizer, range(rows))
    writer.add_token_list(tokens)
    writer.add_token_types([_type(tokenizer, text, number) for number, text in enumerate(tokens)])
    merges = state["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    for kind in ("bos", "eos", "pad"):
        token = getattr(tokenizer, f"{kind}_token_id")
        if token is not None:
            getattr(writer, f"add_{kind}_token_id")(token)
    begins = tokenizer.encode("", add_special_tokens=True)
    writer.add_add_bos_token(bool(begins) and begins[0] == tokenizer.bos_token_id)
    _write_template(writer, tokenizer)


def _splitting(state: dict[str, Any], name: str) -> str:
    """llama.cpp's name for how a tokenizer splits text."""
    splitters = state.get("pre_tokenizer") or {}
    steps = splitters.get("pretokenizers", [splitters])
    patterns = [step["pattern"].get("Regex") for step in steps if step.get("type") == "Split"]
    kinds = [step.get("type") for step in steps]
    if state["model"]["type"] == "BPE" and kinds[-1:] == ["ByteLevel"] and not steps[-1].get("add_prefix_space"):
        if kinds == ["ByteLevel"] and steps[-1].get("use_regex", True):
            return "gpt-2"
        if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
            return "smollm"
        if len(patterns) == 1 and patterns[0] in _SPLITTING_BY_PATTERN and kinds == ["Split", "ByteLevel"]:
            return _SPLITTING_BY_PATTERN[patterns[0]]
    raise ModelError(
        f"how the tokenizer of {name} splits text has no name that is known here: write a folder with `apar merge`, "
        "and convert that with llama.cpp's convert_hf_to_gguf.py"
    )


def _texts(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The tokens of ids, with a name for rows of the model that no token has."""
    known = len(tokenizer)
    return [str(tokenizer.convert_ids_to_tokens(number)) if number < known else f"[PAD{number}]" for number in ids]


def _type(tokenizer: Any, text: str, number: int) -> int:
    import gguf

    if number >= len(tokenizer):
        return int(gguf.TokenType.UNUSED)
    added = tokenizer.added_tokens_decoder.get(number)
    if text in (FORK, CHILD) or (added is not None and added.special):
        return int(gguf.TokenType.CONTROL)
    return int(gguf.TokenType.NORMAL if added is None else gguf.TokenType.USER_DEFINED)


def _write_template(writer: Any, tokenizer: Any) -> None:
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)
