from __future__ import annotations

import random

import pytest

from apar.decoding.coordinator import Actions, ForkCoordinator
from apar.decoding.group import Sampled
from apar.decoding.params import SamplingParams
from apar.errors import RunError
from apar.events import Finished, Forked
from tests.backends.hasty import CONTROL, TEXTS, HashModel, HastyEngine, make_group
from tests.oracle import Oracle


def _params(rng: random.Random) -> SamplingParams:
    return SamplingParams(
        max_tokens=rng.choice([1, 2, 5, 12, 24, 60]),
        seed=0,
        stop=tuple(rng.choice(["ab.", "ca.", "b bb", "..."]) for _ in range(rng.choice([0, 0, 0, 1]))),
        fork=rng.random() < 0.95,
        max_threads=rng.choice([1, 2, 3, 5, 32]),
        max_depth=rng.choice([1, 2, 3, 4]),
        max_parallel_threads=rng.choice([None, None, 1, 2]),
        repeated_leads=rng.choice(["allow", "end"]),
    )


def _answer(number: int) -> tuple[ForkCoordinator, Oracle, HastyEngine]:
    rng = random.Random(number)
    model = HashModel(number, fork=rng.uniform(-1, 4), eos=rng.uniform(-4, 0))
    params, context = _params(rng), rng.choice([8, 16, 40, 100])
    prompt = [rng.randrange(3, len(TEXTS)) for _ in range(rng.randint(1, 6))]
    coordinator = ForkCoordinator(make_group(prompt, params, context))
    engine = HastyEngine(model, rng, knows_eos=rng.random() < 0.8)
    engine.answer(coordinator)
    return coordinator, Oracle(model, TEXTS, CONTROL, context, prompt, params), engine


def test_the_answer_is_the_oracles_whatever_the_speed_of_the_runs() -> None:
    forks = refusals = 0
    for number in range(300):
        coordinator, oracle, engine = _answer(number)
        assert coordinator.group.events == oracle.run(), number
        assert coordinator.group.assembler.text == oracle.text, number
        assert engine.most <= (coordinator.group.params.max_parallel_threads or engine.most), number
        created = sum(isinstance(event, Forked) for event in coordinator.group.events)
        forks += created
        refusals += engine.begun > created + 1
    assert forks > 100
    assert refusals > 50


def test_threads_that_repeat_a_lead_end_as_the_oracles_do() -> None:
    repeated = 0
    for number in range(100):
        rng = random.Random(number)
        params = SamplingParams(
            max_tokens=60, seed=0, max_threads=rng.choice([5, 8, 32]), repeated_leads="end",
            stop=("ca.",) if rng.random() < 0.2 else (), max_parallel_threads=rng.choice([None, 1, 2]),
        )  # fmt: skip
        model = HashModel(number, fork=rng.uniform(1, 5), eos=-3)
        coordinator = ForkCoordinator(make_group([3], params, 100))
        HastyEngine(model, rng).answer(coordinator)
        oracle = Oracle(model, TEXTS, CONTROL, 100, [3], params)
        assert coordinator.group.events == oracle.run(), number
        assert coordinator.group.assembler.text == oracle.text, number
        repeated += any(isinstance(event, Finished) and event.reason == "repeated" for event in oracle.events)
    assert repeated > 30


def test_a_run_ahead_of_the_others_begins_its_child_at_once() -> None:
    group = make_group([3, 4], SamplingParams(max_tokens=100), context=100)
    coordinator = ForkCoordinator(group)
    [root] = coordinator.actions().start
    coordinator.on_tokens(root, [Sampled(5), Sampled(CONTROL.fork)], ended=False)
    [child] = coordinator.actions().start
    assert child.tokens == (3, 4, 5, CONTROL.fork, CONTROL.child)
    assert child.parent == root.number
    coordinator.on_tokens(root, [Sampled(6), Sampled(CONTROL.fork)], ended=False)
    [second] = coordinator.actions().start
    assert second.thread == (0, 1)
    assert second.tokens == (3, 4, 5, CONTROL.fork, 6, CONTROL.fork, CONTROL.child)
    assert group.step == 2  # the first child has not sampled yet


