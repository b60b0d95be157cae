"""The model card of what a training leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from apar.data.records import expand
from apar.train.recipe import Recipe


def model_card(recipe: Recipe, losses: Mapping[str, float], data: Mapping[str, Any]) -> str:
    """The text of README.md: what it is, what it learned from, by which recipe, how good it is, how to use it."""
    return "\n".join(_lines(recipe, losses, data)) + "\n"


def _lines(recipe: Recipe, losses: Mapping[str, float], data: Mapping[str, Any]) -> Iterator[str]:
    base = recipe.start.model
    yield "---"
    yield yaml.safe_dump(_front_matter(recipe), sort_keys=True).strip()
    yield "---"
    yield f"# {recipe.output.name}"
    yield ""
    start = f"`{base}`" if base else "random weights"
    if recipe.kind == "heads":
        yield (
            f"{recipe.heads.heads} Medusa heads of {recipe.heads.layers} layers for {start}"
            + (f" with the adapter `{recipe.start.adapter}`." if recipe.start.adapter else ".")
        )
    elif recipe.mode == "forked":
        yield (
            f"{start}, taught by APAR to mark with `[Fork]` where its answer may be decoded in parallel: after the "
            "lead of a list item, whose detail is decoded beside the rest of the list."
        )
    else:
        yield f"{start}, trained on the same answers as plain text: the sequential twin of a model that forks."
    yield ""
    yield "## Use"
    yield ""
    yield "```sh"
    yield _command(recipe)
    yield "```"
    yield ""
    yield "## Data"
    yield ""
    yield (
        f"{data['samples']:,} answers, {data['structured']:,} of them structured, {data['tokens']:,} tokens in all; "
        f"{data['too_long']:,} longer than {recipe.max_length} tokens were left out"
        + (f", and {data['refused']:,} that the chat template refuses." if data.get("refused") else ".")
    )
    for path in recipe.trees:
        for report in _data_cards(path):
            yield f"What they are, and their licences: see the data card of `{report}`."
    yield ""
    yield "Answers that other companies' models wrote may come under those models' terms."
    yield ""
    yield "## Training"
    yield ""
    yield "```yaml"
    said = recipe.model_dump(mode="json", exclude_defaults=True, exclude={"output"})
    yield yaml.safe_dump(said, sort_keys=False).strip()
    yield "```"
    if losses:
        yield ""
        yield "Held-out loss, in nats a token:"
        yield ""
        yield "| answers and tokens | loss |"
        yield "|---|---|"
        for name, value in losses.items():
            yield f"| {name.replace('_', ' ')} | {value:.4f} |"


def _command(recipe: Recipe) -> str:
    """How to use it; FOLDER is where the card is."""
    if recipe.kind == "heads":
        return "# see docs/heads.md: they are loaded beside the model that they were trained on"
    adapter = f"{recipe.start.model} --adapter " if recipe.lora and not recipe.merge else ""
    return f'apar generate {adapter}FOLDER "What helps against jet lag?"'


def _data_cards(path: Path) -> Iterator[str]:
    """The files of extraction's data cards beside the trees."""
    for file in expand([path]):
        if (card := file.parent / "card.md").is_file():
            yield str(card)


def _front_matter(recipe: Recipe) -> dict[str, Any]:
    """What the hub reads of a card."""
    said: dict[str, Any] = {"library_name": "peft" if recipe.lora else "transformers", "tags": ["apar"]}
    base = recipe.start.model
    if base is not None and re.fullmatch(r"[\w.-]+/[\w.-]+", base):
        said["base_model"] = base
    return said
