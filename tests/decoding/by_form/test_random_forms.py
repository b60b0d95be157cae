"""Random threads that fork by their form: what must hold after every logical step, whatever is said."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from apar.decoding.by_form.form_tokens import FormTokens
from apar.decoding.by_form.thread_form import ThreadForm
from apar.decoding.detokenize import Detokenizer
from apar.decoding.group import Group, Sampled, Thread
from apar.decoding.lockstep import complete_step
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Request
from apar.decoding.vocabulary import Vocabulary
from apar.events import Delta, Finished, Forked
from apar.tree import ROOT

EOS = 0
PIECES = (
    *(
        "",
        "\n",
        "\n\n",
        "1",
        "2",
        "3",
        ".",
        ". ",
        "-",
        "- ",
        " ",
        "*",
        "**",
        ":**",
        ":",
        ": ",
        ":\n",
        "Rest",
        "Walk",
        "Eat",
    ),
    *(
        " early",
        " is",
        " good.",
        "Tips",
        "   - ",
        "\n2. ",
        "#",
        "### ",
        "Plan",
        "s:x",
        ":\n\n2",
        "** a",
        "These all",
        ")",
        " – ",
    ),
    *(
        "4",
        "5",
        "6",
        "7",
        "8",
        "9",
        "0",
        "P",
        "R",
        "l",
        "a",
        "n",
        "e",
        "s",
        "t",
        "W",
        "k",
        "E",
        "T",
        "i",
        "p",
        "h",
        "x",
    ),
    *("–", "d", "o", "y", "r", "g"),
)
WEIGHTS = [0.3, *(3 if piece in ("\n", "1", ". ", ":", ":**", "- ", "**", "Rest") else 1 for piece in PIECES[1:])]
PROMPT = [PIECES.index("x")] * 2


def decode(ids: list[int]) -> str:
    return "".join(PIECES[token] for token in ids)


def encode(text: str) -> list[int]:
    """The longest pieces one after another, as byte pairs would be merged."""
    ids = []
    while text:
        token = max(
            (k for k, piece in enumerate(PIECES) if piece and text.startswith(piece)), key=lambda k: len(PIECES[k])
        )
        ids.append(token)
        text = text[len(PIECES[token]) :]
    return ids


def start(rng: random.Random) -> Group:
    params = SamplingParams(
        fork_by="rules",
        seed=1,
        max_tokens=rng.choice([10, 40, 150, 400]),
        max_threads=rng.choice([1, 2, 5, 32]),
        max_items=rng.choice([None, None, 2]),
        stop=rng.choice([(), (), ("2. W",)]),
    )
    question = rng.choice(["Any tips?", "Give me three tips"])
    vocabulary = Vocabulary(None, None, frozenset([EOS]))
    context = rng.choice([40, 200, 1000])
    group = Group.start(0, Request(list(PROMPT), params, 0, question), vocabulary, context, Detokenizer(decode))
    tokens = FormTokens(encode, decode, frozenset([EOS]), len(PIECES))
    group.threads[0].form = ThreadForm(tokens, question, len(PROMPT), params.max_items)
    return group


LIKELY = (
    ("\n", ("1", "2", "- ", "   - ", "### ", "**", "These all", "3")),
    ("1", (".", ". ", ")")),
    ("2", (".", ". ", ")")),
    ("3", (".", ". ")),
    (".", (" ", "\n", "\n\n", " Walk")),
    ("- ", ("Rest", "**", "Walk", "Eat")),
    (" ", ("Rest", "Walk", "Eat", "**", "Plan", "is")),
    ("**", ("Rest", "Walk", "Plan", " is", ":", "\n")),
    ("Rest", (":", ":**", ": ", ":\n", "s:x", "**", ":\n\n2", "\n", " – ")),
    ("Walk", (":", ":**", ": ", ":\n", "s:x", "**", "\n", " is")),
    ("Eat", (":", ":**", ":\n", "** a", "s:x")),
    ("Plan", (":", ":**", ": ", "\n", "\n\n")),
    (":", (" early", " is", "\n   ", "**")),
)
"""What comes often behind a text that ends so: lists come of it."""


def sample(group: Group, thread: Thread, rng: random.Random) -> Sampled:
    assert thread.form is not None
    banned = group.banned(thread, thread.state)
    text = thread.form.text
    often = next((pieces for end, pieces in LIKELY if text.endswith(end)), ()) if rng.random() < 0.7 else ()
    weights = [
        0 if token in banned else weight * (100 if PIECES[token] in often else 1)
        for token, weight in enumerate(WEIGHTS)
    ]
    return Sampled(rng.choices(range(len(PIECES)), weights)[0], None, banned)


def check_threads(group: Group) -> None:
    """Paths say what is read in them, begin as others do as far as they share, and fit into the limits."""
    for thread in group.threads:
        assert thread.form is not None
        assert decode(thread.tokens[len(PROMPT) :]) == thread.form.text
        assert len(thread.tokens) <= group.context
        assert thread.form.told <= len(thread.form.text)
        for other in group.threads:
            if other is not thread:
                shared = thread.common(other)
                assert thread.tokens[:shared] == other.tokens[:shared]
    assert group.budget >= 0
    assert group.created <= group.params.max_threads


def live(number: int, counts: Counter[str]) -> None:
    rng = random.Random(number)
    group, shown = start(rng), ""
    while not group.done:
        for thread in group.threads:
            if not thread.ahead:
                thread.ahead.append(sample(group, thread, rng))
        completed = complete_step(group)
        assert not completed.outdated
        check_threads(group)
        assert group.assembler.text.startswith(shown)
        shown = group.assembler.text
    details: Counter[object] = Counter()
    for event in group.events:
        if isinstance(event, Delta) and event.text.strip():
            details[event.thread] += 1
    for event in group.events:
        counts[type(event).__name__] += 1
        if isinstance(event, Finished):
            counts[event.reason] += 1
            if event.thread != ROOT and event.reason in ("eos", "length", "repeated"):
                assert details[event.thread], f"the detail {event.thread} is empty"
        counts["nested"] += isinstance(event, Forked) and len(event.thread) > 1
    counts.update(f"not forked: {reason}" for reason in group.not_forked)


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_what_must_hold_holds_after_every_step(first: int) -> None:
    counts: Counter[str] = Counter()
    for number in range(first, first + 50):
        live(number, counts)
    assert counts["Forked"] > 10
    assert counts["nested"] > 0
    assert {"eos", "length"} <= set(counts)
