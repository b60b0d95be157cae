"""What the extraction may decide, and the numbers by which it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Rule = Literal["ordered_list", "bullet_list", "paragraphs", "unstructured"]
"""What the parts of an answer are."""

Reason = Literal[
    "empty",  # no text at all
    "code",  # fenced or indented code, or lines that read as a program
    "formula",  # TeX, or equations in plain text
    "table",  # a Markdown table
    "markup",  # HTML tags
    "url",  # links, images, addresses
    "quotation",  # block quotations
    "cjk",  # Chinese, Japanese or Korean, whose sentences and leads need rules of their own
    "verse",  # poems and songs: the lines of a paragraph depend on each other
    "dialogue",  # speech: each paragraph answers the one before
    "story",  # a narrative: each paragraph goes on from the one before
    "letter",  # salutation and signature are no parts
    "too_few_parts",  # no list or row of paragraphs is long enough
    "short_details",  # there are enough parts, and they have no lead or too little to say after it
    "too_many_parts",  # more threads than an engine should open
    "one_part",  # nearly everything is in one part: nothing would run beside it
]
"""Why an answer is unstructured."""

CONTENT_REASONS: frozenset[Reason] = frozenset(
    ("code", "formula", "table", "markup", "url", "quotation", "cjk", "verse", "dialogue", "story", "letter")
)
RULES: tuple[Rule, ...] = get_args(Rule)
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class ExtractConfig:
    """When an answer counts as structured. Lengths are in characters.

    `refused` are the kinds of content that make an answer unstructured whatever its form; leave one out to
    fork such answers too.
    """

    min_parts: int = 3
    max_parts: int = 32
    min_detail_chars: int = 10
    max_lead_chars: int = 120
    min_sentence_chars: int = 20
    max_sentence_chars: int = 240
    min_sentence_detail_ratio: float = 0.5
    max_part_share: float = 0.8
    refused: frozenset[Reason] = CONTENT_REASONS


DEFAULT_CONFIG = ExtractConfig()


@dataclass(frozen=True, slots=True)
class Part:
    """A part that may fork: its node ends at `lead_end`, its detail at `end` (offsets in the answer)."""

    lead_end: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.lead_end
