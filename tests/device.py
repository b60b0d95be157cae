"""Where the tests run their models: `pytest --device cuda` sets it before any test is collected."""

from __future__ import annotations

chosen = "cpu"
