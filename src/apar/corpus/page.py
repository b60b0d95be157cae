"""One HTML file to browse a sample of trees: it holds its data, style and script, and asks nothing of a network.

Answers come from anywhere. They are held as escaped JSON and put into the page as text; a content security
policy lets only the page's own script and style run. Offsets would not do: Python counts characters, a browser
counts UTF-16 units. So the text goes out in pieces.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any, TextIO, TypeVar

from apar.data.records import TreeRecord
from apar.data.token_counter import TokenCounter
from apar.stats import TreeStats, tree_stats
from apar.view.refusal_spans import RefusedPieces

Item = TypeVar("Item")

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


def answer_data(record: TreeRecord, counter: TokenCounter) -> dict[str, Any]:
    """An answer as the page's script reads it."""
    nodes, threads = _nodes_and_threads(record, counter)
    return {
        "id": record.id,
        "source": record.source,
        "model": _text(record.extra.get("model")),
        "language": _text(record.extra.get("lang")),
        "rule": record.rule,
        "reason": record.reason,
        "refusals": [refusal.reason for refusal in record.refusals],
        "messages": list(record.messages),
        "nodes": nodes,
        "threads": threads,
        "figures": figures_data(tree_stats(record.tree, counter.count)),
    }


def figures_data(stats: TreeStats) -> dict[str, float]:
    """The figures of a tree by name, as the page and `apar show --json` give them."""
    return {
        "tokens": stats.tokens,
        "threads": stats.threads,
        "depth": stats.depth,
        "critical_path": stats.critical_path,
        "sequential_steps": stats.sequential_steps,
        "ideal_speedup": stats.speedup,
        "peak_threads": stats.peak_threads,
        "attended_forked": stats.attended_forked,
        "attended_sequential": stats.attended_sequential,
        "kv_token_steps_forked": stats.kv_forked.sum,
        "kv_token_steps_sequential": stats.kv_sequential.sum,
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _nodes_and_threads(record: TreeRecord, counter: TokenCounter) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The nodes in reading order, and the threads, each before its children.

    A node has its thread, the step of its first token, the thread that it forks, and as `at` and `size` its place
    in the training sample (`apar.train.samples`): laid out depth first, with `[Child]` before a detail and `[Fork]`
    or end-of-sequence after each node. A thread has its steps from `start` to `end`; the training sample's tokens
    before `seen_until` attend to its tokens before them.
    """
    refused = RefusedPieces(record.response, record.refusals)
    nodes: list[dict[str, Any]] = []
    threads: list[dict[str, Any]] = [{"path": "0", "parent": None, "start": 0, "forks": 0}]
    stack = [(record.tree.root, 0, 0)]  # nodes to come, each with its thread and its first step
    text = at = 0
    while stack:
        node, number, step = stack.pop()
        thread, tokens = threads[number], counter.count(node.text)
        size = tokens + 1 + (number > 0 and step == thread["start"])
        pieces = [(piece.text, piece.begins, piece.refused) for piece in refused.pieces(text, text + len(node.text))]
        child = len(threads) if node.forks else None
        nodes.append({"thread": number, "step": step, "tokens": tokens, "child": child, "at": at, "size": size,
                      "pieces": pieces})  # fmt: skip
        text, at, step = text + len(node.text), at + size, step + tokens
        if node.detail is not None and node.next is not None:
            path = f"{thread['path']}.{thread['forks']}"
            thread["forks"] += 1
            threads.append({"path": path, "parent": number, "start": step + 1, "forks": 0})
            stack += [(node.next, number, step + 1), (node.detail, len(threads) - 1, step + 1)]
        else:  # the last node of a thread is the last of its subtree too
            thread["end"], thread["seen_until"] = step, at
    return nodes, threads


def sampled(items: Iterable[Item], size: int, seed: int = 0) -> list[Item]:
    """`size` of the items, or all if there are fewer, in their order; only the sample is held.

    Each item is as likely to be in it, and the same items give the same sample.
    """
    chance = random.Random(seed)
    held: list[tuple[int, Item]] = []
    for number, item in enumerate(items):
        if len(held) < size:
            held.append((number, item))
        elif (index := chance.randrange(number + 1)) < size:
            held[index] = (number, item)
    return [item for _, item in sorted(held, key=lambda pair: pair[0])]
