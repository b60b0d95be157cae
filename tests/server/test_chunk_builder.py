"""The events of threads as chunks have them."""

from __future__ import annotations

import pytest

from apar.events import Delta, Event, Finished, Forked, Started, TokenLogprob
from apar.server.chunk_builder import thread_event


@pytest.mark.parametrize(
    ("event", "sent"),
    [
        (Started((0,), None, 0), b'{"event": "started", "thread": [0], "parent": null, "step": 0}'),
        (
            Delta((0, 1), 2, (7,), "x"),
            b'{"event": "delta", "thread": [0, 1], "step": 2, "token_ids": [7], "text": "x", "parent": [0]}',
        ),
        (
            Delta((0,), 2, (7,), "x", (TokenLogprob(7, -1.0),)),
            b'{"event": "delta", "thread": [0], "step": 2, "token_ids": [7], "text": "x", '
            b'"logprobs": [{"token_id": 7, "logprob": -1.0, "top": []}], "parent": null}',
        ),
        (
            Forked((0,), (0, 1), 3),
            b'{"event": "forked", "thread": [0], "child": [0, 1], "step": 3, "parent": null}',
        ),
        (
            Finished((0, 1), 4, "eos"),
            b'{"event": "finished", "thread": [0, 1], "step": 4, "reason": "eos", "parent": [0]}',
        ),
        (
            Finished((0,), 4, "eos", 9, 2),
            b'{"event": "finished", "thread": [0], "step": 4, "reason": "eos", "drafted": 9, "accepted": 2, '
            b'"parent": null}',
        ),
    ],
)
def test_the_keys_of_an_event_have_a_fixed_order(event: Event, sent: bytes) -> None:
    assert thread_event(event).json_bytes() == sent
