from __future__ import annotations

import json
from pathlib import Path

import pytest

from apar.demo.base import base_name


def test_the_base_of_the_shipped_adapter_is_the_one_that_it_names(tmp_path: Path) -> None:
    file = tmp_path / "apar.json"
    file.write_text(json.dumps({"base": {"name": "owner/base", "fingerprint": "00"}}), encoding="utf-8")
    assert base_name(file) == "owner/base"


@pytest.mark.parametrize("text", [None, "{", "[]", '{"base": {}}', '{"base": {"name": 1}}'])
def test_without_a_name_there_is_no_base(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "apar.json"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    assert base_name(file) is None
