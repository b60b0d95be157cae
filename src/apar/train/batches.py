"""From examples to batches of tensors, endlessly and in an order that only the recipe decides."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from apar.data.records import Example
from apar.errors import UserError
from apar.tokens import ControlTokens, encode_prompt, encode_text
from apar.train.recipe import Recipe
from apar.train.samples import IGNORE, Sample, pack, sequential_sample, tree_sample


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Packs of one length: every tensor is [packs, length]."""

    ids: Tensor
    positions: Tensor
    labels: Tensor
    subtree_end: Tensor
    is_text: Tensor

    def to(self, device: torch.device) -> PackedBatch:
        return PackedBatch(*(getattr(self, item.name).to(device) for item in fields(self)))


class Encoder:
    """Makes samples of examples, of at most `max_length` tokens: trees, or plain text where `forked` is false."""

    def __init__(self, tokenizer: Any, *, forked: bool, max_length: int, loss_on_prompt: bool = False) -> None:
        self.tokenizer = tokenizer
        self.control = ControlTokens.of(tokenizer) if forked else None
        self.max_length = max_length
        self.loss_on_prompt = loss_on_prompt

    def sample(self, example: Example) -> Sample:
        """Encode node by node, so that forked and sequential training see the same tokens of the text."""
        prompt = encode_prompt(self.tokenizer, example.messages)
        tree = example.tree.encode(lambda text: encode_text(self.tokenizer, text))
        eos = int(self.tokenizer.eos_token_id)
        if self.control is None:
            return sequential_sample(prompt, tree, eos, loss_on_prompt=self.loss_on_prompt)
        return tree_sample(prompt, tree, self.control, eos, loss_on_prompt=self.loss_on_prompt)

    def samples(self, examples: Iterable[Example]) -> Iterator[Sample]:
        """The samples that fit into a pack; the others are left out."""
        return (sample for sample in map(self.sample, examples) if len(sample) <= self.max_length)

    def fixed_batches(self, examples: Iterable[Example], rows: int) -> Iterator[PackedBatch]:
        """The examples once, in batches of `rows` packs: what a held-out loss is measured on."""
        packs = pack(self.samples(examples), self.max_length)
        while group := list(itertools.islice(packs, rows)):
            yield collate(group, self.max_length)


class TrainingBatches:
    """Batches of `batch_tokens` tokens without end; their order depends on the examples and the recipe alone.

    Where the order stands after a batch is `state_dict`; from there another object goes on without encoding what
    was drawn before.
    """

    def __init__(self, examples: Sequence[Example], encoder: Encoder, recipe: Recipe) -> None:
        """Raises UserError if no example fits into a pack, or none of the structured or of the other ones where
        both are drawn from.
        """
        self.examples = examples
        self._encoder = encoder
        self._recipe = recipe
        self.left_out = 0
        """How often an example was drawn so far that is longer than a pack."""
        self._drawn = 0
        self._open_packs: list[Sample] = []
        for kind, pool in _pools(examples, recipe.mix.structured).items():
            if pool and not any(encoder.samples(pool)):
                raise UserError(f"none of the {len(pool)} {kind} has at most max_length = {recipe.max_length} tokens")

    def state_dict(self) -> dict[str, Any]:
        """How many examples were drawn and left out, and the packs that may still take a sample: plain data."""
        open_packs = [asdict(pack) for pack in self._open_packs]
        return {"drawn": self._drawn, "left_out": self.left_out, "open_packs": open_packs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a `state_dict` was taken; to be called before the first batch."""
        self._drawn, self.left_out = state["drawn"], state["left_out"]
        self._open_packs = [Sample(**pack) for pack in state["open_packs"]]

    def __iter__(self) -> Iterator[PackedBatch]:
        length = self._recipe.max_length
        packs = pack(self._samples(), length, self._open_packs)
        while True:
            yield collate(list(itertools.islice(packs, self._recipe.batch_tokens // length)), length)

    def _samples(self) -> Iterator[Sample]:
        order = endless(self.examples, self._recipe.mix.structured, self._recipe.seed)
        for example in itertools.islice(order, self._drawn, None):
            self._drawn += 1
            sample = self._encoder.sample(example)
            if len(sample) <= self._recipe.max_length:
                yield sample
            else:
                self.left_out += 1


def endless(examples: Sequence[Example], structured: float | None, seed: int) -> Iterator[Example]:
    """The examples for ever, reshuffled each round; `structured` is the share of forking answers, None: as they are."""
    pools = list(_pools(examples, structured).values())
    if structured is None:
        yield from _rounds(pools[0], seed)
        return
    if (not pools[0] and structured) or (not pools[1] and structured != 1):
        raise UserError(
            f"the mix asks for a share of {structured} structured answers, but of the {len(examples)} answers "
            f"{sum(example.structured for example in examples)} are structured; "
            "set mix.structured to null or extract other trees"
        )
    chooser = random.Random(seed)
    forking, plain = _rounds(pools[0], seed + 1), _rounds(pools[1], seed + 2)
    while True:
        yield next(forking if chooser.random() < structured else plain)


def _rounds(examples: Sequence[Example], seed: int) -> Iterator[Example]:
    shuffler = random.Random(seed)
    while examples:
        yield from shuffler.sample(examples, len(examples))


def _pools(examples: Sequence[Example], structured: float | None) -> dict[str, list[Example]]:
    """What the mix draws from."""
    if structured is None:
        return {"examples": list(examples)}
    forking = [example for example in examples if example.structured and structured]
    plain = [example for example in examples if not example.structured and structured < 1]
    return {"structured examples": forking, "other examples": plain}


def collate(packs: Sequence[Sample], length: int) -> PackedBatch:
    """Stack packs, filled up to `length` with tokens that see only themselves and predict nothing."""
    rows = {item.name: [] for item in fields(PackedBatch)}  # type: dict[str, list[list[int]]]
    for sample in packs:
        missing = range(len(sample), length)
        rows["ids"].append(sample.ids + [0] * len(missing))
        rows["positions"].append(sample.positions + [0] * len(missing))
        rows["labels"].append(sample.labels + [IGNORE] * len(missing))
        rows["subtree_end"].append(sample.subtree_end + [index + 1 for index in missing])
        rows["is_text"].append([int(flag) for flag in sample.is_text] + [0] * len(missing))
    return PackedBatch(**{name: torch.tensor(values) for name, values in rows.items()})
