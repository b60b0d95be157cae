"""The words by which prompts are known that do not ask for a list: what somebody is asked to write, solve or play."""

from __future__ import annotations

import re
from collections.abc import Sequence

from apar.decoding.by_form.reasons import WhyNot

_WRITE = (
    r"(?:(?:re)?writ(?:e|ing)|draft|compos(?:e|ing)|creat(?:e|ing)|generat(?:e|ing)|mak(?:e|ing)|craft|pen|tell|produce"
    r"|give|prepare|develop|design|structure|outline|show|continue|finish|complete|start|begin|help)"
)
_CJK_WRITE = "(?:写|编|创作|生成|起草|拟|撰写|回复|模拟|作|来)"


def _any_of(phrases: Sequence[str]) -> str:
    return rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)"


def _phrases(*phrases: str) -> re.Pattern[str]:
    return re.compile(_any_of(phrases), re.I | re.S)


def _asked_for(*genres: str) -> re.Pattern[str]:
    """Somebody is asked to write what belongs to the genres."""
    return re.compile(rf"(?<!\w){_WRITE}\b[^.?!\n]{{0,60}}?{_any_of([f'{genre}s?' for genre in genres])}", re.I)


def _chinese(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(phrases), re.I)


def _chinese_asked_for(*genres: str) -> re.Pattern[str]:
    return re.compile(f"{_CJK_WRITE}.{{0,20}}(?:{'|'.join(genres)})")


# A programming language is what the program is to be written in, unless the prompt asks about languages.
_LANGUAGES = (
    *("python", "java", "javascript", "typescript", r"c\+\+", "c#", "sql", "mysql", "golang", "rust", "php", "ruby"),
    *("kotlin", "swift", "bash", "powershell", "html", "css", "matlab", "latex", "react", "vba", "verilog", "haskell"),
    *("pandas", "numpy", "pytorch", "tensorflow", "django", "flask", r"node\.?js", "jquery", "excel"),
)
_ABOUT_LANGUAGES = (
    *("benefits", "advantages", "disadvantages", "pros", "cons", "differences?", "differ", "compare", "comparison"),
    *("reasons", "libraries", "frameworks", "tips", "books", "resources", "best practices", "why", "learn"),
)
_IN_A_LANGUAGE = re.compile(
    rf"^(?!.*{_any_of(_ABOUT_LANGUAGES)}).*"
    rf"\b(?:in|using|with|via|my|this|following|write|an?) {_any_of(_LANGUAGES)}",
    re.I | re.S,
)
_IS_CODE = re.compile(
    r"```|\bdef \w+\(|#include\b|\bSELECT\b.{1,80}\bFROM\b|\bconsole\.log|\bTraceback|\bException\b|\w\(\)"
    r"|\w\.(?:py|js|cpp|java|sh|ts|ipynb)\b|;\s*\n.*[;{}]\s*$",
    re.M,
)
_CALCULATION = (
    r"how (?:would|do|does|can|should|to) ?(?:you|i|we|one)? (?:calculate|compute|derive|solve for)",
    r"(?:solve|calculate|compute|evaluate|simplify|integrate|differentiate|factori[sz]e|prove|derive|derivative|integral"
    r"|equation|theorem|inequality|remainder|polynomial|matrix)\b.{0,200}?(?:\d|[a-z]\(|equation|that|theorem)",
    r"what is -?\d[\d.]* ?[-+*/×÷^].*",
    r"how (?:much|long|far|fast|old)\b.{0,400}\d.*",
    r"\d.{0,400}\bhow (?:much|long|far|fast|old)",
    r"probability (?:of|that)",
    *("estimate", "theorem", "pythagorean", "(?:linear|quadratic) equations?", "area of (?:a|the)"),
    "how many",
    "what is the (?:length|area|volume|sum|distance|value|slope|average|square root)",
)
_POEMS = (
    "poems?",
    "haikus?",
    "lyrics",
    "song",
    "sonnet",
    "limerick",
    "verses?",
    "rap",
    "ode",
    "ballad",
    "hymn",
    "poetry",
)
_DIALOGUES = (
    *("script", "dialog(?:ue)?s?", "conversation", "screenplay", "skit", "interview", "scene", "play", "podcast"),
    *("debate", "chat", "transcript", "movie"),
)
_LETTERS = (
    *("letter", "e-?mails?", "mail", "memo", "message", "invitation", "speech", "toast", "press release", "obituary"),
    *("tweets?", "replies", "reply", "caption", "announcement", "sermon", "eulogy", "response to", "resume"),
    *("statement", "advert(?:isement)?", "ad"),
)
_STORIES = (
    *("story", "stories", "novel", "tale", "fable", "chapter", "plot", r"fanfic\w*", "diary", "journal entry"),
    *("monologue", "biography", "myth", "legend", "narrative", "backstory", "joke"),
)
_PROSE = (
    *("essay", "article", "blog", "review", "paragraphs?", "summary", "report", "abstract", "introduction"),
    *(
        "description",
        "synopsis",
        "sentences?",
        "critique",
        "analysis",
        "editorial",
        "column",
        "post",
        "text",
        r"wiki\w*",
    ),
)
_ROLES = (
    *("pretend", "role-?play", "imagine (?:that )?(?:you|yourself)", "picture yourself", "put yourself", "embody"),
    *("suppose you(?:'re| are)", r"act (?:as|like) (?:an?|if|the|my)", "as if you were", "introduce yourself"),
    "(?:from|in) the (?:perspective|voice|style|persona|role|shoes) of",
    "(?:take on|assume) the (?:role|persona)",
    r"you(?:'re| are| were| will be) (?:now )?playing",
    r"you(?:'re| are| were| will be) (?:now )?(?:an?|the|my) "
    r"(?!expert|professional|experienced|helpful|assistant|ai\b)\w+",
)
# "As a pirate captain, what would you say"
_AS_SOMEONE = re.compile(r"(?:^|[.!?]\s+)as an? [^,.?!\n]{3,60},", re.I)
_TEXT_WORK = (
    *(r"translat\w+", r"summari[sz]e", r"paraphras\w+", "proofread", "rewrite", "rephrase", "correct the"),
    *("fix the grammar", r"in (?:one|a single|a few|two|three|\d+) (?:sentences?|paragraphs?|words?)"),
    r"(?:one|two|three|four|\d+)[- ]paragraph",
)
_SHORT_ANSWERS = (
    *(
        "multiple[- ]choice",
        "true or false",
        "yes or no",
        "classify",
        r"categori[sz]e",
        "which of (?:the following|these)",
    ),
    r"(?:extract|identify|count) (?:all|the|every|each)",
    *(
        "names (?:of|for)",
        "just (?:list|the names?)",
        "comma[- ]separated",
        "shopping list",
        "ingredients",
    ),
    *("recipe", "packing list", "itinerary", "schedule", "timetable", "meal plan", "workout plan", "playlist"),
)

