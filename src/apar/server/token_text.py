"""Tokens as clients read them beside log probabilities: each as a text and as bytes."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_UNKNOWN = "\ufffd"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class TokenTexts:
    """The text and the bytes of the tokens of a tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._byte_level = _is_byte_level(tokenizer)
        self.of = lru_cache(maxsize=65536)(self._of)

    def _of(self, token: int) -> tuple[str, tuple[int, ...]]:
        """A token's text, and its bytes. One that is no whole character is written as `\\xe4\\xb8`."""
        data = self._bytes(token)
        try:
            return data.decode("utf-8"), tuple(data)
        except UnicodeDecodeError:
            return "".join(f"\\x{byte:02x}" for byte in data), tuple(data)

    def _bytes(self, token: int) -> bytes:
        if hasattr(self._tokenizer, "token_bytes"):  # llama.cpp's, which knows
            said: bytes = self._tokenizer.token_bytes(token)
            return said
        text: str = self._tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False)
        name = self._tokenizer.convert_ids_to_tokens(token) or text
        if byte := _BYTE.fullmatch(name):
            return bytes([int(byte[1], 16)])
        if _UNKNOWN in text and self._byte_level:
            known = _byte_characters()
            return bytes(known[character] for character in name if character in known)
        if name.startswith("▁") and not text.startswith(" "):  # SentencePiece leaves the space before a text out
            return (" " + text).encode("utf-8", "surrogatepass")
        return text.encode("utf-8", "surrogatepass")


def _is_byte_level(tokenizer: Any) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # The state of the decoder alone: that of the whole tokenizer takes long where the vocabulary is large.
    return backend is not None and backend.decoder is not None and b"ByteLevel" in backend.decoder.__getstate__()


@lru_cache(maxsize=1)
def _byte_characters() -> dict[str, int]:
    """The characters that stand for bytes in the vocabulary of a byte-level tokenizer."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {character: byte for byte, character in bytes_to_unicode().items()}  # type: ignore[no-untyped-call]
