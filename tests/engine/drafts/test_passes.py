"""Drafts verified in one pass beside the same tokens decoded one by one, on every attention path."""

from __future__ import annotations

import copy
import importlib.util
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from apar.decoding.group import Group, Sampled, Thread
from apar.engine.attention import Scores
from apar.engine.cache import CacheShape, PagedCache
from apar.engine.gpu.triton_attention import TritonAttention
from apar.engine.native import NativeAttention
from apar.engine.native.build import available
from apar.engine.runner import Runner
from apar.engine.torch_attention import TorchAttention
from apar.errors import RunError
from apar.scheduling.blocks import BlockPool
from apar.scheduling.draft import MAX_DRAFT_TOKENS, Draft
from apar.scheduling.scheduler import Scheduler
from tests import device
from tests.engine.gpu.passes import Heads, make_scene
from tests.engine.states import FORK, forked, new_group
from tests.engine.tiny import FAMILIES, VOCABULARY, tiny_model

CHAIN = Draft((5, 6))
BRANCHES = Draft((5, 6), (-1, -1))
TREE = Draft((5, 6, 7, 8, 9), (-1, -1, 0, 1, 3))

needs_compiler = pytest.mark.skipif(
    device.chosen != "cpu" or not available(), reason="the C++ kernels are for the CPU, with a compiler"
)
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")


def triton(runner: Runner, model: Any) -> None:
    runner._attention = TritonAttention(runner.cache, model.config.num_attention_heads)


PATHS: list[Any] = [
    pytest.param(False, None, id="torch"),
    pytest.param(True, None, id="native", marks=needs_compiler),
    pytest.param(False, triton, id="triton", marks=needs_triton),
]


@dataclass
class Decoder:
    """A model whose groups a test decodes pass by pass."""

    model: Any
    block_size: int
    native: bool
    change: Callable[[Runner, Any], None] | None
    groups: list[Group] = field(default_factory=list)
    num_blocks: int = 200

    def __post_init__(self) -> None:
        self.schedule = Scheduler(BlockPool(self.num_blocks, self.block_size), 64, 1000)
        model = copy.deepcopy(self.model)
        self.runner = Runner(model, self.schedule.pool, self.native, graphs=False)
        if self.change:
            self.change(self.runner, model)

    @property
    def threads(self) -> list[Thread]:
        return [thread for group in self.groups for thread in group.threads]

    def add(self, prompt: Sequence[int]) -> None:
        group = new_group(len(prompt), number=len(self.groups))
        group.threads[0].tokens = list(prompt)
        self.groups.append(group)

    def fork(self, number: int) -> None:
        """Let the last thread of a group have sampled `[Fork]`."""
        forked(self.groups[number], self.groups[number].threads[-1])

    def run(
        self, drafts: dict[Thread, Draft] | None = None, accepted: dict[Thread, tuple[int, ...]] | None = None
    ) -> dict[Thread, tuple[Tensor, Tensor]]:
        """Run a pass of all threads; the logits and hidden states of each: of its last token, then of its draft."""
        work = self.schedule.plan(self.groups, drafts=drafts)
        output = self.runner.run(work)
        counts = [1 + row.num_drafts for row in output.rows]
        assert len(output.logits) == len(output.hidden) == sum(counts)
        moves = self.schedule.commit(work, self.groups, accepted)
        if moves:
            self.runner.cache.move(moves)
        self.schedule.pool.check([thread.blocks for thread in self.threads])
        parts = zip(output.rows, output.logits.split(counts), output.hidden.split(counts), strict=True)
        return {row.thread: (logits, hidden) for row, logits, hidden in parts}

    def say(self, numbers: random.Random) -> None:
        """Let every thread have sampled a word."""
        for thread in self.threads:
            thread.tokens.append(numbers.randrange(3, VOCABULARY))

    def alone(self, tokens: Sequence[int]) -> Tensor:
        """The logits [V] behind a path, by the model itself without a cache."""
        with torch.no_grad():
            ids = torch.tensor([list(tokens)], device=self.model.device)
            logits: Tensor = self.model(input_ids=ids, use_cache=False).logits[0, -1]
        return logits


def branch(draft: Draft, number: int) -> tuple[int, ...]:
    """The draft tokens that one sees, and itself: those that lead to it."""
    return tuple(k for k in range(number + 1) if draft.visible[number] >> k & 1)


