"""Real heads on a tiny model: drafts by them change no text, and stop where they do not pay."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from apar.decoding.group import Group
from apar.decoding.params import SamplingParams
from apar.engine.drafts.kinds import draft_kind, draft_setup
from apar.engine.drafts.setup import DraftSetup
from apar.engine.drafts.step_cost import SIZES, StepCost
from apar.engine.engine import Engine
from apar.engine.native.build import available
from apar.errors import ModelError, RequestError
from apar.models.head_files import save_heads
from apar.models.heads import HeadsShape, MedusaHeads
from apar.scheduling.blocks import BlockPool
from apar.tokens import ControlTokens
from tests.engine.tiny import favour, tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
CONTROL = ControlTokens.of(TOKENIZER)
FREE = StepCost([1.0] * len(SIZES))


def new_model(seed: int = 0) -> Any:
    model = tiny_model(seed)
    favour(model, CONTROL, fork=5.0, eos=-2.0)
    return model


def new_heads(model: Any, seed: int = 1, **settings: Any) -> MedusaHeads:
    torch.manual_seed(seed)
    heads = MedusaHeads.on(model, **settings)
    for weight in heads.blocks.parameters():
        nn.init.normal_(weight, std=0.3)
    return heads.requires_grad_(False).eval()


def new_engine(drafts: DraftSetup | None, native: bool = False, max_rows: int = 16) -> Engine:
    pool = BlockPool(200, 4)
    decode = lambda ids: TOKENIZER.decode(ids, skip_special_tokens=True)  # noqa: E731
    return Engine(new_model(), decode, CONTROL.eos, CONTROL, pool, max_rows, native, drafts=drafts)


def answers(engine: Engine, **settings: Any) -> list[Group]:
    rng = random.Random(0)
    params = [SamplingParams(max_tokens=50, seed=n, temperature=n % 2, **settings) for n in range(4)]
    groups = [engine.add([rng.randrange(3, 30) for _ in range(6)], each) for each in params]
    while engine.groups:
        engine.step()
        engine.check()
    assert not any(group.error for group in groups)
    return groups


class FixedCost(StepCost):
    """What a pass costs does not change by what was measured."""

    def observe(self, tokens: int, context: int, seconds: float) -> None:
        pass


needs_compiler = pytest.mark.skipif(not available(), reason="there is no C++ compiler")


@pytest.mark.parametrize("native", [False, pytest.param(True, marks=needs_compiler)])
@pytest.mark.parametrize("most_joined", [0, 1000])
def test_drafts_by_heads_change_no_text(native: bool, most_joined: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apar.engine.runner._JOINED_ROWS", most_joined)
    expected = answers(new_engine(None, native))
    engine = new_engine(DraftSetup(new_heads(new_model())), native)
    assert engine.speculator is not None
    engine.speculator.plain = engine.speculator.with_heads = FixedCost(FREE.times)
    found = answers(engine)
    assert [group.events for group in found] == [group.events for group in expected]
    statistics = engine.statistics()
    assert statistics.drafted > statistics.accepted > 0
    assert statistics.passes < sum(group.step for group in expected)
    assert engine.pool.num_free == 200


def test_a_request_without_drafts_has_none() -> None:
    engine = new_engine(DraftSetup(new_heads(new_model())))
    assert engine.speculator is not None
    engine.speculator.plain = engine.speculator.with_heads = FixedCost(FREE.times)
    answers(engine, drafts=False)
    assert engine.statistics().drafted == 0
    assert not engine.speculator.heads_on


def test_heads_that_do_not_pay_stop_and_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = new_engine(DraftSetup(new_heads(new_model()), ngram=False))
    assert engine.speculator is not None
    dear = FixedCost([float(size) for size in SIZES])
    engine.speculator.plain, engine.speculator.with_heads = dear, FixedCost([2.0 * size for size in SIZES])
    asked: list[bool] = []
    run = engine._runner.run

    def watched(work: Any, guess: bool = False) -> Any:
        asked.append(guess)
        return run(work, guess)

    monkeypatch.setattr(engine._runner, "run", watched)
    for _ in range(12):
        answers(engine)
    assert len(asked) > 200
    assert 0 < sum(asked[3:]) <= len(asked) // 60
    assert engine.statistics().drafted <= 64


def test_passes_are_measured_at_the_start_and_nothing_of_it_stays() -> None:
    engine = new_engine(DraftSetup(new_heads(new_model())), max_rows=3)
    assert engine.speculator is not None
    assert engine.speculator.with_heads is not None
    assert all(time > 0 for time in (*engine.speculator.plain.times, *engine.speculator.with_heads.times))
    assert engine.pool.num_free == 200
    engine.check()


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_cache_of_few_blocks_is_enough_to_measure_in(blocks: int) -> None:
    pool = BlockPool(blocks, 16)
    engine = Engine(new_model(), str, CONTROL.eos, CONTROL, pool, 4, drafts=DraftSetup(new_heads(new_model())))
    assert engine.speculator is not None
    assert pool.num_free == blocks


def test_kinds_of_drafts_and_what_they_need(tmp_path: Path) -> None:
    model = new_model()
    assert draft_setup(model, TOKENIZER, None, None) is None
    assert draft_setup(model, TOKENIZER, tmp_path, draft_kind("off")) is None
    ngram = draft_setup(model, TOKENIZER, None, draft_kind("ngram"))
    assert ngram is not None
    assert ngram.heads is None
    with pytest.raises(RequestError, match="drafts is 'medusa' and there are no heads"):
        draft_setup(model, TOKENIZER, None, draft_kind("medusa"))
    with pytest.raises(RequestError, match="drafts is 'tree'; it must be one of medusa, ngram, all, off"):
        draft_kind("tree")
    with pytest.raises(RequestError, match="drafts is 'ngram', which uses no heads: leave out medusa"):
        draft_kind("ngram", tmp_path)
    save_heads(new_heads(model), tmp_path / "heads")
    both = draft_setup(model, TOKENIZER, tmp_path / "heads", None)
    assert both is not None
    assert both.heads is not None
    assert both.ngram
    save_heads(MedusaHeads(HeadsShape(48, 40)), tmp_path / "others")
    with pytest.raises(ModelError, match="are of another model: they have 48 channels"):
        draft_setup(model, TOKENIZER, tmp_path / "others", None)
