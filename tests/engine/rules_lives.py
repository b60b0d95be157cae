"""Random answers that fork by their form, compared with a slow engine.

    python -m tests.engine.rules_lives --cases 2000

The slow engine completes the same logical steps with the same rules, but has no cache: every token is chosen after its
thread's whole path, which is run alone through the unchanged Hugging Face model. A case is made from its number alone.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import sys
import time
from collections import Counter
from functools import partial
from typing import Any

import torch
from torch import nn

from apar.decoding.by_form.form_tokens import FormTokens
from apar.decoding.by_form.line import Line
from apar.decoding.by_form.markers import Marker, follows, read_marker
from apar.decoding.by_form.thread_form import ThreadForm
from apar.decoding.detokenize import Detokenizer
from apar.decoding.group import Group, Sampled, Thread
from apar.decoding.lockstep import complete_step
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Request
from apar.decoding.vocabulary import Vocabulary
from apar.engine.engine import Engine
from apar.events import Delta, Event, Finished, Forked
from apar.scheduling.blocks import BlockPool
from apar.scheduling.place import uniform
from apar.structure.config import DEFAULT
from apar.tokens import ControlTokens
from apar.tree import ROOT, ThreadPath
from tests.engine.drafts.known import KnownAnswers, draft_with, spoken
from tests.engine.tiny import FAMILIES, VOCABULARY, tiny_model
from tests.oracle import ROUNDING, Oracle, _sample

PIECES = (
    *("<eos>", "\n", "\n\n", "1", "2", "3", "4", ".", ". ", "- ", "-", " ", "**", ":**", ":", ": ", ":\n"),
    *("Rest", "Walk", "Eat", "Read", " Swim", " Cook", " Sleep", "early", " a walk", "Tips", "x", "   - "),
    *("\n2. ", "### ", ":\n\n2", "** is", " is", "#", "s:x", "s:", " - ", "Cost: ", "\n   - "),
)
"""Pieces of lists, single characters of all that is forced among them; some merge a separator with what follows."""

LEADS = ("Rest", "Walk", "Eat", "Read", " Swim", " Cook")
SAID = (" Sleep", " a walk", "early", " is")
FOLLOWS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("1", "2", "3", "4"), (".", ". ")),
    **dict.fromkeys((".", ". ", "\n2. ", "- ", "   - ", "\n   - ", "**", "### ", "-"), (*LEADS, "**")),
    **dict.fromkeys(("Rest", "Walk"), (":", ":**", ": ", ":\n", "s:x", ":\n\n2", " - ")),
    **dict.fromkeys(("Eat", "Read", " Swim", " Cook"), (":", ": ", ":**", "** is", " Cook", "\n")),
    **dict.fromkeys((":", ": ", ":**", "** is", " - ", "s:x", "Cost: "), SAID),
    **dict.fromkeys(SAID, ("\n", "\n\n", "\n2. ", "\n   - ", *SAID, "<eos>")),
    "\n": ("1", "- ", "   - ", "2", "3", "Cost: "),
    "\n\n": ("1", "- ", "### ", "2", "3", "**", "Cost: "),
    ":\n": ("   - ", "- "),
    ":\n\n2": (".", ". "),
    "Tips": ("\n", "\n\n", ":\n"),
    "#": ("### ", "#"),
    " ": ("Rest", "Walk", "**"),
}
"""What is likely behind a piece: lists come of it, some within others."""

QUESTIONS = (*["Any tips?"] * 4, *["Give me 3 tips"] * 2, "Name five things", "Write a poem")
_HIDDEN = 48  # more than there are pieces: each has a direction of its own
_MOST_STEPS = 20_000
_TRIES = 16
_PROGRESS = 100


def decode(ids: list[int]) -> str:
    """The text of tokens; what is no piece has none."""
    return "".join(PIECES[token] for token in ids if 0 < token < len(PIECES))


def encode(text: str) -> list[int]:
    """The longest pieces one after another; what is no piece becomes `<eos>`, which decodes to nothing."""
    ids = []
    while text:
        token = max(
            (k for k, piece in enumerate(PIECES) if k and text.startswith(piece)),
            key=lambda k: len(PIECES[k]),
            default=0,
        )
        ids.append(token)
        text = text[len(PIECES[token]) if token else 1 :]
    return ids


class Case:
    """Everything that a comparison needs, by its number."""

    def __init__(self, number: int) -> None:
        rng = random.Random(number)
        self.context = rng.choice([48, 96, 128, 160])
        self.model = tiny_model(number, rng.choice(["llama", "llama", *FAMILIES]), self.context, hidden_size=_HIDDEN)
        self._favour(rng)
        self.prompts = [self._prompt(rng) for _ in range(rng.randint(1, 3))]
        self.questions = [rng.choice(QUESTIONS) for _ in self.prompts]
        self.params = [self._params(rng) for _ in self.prompts]
        self.block_size = rng.randint(1, 16)
        least = -(-(max(map(len, self.prompts)) + 70) // self.block_size)
        self.num_blocks = rng.choice([least, 2 * least, 400])
        self.max_rows = rng.choice([1, 2, 3, 64])
        self.max_tokens = rng.choice([8, 1000])
        self.drafts = rng.choice([None, 0.0, 0.7, 1.0])
        # After how many passes which answer is cancelled.
        self.cancels = {rng.randint(1, 60): rng.randrange(len(self.prompts))} if rng.random() < 0.2 else {}

    def _prompt(self, rng: random.Random) -> list[int]:
        """Any tokens, and mostly a line break at the end: an answer then begins with an item."""
        tokens = [rng.randrange(1, len(PIECES)) for _ in range(rng.randint(1, 12))]
        return [*tokens, PIECES.index(rng.choice(("\n", "\n\n", "Tips")))] if rng.random() < 0.9 else tokens

    def _favour(self, rng: random.Random) -> None:
        """Make what often comes behind a token in lists likely behind it, and ends not too likely."""
        embedding = self.model.get_input_embeddings().weight
        nn.init.orthogonal_(embedding)
        head = nn.Linear(_HIDDEN, VOCABULARY).requires_grad_(False)
        nn.init.normal_(head.weight, std=0.25)
        nn.init.zeros_(head.bias)
        strength = rng.uniform(1.2, 2.2)
        for piece, likely in FOLLOWS.items():
            for each in likely:
                head.weight[PIECES.index(each)] += strength * rng.uniform(0.7, 1.1) * embedding[PIECES.index(piece)]
        head.bias[0] = rng.uniform(-4, 0)
        # What the layers add, which hangs on the path, is beside this neither nothing nor all.
        embedding *= rng.uniform(30, 150)
        self.model.lm_head = head

    def _params(self, rng: random.Random) -> SamplingParams:
        adjusted = rng.random() < 0.3
        return SamplingParams(
            max_tokens=rng.choice([rng.randint(8, 60), 90, 150, 150, 220]),
            temperature=rng.choice([0.0, 0.5, 0.8, 1.2]),
            top_p=rng.choice([1.0, 0.9]),
            top_k=rng.choice([0, 0, 6]),
            min_p=rng.choice([0.0, 0.0, 0.05]),
            repetition_penalty=rng.choice([1.1, 1.3, 0.9]) if adjusted else 1.0,
            presence_penalty=rng.choice([0.0, 0.5, -0.3]) if adjusted else 0.0,
            frequency_penalty=rng.choice([0.0, 0.4, -0.2]) if adjusted else 0.0,
            logit_bias={PIECES.index("**"): 2.0, PIECES.index("x"): -50.0} if rng.random() < 0.1 else {},
            seed=rng.randrange(1000),
            stop=rng.choice([(), (), (), (), (), (), (), (), ("st:",), ("2. W",), ("alk:",)]),
            max_threads=rng.choice([1, 3, 4, 8, 16, 32]),
            max_depth=rng.choice([2, 3, 4, 4]),
            max_parallel_threads=rng.choice([None, None, None, 1, 2]),
            max_items=rng.choice([None, None, None, 2, 3]),
            priority=rng.choice([0, 0, 1]),
            fork_by="rules",
        )

    def engine(self) -> Engine:
        pool = BlockPool(self.num_blocks, self.block_size)
        model = copy.deepcopy(self.model)
        engine = Engine(model, decode, frozenset([0]), None, pool, self.max_rows, True, graphs=False, encode=encode)
        engine.scheduler.max_tokens = self.max_tokens
        return engine


def run_engine(case: Case, engine: Engine, cancels: dict[int, int] | None = None) -> list[Group]:
    """Answer all prompts, but for those that are cancelled on the way; the blocks are checked after every pass."""
    each = zip(case.prompts, case.params, case.questions, strict=True)
    groups = [engine.add(prompt, params, question=question) for prompt, params, question in each]
    for number in range(_MOST_STEPS):
        if not engine.groups:
            return groups
        engine.step()
        engine.check()
        if cancels and number in cancels:
            engine.cancel(groups[cancels[number]])
            engine.check()
    raise AssertionError("the engine makes no progress")


class SlowEngine:
    """One answer, each token of which is chosen after its thread's whole path."""

    def __init__(self, model: Any, context: int, prompt: list[int], params: SamplingParams, question: str) -> None:
        request = Request(list(prompt), params, 0, question)
        vocabulary = Vocabulary(None, None, frozenset([0]))
        self.model, self.params = model, params
        # Of the oracle only what is done with logits is taken.
        self._choice = Oracle(model, PIECES, ControlTokens(-1, -1, frozenset([0])), context, prompt, params)
        self.group = Group.start(0, request, vocabulary, context, Detokenizer(decode))
        tokens = FormTokens(encode, decode, frozenset([0]), VOCABULARY)
        self.group.threads[0].form = ThreadForm(tokens, question, len(prompt), params.max_items)
        self.taken_back = 0  # leads that repeated another one and were written again

    def run(self, noise: random.Random | None = None) -> Group:
        while not self.group.done:
            for thread in self.group.threads:
                if not thread.ahead:
                    thread.ahead.append(self._sampled(thread, noise))
            lengths = {thread.path: len(thread.tokens) for thread in self.group.threads}
            children = {thread.path: thread.children for thread in self.group.threads}
            for thread, kept in complete_step(self.group).rewritten:
                self.taken_back += thread.children == children[thread.path] and kept < lengths[thread.path]
        return self.group

    def _sampled(self, thread: Thread, noise: random.Random | None) -> Sampled:
        with torch.no_grad():
            output = self.model(input_ids=torch.tensor([thread.tokens]), use_cache=False)
        logits = output.logits[0, -1].tolist()
        if noise:
            logits = [value + noise.uniform(-ROUNDING, ROUNDING) for value in logits]
        banned = self.group.banned(thread, thread.state)
        allowed = {k: value for k, value in enumerate(logits) if k not in banned | thread.refused}
        allowed = self._choice._adjusted(allowed, thread.tokens)
        if not self.params.temperature:
            return Sampled(max(allowed, key=lambda k: allowed[k]), None, banned)
        again = bool(thread.refused) + (thread.form.taken_back if thread.form else 0)
        number = uniform(self.group.seed, 0, thread.path, thread.sampled, again)
        return Sampled(_sample(self._choice._filtered(allowed), number), None, banned)


