"""What drafts are made by, as a user names it, and the heads that belong to a model."""

from __future__ import annotations

import os
from typing import Any, Literal, cast, get_args

from apar import demo
from apar.engine.drafts.setup import DraftSetup
from apar.errors import RequestError
from apar.models.head_files import check_base, check_fit, load_heads
from apar.models.model_source import DEMO

DraftKind = Literal["medusa", "ngram", "all", "off"]
"""Drafts by Medusa heads, by what was said before, by both, or none."""


def draft_kind(name: str | None, heads: str | os.PathLike[str] | None = None) -> DraftKind | None:
    """The kind of that name, None where none was named. Raises RequestError for another name, and where `heads` are
    named that it has no use for.
    """
    if name == "ngram" and heads is not None:
        raise RequestError(f"drafts is 'ngram', which uses no heads: leave out medusa ({heads}), or take 'all'")
    if name is not None and name not in get_args(DraftKind):
        raise RequestError(f"drafts is {name!r}; it must be one of {', '.join(get_args(DraftKind))}")
    return cast(DraftKind | None, name)


def heads_of(model: str | os.PathLike[str], heads: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """The heads that were named for a model, or those that come with it; None where there are none."""
    return demo.heads_folder() if heads is None and model == DEMO else heads


def draft_setup(
    model: Any,
    tokenizer: Any,
    heads: str | os.PathLike[str] | None,
    kind: DraftKind | None,
    adapter: str | None = None,
) -> DraftSetup | None:
    """What makes the drafts for a loaded model; None where there are to be none. `adapter` is what it was taught by.

    Raises RequestError where drafts by heads are asked for and there are none, ModelError for heads that cannot be
    read or are of another model.
    """
    kind = kind or ("all" if heads is not None else "off")
    if kind == "off":
        return None
    if kind == "ngram":
        return DraftSetup()
    if heads is None:
        raise RequestError(f"drafts is {kind!r} and there are no heads: name their folder with medusa, or take 'ngram'")
    loaded = load_heads(heads, model.dtype)
    check_fit(loaded, model, str(heads))
    check_base(heads, model, tokenizer, adapter)
    return DraftSetup(loaded.to(model.device), ngram=kind == "all")
