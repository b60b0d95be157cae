"""What a prompt asks for: a text that does not fork, and how many items."""

from __future__ import annotations

import re
from collections.abc import Sequence

from apar.decoding.by_form.reasons import WhyNot
from apar.structure.content import has_formula

_WRITE = (
    r"(?:(?:re)?writ(?:e|ing)|draft|compos(?:e|ing)|creat(?:e|ing)|generat(?:e|ing)|mak(?:e|ing)|craft|pen|tell|"
    r"produce|give|prepare|develop|design|structure|outline|show|continue|finish|complete|start|begin|help)"
)
_CODE = (
    r"function|program|script|code|snippet|class|method|quer(?:y|ies)|algorithms?|regex|regular expression|"
    r"app|application|website|web ?page|html|css|component|api|unit tests?|makefile|dockerfile|bot|macro"
)
_LANGUAGES = (
    r"python|java|javascript|typescript|c\+\+|c#|sql|mysql|golang|rust|php|ruby|kotlin|swift|bash|powershell|html|css|"
    r"matlab|latex|react|vba|verilog|haskell|pandas|numpy|pytorch|tensorflow|django|flask|node\.?js|jquery|excel formula"
)
_ABOUT_LANGUAGES = (
    r"benefits|advantages|disadvantages|pros|cons|differences?|differ|compare|comparison|reasons|libraries|frameworks|tips|"
    r"books|resources|best practices|why|learn"
)
_ROLE = (
    r"pretend|role-?play|imagine (?:that )?(?:you|yourself)|picture yourself|put yourself|embody|suppose you(?:'re| are)|"
    r"act (?:as|like) (?:an?|if|the|my)\b|as if you were|(?:from|in) the (?:perspective|voice|style|persona|role|shoes) of|"
    r"take on the (?:role|persona)|assume the (?:role|persona)|introduce yourself|"
    r"you(?:'re| are| were| will be) (?:now )?(?:playing|(?:an?|the|my) (?!expert|professional|experienced|helpful|assistant|ai\b))"
)
# "As a pirate captain, what would you say"
_AS_SOMEONE = re.compile(r"(?:^|[.!?]\s+)as an? [^,.?!\n]{3,60},", re.I)


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.I)


def _asks(genres: str, apart: int = 60) -> str:
    """Somebody is asked to write what belongs to the genres."""
    return rf"{_WRITE}\b[^.?!\n]{{0,{apart}}}?\b(?:{genres})"


