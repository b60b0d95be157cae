"""All checks of one call, and whether what was asked for works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apar.doctor.check import Check, lacking
from apar.doctor.machine import machine_checks
from apar.doctor.model import model_checks
from apar.doctor.packages import package_checks
from apar.doctor.server import Server, server_checks
from apar.doctor.vllm import vllm_checks

BACKENDS = ("local", "vllm")


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


def diagnose(
    model: str | None = None, backend: str | None = None, server: Server | None = None, served_model: str | None = None
) -> Diagnosis:
    """Look at this installation, and at a model and a server where they are given.

    A backend that is named has to work, and so have the model and the server; with none named the backends are
    looked at for information. A server stands for the vLLM backend: vLLM need not be installed here then.
    """
    backends = _backends(backend, server)
    checks = [*package_checks(), *machine_checks()]
    if "vllm" in backends:
        checks += vllm_checks()
    if model is not None:
        checks += model_checks(model)
    if server is not None:
        checks += server_checks(server, model, served_model)
    given = [name for name, value in (("model", model), ("server", server)) if value is not None]
    asked = [backend] if backend and server is None else []
    return Diagnosis(tuple(checks), (*asked, *given), (*backends, *given))


def _backends(backend: str | None, server: Server | None) -> tuple[str, ...]:
    """The backends of this installation that are looked at."""
    if backend is None:
        return BACKENDS
    return () if server is not None else (backend,)
