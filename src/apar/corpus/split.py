"""What is held out, and the mix of structured and unstructured answers: by hashes, so that no order matters."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, get_args

from pydantic import Field

from apar.config import Section
from apar.data.records import first_question
from apar.structure.labels import Reason
from apar.tokens import Message

Kind = Literal["structured", "code", "mathematics", "dialogue", "story", "short", "prose"]
"""What an answer is to a mix: structured, or why it is not."""

KINDS: tuple[Kind, ...] = get_args(Kind)
_KINDS: dict[Reason, Kind] = {
    "code": "code",
    "code_continued": "code",
    "formula": "mathematics",
    "derivation": "mathematics",
    "counting": "mathematics",
    "dialogue": "dialogue",
    "letter": "dialogue",
    "narrative": "story",
    "short_lines": "story",
}
_SHORT_CHARS = 200


class SplitConfig(Section):
    """How much is held out and what mix is kept. By default all is kept and nothing held out."""

    held_out: float = Field(default=0.0, ge=0, lt=1)
    """The share of prompts held out, with all answers to them."""
    structured: float | None = Field(default=None, gt=0, lt=1)
    """The share of structured answers to be had by leaving out some of the kind there is too much of."""
    at_most: Mapping[Kind, int] = Field(default_factory=dict)
    """How many answers of a kind are kept at most."""
    unstructured_per_source: Mapping[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """How many unstructured answers of a source are kept at most, beside those held out; a hash draws them."""
    seed: int = 0


def kind_of(reason: Reason | None, chars: int) -> Kind:
    """The kind of an answer with `chars` characters that is unstructured for `reason`, or structured."""
    if reason is None:
        return "structured"
    return _KINDS.get(reason, "short" if chars < _SHORT_CHARS else "prose")


def is_held_out(messages: Sequence[Message], config: SplitConfig) -> bool:
    """Whether the answers to a prompt are held out, by its first question, so that no chat is on both sides."""
    return config.held_out > 0 and _chance(f"{config.seed} held out {first_question(messages)}") < config.held_out


def shares(counts: Counter[Kind], config: SplitConfig) -> dict[Kind, float]:
    """The share to keep of each kind, of which there are `counts`."""
    keep: dict[Kind, float] = dict.fromkeys(KINDS, 1.0)
    for kind, most in config.at_most.items():
        keep[kind] = min(1.0, most / counts[kind]) if counts[kind] else 1.0
    left = {kind: counts[kind] * keep[kind] for kind in KINDS}
    structured = left["structured"]
    others = sum(left.values()) - structured
    if config.structured is None or not structured or not others:
        return keep
    # So many unstructured answers go with each structured one.
    ratio = (1 - config.structured) / config.structured
    keep["structured"] *= min(1.0, others / (structured * ratio))
    for kind in KINDS:
        if kind != "structured":
            keep[kind] *= min(1.0, structured * ratio / others)
    return keep


def is_kept(identity: str, share: float, config: SplitConfig) -> bool:
    """Whether the answer `identity` is among the share of its kind that is kept."""
    return share >= 1 or _chance(f"{config.seed} mix {identity}") < share


def lot(name: str, identity: str, config: SplitConfig) -> int:
    """The lot of the answer `identity` in the draw `name`: a number below 2^64, whatever the order of the answers."""
    return _hash(f"{config.seed} {name} {identity}")


def _chance(text: str) -> float:
    """A number from 0 to 1 that the text decides."""
    return _hash(text) / 2**64


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")
