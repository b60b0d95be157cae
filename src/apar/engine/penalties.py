"""Logits changed by what the request asks and by what was said before: bias and penalties."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from apar.engine.params import SamplingParams
from apar.engine.scheduler import Row


def adjust(logits: Tensor, rows: Sequence[Row], hidden: frozenset[int]) -> Tensor:
    """`logits` [rows, vocabulary] with each row's bias and penalties; rows that ask for none keep theirs.

    Tokens of `hidden` (the control tokens) are never penalised. Definitions: `SamplingParams`.
    """
    asking = [number for number, row in enumerate(rows) if row.group.params.adjusts]
    if not asking:
        return logits
    some = [rows[number] for number in asking]
    adjusted = logits[asking]
    _add_bias(adjusted, some)
    if any(row.group.params.penalises for row in some):
        adjusted = _penalise(adjusted, some, hidden)
    logits[asking] = adjusted
    return logits


def _add_bias(logits: Tensor, rows: Sequence[Row]) -> None:
    triples = [
        (number, token, bias) for number, row in enumerate(rows) for token, bias in row.group.params.logit_bias.items()
    ]
    if triples:
        numbers, tokens, biases = zip(*triples, strict=True)
        place = (torch.tensor(numbers, device=logits.device), torch.tensor(tokens, device=logits.device))
        logits.index_put_(place, torch.tensor(biases, device=logits.device, dtype=logits.dtype), accumulate=True)


def _penalise(logits: Tensor, rows: Sequence[Row], hidden: frozenset[int]) -> Tensor:
    sampled = _counts(logits, [row.thread.tokens[row.group.prompt_tokens :] for row in rows], hidden)
    seen = _counts(logits, [row.thread.tokens for row in rows], hidden) > 0
    repeated = _column(rows, lambda params: params.repetition_penalty, logits)
    logits = torch.where(seen, torch.where(logits > 0, logits / repeated, logits * repeated), logits)
    logits = logits - _column(rows, lambda params: params.frequency_penalty, logits) * sampled
    return logits - _column(rows, lambda params: params.presence_penalty, logits) * (sampled > 0)


def _column(rows: Sequence[Row], value: Callable[[SamplingParams], float], like: Tensor) -> Tensor:
    """A number of each row's parameters, [rows, 1]."""
    values = [value(row.group.params) for row in rows]
    return torch.tensor(values, dtype=like.dtype, device=like.device).unsqueeze(1)


def _counts(like: Tensor, paths: Sequence[Sequence[int]], hidden: frozenset[int]) -> Tensor:
    """How often each token stands on each path, [rows, vocabulary]."""
    kept = [[token for token in path if token not in hidden] for path in paths]
    numbers = [number for number, path in enumerate(kept) for _ in path]
    place = (
        torch.tensor(numbers, dtype=torch.long, device=like.device),
        torch.tensor([token for path in kept for token in path], dtype=torch.long, device=like.device),
    )
    ones = torch.ones(len(numbers), dtype=like.dtype, device=like.device)
    return torch.zeros_like(like).index_put_(place, ones, accumulate=True)
