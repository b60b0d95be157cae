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
    "short_lines",  # verse, outlines, forms: a paragraph's lines are no sentences to be parted
    "dialogue",  # speech: each paragraph answers the one before
    "narrative",  # a story, or someone of himself: each paragraph goes on from the one before
    "letter",  # salutation and signature are no parts
    "too_few_parts",  # no list or row of paragraphs is long enough
    "short_details",  # there are enough parts, and they have no lead or too little to say after it
    "too_many_parts",  # more threads than an engine should open
    "one_part",  # nearly everything is in one part: nothing would run beside it
]
"""Why an answer is unstructured."""

CONTENT_REASONS: frozenset[Reason] = frozenset(
    (
        "code",
        "formula",
        "table",
        "markup",
        "url",
        "quotation",
        "cjk",
        "short_lines",
        "dialogue",
        "narrative",
        "letter",
    )
)
RULES: tuple[Rule, ...] = get_args(Rule)
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class ExtractConfig:
    """When an answer counts as structured. Lengths are in characters.

    A list forks if at least `min_parts` and `min_fork_share` of its items have a lead and a detail. A lead is
    at most `max_lead_chars` long, or a sentence of at most `max_sentence_chars` (and, in a paragraph, at
    least `min_sentence_chars`) whose detail has at least `min_sentence_detail_ratio` of its length. No
    detail may hold more than `max_part_share` of the answer, for then nothing of weight would run beside it.

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
    min_fork_share: float = 0.5
    refused: frozenset[Reason] = CONTENT_REASONS


DEFAULT_CONFIG = ExtractConfig()


@dataclass(frozen=True, slots=True)
class Part:
    """A part that may fork, as offsets in the answer.

    Its lead is `[start, lead_end)`, without a marker, and its detail `[lead_end, end)`.
    """

    start: int
    lead_end: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.lead_end
