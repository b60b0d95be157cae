from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from apar.decoding.params import SamplingParams
from apar.errors import RequestError
from apar.events import Event
from tests.cli.conftest import Run
from tests.client.fake import FakeChat, Reply
from tests.scripted import LIST, ScriptedLLM

Apar = Callable[..., Run]
Type = Callable[[bytes], None]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("APAR_API_KEY", raising=False)


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Type:
    """Say what stands on standard input."""

    def put(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return put


def contents(llm: ScriptedLLM) -> list[list[str]]:
    """The texts of the messages of each request."""
    return [[message["content"] for message in prompt] for prompt, _ in llm.asked]  # type: ignore[index]


def test_each_line_of_a_pipe_is_a_question_in_one_chat(apar: Apar, scripted: ScriptedLLM, piped: Type) -> None:
    piped("One?\r\n\n/help me\u2028now\n".encode())
    code, out, err = apar("chat", "any", "--system", "Be brief.")
    assert code == 0
    assert out == f"{LIST.text}\n{LIST.text}"
    assert [line.startswith(f"{len(LIST.text)} tokens in ") for line in err.splitlines()] == [True, True]
    assert contents(scripted) == [
        ["Be brief.", "One?"],
        ["Be brief.", "One?", LIST.text, "/help me\u2028now"],
    ]


def test_no_line_is_no_answer(apar: Apar, scripted: ScriptedLLM, piped: Type) -> None:
    piped(b"\n\n")
    assert apar("chat", "any") == (0, "", "")


def test_a_line_that_fails_is_told_with_its_number_and_the_chat_goes_on(
    apar: Apar, scripted: ScriptedLLM, piped: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scripted.stream

    def stream(prompt: list[dict[str, str]], params: SamplingParams) -> Generator[Event, None, object]:
        if prompt[-1]["content"] == "Two?":
            raise RequestError("not that one")
        return whole(prompt, params)  # type: ignore[arg-type]

    monkeypatch.setattr(scripted, "stream", stream)
    piped(b"One?\nTwo?\n\xff\nThree?\n")
    code, out, err = apar("chat", "any")
    assert code == 2
    assert out.count(LIST.text) == 2
    assert "apar: line 2: not that one" in err.splitlines()
    assert "apar: line 3: the question is not UTF-8 text" in err.splitlines()
    assert contents(scripted)[-1] == ["One?", LIST.text, "Three?"]


def test_json_lines_go_in_and_come_out(apar: Apar, scripted: ScriptedLLM, piped: Type) -> None:
    piped(b'"Two\\nlines?"\n{"a": 1}\nno json\n')
    code, out, err = apar("chat", "any", "--json-lines")
    assert (code, err) == (2, "")
    told = [json.loads(line) for line in out.splitlines()]
    assert told[0] == {
        "text": LIST.text, "finish_reason": "stop", "tokens": len(LIST.text), "steps": told[0]["steps"],
        "forward_passes": None, "threads": 3, "drafted": [], "accepted": [], "seconds": told[0]["seconds"],
    }  # fmt: skip
    assert ["error" in line for line in told] == [False, True, True]
    assert contents(scripted) == [["Two\nlines?"]]


def test_a_chat_goes_on_from_a_file(apar: Apar, scripted: ScriptedLLM, piped: Type, tmp_path: Path) -> None:
    chat = tmp_path / "chat.json"
    chat.write_text(json.dumps({"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]}))
    piped(b"More?\n")
    assert apar("chat", "any", "--load", chat, "--system", "S").code == 0
    assert contents(scripted) == [["S", "A", "B", "More?"]]


def test_options_reach_the_engine(apar: Apar, scripted: ScriptedLLM, piped: Type) -> None:
    piped(b"Q\n")
    assert apar("chat", "any", "--fork", "off", "--temperature", 0.5, "--dtype", "bfloat16").code == 0
    assert scripted.asked[0][1] == SamplingParams(temperature=0.5, fork=False)
    assert scripted.loading == {"dtype": "bfloat16"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name a MODEL, or a server by --url"),
        (["m", "--url", "http://h"], "leave m out, or name it by --model"),
        (["m", "--model", "n"], "--model is a server's name"),
        (["--url", "http://h", "--num-blocks", "9"], "--num-blocks is of a model that is loaded here"),
        (["--url", "http://h", "--fork-way", "core"], "--fork-way is of vLLM"),
        (["--url", "h"], "is no URL"),
        (["m", "-n", "2"], "leave -n out"),
        (["m", "--load", "none.json"], "none.json"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(apar: Apar, words: list[str], message: str) -> None:
    code, out, err = apar("chat", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_model_that_was_not_trained_to_fork_is_refused_at_once(apar: Apar, tmp_path: Path, piped: Type) -> None:
    pytest.importorskip("torch")
    from tests.tiny import tiny_model

    piped(b"Q\n")
    model = tiny_model(tmp_path / "plain", control=False)
    code, out, err = apar("chat", model)
    assert (code, out) == (2, "")
    assert "--fork off" in err.splitlines()[-1]
    assert apar("chat", model, "--fork", "off", "--max-tokens", 5).code == 0


def test_a_chat_that_is_too_long_is_never_cut(apar: Apar, tiny: Path, piped: Type) -> None:
    piped(b"Why? " * 200 + b"\nWhy?\n")
    code, out, err = apar("chat", tiny, "--max-tokens", 5)
    assert code == 2
    assert "apar: line 1: the prompt is too long" in err
    assert "5 tokens in " in err
    assert out.startswith("\n")


def test_a_server_answers_a_pipe(apar: Apar, piped: Type) -> None:
    fake = FakeChat()
    piped(b"One?\nTwo?\n")
    with fake.running() as url:
        code, out, err = apar("chat", "--url", url, "--system", "S")
    assert (code, out) == (0, f"{LIST.text}\n{LIST.text}")
    assert err.startswith(f"{len(LIST.text)} tokens in 30 steps ")
    assert ", 3 threads, " in err
    said = [[message["content"] for message in body["messages"]] for body in fake.asked]
    assert said == [["S", "One?"], ["S", "One?", LIST.text, "Two?"]]


def test_of_a_server_of_somebody_else_what_is_known_is_told(apar: Apar, piped: Type) -> None:
    piped(b"One?\n")
    with FakeChat(version=None).running() as url:
        code, out, err = apar("chat", "--url", url)
    assert (code, out) == (0, LIST.text)
    assert "step" not in err
    assert err.startswith(f"{len(LIST.text)} tokens, ")


def test_every_line_is_told_when_it_may_be_asked_again(apar: Apar, piped: Type) -> None:
    busy = Reply(429, {"error": {"message": "full"}}, {"Retry-After": "7"})
    piped(b"One?\nTwo?\n")
    with FakeChat(refuse=lambda body: busy).running() as url:
        code, _, err = apar("chat", "--url", url)
    assert code == 2
    assert err.count("(429): full; ask again in 7 s") == 2


def test_a_key_comes_from_the_command_line_or_our_own_place_in_the_environment(
    apar: Apar, piped: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    piped(b"")
    with FakeChat(key="secret").running() as url:
        assert "refuses the API key (401)" in apar("chat", "--url", url).err
        assert apar("chat", "--url", url, "--api-key", "secret").code == 0
        monkeypatch.setenv("APAR_API_KEY", "secret")
        assert apar("chat", "--url", url).code == 0


def test_without_httpx_what_to_install_is_told(apar: Apar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    code, out, err = apar("chat", "--url", "http://127.0.0.1:1")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "apar-llm[client]" in err


def test_what_a_server_says_steers_no_terminal(apar: Apar, piped: Type) -> None:
    piped(b"One?\n")
    with FakeChat(refuse=lambda body: Reply(400, {"error": {"message": "\x1b[2J"}})).running() as url:
        code, _, err = apar("chat", "--url", url)
    assert code == 2
    assert "\x1b" not in err


def test_a_vllm_server_answers_with_its_forks_carried_out_here(apar: Apar, piped: Type, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.backends.vllm.tiny import tokenizer
    from tests.backends.vllm_server.fake import FakeServer

    tokenizer().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    piped(b"a\nb\n")
    fake = FakeServer(context=200)
    with fake.running() as url:
        code, _, err = apar("chat", tmp_path, "--backend", "vllm", "--url", url, "--max-tokens", 20)
    assert code == 0, err
    assert err.count(" tokens in ") == 2
    assert len(fake.bodies) > 2
