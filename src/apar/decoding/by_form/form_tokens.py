"""For threads that fork by the form of their text: texts as ids, and the tokens with which no detail may begin."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from apar.decoding.by_form.child import MOST_SPACE
from apar.decoding.by_form.reader import LeadEnd

Encode = Callable[[str], list[int]]
Decode = Callable[[list[int]], str]

_MAY_BEGIN_ITEM = re.compile(r"\s*[-\d#*+•_(（一二三四五六七八九十①-⑳]")


@dataclass
class FormTokens:
    """`encode` is for text that continues another, without special tokens; `size` is that of the vocabulary.

    Sets of tokens are made when the first detail begins, each token decoded once.
    """

    encode: Encode
    decode: Decode
    eos: frozenset[int]
    size: int
    _unions: dict[tuple[frozenset[int], frozenset[int]], frozenset[int]] = field(default_factory=dict)

    def ids(self, text: str) -> list[int] | None:
        """The ids of `text` behind another text; None where they do not give it again."""
        ids = self.encode(text)
        return ids if self.text_behind(self._newline, ids) == text else None

    def text_behind(self, context: Sequence[int], ids: Sequence[int]) -> str:
        """What `ids` say behind others."""
        return self.decode([*context, *ids])[len(self.decode(list(context))) :]

    def not_first(self, lead: LeadEnd, said: str) -> frozenset[int]:
        """The tokens that may not come next in a detail of which only the white space `said` is there.

        Its end, what would be the border behind it, and what has no visible character after more white space.
        """
        if lead.marker.kind == "heading":
            is_full = len(said) >= MOST_SPACE
            return self.union(self._not_below_heading, self._blank) if is_full else self._not_below_heading
        if lead.form == "line":
            return self.union(self._not_below_title, self._blank)
        return self.union(self._not_on_line, self._blank) if said else self._not_on_line

    @cached_property
    def line_breaks(self) -> frozenset[int]:
        """The tokens that open with a line break."""
        return frozenset(token for token, text in enumerate(self._texts) if text.lstrip(" \t").startswith(("\n", "\r")))

    def union(self, one: frozenset[int], other: frozenset[int]) -> frozenset[int]:
        """All tokens of both sets. Few pairs are asked for, again and again."""
        found = self._unions.get((one, other))
        if found is None:
            found = self._unions[one, other] = one | other
        return found

    @cached_property
    def _newline(self) -> list[int]:
        return self.encode("\n")

    @cached_property
    def _texts(self) -> list[str]:
        return [self.decode([token]) for token in range(self.size)]

    @cached_property
    def _blank(self) -> frozenset[int]:
        return frozenset(token for token, text in enumerate(self._texts) if not text.strip())

    @cached_property
    def _not_on_line(self) -> frozenset[int]:
        breaks = (token for token, text in enumerate(self._texts) if text.lstrip(" \t")[:1] in ("\n", "\r", ""))
        return self.eos | frozenset(token for token in breaks if not self._is_space(token))

    @cached_property
    def _not_below_heading(self) -> frozenset[int]:
        titles = (token for token, text in enumerate(self._texts) if not text or text.lstrip().startswith("#"))
        return self.eos | frozenset(titles)

    @cached_property
    def _not_below_title(self) -> frozenset[int]:
        markers = (token for token, text in enumerate(self._texts) if _MAY_BEGIN_ITEM.match(text))
        return self._not_on_line | frozenset(markers)

    def _is_space(self, token: int) -> bool:
        return bool(self._texts[token]) and not self._texts[token].strip(" \t")
