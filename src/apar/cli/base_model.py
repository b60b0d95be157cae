"""The untaught base of a model: what decodes where forks are off, and what a taught model is held against."""

from __future__ import annotations

from typing import Any

import click

from apar.demo.base import base_name


def base_of(model: str, loading: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """A model without its adapter, and how it is loaded; None where the adapter is part of the weights.

    Medusa heads were trained on the model with the adapter: the base drafts without them.
    """
    kept = {name: value for name, value in loading.items() if name not in ("adapter", "medusa")}
    if kept.get("drafts") in ("medusa", "all"):
        kept["drafts"] = "off" if kept["drafts"] == "medusa" else "ngram"
    if "adapter" in loading:
        return model, kept
    base = base_name() if model == "demo" else None
    return None if base is None else (base, kept)


def to_load(model: str, loading: dict[str, Any], fork: bool) -> tuple[str, dict[str, Any]]:
    """What is to be loaded: with forks off the model without its adapter, which was taught to fork; a line says so."""
    base = None if fork else base_of(model, loading)
    if base is None:
        return model, loading
    adapter = loading.get("adapter", "its adapter")
    click.echo(f"apar: --fork off: {base[0]} decodes without {adapter}, which was trained to fork", err=True)
    if base[1].get("drafts") != loading.get("drafts") or "medusa" in loading:
        click.echo("apar: --fork off: it drafts without Medusa heads, which were trained with the adapter", err=True)
    return base