def compare(number: int, counts: Counter[str]) -> str | None:
    """Run one case; what differs, or None."""
    case = Case(number)
    engine = case.engine()
    if case.drafts is not None:
        plain = [
            [event for event in group.events if not isinstance(event, Forked)]
            for group in run_engine(case, case.engine())
        ]
        known = [spoken(events, 0, 0) for events in plain]
        draft_with(engine, KnownAnswers(known, case.drafts, random.Random(number)), 0.01)
    groups = run_engine(case, engine, case.cancels)
    counts["cases"] += 1
    counts["preemptions"] += engine.scheduler.preemptions
    counts["accepted"] += engine.statistics().accepted
    counts["blocks lost"] += case.num_blocks - engine.pool.num_free
    for group, prompt, params, question in zip(groups, case.prompts, case.params, case.questions, strict=True):
        slow = partial(SlowEngine, case.model, engine.context, prompt, params, question)
        exact = slow()
        expected = exact.run()
        counts["leads written again"] += exact.taken_back
        _count(expected, counts)
        if difference := _difference(group, expected):
            if any(_difference(group, slow().run(random.Random(seed))) is None for seed in range(_TRIES)):
                counts["ties"] += 1
                continue
            counts["differences"] += 1
            return f"case {number}, {group.name}: {difference}"
    return None


