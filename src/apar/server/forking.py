"""What forks the answers of a server: what a request asks for, or else what the server was started with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from apar.backends.backend import Backend
from apar.decoding.answer import Forker
from apar.decoding.params import SamplingParams
from apar.errors import UserError
from apar.server.errors import ApiError
from apar.server.protocol.fields import ForkPolicy, Parallel
from apar.tokens import ControlTokens


@dataclass(frozen=True, slots=True)
class Forking:
    """What forks, and how many items a list has at most that rules fork. `auto`: the model where it can, else off."""

    policy: ForkPolicy = "auto"
    max_items: int | None = None

    def forker(self, backend: Backend) -> Forker:
        """What forks with a backend."""
        if self.policy == "auto":
            return "model" if backend.forks else "off"
        return self.policy

    def applied(self, params: SamplingParams, backend: Backend) -> SamplingParams:
        """The parameters of an answer with it."""
        forker = self.forker(backend)
        if forker != "rules":
            return replace(params, fork=forker == "model")
        return replace(params, fork=True, fork_by="rules", max_items=self.max_items)

    def check(self, backend: Backend) -> None:
        """Raise ModelError or UserError where a backend cannot fork so."""
        forker = self.forker(backend)
        if forker == "model" and not backend.forks:
            ControlTokens.of(backend.tokenizer)  # raises, naming what is missing
        if forker == "rules" and not backend.limits.by_rules:
            raise UserError(f"{backend.limits.engine} cannot fork by the form of the text; leave --fork rules out")

    def note(self, backend: Backend) -> str | None:
        """What is to be said where `auto` comes to no forks."""
        if self.policy != "auto" or backend.forks:
            return None
        told = "--fork auto: the model was not trained to fork, and answers have one thread"
        if not backend.limits.by_rules:
            return told
        return f"{told}; --fork rules would fork where the form of the text tells items of a list"


def requested(asked: Parallel, default: Forking, backend: Backend) -> Forking:
    """What forks the answers to a request: what was `asked`, else the default.

    Raises ApiError where the backend cannot fork so, and where items are limited of lists that nothing forks by rules.
    """
    policy = "rules" if asked.fork is True and default.policy == "rules" else asked.fork_policy
    forking = Forking(policy or default.policy, asked.max_items or default.max_items)
    forker = forking.forker(backend)
    if forker == "rules" and not backend.limits.by_rules:
        message = f"{backend.limits.engine} cannot fork by the form of the text; leave fork 'rules' out"
        raise ApiError(400, message, param="apar.fork", code="unsupported_field")
    if forker != "rules" and asked.max_items is not None:
        message = "max_items is of lists that are forked by rules; set fork to 'rules', or leave max_items out"
        raise ApiError(400, message, param="apar.max_items", code="invalid_value")
    return forking
