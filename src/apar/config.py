"""Reading configuration files: YAML checked against a pydantic model, with errors that name the mend."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from apar.errors import ConfigError


class Section(BaseModel):
    """A part of a configuration: frozen, and an unknown key is an error.

    `renamed` maps each key that stood here before to what replaces it, for the error that names the new key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    renamed: ClassVar[Mapping[str, str]] = {}


SectionType = TypeVar("SectionType", bound=Section)


def load_config(
    path: Path | None,
    kind: type[SectionType],
    overrides: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
) -> SectionType:
    """Read `path` as a `kind`; `overrides` are `key.subkey=value` with values in YAML.

    The file's keys go over those of `base`, section by section; without a file, `base` is all there is. Raises
    ConfigError naming the file, the key, and for an unknown key its new name or the nearest known one.
    """
    data = _merged(base or {}, _read(path) if path is not None else {})
    for override in overrides:
        _override(data, override)
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        where = f"{path}: " if path is not None else ""
        raise ConfigError(where + "; ".join(_explain(kind, e) for e in error.errors())) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds no keys; a config is a mapping of keys to values")
    return data


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write it as key=value, for example --set steps=100")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not YAML") from error
    *parents, last = key.split(".")
    for parent in parents:
        below = data.setdefault(parent, {})
        if not isinstance(below, dict):
            raise ConfigError(f"--set {override}: {parent} is a value, not a section")
        data = below
    data[last] = parsed


def _explain(kind: type[Section], error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "the config"
    if error["type"] != "extra_forbidden":
        return f"{key}: {error['msg'].removeprefix('Value error, ')}"
    *parents, name = map(str, error["loc"])
    section = _section(kind, parents)
    if section is not None and name in section.renamed:
        return f"{key} is no longer a key; use {section.renamed[name]}"
    known = section.model_fields if section is not None else ()
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"unknown key {key}" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _section(kind: type[Section], parents: Sequence[str]) -> type[Section] | None:
    """The section of `kind` at these keys, where its type says that there is one."""
    for parent in parents:
        annotation = kind.model_fields[parent].annotation if parent in kind.model_fields else None
        types = (annotation, *getattr(annotation, "__args__", ()))
        sections = [each for each in types if isinstance(each, type) and issubclass(each, Section)]
        if not sections:
            return None
        kind = sections[0]
    return kind
