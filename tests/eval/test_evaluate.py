"""An evaluation answers every prompt both ways and compares the losses over the same text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from apar.cli.evaluate import command
from apar.config import load_config
from apar.data.records import Example, read_examples
from apar.decoding.answer import Answer
from apar.errors import UserError
from apar.eval.plan import Plan
from apar.eval.quality import compare_losses
from apar.eval.run import evaluate
from apar.eval.speed import Pair, choose_prompts, figures, summarize
from apar.models.load import load
from apar.train.batches import Encoder
from apar.tree import Node, ParagraphTree
from tests.tiny import tiny_model

LISTING = ParagraphTree(Node("1. One:", Node(" a thing."), Node("\n2. Two:", Node(" more."), Node(""))))


def answer(tokens: int, steps: int, seconds: float, *, forks: int = 0, blocks: int = 4) -> Answer:
    return Answer(
        text="x",
        finish_reason="stop",
        events=(),
        threads=forks + 1,
        forks=forks,
        tokens=tokens,
        decoded=tokens,
        prompt_tokens=3,
        steps=steps,
        forward_passes=steps,
        seconds=seconds,
        kv_blocks_peak=blocks,
        mode="forked",
        seed=0,
    )


def test_the_figures_are_ratios_of_sums_over_both_ways() -> None:
    pairs = [
        Pair("a", True, answer(100, 40, 1.0, forks=3, blocks=12), answer(50, 50, 1.0, blocks=6)),
        Pair("b", False, answer(20, 20, 1.0, blocks=6), answer(30, 30, 1.0, blocks=6)),
    ]
    found = figures(pairs)
    assert found is not None
    assert found.forking == 0.5
    assert found.tokens_per_step == 2.0
    assert found.rate_ratio == pytest.approx((120 / 2) / (80 / 2))
    assert found.seconds_ratio == pytest.approx(1.0)
    assert found.median_ratio == pytest.approx((100 / 50 + 20 / 30) / 2)
    assert found.kv_peak_ratio == 1.5


def test_the_summary_separates_prompts_that_fork_and_that_ask_for_lists() -> None:
    pairs = [
        Pair("a", True, answer(9, 3, 1.0, forks=1), answer(9, 9, 1.0)),
        Pair("b", True, answer(9, 9, 1.0), answer(9, 9, 1.0)),
    ]
    summary = summarize(pairs)
    counts = {name: part["prompts"] if part else 0 for name, part in summary.items()}
    assert counts == {"all": 2, "forking": 1, "lists": 2, "others": 0}


def test_prompts_are_distinct_short_and_of_one_turn() -> None:
    turns = ({"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}, {"role": "user", "content": "c"})
    examples = [Example(({"role": "user", "content": text},), LISTING, "ordered_list") for text in ("a", "a", "b" * 99)]
    plan = Plan(model="m", trees=(Path("t"),), max_prompt_chars=50)
    chosen = choose_prompts([*examples, Example(turns, LISTING, "ordered_list")], plan)
    assert [example.messages[-1]["content"] for example in chosen] == ["a"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    records = [
        {
            "id": str(k),
            "source": "s",
            "prompt": f"What about {k}?",
            "response": LISTING.text,
            "rule": "ordered_list",
            "reason": None,
            "forks": LISTING.forks(),
        }
        for k in range(3)
    ]
    (tmp_path / "trees.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    model, twin = tiny_model(tmp_path / "model"), tiny_model(tmp_path / "twin", control=False, seed=1)
    lines = [
        f"model: {model}",
        f"twin: {twin}",
        f"trees: [{tmp_path / 'trees.jsonl'}]",
        "max_tokens: 12",
        "max_length: 200",
        f"output: {tmp_path / 'result.json'}",
    ]
    path = tmp_path / "evaluate.yaml"
    path.write_text("\n".join(lines))
    return path


def test_the_command_prints_one_line_of_json_and_writes_every_answer(config: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke(command, [str(config), "--json"], catch_exceptions=False)
    result = json.loads(run.stdout)
    assert result["speed"]["lists"]["prompts"] == 3
    assert result["loss"]["model"]["text_tokens"] == result["loss"]["twin"]["text_tokens"] > 0
    assert result["loss"]["ratio"] == pytest.approx(result["loss"]["model"]["text"] / result["loss"]["twin"]["text"])
    written = json.loads((tmp_path / "result.json").read_text())
    assert len(written["answers"]) == 3
    assert written["answers"][0]["sequential"]["mode"] == "sequential"


def test_an_answer_whose_tree_is_too_long_for_a_pack_counts_for_neither_model(config: Path) -> None:
    tree = ParagraphTree.leaf("A short one.")
    record = {"id": "x", "source": "s", "prompt": "And?", "response": tree.text, "rule": "unstructured"}
    with (config.parent / "trees.jsonl").open("a") as file:
        file.write(json.dumps({**record, "reason": None, "forks": tree.forks()}) + "\n")
    plan = load_config(config, Plan)
    examples = read_examples(plan.trees)
    _, tokenizer = load(plan.model, dtype="auto", device="auto")
    longest = max(len(Encoder(tokenizer, forked=True, max_length=999).sample(example)) for example in examples)
    result = compare_losses(plan.model_copy(update={"max_length": longest - 1}), examples)
    assert (result["answers"], result["too_long"]) == (1, 3)
    assert result["model"]["text_tokens"] == result["twin"]["text_tokens"] > 0


def test_the_command_prints_a_table_for_people(config: Path) -> None:
    run = CliRunner().invoke(command, [str(config)], catch_exceptions=False)
    assert "tokens/step" in run.stdout
    assert "sequential twin" in run.stdout


def test_prompts_that_do_not_fit_the_plan_are_an_error(config: Path) -> None:
    plan = Plan(model="demo", trees=(config.parent / "trees.jsonl",), max_prompt_chars=2)
    with pytest.raises(UserError, match="one question of at most max_prompt_chars"):
        evaluate(plan)
