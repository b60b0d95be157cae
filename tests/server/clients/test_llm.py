"""The command `llm`, which knows of our server by its own file of other servers' models."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.clients.commands import run_command
from tests.server.served import KEY, MODEL, Served, later_word

QUESTION = "Give me five tips for sleeping better."
SHORT = ("-o", "temperature", "0", "-o", "max_tokens", "40")
Run = subprocess.CompletedProcess[str]


@pytest.fixture
def llm(served: Served, tmp_path: Path) -> Callable[..., Run]:
    """Run `llm` with the model `apar-tiny`, whose key is stored."""
    models = [{"model_id": "apar-tiny", "model_name": MODEL, "api_base": served.url, "api_key_name": "apar"}]
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps(models))  # JSON is YAML too
    (tmp_path / "keys.json").write_text(json.dumps({"apar": KEY}))  # as `llm keys set apar` does

    def run(*words: str, given: str = "") -> Run:
        return run_command("llm", *words, environment={"LLM_USER_PATH": str(tmp_path)}, folder=tmp_path, given=given)

    return run


def answered(served: Served, *messages: str, **fields: Any) -> str:
    """What the server says to messages by turns of user and assistant, asked without `llm`."""
    roles = ("user", "assistant")
    turns = [{"role": roles[k % 2], "content": message} for k, message in enumerate(messages)]
    asked = {"model": MODEL, "messages": turns, "temperature": 0, "max_tokens": 40, **fields}
    text: str = served.post("/v1/chat/completions", asked).json()["choices"][0]["message"]["content"]
    return text


@pytest.mark.parametrize("stream", [(), ("--no-stream",)])
def test_a_question_is_answered(served: Served, llm: Callable[..., Run], stream: tuple[str, ...]) -> None:
    run = llm("-m", "apar-tiny", *SHORT, *stream, QUESTION)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == answered(served, QUESTION) + "\n"


def test_options_are_obeyed(served: Served, llm: Callable[..., Run]) -> None:
    options = ("-o", "temperature", "1", "-o", "seed", "3", "-o", "max_tokens", "30", "-o", "top_p", "0.9")
    first, second = (llm("-m", "apar-tiny", *options, QUESTION).stdout for _ in range(2))
    stop = later_word(answered(served, QUESTION))
    stopped = llm("-m", "apar-tiny", *SHORT, "-o", "stop", stop, QUESTION).stdout
    assert first == second == answered(served, QUESTION, temperature=1, seed=3, max_tokens=30, top_p=0.9) + "\n"
    assert stopped == answered(served, QUESTION, stop=stop) + "\n"
    assert stop not in stopped


def test_a_conversation_is_gone_on_with(served: Served, llm: Callable[..., Run]) -> None:
    first = llm("-m", "apar-tiny", *SHORT, QUESTION).stdout.removesuffix("\n")
    second = llm("-c", *SHORT, "And what else?").stdout.removesuffix("\n")
    assert second == answered(served, QUESTION, first, "And what else?")
    assert second != answered(served, "And what else?")


def test_a_chat_of_several_turns_can_be_piped(served: Served, llm: Callable[..., Run]) -> None:
    run = llm("chat", "-m", "apar-tiny", *SHORT, given=f"{QUESTION}\nAnd what else?\nquit\n")
    first = answered(served, QUESTION)
    second = answered(served, QUESTION, first, "And what else?")
    assert run.returncode == 0, run.stderr
    assert run.stdout.index(first) < run.stdout.index(second)


def test_tokens_are_counted_as_the_server_tells(llm: Callable[..., Run]) -> None:
    run = llm("-m", "apar-tiny", *SHORT, "-u", QUESTION)
    assert "40 output" in run.stderr


def test_a_wrong_key_is_told_in_one_line(llm: Callable[..., Run]) -> None:
    run = llm("-m", "apar-tiny", *SHORT, "--key", "wrong", QUESTION)
    assert run.returncode == 1
    assert "this is not the API key of this server" in run.stderr
    assert "Traceback" not in run.stderr
