"""Logits changed by what the request asks and by what was said before: bias and penalties."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from apar.engine.scheduler import Row


def adjust(logits: Tensor, rows: Sequence[Row]) -> None:
    """Add each row's bias to `logits` [rows, vocabulary] and apply its penalties; other logits are not even read.

    Tokens that are no part of the text (control tokens, ends) are never penalised. Definitions: `SamplingParams`.
    """
    asking = [(number, row) for number, row in enumerate(rows) if row.group.params.adjusts]
    if asking:
        _add_bias(logits, asking)
        _penalise(logits, asking)


def _add_bias(logits: Tensor, rows: Sequence[tuple[int, Row]]) -> None:
    """`rows` with their numbers in `logits`."""
    triples = [(number, token, bias) for number, row in rows for token, bias in row.group.params.logit_bias.items()]
    if triples:
        numbers, tokens, biases = zip(*triples, strict=True)
        place = (torch.tensor(numbers, device=logits.device), torch.tensor(tokens, device=logits.device))
        logits[place] += torch.tensor(biases, device=logits.device, dtype=logits.dtype)


def _penalise(logits: Tensor, rows: Sequence[tuple[int, Row]]) -> None:
    """Change the logits of what was said: a path is short beside a vocabulary."""
    said = [(number, place, *token) for place, (number, row) in enumerate(rows) for token in _said(row)]
    if not said:
        return
    numbers, places, tokens, times = torch.tensor(said, device=logits.device).unbind(1)
    each = [row.group.params for _, row in rows]
    penalties = [(p.repetition_penalty, p.frequency_penalty, p.presence_penalty) for p in each]
    table = torch.tensor(penalties, dtype=logits.dtype, device=logits.device)  # [rows, 3]
    repetition, frequency, presence = table[places].unbind(1)
    values = logits[numbers, tokens]
    values = torch.where(values > 0, values / repetition, values * repetition)
    logits[numbers, tokens] = values - frequency * times - presence * (times > 0)


def _said(row: Row) -> list[tuple[int, int]]:
    """The tokens that the row's penalties are for, and how often the thread or its ancestors sampled each."""
    params, path = row.group.params, row.thread.tokens
    if not params.penalises:
        return []
    sampled = Counter(path[row.group.prompt_tokens :])
    tokens = set(path) if params.repetition_penalty != 1 else set(sampled)
    return [(token, sampled[token]) for token in tokens - row.group.grammar.hidden]
