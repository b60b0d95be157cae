"""Which model the shipped adapter was trained on."""

from __future__ import annotations

import json
from pathlib import Path

_SIDE_FILE = Path(__file__).parent / "adapter" / "apar.json"


def base_name(side_file: Path = _SIDE_FILE) -> str | None:
    """The hub id of the base of `demo`; None where there is no adapter, or it does not say."""
    try:
        name = json.loads(side_file.read_text(encoding="utf-8"))["base"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None
