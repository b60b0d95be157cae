"""The pieces in which a server streams text, in place of tokens.

A piece of text counts as one token of the answer. Its id is a number within the answer: the first text that is new has
the next number. So all that reads paths of ids reads these, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from apar.decoding.by_form.form_tokens import FormTokens
from apar.decoding.by_form.reader import LeadEnd

END, PROMPT = 0, 1
"""The end of a thread, which has no text, and the prompt."""


class Pieces:
    """All pieces of one answer, its prompt among them."""

    def __init__(self, prompt: str) -> None:
        self._texts = ["", prompt]
        self._ids: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def id_of(self, text: str) -> int:
        """The id of a piece, which may be new."""
        found = self._ids.setdefault(text, len(self._texts))
        if found == len(self._texts):
            self._texts.append(text)
        return found

    def encode(self, text: str) -> list[int]:
        """A text as one piece."""
        return [self.id_of(text)] if text else []

    def decode(self, ids: Sequence[int]) -> str:
        """The text of pieces."""
        return "".join(self._texts[token] for token in ids)


class PieceTokens(FormTokens):
    """The pieces of an answer for threads that fork by its form. What may not come next is said of those so far."""

    def __init__(self, pieces: Pieces) -> None:
        super().__init__(pieces.encode, pieces.decode, frozenset([END]), len(pieces))
        self._pieces = pieces

    def not_first(self, lead: LeadEnd, said: str) -> frozenset[int]:
        """The pieces that may not come next; see `FormTokens.not_first`. Asked of the first pieces of details only."""
        return FormTokens(self.encode, self.decode, self.eos, len(self._pieces)).not_first(lead, said)
