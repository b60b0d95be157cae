"""The size of the cache: from a number of blocks, from bytes, or from what is free."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from apar.engine import cache_budget
from apar.engine.cache_budget import CacheBudget
from apar.engine.llm import LLM
from apar.errors import ModelError, RequestError
from apar.models import memory
from apar.models.load import load
from apar.models.memory import free_bytes, memory_for
from apar.sizes import parse_bytes, show_bytes
from tests.engine.tiny import tiny_model as raw_model
from tests.engine.tiny import tiny_tokenizer
from tests.tiny import tiny_model

BLOCK = 2 * 2 * 2 * 8 * 4 * 16
"""Bytes of a block of `raw_model`: keys and values, layers, heads, head size, float32, tokens."""


def on(device: str, model: Any) -> Any:
    return SimpleNamespace(config=model.config, dtype=model.dtype, device=torch.device(device))


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say how many bytes are free."""

    def set_free(size: int) -> None:
        for module in (cache_budget, memory):
            monkeypatch.setattr(module, "free_bytes", lambda device: size)

    return set_free


def test_the_cache_takes_half_of_what_is_free_and_at_most_two_gib(free: Any) -> None:
    model = raw_model(0, context=10**6)
    free(100 * BLOCK)
    assert CacheBudget().blocks_for(model) == 50
    free(1 << 40)
    assert CacheBudget().blocks_for(model) == (2 << 30) // BLOCK


def test_on_a_gpu_it_takes_most_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    model = on("cuda", raw_model(0, context=10**6))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (20 * BLOCK, 40 * BLOCK))
    assert CacheBudget().blocks_for(model) == 16


def test_it_never_takes_more_than_the_rows_can_use() -> None:
    model = raw_model(0, context=100)
    assert CacheBudget(max_rows=3).blocks_for(model) == 3 * 7
    assert CacheBudget(max_rows=3, kv_memory="1GiB").blocks_for(model) == 3 * 7


def test_bytes_and_blocks_that_are_asked_for_are_taken(free: Any) -> None:
    model = raw_model(0, context=10**6)
    free(1 << 40)
    assert CacheBudget(kv_memory=30 * BLOCK + 5).blocks_for(model) == 30
    assert CacheBudget(num_blocks=5000).blocks_for(model) == 5000
    assert CacheBudget(num_blocks=1).blocks_for(model) == 1


def test_a_model_with_an_enormous_context_gets_the_context_that_fits(free: Any) -> None:
    free(100 * BLOCK)
    llm = LLM.from_parts(raw_model(0, context=10**7), tiny_tokenizer())
    assert llm.context == 50 * 16


@pytest.mark.parametrize("budget", [CacheBudget(), CacheBudget(kv_memory=5 * BLOCK)])
def test_a_cache_of_no_useful_context_is_refused_at_start(free: Any, budget: CacheBudget) -> None:
    free(10 * BLOCK)
    with pytest.raises(ModelError, match=r"hold 80 tokens, and 256 tokens take 64.0 KiB; set kv_memory to more"):
        budget.blocks_for(raw_model(0, context=10**6))


def test_a_model_of_a_shorter_context_needs_no_more_than_that(free: Any) -> None:
    free(10 * BLOCK)
    assert CacheBudget().blocks_for(raw_model(0, context=80)) == 5


@pytest.mark.parametrize("budget", [CacheBudget(num_blocks=11), CacheBudget(kv_memory=11 * BLOCK)])
def test_more_than_is_free_is_refused(free: Any, budget: CacheBudget) -> None:
    free(10 * BLOCK)
    with pytest.raises(ModelError, match=r"is a cache of 44.0 KiB, and 40.0 KiB are free"):
        budget.blocks_for(raw_model(0, context=128))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_blocks": 0}, "num_blocks is 0"),
        ({"block_size": -1}, "block_size is -1"),
        ({"max_rows": 0}, "max_rows is 0"),
        ({"kv_memory": 0}, "kv_memory is 0"),
        ({"kv_memory": "0"}, "kv_memory is '0'"),
        ({"kv_memory": "2 apples"}, "kv_memory is '2 apples'; give bytes, or a size as 2GiB"),
        ({"num_blocks": 3, "kv_memory": "1GiB"}, "both size the cache"),
    ],
)
def test_sizes_that_mean_nothing_are_refused_before_anything_is_loaded(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        LLM("/nowhere", **sizes)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (77, 77),
        ("77", 77),
        ("2GiB", 2 << 30),
        ("1.5 gb", 1_500_000_000),
        ("512MiB", 512 << 20),
        ("3k", 3072),
        ("9B", 9),
    ],
)
def test_sizes_are_read(text: int | str, size: int) -> None:
    assert parse_bytes(text, "kv_memory") == size


def test_sizes_are_written() -> None:
    assert [show_bytes(size) for size in (5, 2048, 3 << 19, 5 << 29)] == ["5 bytes", "2.0 KiB", "1.5 MiB", "2.5 GiB"]


def test_what_is_free_is_some_of_the_hosts_memory() -> None:
    assert 1 << 20 < free_bytes(torch.device("cpu")) < 1 << 50


def container(folder: Path, limit: str, used: int, files: int) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {files}\n")
    return folder


def test_the_limit_of_a_container_counts_without_the_files_it_has_read(tmp_path: Path) -> None:
    assert memory._container_bytes(tmp_path) is None
    assert memory._container_bytes(container(tmp_path, "max", 100, 30)) is None
    assert memory._container_bytes(container(tmp_path, "1000", 400, 30)) == 630
    assert memory._container_bytes(container(tmp_path, "1000", 1400, 30)) == 0


def test_weights_that_do_not_fit_are_refused_before_they_are_read(tmp_path: Path, free: Any) -> None:
    folder = tiny_model(tmp_path)
    size = (folder / "model.safetensors").stat().st_size
    free(size * 3 // 4)
    with pytest.raises(ModelError, match=r"the weights of .* take .* KiB in float32, and .* KiB are free on cpu; load"):
        load(folder, "auto", "cpu")
    load(folder, "bfloat16", "cpu")


def test_an_allocation_that_fails_is_one_line_with_its_size() -> None:
    message = r"not enough memory for the cache, at a piece of .* GiB; take less"
    with pytest.raises(ModelError, match=message), memory_for("the cache", "take less"):
        torch.empty(1 << 60, dtype=torch.uint8)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
def test_running_out_of_any_memory_is_told(error: Exception) -> None:
    message = "not enough memory for the weights; take less"
    with pytest.raises(ModelError, match=message), memory_for("the weights", "take less"):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), memory_for("the cache", "take less"):
        raise RuntimeError("shapes differ")


def test_a_cache_that_cannot_be_allocated_is_refused_with_what_to_do(free: Any) -> None:
    free(1 << 80)
    with pytest.raises(ModelError, match=r"a cache of \d+ blocks of 16 tokens.*set num_blocks or kv_memory to less"):
        LLM.from_parts(raw_model(0), tiny_tokenizer(), num_blocks=1 << 50)


def test_weights_that_cannot_be_allocated_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_model(tmp_path)

    def fail(*args: object, **settings: object) -> None:
        torch.empty(1 << 60, dtype=torch.uint8)

    monkeypatch.setattr("apar.models.load.AutoModelForCausalLM.from_pretrained", fail)
    with pytest.raises(ModelError, match="not enough memory for the weights of"):
        load(folder, "auto", "cpu")
