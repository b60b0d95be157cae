"""The rows of the doctor's table, and what they say about each backend, model and server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from apar.errors import AparError

Status = Literal["ok", "missing", "broken"]


class Finding(NamedTuple):
    """What a check found, and what to do about it; `advice` is empty where there is nothing to do."""

    status: Status
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A finding by its name. `needed_by` are the subjects that do not work unless it is ok."""

    name: str
    finding: Finding
    needed_by: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.finding.status == "ok"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The checks in the order of the table; `asked` are the subjects that have to work, `shown` all there are."""

    checks: tuple[Check, ...]
    asked: tuple[str, ...]
    shown: tuple[str, ...]

    @property
    def failed(self) -> dict[str, list[Check]]:
        """What was asked for and does not work, with the checks that say so."""
        return {subject: checks for subject in self.asked if (checks := lacking(self.checks, subject))}

    def works(self, subject: str) -> bool:
        return not lacking(self.checks, subject)

    def to_dict(self) -> dict[str, Any]:
        return {
            "works": not self.failed,
            "asked": list(self.asked),
            "subjects": {subject: self.works(subject) for subject in self.shown},
            "checks": [
                {"name": check.name, **check.finding._asdict(), "needed_by": list(check.needed_by)}
                for check in self.checks
            ],
        }


def examine(name: str, needed_by: tuple[str, ...], look: Callable[[], Finding], advice: str = "") -> Check:
    """The check that `look` makes; where it raises, a broken one with the reason and the advice."""
    try:
        finding = look()
    except Exception as error:  # a broken installation raises whatever it likes
        finding = Finding("broken", reason(error), advice)
    return Check(name, finding, needed_by)


def reason(error: BaseException) -> str:
    """An exception on one line; those of apar say all by their message."""
    if isinstance(error, AparError):
        return str(error)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def lacking(checks: Iterable[Check], subject: str) -> list[Check]:
    """The checks that keep a subject from working."""
    return [check for check in checks if subject in check.needed_by and not check.ok]
