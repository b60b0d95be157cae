"""A tree of candidates verified in one pass has, node by node, the bits of its paths decoded without drafts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from apar.decoding.group import Thread
from apar.engine.attention import Scores
from apar.engine.native import NativeAttention
from apar.engine.native.build import available
from apar.scheduling.draft import MAX_DRAFT_TOKENS, Draft
from tests import device
from tests.engine.drafts.test_passes import Decoder, branch
from tests.engine.gpu.passes import Heads, Scene, make_scene
from tests.engine.tiny import VOCABULARY, tiny_model

pytestmark = [
    pytest.mark.skipif(not available(), reason="there is no C++ compiler"),
    pytest.mark.skipif(device.chosen != "cpu", reason="the C++ kernels are for the CPU"),
]


def random_tree(rng: random.Random, most: int = 24) -> Draft:
    """Two nodes or more; now and then a chain, or all of them side by side."""
    count = rng.randint(2, most)
    choose = rng.choice([lambda k: rng.randrange(-1, k), lambda k: max(-1, k - rng.randint(1, 3)), lambda k: -1])
    return Draft(tuple(rng.randrange(3, VOCABULARY) for _ in range(count)), tuple(choose(k) for k in range(count)))


@dataclass
class Comparison:
    """A crowd of threads with drafts, and a decoder that has one path at a time and never a draft."""

    rng: random.Random

    def __post_init__(self) -> None:
        family, window = self.rng.choice([("llama", {}), ("mistral", WINDOW), ("gemma2", WINDOW)])
        settings = {name: self.rng.choice(sizes) for name, sizes in window.items()}
        model: Any = tiny_model(self.rng.randrange(100), family, **settings)
        model.to(self.rng.choice([torch.float32, torch.bfloat16]))
        block_size = self.rng.choice([1, 2, 3, 5, 16, 32, 64])
        self.crowd, self.single = (Decoder(model, block_size, True, None, num_blocks=600) for _ in range(2))

    def begin(self) -> None:
        """Two prompts, and two threads of a third; a stretch of 64 slots ends within many of them."""
        for length in (self.rng.randint(1, 62), self.rng.randint(40, 62), self.rng.randint(1, 40)):
            self.crowd.add([self.rng.randrange(3, VOCABULARY) for _ in range(length)])
        self.crowd.run()
        self.crowd.fork(2)
        for group in self.crowd.groups[:2]:
            group.threads[0].tokens.append(self.rng.randrange(3, VOCABULARY))

    def decoded(self, path: list[int], following: list[int]) -> Iterator[Tensor]:
        """The logits [V] behind a path and behind each of the tokens that follow it, fed one by one."""
        self.single.add(path)
        [thread] = self.single.threads
        for token in [*following, None]:
            [(logits, _)] = self.single.run().values()
            yield logits[0]
            if token is not None:
                thread.tokens.append(token)
        self.single.schedule.release(self.single.groups.pop(), thread)

    def check(self, thread: Thread, draft: Draft | None, logits: Tensor) -> None:
        """Compare the logits [1 + draft tokens, V] of a thread with those of its paths."""
        checked = {-1}
        for node in range(len(draft) - 1, -1, -1) if draft else ():
            if node not in checked:
                assert draft is not None
                nodes = branch(draft, node)
                expected = self.decoded(thread.tokens, [draft.tokens[number] for number in nodes])
                for number, own in zip((-1, *nodes), expected, strict=True):
                    assert torch.equal(logits[1 + number], own), (draft, number)
                checked.update(nodes)
        if draft is None:
            [own] = self.decoded(thread.tokens, [])
            assert torch.equal(logits[0], own)
        assert len(logits) == (len(checked) if draft else 1)

    def turn(self, drafts: dict[Thread, Draft]) -> None:
        """Verify drafts, accept a random branch of each, and let every thread have sampled a word behind it."""
        nodes = {thread: branch(draft, self.rng.randrange(len(draft))) for thread, draft in drafts.items()}
        found = self.crowd.run(drafts, nodes)
        assert set(found) == set(self.crowd.threads)
        for thread, (logits, _) in found.items():
            self.check(thread, drafts.get(thread), logits)
        for thread in drafts:
            thread.tokens += [drafts[thread].tokens[node] for node in nodes[thread]]
        self.crowd.say(self.rng)


WINDOW = {"sliding_window": [3, 7, 40, 70]}


@pytest.mark.parametrize("seed", [*range(15), 19, 20])
def test_each_node_of_a_tree_has_the_bits_of_its_path_and_so_has_what_follows(seed: int) -> None:
    comparison = Comparison(random.Random(seed))
    comparison.begin()
    threads = comparison.crowd.threads
    comparison.turn({thread: random_tree(comparison.rng) for thread in threads})
    comparison.turn({thread: random_tree(comparison.rng, 6) for thread in threads[1:]})
    comparison.turn({})


LARGE = Draft((3,) * MAX_DRAFT_TOKENS, tuple(random.Random(2).randrange(-1, k) for k in range(MAX_DRAFT_TOKENS)))
DEEP = Draft((3,) * MAX_DRAFT_TOKENS, tuple(max(-1, k - 1 - k % 2) for k in range(MAX_DRAFT_TOKENS)))


def attended(scene: Scene, scores: Scores) -> Tensor:
    output, _ = scene.attend(NativeAttention(scene.cache), scores)
    return output


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("scores", [Scores(0.3), Scores(0.3, 2.0, 6), Scores(0.3, None, 70)], ids=str)
@pytest.mark.parametrize(("size", "block_size"), [(64, 16), (128, 5), (80, 64), (16, 3)])
@pytest.mark.parametrize("draft", [LARGE, DEEP], ids=["large", "deep"])
def test_a_branch_has_the_bits_of_a_chain_for_every_size_of_heads(
    draft: Draft, size: int, block_size: int, scores: Scores, dtype: torch.dtype
) -> None:
    heads = Heads(6, 2, size)
    # The row is fed the last two tokens of its path, too.
    tree = make_scene(heads, block_size, [(118, 120)], dtype, drafts={0: draft})
    output = attended(tree, scores)
    for node in (5, 40, len(draft) - 2, len(draft) - 1):
        nodes = branch(draft, node)
        fed = torch.tensor([0, 1, *(2 + number for number in nodes)])
        chain = make_scene(heads, block_size, [(118, 120)], dtype, drafts={0: Draft((3,) * len(nodes))})
        plain = make_scene(heads, block_size, [(118, 120 + len(nodes))], dtype)
        for scene in (chain, plain):
            for own, other in ((scene.query, tree.query), (scene.key, tree.key), (scene.value, tree.value)):
                own.copy_(other[fed])
            assert torch.equal(attended(scene, scores), output[fed])


def test_what_is_not_on_its_branch_does_not_touch_a_token() -> None:
    draft = Draft((5, 6, 7, 8, 9, 10), (-1, -1, 0, 1, 3, 2))
    scene = make_scene(Heads(2, 1, 64), 16, [(62, 63)], torch.float32, drafts={0: draft})
    seen = torch.tensor([0, *(1 + node for node in branch(draft, 4))])
    before = attended(scene, Scores(0.3))[seen]
    for own in (scene.key, scene.value):
        own[[1 + node for node in (0, 2, 5)]] = float("nan")
    assert torch.equal(attended(scene, Scores(0.3))[seen], before)
