from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apar.assemble import Assembler
from apar.chat.conversation import Conversation
from apar.chat.session import Session
from apar.chat.sigint import SigintHandler
from apar.decoding.params import SamplingParams
from apar.errors import RunError
from apar.events import Event, Started, replay
from tests.chat.talk import Failing, read, session
from tests.scripted import LIST
from tests.trees import encoded


@pytest.mark.parametrize("at_once", [True, False])
def test_an_interrupt_ends_the_answer_and_keeps_what_was_to_be_read(at_once: bool) -> None:
    talk = session(Failing(100, RunError("was not interrupted")))
    talk.at_once = at_once
    events, assembler = list(replay(encoded(LIST)))[:30], Assembler()
    readable = "".join(assembler.feed(event) for event in events)
    with SigintHandler() as sigint:
        turn = talk.ask("Why?")
        stream = turn.stream(sigint)
        assert [next(stream) for _ in events] == events
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            next(stream)
    turn.keep()
    assert talk.conversation.turns[-1]["content"] == readable
    assert talk.events == events
    assert talk.backend.closed == 1  # type: ignore[attr-defined]


def test_an_interrupt_breaks_off_waiting_where_that_may_be() -> None:
    class Waiting:
        closed = False

        def stream(self, prompt: object, params: object) -> Iterator[Event]:
            try:
                yield Started((0,), None, 0)
                signal.raise_signal(signal.SIGINT)
                raise AssertionError("waiting went on")
            finally:
                self.closed = True

    waiting = Waiting()
    talk = session(waiting)
    talk.at_once = True
    with SigintHandler() as sigint, pytest.raises(KeyboardInterrupt):
        read(talk.ask("Why?"), sigint)
    assert waiting.closed


def test_an_interrupt_between_answers_is_nothing_and_the_next_answer_is_whole() -> None:
    talk = session()
    with SigintHandler() as sigint:
        signal.raise_signal(signal.SIGINT)
        read(talk.ask("Why?"), sigint)
    assert talk.conversation.turns[-1]["content"] == LIST.text


def test_afterwards_an_interrupt_is_what_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    with SigintHandler():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_an_engine_ends_the_step_in_which_it_is_interrupted_and_loses_no_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from apar.engine.llm import LLM
    from tests.tiny import tiny_model

    llm = LLM(tiny_model(tmp_path), dtype="float32")
    whole, run = llm.engine.step, [0]

    def step() -> None:
        run[0] += 1
        if run[0] == 9:
            signal.raise_signal(signal.SIGINT)
        whole()

    monkeypatch.setattr(llm.engine, "step", step)
    talk = Session(llm, SamplingParams(max_tokens=100), Conversation())
    with SigintHandler() as sigint:
        turn = talk.ask("How can I sleep?")
        with pytest.raises(KeyboardInterrupt):
            read(turn, sigint)
    assert run == [9]
    turn.keep()
    assert llm.statistics().blocks_free == llm.statistics().blocks
    talk.params = SamplingParams(max_tokens=10)
    read(talk.ask("And then?"))
    assert talk.conversation.questions == 2


def test_waiting_for_another_threads_engine_is_broken_off_and_loses_no_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from apar.backends.sync import SyncBackend
    from apar.engine.async_llm import AsyncLLM
    from apar.engine.engine import Engine
    from tests.tiny import tiny_model

    whole, run = Engine.step, [0]

    def step(self: Engine) -> None:
        run[0] += 1
        if run[0] == 9:
            os.kill(os.getpid(), signal.SIGINT)
        whole(self)

    monkeypatch.setattr(Engine, "step", step)
    folder = tiny_model(tmp_path)
    with SyncBackend(lambda: AsyncLLM(folder, dtype="float32")) as engine, SigintHandler() as sigint:
        talk = Session(engine, SamplingParams(max_tokens=200), Conversation(), at_once=True)
        turn = talk.ask("How can I sleep?")
        with pytest.raises(KeyboardInterrupt):
            read(turn, sigint)
        talk.params = SamplingParams(max_tokens=10)
        read(talk.ask("And then?"), sigint)
        backend = engine.backend
        assert isinstance(backend, AsyncLLM)
        end = time.monotonic() + 60
        while backend.statistics().blocks_free < backend.statistics().blocks:
            assert time.monotonic() < end, "blocks are still held"
            time.sleep(0.01)
    assert talk.conversation.questions == 1
