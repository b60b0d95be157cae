"""A request becomes the group of its answer."""

from __future__ import annotations

from apar.decoding.detokenize import NoDetokenizer
from apar.decoding.group import Group
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Request
from apar.decoding.vocabulary import Vocabulary
from apar.tokens import ControlTokens
from apar.tree import ROOT

VOCABULARY = Vocabulary(None, ControlTokens(fork=1, child=2, eos=frozenset({0})), frozenset({0}))


def _start(number: int, request: Request) -> Group:
    return Group.start(number, request, VOCABULARY, 100, NoDetokenizer())


def test_groups_have_numbers_and_seeds_of_their_own() -> None:
    first, second = (_start(number, Request([5, 6], SamplingParams())) for number in range(2))
    assert (first.number, second.number) == (0, 1)
    assert first.seed != second.seed
    assert _start(0, Request([5], SamplingParams(seed=3))).seed == 3


def test_a_group_begins_with_its_prompt_as_the_only_thread() -> None:
    request = Request([5, 6, 7], SamplingParams(max_tokens=9), choice=2)
    group = _start(0, request)
    [root] = group.threads
    assert (root.path, root.tokens, root.sampled) == (ROOT, [5, 6, 7], 0)
    assert (group.choice, group.prompt_tokens, group.budget, group.context) == (2, 3, 9, 100)
    root.tokens.append(8)
    assert request.prompt == [5, 6, 7]
