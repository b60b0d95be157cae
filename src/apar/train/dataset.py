"""The data of a training: samples encoded once and kept on disk, and packs planned from their lengths alone.

    trees -> samples (flat arrays in the output folder) -> plan (which samples share a pack) -> packs

The plan depends on the lengths, the mix and the seed: pack number k is the same in every run, so a training goes on
at any step without reading what came before it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from apar.data.files import atomic_folder
from apar.data.records import Example, first_question
from apar.errors import RequestError, UserError
from apar.train.batches import Encoder, PackedBatch, padded, stack
from apar.train.recipe import Recipe
from apar.train.samples import Sample, bins

FIELDS = ("ids", "positions", "next", "target", "subtree_end")
_SHAPE, _QUESTIONS = "samples.json", "questions"
_HASH = 16
"""Bytes of a question's hash."""


class SampleStore:
    """Encoded samples in a folder: a file of int32 numbers for each list of `Sample`, mapped into memory."""

    def __init__(self, folder: Path) -> None:
        """Open what `write_samples` wrote."""
        shape = json.loads((folder / _SHAPE).read_text(encoding="utf-8"))
        self.lengths: list[int] = shape["lengths"]
        """Tokens of each sample."""
        self.room: list[int] = shape["room"]
        """Tokens that each takes in a pack: those of its tree, also for a sequential twin, whose packs are the same."""
        self.structured: list[bool] = shape["structured"]
        self.too_long: int = shape["too_long"]
        """How many examples were longer than a pack, and left out."""
        self.refused: list[str] = shape.get("refused", [])
        """The ids of those whose messages the chat template refuses: they are left out."""
        self.tokenizer: str = shape["tokenizer"]
        """A hash of the tokenizer that encoded them."""
        self._questions = folder / _QUESTIONS
        self._first = [0, *itertools.accumulate(self.lengths)]
        self._files = {name: np.memmap(folder / name, dtype=np.int32, mode="r") for name in FIELDS if self.lengths}

    def __len__(self) -> int:
        return len(self.lengths)

    def questions(self) -> set[bytes]:
        """The `question_hash` of every answer, of those that were too long as well."""
        data = self._questions.read_bytes()
        return {data[at : at + _HASH] for at in range(0, len(data), _HASH)}

    def __getitem__(self, index: int) -> Sample:
        first, last = self._first[index], self._first[index + 1]
        return Sample(**{name: file[first:last].tolist() for name, file in self._files.items()})


def question_hash(example: Example) -> bytes:
    """Of a chat's first question, by which it is held out or not."""
    question = first_question(example.messages)
    return hashlib.blake2b(question.encode("utf-8", "surrogatepass"), digest_size=_HASH).digest()


def write_samples(examples: Sequence[Example], encoder: Encoder, folder: Path, tokenizer: str) -> None:
    """Encode all examples into a `SampleStore`; the folder is whole or not there.

    `tokenizer` is a hash of the encoder's. Raises RunError on a full disk, UserError where the chat template refuses
    every example.
    """
    lengths, room, structured, too_long = [], [], [], 0
    refused: list[str] = []
    with atomic_folder(folder) as temporary:
        files = {name: (temporary / name).open("wb") for name in FIELDS}
        try:
            for example in examples:
                try:
                    sample = encoder.sample(example)
                except RequestError as error:
                    refused.append(example.id)
                    if len(refused) == len(examples):
                        raise UserError(f"none of the {len(examples)} answers can be trained on: {error}") from error
                    continue
                if (needed := encoder.room(sample, example)) > encoder.max_length:
                    too_long += 1
                    continue
                lengths.append(len(sample))
                room.append(needed)
                structured.append(example.structured)
                for name, file in files.items():
                    np.asarray(getattr(sample, name), dtype=np.int32).tofile(file)
        finally:
            for file in files.values():
                file.close()
        shape: dict[str, Any] = {"lengths": lengths, "room": room, "structured": structured, "too_long": too_long}
        shape |= {"refused": refused, "tokenizer": tokenizer}
        (temporary / _QUESTIONS).write_bytes(b"".join(map(question_hash, examples)))
        (temporary / _SHAPE).write_text(json.dumps(shape), encoding="utf-8")


class PackedDataset(Dataset[dict[str, Tensor]]):
    """The packs of a training in the order in which they are trained on, each made when it is asked for."""

    def __init__(self, store: SampleStore, recipe: Recipe) -> None:
        """Raises UserError if no sample fits into a pack, or none of the structured or of the other ones where both
        are drawn from.
        """
        self._store, self._length = store, recipe.max_length
        order = draw_order(store.structured, recipe.mix.structured, recipe.seed)
        packs = bins(order, store.room.__getitem__, recipe.max_length)
        self.packs = list(itertools.islice(packs, recipe.steps * recipe.packs_per_step))
        """The samples of each pack, by their number in the store."""

    def __len__(self) -> int:
        return len(self.packs)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        joined = Sample()
        for number in self.packs[index]:
            joined.extend(self._store[number])
        return padded(joined, self._length)


def trainer_batch(rows: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """What the Trainer gets of several packs: the tensors of a `PackedBatch`, and the labels, which it counts.

    It would count labels that are shifted by one where `shift_labels` does not say that they are not.
    """
    tensors = stack(rows)
    labels = PackedBatch.of(tensors).labels
    return {**tensors, "labels": labels, "shift_labels": labels}


def draw_order(structured: Sequence[bool], share: float | None, seed: int) -> Iterator[int]:
    """The numbers of samples without end, reshuffled each round; `share` is that of structured ones, None: as they are.

    Raises UserError where there is nothing to draw from.
    """
    everything = range(len(structured))
    if share is None:
        return _rounds(_some(everything, "answers"), seed)
    forking = [number for number in everything if structured[number]]
    plain = [number for number in everything if not structured[number]]
    if (not forking and share) or (not plain and share != 1):
        raise UserError(
            f"the mix asks for a share of {share} structured answers, but of the {len(structured)} answers that fit "
            f"into max_length {len(forking)} are structured; set mix.structured to null, raise max_length, or extract "
            "other trees"
        )
    return _mixed(_rounds(forking, seed + 1), _rounds(plain, seed + 2), share, seed)


def _some(pool: Sequence[int], what: str) -> Sequence[int]:
    if not pool:
        raise UserError(f"none of the {what} fits into a pack; raise max_length, or extract other trees")
    return pool


def _mixed(forking: Iterator[int], plain: Iterator[int], share: float, seed: int) -> Iterator[int]:
    chooser = random.Random(seed)
    while True:
        yield next(forking if chooser.random() < share else plain)


def _rounds(pool: Sequence[int], seed: int) -> Iterator[int]:
    shuffler = random.Random(seed)
    while True:
        yield from shuffler.sample(pool, len(pool))


def token_counts(store: SampleStore) -> dict[str, Any]:
    """How much there is to learn from, for reports."""
    return {
        "samples": len(store),
        "structured": sum(store.structured),
        "too_long": store.too_long,
        "refused": len(store.refused),
        "tokens": sum(store.lengths),
    }
