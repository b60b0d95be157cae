"""`apar doctor` as a user runs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from apar.doctor import checks as doctor_checks
from apar.doctor.report import Check, Finding
from tests.cli.conftest import Run

Apar = Callable[..., Run]

OK = Finding("ok", "there")
MISSING = Finding("missing", "not [there]", "pip install 'apar-llm[vllm]'")


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Check]]:
    """What each part of the doctor finds; a test may change it."""
    found = {
        "package": [Check("apar", OK, ("local", "vllm", "server"))],
        "machine": [Check("PyTorch", OK, ("local", "vllm")), Check("C++ compiler", MISSING)],
        "vllm": [Check("vLLM", MISSING, ("vllm",))],
        "model": [Check("model", OK, ("model",))],
        "server": [Check("server", OK, ("server",))],
    }
    for name in found:
        monkeypatch.setattr(doctor_checks, f"{name}_checks", lambda *_, name=name: found[name])
    return found


def test_all_backends_are_told_and_none_is_binding(apar: Apar, checks: dict[str, list[Check]]) -> None:
    code, out, err = apar("doctor")
    assert (code, err) == (0, "")
    assert "not [there]" in out
    assert "→ pip install 'apar-llm[vllm]'" in out
    assert out.endswith("local: works\nvllm: does not work\n")


@pytest.mark.parametrize(
    ("arguments", "code", "subjects"),
    [
        (["--backend", "local"], 0, {"local": True}),
        (["--backend", "vllm"], 1, {"vllm": False}),
        (["m"], 0, {"local": True, "vllm": False, "model": True}),
        (["--url", "http://h"], 0, {"local": True, "vllm": False, "server": True}),
        (["m", "--backend", "vllm", "--url", "http://h"], 0, {"model": True, "server": True}),
    ],
)
def test_what_is_named_has_to_work(
    apar: Apar, checks: dict[str, list[Check]], arguments: list[str], code: int, subjects: dict[str, bool]
) -> None:
    run = apar("doctor", "--json", *arguments)
    report = json.loads(run.out)
    assert (run.code, report["works"], report["subjects"]) == (code, code == 0, subjects)


def test_without_rich_the_rows_are_plain(
    apar: Apar, checks: dict[str, list[Check]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    out = apar("doctor").out
    assert "\nvLLM  missing  not [there]  pip install 'apar-llm[vllm]'\n" in out
    assert out.endswith("local: works\nvllm: does not work\n")


def test_what_fails_is_named_on_standard_error(apar: Apar, checks: dict[str, list[Check]]) -> None:
    assert apar("doctor", "--backend", "vllm").err == "apar: vllm does not work: vLLM is missing\n"
    checks["model"] = [Check("control tokens", MISSING, ("model",))]
    checks["server"] = [Check("server", Finding("broken", "refused"), ("server",))]
    code, _, err = apar("doctor", "m", "--url", "http://h")
    assert code == 1
    assert err == "apar: model does not work: control tokens is missing; server does not work: server is broken\n"


def test_the_checks_are_one_line_of_json(apar: Apar, checks: dict[str, list[Check]]) -> None:
    out = apar("doctor", "--json", "--backend", "vllm").out
    assert out.count("\n") == 1
    assert json.loads(out)["checks"][-1] == {
        "name": "vLLM",
        "status": "missing",
        "found": "not [there]",
        "advice": "pip install 'apar-llm[vllm]'",
        "needed_by": ["vllm"],
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--url", "http://h", "--backend", "local"], "--url is of the vllm backend"),
        (["--api-key", "k"], "--api-key goes with --url"),
        (["--remote-model", "m"], "--remote-model goes with --url"),
        (["--url", "h:8000"], "give its address as http://host:8000"),
        (["--backend", "other"], "'other' is not one of"),
    ],
)
def test_a_mistake_ends_with_exit_code_two(apar: Apar, arguments: list[str], told: str) -> None:
    code, out, err = apar("doctor", *arguments)
    assert (code, out) == (2, "")
    assert told in err


def test_the_real_installation_is_looked_at(apar: Apar, tiny: Path) -> None:
    code, out, _ = apar("doctor", "--json", tiny, "--backend", "local")
    report = json.loads(out)
    assert (code, report["asked"]) == (0, ["local", "model"])
    assert {"Python", "apar", "PyTorch", "control tokens"} <= {check["name"] for check in report["checks"]}
