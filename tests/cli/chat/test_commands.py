from __future__ import annotations

import re
from pathlib import Path

import pytest

from apar.chat.conversation import Conversation
from apar.chat.session import Session
from apar.cli.chat.commands import Commands, QuitError
from apar.decoding.params import SamplingParams
from apar.errors import AparError, RequestError, UserError
from apar.events import read_trace, replay
from tests.scripted import LIST, ScriptedLLM
from tests.trees import encoded

SAID = Conversation("Be brief.").with_turn("One?", "1").with_turn("Two?", "2")


class Talk:
    """A session, and what its commands have told."""

    def __init__(self) -> None:
        self.session = Session(ScriptedLLM(), SamplingParams(), SAID)
        self.told: list[str] = []
        self._commands = Commands(self.session, self.told.append)

    def run(self, line: str) -> str:
        """What one command tells."""
        self.told.clear()
        turn = self._commands.run(line)
        if turn is not None:
            for _ in turn.stream():
                pass
            turn.keep()
        return "\n".join(self.told)


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_help_names_every_command_and_each_is_one(talk: Talk, tmp_path: Path) -> None:
    names = [line.split()[0] for line in talk.run("/help").splitlines() if line.startswith("/")]
    assert len(names) == 13
    with pytest.raises(QuitError):
        talk.run("/quit")
    for name in set(names) - {"/quit"}:
        assert "is no command" not in complaint(talk, name)


def complaint(talk: Talk, line: str) -> str:
    """What is wrong with a command, if anything."""
    try:
        talk.run(line)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("line", ["/", "/helpme", "/Help", "/etc/hosts what is it?", "/_save x", "/__init__", "/run"])
def test_what_is_no_command_is_told_and_changes_nothing(talk: Talk, line: str) -> None:
    with pytest.raises(UserError, match="is no command; /help lists them"):
        talk.run(line)
    assert talk.session.conversation == SAID


def test_clear_keeps_the_system_message(talk: Talk) -> None:
    talk.run("/clear")
    assert talk.session.conversation == Conversation("Be brief.")


def test_undo_tells_what_it_takes_back(talk: Talk) -> None:
    assert "Two?" in talk.run("/undo")
    assert talk.session.conversation == Conversation("Be brief.").with_turn("One?", "1")


def test_retry_asks_the_last_question_again(talk: Talk) -> None:
    talk.run("/retry")
    assert talk.session.conversation == Conversation("Be brief.").with_turn("One?", "1").with_turn("Two?", LIST.text)


def test_the_system_message_is_set_and_taken_away(talk: Talk) -> None:
    talk.run("/system  Be long. ")
    assert talk.session.conversation.system == "Be long."
    talk.run("/system")
    assert talk.session.conversation.messages == list(SAID.turns)


def test_a_chat_is_saved_and_loaded(talk: Talk, tmp_path: Path) -> None:
    path = tmp_path / "a chat.json"
    talk.run(f"/save {path}")
    talk.run("/clear")
    assert "2 questions" in talk.run(f"/load {path}")
    assert talk.session.conversation == SAID


def test_loading_what_is_no_chat_keeps_the_chat(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no chat")
    for path in (tmp_path / "file", tmp_path / "none", tmp_path):
        with pytest.raises(UserError):
            talk.run(f"/load {path}")
    assert talk.session.conversation == SAID


def test_saving_where_nothing_can_be_written_is_an_error(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AparError, match="cannot write"):
        talk.run(f"/save {tmp_path / 'file' / 'chat.json'}")


def test_a_loaded_question_without_an_answer_can_be_asked(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text('[{"role": "user", "content": "Why?"}]')
    assert "/retry" in talk.run(f"/load {tmp_path / 'chat.json'}")
    talk.run("/retry")
    assert talk.session.conversation == Conversation().with_turn("Why?", LIST.text)


@pytest.mark.parametrize(
    ("words", "params"),
    [
        ("max_tokens 9", SamplingParams(max_tokens=9)),
        ("temperature 0.5", SamplingParams(temperature=0.5)),
        ("temperature   1", SamplingParams(temperature=1)),
        ("seed 3", SamplingParams(seed=3)),
        ("seed none", SamplingParams()),
        ("stop a b", SamplingParams(stop=("a b",))),
        ('stop "\\n2."', SamplingParams(stop=("\n2.",))),
        ('stop ["a", "b"]', SamplingParams(stop=("a", "b"))),
        ("stop none", SamplingParams()),
        ("max_threads 2", SamplingParams(max_threads=2)),
    ],
)
def test_settings_are_set(talk: Talk, words: str, params: SamplingParams) -> None:
    talk.run(f"/set {words}")
    assert talk.session.params == params


@pytest.mark.parametrize(
    "words",
    ["", "max_tokens", "n 2", "fork off", "max_tokens none", "max_tokens 1.5", "max_tokens 0", "temperature warm",
     "temperature nan", "stop [3]", "stop [", "logprobs 1", f"seed {'9' * 5000}"],
)  # fmt: skip
def test_a_setting_that_does_not_fit_is_refused_and_changes_nothing(talk: Talk, words: str) -> None:
    with pytest.raises((UserError, RequestError)):
        talk.run(f"/set {words}")
    assert talk.session.params == SamplingParams()


def test_params_tells_every_setting(talk: Talk) -> None:
    talk.run("/set temperature 0.25")
    talk.run("/sequential on")
    told = dict(line.split(maxsplit=1) for line in talk.run("/params").splitlines())
    assert (told["temperature"], told["sequential"], told["seed"], told["stop"]) == ("0.25", "on", "none", "none")
    assert (told["questions"], told["system"]) == ("2", "Be brief.")


def test_decoding_one_thread_at_a_time_is_switched_on_and_off(talk: Talk) -> None:
    talk.run("/sequential on")
    assert talk.session.params == SamplingParams(max_parallel_threads=1)
    talk.run("/sequential off")
    assert talk.session.params == SamplingParams()
    with pytest.raises(UserError, match="on or off"):
        talk.run("/sequential")


def test_a_trace_has_the_events_of_the_last_answer(talk: Talk, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no answer yet"):
        talk.run(f"/trace {tmp_path / 'trace.jsonl'}")
    talk.run("/retry")
    talk.run(f"/trace {tmp_path / 'trace.jsonl'}")
    assert list(read_trace(tmp_path / "trace.jsonl")) == list(replay(encoded(LIST)))


@pytest.mark.parametrize("name", ["save", "load", "trace"])
def test_a_command_about_a_file_needs_its_name(talk: Talk, name: str) -> None:
    with pytest.raises(UserError, match=f"/{name} needs the name of a file"):
        talk.run(f"/{name} ")


def test_what_forks_is_chosen_and_told(talk: Talk) -> None:
    assert "the form of their text" in talk.run("/fork rules")
    talk.run("/set max_items 3")
    params = talk.session.params
    assert (params.by_rules, params.max_items) == (True, 3)
    assert re.search(r"^fork +rules$", talk.run("/params"), re.MULTILINE)
    talk.run("/set max_items none")
    assert talk.session.params.max_items is None
    talk.run("/fork off")
    assert not talk.session.params.fork
    assert re.search(r"^fork +off$", talk.run("/params"), re.MULTILINE)
    talk.run("/fork model")
    assert talk.session.params == SamplingParams()
    for line in ("/fork", "/fork on", "/fork form"):
        assert complaint(talk, line) == "/fork is one of model, rules, off, auto"
