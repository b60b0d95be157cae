"""Many answers at once in asyncio programs: equal to those alone, cancelled, failing, and closed under way."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from apar.decoding.answer import Answer, BatchError
from apar.decoding.params import SamplingParams
from apar.engine.async_llm import AsyncLLM
from apar.errors import BusyError, RequestError, RunError
from apar.events import Event
from tests.engine.crowd import LONG, PATIENCE, WORDS, Crowd, tiny_llm


async def read(llm: AsyncLLM, prompt: str, params: SamplingParams = LONG) -> tuple[list[Event], Answer]:
    stream = llm.stream(prompt, params)
    events = [event async for event in stream]
    return events, stream.answer


def spoil(crowd: Crowd, word: str) -> None:
    """Make every pass fail that is fed the token of `word` first in its path."""
    [token] = crowd.llm.tokenizer.encode(word, add_special_tokens=False)
    run = crowd.engine._runner.run

    def spoilt(work, guess=False):  # type: ignore[no-untyped-def]
        if any(row.thread.tokens[0] == token for row in work.rows.values()):
            raise ValueError(f"no {word} today")
        return run(work)

    crowd.engine._runner.run = spoilt  # type: ignore[method-assign]


@pytest.mark.parametrize("blocks", [400, 40])
def test_twenty_streams_at_once_tell_what_each_tells_alone(blocks: int) -> None:
    alone = tiny_llm()
    prompts = [*WORDS, "a", "b"]
    assert len(prompts) == 20
    expected = [alone.generate([prompt], LONG)[0] for prompt in prompts]

    async def main(llm: AsyncLLM) -> list[tuple[list[Event], Answer]]:
        return await asyncio.gather(*(read(llm, prompt) for prompt in prompts))

    with Crowd(blocks) as crowd:
        together = asyncio.run(main(crowd.llm))
        statistics = crowd.llm.statistics()
    assert [tuple(events) for events, _ in together] == [answer.events for answer in expected]
    assert [answer.text for _, answer in together] == [answer.text for answer in expected]
    assert sum(answer.forks for _, answer in together) > 20
    assert statistics.passes < sum(answer.forward_passes for _, answer in together) / 2
    assert (statistics.preemptions > 0) is (blocks == 40)


def test_generate_answers_in_the_order_of_the_prompts() -> None:
    params = [replace(LONG, max_tokens=k + 1) for k in range(len(WORDS))]
    expected = tiny_llm().generate(WORDS, params)
    with Crowd() as crowd:
        answers = asyncio.run(crowd.llm.generate(WORDS, params))
        assert asyncio.run(crowd.llm.generate([])) == []
    assert [answer.events for answer in answers] == [answer.events for answer in expected]


def test_an_answer_tells_when_it_began_and_when_its_first_token_came() -> None:
    async def main(crowd: Crowd) -> Answer:
        waiting = asyncio.create_task(crowd.llm.generate(["a"], LONG))
        await asyncio.sleep(0.05)
        crowd.let()
        [answer] = await waiting
        return answer

    with Crowd(held=True) as crowd:
        answer = asyncio.run(main(crowd))
    assert answer.first_token_seconds is not None
    assert 0 < answer.queue_seconds < answer.first_token_seconds < answer.seconds
    assert answer.seconds > 0.05


def test_closing_a_stream_frees_its_blocks_before_the_next_pass() -> None:
    async def main(crowd: Crowd) -> None:
        crowd.let(3)
        stream, other = crowd.llm.stream("a", LONG), crowd.llm.stream("b", LONG)
        first = await anext(stream)
        assert crowd.blocks_held > 0
        await stream.aclose()
        assert [event async for event in stream] == []
        with pytest.raises(RunError, match="not complete"):
            _ = stream.answer
        crowd.let()
        events = [event async for event in other]
        assert events[0] == first
        assert crowd.llm.statistics().cancelled == 1
        assert crowd.engine.pool.num_free == crowd.engine.pool.num_blocks

    with Crowd(held=True) as crowd:
        asyncio.run(main(crowd))


@pytest.mark.parametrize("way", ["task", "dropped", "with", "generate"])
def test_whatever_ends_the_reading_cancels_the_answer(way: str) -> None:
    async def leave(llm: AsyncLLM) -> None:
        async with llm.stream("a", LONG) as stream:
            await anext(stream)

    async def main(crowd: Crowd) -> None:
        crowd.let(1)
        if way == "dropped":
            await anext(crowd.llm.stream("a", LONG))
            gc.collect()
        elif way == "with":
            await leave(crowd.llm)
        else:
            asking = crowd.llm.generate(["a", "a"], LONG) if way == "generate" else read(crowd.llm, "a")
            task = asyncio.create_task(asking)  # type: ignore[arg-type,var-annotated]
            while not crowd.llm.statistics().running:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        crowd.let()
        await crowd.llm.generate(["b"], LONG)  # orders are carried out one after the other
        statistics = crowd.llm.statistics()
        assert statistics.cancelled == (2 if way == "generate" else 1)
        assert (statistics.running, statistics.waiting, statistics.blocks_held) == (0, 0, 0)

    with Crowd(held=True, eos=-20.0) as crowd:
        asyncio.run(main(crowd))


def test_a_request_that_fails_fails_alone() -> None:
    expected = tiny_llm().generate(WORDS[1:], LONG)

    async def main(llm: AsyncLLM) -> list[tuple[list[Event], Answer] | BaseException]:
        return await asyncio.gather(*(read(llm, word) for word in WORDS), return_exceptions=True)

    with Crowd() as crowd:
        spoil(crowd, WORDS[0])
        failed, *others = asyncio.run(main(crowd.llm))
        with pytest.raises(BatchError, match=r"1 of 2 prompts failed.*no a today") as failure:
            asyncio.run(crowd.llm.generate(WORDS[:2], LONG))
        statistics = crowd.llm.statistics()
    assert isinstance(failed, RunError)
    assert "no a today" in str(failed)
    kept = [tuple(other[0]) for other in others if not isinstance(other, BaseException)]
    assert kept == [answer.events for answer in expected]
    assert failure.value.answers[0] is None
    assert (statistics.failed, statistics.blocks_held) == (2, 0)


def test_what_cannot_be_served_is_refused_at_once() -> None:
    async def main(llm: AsyncLLM) -> None:
        with pytest.raises(RequestError, match="no messages"):
            llm.stream([])
        with pytest.raises(RequestError, match="one string"):
            await llm.generate("a")

    with Crowd() as crowd:
        asyncio.run(main(crowd.llm))
        assert crowd.llm.statistics().requests == 0


def test_more_than_may_wait_are_refused_all_or_none() -> None:
    async def main(crowd: Crowd) -> None:
        llm = crowd.llm
        streams = [llm.stream(word, LONG) for word in WORDS[:2]]
        with pytest.raises(BusyError, match="2 requests are waiting, and at most 3 may"):
            await llm.generate(["a", "b"], LONG)
        streams.append(llm.stream("c", LONG))
        with pytest.raises(BusyError):
            llm.stream("a", LONG)
        crowd.let()
        for stream in streams:
            assert [event async for event in stream]
        assert len(await llm.generate(["a", "b", "c"], LONG)) == 3

    with Crowd(held=True, max_waiting=3) as crowd:
        asyncio.run(main(crowd))
        assert crowd.llm.statistics().requests == 6


def test_a_bound_of_no_request_is_refused() -> None:
    with pytest.raises(RequestError, match="max_waiting is 0"):
        AsyncLLM.from_llm(tiny_llm(), max_waiting=0)


def test_closing_tells_open_and_later_requests_and_frees_their_blocks() -> None:
    async def main(crowd: Crowd) -> None:
        async with crowd.llm as llm:
            crowd.let(2)
            stream = llm.stream("a", LONG)
            await anext(stream)
            batch = asyncio.create_task(llm.generate(["b", "c"], LONG))
            while llm.statistics().requests < 3:
                await asyncio.sleep(0.01)
            crowd.let()
        with pytest.raises(RunError, match="the engine was closed"):
            _ = [event async for event in stream]
        with pytest.raises(BatchError, match="2 of 2 prompts failed: the engine was closed"):
            await batch
        with pytest.raises(RunError, match="the engine was closed"):
            llm.stream("a", LONG)

    with Crowd(held=True, eos=-20.0) as crowd:
        crowd.engine.context = 10_000_000  # nothing but the closing ends these answers
        asyncio.run(main(crowd))
        assert crowd.engine.groups == []
        assert crowd.blocks_held == 0
        crowd.llm.close()


def test_if_the_engine_stops_everybody_is_told_why() -> None:
    async def main(crowd: Crowd) -> None:
        streams = [asyncio.create_task(read(crowd.llm, word)) for word in WORDS[:3]]
        await asyncio.sleep(0)
        crowd.let()
        outcomes = await asyncio.gather(*streams, return_exceptions=True)
        assert len({id(outcome) for outcome in outcomes}) == 3
        for outcome in outcomes:
            assert isinstance(outcome, RunError)
            assert "the engine stopped (OverflowError: a bug)" in str(outcome)
            assert isinstance(outcome.__cause__, OverflowError)
        with pytest.raises(RunError, match="OverflowError: a bug"):
            await crowd.llm.generate(["a"], LONG)

    def broken(*_: object) -> None:
        raise OverflowError("a bug")

    with Crowd(held=True) as crowd:
        crowd._step = broken  # type: ignore[method-assign]
        asyncio.run(main(crowd))


def test_two_event_loops_share_an_engine() -> None:
    expected = tiny_llm().generate(WORDS[:8], LONG)
    found: dict[int, list[tuple[list[Event], Answer]]] = {}
    begun = threading.Barrier(2)

    async def half(llm: AsyncLLM, words: Sequence[str]) -> list[tuple[list[Event], Answer]]:
        return await asyncio.gather(*(read(llm, word) for word in words))

    def reader(llm: AsyncLLM, number: int) -> None:
        begun.wait(PATIENCE)
        found[number] = asyncio.run(half(llm, WORDS[number : number + 4]))

    with Crowd() as crowd:
        threads = [threading.Thread(target=reader, args=(crowd.llm, number)) for number in (0, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert [answer.events for _, answer in found[0] + found[4]] == [answer.events for answer in expected]


def test_a_loop_that_is_gone_cancels_its_answers_and_harms_no_other() -> None:
    async def ask(llm: AsyncLLM) -> object:
        return llm.stream("a", LONG)

    with Crowd(held=True, eos=-20.0) as crowd:
        orphan = asyncio.run(ask(crowd.llm))
        crowd.let()
        [answer] = asyncio.run(crowd.llm.generate(["b"], LONG))
        assert answer.text
        asyncio.run(crowd.llm.generate(["b"], LONG))
        assert crowd.llm.statistics().cancelled == 1
        del orphan


def test_a_slow_reader_holds_up_nobody() -> None:
    async def main(crowd: Crowd) -> None:
        slow = crowd.llm.stream("a", LONG)
        [answer] = await crowd.llm.generate(["b"], LONG)
        [expected, other] = await crowd.llm.generate(["a", "b"], LONG)
        assert answer.events == other.events
        assert tuple([event async for event in slow]) == expected.events

    with Crowd() as crowd:
        asyncio.run(main(crowd))


def test_dropping_the_llm_ends_its_thread() -> None:
    llm = AsyncLLM.from_llm(tiny_llm())
    thread = llm._thread._thread
    assert thread.is_alive()
    del llm
    gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_asking_gives_the_streams_of_all_answers_and_taking_reads_what_waits() -> None:
    params = replace(LONG, n=3, temperature=1.0, seed=4)

    async def main(crowd: Crowd) -> list[Answer]:
        streams = await crowd.llm.ask(["a"], params)
        answers = []
        for stream in streams:
            events: list[Event] = []
            while taken := await stream.take():
                events += taken
            assert await stream.take() == []
            assert tuple(events) == stream.answer.events
            answers.append(stream.answer)
        return answers

    expected = tiny_llm().generate(["a"], params)
    with Crowd() as crowd:
        answers = asyncio.run(main(crowd))
    assert [answer.events for answer in answers] == [answer.events for answer in expected]
    assert [answer.choice for answer in answers] == [0, 1, 2]


def test_all_that_came_meanwhile_is_taken_at_once() -> None:
    async def main(crowd: Crowd) -> None:
        [stream] = await crowd.llm.ask(["a"], LONG)
        crowd.let(4)
        while crowd.engine._counters.passes < 4:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        taken = await stream.take()
        assert {event.step for event in taken} == {0, 1, 2, 3}
        waiting = asyncio.create_task(stream.take())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        crowd.let(1)
        assert {event.step for event in await waiting} == {4}
        await stream.aclose()
        assert await stream.take() == []
        crowd.let()

    with Crowd(held=True) as crowd:
        asyncio.run(main(crowd))


def test_taking_raises_what_the_answer_failed_with() -> None:
    async def main(crowd: Crowd) -> None:
        [stream] = await crowd.llm.ask(["a"], LONG)
        with pytest.raises(RunError, match="no a today"):
            await stream.take()

    with Crowd() as crowd:
        spoil(crowd, "a")
        asyncio.run(main(crowd))


def test_an_engine_tells_why_it_answers_no_more() -> None:
    with Crowd() as crowd:
        assert crowd.llm.failure is None
        assert crowd.llm.forks
        crowd.llm.close()
        assert crowd.llm.failure == "the engine was closed"


def test_of_several_prompts_all_are_asked_or_none_and_whole_answers_tell_their_end_alone() -> None:
    async def main(crowd: Crowd) -> None:
        with pytest.raises(RequestError, match="no messages"):
            await crowd.llm.ask(["a", []], LONG)
        assert crowd.llm.statistics().requests == 0
        streams = await crowd.llm.ask(["a", "b"], LONG, whole=True)
        assert [await stream.take() for stream in streams] == [[], []]
        assert [stream.answer.text for stream in streams] == [answer.text for answer in expected]

    expected = tiny_llm().generate(["a", "b"], LONG)
    with Crowd() as crowd:
        asyncio.run(main(crowd))


def test_a_stream_that_another_task_closes_ends_for_its_reader() -> None:
    async def main(crowd: Crowd) -> None:
        stream = crowd.llm.stream("a", LONG)
        reader = asyncio.create_task(anext(stream, None))
        await asyncio.sleep(0.01)
        await stream.aclose()
        assert await asyncio.wait_for(reader, PATIENCE) is None
        crowd.let()

    with Crowd(held=True) as crowd:
        asyncio.run(main(crowd))
