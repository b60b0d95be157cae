"""The Triton kernel beside attention in plain PyTorch. On the CPU it runs in Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from apar.engine.attention import Scores
from apar.engine.gpu.triton_attention import TritonAttention
from apar.engine.torch_attention import TorchAttention
from tests import device
from tests.engine.gpu.passes import Heads, Scene, make_scene
from tests.engine.random_lives import compare_with, make_case, make_engine

pytest.importorskip("triton", reason="Triton is not installed")

# Three threads in the middle of their paths, one at its very first token, and two prompts, one of them resumed.
SPANS = [(5, 6), (30, 31), (32, 33), (0, 1), (0, 40), (10, 29)]
TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}

needs_a_gpu = pytest.mark.skipif(device.chosen == "cpu", reason="Triton's interpreter cannot multiply bfloat16")
DTYPES = [torch.float32, torch.float16, pytest.param(torch.bfloat16, marks=needs_a_gpu)]


def assert_equal_to_portable(scene: Scene, scores: Scores) -> None:
    heads = scene.query.shape[1]
    expected, cache = scene.attend(TorchAttention(scene.cache), scores)
    output, own_cache = scene.attend(TritonAttention(scene.cache, heads), scores)
    tolerance = TOLERANCE[scene.query.dtype]
    torch.testing.assert_close(output, expected, atol=tolerance, rtol=tolerance)
    assert torch.equal(own_cache, cache)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("heads", [Heads(4, 2, 64), Heads(2, 2, 80), Heads(7, 1, 128)], ids=str)
def test_threads_and_prompts_in_one_pass_have_the_attention_of_plain_pytorch(heads: Heads, dtype: torch.dtype) -> None:
    assert_equal_to_portable(make_scene(heads, 16, SPANS, dtype), Scores(heads.size**-0.5))


@pytest.mark.parametrize("block_size", [1, 5, 32])
def test_blocks_may_have_any_size(block_size: int) -> None:
    spans = [(5, 6), (7, 8), (0, 12)] if block_size == 1 else SPANS
    assert_equal_to_portable(make_scene(Heads(4, 2, 64), block_size, spans, torch.float32), Scores(0.1))


@pytest.mark.parametrize("window", [1, 7, 33, 1000])
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_windows_and_soft_caps_are_those_of_plain_pytorch(window: int, softcap: float | None) -> None:
    scene = make_scene(Heads(6, 2, 16), 8, SPANS, torch.float32)
    assert_equal_to_portable(scene, Scores(0.3, softcap, window))


@pytest.mark.parametrize("window", [None, 300])
def test_long_paths_are_split_among_programs(window: int | None) -> None:
    # The second thread's path is so short that most of the programs find nothing to do.
    scene = make_scene(Heads(4, 2, 64), 32, [(1399, 1400), (20, 21)], torch.float32)
    part = TritonAttention(scene.cache, 4).prepare(scene.layout).parts[0]  # type: ignore[attr-defined]
    assert part.splits == 4
    assert_equal_to_portable(scene, Scores(0.1, None, window))


def test_a_token_is_written_to_two_places_where_a_child_needs_it() -> None:
    scene = make_scene(Heads(4, 2, 64), 16, SPANS, torch.float32, mirror=True)
    assert scene.layout.write_source is not None
    assert_equal_to_portable(scene, Scores(0.1))


def test_what_is_not_a_number_in_a_foreign_slot_stays_there() -> None:
    scene = make_scene(Heads(4, 2, 64), 16, [(20, 21)], torch.float32)
    expected, _ = scene.attend(TritonAttention(scene.cache, 4), Scores(0.1))
    second = scene.layout.rows[0].thread.blocks[1]
    for tensor in (scene.cache.keys[0], scene.cache.values[0]):
        tensor[second, :, 21 % 16 :] = float("nan")
    output, _ = scene.attend(TritonAttention(scene.cache, 4), Scores(0.1))
    assert torch.equal(output, expected)


# Cases with few passes: each pass takes the interpreter a second.
@pytest.mark.parametrize("number", [2, 5])
def test_the_engine_on_the_kernel_equals_the_oracle_in_fixed_shapes_too(number: int) -> None:
    case = make_case(number)
    engine = make_engine(case)
    runner = engine._runner
    runner._attention = attention = TritonAttention(runner.cache, case.model.config.num_attention_heads)
    runner.record(attention, lambda run: run)
    counts: Counter[str] = Counter()
    assert compare_with(engine, case, number, counts) is None
    assert counts["forks"] > 0


def test_the_kernels_compile_for_gpus_that_are_not_here(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.engine.gpu.compile_kernels", "80", "90"]
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    compiled = Counter(tuple(line.split()[:2]) for line in done.stdout.splitlines())
    assert {(name, count) for (name, _), count in compiled.items()} == {("attend", 4), ("join", 1), ("store", 1)}
    # What a block of an A100 or H100 may share, and less than what a smaller GPU of their time has.
    assert all(int(line.split()[2]) <= 99 << 10 for line in done.stdout.splitlines())