def assert_each_node_equals_its_path(decoder: Decoder, drafts: dict[Thread, Draft], found: Any) -> None:
    """Every draft token's logits are those of its path, decoded without drafts and without a cache."""
    for thread, draft in drafts.items():
        paths = [(), *(branch(draft, number) for number in range(len(draft)))]
        for nodes, logits in zip(paths, found[thread][0], strict=True):
            expected = decoder.alone([*thread.tokens, *(draft.tokens[node] for node in nodes)])
            assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()
            assert int(logits.argmax()) == int(expected.argmax())


def crowded(family: str, block_size: int, native: bool, change: Any) -> Decoder:
    """Three groups, of one, two and three threads with a word or two of their own."""
    decoder, numbers = Decoder(tiny_model(5, family), block_size, native, change), random.Random(0)
    for length in (3, 9, 6):
        decoder.add([numbers.randrange(3, VOCABULARY) for _ in range(length)])
    decoder.run()
    decoder.say(numbers)
    decoder.run()
    for group in (1, 2):
        decoder.fork(group)
    decoder.groups[0].threads[0].tokens.append(4)
    decoder.run()
    decoder.say(numbers)
    decoder.run()
    for number, group in enumerate(decoder.groups):
        for thread in group.threads[: -1 if number == 2 else None]:
            thread.tokens.append(numbers.randrange(3, VOCABULARY))
    decoder.fork(2)
    return decoder


@pytest.mark.parametrize(("native", "change"), PATHS)
@pytest.mark.parametrize("draft", [CHAIN, BRANCHES, TREE], ids=["chain", "branches", "tree"])
@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2"])
def test_a_draft_of_every_thread_has_the_logits_of_decoding_token_by_token(
    family: str, draft: Draft, native: bool, change: Any
) -> None:
    decoder = crowded(family, 4, native, change)
    # The forks of the last step are carried out in the pass that verifies the drafts: their children have some too.
    drafts = dict.fromkeys(decoder.threads, draft)
    assert [len(group.threads) for group in decoder.groups] == [1, 2, 3]
    assert_each_node_equals_its_path(decoder, drafts, decoder.run(drafts))


@pytest.mark.parametrize(("native", "change"), PATHS)
@pytest.mark.parametrize("block_size", [1, 3, 16])
def test_what_is_accepted_of_a_draft_goes_on_as_if_it_had_been_decoded(
    block_size: int, native: bool, change: Any
) -> None:
    decoder, numbers = crowded("mistral", block_size, native, change), random.Random(1)
    each = [(CHAIN, (0, 1)), (TREE, (1, 3, 4)), (TREE, (0,)), (BRANCHES, (1,)), (TREE, ()), (CHAIN, (0,))]
    for turn in range(2):
        given = dict(zip(decoder.threads, [*each[turn:], *each[:turn]], strict=True))
        accepted = {thread: nodes for thread, (_, nodes) in given.items()}
        decoder.run({thread: draft for thread, (draft, _) in given.items()}, accepted)
        for thread, (draft, nodes) in given.items():
            thread.tokens += [draft.tokens[node] for node in nodes]
            assert thread.stored == len(thread.tokens)
            assert len(thread.blocks) == decoder.schedule.pool.blocks_for(thread.stored)
        decoder.say(numbers)
        decoder.fork(turn)
        drafts = dict.fromkeys(decoder.threads[:2], TREE)
        assert_each_node_equals_its_path(decoder, drafts, decoder.run(drafts))
        decoder.say(numbers)
        each.append((CHAIN, (0, 1)))
        plain = decoder.run()
        for thread in decoder.threads:
            expected = decoder.alone(thread.tokens)
            assert (plain[thread][0][0] - expected).abs().max() <= 1e-5 * expected.abs().max()
        decoder.say(numbers)