WORDS: Sequence[tuple[WhyNot, re.Pattern[str]]] = (
    ("code", _IS_CODE),
    (
        "code",
        _asked_for(
            *("function", "program", "script", "code", "snippet", "class", "method", "quer(?:y|ies)", "algorithms?"),
            *("regex", "regular expression", "app", "application", "website", "web ?page", "html", "css", "component"),
            *("api", "unit tests?", "makefile", "dockerfile", "bot", "macro"),
        ),
    ),
    ("code", _phrases("implement", "debug", "refactor")),
    (
        "code",
        _phrases(
            rf"(?:{'|'.join(_LANGUAGES)}) (?:code|script|program|function|snippet|quer(?:y|ies)|class|method)s?",
            r"(?:linux|console|terminal|shell|unix) (?:\w+ )?commands?",
            "(?:given|following|above) (?:code|function|script|program|snippet)",
        ),
    ),
    ("code", _IN_A_LANGUAGE),
    ("formula", _phrases(*_CALCULATION)),
    ("short_lines", _asked_for(*_POEMS, "riddles?")),
    ("dialogue", _asked_for(*_DIALOGUES)),
    ("dialogue", _phrases("(?:dialog(?:ue)?|conversation) between")),
    ("letter", _asked_for(*_LETTERS)),
    ("narrative", _asked_for(*_STORIES)),
    ("narrative", _phrases(*_ROLES)),
    ("narrative", _AS_SOMEONE),
    ("prose", _asked_for(*_PROSE)),
    ("prose", _phrases(*_TEXT_WORK)),
    (
        "table",
        _phrases(
            r"(?:in|as|into|create|make|draw|build|output|generate|with|using) (?:an? )?(?:\w+ ){0,2}"
            "(?:table|spreadsheet|json|csv|xml|yaml)"
        ),
    ),
    ("short_details", _phrases(*_SHORT_ANSWERS)),
    # Chinese has no borders between words.
    ("code", _chinese("代码", "编程", "函数", "命令行?", "脚本", "日志", "shell", "(?:编?写).{0,12}(?:程序|查询)")),
    ("code", _chinese(r"用(?:python|java|c\+\+|js|sql)")),
    (
        "formula",
        _chinese(
            *(
                "计算",
                "求解",
                "求出",
                "证明[^书]",
                "方程",
                "多少[个只元千公米人]",
                r"\d+\s*[-+×÷*/]\s*\d+",
                "概率",
                "积分",
                "导数",
            )
        ),
    ),
    ("short_lines", _chinese_asked_for("诗", "歌词", "对联", "俳句", "词曲", "谜语")),
    ("dialogue", _chinese_asked_for("对话", "剧本", "采访", "台词", "相声")),
    ("dialogue", _chinese("继续.{0,6}(?:剧本|对话|故事)")),
    ("letter", _chinese_asked_for("信", "邮件", "演讲", "通知", "邀请函", "致辞", "短信", "广告", "发言稿")),
    ("narrative", _chinese_asked_for("故事", "小说", "童话", "寓言", "日记", "自传")),
    ("narrative", _chinese("[讲说]个?.{0,10}故事", "扮演", "假设你是", "假如你是", "假装")),
    ("narrative", _chinese("你(?:现在)?是(?:一|个|我)", "作为一[个名位]")),
    ("prose", _chinese_asked_for("文章", "散文", "文案", "评论", "影评", "书评", "段", "摘要", "报告", "新闻")),
    ("prose", _chinese("作文", "翻译", "^(?:请|帮我|你)*(?:总结|概括|缩写|改写|润色)")),
    ("table", _chinese("表格")),
    ("short_details", _chinese("选择题", "判断题", "分类", "抽取", "提取", "食谱", "菜谱", "日程", "行程", "关键词")),
)
"""What is asked for and does not fork, the weightiest first."""

GENRES: frozenset[WhyNot] = frozenset(("short_lines", "dialogue", "letter", "narrative", "prose"))
"""The kinds of texts among them."""

ABOUT_WRITING = re.compile(
    r"\b(?:how (?:to|can|do|should|could)(?: (?:i|we|you|one|someone|people))?|tips (?:for|on|to)|ways (?:to|of)"
    r"|steps (?:to|for|in)|guide (?:to|for|on)|advice (?:on|for)|ideas (?:for|of))\b[^.?!\n]{0,80}"
    r"|(?:如何|怎么|怎样)[^。？！\n]{0,40}",
    re.I,
)
"""Asked how such a text is written, an answer is a list of tips."""
