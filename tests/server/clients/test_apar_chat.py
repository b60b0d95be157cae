"""`apar chat --url` against our own server."""

from __future__ import annotations

import subprocess
import sys

import pytest

from apar.assemble import tree_of
from apar.chat.conversation import Conversation
from apar.chat.session import Session
from apar.client.chat import ChatClient
from apar.decoding.params import SamplingParams
from apar.errors import ContextError, RequestError
from apar.events import Event, Started
from tests.fixtures import TINY
from tests.server.processes import running
from tests.server.served import KEY, MODEL, Served

QUESTION = "Give me five tips for sleeping better."
PARAMS = SamplingParams(max_tokens=60)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def connect(served: Served, key: str = KEY) -> ChatClient:
    return ChatClient(served.origin, key, None, 60, lambda text: None)


def test_two_turns_are_what_the_server_answers_without_a_chat(served: Served) -> None:
    words = ["chat", "--url", served.url, "--api-key", KEY, "--max-tokens", "60"]
    done = subprocess.run(
        [sys.executable, "-m", "apar", *words], input=f"{QUESTION}\nWhy?\n", capture_output=True, text=True, check=False
    )
    messages, expected = [], []
    for question in (QUESTION, "Why?"):
        messages.append({"role": "user", "content": question})
        body = {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 60}
        said = served.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"]
        messages.append({"role": "assistant", "content": said})
        expected.append(said if said.endswith("\n") else said + "\n")
    assert (done.returncode, done.stdout) == (0, "\n".join(expected))
    assert done.stderr.startswith("60 tokens in ")
    assert " threads, " in done.stderr.splitlines()[0]


@pytest.mark.parametrize(
    "params", [PARAMS, SamplingParams(max_tokens=60, fork=False), SamplingParams(max_tokens=60, stop=("2.",))]
)
def test_the_events_make_the_text_and_the_figures_fit_them(served: Served, params: SamplingParams) -> None:
    with connect(served) as server:
        session = Session(server, params, Conversation("Answer in a list."))
        turn = session.ask(QUESTION)
        stream = turn.stream()
        while True:
            try:
                next(stream)
            except StopIteration as end:
                figures = end.value
                break
    tree = tree_of(session.events, params.stop)
    assert tree.text == turn.text
    assert figures.threads == sum(isinstance(event, Started) for event in session.events)
    assert (figures.threads > 1) == params.fork
    assert figures.tokens <= 60
    body = {"model": MODEL, "messages": session.conversation.asking(QUESTION), "temperature": 0, "max_tokens": 60}
    body |= {"stop": list(params.stop)} if params.stop else {}
    body["apar"] = {"fork": params.fork}
    assert served.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"] == turn.text


def test_leaving_an_answer_frees_its_blocks(served: Served) -> None:
    with connect(served) as server:
        stream = server.stream([{"role": "user", "content": QUESTION}], SamplingParams(max_tokens=1500))
        seen: list[Event] = [next(stream) for _ in range(5)]
        stream.close()
        served.check_idle()
    assert len(seen) == 5


def test_a_wrong_key_and_a_chat_that_is_too_long_are_told_as_such(served: Served) -> None:
    with pytest.raises(RequestError, match="refuses the API key"):
        connect(served, "another")
    with connect(served) as server, pytest.raises(ContextError, match="context of 2048 tokens"):
        list(server.stream([{"role": "user", "content": "cake " * 9000}], PARAMS))


def test_a_chat_that_begins_while_the_server_loads_is_answered() -> None:
    with running("apar", "serve", str(TINY), "--port", "0") as process:
        url = f"http://{process.host}:{process.port}"
        with ChatClient(url, None, None, 60, lambda text: None) as server:
            assert server.forks
            events = list(server.stream([{"role": "user", "content": QUESTION}], PARAMS))
    assert tree_of(events).text
