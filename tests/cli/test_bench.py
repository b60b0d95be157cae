"""`apar bench`: on a tiny saved model, and what is wrong is one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apar.data.records import TreeRecord
from apar.tree import Node, ParagraphTree
from tests.cli.conftest import Run
from tests.tiny import tiny_model

LIST = ParagraphTree(Node("1. Bed:", Node(" go early."), Node("\n2. Book:", Node(" read it."), Node("\nDone."))))


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    path = tmp_path / "trees.jsonl"
    messages = ({"role": "user", "content": "How?"},)
    records = [
        TreeRecord(str(n), "drawn", messages, LIST.text, "ordered_list", None, LIST, {"category": category})
        for n, category in enumerate(("generic", "generic", "writing"))
    ]
    path.write_text("".join(record.to_json() + "\n" for record in records))
    return path


def result(run: Run) -> dict[str, Any]:
    """The last line of the output."""
    assert run.code == 0, run.err
    found: dict[str, Any] = json.loads(run.out.splitlines()[-1])
    return found


def test_structure_needs_no_model(apar: Callable[..., Run], trees: Path, tmp_path: Path) -> None:
    run = apar("bench", "structure", trees, "--rows", "1,inf", "--json", tmp_path / "out.json")
    found = result(run)
    assert list(found["categories"]) == ["generic", "writing", "all"]
    assert list(found["categories"]["all"]["bounds"]) == ["1", "inf"]
    assert found["categories"]["all"]["bounds"]["inf"] > 1
    assert found["tokenizer"] == "words and punctuation"
    assert "rows inf" in run.out
    assert json.loads((tmp_path / "out.json").read_text())["categories"] == found["categories"]


def test_latency_replays_both_ways(apar: Callable[..., Run], trees: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    run = apar("bench", "latency", tiny, "--replay", trees, "--json", out)
    found = result(run)
    figures = found["categories"]["all"]
    assert figures["answers"] == 3
    assert figures["step_ratio"]["value"] > 1
    assert found["model"]["dtype"] == "float32"
    assert found["machine"]["threads"] >= 1
    assert found["command"].startswith("apar bench latency")
    assert "writing" in run.out
    runs = json.loads(out.read_text())["runs"]
    assert [one["id"] for one in runs] == ["0", "1", "2"]
    assert runs[0]["sequential"]["passes"] > runs[0]["forked"]["passes"]


def test_throughput_keeps_to_concurrency_and_blocks(apar: Callable[..., Run], trees: Path, tiny: Path) -> None:
    options = ("--concurrency", 2, "--num-blocks", 24, "--rounds", 2)
    found = result(apar("bench", "throughput", tiny, "--replay", trees, *map(str, options)))
    assert found["all"]["forked"]["passes"] < found["all"]["sequential"]["passes"]
    assert found["all"]["sequential"]["kv_peak"] <= 24
    assert found["categories"]["writing"]["answers"] == 1


def test_forced_answers_are_decoded_in_four_ways_with_drafts_as_good_as_it_is_said(
    apar: Callable[..., Run], trees: Path, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    run = apar("bench", "drafts", tiny, "--replay", trees, "--acceptance", "1,1", "--json", out)
    found = result(run)
    assert found["model"]["acceptance"] == [1.0, 1.0]
    ways = found["categories"]["all"]["ways"]
    assert list(ways) == ["sequential", "sequential with drafts", "forked", "forked with drafts"]
    assert ways["forked"]["tokens_per_pass"] > ways["sequential"]["tokens_per_pass"]
    for way in ("sequential", "forked"):
        assert ways[f"{way} with drafts"]["tokens_per_pass"] >= ways[way]["tokens_per_pass"]
        assert ways[f"{way} with drafts"]["same_text"] == 1
        assert all(share == 1 for share in ways[f"{way} with drafts"]["accepted"])
    assert len(json.loads(out.read_text())["runs"]) == 3
    assert "tokens/pass" in run.out


def test_a_model_answers_questions_in_four_ways(apar: Callable[..., Run], tiny: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    lines = [{"text": f"What is {n}?", "category": f"c{n % 2}"} for n in range(4)]
    questions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    asked = ("bench", "drafts", tiny, "--prompts", questions, "--drafts", "ngram", "--max-tokens", 30)
    found = result(apar(*asked, "--answers", 2))
    assert list(found["categories"]) == ["c0", "c1", "all"]
    assert [way["same_text"] for way in found["categories"]["all"]["ways"].values()] == [1, 1, 1, 1]
    together = result(apar(*asked, "--concurrency", 4))
    assert list(together["categories"]) == ["all"]
    assert together["categories"]["all"]["answers"] == 4


def untaught(folder: Path) -> Path:
    return tiny_model(folder / "untaught", control=False, context=1024)


def test_policies_of_an_untaught_model_side_by_side(apar: Callable[..., Run], tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps({"text": f"What is {n}?", "category": "c"}) + "\n" for n in range(2)))
    out = tmp_path / "out.json"
    asked = ("bench", "policies", untaught(tmp_path), "--prompts", questions, "--max-tokens", 24, "--json", out)
    run = apar(*asked)
    ways = result(run)["categories"]["all"]["ways"]
    assert list(ways) == ["sequential", "rules", "skeleton"]
    assert (ways["sequential"]["forking"], ways["skeleton"]["forking"]) == (0, 1)
    assert ways["rules"]["tokens"] > 0
    assert len(json.loads(out.read_text())["runs"]) == 2
    assert "tokens/pass" in run.out
    together = result(apar(*asked, "--policies", "skeleton", "--concurrency", 2, "--temperature", 0.7))
    assert list(together["categories"]["all"]["ways"]) == ["sequential", "skeleton"]
    assert together["temperature"] == 0.7


def test_policies_of_a_taught_model_give_the_same_text(apar: Callable[..., Run], tiny: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"text": "What is it?", "category": "c"}) + "\n")
    asked = ("bench", "policies", tiny, "--prompts", questions, "--max-tokens", 24)
    ways = result(apar(*asked))["categories"]["all"]["ways"]
    assert list(ways) == ["sequential", "model"]
    assert (ways["model"]["same_text"], ways["model"]["forking"]) == (1, 1)
    assert ways["model"]["tokens_per_pass"] > ways["sequential"]["tokens_per_pass"]
    for names, message in (("rules", "name its base"), ("skelton", "there is no policy 'skelton'")):
        refused = apar(*asked, "--policies", names)
        assert refused.code == 2
        assert message in refused.err
    refused = apar("bench", "policies", untaught(tmp_path), "--prompts", questions, "--policies", "model")
    assert "was not taught to fork" in refused.err


def test_steps_are_timed_by_number_of_threads(apar: Callable[..., Run], tiny: Path) -> None:
    found = result(apar("bench", "steps", tiny, "--threads", "1,2", "--prompt-tokens", "4", "--rounds", "1"))
    assert [one["threads"] for one in found["steps"]] == [1, 2]


def test_decoding_is_timed_alone_and_a_missing_peer_is_skipped_with_its_reason(
    apar: Callable[..., Run], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apar.bench.peers.process import PEERS

    (tmp_path / "absent.py").write_text("import a_package_that_is_not_installed\n")
    monkeypatch.setitem(PEERS, "absent", str(tmp_path / "absent.py"))
    sizes = ("--prompt-tokens", "4", "--new-tokens", "3", "--peer-rounds", "1", "--batch", "1,2")
    run = apar("bench", "latency", tiny, "--peers", "absent", *sizes)
    found = result(run)["decode"]
    assert [(one["engine"], one["batch"]) for one in found["figures"]] == [("apar", 1), ("apar", 2)]
    assert found["bandwidth"] > 0
    assert "absent is skipped: ModuleNotFoundError: No module named 'a_package_that_is_not_installed'" in run.out


VLLM = ("--backend", "vllm")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("latency", "MODEL", "--shape", "llama-25m"), "give a model or --shape, one of the two"),
        (("latency",), "give a model or --shape, one of the two"),
        (("latency", "--shape", "llama-9b"), "there is no shape 'llama-9b'; there are llama-25m"),
        (("latency", "MODEL", "--peers", "tgi"), "there is no peer 'tgi'; there are hf, vllm, llama.cpp"),
        (("latency", "MODEL", "--peer-python", "tgi=x"), "--peer-python 'tgi=x' is not NAME=PYTHON"),
        (("throughput", "MODEL"), "give the answers to decode: --replay TREES"),
        (("latency", "MODEL", "--replay", "EMPTY"), "has no answer with text"),
        (("latency", "MODEL", "--replay", "TREES", "--only", "x"), "--only 'x' is not KEY=VALUE"),
        (("latency", "MODEL", "--replay", "TREES", "--num-blocks", "1"), "give more --num-blocks"),
        (("latency", "MODEL", "--tokenizer", "x"), "--tokenizer is for --shape"),
        (("latency", "--shape", "llama-25m", "--tokenizer", "/no/such"), "no tokenizer at /no/such"),
        (("latency", "--shape", "llama-25m", "--dtype", "int3"), "dtype is 'int3'"),
        (("steps", "MODEL", "--threads", "1,x"), "is not a list of whole numbers"),
        (("latency", "MODEL", "--backend", "vllm"), "vLLM is measured on given answers: name them by --replay TREES"),
        (("latency", "MODEL", "--replay", "TREES", "--fork-way", "core"), "--fork-way is of vLLM; add --backend vllm"),
        (("latency", "MODEL", "--replay", "TREES", *VLLM, "--url", "x"), "--url does not go with --backend vllm"),
        (("throughput", "MODEL", "--replay", "TREES", *VLLM, "--peers", "hf"), "--peers does not go with"),
        (("steps", "MODEL", *VLLM, "--cpu-threads", "1"), "--cpu-threads does not go with --backend vllm"),
        (("drafts", "MODEL"), "give the questions to answer (--prompts) or the answers to force (--replay)"),
        (("drafts", "MODEL", "--replay", "TREES"), "--acceptance says how often drafts of forced answers are right"),
        (("drafts", "MODEL", "--replay", "TREES", "--acceptance", "2"), "is not a list of shares from 0 to 1"),
        (("drafts", "MODEL", "--replay", "TREES", "--acceptance", "1", "--drafts", "ngram"), "--drafts does not go"),
        (("drafts", "--shape", "llama-25m", "--prompts", "TREES"), "only a trained model answers questions"),
        (("structure", "EMPTY"), "has no answer with text"),
        (("structure", "TREES", "--rows", "0"), "is not a list of whole numbers"),
    ],
)
def test_what_is_wrong_is_one_clear_line(
    apar: Callable[..., Run], trees: Path, tiny: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    named = {"MODEL": str(tiny), "TREES": str(trees), "EMPTY": str(empty)}
    run = apar("bench", *(named.get(argument, argument) for argument in arguments))
    assert run.code == 2
    assert message in run.err
    assert "Traceback" not in run.err
