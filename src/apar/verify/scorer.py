"""A model that gives the loss of every token of laid-out answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from apar.decoding.vocabulary import Vocabulary
from apar.errors import ModelError, RunError
from apar.models.load import load
from apar.tokens import ControlTokens, Message, encode_prompt, encode_text
from apar.train.mask import additive, dense_mask
from apar.tree import ParagraphTree
from apar.verify.details import EncodedAnswer, Layout, layout

_CHUNK = 2048
"""Tokens whose logits are made float32 at a time."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """A model and its tokenizer; `control` is None where the model was not trained to fork."""

    name: str
    model: Any
    tokenizer: Any
    control: ControlTokens | None

    @classmethod
    def load(cls, name: str, dtype: str, device: str) -> Scorer:
        """Raises ModelError as `apar.models.load.load` does."""
        model, tokenizer = load(name, dtype=dtype, device=device)
        return cls(name, model, tokenizer, Vocabulary.of(tokenizer).control)

    @property
    def context(self) -> int:
        """Tokens that the model has positions for."""
        return int(self.model.config.max_position_embeddings)

    def encode(self, tree: ParagraphTree) -> EncodedAnswer:
        return EncodedAnswer.of(tree, lambda text: encode_text(self.tokenizer, text))

    def lay_out(self, messages: Sequence[Message], answer: EncodedAnswer, depth: int) -> Layout:
        """`answer` after its chat, with the details of levels 1 to `depth` as threads."""
        prompt = encode_prompt(self.tokenizer, messages)
        if not prompt:
            raise ModelError(f"the chat template of {self.name} gives no prompt; set chat_template")
        return layout(prompt, answer, depth, self.control)

    def losses(self, layouts: Sequence[Layout], batch_tokens: int) -> list[Tensor]:
        """The loss of each token of the text, in nats: float64 on the CPU, in the order of `before`.

        Control tokens are left out of the softmax, as the engine does wherever text must follow, so that
        plain text and threads are measured by the same yardstick. Layouts of like length share a pass of at
        most `batch_tokens` tokens, or have one alone. Raises RunError where the device's memory does not hold it.
        """
        found: dict[int, Tensor] = {}
        for batch in _batches([len(one) for one in layouts], batch_tokens):
            try:
                losses = self._pass([layouts[index] for index in batch])
            except torch.OutOfMemoryError as error:
                tokens = len(batch) * len(layouts[batch[0]])
                raise RunError(
                    f"the memory of {self.model.device} is too small for {self.name} to read {tokens} tokens at once; "
                    "lower batch_tokens or max_length"
                ) from error
            found.update(zip(batch, losses, strict=True))
        return [found[index] for index in range(len(layouts))]

    @torch.inference_mode()
    def _pass(self, layouts: Sequence[Layout]) -> list[Tensor]:
        length = max(map(len, layouts))
        device = self.model.device
        # A token that fills up sees only itself, as in `apar.train.batches.collate`.
        ends = [one.subtree_end + list(range(len(one) + 1, length + 1)) for one in layouts]
        mask = additive(dense_mask(torch.tensor(ends, device=device)), self.model.dtype)
        logits: Tensor = self.model(  # [layouts, length, vocabulary]
            input_ids=_padded([one.ids for one in layouts], length, device),
            position_ids=_padded([one.positions for one in layouts], length, device),
            attention_mask=mask,
            use_cache=False,
        ).logits
        return [
            self._cross_entropy(row, torch.tensor(one.before, device=device), torch.tensor(one.targets, device=device))
            for row, one in zip(logits, layouts, strict=True)
        ]

    def _cross_entropy(self, logits: Tensor, before: Tensor, targets: Tensor) -> Tensor:
        """`logits` are [length, vocabulary]; before and targets [text tokens]."""
        parts = []
        for start in range(0, len(before), _CHUNK):
            chosen = logits[before[start : start + _CHUNK]].float()
            if self.control is not None:
                chosen[:, [self.control.fork, self.control.child]] = -torch.inf
            parts.append(F.cross_entropy(chosen, targets[start : start + _CHUNK], reduction="none").double().cpu())
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def _padded(rows: Sequence[Sequence[int]], length: int, device: torch.device) -> Tensor:
    return torch.tensor([[*row, *[0] * (length - len(row))] for row in rows], device=device)


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches, long ones first, so that a batch is as long as its first."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
