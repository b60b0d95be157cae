"""Answers from which a model should not learn, told by cheap tests of each answer alone."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from apar.config import Section
from apar.corpus.language import UNKNOWN, language_of
from apar.data.formats import Chat, read_chats
from apar.data.records import first_question
from apar.structure.cjk import is_cjk
from apar.structure.labels import Reason

Drop = Literal[
    "empty",  # no text
    "too_short",
    "too_long",
    "language",  # none of the languages that are wanted
    "refusal",  # nothing but a refusal
    "truncated",  # ends in the middle
    "broken_markdown",  # a fence does not close
    "garbled",  # characters that no text has
    "source",  # a source that is not wanted
    "prompt",  # a question that is kept for judging models
    "marked_bad",  # the data say that nothing is to be learned from it
]
"""Why an answer is left out, before its structure is read."""

# A fence, on a line of its own or after the markers of quotations and list items.
_FENCE = re.compile(r"^(?:[ \t>]|[-*+] |\d{1,3}[.)] )*(`{3,}|~{3,})([^\n]*)$", re.M)
_GARBLED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd\ufffe\uffff]|â€|Ã©|Ã¨|ï¿½")
_REFUSAL = re.compile(
    r"(?:I(?:'m| am) (?:very |really |truly )?sorry,? (?:but|I)|Sorry,? (?:but )?I|I apologi[sz]e,? but"
    r"|Unfortunately,? I"
    r"|As an? (?:AI|artificial|large)[^.!?\n]{0,60}I|I(?:'m| am) (?:not able|unable)|I (?:cannot|can't|can not|won't)"
    r"|(?:很)?抱歉|对不起|作为(?:一个|一名)?(?:AI|人工智能|语言模型)[^。]{0,30}(?:无法|不能))"
)
_CANNOT = re.compile(
    r"\b(?:cannot|can't|can not|unable|not able|won't|not (?:appropriate|comfortable)|do(?:n't| not) have)\b"
    r"|无法|不能|没有"
)
_REFUSAL_CHARS = 400
# With these an answer goes on to answer.
_ANSWERS = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,2}[.)、]) |\b(?:However|That said|here (?:is|are))\b|但是?，|不过", re.M)
_WHOLE = re.compile(
    r"https?://\S+$|[.!?:;…。！？；：)\]}\"'”’」』）】>*_`~|$=/\-+%€£#]$|[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f]$"
)
_ENDS_A_SENTENCE = re.compile(r"[.!?…。！？][)\"'”’」』）*_]*$")
_LIST_LINE = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)、]|#{1,6}|\|)")
# No answer ends with them: a comma, or a word that another must follow.
_DANGLING = re.compile(
    r"[,，、]$|\w \w+ (?:the|an?|of|and|or|to|with|by|for|from|is|are|was|which|your|their|its|as|than|because)$"
)
# Code, tables, headings: what they end with is no sentence.
_PROGRAM = re.compile(r"[=;{}<>]|^\s{4}|^\s*(?:#|//|--|\|)")
_SENTENCE = re.compile(r"[a-z)][.!?] [A-Z]|[。！？].")


class FilterConfig(Section):
    """Which answers are left out.

    By default what harms any model: garbled and cut-off texts and broken Markdown; a model trained on them ends
    anywhere. A refusal is a fair answer, and a short one teaches when not to fork: refusals and short answers
    stay, as do all languages, unless they are asked to go. Each filter can be switched off.
    """

    min_chars: int = Field(default=1, ge=0)
    max_chars: int | None = Field(default=None, ge=1)
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes; none means all. A record's own `lang` counts before what the text looks like; a text whose
    language nothing tells, such as code, stays."""
    skip_sources: tuple[str, ...] = ()
    """Leave out answers of these sources."""
    skip_prompts: tuple[Path, ...] = ()
    """Leave out chats whose first question opens a chat of these files, which are read as those that are extracted
    from; case and white space do not count."""
    skip_reasons: tuple[Reason, ...] = ()
    """Leave out answers that do not fork for one of these reasons."""
    marked_bad: bool = True
    """Leave out answers of which the data say that they are bad: `label` false, `weight` 0 (of a record or of the
    answer's turn), a message of OpenAssistant that was deleted or failed its review."""
    refusals: bool = False
    """Leave out answers that are nothing but a refusal."""
    truncated: bool = True
    broken_markdown: bool = True
    garbled: bool = True


def drop_reason(chat: Chat, config: FilterConfig) -> Drop | None:
    """Why an answer is left out; None if it stays."""
    text = chat.response.strip()
    if not text:
        return "empty"
    if config.marked_bad and chat.marked_bad:
        return "marked_bad"
    if chat.source in config.skip_sources:
        return "source"
    if config.skip_prompts and first_question(chat.messages) in questions_of(config.skip_prompts):
        return "prompt"
    if len(text) < config.min_chars:
        return "too_short"
    if config.max_chars is not None and len(text) > config.max_chars:
        return "too_long"
    if config.languages and (chat.extra.get("lang") or language_of(text)) not in (*config.languages, UNKNOWN):
        return "language"
    if config.garbled and _GARBLED.search(text):
        return "garbled"
    if config.broken_markdown and is_broken_markdown(text):
        return "broken_markdown"
    if config.truncated and is_truncated(text):
        return "truncated"
    return "refusal" if config.refusals and is_refusal(text) else None


@lru_cache(maxsize=1)
def questions_of(paths: tuple[Path, ...]) -> frozenset[str]:
    """The first questions of the chats in some files; raises UserError where one cannot be read."""
    chats = (chat for path in paths for chat in read_chats(path) if isinstance(chat, Chat))
    return frozenset(first_question(chat.messages) for chat in chats)


def is_refusal(text: str) -> bool:
    """Whether an answer is nothing but a refusal: it opens as one, is short, and does not answer after all."""
    if len(text) > _REFUSAL_CHARS or not _REFUSAL.match(text):
        return False
    return _CANNOT.search(text) is not None and _ANSWERS.search(text) is None


def is_broken_markdown(text: str) -> bool:
    """Whether a fence is not closed.

    A fence closes one of the same character that is no longer; no other fence counts within it.
    """
    opened = ""
    for found in _FENCE.finditer(text):
        fence, rest = found[1], found[2]
        if not opened:
            # What follows backquotes has none: ```this``` is a code span.
            opened = "" if fence[0] == "`" and "`" in rest else fence
        elif fence.startswith(opened) and not rest.strip():
            opened = ""
    return bool(opened)


def is_truncated(text: str) -> bool:
    """Whether an answer of several sentences ends without the end of one.

    The last line of a list, a heading or a table needs no full stop, nor do one line, verse or a signature.
    """
    *before, last = text.splitlines()
    if _WHOLE.search(last):
        return False
    if _DANGLING.search(last) and not _PROGRAM.search(last):
        return True
    if _LIST_LINE.match(last):
        return _others_end_sentences(before, 1 if _has_sentence(last) else 2)
    if not _ENDS_A_SENTENCE.search("\n".join(before).rstrip()) and not _has_sentence(last):
        return False
    # A short last line is a signature, an answer, a name.
    return len(last) >= (20 if is_cjk(last) else 60) or _has_sentence(last)


def _has_sentence(line: str) -> bool:
    return _SENTENCE.search(line) is not None


def _others_end_sentences(before: list[str], fewest: int) -> bool:
    """Whether the lines of a list before its last are at least `fewest`, and all end a sentence."""
    others = [line for line in before if _LIST_LINE.match(line)]
    return len(others) >= fewest and all(_ENDS_A_SENTENCE.search(line.rstrip()) for line in others)
