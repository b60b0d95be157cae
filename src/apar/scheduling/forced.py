"""Teacher forcing: threads of a forced answer take its tokens, whatever the model would say."""

from __future__ import annotations

from collections.abc import Sequence

from apar.decoding.group import Sampled
from apar.errors import RunError
from apar.scheduling.place import Place


def force_tokens(places: Sequence[Place], sampled: Sequence[Sampled | None]) -> list[Sampled | None]:
    """What was sampled at the places, with that of forced threads replaced by what their answer has next.

    A place whose logits are not numbers stays without a token. Raises RunError where a fork is against the grammar.
    """
    return [_force(place, token) for place, token in zip(places, sampled, strict=True)]


def _force(place: Place, sampled: Sampled | None) -> Sampled | None:
    group, thread = place.group, place.thread
    if group.forced is None or sampled is None:
        return sampled
    token = group.forced.threads[thread.path][place.index]
    if place.next and (token in thread.refused or token in place.banned):
        raise RunError(f"the forced answer of {group.name} forks against the grammar, in thread {thread.path}")
    return Sampled(token)
