"""One HTML file to browse a sample of trees: it holds its data, style and script, and asks nothing of a network.

Answers come from anywhere. They are held as escaped JSON and put into the page as text; a content security
policy lets only the page's own script and style run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any, TextIO

from apar.corpus.page_data import answer_data
from apar.data.counters import TokenCounter
from apar.data.records import TreeRecord

_SCRIPTS = ("dom.js", "answer.js", "overview.js", "page.js")
# What would end the element that holds the data, or begin another, is written as JSON escapes.
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}


def write_page(file: TextIO, records: Sequence[TreeRecord], report: Mapping[str, Any], counter: TokenCounter) -> None:
    """Write the page of a sample of records and the report of their whole data set."""
    style = _template("page.css")
    script = "\n".join(_template(name) for name in _SCRIPTS)
    data = {"report": report, "answers": [answer_data(record, counter) for record in records]}
    page = Template(_template("page.html"))
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; base-uri 'none'; form-action 'none'"
    )
    file.write(page.substitute(policy=policy, style=style, script=script, data=_embedded(data)))


def _template(name: str) -> str:
    return (files("apar.corpus") / "template" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a content security policy names an element of just this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _embedded(data: object) -> str:
    """JSON of ASCII characters that cannot end the element it stands in."""
    return json.dumps(data, ensure_ascii=True).translate(_ESCAPES)
