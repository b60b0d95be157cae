"""Token ids to text, one at a time, for one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[list[int]], str]

BROKEN = "\ufffd"
"""What decoding puts where bytes are no complete character."""

_LONGEST_CHARACTER = 4
"""Bytes of the longest UTF-8 character: more tokens than that are no character in the making."""


class Detokenizer:
    """Decodes a thread's tokens as they come.

    A token's text can depend on its neighbours (a leading space, a character spread over several tokens), so
    a token is decoded behind `context`, the ids shown last. A child starts with its parent's context: its
    first text keeps the space that a decoder drops at the beginning of a text.
    """

    __slots__ = ("_context", "_decode", "_pending")

    def __init__(self, decode: Decode, context: Sequence[int] = ()) -> None:
        self._decode = decode
        self._context = list(context)
        self._pending: list[int] = []

    def feed(self, token: int) -> str:
        """The text that `token` completes; empty while a character is incomplete."""
        self._pending.append(token)
        text = self._text()
        if text.endswith(BROKEN) and len(self._pending) < _LONGEST_CHARACTER:
            return ""
        if text:
            self._context, self._pending = self._pending, []
        return text

    def flush(self) -> str:
        """The text that was held back because its last character is incomplete. Called where a node ends."""
        text = self._text() if self._pending else ""
        # The broken bytes are no context: the next node's bytes would complete them.
        self._pending = []
        return text

    def fork(self) -> Detokenizer:
        """A detokenizer for a child, which goes on behind the same context."""
        return Detokenizer(self._decode, self._context)

    def _text(self) -> str:
        return self._decode(self._context + self._pending)[len(self._decode(self._context)) :]
