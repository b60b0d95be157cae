"""What is made of a vLLM's figures, from figures that are made up."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from apar.bench.vllm import pass_log as module
from apar.bench.vllm.pass_log import Pass, PassLog, blocks_held, decoding
from apar.errors import RunError


def figures(running: int, waiting: int = 0, usage: float = 0.0, **cache: int) -> Any:
    counts = {"requests": 0, "queries": 0, "hits": 0, "preempted_requests": 0, **cache}
    return SimpleNamespace(
        num_running_reqs=running,
        num_waiting_reqs=waiting,
        num_skipped_waiting_reqs=0,
        kv_cache_usage=usage,
        prefix_cache_stats=SimpleNamespace(**counts),
    )


def a_pass(requests: int, blocks: int = 0, tokens: int = 1) -> Pass:
    return Pass(0.0, requests, blocks, True, tokens, 0, 0, 0, 0)


def test_a_pass_has_the_schedulers_counts() -> None:
    one = Pass.of(figures(3, 2, 0.25, requests=2, queries=50, hits=32, preempted_requests=1), None, 40)
    assert (one.requests, one.blocks, one.tokens, one.had_output) == (5, 10, 0, False)
    assert (one.admitted, one.queried, one.found, one.resumed) == (2, 50, 32, 1)
    spoken = Pass.of(figures(0), SimpleNamespace(num_generation_tokens=7), 40)
    assert (spoken.tokens, spoken.had_output) == (7, True)


def test_a_pass_with_nothing_to_do_is_none() -> None:
    passes = PassLog()
    passes.add(Pass.of(figures(0), None, 40))
    passes.add(a_pass(1))
    passes.add(a_pass(0, tokens=0))
    passes.add(Pass.of(figures(0), None, 40))
    assert [one.requests for one in asyncio.run(passes.all())] == [1, 0]


def test_the_passes_are_complete_when_nothing_is_left_to_do() -> None:
    passes = PassLog()
    passes.add(a_pass(2))

    async def late() -> list[Pass]:
        asyncio.get_running_loop().call_later(0.01, passes.add, a_pass(0))
        return await passes.all()

    assert len(asyncio.run(late())) == 2
    passes.clear()
    passes.add(a_pass(0))
    assert len(asyncio.run(passes.all())) == 1


def test_a_last_pass_that_never_comes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    passes = PassLog()
    passes.add(a_pass(1))
    with pytest.raises(RunError, match="does not tell of its last pass"):
        asyncio.run(passes.all())


def test_decoding_begins_with_the_pass_of_the_first_token() -> None:
    passes = [a_pass(1, tokens=0), a_pass(1), a_pass(1, tokens=0), a_pass(0)]
    assert list(decoding(passes)) == passes[1:]


def test_the_last_pass_counts_for_no_blocks() -> None:
    assert blocks_held([a_pass(1, 4), a_pass(2, 8), a_pass(0, 0)]) == (8, 6.0)
    assert blocks_held([a_pass(0, 0)]) == (0, 0.0)
