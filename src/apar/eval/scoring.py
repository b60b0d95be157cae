"""Models that read: whose loss on a text is measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from apar.decoding.vocabulary import Vocabulary
from apar.errors import RequestError
from apar.eval.plan import ModelSpec, Plan
from apar.models.load import load
from apar.tokens import Message
from apar.tree import ParagraphTree
from apar.verify.details import Layout
from apar.verify.scorer import Scorer

_WINDOW = 32
"""Texts that are laid out at a time, so that those of like length share a pass."""


def load_scorer(spec: ModelSpec, plan: Plan) -> Scorer:
    """Raises ModelError as `apar.models.load.load` does."""
    model, tokenizer = load(spec.model, dtype=plan.dtype, device=plan.device, adapter=spec.adapter)
    return Scorer(str(spec), model, tokenizer, Vocabulary.of(tokenizer).control)


class Text(NamedTuple):
    """An answer to read after its chat: as a tree under tree attention, or in reading order."""

    messages: Sequence[Message]
    tree: ParagraphTree
    as_tree: bool


class Read(NamedTuple):
    """The loss of each token of a text in nats, in reading order, and how far along its path each stands: the
    answer's first token is at 0, and control tokens take places. None where the text is too long to be read.
    """

    losses: Tensor | None
    places: list[int]


def read(scorer: Scorer, texts: Sequence[Text], longest: int, batch_tokens: int) -> Iterator[Read]:
    """Read texts, in order; those of more than `longest` tokens, or that the chat template refuses, are skipped."""
    for start in range(0, len(texts), _WINDOW):
        laid = [_laid(scorer, text, longest) for text in texts[start : start + _WINDOW]]
        losses = iter(scorer.losses([one for one in laid if one is not None], batch_tokens))
        yield from (Read(None, []) if one is None else Read(next(losses), _places(one)) for one in laid)


def _laid(scorer: Scorer, text: Text, longest: int) -> Layout | None:
    answer = scorer.encode(text.tree)
    try:
        laid = scorer.lay_out(text.messages, answer, answer.depth if text.as_tree else 0)
    except RequestError:
        return None
    return laid if len(laid) <= min(longest, scorer.context) and laid.targets else None


def _places(laid: Layout) -> list[int]:
    prompt = laid.positions[laid.before[0]] + 1
    return [laid.positions[index] + 1 - prompt for index in laid.before]
