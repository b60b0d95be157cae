"""What the extraction may decide, and the numbers by which it does."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Rule = Literal["ordered_list", "bullet_list", "sections", "labels", "paragraphs", "generated", "unstructured"]
"""What the outermost parts of an answer are, by the most of them; `generated` are those that a model forked itself."""

Reason = Literal[
    "empty",  # no text at all
    "too_long",  # longer than an answer may be
    "code",  # fenced or indented code, or lines that read as a program
    "formula",  # TeX, or equations in plain text
    "table",  # a Markdown table
    "markup",  # HTML tags
    "url",  # links, images, addresses
    "quotation",  # block quotations
    "cjk",  # Chinese, Japanese or Korean
    "short_lines",  # verse, outlines, forms: a paragraph's lines are no sentences to be parted
    "dialogue",  # speech: each part answers the one before
    "narrative",  # a story, or someone of himself: each part goes on from the one before
    "letter",  # salutation and signature are no parts
    "derivation",  # a calculation or proof: each part uses what the one before found
    "counting",  # the parts are numbers or single words in a row
    "continued",  # parts open with words that go on from the part before: "then", "after that", "this"
    "carried_over",  # parts use names or numbers that an earlier detail brought in
    "code_continued",  # code that builds on the code of an earlier part
    "too_few_parts",  # no list, sections or row of paragraphs is long enough
    "short_details",  # there are enough parts, and they have no lead or too little to say after it
    "too_many_parts",  # more threads than an engine should open
    "one_part",  # nearly everything is in one part: nothing would run beside it
    "repeated_leads",  # leads say the same word for word: a list that a model should not learn
    "dependent",  # a model found that the details need the details before them (`apar extract --verify`)
]
"""Why an answer, or a group of parts in it, does not fork."""

RULES: tuple[Rule, ...] = get_args(Rule)
REASONS: tuple[Reason, ...] = get_args(Reason)


class Refusal(NamedTuple):
    """Parts that do not fork: the characters `[start, end)` of the answer, and why."""

    start: int
    end: int
    reason: Reason
