"""A few answers of a model in training, thread by thread, by Transformers' own generation: slow, for any model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from apar.data.records import Example
from apar.tokens import FORK, ControlTokens, encode_prompt

MAX_TOKENS = 300
MAX_NODES = 40


def show_answers(model: Any, tokenizer: Any, examples: Sequence[Example], *, forked: bool) -> str:
    """The greedy answers to the examples' questions: a line for each node, indented by depth."""
    shown = []
    # Every length of a text would be compiled anew.
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        for example in examples:
            nodes = _nodes(model, tokenizer, encode_prompt(tokenizer, example.messages), forked)
            shown.append(f"### {example.messages[-1]['content']}\n\n" + "\n".join(nodes))
    return "\n\n".join(shown) + "\n"


def _nodes(model: Any, tokenizer: Any, prompt: list[int], forked: bool) -> list[str]:
    """The nodes of an answer in reading order."""
    control = ControlTokens.of(tokenizer) if forked else None
    lines: list[str] = []
    left = MAX_TOKENS
    todo = [(prompt, 0)]
    while todo and left > 0 and len(lines) < MAX_NODES:
        path, depth = todo.pop()
        tokens, forks = _segment(model, tokenizer, path, control, left)
        left -= len(tokens)
        text = tokenizer.decode(tokens, skip_special_tokens=True)
        lines.append("  " * depth + text.strip().replace("\n", "\n" + "  " * depth) + (f" {FORK}" if forks else ""))
        if control is not None and forks:
            path = [*path, *tokens, control.fork]
            todo += [(path, depth), ([*path, control.child], depth + 1)]
    return [*lines, "(cut off)"] if todo or left <= 0 else lines


def _segment(
    model: Any, tokenizer: Any, path: list[int], control: ControlTokens | None, limit: int
) -> tuple[list[int], bool]:
    """The tokens that follow on a path up to a fork or the end, and whether it was a fork."""
    ends = [int(tokenizer.eos_token_id), *([] if control is None else [control.fork])]
    ids = torch.tensor([path], device=model.device)
    found = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=limit,
        do_sample=False,
        eos_token_id=ends,
        pad_token_id=ends[0],
        suppress_tokens=None if control is None else [control.child],
    )
    tokens = found[0, len(path) :].tolist()
    forks = control is not None and bool(tokens) and tokens[-1] == control.fork
    return (tokens[:-1] if tokens and tokens[-1] in ends else tokens), forks
