from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from apar.assemble import Assembler
from apar.chat.conversation import Conversation
from apar.chat.interrupts import Interrupts
from apar.chat.session import Session, Turn, last_events
from apar.engine.params import SamplingParams
from apar.errors import ContextError, RunError, UserError
from apar.events import Event, Started, replay
from tests.scripted import LIST, ScriptedLLM
from tests.trees import encoded


def session(speaker: Any = None, conversation: Conversation | None = None) -> Session:
    return Session(speaker or ScriptedLLM(), SamplingParams(), conversation or Conversation("Be brief."))


def read(turn: Turn, interrupts: Interrupts | None = None) -> Turn:
    for _ in turn.stream(interrupts):
        pass
    turn.keep()
    return turn


class Failing:
    """Fails after some events."""

    def __init__(self, count: int, error: Exception) -> None:
        self.count, self.error, self.closed = count, error, 0

    def stream(self, prompt: object, params: object) -> Generator[Event, None, object]:
        try:
            yield from list(replay(encoded(LIST)))[: self.count]
            raise self.error
        finally:
            self.closed += 1


def test_every_question_is_asked_with_all_that_was_said() -> None:
    llm = ScriptedLLM()
    talk = session(llm)
    read(talk.ask("One?"))
    read(talk.ask("Two?"))
    asked = [[message["content"] for message in prompt] for prompt, _ in llm.asked]
    assert asked == [["Be brief.", "One?"], ["Be brief.", "One?", LIST.text, "Two?"]]
    assert talk.conversation.questions == 2


def test_the_answer_that_is_kept_is_the_text_in_reading_order() -> None:
    turn = read(session().ask("Why?"))
    assert turn.text == LIST.text


def test_a_stop_text_ends_what_is_kept() -> None:
    talk = session()
    talk.params = SamplingParams(stop=("\n2.",))
    read(talk.ask("Why?"))
    assert talk.conversation.turns[-1]["content"] == LIST.text.partition("\n2.")[0]


@pytest.mark.parametrize("count", [0, 20])
def test_a_turn_that_fails_leaves_the_chat_as_it_was_and_can_be_asked_again(count: int) -> None:
    talk = session()
    read(talk.ask("One?"))
    before = talk.conversation
    failing = Failing(count, RunError("no"))
    talk.speaker = failing
    with pytest.raises(RunError):
        read(talk.ask("Two?"))
    assert (talk.conversation, talk.unanswered, failing.closed) == (before, "Two?", 1)
    talk.speaker = ScriptedLLM()
    read(talk.retry())
    assert talk.conversation == before.with_turn("Two?", LIST.text)
    assert talk.unanswered is None


def test_asking_an_answered_question_again_keeps_its_answer_until_there_is_another() -> None:
    talk = session()
    read(talk.ask("One?"))
    before = talk.conversation
    talk.speaker = Failing(20, RunError("no"))
    with pytest.raises(RunError):
        read(talk.retry())
    assert (talk.conversation, talk.unanswered) == (before, None)
    llm = talk.speaker = ScriptedLLM()
    read(talk.retry())
    assert talk.conversation == before
    assert llm.asked[0][0] == before.messages[:2]


def test_a_chat_that_became_too_long_is_shortened_and_the_question_asked_again() -> None:
    talk = session()
    read(talk.ask("One?"))
    talk.speaker = Failing(0, ContextError("too long"))
    with pytest.raises(ContextError):
        read(talk.ask("Two?"))
    assert talk.undo() == "One?"
    talk.speaker = ScriptedLLM()
    read(talk.retry())
    assert talk.conversation == Conversation("Be brief.").with_turn("Two?", LIST.text)


def test_there_is_nothing_to_retry_or_to_take_back_before_the_first_question() -> None:
    with pytest.raises(UserError, match="nothing was asked"):
        session().retry()
    with pytest.raises(UserError, match="nothing was asked"):
        session().undo()
    with pytest.raises(UserError, match="no answer yet"):
        last_events(session())


def test_a_chat_that_ends_with_a_question_begins_with_it_unanswered() -> None:
    talk = session(conversation=Conversation(None, ({"role": "user", "content": "Why?"},)))
    read(talk.retry())
    assert talk.conversation == Conversation().with_turn("Why?", LIST.text)


def test_an_empty_answer_is_no_turn() -> None:
    talk = session()

    class Mute:
        def stream(self, prompt: object, params: object) -> Generator[Event, None, object]:
            yield Started((0,), None, 0)
            return None

    talk.speaker = Mute()
    with pytest.raises(RunError, match="empty"):
        read(talk.ask("Why?"))
    assert talk.conversation == Conversation("Be brief.")


@pytest.mark.parametrize("at_once", [True, False])
def test_an_interrupt_ends_the_answer_and_keeps_what_was_to_be_read(at_once: bool) -> None:
    talk = session(Failing(100, RunError("was not interrupted")))
    talk.at_once = at_once
    events, assembler = list(replay(encoded(LIST)))[:30], Assembler()
    readable = "".join(assembler.feed(event) for event in events)
    with Interrupts() as interrupts:
        turn = talk.ask("Why?")
        stream = turn.stream(interrupts)
        assert [next(stream) for _ in events] == events
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            next(stream)
    turn.keep()
    assert talk.conversation.turns[-1]["content"] == readable
    assert talk.events == events
    assert talk.speaker.closed == 1  # type: ignore[attr-defined]


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
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
        read(talk.ask("Why?"), interrupts)
    assert waiting.closed


def test_an_interrupt_between_answers_is_nothing_and_the_next_answer_is_whole() -> None:
    talk = session()
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        read(talk.ask("Why?"), interrupts)
    assert talk.conversation.turns[-1]["content"] == LIST.text


def test_afterwards_an_interrupt_is_what_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts():
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
    with Interrupts() as interrupts:
        turn = talk.ask("How can I sleep?")
        with pytest.raises(KeyboardInterrupt):
            read(turn, interrupts)
    assert run == [9]
    turn.keep()
    assert llm.statistics().blocks_free == llm.statistics().blocks
    talk.params = SamplingParams(max_tokens=10)
    read(talk.ask("And then?"))
    assert talk.conversation.questions == 2