# The weightiest first. Chinese has no borders between words: it is looked for apart.
_ENGLISH: Sequence[tuple[WhyNot, re.Pattern[str]]] = (
    ("code", re.compile(r"```|\bdef \w+\(|#include\b|\bSELECT\b.{1,80}\bFROM\b|\bconsole\.log|\bTraceback|\bException\b|\w\(\)|\w\.(?:py|js|cpp|java|sh|ts|ipynb)\b|;\s*\n.*[;{}]\s*$", re.M)),
    ("code", _words(rf"{_asks(_CODE)}|(?:implement|debug|refactor)")),
    ("code", re.compile(rf"^(?!.*\b(?:{_ABOUT_LANGUAGES})\b).*\b(?:in|using|with|via|my|this|following|write|an?) (?:{_LANGUAGES})(?!\w)", re.I | re.S)),
    (
        "formula",
        _words(
            r"(?:solve|calculate|compute|evaluate|simplify|integrate|differentiate|factori[sz]e|prove|derive|derivative|"
            r"integral|equation|theorem|inequality|remainder|polynomial|matrix)\b.{0,200}?(?:\d|[a-z]\(|equation|that|theorem)"
            r"|what is -?\d[\d.]* ?[-+*/×÷^].*|how (?:many|much|long|far|fast|old)\b.{0,400}\d.*"
            r"|\d.{0,400}\bhow (?:many|much|long|far|fast|old)|probability (?:of|that)"
            r"|estimate|how many|what is the (?:length|area|volume|sum|distance|value|slope|average|square root)"
        ),
    ),
    ("short_lines", _words(_asks(r"poems?|haikus?|lyrics|song|sonnet|limerick|verses?|rap|ode|ballad|hymn|poetry|riddles?"))),
    (
        "dialogue",
        _words(
            _asks(r"script|dialog(?:ue)?s?|conversation|screenplay|skit|interview|scene|play|podcast|debate|chat|transcript|movie")
            + r"|(?:dialog(?:ue)?|conversation) between"
        ),
    ),
    (
        "letter",
        _words(
            _asks(
                r"letter|e-?mails?|mail|memo|message|invitation|speech|toast|press release|obituary|tweets?|replies|reply|"
                r"caption|announcement|sermon|eulogy|response to|cover letter|resume|statement|advert(?:isement)?|ad"
            )
        ),
    ),
    (
        "narrative",
        _words(
            _asks(
                r"story|stories|novel|tale|fable|chapter|plot|fanfic\w*|diary|journal entry|monologue|biography|myth|legend|"
                r"narrative|backstory|joke"
            )
            + f"|{_ROLE}"
        ),
    ),
    ("narrative", _AS_SOMEONE),
    (
        "prose",
        _words(
            _asks(
                r"essay|article|blog|(?:\w+ )?review|paragraphs?|summary|report|abstract|introduction|description|synopsis|"
                r"sentences?|critique|analysis|editorial|column|post|text|word (?:story|essay)|wiki\w*"
            )
            + r"|translat\w+|summari[sz]e|paraphras\w+|proofread|rewrite|rephrase|correct the|fix the grammar|"
            r"in (?:one|a single|a few|two|three|\d+) (?:sentences?|paragraphs?|words?)|(?:one|two|three|four|\d+)[- ]paragraph"
        ),
    ),
    ("table", _words(r"(?:in|as|into|create|make|draw|build|output|generate|with|using) (?:an? )?(?:\w+ ){0,2}(?:table|spreadsheet|json|csv|xml|yaml|markdown table)")),
    (
        "short_details",
        _words(
            r"multiple[- ]choice|true or false|yes or no|classify|(?:extract|identify|count) (?:all|the|every|each)\b.*|categori[sz]e|"
            r"which of (?:the following|these)|only (?:the )?(?:names?|titles?)|comma[- ]separated|just (?:list|the names?)|"
            r"shopping list|ingredients|recipe|packing list|itinerary|schedule|timetable|meal plan|workout plan|playlist"
        ),
    ),
)  # fmt: skip
_CHINESE: Sequence[tuple[WhyNot, re.Pattern[str]]] = (
    ("code", re.compile(r"代码|编程|函数|命令行?|脚本|日志|shell|写.{0,12}(?:程序|脚本)|编写.{0,12}(?:程序|脚本|查询)|用(?:python|java|c\+\+|js|sql)", re.I)),
    ("formula", re.compile(r"计算|求解|求出|证明[^书]|方程|多少[个只元千公米人]|\d+\s*[-+×÷*/]\s*\d+|概率|积分|导数")),
    ("short_lines", re.compile(r"(?:写|作|创作|生成|来).{0,12}(?:诗|歌词|对联|俳句|词曲)|谜语")),
    ("dialogue", re.compile(r"(?:写|编|生成|创作|模拟).{0,20}(?:对话|剧本|采访|台词|相声)")),
    ("letter", re.compile(r"(?:写|起草|拟|撰写|回复).{0,20}(?:信|邮件|演讲|通知|邀请函|致辞|短信|广告|发言稿)")),
    ("narrative", re.compile(r"故事|小说|童话|寓言|扮演|假设你是|假如你是|假装|你(?:现在)?是(?:一|个|我)|作为一[个名位]|日记|自传")),
    ("prose", re.compile(r"作文|(?:写|撰写|创作).{0,20}(?:文章|散文|文案|评论|影评|书评|段|摘要|报告|新闻)|翻译|^(?:请|帮我|你)*(?:总结|概括|缩写|改写|润色)")),
    ("table", re.compile(r"表格|JSON|CSV", re.I)),
    ("short_details", re.compile(r"选择题|判断题|分类|抽取|提取|食谱|菜谱|日程|行程|关键词")),
)  # fmt: skip

