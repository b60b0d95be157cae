"""Random answers that fork by their form, decoded by requests to an engine of plain sequences.

    python -m tests.decoding.by_form.request_lives --cases 5000

The engine runs ahead, lags and delivers late (`tests.backends.hasty`); the answer must be that of the slow engine,
which chooses every token alone after its thread's whole path. A case is made from its number alone.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter

from apar.backends.sequence_engine import coordinator_of
from apar.decoding.by_form.form_tokens import FormTokens
from apar.decoding.coordinator import SequenceRequest
from apar.decoding.detokenize import Detokenizer
from apar.decoding.group import Group, Sampled
from apar.decoding.requests import Request
from apar.decoding.vocabulary import Vocabulary
from apar.events import Forked
from tests.backends.hasty import HashModel, HastyEngine
from tests.backends.lists import ListModel, finish_slowly, list_params
from tests.engine.rules_lives import PIECES, QUESTIONS, decode, encode

EOS = frozenset([0])


class SeededEngine(HastyEngine):
    """Draws tokens from the request's seed."""

    def __init__(self, model: HashModel, rng: random.Random, group: Group) -> None:
        super().__init__(model, rng)
        self.group = group

    def _sample(self, run: SequenceRequest) -> Sampled:
        path = self.tokens[run]
        weights = [2.0**logit for logit in self.model.logits(path)]
        weights = [0.0 if token in run.banned else weight for token, weight in enumerate(weights)]
        rng = random.Random(repr((run.seed(self.group), len(path) - len(run.tokens))))
        [token] = rng.choices(range(len(weights)), weights)
        path.append(token)
        return Sampled(token)


class Case:
    """Everything that a comparison needs, by its number."""

    def __init__(self, number: int, temperature: float = 0.0) -> None:
        rng = self.rng = random.Random(number)
        self.model = ListModel(number, fork=rng.uniform(1, 4), eos=rng.uniform(-4, 0), pieces=PIECES)
        self.context = rng.choice([48, 96, 128])
        self.prompt = [rng.randrange(1, len(PIECES)) for _ in range(rng.randint(1, 8))]
        self.question = rng.choice(QUESTIONS)
        self.params = list_params(rng, temperature=temperature)

    def group(self) -> Group:
        request = Request(list(self.prompt), self.params, 0, self.question)
        group = Group.start(0, request, Vocabulary(None, None, EOS), self.context, Detokenizer(decode))
        group.read_form(FormTokens(encode, decode, EOS, len(PIECES)), request)
        return group

    def by_requests(self, knows_eos: bool = True) -> tuple[Group, HastyEngine]:
        group = self.group()
        engine = HastyEngine(self.model, self.rng, knows_eos=knows_eos)
        engine.answer(coordinator_of(group))
        return group, engine

    def sampled(self, speeds: int) -> Group:
        """Drawn from the seed, by an engine of other speeds."""
        group = self.group()
        SeededEngine(self.model, random.Random(speeds), group).answer(coordinator_of(group))
        return group

    def expected(self) -> Group:
        """By an engine that chooses every token alone."""
        return finish_slowly(self.group(), self.model.logits)


def compare(number: int, counts: Counter[str]) -> str | None:
    """Run one case; what differs, or None."""
    case = Case(number)
    group, engine = case.by_requests(knows_eos=number % 4 > 0)
    expected = case.expected()
    counts["answers"] += 1
    counts["forks"] += sum(isinstance(event, Forked) for event in group.events)
    counts["nested forks"] += sum(isinstance(event, Forked) and len(event.thread) > 1 for event in group.events)
    counts["requests"] += engine.begun
    counts["tokens in vain"] += engine.decoded - group.visible_tokens
    limit = case.params.max_parallel_threads
    if limit is not None and engine.most > limit:
        return f"case {number}: {engine.most} requests at a time"
    if group.not_forked != expected.not_forked:
        return f"case {number}: {group.not_forked} in place of {expected.not_forked}"
    for mine, theirs in zip(group.events, expected.events, strict=False):
        if mine != theirs:
            return f"case {number}: {mine} in place of {theirs}"
    if len(group.events) != len(expected.events) or group.assembler.text != expected.assembler.text:
        return f"case {number}: {group.assembler.text!r} in place of {expected.assembler.text!r}"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    found = [compare(number, counts) for number in range(options.first, options.first + options.cases)]
    differences = [difference for difference in found if difference]
    print("\n".join([*differences, json.dumps({**counts, "differences": len(differences)})]))
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
