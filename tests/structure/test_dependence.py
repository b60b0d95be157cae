"""Groups whose parts go on from one another are refused, each for a reason with a name; others are not."""

from __future__ import annotations

import pytest

from apar.structure.extract import extract


def reasons(text: str) -> set[str]:
    return {refusal.reason for refusal in extract(text).refusals}


def paragraphs(*sentences: str) -> str:
    return "\n\n".join(sentences)


STORY = paragraphs(
    "Once upon a time a miller lived by a stream. He had a mill, a cat and very little else in the world.",
    "The cat wanted boots, and the miller bought some. They were red, and they were the best of the town.",
    "So the cat went to see the king of the land. The king liked the boots and asked where they came from.",
)
LETTER = paragraphs(
    "Dear Mrs. Gardener,",
    "The roses arrived on Monday in good order. They are planted now along the whole of the southern wall.",
    "The apple trees are still missing from it. Please tell us when they will leave, for the ground is ready.",
    "Our bill will be paid by the end of the month. The bank has been told of it already, and so has the office.",
)
DIALOGUE = paragraphs(
    "Alice: Is the train late again today? I have been waiting here for more than an hour now.",
    "Bob: The board says that it is on time. It says so every single day, whatever happens to it.",
    "Alice: Then the board is wrong about it. We should ask somebody who works here, if there is one.",
    "Bob: There is nobody here but us two. Let us walk down the road and see whether a bus will come.",
)
CONTINUED = paragraphs(
    "The seed falls on the ground in autumn. It lies there under the leaves until the snow is gone.",
    "This makes the shell go soft with time. Water gets in, and the first root comes out of the shell.",
    "Then the root reaches down for water. The shoot goes up, and the first two leaves open in the light.",
)
DERIVATION = (
    "1. Set up the equation: the sum gives 2x + 4 = 10 for the unknown\n"
    "2. Move the constant: we get 2x = 6 after subtracting on both sides\n"
    "3. Divide by two: therefore x = 3 is the solution of it all\n"
)
STEPS = (
    "1. Mix the flour: add it to the bowl with all of the water\n"
    "2. Bake the dough: use the result of step 1 and wait an hour\n"
    "3. Serve the bread: cut what came out in the previous step\n"
)
CODE = (
    "1. Load the data: read the file once\n\n   ```python\n   rows = load('a.csv')\n   ```\n\n"
    "2. Count the rows: one number for all\n\n   ```python\n   print(len(rows))\n   ```\n"
)
COUNT = "\n".join(f"- Table of {k}: {k} {2 * k} {3 * k} {4 * k} {5 * k} {6 * k} {7 * k} {8 * k}" for k in (12, 13, 14))
CARRIED = (
    "1. Wages: the yearly wages come to 48,250 in this case\n"
    "2. Rent: the rent of 12,345 comes off the 48,250 in full\n"
    "3. Rest: what is left of 48,250 after the rent of 12,345\n"
    + "".join(f"{k}. Share {k}: a part of what 48,250 minus 12,345 comes to\n" for k in range(4, 9))
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (STORY, "narrative"),
        (LETTER, "letter"),
        (DIALOGUE, "dialogue"),
        (CONTINUED, "continued"),
        (DERIVATION, "derivation"),
        (STEPS, "continued"),
        (CODE, "code_continued"),
        (CARRIED, "carried_over"),
        (COUNT, "counting"),
    ],
)
def test_parts_that_need_the_parts_before_them(text: str, reason: str) -> None:
    found = extract(text)
    assert found.reason == reason
    assert reason in reasons(text)


@pytest.mark.parametrize(
    "text",
    [
        "1. Mix the flour: use a large bowl and all of the water\n2. Bake the dough: an hour in a hot oven is enough\n",
        "1. In Python: a loop is short\n\n   ```python\n   for k in range(3): print(k)\n   ```\n\n"
        "2. In Ruby: a block is shorter\n\n   ```ruby\n   3.times { puts it }\n   ```\n",
        "- Founded: the firm began in 1995 with three people\n- Sold: the firm was sold in 1999 for 100 pounds\n"
        "- Closed: the firm of 1995 closed after 100 years\n",
        "- Area of a square: the formula is A = s^2 for a side\n- Area of a circle: the formula is A = "
        "3.14 r^2 for it\n",
    ],
)
def test_parts_that_stand_alone(text: str) -> None:
    assert reasons(text) == set()
    assert extract(text).tree.num_forks >= 2


def test_a_group_that_is_refused_leaves_the_others_alone() -> None:
    text = f"## Reasons\n\n- Cost: it is not cheap at all\n- Speed: it is the fastest one\n\n## How\n\n{STEPS}"
    found = extract(text)
    assert {refusal.reason for refusal in found.refusals} == {"continued"}
    [refusal] = found.refusals
    assert text[refusal.start : refusal.end] == STEPS[3:].strip()
    assert found.tree.num_forks == 4


def test_numbers_among_chinese_characters_are_no_count() -> None:
    detail = "系统的总内存为16GB，当前已使用了12GB。\n   利用率为75%，高峰时会达到90%。\n   3个指标都需要注意。"
    text = "".join(f"{k}. {name}：{detail}\n" for k, name in enumerate(("内存不足", "内存泄漏", "缓存问题"), 1))
    assert "counting" not in reasons(text)
    assert len(extract(text).tree.forks()) == 3
