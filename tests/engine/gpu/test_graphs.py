"""Passes in fixed shapes. On the CPU the captured function is called, on a GPU the captured graph is replayed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from apar.engine.gpu import CudaGraphs, TritonAttention
from apar.engine.gpu.graphs import Bucket, StaticPasses, row_bucket
from apar.engine.native import NativeAttention
from apar.engine.native.build import available
from apar.errors import RunError
from apar.scheduling.scheduler import Pass
from tests import device
from tests.engine.random_lives import compare, make_case, make_engine, run_engine
from tests.engine.tiny import FAMILIES, favour, tiny_model

pytestmark = pytest.mark.skipif(
    device.chosen == "cpu" and not available(), reason="fixed shapes need a kernel, and there is no C++ compiler"
)
HOST_READS = ("aten.item", "local_scalar", "nonzero", "unique", "masked_select", "aten.equal")
CASES = 60
CHUNK = 15


class Operations(TorchDispatchMode):
    """Collects the names of the operations that run in it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.names.add(str(operation))
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("first", range(0, CASES, CHUNK))
def test_the_engine_equals_the_oracle_in_fixed_shapes(first: int) -> None:
    counts: Counter[str] = Counter()
    found = [compare(number, counts, static=True) for number in range(first, first + CHUNK)]
    assert [difference for difference in found if difference] == []
    assert counts["blocks lost"] == 0
    assert counts["forks"] > 0


def test_forks_run_in_fixed_shapes_and_padding_reaches_no_block_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Bucket, int]] = []
    run = StaticPasses.run

    def spying(static, batch):  # type: ignore[no-untyped-def]
        seen.append((Bucket.of(batch), len(batch.rows)))
        cache = static._cache
        before = [tensor.clone() for tensor in (*cache.keys, *cache.values)]
        result = run(static, batch)
        owned = torch.tensor(batch.slots, device=cache.device) // cache.block_size
        for tensor, old in zip((*cache.keys, *cache.values), before, strict=True):
            changed = (tensor != old).flatten(1).any(1).nonzero().flatten()
            assert set(changed.tolist()) <= {*owned.tolist(), cache.scratch}
        return result

    monkeypatch.setattr(StaticPasses, "run", spying)
    for number in range(2 * CHUNK):
        case = make_case(number)
        run_engine(case, make_engine(case, static=True))
    assert any(bucket.duplicated for bucket, _ in seen)
    assert any(rows < bucket.rows for bucket, rows in seen)


def test_a_bucket_is_captured_once_and_prompts_never() -> None:
    captured = []

    def counting(run: Callable[[], None]) -> Callable[[], None]:
        captured.append(run)
        return run

    case = make_case(1)  # it decodes several threads at a time
    engine = make_engine(case)
    engine._runner.record(engine._runner._attention, counting)  # type: ignore[arg-type]
    works: list[Pass] = []
    plan = engine._plan
    engine._plan = lambda: works.append(plan()) or works[-1]  # type: ignore[method-assign, func-returns-value]
    run_engine(case, engine)
    single = [work for work in works if all(row.length == 1 for row in work.rows.values())]
    assert 0 < len(captured) < len(single) < len(works)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_model_reads_back_to_the_host_within_a_pass_that_is_captured(family: str) -> None:
    case = make_case(0)
    model = tiny_model(0, family)
    favour(model, case.control, fork=6.0, eos=1.0)
    # Without the fused layers, as on a GPU.
    engine = make_engine(replace(case, model=model, native=False))
    spy = Operations()

    def watching(run: Callable[[], None]) -> Callable[[], None]:
        def watched() -> None:
            with spy:
                run()

        return watched

    cache = engine._runner.cache
    heads = model.config.num_attention_heads
    attention = NativeAttention(cache) if device.chosen == "cpu" else TritonAttention(cache, heads)
    engine._runner.record(attention, watching)
    run_engine(case, engine)
    assert "aten.embedding.default" in spy.names
    assert not {name for name in spy.names if any(reading in name for reading in HOST_READS)}


def test_the_pool_never_gives_the_scratch_block() -> None:
    case = make_case(0)
    engine = make_engine(case)
    pool = engine.pool
    assert engine._runner.cache.scratch not in pool.allocate(pool.num_free)
    assert engine._runner.cache.keys[0].shape[0] == engine._runner.cache.scratch + 1


def test_buckets_grow_with_the_rows_and_pad_little() -> None:
    buckets = sorted({row_bucket(rows) for rows in range(1, 1025)})
    assert buckets[:14] == [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112]
    assert all(rows <= row_bucket(rows) < 2 * rows for rows in range(1, 1025))
    assert all(row_bucket(rows) <= 1.25 * rows + 6 for rows in range(17, 1025))
    assert len(buckets) < 40


@pytest.mark.skipif(device.chosen == "cpu", reason="a CUDA graph needs a GPU")
def test_what_cannot_be_captured_is_said_with_what_to_do() -> None:
    numbers = torch.zeros(4, device="cuda")
    with pytest.raises(RunError, match="graphs=False"):
        CudaGraphs()(lambda: numbers.sum().item() and None)
