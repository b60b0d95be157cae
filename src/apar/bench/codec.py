"""Text to token ids and back, by a model's tokenizer or one that is named: real answers need real token counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apar.demo import model_folder
from apar.errors import UserError
from apar.extras import require
from apar.tokens import Message, encode_prompt, encode_text


@dataclass(frozen=True, slots=True)
class Codec:
    """How texts and prompts become ids; `name` says by what, for reports."""

    name: str
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    encode_prompt: Callable[[Sequence[Message]], list[int]]


def load_codec(path: Path | None) -> Codec:
    """The codec of a model folder, a `tokenizer.json` or a SentencePiece `.model`; None is the demo model's.

    Raises UserError where there is none or it cannot be read.
    """
    folder = model_folder() if path is None else path
    if folder.suffix == ".model" and folder.is_file():
        return _sentencepiece_codec(folder)
    if not folder.exists():
        raise UserError(f"no tokenizer at {folder}: there is no such file or folder")
    return tokenizer_codec(_load(folder), "the demo model's" if path is None else str(path))


def tokenizer_codec(tokenizer: Any, name: str) -> Codec:
    """The codec of a Hugging Face tokenizer. Without a chat template a prompt is its messages' texts, a line each."""

    def decode(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def prompt(messages: Sequence[Message]) -> list[int]:
        if tokenizer.chat_template is None:
            return encode_text(tokenizer, _plain(messages))
        return encode_prompt(tokenizer, messages)

    return Codec(name, lambda text: encode_text(tokenizer, text), decode, prompt)


def _load(path: Path) -> Any:
    require("local", "transformers")
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        if path.is_dir():
            return AutoTokenizer.from_pretrained(str(path))
        return PreTrainedTokenizerFast(tokenizer_file=str(path))  # type: ignore[no-untyped-call]
    except Exception as error:  # the libraries raise bare exceptions of their own
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path} cannot be read as a tokenizer: {reason}") from error


def _sentencepiece_codec(file: Path) -> Codec:
    require("sentencepiece", "sentencepiece")
    from sentencepiece import SentencePieceProcessor

    processor: Any = SentencePieceProcessor(model_file=str(file))
    # SentencePiece puts a space before every text; inside an answer there is none. A line break before the
    # text takes it, and is cut off.
    anchor = processor.encode("\n")

    def encode(text: str) -> list[int]:
        return list(processor.encode("\n" + text))[len(anchor) :]

    return Codec(str(file), encode, lambda ids: str(processor.decode(ids)), lambda messages: encode(_plain(messages)))


def _plain(messages: Sequence[Message]) -> str:
    return "".join(f"{message['content']}\n" for message in messages)
