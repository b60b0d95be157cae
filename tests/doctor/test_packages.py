from __future__ import annotations

import platform
from importlib import metadata

import pytest

from apar.doctor.packages import EXTRAS, package_checks, requirements
from apar.doctor.report import Check

REQUIRES = [
    "click>=8.1",
    "torch>=2.9; extra == 'local'",
    "transformers<5.20,>=5.16.1; extra == 'local'",
    "httpx[http2]>=0.27 ; extra == 'remote'",
    "triton>=3.5; (sys_platform == 'linux') and extra == 'dev'",
    "uvloop>=0.21; sys_platform == 'another' and extra == 'server'",
    "tomli>=2; python_version < '3'",
]


class Packages:
    """The packages of an environment, None for one whose metadata names no version."""

    def __init__(self) -> None:
        self.versions: dict[str, str | None] = {"click": "8.5.1", "torch": "2.13.0+cpu", "transformers": "5.19.0"}

    def version(self, name: str) -> str | None:
        if name not in self.versions:
            raise metadata.PackageNotFoundError(name)
        return self.versions[name]


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Packages:
    fake = Packages()
    monkeypatch.setattr(metadata, "requires", lambda name: REQUIRES)
    monkeypatch.setattr(metadata, "version", fake.version)
    return fake


def check(name: str) -> Check:
    return next(check for check in package_checks() if check.name == name)


def test_the_real_metadata_is_read() -> None:
    found = requirements()
    assert ("click", ">=8.1") in found[""]
    assert {"local", "data", "adapters"} <= found.keys()
    assert [check.name for check in package_checks()] == ["Python", "apar", *(f"extra {extra}" for extra in EXTRAS)]


def test_requirements_are_sorted_by_their_extra(packages: Packages) -> None:
    assert requirements() == {
        "": [("click", ">=8.1")],
        "local": [("torch", ">=2.9"), ("transformers", "<5.20,>=5.16.1")],
        "remote": [("httpx", ">=0.27")],
        "dev": [("triton", ">=3.5")],
    }


def test_what_is_there_is_named_with_its_version(packages: Packages) -> None:
    assert check("extra local").finding == ("ok", "torch 2.13.0+cpu, transformers 5.19.0", "")
    assert check("extra local").needed_by == ("local", "vllm")


def test_a_missing_package_is_named_with_how_to_install_it(packages: Packages) -> None:
    del packages.versions["transformers"]
    status, found, advice = check("extra local").finding
    assert (status, found) == ("missing", "torch 2.13.0+cpu")
    assert advice == "lacks transformers: pip install 'apar-llm[local]'"
    assert check("extra remote").finding[:2] == ("missing", "not installed")


@pytest.mark.parametrize("version", ["5.20.0", "4.57.1", None])
def test_a_version_out_of_bounds_is_broken(packages: Packages, version: str | None) -> None:
    packages.versions["transformers"] = version
    status, found, advice = check("extra local").finding
    assert status == "broken"
    assert f"transformers {version or 'unknown'}" in found
    assert advice == "needs transformers <5.20,>=5.16.1: pip install 'apar-llm[local]'"


def test_an_extra_that_the_installed_apar_does_not_know_is_broken(packages: Packages) -> None:
    status, found, advice = check("extra data").finding
    assert (status, found) == ("broken", "the installed apar-llm knows no such extra")
    assert "again" in advice


def test_apar_without_metadata_is_a_row_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    python, apar = package_checks()
    assert python.ok
    assert apar.finding.status == "broken"
    assert apar.finding.advice == "pip install apar-llm"
    assert "local" in apar.needed_by


def test_a_python_that_is_too_old_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.2")
    status, found, advice = package_checks()[0].finding
    assert status == "broken"
    assert found.startswith("3.10.2 on ")
    assert advice == "use a Python >=3.11"
