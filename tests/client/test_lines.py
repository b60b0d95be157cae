"""The data of server-sent events, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apar.client.response import LONGEST_LINE, DataLines
from apar.errors import RunError


@given(st.lists(st.binary(max_size=5) | st.sampled_from([b"\n", b"data: a\n", b"data:", b"\r\n", b": ping\n"])))
def test_pieces_make_no_difference(pieces: list[bytes]) -> None:
    lines = DataLines("here")
    told = [data for piece in pieces for data in lines.read(piece)]
    whole = b"".join(pieces).split(b"\n")[:-1]
    assert told == [line.removeprefix(b"data:").strip() for line in whole if line.startswith(b"data:")]


def test_a_line_may_be_long_and_not_without_end() -> None:
    lines, piece = DataLines("http://here"), b"x" * 2**20
    lines.read(b"data:")
    for _ in range(LONGEST_LINE // len(piece) - 1):
        assert lines.read(piece) == []
    assert [len(data) for data in lines.read(b"x\nx")] == [LONGEST_LINE - len(piece) + 1]
    with pytest.raises(RunError, match="http://here sent 16 MiB without the end of a line"):
        lines.read(b"x" * LONGEST_LINE)
