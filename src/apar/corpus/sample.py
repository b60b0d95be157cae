"""A sample of records: each is as likely to be in it, and the same data give the same sample."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar("Item")


def sampled(items: Iterable[Item], size: int, seed: int = 0) -> list[Item]:
    """`size` of the items, or all if there are fewer, in their order; only the sample is held."""
    chance = random.Random(seed)
    held: list[tuple[int, Item]] = []
    for number, item in enumerate(items):
        if len(held) < size:
            held.append((number, item))
        elif (place := chance.randrange(number + 1)) < size:
            held[place] = (number, item)
    return [item for _, item in sorted(held, key=lambda pair: pair[0])]
