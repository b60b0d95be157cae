"""The tree of exceptions. A message says what is wrong, where, and what to do."""

from __future__ import annotations

from typing import Self


class AparError(Exception):
    """Any error that the user should read as one line. `exit_code` is what the command line ends with."""

    exit_code = 1


class UserError(AparError):
    """The input or the request is wrong: a file, a format, an option, a model. The user can mend it."""

    exit_code = 2


class TreeError(UserError):
    """A paragraph tree breaks a rule of its form."""


class ModelError(UserError):
    """A model cannot be found, loaded, or used for parallel decoding."""


class ConfigError(UserError):
    """A configuration has an unknown key or a value that does not fit."""


class RequestError(UserError):
    """A generation request cannot be served as asked."""


class ContextError(RequestError):
    """A prompt is too long for the model's context."""

    @classmethod
    def of(cls, context: int, reason: str) -> Self:
        """The error for a context of so many tokens, in the words by which clients know it."""
        return cls(f"the prompt is too long: this model's maximum context length is {context} tokens, {reason}")


class BusyError(RequestError):
    """Too many requests wait already; this one can be asked again later."""


class RunError(AparError):
    """Something failed while running, through no fault of the input."""