@pytest.mark.parametrize("block_size", [1, 3, 4, 16])
def test_a_fork_that_was_a_draft_token_has_its_child_begin_with_what_is_stored(block_size: int) -> None:
    decoder = Decoder(tiny_model(5), block_size, False, None)
    decoder.add([5, 6, 7, 8, 9])
    [root] = decoder.threads
    decoder.run({root: Draft((FORK, 7))}, {root: (0, 1)})
    # The step of [Fork] is complete; that of the token behind it waits for the child.
    decoder.fork(0)
    root.ahead.append(Sampled(7))
    [(child, (logits, _))] = decoder.run().items()
    assert child is decoder.threads[1]
    torch.testing.assert_close(logits[0], decoder.alone(child.tokens), atol=1e-4, rtol=1e-4)
    root.ahead.clear()
    root.tokens += [7, 11]
    child.tokens.append(12)
    for thread, (logits, _) in decoder.run().items():
        torch.testing.assert_close(logits[0], decoder.alone(thread.tokens), atol=1e-4, rtol=1e-4)


@needs_compiler
def test_a_chain_has_the_same_bits_as_its_tokens_decoded_one_by_one() -> None:
    together, apart = (crowded("gemma2", 4, True, None) for _ in range(2))
    found = together.run(dict.fromkeys(together.threads, CHAIN))
    slow = []
    for token in (*CHAIN.tokens, 0):
        slow.append(list(apart.run().values()))
        for thread in apart.threads:
            thread.tokens.append(token)
    for number, (logits, hidden) in enumerate(found.values()):
        assert torch.equal(logits, torch.cat([step[number][0] for step in slow]))
        assert torch.equal(hidden, torch.cat([step[number][1] for step in slow]))


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_are_what_the_logits_are_made_of(family: str) -> None:
    decoder = Decoder(tiny_model(5, family), 4, False, None)
    decoder.add([5, 6, 7])
    [(logits, hidden)] = decoder.run({decoder.threads[0]: CHAIN}).values()
    ids = torch.tensor([[5, 6, 7, *CHAIN.tokens]], device=decoder.model.device)
    with torch.no_grad():
        expected = decoder.model.model(input_ids=ids, use_cache=False).last_hidden_state[0, 2:]
        made = decoder.model.lm_head(hidden)
    torch.testing.assert_close(hidden, expected, atol=1e-4, rtol=1e-4)
    cap = getattr(decoder.model.config, "final_logit_softcapping", None)
    torch.testing.assert_close(logits, cap * torch.tanh(made / cap) if cap else made)


SPANS = [(5, 6), (30, 31), (0, 1), (20, 21), (0, 40), (10, 29)]
LARGE = Draft((3,) * MAX_DRAFT_TOKENS, tuple(random.Random(2).randrange(-1, k) for k in range(MAX_DRAFT_TOKENS)))
DRAFTS = {1: TREE, 2: CHAIN, 3: LARGE, 5: TREE}


@pytest.mark.parametrize(
    "path", [pytest.param("native", marks=needs_compiler), pytest.param("triton", marks=needs_triton)]
)
@pytest.mark.parametrize("block_size", [5, 32])
@pytest.mark.parametrize("scores", [Scores(0.3), Scores(0.3, 2.0, 3), Scores(0.3, None, 33)], ids=str)
def test_threads_and_prompts_with_drafts_have_the_attention_of_plain_pytorch(
    scores: Scores, block_size: int, path: str
) -> None:
    heads = Heads(6, 2, 16)
    scene = make_scene(heads, block_size, SPANS, torch.float32, mirror=True, drafts=DRAFTS)
    own = NativeAttention(scene.cache) if path == "native" else TritonAttention(scene.cache, heads.query)
    expected, cache = scene.attend(TorchAttention(scene.cache), scores)
    output, own_cache = scene.attend(own, scores)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(own_cache, cache)


def test_windows_count_positions_and_not_the_slots_of_a_draft() -> None:
    scene = make_scene(Heads(2, 1, 16), 8, [(9, 10)], torch.float32, drafts={0: TREE})
    output, _ = scene.attend(TorchAttention(scene.cache), Scores(0.3, None, 3))
    chain = make_scene(Heads(2, 1, 16), 8, [(9, 10)], torch.float32, drafts={0: Draft((5, 6, 7))})
    # The last token of TREE is the third on its branch 1, 3, 4: its window of three has no token of the path.
    fed = [0, 2, 4, 5]
    for own, other in ((chain.query, scene.query), (chain.key, scene.key), (chain.value, scene.value)):
        own.copy_(other[fed])
    expected, _ = chain.attend(TorchAttention(chain.cache), Scores(0.3, None, 3))
    torch.testing.assert_close(output[fed], expected)


