"""A model that is a hash of the path, and an engine of plain sequences that runs ahead, lags and delivers late."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import torch

from apar.decoding.coordinator import ForkCoordinator, SequenceRequest
from apar.decoding.detokenize import Detokenizer
from apar.decoding.group import Group, Sampled
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Request
from apar.decoding.vocabulary import Vocabulary
from apar.tokens import ControlTokens

CONTROL = ControlTokens(fork=1, child=2, eos=frozenset({0}))
TEXTS = ["", "", "", "a", "b", "c", "a ", "b ", " c", "ab", "ca", "."]


@dataclass(frozen=True)
class HashModel:
    """Logits that are a hash of the path; `[Fork]` and end-of-sequence are `fork` and `eos` likelier."""

    seed: int
    fork: float
    eos: float
    device: str = "cpu"

    def logits(self, tokens: Sequence[int]) -> list[float]:
        rng = random.Random(repr((self.seed, tuple(tokens))))
        logits = [rng.uniform(0, 4) for _ in TEXTS]
        logits[CONTROL.fork] += self.fork
        logits[0] += self.eos
        return logits

    def __call__(self, input_ids: torch.Tensor, use_cache: bool) -> Any:
        return SimpleNamespace(logits=torch.tensor([[self.logits(input_ids[0].tolist())]]))


def make_group(prompt: Sequence[int], params: SamplingParams, context: int) -> Group:
    request = Request(list(prompt), params if params.seed is not None else replace(params, seed=0))
    detokenizer = Detokenizer(lambda ids: "".join(TEXTS[token] for token in ids))
    return Group.start(0, request, Vocabulary(None, CONTROL, CONTROL.eos), context, detokenizer)


@dataclass
class HastyEngine:
    """Runs at random speeds; what it samples arrives in pieces, and in order for each run."""

    model: HashModel
    rng: random.Random
    knows_eos: bool = True
    tokens: dict[SequenceRequest, list[int]] = field(default_factory=dict)
    begun: int = 0
    most: int = 0
    decoded: int = 0

    def answer(self, coordinator: ForkCoordinator) -> None:
        """Drive a coordinator until its group is done; fails where it asks for nothing more before."""
        while True:
            actions = coordinator.actions()
            for run in actions.abort:
                del self.tokens[run]
            for run in actions.start:
                assert run.limit >= 1
                self.tokens[run] = list(run.tokens)
                self.begun += 1
            self.most = max(self.most, len(self.tokens))
            if not self.tokens:
                assert coordinator.group.done
                return
            run = self.rng.choice(list(self.tokens))
            news = [self._sample(run) for _ in range(self.rng.randint(1, 4)) if not self._ended(run)]
            ended = self._ended(run)
            if ended:
                del self.tokens[run]
            coordinator.on_tokens(run, news, ended)

    def _sample(self, run: SequenceRequest) -> Sampled:
        logits = self.model.logits(self.tokens[run])
        token = max((token for token in range(len(logits)) if token not in run.banned), key=logits.__getitem__)
        self.tokens[run].append(token)
        self.decoded += 1
        return Sampled(token)

    def _ended(self, run: SequenceRequest) -> bool:
        sampled = len(self.tokens[run]) - len(run.tokens)
        last = self.tokens[run][-1]
        return sampled >= run.limit or (self.knows_eos and sampled > 0 and last in CONTROL.eos)
