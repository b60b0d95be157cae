"""Why the parts of a group need one another, told from the words alone.

A detail does not see the details before it, nor does the next lead. What goes on from an earlier detail must
therefore not fork. The rules here are cheap and stated; `apar extract --verify` measures with a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from apar.structure.cjk import count_cjk
from apar.structure.content import has_formula
from apar.structure.labels import Reason
from apar.structure.markdown import Block
from apar.structure.parts import Group, Part
from apar.structure.phrases import CONTINUES, INFERS, REFERS_BACK, SALUTATION, SEQUEL, STORY

_PRONOUN = re.compile(r"\b(?:I|[Mm]e|[Mm]y|[Hh]e|[Ss]he|[Hh]im|[Hh]er|[Hh]is)\b")
# Speech has some words; a title in quotation marks may end in a comma as well.
_SPEECH = re.compile(r"[\"“](?:[^\"“”\s]+[ \t]+){3,}[^\"“”\s]*[,.!?—…][\"”]")
_SPEAKER = re.compile(r"[*_]*(?P<name>[A-Z][\w .'-]{0,30}|[\u4e00-\u9fff]{1,8})[*_]*[:：][*_]* ?")
_LINE_BREAK = re.compile(r"\r\n?|\n")
_NUMBER = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?![\w.]\d)")
_NUMBER_WORD = re.compile(r"\d\S*")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]{2,}(?:[ -][A-Z][a-z]+)*")
_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_WORD = re.compile(r"[A-Za-z_]\w{2,}")
_DEFINED = re.compile(
    r"\b([A-Za-z_]\w{2,})(?=\s*=(?!=))|\b(?:def|class|function|import|as|let|const|var) +([A-Za-z_]\w*)"
)


def dependence(text: str, group: Group) -> Iterator[Reason]:
    """The reasons why the parts of a group depend on each other, the weightiest first."""
    parts = group.parts
    bodies = [text[part.start : part.end] for part in parts]
    if group.rule == "paragraphs":
        yield from _prose(text, group, bodies)
    elif _speakers_return(bodies):
        yield "dialogue"
    elif _tells_story(bodies):
        yield "narrative"
    if _share(bodies, has_formula if group.rule == "sections" else _derives) >= 0.5:
        yield "derivation"
    if _share([text[part.at : part.end] for part in group.forking], _counts) >= 0.5:
        yield "counting"
    if _goes_on(text, group, bodies):
        yield "continued"
    if _code_goes_on(text, parts):
        yield "code_continued"
    if _carried_over(text, group):
        yield "carried_over"


def _prose(text: str, group: Group, bodies: Sequence[str]) -> Iterator[Reason]:
    if _share(bodies, _has_short_lines) > 0.3:
        yield "short_lines"
    if SALUTATION.search(text, 0, group.end):
        yield "letter"
    if _speakers_return(bodies) or _share(bodies, _is_speech) >= 0.3:
        yield "dialogue"
    if _is_story(bodies):
        yield "narrative"


def _share(texts: Sequence[str], holds: Callable[[str], bool]) -> float:
    return sum(map(holds, texts)) / len(texts) if texts else 0.0


def _is_story(bodies: Sequence[str]) -> bool:
    """Whether paragraphs tell a story, or of persons all along."""
    text = "\n\n".join(bodies)
    return _tells_story(bodies) or 25 * len(_PRONOUN.findall(text)) > len(text.split())


def _tells_story(bodies: Sequence[str]) -> bool:
    lower = "\n\n".join(bodies).lower()
    return any(phrase in lower for phrase in STORY)


def _has_short_lines(paragraph: str) -> bool:
    lines = _LINE_BREAK.split(paragraph)
    return len(lines) >= 3 and len(paragraph) < 70 * len(lines)


def _speakers_return(paragraphs: Sequence[str]) -> bool:
    names = [match["name"] for match in map(_SPEAKER.match, paragraphs) if match]
    return len(names) - len(set(names)) >= 2


def _is_speech(paragraph: str) -> bool:
    # A quotation that a paragraph leaves open goes on in the next.
    opens = paragraph.count("“") - paragraph.count("”") or paragraph.count('"') % 2
    return bool(opens) or _SPEECH.search(paragraph) is not None


def _derives(body: str) -> bool:
    return has_formula(body) and INFERS.search(body) is not None


def _counts(detail: str) -> bool:
    """Whether most words are numbers: rows of a table, times, a count. Chinese has no spaces: each character counts."""
    numbers = len(_NUMBER_WORD.findall(detail))
    return numbers > 2 and 2 * numbers > len(detail.split()) + count_cjk(detail)


def _goes_on(text: str, group: Group, bodies: Sequence[str]) -> bool:
    leads = [text[part.start : part.at] for part in group.forking[1:]]
    if _share(leads, lambda lead: CONTINUES.match(lead) is not None) > 1 / 3:
        return True
    titles = [text[part.start : part.at] for part in group.forking]
    in_a_row = _share(titles, lambda title: SEQUEL.fullmatch(title) is not None) > 0.5
    if in_a_row and group.rule in ("sections", "labels"):
        return True
    # A section's own groups are judged for themselves.
    said = leads if group.rule == "sections" else bodies[1:]
    return _share(said, lambda text: REFERS_BACK.search(text) is not None) > 0.3


def _code_goes_on(text: str, parts: Sequence[Part]) -> bool:
    """Whether most parts after the first code use what earlier code defines, or explain it by its names."""
    defined: set[str] = set()
    names: set[str] = set()
    after = uses = 0
    for part in parts:
        code = "\n".join(text[one.start : one.end] for one in _code(part.blocks))
        spans = _WORD.findall(" ".join(_CODE_SPAN.findall(text, part.start, part.end)))
        after += bool(names)
        uses += bool(defined.intersection(_WORD.findall(code))) or len(names.intersection(spans)) >= 2
        defined |= {name for found in _DEFINED.findall(code) for name in found if name}
        names |= set(_WORD.findall(code))
    return after > 0 and 2 * uses >= after


def _code(blocks: Sequence[Block]) -> Iterator[Block]:
    for one in blocks:
        if one.kind == "code":
            yield one
        yield from _code(one.children)


def _carried_over(text: str, group: Group) -> bool:
    """Whether most parts use names or calculated numbers that only earlier details brought in, two at least."""
    known = text[: group.start] + " ".join(text[part.start : part.at] for part in group.parts)
    brought: set[str] = set()
    uses = 0
    for part in group.forking:
        own = _particulars(text[part.at : part.end], known)
        uses += len(own & brought) >= 2
        brought |= own
    return 3 * uses > 2 * len(group.forking)


def _particulars(detail: str, known: str) -> set[str]:
    numbers = {number for number in _NUMBER.findall(detail) if len(number) >= 3 and not _is_round(number)}
    return {word for word in numbers | set(_NAME.findall(detail)) if word not in known}


def _is_round(number: str) -> bool:
    """Whether a number is a year or has no digits of its own: 1995, 100, 2,000."""
    digits = number.replace(",", "")
    return len(digits.rstrip("0")) <= 1 or (len(digits) == 4 and digits[:2] in ("17", "18", "19", "20"))
