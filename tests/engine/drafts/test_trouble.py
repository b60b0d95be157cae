"""Drafts where there is hardly room for any, and passes that only fail with them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from apar.decoding.params import SamplingParams
from apar.engine.drafts.medusa import MedusaDrafts
from apar.engine.drafts.setup import DraftSetup
from apar.engine.engine import Engine
from apar.models.heads import MedusaHeads
from apar.scheduling.blocks import BlockPool
from apar.tokens import ControlTokens
from tests.engine.drafts.known import guess_everything
from tests.engine.states import new_group
from tests.engine.test_engine import finish
from tests.engine.tiny import favour, tiny_model, tiny_tokenizer

CONTROL = ControlTokens.of(tiny_tokenizer())
PARAMS = SamplingParams(max_tokens=20, seed=0)


def make_engine(blocks: int = 200, block_size: int = 4, rows: int = 64, heads: bool = False) -> Engine:
    """An engine whose answers fork often; with `heads`, one that has drafts by them and by n-grams."""
    model = tiny_model(3)
    favour(model, CONTROL, fork=6.0, eos=2.0)
    setup = DraftSetup(MedusaHeads.on(model).to(model.device)) if heads else None
    pool = BlockPool(blocks, block_size)
    return Engine(model, lambda ids: "x" * len(ids), CONTROL.eos, CONTROL, pool, rows, True, graphs=False, drafts=setup)


def texts(engine: Engine, prompts: list[list[int]], params: SamplingParams = PARAMS) -> list[list[str]]:
    """What is told of the answers, without how many drafts there were."""
    groups = [engine.add(prompt, params) for prompt in prompts]
    finish(engine)
    assert [group.error for group in groups] == [None] * len(groups)
    assert engine.pool.num_free == engine.pool.num_blocks
    return [[repr((event.thread, type(event), event.step)) for event in group.events] for group in groups]


@pytest.mark.parametrize(("blocks", "rows"), [(1, 64), (1, 1), (2, 1), (3, 2)])
def test_heads_need_no_more_blocks_and_rows_than_there_are(blocks: int, rows: int) -> None:
    prompts = [[5, 9], [8, 4, 3]]
    expected = texts(make_engine(blocks, 16, rows), prompts)
    assert texts(make_engine(blocks, 16, rows, heads=True), prompts) == expected


@pytest.mark.parametrize("prompts", [[[5, 9]], [[5, 9], [8, 4, 3]]], ids=["one", "two"])
def test_no_answer_fails_by_its_drafts(prompts: list[list[int]]) -> None:
    expected = texts(make_engine(), prompts)
    engine = guess_everything(make_engine())
    forward, failed = engine._runner._model.forward, 0

    def short_of_memory(*args: Any, **inputs: Any) -> Any:
        nonlocal failed
        if inputs["input_ids"].shape[1] > 30:
            failed += 1
            raise MemoryError("too many tokens")
        return forward(*args, **inputs)

    engine._runner._model.forward = short_of_memory
    assert texts(engine, prompts) == expected
    assert failed > 0


def test_no_answer_fails_by_heads_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = texts(make_engine(), [[5, 9]])
    engine = make_engine(heads=True)
    monkeypatch.setattr("apar.engine.drafts.speculator.Speculator._pays", lambda *_: True)

    def fail(*_: Any) -> Any:
        raise MemoryError("no room for heads")

    monkeypatch.setattr(MedusaHeads, "forward", fail)
    assert texts(engine, [[5, 9]]) == expected


def test_a_group_that_ends_takes_no_guesses_from_others() -> None:
    ended, other, medusa = new_group(), new_group(number=1), MedusaDrafts(1)
    medusa.take([*ended.threads, *other.threads], torch.zeros(1, 2, 20))
    [thread] = other.threads
    thread.blocks = [0]
    medusa.forget(ended)
    assert medusa.candidates(other, thread) != []
    assert medusa.candidates(ended, ended.threads[0]) == []


def test_a_vocabulary_may_be_smaller_than_what_heads_say() -> None:
    group, medusa = new_group(), MedusaDrafts(1)
    medusa.take(group.threads, torch.zeros(1, 1, 4))
    assert sorted(each.token for each in medusa.candidates(group, group.threads[0])) == [0, 1, 2, 3]


def test_heads_that_fail_between_passes_are_off_from_then_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = [[5, 9], [8, 4, 3]]
    expected = texts(make_engine(), prompts)
    engine = make_engine(heads=True)
    speculator = engine.speculator
    assert speculator is not None
    taken = 0

    def failing(self: MedusaDrafts, *given: Any) -> None:
        nonlocal taken
        taken += 1
        raise RuntimeError("out of memory")

    monkeypatch.setattr(MedusaDrafts, "take", failing)
    speculator.heads_on = True
    monkeypatch.setattr(type(speculator), "_pays", lambda self, *given: True)
    assert texts(engine, prompts) == expected
    assert taken == 1
    assert speculator.names == ["ngram"]
    assert "the heads failed and are off from now on: RuntimeError: out of memory" in caplog.text
    assert texts(engine, prompts) == expected
