"""What the model itself says of drafts: one token is drawn at each place that the thread comes to.

The token behind a path is drawn as it is without drafts. If a draft has that token there, the thread goes on behind
it, and the next token is drawn from the logits that the same pass gave for it; if not, it was the last of the pass. So
the text is that of decoding without drafts, sampled or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from apar.decoding.group import Sampled
from apar.scheduling.place import Place
from apar.scheduling.scheduler import Row
from apar.scheduling.verified import Verified

Draw = Callable[[Sequence[Place], Tensor], Sequence[Sampled | None]]
"""The tokens at places, from logits [places, vocabulary]; None where those are not numbers."""


def verify(rows: Sequence[Row], logits: Tensor, draw: Draw) -> list[Verified]:
    """Draw the tokens of every row from `logits` [tokens, vocabulary], those of `PassOutput`."""
    firsts, first = [], 0
    for row in rows:
        firsts.append(first)
        first += 1 + row.num_drafts
    verified = [Verified(row, first) for row, first in zip(rows, firsts, strict=True)]
    places = {number: _place(found) for number, found in enumerate(verified)}
    while places:
        places = _draw_level(places, verified, firsts, logits, draw)
    return verified


def _draw_level(
    places: dict[int, Place], verified: Sequence[Verified], firsts: Sequence[int], logits: Tensor, draw: Draw
) -> dict[int, Place]:
    """Draw one token for each row in `places`; the places of the rows whose drafts have it."""
    lasts = [verified[number].last for number in places]
    at = logits if len(lasts) == len(logits) else logits[torch.tensor(lasts, device=logits.device)]
    going: dict[int, Place] = {}
    for (number, place), token in zip(places.items(), draw(list(places.values()), at), strict=True):
        found = verified[number]
        if token is None or found.sampled is None:
            found.sampled = None
            continue
        found.sampled.append(token)
        if token.token in place.group.eos:
            continue
        child = found.children.get(token.token)
        if child is not None:
            found.nodes.append(child)
            found.last = firsts[number] + 1 + child
            going[number] = _place(found)
    return going


def _place(found: Verified) -> Place:
    """Where the row's next token is drawn."""
    row = found.row
    after = tuple(row.draft.tokens[node] for node in found.nodes) if row.draft is not None else ()
    inexact = row.draft is not None and row.group.params.draft_acceptance == "typical"
    return Place(row.group, row.thread, after, tuple(found.children) if inexact else ())
