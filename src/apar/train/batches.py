"""From examples to samples, and from packs of samples to batches of tensors."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from apar.data.records import Example
from apar.errors import RequestError
from apar.tokens import ControlTokens, encode_prompt, encode_text
from apar.train.samples import IGNORE, NO_TARGET, TEXT, Sample, pack, sequential_sample, tree_sample


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Packs of one length: every tensor is [packs, length]; what each says, `samples` tells."""

    ids: Tensor
    positions: Tensor
    next: Tensor
    target: Tensor
    subtree_end: Tensor

    @property
    def labels(self) -> Tensor:
        """The token that each token is to predict; `IGNORE` where none."""
        return self.ids.gather(1, self.next.clamp(min=0)).masked_fill(self.target == NO_TARGET, IGNORE)

    @property
    def is_text(self) -> Tensor:
        """Whether each label is a token of the answer's text."""
        return self.target == TEXT

    def to(self, device: torch.device) -> PackedBatch:
        return PackedBatch(*(getattr(self, item.name).to(device) for item in fields(self)))

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> PackedBatch:
        """The batch of tensors by name, as `stack` makes them."""
        return cls(**{item.name: tensors[item.name] for item in fields(cls)})


class Encoder:
    """Makes samples of examples, of at most `max_length` tokens: trees, or plain text where `forked` is false."""

    def __init__(self, tokenizer: Any, *, forked: bool, max_length: int, loss_on_prompt: bool = False) -> None:
        self.tokenizer = tokenizer
        self.control = ControlTokens.of(tokenizer) if forked else None
        self.max_length = max_length
        self.loss_on_prompt = loss_on_prompt

    def sample(self, example: Example) -> Sample:
        """Encode node by node, so that forked and sequential training see the same tokens of the text.

        Raises RequestError where the chat template refuses the messages.
        """
        prompt = encode_prompt(self.tokenizer, example.messages)
        tree = example.tree.encode(lambda text: encode_text(self.tokenizer, text))
        eos = int(self.tokenizer.eos_token_id)
        if self.control is None:
            return sequential_sample(prompt, tree, eos, loss_on_prompt=self.loss_on_prompt)
        return tree_sample(prompt, tree, self.control, eos, loss_on_prompt=self.loss_on_prompt)

    def room(self, sample: Sample, example: Example) -> int:
        """The tokens that an example takes as a tree: a twin is trained on what fits as a tree, and on nothing else.

        A fork costs three control tokens: `[Fork]`, `[Child]`, and the end of its thread.
        """
        return len(sample) + (0 if self.control is not None else 3 * len(example.tree.forks()))

    def refuses(self, example: Example) -> bool:
        """Whether the chat template refuses the messages of an example, as some do two questions in a row."""
        try:
            encode_prompt(self.tokenizer, example.messages)
        except RequestError:
            return True
        return False

    def samples(self, examples: Iterable[Example]) -> Iterator[Sample]:
        """The samples that fit into a pack; the others are left out."""
        for example in examples:
            sample = self.sample(example)
            if self.room(sample, example) <= self.max_length:
                yield sample

    def fixed_batches(self, examples: Iterable[Example], rows: int) -> Iterator[PackedBatch]:
        """The examples once, in batches of `rows` packs, the last filled up with empty ones: for a held-out loss."""
        packs = pack(self.samples(examples), self.max_length)
        while group := list(itertools.islice(packs, rows)):
            yield collate(group + [Sample()] * (rows - len(group)), self.max_length)


def collate(packs: Sequence[Sample], length: int) -> PackedBatch:
    """Stack packs, each filled up to `length`."""
    return PackedBatch.of(stack([padded(sample, length) for sample in packs]))


def stack(rows: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors [length] by name, of several packs, as tensors [packs, length]."""
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def padded(sample: Sample, length: int) -> dict[str, Tensor]:
    """The tensors [length] of a pack by name, filled up with tokens that see only themselves and predict nothing."""
    missing = range(len(sample), length)
    rows = {
        "ids": sample.ids + [0] * len(missing),
        "positions": sample.positions + [0] * len(missing),
        "next": sample.next + [-1] * len(missing),
        "target": sample.target + [NO_TARGET] * len(missing),
        "subtree_end": sample.subtree_end + [index + 1 for index in missing],
    }
    return {name: torch.tensor(values, dtype=torch.int64) for name, values in rows.items()}
