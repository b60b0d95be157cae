"""Where a model runs, and in which number type."""

from __future__ import annotations

import pytest
import torch

from apar.errors import ModelError
from apar.models.device import choose_device, choose_dtype

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == GPU


@pytest.mark.parametrize("name", ["cudda", "cuda:99", "abacus", ""])
def test_a_device_that_is_not_there_is_named_in_one_line(name: str) -> None:
    with pytest.raises(ModelError, match=f"the device '{name}' cannot be used here") as refusal:
        choose_device(name)
    assert "\n" not in str(refusal.value)


def test_auto_is_float32_on_the_cpu_the_checkpoints_on_a_gpu_and_bfloat16_where_quantised() -> None:
    assert choose_dtype("auto", CPU) == torch.float32
    assert choose_dtype("auto", GPU) == "auto"
    assert choose_dtype("float16", CPU) == torch.float16
    assert choose_dtype("auto", CPU, "int8") == choose_dtype("bfloat16", GPU, "int4") == torch.bfloat16


def test_types_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="dtype is 'float8'; it must be auto, float32, bfloat16, float16"):
        choose_dtype("float8", CPU)
    with pytest.raises(ModelError, match="int8 weights are multiplied in bfloat16, not float32"):
        choose_dtype("float32", CPU, "int8")
