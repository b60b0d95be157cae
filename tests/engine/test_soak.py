"""A few minutes of what `tests.engine.soak` does for a day."""

from __future__ import annotations

from tests.engine.soak import soak


def test_thousands_of_steps_lose_no_block_and_let_every_request_end() -> None:
    result = soak(3000)
    assert result["blocks lost"] == 0
    assert result["failed"] == 0
    assert result["requests"] > 50
    assert result["preemptions"] > 10
    assert result["cancelled"] > 0
