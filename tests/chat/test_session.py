from __future__ import annotations

from collections.abc import Generator

import pytest

from apar.chat.conversation import Conversation
from apar.chat.session import last_events
from apar.decoding.params import SamplingParams
from apar.errors import ContextError, RunError, UserError
from apar.events import Event, Started
from tests.chat.talk import Failing, read, session
from tests.scripted import LIST, ScriptedLLM


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
    talk.backend = failing
    with pytest.raises(RunError):
        read(talk.ask("Two?"))
    assert (talk.conversation, talk.unanswered, failing.closed) == (before, "Two?", 1)
    talk.backend = ScriptedLLM()
    read(talk.retry())
    assert talk.conversation == before.with_turn("Two?", LIST.text)
    assert talk.unanswered is None


def test_asking_an_answered_question_again_keeps_its_answer_until_there_is_another() -> None:
    talk = session()
    read(talk.ask("One?"))
    before = talk.conversation
    talk.backend = Failing(20, RunError("no"))
    with pytest.raises(RunError):
        read(talk.retry())
    assert (talk.conversation, talk.unanswered) == (before, None)
    llm = talk.backend = ScriptedLLM()
    read(talk.retry())
    assert talk.conversation == before
    assert llm.asked[0][0] == before.messages[:2]


def test_a_chat_that_became_too_long_is_shortened_and_the_question_asked_again() -> None:
    talk = session()
    read(talk.ask("One?"))
    talk.backend = Failing(0, ContextError("too long"))
    with pytest.raises(ContextError):
        read(talk.ask("Two?"))
    assert talk.undo() == "One?"
    talk.backend = ScriptedLLM()
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

    talk.backend = Mute()
    with pytest.raises(RunError, match="empty"):
        read(talk.ask("Why?"))
    assert talk.conversation == Conversation("Be brief.")
