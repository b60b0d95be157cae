"""The held-out loss on the answers' text, under tree attention, against the sequential twin's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from apar.data.records import Example
from apar.errors import UserError
from apar.eval.plan import Plan
from apar.models.load import load
from apar.train.batches import Encoder
from apar.train.losses import held_out_loss

ROWS = 2
"""Packs in a forward pass; small ones are fastest on CPU."""


def compare_losses(plan: Plan, examples: Sequence[Example]) -> dict[str, Any]:
    """Losses in nats a token: of the forked model on trees, of the twin on the same text, and their ratio.

    Both read the same tokens of the same answers: those whose tree fits into a pack, encoded node by node.
    Raises UserError if the twin's tokenizer is another one.
    """
    model, tokenizer = load(plan.model, dtype="auto", device="auto")
    encoder = Encoder(tokenizer, forked=True, max_length=plan.max_length)
    fitting = [example for example in examples if len(encoder.sample(example)) <= plan.max_length]
    loss = asdict(held_out_loss(model, encoder.fixed_batches(fitting, ROWS)))
    result: dict[str, Any] = {"model": loss, "answers": len(fitting), "too_long": len(examples) - len(fitting)}
    if plan.twin is not None:
        twin = result["twin"] = _twin_loss(plan.twin, plan, fitting)
        if twin["text_tokens"] != loss["text_tokens"]:
            raise UserError(f"{plan.twin} is no twin of {plan.model}: their tokenizers split the answers differently")
        result["ratio"] = loss["text"] / twin["text"]
    return result


def _twin_loss(name: str, plan: Plan, examples: Sequence[Example]) -> dict[str, Any]:
    model, tokenizer = load(name, dtype="auto", device="auto")
    encoder = Encoder(tokenizer, forked=False, max_length=plan.max_length)
    return asdict(held_out_loss(model, encoder.fixed_batches(examples, ROWS)))
