"""The tokenizer of a GGUF file, with the methods of a Hugging Face tokenizer that prompts and answers need."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import llama_cpp

from apar.backends.llama_cpp.chat_template import ChatTemplate
from apar.backends.llama_cpp.library import LlamaModel
from apar.decoding.vocabulary import Vocabulary
from apar.errors import ModelError
from apar.tokens import CHILD, FORK, ControlTokens

_SPECIAL = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
_SPACE_FIRST = (llama_cpp.LLAMA_VOCAB_TYPE_SPM, llama_cpp.LLAMA_VOCAB_TYPE_UGM)
_PRIVATE_USE = range(0xE000, 0xF900)


class _Rendered(str):
    """A chat as its template made it; `mark` stands where a user's text would be read as a special token."""

    __slots__ = ("mark",)
    mark: str


class LlamaTokenizer:
    """Encodes and decodes by the vocabulary of a loaded model, in any thread of the host program.

    `name` is the file's in messages. Raises ModelError where the file has no vocabulary.
    """

    def __init__(self, model: LlamaModel, name: str) -> None:
        self._model, self._name = model, name
        self._pointer = model.vocabulary
        kind = llama_cpp.llama_vocab_type(self._pointer)
        if kind == llama_cpp.LLAMA_VOCAB_TYPE_NONE or not model.num_tokens:
            raise ModelError(f"{name} holds no tokenizer (tokenizer.ggml.tokens); take a GGUF file that has one")
        self._opens_with_space = kind in _SPACE_FIRST and model.metadata("tokenizer.ggml.add_space_prefix") != "false"
        self._special = {
            token: self.convert_ids_to_tokens(token)
            for token in range(model.num_tokens)
            if llama_cpp.llama_vocab_get_attr(self._pointer, token) & _SPECIAL
        }
        self._piece = lru_cache(maxsize=None)(self.token_bytes)

    def __len__(self) -> int:
        return self._model.num_tokens

    @property
    def chat_template(self) -> str:
        """The file's. Raises ModelError where it has none."""
        found = llama_cpp.llama_model_chat_template(self._model.pointer, None)
        if not found:
            raise ModelError(f"{self._name} has no chat template (tokenizer.chat_template); take a file that has one")
        return found.decode(errors="replace") if isinstance(found, bytes) else str(found)

    @property
    def eos_token_id(self) -> int | None:
        token = int(llama_cpp.llama_vocab_eos(self._pointer))
        return token if token >= 0 else None

    @property
    def ends(self) -> frozenset[int]:
        """All tokens that end an answer, as llama.cpp knows them."""
        ends = (token for token in self._special if llama_cpp.llama_vocab_is_eog(self._pointer, token))
        eos = self.eos_token_id
        return frozenset(ends) | (frozenset() if eos is None else {eos})

    def get_added_vocab(self) -> dict[str, int]:
        """The special tokens by their texts."""
        return {text: token for token, text in self._special.items()}

    def convert_ids_to_tokens(self, token: int) -> str:
        """A token as the vocabulary writes it."""
        text = llama_cpp.llama_vocab_get_text(self._pointer, token)
        return (text or b"").decode(errors="replace")

    def encode(self, text: str, add_special_tokens: bool = True, split_special_tokens: bool = False) -> list[int]:
        """The ids of a text; its special tokens are recognised unless they are to be split."""
        if split_special_tokens:
            return self._tokenize(text, add_special_tokens, False)
        if not isinstance(text, _Rendered):
            return self._tokenize(text, add_special_tokens, True)
        ids: list[int] = []
        known = self.get_added_vocab()
        # The odd pieces are special tokens, the even ones the text between.
        for number, piece in enumerate(self._pattern.split(text)):
            plain = piece.replace(text.mark, "")
            ids += [known[piece]] if number % 2 else self._tokenize(plain, False, False) if plain else []
        return ids

    def decode(
        self, ids: Sequence[int], skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool = False
    ) -> str:
        """The text of tokens; what is no character is U+FFFD."""
        said = b"".join(self._piece(token) for token in ids if not (skip_special_tokens and token in self._special))
        if self._opens_with_space and said.startswith(b" "):
            said = said[1:]
        return said.decode("utf-8", errors="replace")

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, str]], tokenize: bool = False, add_generation_prompt: bool = True
    ) -> str:
        """The text of a chat. What in a message would be read as a special token is marked: `encode` knows the mark."""
        texts = [text for message in messages for text in message.values()]
        if not any(self._pattern.search(text) for text in texts):
            return self._template.render(messages, add_generation_prompt)
        mark = _unused(texts)
        marked = [{key: self._marked(text, mark) for key, text in message.items()} for message in messages]
        rendered = _Rendered(self._template.render(marked, add_generation_prompt))
        rendered.mark = mark
        return rendered

    def token_bytes(self, token: int) -> bytes:
        """What a token says, special ones as they are written."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama_cpp.llama_token_to_piece(self._pointer, token, buffer, size, 0, True)
            if length >= 0:
                return buffer.raw[:length]
            size = -length

    @cached_property
    def _template(self) -> ChatTemplate:
        names = {"bos_token": llama_cpp.llama_vocab_bos, "eos_token": llama_cpp.llama_vocab_eos}
        ids = {name: int(find(self._pointer)) for name, find in names.items()}
        tokens = {name: self.convert_ids_to_tokens(token) if token >= 0 else "" for name, token in ids.items()}
        return ChatTemplate(self.chat_template, tokens)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """A special token in a text: of two that begin alike, the longer one."""
        texts = sorted((text for text in self._special.values() if len(text) > 1), key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, texts))})" if texts else r"((?!))")

    def _marked(self, text: str, mark: str) -> str:
        return self._pattern.sub(lambda found: mark + mark.join(found[0]) + mark, text)

    def _tokenize(self, text: str, add_special: bool, parse_special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        size = len(data) + 8
        while True:
            ids = (ctypes.c_int32 * size)()
            count = llama_cpp.llama_tokenize(self._pointer, data, len(data), ids, size, add_special, parse_special)
            if count >= 0:
                return ids[:count]
            size = -count


def vocabulary_of(tokenizer: LlamaTokenizer, name: str) -> Vocabulary:
    """The vocabulary that decoding needs. Raises ModelError where nothing ends an answer."""
    ends = tokenizer.ends
    if not ends:
        raise ModelError(f"{name} names no end-of-sequence token (tokenizer.ggml.eos_token_id); take another file")
    known = tokenizer.get_added_vocab()
    control = ControlTokens(known[FORK], known[CHILD], ends) if {FORK, CHILD} <= known.keys() else None
    return Vocabulary(tokenizer, control, ends)


def _unused(texts: Sequence[str]) -> str:
    """A character that occurs in none of the texts, and that means nothing."""
    said: set[Any] = set().union(*texts)
    return next(character for character in map(chr, _PRIVATE_USE) if character not in said)