def _difference(group: Group, expected: Group) -> str | None:
    if group.error:
        return str(group.error)
    for mine, theirs in zip(group.events, expected.events, strict=False):
        if mine != theirs:
            return f"the engine tells {mine} in place of {theirs}"
    if not _is_complete(group):
        return None if len(group.events) <= len(expected.events) else "a cancelled answer has events behind its end"
    if len(group.events) != len(expected.events):
        return f"the engine tells {len(group.events)} events in place of {len(expected.events)}"
    if group.assembler.text != expected.assembler.text:
        return f"the engine's text is {group.assembler.text!r} in place of {expected.assembler.text!r}"
    return None


def _is_complete(group: Group) -> bool:
    """Whether every thread that started has ended: an answer that was cancelled tells nothing more."""
    started = {ROOT} | {event.child for event in group.events if isinstance(event, Forked)}
    return started == {event.thread for event in group.events if isinstance(event, Finished)}


def _count(group: Group, counts: Counter[str]) -> None:
    events: list[Event] = group.events
    counts["answers"] += 1
    counts["forks"] += sum(isinstance(event, Forked) for event in events)
    counts["answers that fork"] += any(isinstance(event, Forked) for event in events)
    counts["nested forks"] += sum(isinstance(event, Forked) and len(event.thread) > 1 for event in events)
    counts["empty details"] += sum(
        isinstance(event, Finished)
        and len(event.thread) > 1
        and event.reason == "eos"
        and not "".join(e.text for e in events if getattr(e, "text", None) and e.thread == event.thread).strip()
        for event in events
    )
    counts["bare items"] += _bare_items(events)
    counts.update(f"not forked: {reason}" for reason in group.not_forked)
    for event in events:
        if isinstance(event, Finished):
            counts[f"ended by {event.reason}"] += 1


