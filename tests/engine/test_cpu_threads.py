"""How many threads compute a pass on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from apar import LLM, RequestError
from apar.engine import cpu_threads
from apar.engine.cpu_threads import threads_for, use_threads, weight_bytes
from tests.engine.tiny import tiny_model
from tests.tiny import tiny_model as tiny_folder


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch has four of them, and nobody has chosen."""
    before = torch.get_num_threads()
    monkeypatch.setattr(cpu_threads, "_lowered", {})
    monkeypatch.setattr(cpu_threads, "threads_chosen", lambda: False)
    monkeypatch.setattr(cpu_threads, "available", lambda: 4)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("megabytes", "cpus", "count"), [(1, 8, 1), (63, 8, 1), (135, 8, 2), (540, 32, 8), (540, 2, 2), (14000, 16, 16)]
)
def test_small_models_take_few_threads_and_large_ones_all_cpus(megabytes: int, cpus: int, count: int) -> None:
    assert threads_for(megabytes << 20, cpus) == count


def test_a_small_model_lowers_the_threads_and_a_larger_one_behind_it_gets_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model(0).to("cpu")
    use_threads(model, None)
    assert torch.get_num_threads() == 1
    monkeypatch.setattr(cpu_threads, "BYTES_PER_THREAD", weight_bytes(model) // 3)
    use_threads(model, None)
    assert torch.get_num_threads() == 3


def test_no_model_gets_more_threads_than_torch_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_threads, "BYTES_PER_THREAD", 1)
    torch.set_num_threads(2)
    use_threads(tiny_model(0).to("cpu"), None)
    assert torch.get_num_threads() == 2


def test_a_number_in_the_environment_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_threads, "threads_chosen", lambda: True)
    use_threads(tiny_model(0).to("cpu"), None)
    assert torch.get_num_threads() == 4


def test_an_llm_takes_the_number_that_is_given(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    LLM(folder, device="cpu", cpu_threads=3)
    assert torch.get_num_threads() == 3
    LLM(folder, device="cpu")
    assert torch.get_num_threads() == 1


def test_a_number_that_means_nothing_is_refused() -> None:
    with pytest.raises(RequestError, match="cpu_threads is 0; it must be at least 1"):
        LLM("nowhere", cpu_threads=0)
