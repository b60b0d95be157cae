"""Token ids to text, one at a time, for one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[list[int]], str]

BROKEN = "\ufffd"
"""What decoding puts where bytes are no complete character."""

_LONGEST_CHARACTER = 4
"""Bytes of the longest UTF-8 character: the first of as many tokens is no part of one that is incomplete."""


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
        text = self._text(self._pending)
        if text.endswith(BROKEN):
            return self._after_stray_bytes() or self._before_a_character(text)
        if text:
            self._context, self._pending = self._pending, []
        return text

    def flush(self) -> str:
        """The text that was held back because its last character is incomplete. Called where a node ends."""
        text = self._text(self._pending) if self._pending else ""
        # The broken bytes are no context: the next node's bytes would complete them.
        self._pending = []
        return text

    def fork(self) -> Detokenizer:
        """A detokenizer for a child, which goes on behind the same context."""
        return Detokenizer(self._decode, self._context)

    def _after_stray_bytes(self) -> str:
        """All that is pending, if it is stray bytes and then text.

        A decoder may take a run of bytes for broken as a whole: then the text is seen only without the stray ones.
        """
        for split in range(1, len(self._pending)):
            text = self._text(self._pending[split:])
            if text and not text.endswith(BROKEN):
                text = self._text(self._pending[:split]) + text
                self._context, self._pending = self._pending[split:], []
                return text
        return ""

    def _before_a_character(self, text: str) -> str:
        """Of pending tokens with broken `text`, that of the first ones, which are no part of a character to come.

        The others may begin one. Where tokens end within characters, there may be no border between two of them
        that is also one of characters: then all wait.
        """
        if len(self._pending) < _LONGEST_CHARACTER:
            return ""
        for split in range(1, len(self._pending)):
            head = self._text(self._pending[:split])
            if head + self._text(self._pending[split:]) == text:
                # What is broken is no context: the bytes that follow would be decoded together with it.
                self._pending = self._pending[split:]
                return head
        return ""

    def _text(self, tokens: list[int]) -> str:
        return self._decode(self._context + tokens)[len(self._decode(self._context)) :]


class NoDetokenizer(Detokenizer):
    """For an engine that makes no text: what it decodes is made text elsewhere."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(lambda ids: "")

    def feed(self, token: int) -> str:
        """Nothing."""
        return ""

    def flush(self) -> str:
        """Nothing."""
        return ""

    def fork(self) -> Detokenizer:
        """The same: it has no state."""
        return self
