"""`apar generate`, `chat` and `serve` of a GGUF file: llama.cpp by itself, and no PyTorch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

APAR = (sys.executable, "-m", "apar")
OWN = ("--llama.n-threads", "1", "--llama.n-ctx", "1024")


def _apar(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*APAR, *words], input=said, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def address(tiny: Path) -> Iterator[str]:
    """A server of the tiny model, that is ready."""
    command = [*APAR, "serve", str(tiny), "--port", "0", *OWN]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        told = ""
        while "ready" not in told:
            line = server.stderr.readline()
            assert line, told
            told += line
        found = re.search(r"http://\S+", told)
        assert found is not None
        yield found[0]
        server.terminate()


def test_generate_answers_and_says_what_decodes(tiny: Path) -> None:
    done = _apar("generate", str(tiny), "he had the hat", "--max-tokens", "30", "--json", *OWN)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["tokens"] == 30
    assert answer["threads"] == answer["forks"] + 1 > 1
    assert done.stderr.startswith(f"apar: llama.cpp decodes {tiny} (llama-cpp-python ")


def test_mistakes_are_one_line(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"no")
    for words, message in (
        (("generate", str(tiny), "he", "--llama.n-ctx", "8"), "a cache of 8 cells is too small for 32 threads"),
        (("generate", str(tmp_path / "no.gguf"), "he"), "is no GGUF file"),
        (("generate", str(tmp_path / "other.gguf"), "he"), "there is no GGUF file"),
    ):
        done = _apar(*words)
        assert done.returncode == 2
        assert message in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_a_chat_answers_turn_after_turn(tiny: Path) -> None:
    said = '"he had the hat"\n"and then"\n'
    done = _apar("chat", str(tiny), "--json-lines", "--max-tokens", "20", *OWN, said=said)
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["tokens"] == second["tokens"] == 20


def test_the_server_answers_and_streams(address: str) -> None:
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "the hat"}], "max_tokens": 20}
    asked |= {"temperature": 0}
    whole = httpx.post(f"{address}/v1/chat/completions", json=asked, timeout=60).json()
    assert whole["usage"]["completion_tokens"] == 20
    streamed = ""
    with httpx.stream("POST", f"{address}/v1/chat/completions", json={**asked, "stream": True}, timeout=60) as lines:
        for line in lines.iter_lines():
            if line.startswith("data: {"):
                streamed += json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
    assert streamed == whole["choices"][0]["message"]["content"]
    assert 'backend="llama-cpp"' in httpx.get(f"{address}/metrics", timeout=60).text
