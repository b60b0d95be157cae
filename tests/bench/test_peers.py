"""Peers in processes of their own: made up ones, which need no package."""

from __future__ import annotations

from pathlib import Path

import pytest

from apar.bench.decode import OURS, DecodePlan, compare_decoding
from apar.bench.model import load_bench_model
from apar.bench.peers.process import PEERS, PeerError, PeerProcess, parse_peers, parse_pythons
from apar.errors import UserError
from tests.tiny import tiny_model

SETTINGS = {"threads": 1}

COUNTING = """
class Peer:
    version, threads = "counting 1", 1

    def __init__(self, settings):
        print("a library that prints")

    def decode(self, prompts, new_tokens):
        print("and prints")
        return [[prompt[-1] + 1 + k for k in range(new_tokens)] for prompt in prompts]
"""
ABSENT = "import a_package_that_is_not_installed\n"
DYING = COUNTING + "        \nPeer.decode = lambda self, prompts, new_tokens: 1 / 0\n"


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, source in {"counting": COUNTING, "absent": ABSENT, "dying": DYING}.items():
        file = tmp_path / f"{name}.py"
        file.write_text(source)
        monkeypatch.setitem(PEERS, name, str(file))


def start(name: str) -> PeerProcess:
    return PeerProcess(name, parse_pythons(())[name], SETTINGS)


@pytest.mark.usefixtures("fakes")
def test_a_peer_decodes_and_what_it_prints_does_no_harm() -> None:
    peer = start("counting")
    assert (peer.version, peer.threads) == ("counting 1", 1)
    seconds, tokens = peer.decode([[5], [1, 7]], 3)
    assert tokens == [[6, 7, 8], [8, 9, 10]]
    assert seconds >= 0
    peer.close()
    assert peer._process.returncode == 0


@pytest.mark.usefixtures("fakes")
def test_a_missing_package_is_the_reason() -> None:
    with pytest.raises(PeerError, match="No module named 'a_package_that_is_not_installed'"):
        start("absent")


@pytest.mark.usefixtures("fakes")
def test_a_process_that_dies_leaves_its_last_words() -> None:
    peer = start("dying")
    with pytest.raises(PeerError, match="ZeroDivisionError"):
        peer.decode([[1]], 1)
    peer.close()


def test_a_python_that_is_not_there_is_the_reason() -> None:
    with pytest.raises(PeerError, match="/no/python cannot be run: No such file"):
        PeerProcess("hf", "/no/python", SETTINGS)


@pytest.mark.usefixtures("fakes")
def test_peers_take_part_or_are_skipped_with_a_reason(tmp_path: Path) -> None:
    bench_model = load_bench_model(str(tiny_model(tmp_path / "model")), None, "auto", "cpu")
    plan = DecodePlan((1, 2), prompt_tokens=4, new_tokens=3, rounds=1)
    names = ["counting", "absent", "dying"]
    found = compare_decoding(bench_model, str(tmp_path / "model"), plan, names, parse_pythons(()), lambda line: None)
    assert [(one.engine, one.batch) for one in found.figures] == [
        (name, batch) for batch in (1, 2) for name in (OURS, "counting")
    ]
    ours, counting = found.figures[:2]
    assert ours.ratio.value == ours.same_tokens == 1.0
    assert counting.same_tokens < 1.0
    assert found.engines == {name: {"version": "counting 1", "threads": 1} for name in ("counting", "dying")}
    assert "No module named" in found.skipped["absent"]
    assert "ZeroDivisionError" in found.skipped["dying"]
    assert found.step_bytes[2] > found.step_bytes[1]


def test_generate_of_transformers_says_the_same_tokens_as_ours(tmp_path: Path) -> None:
    bench_model = load_bench_model(str(tiny_model(tmp_path, forks=False)), None, "float32", "cpu")
    plan = DecodePlan((2,), prompt_tokens=6, new_tokens=8, rounds=1)
    found = compare_decoding(bench_model, str(tmp_path), plan, ["hf"], parse_pythons(()), lambda line: None)
    assert not found.skipped
    assert [(one.engine, one.same_tokens) for one in found.figures] == [(OURS, 1.0), ("hf", 1.0)]


def test_unknown_peers_and_other_forms_are_refused() -> None:
    assert parse_peers(" hf,vllm,hf ") == ["hf", "vllm"]
    with pytest.raises(UserError, match="no peer 'tgi'; there are hf, vllm"):
        parse_peers("hf,tgi")
    with pytest.raises(UserError, match="is not NAME=PYTHON"):
        parse_pythons(["vllm"])
    assert parse_pythons(["vllm=/a/python"])["vllm"] == "/a/python"
