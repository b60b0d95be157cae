"""Why the answer to a prompt is not to fork, as far as the prompt tells."""

from __future__ import annotations

from apar.decoding.by_form.prompt_words import ABOUT_WRITING, GENRES, WORDS
from apar.decoding.by_form.reasons import WhyNot
from apar.structure.content import has_formula

# What is asked for stands at the beginning or the end of a long prompt.
_LOOKED_AT = 3_000


def prompt_reason(prompt: str) -> WhyNot | None:
    """Why an answer to this prompt is not to fork; None where the prompt says nothing against it."""
    if len(prompt) > 2 * _LOOKED_AT:
        prompt = f"{prompt[:_LOOKED_AT]}\n{prompt[-_LOOKED_AT:]}"
    without_how = ABOUT_WRITING.sub("", prompt)
    for reason, pattern in WORDS:
        if pattern.search(without_how if reason in GENRES else prompt):
            return reason
    return "formula" if has_formula(prompt) else None
