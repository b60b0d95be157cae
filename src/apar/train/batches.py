"""From chosen examples to batches of tensors, endlessly and in an order that only the recipe decides."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from apar.data.mix import Example, endless
from apar.errors import UserError
from apar.tokens import ControlTokens, encode_prompt, encode_text
from apar.train.recipe import Recipe
from apar.train.samples import IGNORE, Sample, pack, sequential_sample, tree_sample


@dataclass(frozen=True, slots=True)
class Batch:
    """Packs of one length: every tensor is [packs, length]."""

    ids: Tensor
    positions: Tensor
    labels: Tensor
    subtree_end: Tensor
    is_text: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(getattr(self, item.name).to(device) for item in fields(self)))


class Encoder:
    """Makes samples of examples, of at most `max_length` tokens: trees, or plain text where `forked` is false."""

    def __init__(self, tokenizer: Any, *, forked: bool, max_length: int, loss_on_prompt: bool = False) -> None:
        self.tokenizer = tokenizer
        self.control = ControlTokens.of(tokenizer) if forked else None
        self.max_length = max_length
        self.loss_on_prompt = loss_on_prompt
        self.left_out: Counter[str] = Counter()

    def sample(self, example: Example) -> Sample:
        """Encode node by node, so that forked and sequential training see the same tokens of the text."""
        prompt = encode_prompt(self.tokenizer, example.messages)
        tree = example.tree.encode(lambda text: encode_text(self.tokenizer, text))
        eos = int(self.tokenizer.eos_token_id)
        if self.control is None:
            return sequential_sample(prompt, tree, eos, loss_on_prompt=self.loss_on_prompt)
        return tree_sample(prompt, tree, self.control, eos, loss_on_prompt=self.loss_on_prompt)

    def samples(self, examples: Iterable[Example]) -> Iterator[Sample]:
        """The samples that fit into a pack; the others are counted."""
        for example in examples:
            sample = self.sample(example)
            if len(sample) <= self.max_length:
                yield sample
            else:
                self.left_out["longer than max_length"] += 1

    def fixed_batches(self, examples: Iterable[Example], rows: int) -> Iterator[Batch]:
        """The examples once, in batches of `rows` packs: what a held-out loss is measured on."""
        packs = pack(self.samples(examples), self.max_length)
        while group := list(itertools.islice(packs, rows)):
            yield collate(group, self.max_length)


def batches(examples: Sequence[Example], encoder: Encoder, recipe: Recipe) -> Iterator[Batch]:
    """Training batches without end, each of `batch_tokens` tokens.

    Raises UserError if no example fits into a pack: none at all, or none of the structured or of the others
    where the mix draws from both.
    """
    for kind, pool in _pools(examples, recipe.mix.structured).items():
        if pool and not any(encoder.samples(pool)):
            raise UserError(f"none of the {len(pool)} {kind} has at most max_length = {recipe.max_length} tokens")
    encoder.left_out.clear()
    order = endless(examples, recipe.mix.structured, recipe.seed)
    packs = pack(encoder.samples(order), recipe.max_length)
    while True:
        yield collate(list(itertools.islice(packs, recipe.batch_tokens // recipe.max_length)), recipe.max_length)


def _pools(examples: Sequence[Example], structured: float | None) -> dict[str, list[Example]]:
    """What the mix draws from."""
    if structured is None:
        return {"examples": list(examples)}
    forking = [example for example in examples if example.structured]
    plain = [example for example in examples if not example.structured]
    return {"structured examples": forking if structured else [], "other examples": plain if structured < 1 else []}


def collate(packs: Sequence[Sample], length: int) -> Batch:
    """Stack packs, filled up to `length` with tokens that see only themselves and predict nothing."""
    rows = {item.name: [] for item in fields(Batch)}  # type: dict[str, list[list[int]]]
    for sample in packs:
        missing = range(len(sample), length)
        rows["ids"].append(sample.ids + [0] * len(missing))
        rows["positions"].append(sample.positions + [0] * len(missing))
        rows["labels"].append(sample.labels + [IGNORE] * len(missing))
        rows["subtree_end"].append(sample.subtree_end + [index + 1 for index in missing])
        rows["is_text"].append([int(flag) for flag in sample.is_text] + [0] * len(missing))
    return Batch(**{name: torch.tensor(values) for name, values in rows.items()})
