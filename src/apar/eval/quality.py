"""The held-out loss on the answers' text, under tree attention, against the sequential twin's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from apar.data.mix import Example
from apar.engine.load import load
from apar.errors import UserError
from apar.eval.plan import Plan
from apar.train.losses import held_out_loss
from apar.train.stream import Encoder

ROWS = 2
"""Packs in a forward pass; small ones are fastest on CPU."""


def compare_losses(plan: Plan, examples: Sequence[Example]) -> dict[str, Any]:
    """Losses in nats a token: of the forked model on trees, of the twin on the same text, and their ratio.

    Both read the same tokens of the text (a tree's nodes are encoded one by one for either). Raises UserError
    if the twin's tokenizer is another one.
    """
    result: dict[str, Any] = {"model": _loss(plan.model, plan, examples, forked=True)}
    if plan.twin is not None:
        twin = result["twin"] = _loss(plan.twin, plan, examples, forked=False)
        if twin["text_tokens"] != result["model"]["text_tokens"]:
            raise UserError(f"{plan.twin} is no twin of {plan.model}: their tokenizers split the answers differently")
        result["ratio"] = result["model"]["text"] / twin["text"]
    return result


def _loss(name: str, plan: Plan, examples: Sequence[Example], *, forked: bool) -> dict[str, Any]:
    model, tokenizer = load(name, dtype="auto", device="auto")
    encoder = Encoder(tokenizer, forked=forked, max_length=plan.max_length)
    return asdict(held_out_loss(model, encoder.fixed_batches(examples, ROWS))) | {"left_out": dict(encoder.left_out)}