def test_moved_slots_are_all_read_before_any_is_written() -> None:
    cache = PagedCache(CacheShape(2, 1, 1), 3, 2, torch.float32, torch.device("cpu"))
    for tensor in (*cache.keys, *cache.values):
        tensor[:3] = torch.arange(6.0).view(3, 1, 2, 1)
    cache.move([(1, 0), (2, 1), (4, 2)])
    for tensor in (*cache.keys, *cache.values):
        assert tensor[:3].flatten().tolist() == [1.0, 2.0, 4.0, 3.0, 4.0, 5.0]


def plan(schedule: Scheduler, groups: list[Group], draft: Draft) -> list[tuple[int, int, int]]:
    """Plan and commit a pass with a draft for all threads, of which nothing is accepted; rows and their drafts."""
    threads = [thread for group in groups for thread in group.threads]
    work = schedule.plan(groups, drafts=dict.fromkeys(threads, draft))
    schedule.pool.check([thread.blocks for thread in threads])
    assert work.tokens == sum(row.length for row in work.rows.values())
    found = [(row.group.number, row.end - row.begin, row.num_drafts) for row in work.rows.values()]
    schedule.commit(work, groups)
    schedule.pool.check([thread.blocks for thread in threads])
    return found


def test_drafts_take_what_is_free_and_preempt_nobody() -> None:
    schedule = Scheduler(BlockPool(5, 2), 64, 1000)
    first, second = new_group(3), new_group(3, number=1)
    schedule.growth.share = 0.0
    assert plan(schedule, [first], TREE) == [(0, 3, 5)]
    assert first.blocks == 2
    first.threads[0].tokens.append(5)
    assert plan(schedule, [first, second], TREE) == [(0, 1, 2), (1, 3, 1)]
    assert (schedule.preemptions, first.blocks, second.blocks) == (0, 2, 2)


def test_prompts_leave_tokens_to_drafts_but_for_half_of_the_limit() -> None:
    schedule = Scheduler(BlockPool(100, 4), 64, 8)
    old, long = new_group(4), new_group(30, number=1)
    plan(schedule, [old], CHAIN)
    old.threads[0].tokens.append(5)
    assert plan(schedule, [old, long], CHAIN) == [(0, 1, 2), (1, 5, 0)]
    old.threads[0].tokens.append(5)
    assert plan(schedule, [old, long], TREE) == [(0, 1, 4), (1, 3, 0)]


def test_a_draft_ends_with_the_context() -> None:
    schedule = Scheduler(BlockPool(100, 4), 64, 1000)
    assert plan(schedule, [new_group(97, context=100)], TREE) == [(0, 97, 3)]


def test_accepted_tokens_are_found_by_others_only_when_they_are_part_of_the_path() -> None:
    schedule = Scheduler(BlockPool(100, 4), 64, 1000)
    group = new_group(3)
    [thread] = group.threads
    schedule.commit(schedule.plan([group], drafts={thread: CHAIN}), [group], {thread: (0, 1)})
    assert (thread.stored, schedule.pool.prefixes.find([9, 9, 9, 5, 0])) == (5, ([], []))
    thread.tokens += [*CHAIN.tokens, 7]
    schedule.commit(schedule.plan([group]), [group])
    assert schedule.pool.prefixes.find([9, 9, 9, 5, 0])[0] == thread.blocks[:1]


@pytest.mark.parametrize("accepted", [(1,), (0, 2), (0, 1, 2), (-1,)])
def test_what_is_accepted_must_be_a_branch_of_the_draft(accepted: tuple[int, ...]) -> None:
    schedule = Scheduler(BlockPool(100, 4), 64, 1000)
    group = new_group(3)
    [thread] = group.threads
    with pytest.raises(RunError, match="do not follow one another"):
        schedule.commit(schedule.plan([group], drafts={thread: CHAIN}), [group], {thread: accepted})


@pytest.mark.parametrize(
    ("tokens", "parents"), [((), None), ((1,) * 64, None), ((1, 2), (0, -1)), ((1, 2), (-1,)), ((1,), (-2,))]
)
def test_a_draft_that_is_no_tree_is_refused(tokens: tuple[int, ...], parents: tuple[int, ...] | None) -> None:
    with pytest.raises(RunError, match="draft"):
        Draft(tokens, parents)
