"""The public names of the package."""

from __future__ import annotations

import subprocess
import sys

import pytest

import apar
from apar.backends.vllm.versions import installed

NAMES = [
    "AparError",
    "Answer",
    "AnswerStream",
    "Assembler",
    "AsyncLLM",
    "BatchError",
    "BusyError",
    "CHILD",
    "CompletionsBackend",
    "ControlTokens",
    "Delta",
    "EngineStatistics",
    "Event",
    "FORK",
    "Finished",
    "Forked",
    "LLM",
    "ModelError",
    "Node",
    "ParagraphTree",
    "VllmServerBackend",
    "RequestError",
    "RunError",
    "SamplingParams",
    "Started",
    "UserError",
    "VllmBackend",
]
HEAVY = {"LLM", "AsyncLLM", "VllmBackend"}
"""The names that need torch."""


def test_the_public_names_are_these_in_order() -> None:
    assert sorted(NAMES) == apar.__all__


@pytest.mark.parametrize("name", [name for name in NAMES if name != "VllmBackend" or installed()])
def test_every_public_name_can_be_imported(name: str) -> None:
    value = getattr(apar, name)
    assert getattr(value, "__name__", name) in {name, "UnionType", "Union"}


@pytest.mark.skipif(installed() is not None, reason="vLLM is installed")
def test_without_vllm_its_backend_says_what_is_missing() -> None:
    with pytest.raises(apar.UserError, match="vLLM is not installed"):
        _ = apar.VllmBackend


def test_other_names_are_no_part_of_the_package() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Engine'"):
        _ = apar.Engine


@pytest.mark.parametrize(("old", "new"), [("RemoteBackend", "VllmServerBackend"), ("EventStream", "AnswerStream")])
def test_an_old_name_is_told_the_new_one(old: str, new: str) -> None:
    with pytest.raises(AttributeError, match=rf"^apar\.{old} is now apar\.{new}$"):
        getattr(apar, old)


def test_only_the_models_need_torch() -> None:
    light = [name for name in NAMES if name not in HEAVY]
    code = f"import sys, apar\nfor name in {light}: getattr(apar, name)\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "apar.decoding.params" in loaded
    assert not {"torch", "transformers"} & set(loaded)