def _bare_items(events: list[Event]) -> int:
    """How many threads end with a lead that stands behind a fork of its list and has no detail."""
    said: dict[ThreadPath, str] = {}
    forked: dict[ThreadPath, str] = {}  # the line that the thread forked behind last
    bare = 0
    for event in events:
        if isinstance(event, Delta):
            said[event.thread] = said.get(event.thread, "") + event.text
        elif isinstance(event, Forked):
            forked[event.thread], said[event.thread] = said.get(event.thread, "").rsplit("\n", 1)[-1], ""
        elif isinstance(event, Finished) and event.reason in ("eos", "length", "repeated") and event.thread in forked:
            bare += _is_bare(said[event.thread].strip("\n"), read_marker(forked[event.thread]))
    return bare


def _is_bare(text: str, before: Marker | None) -> bool:
    marker = read_marker(text)
    if before is None or marker is None or "\n" in text or not follows(marker, before):
        return False
    line = Line(DEFAULT)
    line.begin(marker)
    line.text = text
    return line.bare_lead() > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    counts: Counter[str] = Counter({"differences": 0, "ties": 0, "blocks lost": 0})
    began = time.perf_counter()
    for number in range(options.first, options.first + options.cases):
        if difference := compare(number, counts):
            print(difference, flush=True)
        if counts["cases"] % _PROGRESS == 0:
            print(json.dumps(counts), file=sys.stderr, flush=True)
    print(json.dumps({**counts, "seconds": round(time.perf_counter() - began, 1)}))
    if counts["differences"] or counts["blocks lost"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
