"""Answers and prompts of an evaluation, made by hand."""

from __future__ import annotations

from typing import Any

from apar.eval.answered import Answered
from apar.eval.kinds import Kind
from apar.eval.prompts import EvalPrompt
from apar.eval.ways import Way
from apar.tree import ParagraphTree


def answered(prompt: str, way: Way = "forked", tree: ParagraphTree | str = "x", **figures: Any) -> Answered:
    """An answer of a tree or of a text, with a token and a step for each word where nothing else is said."""
    tree = ParagraphTree.leaf(tree) if isinstance(tree, str) else tree
    words = len(tree.text.split())
    known = {
        "timed": True,
        "ended": True,
        "tokens": words,
        "steps": words,
        "forward_passes": words,
        "threads": tree.num_threads,
        "empty_details": 0,
        "unopened_details": 0,
        "prompt_tokens": 3,
        "cached_tokens": 0,
        "seconds": 1.0,
        "first_token_seconds": 0.1,
        "kv_blocks_peak": 4,
    }
    forks = tuple((fork.at, fork.end) for fork in tree.forks())
    return Answered(prompt=prompt, way=way, text=tree.text, forks=forks, **{**known, **figures})


def by_way(*answers: Answered) -> dict[Way, dict[str, Answered]]:
    """Answers as an evaluation hands them on."""
    found: dict[Way, dict[str, Answered]] = {}
    for answer in answers:
        found.setdefault(answer.way, {})[answer.prompt] = answer
    return found


def prompt(identity: str, kind: Kind = "other", category: str | None = None, **more: Any) -> EvalPrompt:
    return EvalPrompt(identity, f"What about {identity}?", kind, category, **more)
