"""How many items a prompt asks for: "five tips", "top 10 movies", "列出3条"."""

from __future__ import annotations

import re

_WORDS = (
    *(
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
    ),
    *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
_VALUES = {word: k for k, word in enumerate(_WORDS, 2)} | {"thirty": 30, "fifty": 50, "dozen": 12}
_CHINESE_VALUES = {character: k for k, character in enumerate("一二三四五六七八九十", 1)} | {"两": 2}
_MOST = 50
_A_NUMBER = rf"(?P<n>\d{{1,2}}|{'|'.join(_VALUES)})"
# What is counted and is no item: "in 100 words", "for 5 years", "a 3 day trip".
_UNITS = "|".join(
    (
        r"(?:business |working |calendar )?(?:seconds?|minutes?|hours?|days?|nights?|weeks?|months?|years?|decades?)",
        *(
            "words?",
            "sentences?",
            "paragraphs?",
            "lines?",
            "pages?",
            "characters?",
            "letters?",
            "syllables?",
            "stanzas?",
        ),
        *(
            "people",
            "persons?",
            "players?",
            "kids?",
            "children",
            "guests?",
            "servings?",
            "times?",
            "dollars?",
            "euros?",
        ),
        *(
            "cents?",
            "percent",
            "miles?",
            "meters?",
            "metres?",
            "feet",
            r"inch\w*",
            "km",
            "kg",
            "lbs?",
            "pounds?",
            "grams?",
        ),
        *("cups?", "points? each", "am", "pm", "o'clock", "million", "billion", "thousand", "hundred", "degrees?"),
        *(r"grade\w*", r"centur\w+", "sides?", "levels?", "or more", "or less"),
    )
)
_ASKS = "|".join(
    (
        *("list", "name", "give", "write", "suggest", "provide", "tell", "share", "show", "describe", "explain"),
        *("recommend", "find", "generate", "create", "propose", "state", "identify", "mention", "discuss", "outline"),
        *(
            "offer",
            "need",
            "want",
            "top",
            "best",
            "come up with",
            "think of",
            "what(?:'re| are)",
            "are the",
            "the",
            "me",
        ),
        *(
            "with",
            "about",
            "at least",
            "exactly",
            "please",
            "main",
            "following",
            "brainstorm",
            "make",
            "produce",
            "cite",
        ),
        *("pick", "choose", "select"),
    )
)
_FILLERS = r"(?:(?:me|us|out|the|a list of|my|your|some|of|up with|at least|exactly|about|top|best|main|these) )*"
_ENGLISH = re.compile(
    rf"(?:\b(?:{_ASKS})\s+{_FILLERS}|^\W*)"
    rf"(?<![\d.,$€£])\b{_A_NUMBER}\b(?![.,:/%]\d|\s*[-–/%$€]|\s+(?:{_UNITS})\b)\s+"
    r"(?:[\w'’-]+\s+){0,3}?[\w'’-]+(?:s|ia|people|men|women|criteria|phenomena|movies|series)\b",
    re.I | re.M,
)
_CHINESE = re.compile(
    r"(?<![第\d年月.有是十])(?P<n>\d{1,2}|[两二三四五六七八九]?十[一二三四五六七八九]?|[两二三四五六七八九])"
    r"(?:个|种|条|点|项|本|部|款|类|句|件|位|首|大)(?!月|人|小时|星期|工作日|字|礼拜|年)"
)


def asked_items(prompt: str) -> int | None:
    """How many items a prompt asks for ("five tips", "列出3条"), from 2 to 50; None where it does not say."""
    found = _ENGLISH.search(prompt) or _CHINESE.search(prompt)
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
