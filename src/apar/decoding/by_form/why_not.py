"""Why a list does not fork, judged at its first item and, until one forks, at each that follows.

Only what is known then counts: the prompt, the opening before the list, and the leads so far.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from apar.decoding.by_form.prompts import prompt_reason
from apar.decoding.by_form.reader import LeadEnd
from apar.decoding.by_form.reasons import WhyNot
from apar.structure.config import DEFAULT, StructureConfig
from apar.structure.content import content_reasons, has_formula
from apar.structure.dependence import dependence
from apar.structure.labels import Rule
from apar.structure.leads import tells_place_only
from apar.structure.markdown import parse
from apar.structure.parts import Group, Part
from apar.structure.phrases import CONTINUES, INFERS, SALUTATION, SEQUEL

_RULES: dict[str, Rule] = {
    "ordered": "ordered_list",
    "bullet": "bullet_list",
    "heading": "sections",
    "label": "labels",
}
# Of an opening of fewer paragraphs a pronoun says nothing: "I'd be happy to help!"
_LONG_OPENING = 3
_STEP = re.compile(r"[*_]*(?:Step \d|步骤)", re.I)
# "You create a pod - …": a sentence with a dash in it, and no title.
_IS_SENTENCE = re.compile(r"(?:You|We|I|They|There)\b")
_IN_ORDER = re.compile(r"[*_]*(?:首先|其次|最后)")
# Times of a day in a row, as sections: what is done in the evening hangs on the afternoon.
_TIME_OF_DAY = re.compile(
    r"[#*_ ]*(?:(?:Early|Mid|Late)[ -]?)?(?:Morning|Noon|Afternoon|Evening|Night(?:time)?|Breakfast|Lunch|Dinner)\b",
    re.I,
)
# "Run the following command:", "输入以下命令：": code stands below, and mostly goes on with that of the item before.
_INTRODUCES_CODE = re.compile(
    r"\bfollowing (?:[\w-]+ ){0,2}(?:commands?|code|lines?|scripts?|quer(?:y|ies)|content|configuration)\b"
    r"|(?:以下|如下|下面的?)[^，。：:]{0,6}(?:命令|代码|内容|配置|语句|脚本)",
    re.I,
)
# "Title:", "2. Artist -": the name of a field, which comes again.
_FIELD = re.compile(
    r"[*_]*(?:(?:Book|Song|Movie|Question|Full|First|Last) )?(?:Title|Artist|Name|Author|Question|Answer|Date|Signature"
    r"|User|Label|Text)(?: text)?(?: ?#?\d+)?[*_]*(?:[:：]| [-–])[*_]*|(?:标题|主题|姓名|问题|答案|作者|选项)\d*[:：]",
    re.I,
)
_PROGRAMMING = re.compile(r"`|\b(?:HTML|CSS|JavaScript|SQL|pip|npm|[Ss]cript|(?:Install|Import) \w+)\b|^[a-z_]+[:：]$")
_HAS_WORD = re.compile(r"[^\W\d_]{2}|[\u3040-\u9fff]")
_OPERATOR = re.compile(r"[\w)] ?[+×÷^=] ?[\w(]")
# "### NEW ###", "HELP", "next question", markup
_IS_NO_TITLE = re.compile(r"#$|^[a-z]|^[^a-z]*[A-Z][^a-z]*$|<")
# "**Example:**", "### Solution": no topic beside others, but a part of what stands above.
_IS_PART_OF_ONE = re.compile(
    r"[#*_ ]*(?:Examples?|Notes?|Given|Proof|Solution|Answer|Result|Usage|Hint|Warning|Disclaimer|Code|Syntax|Sources?"
    r"|References?"
    r"|示例|例子|例如|注意|答案|解答|结果)\b",
    re.I,
)
_INTRODUCES = re.compile(r"[:：][*_]*\s*$")
# What stands in an opening and tells that the list explains it.
_OPENING_CONTENT: tuple[WhyNot, ...] = ("code", "table", "formula")


@dataclass(slots=True)
class _Judged:
    """A list under judgement: its leads one after the other, and why it does not fork."""

    reason: WhyNot | None
    text: str = ""
    parts: list[Part] = field(default_factory=list)


class ForkJudge:
    """Judges the lists of one thread of the answer to `prompt`. A list that was refused stays sequential."""

    __slots__ = ("_config", "_lists", "_prompt_reason")

    def __init__(self, prompt: str, config: StructureConfig = DEFAULT) -> None:
        self._config = config
        self._prompt_reason = prompt_reason(prompt)
        self._lists: dict[int, _Judged] = {}

    def why_not(self, lead: LeadEnd, text: str) -> WhyNot | None:
        """Why the item whose lead just ended is not to fork; None if it may. `text` is all of the thread's text."""
        if self._prompt_reason is not None:
            return self._prompt_reason
        judged = self._lists.get(lead.opening)
        if judged is None:
            judged = self._lists[lead.opening] = _Judged(self._of_opening(text[: lead.opening]))
        judged.reason = judged.reason or self._of_lead(lead, text) or self._of_leads(lead, judged)
        if judged.reason is None and (_stands_alone(lead, text) or _is_part_of_one(lead)):
            return "too_few_parts"
        return judged.reason

    def _of_opening(self, opening: str) -> WhyNot | None:
        """What stands before the list, read as the paragraphs of a text."""
        blocks = parse(opening)
        kind = next((one for one in content_reasons(opening, blocks) if one in _OPENING_CONTENT), None)
        if kind is not None and (kind != "formula" or INFERS.search(opening)):
            return "derivation" if kind == "formula" else kind
        paragraphs = [one for one in blocks if one.kind == "paragraph"]
        if paragraphs and SEQUEL.fullmatch(opening[paragraphs[-1].start :].strip()):
            return "continued"
        if SALUTATION.search(opening):
            return "letter"
        if len(paragraphs) < _LONG_OPENING:
            return None
        group = Group("paragraphs", tuple(Part(one.start, None, one.end, (one,)) for one in paragraphs))
        return self._refused(dependence(opening, group))

    def _of_lead(self, lead: LeadEnd, text: str) -> WhyNot | None:
        content = lead.content
        if 2 * lead.bare > lead.place + 1:
            return "short_details"
        if not any(character.isalpha() for character in content):
            return "counting"
        if not _HAS_WORD.search(content) or _OPERATOR.search(content):
            return "formula"
        is_title = lead.kind in ("heading", "label")
        if is_title and _IS_NO_TITLE.search(content):
            return "too_few_parts"
        if (is_title and (_STEP.match(content) or _TIME_OF_DAY.match(content))) or _IN_ORDER.match(content):
            return "continued"
        if has_formula(content):
            return "formula"
        if tells_place_only(content) or CONTINUES.match(content):
            return "continued"
        if lead.form == "dash" and _IS_SENTENCE.match(content):
            return "too_few_parts"
        if _FIELD.fullmatch(content):
            return "repeated_leads"
        is_code = _is_comment(lead, text) or _PROGRAMMING.search(content) or _INTRODUCES_CODE.search(content)
        return "code" if is_code else None

    def _of_leads(self, lead: LeadEnd, judged: _Judged) -> WhyNot | None:
        """What the rules for whole lists say of the leads so far."""
        start = len(judged.text)
        judged.text += lead.content
        at = len(judged.text)
        judged.text += "\n\n"
        judged.parts.append(Part(start, at, at))
        return self._refused(dependence(judged.text, Group(_RULES[lead.kind], tuple(judged.parts))))

    def _refused(self, reasons: object) -> WhyNot | None:
        return next((one for one in reasons if one in self._config.refused), None)  # type: ignore[attr-defined]


def _stands_alone(lead: LeadEnd, text: str) -> bool:
    """Whether this is the first label, and nothing introduces it: "**Note:**" opens no list, but a second one may."""
    return lead.kind == "label" and not lead.place and not _INTRODUCES.search(text[: lead.opening])


def _is_comment(lead: LeadEnd, text: str) -> bool:
    """Whether a heading is a comment of a program: no heading of the first rank stands right below another line."""
    is_first_rank = lead.kind == "heading" and lead.marker.text.startswith("# ")
    return is_first_rank and (lead.content[:1].islower() or not text[: lead.start].endswith(("\n\n", "\n\r\n")))


def _is_part_of_one(lead: LeadEnd) -> bool:
    return lead.kind in ("heading", "label") and _IS_PART_OF_ONE.match(lead.content) is not None
