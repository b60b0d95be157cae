"""What a server sends: whole responses, and the data of a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from apar.errors import RunError

if TYPE_CHECKING:
    import httpx

LONGEST = 2**20
"""Bytes of a response that are read."""
LONGEST_LINE = 16 * 2**20
"""Bytes of a line that has not ended; a chunk of an answer has some hundreds."""
_DATA = b"data:"


@dataclass(frozen=True, slots=True)
class Response:
    """What was read of it; what is beyond `LONGEST` is left out, and it is `cut` then."""

    status: int
    headers: Mapping[str, str]
    text: str
    cut: bool = False

    @classmethod
    def read(cls, response: httpx.Response) -> Self:
        """Read a response that is open; raises httpx.HTTPError where the connection is lost."""
        content = bytearray()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > LONGEST:
                break
        return cls._of(response, content)

    @classmethod
    async def aread(cls, response: httpx.Response) -> Self:
        """`read` for a response of an asynchronous client."""
        content = bytearray()
        async for piece in response.aiter_bytes():
            content += piece
            if len(content) > LONGEST:
                break
        return cls._of(response, content)

    @classmethod
    def _of(cls, response: httpx.Response, content: bytearray) -> Self:
        text = content[:LONGEST].decode(errors="replace")
        return cls(response.status_code, response.headers, text, cut=len(content) > LONGEST)

    def json(self) -> Any:
        """Its JSON value; raises RunError where it is too large, and ValueError where it is none."""
        if self.cut:
            raise RunError(f"the response is too large: more than {LONGEST >> 20} MiB")
        try:
            return json.loads(self.text)
        except RecursionError as error:
            raise ValueError("the JSON is nested too deep") from error

    @property
    def fields(self) -> dict[str, Any]:
        """Its JSON object; empty where it is none or too large."""
        try:
            value = self.json()
        except (RunError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}


class DataLines:
    """The data of server-sent events from the server at `address`, from bytes that are cut anywhere.

    Lines are cut at line feeds only: other ends of lines may stand in a text. Comments are skipped.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._rest = bytearray()

    def read(self, piece: bytes) -> list[bytes]:
        """The data of the events that end in the next piece; raises RunError for a line that does not end."""
        *ended, rest = piece.split(b"\n")
        lines = []
        if ended:
            lines = [bytes(self._rest) + ended[0], *ended[1:]]
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > LONGEST_LINE:
            raise RunError(
                f"the server at {self._address} sent {LONGEST_LINE >> 20} MiB without the end of a line, which is no "
                "stream of an answer; is this the address of an OpenAI-compatible API?"
            )
        return [line[len(_DATA) :].strip() for line in lines if line.startswith(_DATA)]
