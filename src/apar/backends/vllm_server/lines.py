"""Server-sent events as they arrive: the data of each, from bytes that are cut anywhere."""

from __future__ import annotations

from apar.errors import RunError

LONGEST = 16 * 2**20
"""Bytes of a line that has not ended; a chunk of an answer has some hundreds."""
_DATA = b"data:"


class DataLines:
    """Reads a stream from the server at `place`; comments are skipped.

    Lines are cut at line feeds only: other ends of lines may stand in a text.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._rest = bytearray()

    def read(self, piece: bytes) -> list[bytes]:
        """The data of the events that end in the next piece; raises RunError for a line that does not end."""
        *ended, rest = piece.split(b"\n")
        lines = []
        if ended:
            lines = [bytes(self._rest) + ended[0], *ended[1:]]
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > LONGEST:
            raise RunError(
                f"the server at {self._place} sent {LONGEST >> 20} MiB without the end of a line, which is no stream "
                "of an answer; is this the address of an OpenAI-compatible API?"
            )
        return [line[len(_DATA) :].strip() for line in lines if line.startswith(_DATA)]
