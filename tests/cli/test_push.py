"""`apar push`: what is uploaded, and one clear line for what is not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi
from huggingface_hub.errors import LocalTokenNotFoundError

from apar.cli import cli
from apar.errors import AparError


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "README.md").write_text("# card")
    return folder


def test_a_folder_is_uploaded_without_what_only_training_needs(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(HfApi, "create_repo", lambda self, name, **options: asked.update(name=name, **options))

    def upload(self: HfApi, **options: Any) -> Any:
        asked.update(options)
        return SimpleNamespace(commit_url="https://hub/commit/1")

    monkeypatch.setattr(HfApi, "upload_folder", upload)
    result = CliRunner().invoke(cli, ["push", str(adapter), "me/forks", "--private"])
    assert result.output == "https://hub/commit/1\n"
    assert asked["private"] is True
    assert asked["repo_id"] == asked["name"] == "me/forks"
    assert asked["folder_path"] == adapter
    assert "checkpoints/*" in asked["ignore_patterns"]


@pytest.mark.parametrize(
    ("missing", "name", "message"),
    [
        ("adapter_config.json", "me/forks", "holds no adapter, heads or model"),
        ("README.md", "me/forks", "write a card"),
        (None, "forks", "OWNER/NAME"),
        (None, "me/for ks", "refuses the name"),
    ],
)
def test_what_cannot_be_pushed_is_one_line(adapter: Path, missing: str | None, name: str, message: str) -> None:
    if missing:
        (adapter / missing).unlink()
    result = CliRunner().invoke(cli, ["push", str(adapter), name])
    assert isinstance(result.exception, AparError)
    assert message in str(result.exception)


def test_without_a_token_the_way_to_one_is_said(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: HfApi, name: str, **options: Any) -> None:
        raise LocalTokenNotFoundError("Token is required")

    monkeypatch.setattr(HfApi, "create_repo", refuse)
    result = CliRunner().invoke(cli, ["push", str(adapter), "me/forks"])
    assert "hf auth login" in str(result.exception)
