"""Paged attention beside the model's own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from apar.engine.attention import attend
from apar.engine.cache import CacheShape, PagedCache
from apar.engine.runner import Runner
from apar.errors import ModelError
from apar.scheduling.blocks import BlockPool
from apar.scheduling.scheduler import Scheduler
from tests.engine.states import forked, new_group
from tests.engine.tiny import FAMILIES, tiny_model


@pytest.mark.parametrize("family", FAMILIES)
def test_every_row_of_a_mixed_pass_has_the_logits_of_its_path_alone(family: str) -> None:
    model = tiny_model(7, family)
    schedule = Scheduler(BlockPool(40, 4), 64, 1000)
    runner = Runner(copy.deepcopy(model), schedule.pool)
    old, new = new_group(6), new_group(9, number=1)
    for k, group in enumerate((old, new)):
        group.threads[0].tokens = [3 + (5 * n + k) % 30 for n in range(group.prompt_tokens)]
    schedule.commit(run(schedule, runner, model, [old]))
    old.threads[0].tokens.append(11)
    forked(old, old.threads[0])
    # The parent is fed two tokens, the child one, the other group its prompt; then all are fed one.
    schedule.commit(run(schedule, runner, model, [old, new]))
    for number, thread in enumerate([*old.threads, *new.threads]):
        thread.tokens.append(20 + number)
    schedule.commit(run(schedule, runner, model, [old, new]))


def run(schedule: Scheduler, runner: Runner, model: Any, groups: list[Any]) -> Any:
    """Run a pass and compare each row with the whole path run without a cache."""
    work = schedule.plan(groups)
    output = runner.run(work)
    assert len(output.rows) == sum(len(group.threads) for group in groups)
    for row, own in zip(output.rows, output.logits, strict=True):
        with torch.no_grad():
            path = torch.tensor([row.thread.tokens], device=model.device)
            alone = model(input_ids=path, use_cache=False).logits[0, -1]
        torch.testing.assert_close(own, alone, atol=1e-4, rtol=1e-4)
    return work


def test_all_blocks_are_read_before_any_is_written() -> None:
    cache = PagedCache(CacheShape(1, 1, 1), 3, 2, torch.float32, torch.device("cpu"))
    cache.keys[0][:3] = torch.arange(3.0).view(3, 1, 1, 1)
    cache.copy([(0, 1), (1, 2)])
    assert cache.keys[0][:3, 0, 0, 0].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("argument", ["s_aux", "position_bias"])
def test_attention_that_is_not_plain_is_refused(argument: str) -> None:
    rows = torch.zeros(1, 1, 1, 1)
    with pytest.raises(ModelError, match=argument):
        attend(torch.nn.Module(), rows, rows, rows, None, paged=None, **{argument: 1.0})  # type: ignore[arg-type]


def test_a_caches_size_is_that_of_all_layers_keys_and_values() -> None:
    shape = CacheShape.of(tiny_model(0).config)
    assert (shape.layers, shape.heads, shape.head_size) == (2, 2, 8)
    assert shape.bytes_per_token(torch.bfloat16) == 2 * 2 * 2 * 8 * 2
