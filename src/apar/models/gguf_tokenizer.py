"""The tokenizer in a GGUF file, as Transformers reads it and then as it should be."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from apar.errors import ModelError
from apar.models.gguf_file import GgufFile, gguf_path, read_gguf

if TYPE_CHECKING:
    from apar.models.model_source import ModelSource

_DIGITS_ALONE = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
"""Names of llama.cpp for splitting by GPT-2's rules with each digit alone; Transformers 5.19 knows none of them."""


def read_tokenizer(source: ModelSource) -> Any:
    """The tokenizer of a source with a GGUF file. Raises ModelError where there is none, or none that can be read."""
    from apar.models.model_source import reason_of

    path = gguf_path(source)
    file = read_gguf(path)
    if not file.tokens:
        raise ModelError(f"{source} holds no tokenizer (tokenizer.ggml.tokens); take a GGUF file that has one")
    try:
        tokenizer = _of_file_alone(path)
    except Exception as error:  # whatever a file leads to
        raise ModelError(f"cannot load the tokenizer of {source}: {reason_of(error, source.path)}") from error
    _split_digits(tokenizer, file)
    return _without_later_tokens(tokenizer, file)


def _of_file_alone(path: Path) -> Any:
    """The tokenizer of a file: beside other files of a tokenizer Transformers would make one of both."""
    from transformers import AutoTokenizer

    with TemporaryDirectory() as folder:
        (Path(folder) / path.name).symlink_to(path.absolute())
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=path.name)
    tokenizer.name_or_path = str(path)
    return tokenizer


def _split_digits(tokenizer: Any, file: GgufFile) -> None:
    """Split text as the tokenizer was trained to: "\n\n1" is a token of two line ends and a digit."""
    from tokenizers import pre_tokenizers

    if file.splitting in _DIGITS_ALONE:
        bytes_of_words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), bytes_of_words]
        )


def _without_later_tokens(tokenizer: Any, file: GgufFile) -> Any:
    """The tokenizer without tokens that are not in the file: Transformers adds `<|endoftext|>` to what is like GPT-2's.

    The model has no row for them, and control tokens would not get the ids that follow the file's.
    """
    from tokenizers import Tokenizer

    if len(tokenizer) <= file.tokens:
        return tokenizer
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["id"] < file.tokens]
    named = {key: token for key, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    backend = Tokenizer.from_str(json.dumps(state))
    return type(tokenizer)(tokenizer_object=backend, chat_template=tokenizer.chat_template, **named)
