"""Everything that an extraction can be told, in one configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from apar.config import Section
from apar.corpus.choice import ChoiceConfig
from apar.corpus.duplicates import DuplicateConfig
from apar.corpus.filters import FilterConfig
from apar.corpus.split import SplitConfig
from apar.data.formats import Turns
from apar.data.forms.field_map import NAMES
from apar.structure.config import DEFAULT, PAPER, StructureConfig

Preset = Literal["default", "paper"]


class ExtractConfig(Section):
    """The knobs of `apar extract`; recipes/extract.yaml shows them all."""

    structure: StructureConfig = DEFAULT
    """How trees are read out of answers."""
    turns: Turns = "every"
    """Whether every answer of a conversation is used, or the last."""
    map: dict[str, str] = Field(default_factory=dict)
    """For keys of a known form, such as `prompt` and `response`, the fields of the records that hold them; `a.b` is
    the field `b` of the object `a`."""
    filters: FilterConfig = Field(default_factory=FilterConfig)
    """Which answers are left out."""
    duplicates: DuplicateConfig = Field(default_factory=DuplicateConfig)
    """Which answers are taken to be the same."""
    choice: ChoiceConfig = Field(default_factory=ChoiceConfig)
    """Which of several answers to the same messages are kept."""
    split: SplitConfig = Field(default_factory=SplitConfig)
    """What is held out, and the mix of structured and unstructured answers."""

    @field_validator("map")
    @classmethod
    def _known(cls, fields: dict[str, str]) -> dict[str, str]:
        for name in fields:
            if name not in NAMES:
                raise ValueError(f"{name} is no key that a field can be read as; those are {', '.join(NAMES)}")
        return fields


def preset(name: Preset) -> dict[str, object]:
    """The keys of a preset, on which a config file and `--set` go on: ours, or the paper's rules of structure."""
    return {} if name == "default" else {"structure": PAPER.model_dump()}


def configuration(file: Path | None, preset_name: Preset, overrides: tuple[str, ...]) -> ExtractConfig:
    """The configuration of a preset, a file and overrides `key=value`. Raises ConfigError where one is wrong."""
    from apar.config import load_config

    return load_config(file, ExtractConfig, overrides, base=preset(preset_name))
