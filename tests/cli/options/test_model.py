"""The options of a model are the same for every command that loads one, and reach the engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.scripted import ScriptedLLM

Apar = Callable[..., Run]

EVERYTHING = ["--dtype", "bfloat16", "--device", "cpu", "--adapter", "folder", "--quantize", "int8",
              "--num-blocks", 7, "--kv-memory", "1GiB", "--max-rows", 3, "--cpu-threads", 2,
              "--medusa", "heads", "--drafts", "ngram"]  # fmt: skip


@pytest.mark.parametrize("command", [["generate", "any", "Q"], ["demo", "--count", 1, "--skip-base"]])
def test_options_that_are_given_are_arguments_of_the_model(
    apar: Apar, scripted: ScriptedLLM, command: list[str]
) -> None:
    assert apar(*command).code == 0
    assert scripted.loading == {}
    assert apar(*command, *EVERYTHING).code == 0
    assert scripted.loading == {
        "dtype": "bfloat16", "device": "cpu", "adapter": "folder", "quantize": "int8", "num_blocks": 7,
        "kv_memory": "1GiB", "max_rows": 3, "cpu_threads": 2, "medusa": "heads", "drafts": "ngram",
    }  # fmt: skip


def test_a_real_model_is_loaded_as_asked(apar: Apar, tiny: Path) -> None:
    run = apar("generate", tiny, "Q", "--quantize", "int8", "--kv-memory", "64KiB", "--max-tokens", 5, "--json")
    assert (run.code, json.loads(run.out)["tokens"]) == (0, 5)


def test_heads_of_another_model_are_refused_when_it_is_loaded(apar: Apar, tiny: Path, tmp_path: Path) -> None:
    from apar.models.head_files import save_heads
    from apar.models.heads import HeadsShape, MedusaHeads

    save_heads(MedusaHeads(HeadsShape(12, 34)), tmp_path / "heads")
    code, out, err = apar("generate", tiny, "Q", "--medusa", tmp_path / "heads")
    assert (code, out) == (2, "")
    assert "are of another model: they have 12 channels and 34 tokens" in err
    assert err.count("\n") == 1


def test_drafts_change_no_text_and_are_told(apar: Apar, tiny: Path) -> None:
    plain, drafted = (
        json.loads(apar("generate", tiny, "Q", "--max-tokens", 40, "--json", *options).out)
        for options in ([], ["--drafts", "ngram"])
    )
    assert drafted["text"] == plain["text"]
    assert (plain["drafted"], plain["accepted"]) == ([], [])
    assert drafted["tokens_per_pass"] == 40 / drafted["forward_passes"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dtype", "float8"], "dtype is 'float8'"),
        (["--device", "cudda"], "the device 'cudda' cannot be used"),
        (["--adapter", "/nowhere"], "there is no adapter folder /nowhere"),
        (["--quantize", "int3"], "quantize is 'int3'"),
        (["--quantize", "int4", "--dtype", "float32"], "in bfloat16, not float32"),
        (["--num-blocks", 0], "num_blocks is 0"),
        (["--kv-memory", "much"], "kv_memory is 'much'"),
        (["--kv-memory", "1KiB"], "set kv_memory to more"),
        (["--num-blocks", 9, "--kv-memory", "1GiB"], "give one of them"),
        (["--max-rows", 0], "max_rows is 0"),
        (["--drafts", "eagle"], "drafts is 'eagle'; it must be one of medusa, ngram, all, off"),
        (["--drafts", "medusa"], "there are no heads: name their folder with medusa, or take 'ngram'"),
        (["--medusa", "/nowhere"], "there is no heads folder /nowhere"),
    ],
)
def test_a_value_that_does_not_fit_is_one_line_and_exit_code_two(
    apar: Apar, tiny: Path, options: list[str], message: str
) -> None:
    code, out, err = apar("generate", tiny, "Q", *options)
    assert (code, out) == (2, "")
    assert err.startswith("apar: ")
    assert message in err
    assert err.count("\n") == 1
