"""Why a list does not fork: each reason, and what is no reason."""

from __future__ import annotations

import pytest

from apar.decoding.by_form.prompts import prompt_reason
from apar.decoding.by_form.reader import ItemReader
from apar.decoding.by_form.why_not import ForkJudge


def judged(text: str, prompt: str = "What are some tips?") -> list[str | None]:
    """The verdict on each lead of a text."""
    judge = ForkJudge(prompt)
    return [judge.why_not(lead, text[: lead.read]) for lead in ItemReader().feed(text)]


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("Write a function that sorts a list", "code"),
        ("Explain this: ```x = 1```", "code"),
        ("How do I read a file in Python?", "code"),
        ("用Python写一个程序", "code"),
        ("Solve the equation 2x + 3 = 7", "formula"),
        ("How many times does a heart beat in a year?", "formula"),
        ("计算下面的积分", "formula"),
        ("Write a poem about the sea", "short_lines"),
        ("写一首关于春天的诗", "short_lines"),
        ("Write a dialogue between a cat and a dog", "dialogue"),
        ("编写一段两人的对话", "dialogue"),
        ("Draft an email to my boss", "letter"),
        ("给老师写一封信", "letter"),
        ("Tell me a story about a dragon", "narrative"),
        ("Pretend to be a pirate and tell us of your day", "narrative"),
        ("As a pirate captain, what would you say?", "narrative"),
        ("You are a knight of the round table. Speak.", "narrative"),
        ("请你扮演一位医生", "narrative"),
        ("Write an essay on freedom", "prose"),
        ("Summarize the text below", "prose"),
        ("翻译下面的句子", "prose"),
        ("Put it into a table", "table"),
        ("What is wrong with the given Python code?", "code"),
        ("Give me a linux command that counts files", "code"),
        ("How would you calculate the mean?", "formula"),
        ("请继续剧本", "dialogue"),
        ("Which of the following is right? Multiple choice", "short_details"),
        ("What are some tips for staying healthy?", None),
        ("How can I write a good essay?", None),
        ("What are the differences between Python and JavaScript?", None),
        ("You are an expert in marketing. Give me five ideas.", None),
        ("Why is sleep important?", None),
        ("保持健康有哪些方法？", None),
        ("如何写一封好的求职信？", None),
        ("", None),
    ],
)
def test_what_a_prompt_tells(prompt: str, reason: str | None) -> None:
    assert prompt_reason(prompt) == reason
    assert judged("1. Plan ahead: a", prompt) == [reason]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Look:\n```\nx\n```\nThat is:\n\n1. Plan: a", "code"),
        ("1. Use `git add`: a", "code"),
        ("1. Install OpenCV: a", "code"),
        ("| a | b |\n|---|---|\n| c | d |\n\n1. Plan: a", "table"),
        ("We solve x = 3 + 4 and so on.\n\n1. Plan: a", "derivation"),
        ("1. x + y: a", "formula"),
        ("- N: a", "formula"),
        ("- 2018: a", "counting"),
        ("Dear Mr Smith,\n\nI write.\n\n1. Plan: a", "letter"),
        ("Once upon a time there was a fox.\n\nIt ran.\n\nIt slept.\n\n- Fox: a", "narrative"),
        ("Ingredients:\n- Flour: a", "continued"),
        ("1. This is illegal: a", "continued"),
        ("1. Step 1: a", "continued"),
        ("1. 首先，准备：a", "continued"),
        ("Words\n\n### Morning\n", "continued"),
        ("Words:\n\n**Dinner:** a", "continued"),
        ("Words:\n\n**Example:** a", "too_few_parts"),
        ("1. Use following command: a", "code"),
        ("1. 在终端中输入以下命令：a", "code"),
        ("import a\n# Read the file\n", "code"),
        ("1. You create a pod - a", "too_few_parts"),
        ("1. Title: a", "repeated_leads"),
        ("- **Book Title** - a", "repeated_leads"),
        ("Words\n\n### Step 1: Plan\n", "continued"),
        ("Words\n\n### NEW ###\n", "too_few_parts"),
        ("Some words.\n\n**Note:** a", "too_few_parts"),
        ("Some tips:\n\n1. Plan ahead: a", None),
        ("1. Plan ahead: a", None),
        ("Here is how:\n\n**Plan:** a", None),
        ("I'd be happy to help! Here are my tips:\n\n1. Plan: a", None),
        ("以下是建议：\n\n1. **计划**：内容", None),
    ],
)
def test_what_the_first_lead_and_its_opening_tell(text: str, reason: str | None) -> None:
    assert judged(text) == [reason]


def test_leads_that_go_on_from_each_other_refuse_from_there() -> None:
    assert judged("1. Plan: a\n2. Then rest: b\n3. Eat: c") == [None, "continued", "continued"]


def test_speakers_that_return_are_a_dialogue() -> None:
    text = "- Anna: a\n- Bob: b\n- Anna: c\n- Bob: d"
    assert judged(text)[-1] == "dialogue"


def test_items_without_leads_refuse_the_rest() -> None:
    assert judged("- Apples\n- Pears\n- Plums: round") == ["short_details"]
    assert judged("- Apples and more\n- Pears: green") == [None]


def test_a_second_label_makes_a_list() -> None:
    assert judged("Some words.\n\n**Plan:** a\n\n**Rest:** b") == ["too_few_parts", None]


def test_one_list_that_was_refused_leaves_the_next_alone() -> None:
    text = "1. This is illegal: a\n2. Rest: b\n\nTips:\n\n- Plan: c"
    assert judged(text) == ["continued", "continued", None]
