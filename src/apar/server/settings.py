"""What may be set of a server, apart from its connections."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from apar.errors import UserError

REMOTE = "remote"
"""The kind of a backend that is a server elsewhere."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`model` is the name that clients use and `backend` the kind of engine, which /version tells.

    At most `max_open` answers are under way or wait to be. An answer may take `request_seconds`; a stream is
    silent for `ping_seconds` at most. Raises UserError for values that mean nothing.
    """

    model: str
    backend: str
    max_open: int = 256
    request_seconds: float = 600.0
    ping_seconds: float = 15.0

    @property
    def version(self) -> str:
        """Of this package."""
        return version("apar-llm")

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise UserError("the served model has no name; give one")
        if self.max_open < 1:
            raise UserError(f"max_open is {self.max_open}; at least 1 answer must be allowed")
        for name in ("request_seconds", "ping_seconds"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must be above 0")
