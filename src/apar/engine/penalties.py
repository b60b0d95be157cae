"""Logits changed by what the request asks and by what was said before: bias and penalties."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from apar.scheduling.place import Place


def adjust(logits: Tensor, places: Sequence[Place]) -> None:
    """Add each place's bias to `logits` [places, vocabulary] and apply its penalties; other logits are not even read.

    Tokens that are no part of the text (control tokens, ends) are never penalised. Definitions: `SamplingParams`.
    """
    asking = [(number, place) for number, place in enumerate(places) if place.group.params.adjusts]
    if asking:
        _add_bias(logits, asking)
        _penalise(logits, asking)


def _add_bias(logits: Tensor, places: Sequence[tuple[int, Place]]) -> None:
    """`places` with their numbers in `logits`."""
    triples = [(number, token, bias) for number, one in places for token, bias in one.group.params.logit_bias.items()]
    if triples:
        numbers, tokens, biases = zip(*triples, strict=True)
        where = (torch.tensor(numbers, device=logits.device), torch.tensor(tokens, device=logits.device))
        logits[where] += torch.tensor(biases, device=logits.device, dtype=logits.dtype)


def _penalise(logits: Tensor, places: Sequence[tuple[int, Place]]) -> None:
    """Change the logits of what was said: a path is short beside a vocabulary."""
    said = [(number, entry, *token) for entry, (number, place) in enumerate(places) for token in place.said]
    if not said:
        return
    numbers, entries, tokens, times = torch.tensor(said, device=logits.device).unbind(1)
    each = [place.group.params for _, place in places]
    penalties = [(p.repetition_penalty, p.frequency_penalty, p.presence_penalty) for p in each]
    table = torch.tensor(penalties, dtype=logits.dtype, device=logits.device)  # [places, 3]
    repetition, frequency, presence = table[entries].unbind(1)
    values = logits[numbers, tokens]
    values = torch.where(values > 0, values / repetition, values * repetition)
    logits[numbers, tokens] = values - frequency * times - presence * (times > 0)
