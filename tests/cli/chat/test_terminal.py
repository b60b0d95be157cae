"""`apar chat` at a keyboard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apar.chat.conversation import Conversation
from tests.cli.terminal import Terminal
from tests.client.fake import HANG, FakeChat
from tests.scripted import LIST

APAR = "from apar.cli import main; main()"
ENDLESS = "from tests.cli.endless import run; run()"
PROMPT = "> "
BEGUN = "Two things:"


def leave(terminal: Terminal) -> None:
    """Press Ctrl-D at the next prompt; before there is one it would be nothing."""
    terminal.wait_for(PROMPT)
    terminal.type("\x04")
    assert terminal.ended() == 0


def test_two_turns_with_a_real_model_whose_threads_are_shown(tiny: Path, tmp_path: Path) -> None:
    chat, trace = tmp_path / "chat.json", tmp_path / "trace.jsonl"
    with Terminal.running(APAR, "chat", tiny, "--max-tokens", 20) as terminal:
        assert f"{tiny} · /help lists the commands" in terminal.wait_for(PROMPT).replace("\n", "")
        terminal.type("How can I \\\n")
        terminal.wait_for("| ")
        terminal.type("sleep?\n")
        terminal.wait_for("20 tokens in ")
        terminal.wait_for(PROMPT)
        assert "0.0" in terminal.shown  # the label of a thread's panel
        terminal.type('"""And\nthen?\n"""\n')
        terminal.wait_for("20 tokens in ")
        terminal.wait_for(PROMPT)
        terminal.type(f"/save {chat}\n/trace {trace}\n")
        terminal.wait_for("events are in")
        leave(terminal)
    said = Conversation.read(chat)
    assert [turn["content"] for turn in said.turns[::2]] == ["How can I \nsleep?", "And\nthen?"]
    assert trace.read_text().count('"event": "forked"') > 0


@pytest.mark.parametrize("sequential", ["on", "off"])
def test_ctrl_c_ends_an_answer_and_keeps_what_was_said(tmp_path: Path, sequential: str) -> None:
    chat = tmp_path / "chat.json"
    with Terminal.running(ENDLESS, "chat", "any") as terminal:
        terminal.wait_for(PROMPT)
        terminal.type(f"/sequential {sequential}\n")
        terminal.wait_for("answers are decoded")
        terminal.type("endless\n")
        terminal.wait_for("on on")
        terminal.interrupt()
        terminal.wait_for("stopped; the chat goes on")
        terminal.wait_for(PROMPT)
        terminal.type("What helps?\n")
        terminal.wait_for(BEGUN)
        terminal.wait_for("tokens/s")
        terminal.wait_for(PROMPT)
        terminal.type(f"/save {chat}\n/quit\n")
        assert terminal.ended() == 0
    first, answer, second, other = [message["content"] for message in json.loads(chat.read_text())["messages"]]
    assert (first, second, other) == ("endless", "What helps?", LIST.text)
    assert answer == "on " * (len(answer) // 3) != ""


def test_ctrl_c_at_the_prompt_clears_the_line_and_ctrl_d_leaves(tmp_path: Path) -> None:
    with Terminal.running(ENDLESS, "chat", "any") as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("not this")
        terminal.wait_for("not this")
        terminal.interrupt()
        terminal.wait_for(PROMPT)
        terminal.type('"""nor\n')
        terminal.wait_for("| ")
        terminal.interrupt()
        terminal.wait_for(PROMPT)
        terminal.type("/params\n")
        assert "questions           0" in terminal.wait_for("system")
        leave(terminal)


def test_mistakes_are_one_line_each_and_the_chat_goes_on() -> None:
    with Terminal.running(ENDLESS, "chat", "any") as terminal:
        for typed, answered in [
            ("/hepl", "apar: /hepl is no command"),
            ("/load none.json", "apar: cannot read the chat none.json"),
            ("/set temperature -1", "apar: temperature is -1"),
            ("/retry", "apar: nothing was asked yet"),
            (" /why?", BEGUN),
        ]:
            terminal.wait_for(PROMPT)
            terminal.type(typed + "\n")
            terminal.wait_for(answered)
        terminal.wait_for("tokens in")
        leave(terminal)


def test_what_would_steer_the_terminal_is_not_shown() -> None:
    def steering(pieces: list[bytes]) -> list[bytes]:
        return [piece.replace(b"w", b"\\u001b") for piece in pieces]

    fake = FakeChat(version=None, distort=steering)
    with fake.running() as url, Terminal.running(APAR, "chat", "--url", url) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("Why?\n")
        terminal.wait_for("T\ufffdo things")
        leave(terminal)


def test_ctrl_c_ends_an_answer_of_a_server_that_says_nothing() -> None:
    fake = FakeChat(distort=lambda pieces: [*pieces[:20], HANG])
    with fake.running() as url, Terminal.running(APAR, "chat", "--url", url) as terminal:
        assert "tiny · /help" in terminal.wait_for(PROMPT)
        terminal.type("What helps?\n")
        terminal.wait_for(BEGUN)
        terminal.interrupt()
        terminal.wait_for("stopped; the chat goes on")
        assert fake.left.wait(30)
        fake.distort = lambda pieces: pieces
        terminal.wait_for(PROMPT)
        terminal.type("More?\n")
        terminal.wait_for("3 threads")
        leave(terminal)
    assert [message["role"] for message in fake.asked[1]["messages"]] == ["user", "assistant", "user"]
    assert fake.asked[1]["messages"][1]["content"].startswith(BEGUN)


def test_a_server_that_fails_costs_one_turn_and_is_asked_again() -> None:
    fake = FakeChat(distort=lambda pieces: pieces[:20])
    with fake.running() as url, Terminal.running(APAR, "chat", "--url", url) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("What helps?\n")
        terminal.wait_for("ended in the middle of the answer; /retry asks again")
        fake.distort = lambda pieces: pieces
        terminal.wait_for(PROMPT)
        terminal.type("/retry\n")
        terminal.wait_for("3 threads")
        leave(terminal)
    assert [len(body["messages"]) for body in fake.asked] == [1, 1]
