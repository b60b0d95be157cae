"""The clients of `tests.server.overhead`: `python -m tests.server.asking PORT`, orders on standard input."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from tests.server.raw import content, opened


async def ask(port: int, order: dict[str, Any]) -> dict[str, Any]:
    """Send all requests, so many at a time; seconds, visible tokens, and seconds to the first text of each."""
    left = list(reversed(order["bodies"]))
    tokens = 0
    first: list[float] = []

    async def work() -> None:
        nonlocal tokens
        while left:
            body, began, last = left.pop(), time.perf_counter(), b""
            async with opened("127.0.0.1", port, body) as stream:
                seen = False
                while data := await stream.read():
                    if not seen and any(map(content, _chunks(data))):
                        first.append(time.perf_counter() - began)
                        seen = True
                    last = data if b'"usage": {' in data or b'"usage":{' in data else last
            [usage] = [chunk["usage"] for chunk in _chunks(last) if chunk.get("usage")]
            tokens += usage["completion_tokens"]

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(order["concurrency"])))
    return {"seconds": time.perf_counter() - began, "tokens": tokens, "first": first}


def _chunks(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in data.splitlines() if line.startswith(b"data: {")]


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(asyncio.run(ask(int(sys.argv[1]), json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
