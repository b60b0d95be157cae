"""The words by which the readers know closing remarks, pleasantries, and parts that go on from each other."""

from __future__ import annotations

import re
from collections.abc import Sequence


def _opening(english: Sequence[str], chinese: Sequence[str] = ()) -> re.Pattern[str]:
    """Matches a text that opens with one of the phrases, in bold or not."""
    return re.compile(rf"[*_]*(?:(?:{'|'.join(english)})\b|{'|'.join(chinese) or '(?!)'})")


def _anywhere(english: Sequence[str], chinese: Sequence[str] = ()) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(english)})\b|{'|'.join(chinese) or '(?!)'}", re.I)


CLOSING = _opening(
    (
        r"In (?:conclusion|summary|short|closing|the end|general|all)",
        r"To (?:sum up|summari[sz]e|conclude)",
        "Overall",
        "Finally, remember",
        "Remember",
        "Ultimately",
        "All in all",
        r"By (?:following|doing|taking|incorporating|using|implementing)",
        "I hope",
        "Hope",
        "Let me know",
        r"If you (?:have|need|want)",
        r"Please (?:note|let|remember|feel|consult)",
        "Note that",
        r"These (?:are|were)",
        "With these",
        "Feel free",
        "Good luck",
        "Enjoy",
        r"It(?:'s| is) (?:important|also important|worth|essential) (?:to note|to remember|noting)",
    ),
    ("总之", "综上", "总的来说", "总体而言", "总体来说", "总而言之", "希望", "需要注意", "请注意", "以上", "此外，请"),
)
"""Opens a remark that closes an answer: it belongs to no part."""

PLEASANTRY = _opening(
    (
        "Sure",
        "Certainly",
        "Of course",
        "Absolutely",
        "Great",
        "Okay",
        "Thank you",
        "Thanks",
        r"I(?:'d| would) be happy",
        "I hope",
        "Let me know",
        r"Here(?:'s| is| are)",
        "As an AI",
        "Hello",
        "Hi",
        "Hey",
        "Welcome",
        r"That(?:'s| is) an?",
        r"What an? ",
    ),
    ("当然", "好的", "以下是", "作为一"),
)
"""Opens a paragraph that introduces the answer: it is no part."""

CONTINUES = _opening(
    (
        "Then",
        r"After (?:that|this|which)",
        r"Afterwards?",
        "Subsequently",
        r"Once (?:this|that|you have|you've)",
        r"Now,? (?:we|you|let)",
        r"Next,? (?:we|let)",
        "Now that",
        "Combining",
        "Assuming",
        r"(?:Using|With|Given|From|Based on|Multiply|Divide) (?:this|that|these|those|the above|here)",
        "This",
        "These",
        "Those",
        "That",
        "It",
        "They",
        "He",
        "She",
        "Such",
        "So",
        "Thus",
        "Therefore",
        "Hence",
        "Consequently",
        "As a result",
        "However",
        "But",
        "And",
        "Yet",
        "Nevertheless",
        "Because of this",
        "In response",
        "Meanwhile",
        "In doing so",
        r"For (?:example|instance)",
        r"We (?:then|first|also|next|now)",
        r"(?:First|Second|Third|Next|Then|Finally)(?:ly)?,? we",
        r"In this (?:program|code|example|function|script|case|step)",
        r"The (?:code|program|function|script|output)",
    ),
    ("接着", "接下来", "随后", "于是", "然后", "因此", "所以", "但是", "然而", "这", "他", "她", "它"),
)
"""Opens a lead that goes on from what was said before it."""

REFERS_BACK = _anywhere(
    (
        r"as (?:mentioned|described|noted|shown|discussed|stated) (?:above|earlier|before|previously)",
        "as above",
        r"the above (?:code|command|example|query|function|program|script|equation|steps?)",
        r"(?:code|command|query|function|program|script|equation|steps?) above",
        r"(?:from|in|of) (?:the )?(?:previous|preceding|last|above) (?:step|section|part|paragraph|example|point)s?",
        r"(?:from|in) step \d+",
        r"steps? \d+ (?:and|to|through|-) \d+",
        "repeat steps?",
        r"(?:divide|multiply|subtract|add) (?:this|that|these|those)",
        r"the (?:result|output|value)s? (?:from|of) step",
    ),
    ("如上所述", "上述步骤", "上一步", "重复步骤"),
)
"""Points to the text of an earlier part."""

SEQUEL = re.compile(
    r"[#*_ ]*(?:Ingredients|Instructions|Directions|Method|Preparation|Procedure|Intro|Introduction|Body|Conclusion"
    r"|Opening|Closing|Output|Explanation|Verse|Chorus|Bridge|Outro"
    r"|(?:Verse|Scene|Act|Day|Step|Part|Week|Chapter) ?\w{1,3}"
    r"|食材|材料|做法|步骤|开头|正文|结尾|第[一二三四五六七八九十\d]+[天步章部]分?)[ *_]*[:：]?[ *_]*"
)
"""A title that tells a place in a row, as of a recipe, a speech or a plan, and no topic of its own."""

INFERS = _anywhere(
    (
        "therefore",
        "thus",
        "hence",
        r"substitut\w+",
        r"simplif\w+",
        r"we (?:get|have|obtain|find)",
        r"solv(?:e|ing)",
        r"plug\w*",
        "multiply",
        "divide",
        "add",
        "subtract",
    ),
    ("因此", "代入", "得到", "解得"),
)
"""Draws a result, in a calculation or a proof."""

STORY = (
    "once upon a time",
    "one day,",
    "that night,",
    "the next morning,",
    "chapter 1",
    "chapter one",
    "从前",
    "有一天",
)
"""Tells a story, in small letters."""

SALUTATION = re.compile(
    r"^[ \t]*+(?:(?:Dear|Dearest|My dear|Hi|Hello|Hey)\b[^\n]{0,60},[ \t]*$|Subject:"
    r"|(?:尊敬的|亲爱的)[^\n]{1,30}[：:，,][ \t]*$)",
    re.M,
)
"""Opens a letter."""
