"""Reading an answer whose threads were decoded elsewhere, of which the tokens of each step arrive in path order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from apar.decoding.group import Group, Sampled
from apar.decoding.lockstep import complete_step
from apar.errors import RunError


class StepDecoder:
    """Completes a group's logical steps with the tokens that belong to them."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._tokens: deque[Sampled] = deque()

    def feed(self, tokens: Sequence[Sampled]) -> None:
        """Take in the next tokens, of a part of a step or of several.

        Raises RunError where the core has other rules.
        """
        self._tokens.extend(tokens)
        group = self._group
        while not group.done and len(self._tokens) >= len(group.threads):
            for thread in group.threads:
                thread.ahead.append(self._tokens.popleft())
            if complete_step(group).refused:
                raise RunError(f"vLLM counted a token of {group.name} that the grammar forbids: run one version")
