"""One row of the doctor's table, and the guard that makes a row of whatever goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

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


def examine(name: str, needed_by: tuple[str, ...], look: Callable[[], Finding], advice: str = "") -> Check:
    """The check that `look` makes; where it raises, a broken one with the reason and the advice."""
    try:
        finding = look()
    except Exception as error:  # a broken installation raises whatever it likes
        finding = Finding("broken", reason(error), advice)
    return Check(name, finding, needed_by)


def reason(error: BaseException) -> str:
    """An exception on one line; those of apar tell all by their message."""
    if isinstance(error, AparError):
        return str(error)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def lacking(checks: Iterable[Check], subject: str) -> list[Check]:
    """The checks that keep a subject from working."""
    return [check for check in checks if subject in check.needed_by and not check.ok]
