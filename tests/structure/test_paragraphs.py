"""Paragraphs fork at their topic sentences, unless they are a story, a letter or talk."""

from __future__ import annotations

from apar.structure.criteria import DEFAULT_CONFIG
from apar.structure.markdown import parse
from apar.structure.paragraphs import Prose, prose

TOPICS = [
    "The lamp was its heart. Men kept it alight.",
    "The lens made it strong. It turned all night.",
    "The tower made it seen. It was white or red.",
]


def found(text: str) -> Prose:
    return prose(text, parse(text), DEFAULT_CONFIG)


def cuts(text: str) -> list[tuple[str, str]]:
    return [(text[part.start : part.lead_end], text[part.lead_end : part.end]) for part in found(text).parts]


def test_each_paragraph_is_cut_behind_its_first_sentence() -> None:
    assert cuts("\n\n".join(TOPICS)) == [
        ("The lamp was its heart.", " Men kept it alight."),
        ("The lens made it strong.", " It turned all night."),
        ("The tower made it seen.", " It was white or red."),
    ]


def test_long_lines_are_paragraphs_and_wrapped_lines_are_not() -> None:
    long = [f"{topic} {'It stood on the cliff for many years. ' * 3}".strip() for topic in TOPICS]
    assert found("\n".join(long)).num_paragraphs == 3
    assert found("\n".join(TOPICS)).num_paragraphs == 1


def test_a_title_line_belongs_to_the_line_under_it() -> None:
    body = "It stood on the cliff for many years, and ships steered by its light through all the storms."
    text = f"The lamp\n{body}\nThe lens\n{body}\nThe tower\n{body}"
    assert [lead for lead, _ in cuts(text)] == ["The lamp", "The lens", "The tower"]


def test_a_paragraph_that_introduces_the_next_does_not_fork() -> None:
    text = "\n\n".join(["There were many of them. Here are some of the best:", *TOPICS])
    assert len(cuts(text)) == 3


def test_a_pleasantry_does_not_fork() -> None:
    text = "\n\n".join(["Sure, here is what there is to know! It begins with the lamp.", *TOPICS])
    assert len(cuts(text)) == 3


def test_labels_are_leads_where_there_are_several() -> None:
    text = "Lamp: men kept it alight all night.\n\nLens: it turned all night long.\n\nTower: it was white or red."
    assert [lead for lead, _ in cuts(text)] == ["Lamp:", "Lens:", "Tower:"]


def test_why_prose_goes_on_from_paragraph_to_paragraph() -> None:
    verse = "The lamp was bright,\nThe night was long,\nThe sea was white."
    talk = "Keeper: It is late.\n\nBoy: It is.\n\nKeeper: Go to bed.\n\nBoy: I will."
    quoted = '"The lamp went out.\n\n"Nobody saw it.\n\n"Then came the ship."'
    tale = "Once upon a time there was a lamp. It shone.\n\nIt was old. It shook.\n\nIt fell. It broke."
    diary = "I woke up early. My lamp was out.\n\nI lit it. I went down.\n\nI slept. I was tired."
    letter = "Dear Sir,\n\nThe lamp is out. It must be lit.\n\nThe lens is dull. It must shine."
    reasons = [found(text).refused for text in (verse, talk, quoted, tale, diary, letter)]
    assert reasons == ["short_lines", "dialogue", "dialogue", "narrative", "narrative", "letter"]


def test_a_title_in_quotation_marks_is_no_talk() -> None:
    text = "\n\n".join(f'{topic} Read "Eugene Onegin," too.' for topic in TOPICS)
    assert found(text).refused is None
