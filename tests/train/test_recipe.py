"""The recipes that are shipped can be read, and what does not go together is said before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from apar.config import load_config
from apar.errors import ConfigError
from apar.train.arguments import accumulation
from apar.train.recipe import Recipe

RECIPES = Path(__file__).parents[2] / "recipes"
BASE: dict[str, Any] = {"output": "o", "start": {"model": "m"}, "trees": ["t"]}


def trainings() -> list[Path]:
    found = {path: yaml.safe_load(path.read_text()) for path in sorted(RECIPES.glob("*.yaml"))}
    return [path for path, data in found.items() if "start" in data]


@pytest.mark.parametrize("path", trainings(), ids=lambda path: path.stem)
def test_a_shipped_recipe_is_read(path: Path) -> None:
    recipe = load_config(path, Recipe)
    assert accumulation(recipe, processes=1) * recipe.packs_per_pass == recipe.packs_per_step


def test_the_twin_differs_from_its_model_in_the_forks_alone() -> None:
    model, twin = (load_config(RECIPES / name, Recipe).model_dump() for name in ("smollm2.yaml", "smollm2-twin.yaml"))
    assert {key for key in model if model[key] != twin[key]} == {"output", "mode"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_tokens": 100}, r"batch_tokens \(100\) is less than max_length"),
        ({"kind": "heads", "lora": {}}, "leave lora out"),
        ({"kind": "heads", "gradient_checkpointing": True}, "no gradient_checkpointing"),
        ({"lora": {}, "start": {"model": "m", "adapter": "a"}}, "on top of start.adapter"),
        ({"lora": {"quantize": "nf4"}, "merge": True}, "4 bits are not merged"),
        ({"held_out": ["h"], "evaluate_every": 30, "checkpoint_every": 60}, "make checkpoint_every .60. and"),
        ({"start": {}}, "give either model"),
        ({"optimizer": {"schedule": "linear"}}, "schedule"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**BASE, **changes}))
    with pytest.raises(ConfigError, match=message):
        load_config(path, Recipe)


def test_packs_that_cannot_be_split_among_processes_are_refused() -> None:
    recipe = Recipe.model_validate({**BASE, "max_length": 10, "batch_tokens": 60, "micro_batch_tokens": 20})
    assert accumulation(recipe, processes=3) == 1
    with pytest.raises(ConfigError, match=r"6 packs .* 2 packs .* on 2 processes"):
        accumulation(recipe, processes=2)
