"""What the page shows of an answer: its nodes in reading order, its threads over the steps, and its figures.

Offsets would not do: Python counts characters, a browser counts UTF-16 units. So the text goes out in pieces.
"""

from __future__ import annotations

from typing import Any

from apar.data.counters import TokenCounter
from apar.data.records import TreeRecord
from apar.data.refused import RefusedPieces
from apar.stats import TreeStats, tree_stats


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
        pieces = [(one.text, one.begins, one.refused) for one in refused.pieces(text, text + len(node.text))]
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