def test_the_end_of_the_answer_ends_every_run() -> None:
    coordinator = ForkCoordinator(make_group([3], SamplingParams(max_tokens=6), context=100))
    [root] = coordinator.actions().start
    coordinator.on_tokens(root, [Sampled(5), Sampled(CONTROL.fork), Sampled(6)], ended=False)
    [child] = coordinator.actions().start
    coordinator.on_tokens(root, [Sampled(7)] * 9, ended=False)
    coordinator.on_tokens(child, [Sampled(8)] * 9, ended=False)
    assert coordinator.group.done
    assert set(coordinator.actions().abort) == {root, child}


def test_news_of_a_run_that_was_ended_are_not_heard() -> None:
    coordinator = ForkCoordinator(make_group([3], SamplingParams(max_tokens=50), context=100))
    [root] = coordinator.actions().start
    coordinator.on_tokens(root, [Sampled(CONTROL.fork), Sampled(9)], ended=False)  # no fork as the first token
    actions = coordinator.actions()
    assert actions.abort == [root]
    [again] = actions.start
    assert again.limit == 1
    assert CONTROL.fork in again.banned
    coordinator.on_tokens(root, [Sampled(4)], ended=False)
    assert not coordinator.group.events
    coordinator.on_tokens(again, [Sampled(5)], ended=True)
    [on] = coordinator.actions().start
    assert on.tokens == (3, 5)
    assert CONTROL.fork not in on.banned


def test_an_engine_that_samples_what_is_banned_fails_the_answer() -> None:
    coordinator = ForkCoordinator(make_group([3], SamplingParams(max_tokens=50), context=100))
    [root] = coordinator.actions().start
    coordinator.on_tokens(root, [Sampled(CONTROL.fork)], ended=False)
    [again] = coordinator.actions().start
    with pytest.raises(RunError, match="banned"):
        coordinator.on_tokens(again, [Sampled(CONTROL.fork)], ended=True)


def test_an_engine_that_samples_nothing_fails_the_answer() -> None:
    coordinator = ForkCoordinator(make_group([3], SamplingParams(max_tokens=50), context=100))
    [root] = coordinator.actions().start
    with pytest.raises(RunError, match="without a token"):
        coordinator.on_tokens(root, [], ended=True)


def test_every_run_has_a_seed_of_its_own() -> None:
    group = make_group([3], SamplingParams(max_tokens=50, seed=7), context=100)
    coordinator = ForkCoordinator(group)
    [root] = coordinator.actions().start
    coordinator.on_tokens(root, [Sampled(4), Sampled(CONTROL.fork)], ended=False)
    [child] = coordinator.actions().start
    assert root.seed(group) != child.seed(group)
    other = make_group([3], SamplingParams(max_tokens=50, seed=8), context=100)
    assert root.seed(other) != root.seed(group)


def test_a_thread_far_ahead_of_the_others_waits_and_goes_on_behind_what_it_has() -> None:
    coordinator = ForkCoordinator(make_group([3], SamplingParams(max_tokens=40), context=200))
    [root] = coordinator.actions().start
    coordinator.on_tokens(root, [Sampled(5), Sampled(CONTROL.fork)], ended=False)
    [child] = coordinator.actions().start
    # 39 tokens for two threads: neither is likely to need more than 19.
    coordinator.on_tokens(root, [Sampled(6)] * 19, ended=False)
    assert coordinator.actions().abort == []
    coordinator.on_tokens(root, [Sampled(7)], ended=False)
    assert coordinator.actions() == Actions(abort=[root])
    coordinator.on_tokens(child, [Sampled(8)] * 10, ended=False)
    assert coordinator.actions() == Actions()
    coordinator.on_tokens(child, [Sampled(8)] * 5, ended=False)
    [on] = coordinator.actions().start
    assert on.tokens == (3, 5, CONTROL.fork, *[6] * 19, 7)
    assert on.parent == root.number


def test_without_pace_nobody_waits() -> None:
    coordinator = ForkCoordinator(make_group([3], SamplingParams(max_tokens=40), context=200), pace=False)
    [root] = coordinator.actions().start
    coordinator.on_tokens(root, [Sampled(5), Sampled(CONTROL.fork)], ended=False)
    coordinator.actions()
    coordinator.on_tokens(root, [Sampled(6)] * 39, ended=False)
    assert coordinator.actions() == Actions()
