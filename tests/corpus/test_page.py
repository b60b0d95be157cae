"""The page holds everything itself, runs nothing but its own script, and shows the figures of the trees."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.corpus.page import answer_data, figures_data, write_page
from apar.corpus.report import Report
from apar.corpus.totals import summarize
from apar.data.records import TreeRecord
from apar.data.token_counter import TokenCounter, word_counter
from apar.stats import tree_stats
from apar.structure.labels import Refusal
from apar.tokens import ControlTokens
from apar.train.samples import tree_sample
from apar.tree import ParagraphTree
from tests.corpus.records import CHINESE, FORKING, NESTED, REFUSED, STORY, record
from tests.trees import encoded, trees

COUNTER = word_counter()
CHARACTERS = TokenCounter("characters", len)
HOSTILE = "</script><script>alert(1)</script><!-- \u2028\ud83d & é 😀 <img src=x onerror=alert(2)> $data ${x}"


class _Elements(HTMLParser):
    """The elements of a page with their attributes, and the text directly in each script and style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[str] = []
        self._in_raw = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_raw = tag in ("script", "style")
        if self._in_raw:
            self.raw.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_raw = False

    def handle_data(self, data: str) -> None:
        if self._in_raw:
            self.raw[-1] += data


def page_of(*records: TreeRecord) -> str:
    report = Report(COUNTER.name)
    for one in records:
        report.add(summarize(one, COUNTER, "jsonl messages"))
    file = io.StringIO()
    write_page(file, records, report.to_dict(), COUNTER)
    return file.getvalue()


def data_of(page: str) -> Any:
    return json.loads(_Elements(page).raw[1])


def text_of(answer: dict[str, Any]) -> str:
    return "".join(piece[0] for node in answer["nodes"] for piece in node["pieces"])


def test_the_page_asks_nothing_of_a_network() -> None:
    page = page_of(record(FORKING), record(HOSTILE))
    elements = _Elements(page).elements
    assert not [tag for tag, _ in elements if tag in ("img", "link", "iframe", "object", "base", "a")]
    assert not [name for _, attributes in elements for name in attributes if name in ("src", "href", "style")]
    own = page.replace(_Elements(page).raw[1], "")
    assert set(re.findall(r"https?://[^\s\"']+", own)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in own
    assert "@import" not in own


def test_only_the_pages_own_script_and_style_may_run() -> None:
    parsed = _Elements(page_of(record(HOSTILE)))
    scripts = [attributes for tag, attributes in parsed.elements if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}]
    style, _, script = parsed.raw
    policy = next(a["content"] for tag, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    for name, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules.pop(name) == f"'sha256-{digest}'"
    assert not rules
    # Data go into the page as text only.
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)


@pytest.mark.parametrize("answer", [HOSTILE, "]]>", "<!--<script>", "\x00\x1b\u2029"])
def test_hostile_answers_stay_data(answer: str) -> None:
    page = page_of(record(answer, source=answer))
    data = data_of(page)
    (shown,) = data["answers"]
    # A browser joins surrogates as Python's JSON does: one that is alone stays so.
    assert text_of(shown) == shown["source"] == answer
    assert data["report"]["by_source_figures"][answer]["answers"] == 1
    raw = _Elements(page).raw[1]
    assert raw.isascii()
    assert not set("<>&") & set(raw)


@given(st.lists(st.text(), max_size=3))
def test_no_text_is_lost(answers: list[str]) -> None:
    records = [record(answer) for answer in answers]
    assert [text_of(answer) for answer in data_of(page_of(*records))["answers"]] == answers


def test_the_figures_are_those_of_the_trees() -> None:
    for text in (FORKING, NESTED, REFUSED, STORY, CHINESE):
        one = record(text)
        stats = tree_stats(one.tree, COUNTER.count)
        answer = answer_data(one, COUNTER)
        assert answer["figures"] == figures_data(stats)
        assert sum(node["tokens"] for node in answer["nodes"]) == stats.tokens
        assert len(answer["threads"]) == stats.threads
        assert max(thread["end"] for thread in answer["threads"]) + 1 == stats.critical_path
        alive = [sum(t["start"] <= step <= t["end"] for t in answer["threads"]) for step in range(stats.critical_path)]
        assert tuple(alive) == stats.threads_per_step


@given(trees())
def test_the_mask_is_that_of_training(tree: ParagraphTree) -> None:
    sample = tree_sample([-4], encoded(tree), ControlTokens(fork=-1, child=-2, eos=-3), -3)
    answer = answer_data(_record(tree), CHARACTERS)
    ends = []
    for node in answer["nodes"]:
        assert node["at"] == len(ends)
        ends += [answer["threads"][node["thread"]]["seen_until"]] * node["size"]
    assert [end + 1 for end in ends] == sample.subtree_end[1:]  # the prompt stands before


@given(trees(), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=4))
def test_refused_groups_are_told_at_their_place(tree: ParagraphTree, spans: list[tuple[int, int]]) -> None:
    length = len(tree.text)
    inside = [(min(a, b), max(a, b)) for a, b in spans if a != b and max(a, b) <= length]
    answer = answer_data(_record(tree, [Refusal(a, b, "continued") for a, b in inside]), CHARACTERS)
    assert text_of(answer) == tree.text
    at, begins, refused = 0, [], []
    for node in answer["nodes"]:
        for text, reasons, is_refused in node["pieces"]:
            begins += [at] * len(reasons)
            refused += [is_refused] * len(text)
            at += len(text)
    assert begins == sorted(a for a, _ in inside)
    assert refused == [any(a <= k < b for a, b in inside) for k in range(length)]


def _record(tree: ParagraphTree, refusals: list[Refusal] | None = None) -> TreeRecord:
    bare = record("Plain.")
    return TreeRecord(bare.id, "s", bare.messages, tree.text, "paragraphs", None, tree, {}, tuple(refusals or ()))
