"""The process of a peer: `python -P worker.py ADAPTER.py`, a line of JSON in, a line of JSON out.

The first line has the settings (`folder`, `scratch`, `dtype`, `threads`, `batch`, `context`) and is answered by
`{"version": …, "threads": …}`, or by `{"reason": …}` where the peer cannot run. Every further line has `prompts`
(ids) and `new_tokens`, and is answered by `{"seconds": …, "tokens": …}`. The end of input ends the process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from typing import Any, TextIO


def main() -> None:
    # Libraries print what they like: the lines go out by a descriptor that they do not know.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    settings = json.loads(sys.stdin.readline())
    try:
        peer = _adapter(sys.argv[1]).Peer(settings)
    except Exception as error:  # whatever it is, the peer cannot take part, and the others can
        _send(channel, {"reason": f"{type(error).__name__}: {error}".splitlines()[0]})
        return
    _send(channel, {"version": peer.version, "threads": peer.threads})
    for line in sys.stdin:
        _send(channel, _round(peer, json.loads(line)))


def _round(peer: Any, order: dict[str, Any]) -> dict[str, Any]:
    began = time.perf_counter()
    tokens = peer.decode(order["prompts"], order["new_tokens"])
    return {"seconds": time.perf_counter() - began, "tokens": tokens}


def _adapter(path: str) -> Any:
    """The module in a file. It is not imported by its name, which is that of the library it adapts."""
    spec = importlib.util.spec_from_file_location("adapter", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _send(channel: TextIO, message: dict[str, Any]) -> None:
    channel.write(json.dumps(message) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
