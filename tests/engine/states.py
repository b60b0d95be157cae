"""Groups in a given state, made without a model."""

from __future__ import annotations

from collections.abc import Sequence

from apar.decoding.detokenize import Detokenizer
from apar.decoding.group import Group, Sampled, Thread
from apar.decoding.lockstep import spawn
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Request
from apar.decoding.vocabulary import Vocabulary
from apar.tokens import ControlTokens

EOS, FORK, CHILD = 0, 1, 2
CONTROL = ControlTokens(FORK, CHILD, frozenset([EOS]))


def text_of(ids: list[int]) -> str:
    """Token 3 is `a`, 4 is `b`, and so on; control tokens have no text."""
    return "".join(chr(ord("a") + token - 3) for token in ids if token > CHILD)


def new_group(
    prompt: int = 4, params: SamplingParams | None = None, number: int = 0, context: int = 100, control: bool = True
) -> Group:
    """A group whose prompt of `prompt` tokens has not been run; no other number's prompt begins alike."""
    request = Request([9 + number] * prompt, params or SamplingParams())
    vocabulary = Vocabulary(None, CONTROL if control else None, CONTROL.eos)
    group = Group.start(number, request, vocabulary, context, Detokenizer(text_of))
    group.seed = 0
    return group


def forked(group: Group, parent: Thread) -> Thread:
    """Let `parent` have sampled `[Fork]` in the last step; return the child."""
    parent.tokens.append(FORK)
    child = spawn(group, parent)
    group.threads = sorted([*group.threads, child], key=lambda thread: thread.path)
    return child


def choose(group: Group, tokens: Sequence[int]) -> None:
    """Let the live threads, in path order, have sampled `tokens`."""
    for thread, token in zip(group.threads, tokens, strict=True):
        thread.ahead.append(Sampled(token))
