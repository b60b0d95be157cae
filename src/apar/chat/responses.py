"""Responses of a server that are no streams."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

import httpx

MOST = 2**20
"""Bytes of a response that are read."""


@dataclass(frozen=True, slots=True)
class Response:
    """What was read of it; more than `MOST` is left out."""

    status: int
    headers: httpx.Headers
    text: str

    @classmethod
    def read(cls, response: httpx.Response) -> Self:
        """Read a response that is open; raises httpx.HTTPError where it is lost."""
        content = bytearray()
        for piece in response.iter_bytes():
            content += piece[: MOST - len(content)]
            if len(content) == MOST:
                break
        return cls(response.status_code, response.headers, content.decode(errors="replace"))

    @property
    def told(self) -> dict[str, Any]:
        """Its JSON object; empty where it is none."""
        try:
            told = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return told if isinstance(told, dict) else {}
