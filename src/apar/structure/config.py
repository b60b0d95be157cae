"""The knobs of the structure reader; the paper's values are `PAPER`, ours are `DEFAULT`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_serializer, model_validator

from apar.config import Section
from apar.structure.labels import Reason, Rule

Lead = Literal["emphasis", "colon", "dash", "line", "sentence"]
"""How a lead may end: with a phrase in bold or italics, a colon, a spaced dash, its line, its sentence."""

_ALL_RULES: tuple[Rule, ...] = ("ordered_list", "bullet_list", "sections", "labels", "paragraphs")
_ALL_LEADS: tuple[Lead, ...] = ("emphasis", "colon", "dash", "line", "sentence")
_CONTENT: tuple[Reason, ...] = ("code", "formula", "table", "markup", "url", "quotation", "cjk")
_DEPENDENCE: tuple[Reason, ...] = (
    "short_lines",
    "dialogue",
    "narrative",
    "letter",
    "derivation",
    "counting",
    "continued",
    "carried_over",
    "code_continued",
)


class StructureConfig(Section):
    """When the parts of an answer fork. Lengths are in characters; a Chinese character counts as three.

    `rules` are the kinds of parts that are looked for and `leads` the ways in which their leads may end.
    `refused` are the reasons for which parts do not fork: what is left out of it forks.
    """

    rules: frozenset[Rule] = frozenset(_ALL_RULES)
    leads: frozenset[Lead] = frozenset(_ALL_LEADS)
    refused: frozenset[Reason] = frozenset(_DEPENDENCE)
    max_depth: int = Field(default=4, ge=1, le=16)
    """Details within details; 1 reads the outermost parts only."""
    min_parts: int = Field(default=2, ge=2)
    """Parts with a lead and a detail that a list, sections or labels must have."""
    min_paragraphs: int = Field(default=3, ge=2)
    """The same for plain paragraphs that open with a topic sentence."""
    whole_opening: bool = True
    """Whether an answer's first paragraph, where its parts are paragraphs, stays whole: it mostly introduces."""
    min_fork_share: float = Field(default=0.5, ge=0, le=1)
    """The share of a list's items that must have a lead and a detail."""
    max_parts: int = Field(default=64, ge=2)
    """Details of one answer in all; where there are more, the innermost do not fork."""
    min_detail_chars: int = Field(default=20, ge=1)
    max_lead_chars: int = Field(default=120, ge=1)
    max_repeated_leads: int | None = Field(default=None, ge=0)
    """An answer does not fork if more of its leads than this say, word for word, what one before them in their thread
    said; case, numbers and emphasis do not count. Null sets no limit."""
    lead_words: int | None = Field(default=None, ge=1)
    """A lead is cut after so many words, and the rest of it opens the detail; null leaves leads whole. What forks stays
    the same. Leads of one group keep as many words more as tell them apart."""
    fork_opening: bool = False
    """Whether plain paragraphs before the parts of an answer or a detail fork as well, after `lead_words` words."""
    min_sentence_chars: int = Field(default=20, ge=0)
    """A shorter first sentence of a paragraph ("Yes!") is no topic sentence."""
    max_sentence_chars: int = Field(default=240, ge=1)
    min_sentence_detail_ratio: float = Field(default=0.5, ge=0)
    """What follows a first sentence must have at least this share of the sentence's length."""
    min_gain: float = Field(default=1.05, ge=1)
    """The least ideal speed-up of an answer, by characters; below, nothing of weight would run beside."""
    max_chars: int = Field(default=200_000, ge=1)
    """A longer answer is not read: this bounds the time that one answer can take."""

    @model_validator(mode="after")
    def _openings_have_words(self) -> Self:
        if self.fork_opening and self.lead_words is None:
            raise ValueError("fork_opening needs lead_words, after how many words a paragraph forks: set lead_words=8")
        return self

    @field_serializer("rules", "leads", "refused", when_used="json")
    def _in_order(self, names: frozenset[str]) -> list[str]:
        """As a list in one order, so that a configuration is always written alike."""
        return sorted(names)


DEFAULT = StructureConfig()
PAPER = StructureConfig(
    rules=frozenset(("ordered_list", "paragraphs")),
    leads=frozenset(("colon", "sentence")),
    refused=frozenset(_CONTENT),
    max_depth=1,
    min_parts=3,
    min_paragraphs=3,
    whole_opening=False,
    min_fork_share=0,
    max_parts=1000,
    min_detail_chars=10,
    min_sentence_chars=0,
    max_sentence_chars=10_000,
    max_lead_chars=10_000,
    min_sentence_detail_ratio=0,
    min_gain=1,
)
"""The paper's rules (section 3.1 and its code) on our parser: numbered lists `N. lead: detail` of at least
three items with details of at least ten characters, else at least three paragraphs whose first sentence is
the lead; one level; nothing with code, formulas, tables, markup, addresses or Chinese."""
