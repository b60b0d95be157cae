"""Options that make no sense are refused before anything is asked."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from apar.backends.vllm_server import VllmServerBackend
from apar.errors import UserError


@pytest.mark.parametrize("option", [{"timeout": 0}, {"timeout": float("nan")}, {"max_connections": 0}, {"ranks": 0}])
def test_options_out_of_range_are_refused(folder: Path, option: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(option))):
        VllmServerBackend(folder, "http://127.0.0.1:9", **option)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://host", "http://", "http://host:port", "file:///models"])
def test_what_is_no_url_is_refused(folder: Path, url: str) -> None:
    with pytest.raises(UserError, match="is no URL"):
        VllmServerBackend(folder, url)


def test_a_key_that_no_request_can_carry_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="the API key has characters"):
        VllmServerBackend(folder, "http://127.0.0.1:9", api_key="schlüssel")


def test_without_httpx_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def find_others(name: str) -> ModuleSpec | None:
        return None if name == "httpx" else find(name)

    monkeypatch.setattr(importlib.util, "find_spec", find_others)
    with pytest.raises(UserError, match=r"httpx.*apar-llm\[remote\]"):
        VllmServerBackend(folder, "http://127.0.0.1:9")