# Asked how such a text is written, an answer is a list of tips.
_ABOUT_WRITING = re.compile(
    r"\b(?:how (?:to|can|do|should|could)(?: (?:i|we|you|one|someone|people))?|tips (?:for|on|to)|ways (?:to|of)"
    r"|steps (?:to|for|in)|guide (?:to|for|on)|advice (?:on|for)|ideas (?:for|of))\b[^.?!\n]{0,80}"
    r"|(?:如何|怎么|怎样)[^。？！\n]{0,40}",
    re.I,
)
_GENRES: frozenset[WhyNot] = frozenset(("short_lines", "dialogue", "letter", "narrative", "prose"))

_NUMBERS = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty"
).split()
_VALUES = {word: k for k, word in enumerate(_NUMBERS, 2)} | {"thirty": 30, "fifty": 50, "dozen": 12}
_CHINESE_VALUES = {character: k for k, character in enumerate("一二三四五六七八九十", 1)} | {"两": 2}
_MOST = 50
_A_NUMBER = rf"(?P<n>\d{{1,2}}|{'|'.join(_VALUES)})"
# What is counted and is no item: "in 100 words", "for 5 years", "a 3 day trip".
_UNITS = (
    r"(?:(?:business |working |calendar )?(?:seconds?|minutes?|hours?|days?|nights?|weeks?|months?|years?|decades?|centur\w+)"
    r"|words?|sentences?|paragraphs?|lines?|pages?|characters?|letters?|syllables?|stanzas?|people|persons?|players?|kids?"
    r"|children|guests?|servings?|times?|dollars?|euros?|cents?|percent|miles?|meters?|metres?|feet|inch\w*|km|kg|lbs?|pounds?"
    r"|grams?|cups?|points? each|am|pm|o'clock|million|billion|thousand|hundred|degrees?|grade\w*|sides?|levels?|or more|or less)"
)
_COUNTED = re.compile(
    rf"(?:\b(?:list|name|give|write|suggest|provide|tell|share|show|describe|explain|recommend|find|generate|create|propose|"
    rf"state|identify|mention|discuss|outline|offer|need|want|top|best|come up with|think of|what are|what're|are the|the|me|"
    rf"with|about|at least|exactly|please|main|following|brainstorm|make|produce|cite|pick|choose|select)\s+"
    rf"(?:me |us |out |the |a list of |my |your |some |of |up with |at least |exactly |about |top |best |main |these )*"
    rf"|^\W*)(?<![\d.,$€£])\b{_A_NUMBER}\b(?![.,:/%]\d|\s*[-–/%$€]|\s+{_UNITS}\b)\s+"
    rf"(?:[\w'’-]+\s+){{0,3}}?[\w'’-]+(?:s|ia|people|men|women|criteria|phenomena|movies|series)\b",
    re.I | re.M,
)
_COUNTED_CHINESE = re.compile(
    r"(?:列出|列举|给出|写出|提供|提出|举出|推荐|说出|介绍|给我|生成|找出|哪|想出|讲|的|出|请|举|有|最|这)?"
    r"(?<![第\d年月.])(?P<n>\d{1,2}|[两二三四五六七八九]?十[一二三四五六七八九]?|[两二三四五六七八九])"
    r"(?:个|种|条|点|项|本|部|款|类|句|件|位|首|大)(?!月|人|小时|星期|工作日|字|礼拜|年)"
)


def prompt_reason(prompt: str) -> WhyNot | None:
    """Why an answer to this prompt is not to fork; None where the prompt says nothing against it."""
    without_how = _ABOUT_WRITING.sub("", prompt)
    for reason, pattern in (*_ENGLISH, *_CHINESE):
        if pattern.search(without_how if reason in _GENRES else prompt):
            return reason
    return "formula" if has_formula(prompt) else None


def asked_items(prompt: str) -> int | None:
    """How many items a prompt asks for ("five tips", "列出3条"), from 2 to 50; None where it does not say."""
    found = _COUNTED.search(prompt) or _COUNTED_CHINESE.search(prompt)
    if found is None:
        return None
    count = _value(found["n"].lower())
    return count if 2 <= count <= _MOST else None


def _value(number: str) -> int:
    if number.isdigit():
        return int(number)
    if number in _VALUES:
        return _VALUES[number]
    tens, ten, ones = number.rpartition("十")
    return (_CHINESE_VALUES.get(tens, 1) * 10 if ten else 0) + _CHINESE_VALUES.get(ones, 0)
