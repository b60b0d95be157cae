"""A config error says which key is wrong and what was probably meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from apar.config import Section, load_config
from apar.corpus.config import ExtractConfig
from apar.errors import ConfigError
from apar.eval.plan import Plan
from apar.train.recipe import Recipe

GOOD = "output: out\nstart: {model: demo}\ntrees: [trees.jsonl]\nmax_length: 128\nbatch_tokens: 256\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD)
    return path


def test_a_good_config_is_read_with_its_defaults(config: Path) -> None:
    recipe = load_config(config, Recipe)
    assert (recipe.start.model, recipe.steps, recipe.optimizer.learning_rate) == ("demo", 2000, 2e-5)


def test_overrides_replace_values_at_any_depth(config: Path) -> None:
    recipe = load_config(config, Recipe, ["steps=7", "optimizer.name=muon", "held_out=[a.jsonl, b.jsonl]"])
    held_out = tuple(path.name for path in recipe.held_out)
    assert (recipe.steps, recipe.optimizer.name, held_out) == (7, "muon", ("a.jsonl", "b.jsonl"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("step=7", "unknown key step; did you mean steps?"),
        ("optimizer.learning_rat=1", "unknown key optimizer.learning_rat; did you mean learning_rate?"),
        ("steps=many", "steps: Input should be a valid integer"),
        ("steps=0", "steps: Input should be greater than 0"),
        ("steps", "write it as key=value"),
        ("steps.more=1", "steps is a value|steps: Input should be a valid integer"),
        ("start={model: a, shape: {}}", "give either model"),
        ("batch_tokens=64", "batch_tokens .64. is less than max_length .128."),
        ("steps=[", "the value is not YAML"),
        ("mix.languages=[en]", "mix.languages is no longer a key; use filters.languages of `apar extract`"),
        ("mix.held_out=0.01", "mix.held_out is no longer a key; use split.held_out of `apar extract`, and the file"),
    ],
)
def test_a_wrong_override_names_the_key_and_the_mend(config: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(config, Recipe, [override])


def test_an_old_key_of_an_evaluation_says_what_took_its_place(tmp_path: Path) -> None:
    path = tmp_path / "evaluate.yaml"
    path.write_text("model: demo\ntrees: [a.jsonl]\nmix: {languages: [en]}\n")
    with pytest.raises(ConfigError, match=r"mix is no longer a key; use `apar extract` to choose answers"):
        load_config(path, Plan)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n", "holds no keys"),
        ("a: [", "is not YAML"),
        ("", "holds no keys"),
        ("stepps: 1\n" + GOOD, "did you mean steps?"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path, Recipe)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the config .*none\.yaml: No such file"):
        load_config(tmp_path / "none.yaml", Recipe)


class Renamed(Section):
    renamed: ClassVar[Mapping[str, str]] = {"old": "limits.new", "gone": "`apar extract --set filters.gone`"}
    new: int = 0


class Outer(Section):
    renamed: ClassVar[Mapping[str, str]] = {"top": "inner.new"}
    inner: Renamed = Renamed()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("top=1", "top is no longer a key; use inner.new"),
        ("inner.old=1", "inner.old is no longer a key; use limits.new"),
        ("inner.gone=1", "inner.gone is no longer a key; use `apar extract --set filters.gone`"),
        ("inner.nev=1", "unknown key inner.nev; did you mean new?"),
    ],
)
def test_a_renamed_key_is_answered_with_its_new_name(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(None, Outer, [override])
    assert str(caught.value) == message


def test_every_shipped_recipe_is_valid() -> None:
    recipes = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
    assert recipes
    for path in recipes:
        kind: type[Section] = Plan if path.stem.endswith("evaluate") else Recipe
        load_config(path, ExtractConfig if path.stem.endswith("extract") else kind)
