"""One command answers held-out prompts in every way, measures the answers, and goes on after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from apar.cli.evaluate import command
from apar.config import load_config
from apar.errors import ModelError, UserError
from apar.eval import run as run_module
from apar.eval.answered import Answered
from apar.eval.models import Models
from apar.eval.plan import Plan
from apar.eval.prompts import EvalPrompt
from apar.eval.run import evaluate
from apar.eval.ways import Way
from apar.tree import ParagraphTree
from tests.eval.files import instructed, record, write_lines
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "model": str(tiny_model(folder / "model")),
        "twin": str(tiny_model(folder / "twin", control=False, seed=1)),
        "base": str(tiny_model(folder / "base", control=False, seed=2)),
    }


@pytest.fixture
def config(tmp_path: Path, models: dict[str, str]) -> Path:
    trees = [record(f"What about {k}?") for k in range(4)] + [
        record("And?", ParagraphTree.leaf("A short one."), "too_few_parts")
    ]
    questions = [{"question_id": k, "text": f"Why {k}?", "category": "generic"} for k in range(2)]
    write_lines(tmp_path / "trees.jsonl", trees)
    write_lines(tmp_path / "questions.jsonl", questions)
    plan = {
        **models,
        "sets": {
            "heldout": {"trees": [str(tmp_path / "trees.jsonl")], "timed": 2},
            "vicuna": {"questions": [str(tmp_path / "questions.jsonl")]},
        },
        "max_tokens": 12,
        "loss": {"max_length": 200},
        "batch": 2,
        "output": str(tmp_path / "out" / "result.json"),
    }
    path = tmp_path / "evaluate.yaml"
    path.write_text(json.dumps(plan))  # JSON is YAML
    return path


FOUR: tuple[Way, ...] = ("forked", "one_thread", "twin", "base")


def result_of(config: Path) -> Any:
    return json.loads((config.parent / "out" / "result.json").read_text())


def test_the_command_answers_in_every_way_and_writes_all_of_it(config: Path) -> None:
    run = CliRunner().invoke(command, [str(config), "--json"], catch_exceptions=False)
    printed, written = json.loads(run.stdout), result_of(config)
    answers = written.pop("answers")
    assert printed == written
    heldout = printed["sets"]["heldout"]
    assert heldout["answered"] == 5
    assert heldout["kinds"] == {"list": 4, "short": 1}
    assert heldout["speed"]["all"]["timed"]["prompts"] == 2
    assert heldout["speed"]["all"]["forking"] == {"forked": 1}
    assert printed["sets"]["vicuna"]["speed"]["categories"]["generic"]["timed"]["prompts"] == 2
    assert printed["held_out_loss"]["all"]["ratio"] > 0
    assert heldout["reader"]["paired"]["forked"]["twin"]["a_token"]["prompts"] == 5
    # Two timed prompts in four ways, three others in three.
    assert len(answers["heldout"]) == 2 * 4 + 3 * 3
    assert len(answers["vicuna"]) == 2 * 4
    assert all(answer["read"]["tokens"] for answer in answers["vicuna"] if answer["way"] != "one_thread")


def test_one_thread_at_a_time_gives_the_same_answer_in_a_pass_for_each_token(config: Path) -> None:
    evaluate(load_config(config, Plan))
    rows = {way: {} for way in FOUR}  # type: dict[str, dict[str, Any]]
    for row in result_of(config)["answers"]["vicuna"]:
        rows[row["way"]][row["prompt"]] = row
    for key, forked in rows["forked"].items():
        single = rows["one_thread"][key]
        assert (single["text"], single["forks"]) == (forked["text"], forked["forks"])
        assert single["forward_passes"] >= single["tokens"] > forked["forward_passes"]


def test_no_timed_answer_finds_its_prompt_in_the_cache(config: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "questions.jsonl", [{"text": "Why is the sea " + "so very, very wide and deep? " * 2}])
    evaluate(load_config(config, Plan, ["read=false", "loss.answers=0"]))
    rows = result_of(config)["answers"]["vicuna"]
    assert [row["way"] for row in rows] == list(FOUR)
    assert all(row["prompt_tokens"] > 16 and not row["cached_tokens"] for row in rows)


def test_a_killed_evaluation_goes_on_with_the_same_command(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = load_config(config, Plan)
    answer, asked = Models.answer, []

    def failing(self: Models, way: Any, prompts: list[EvalPrompt], max_tokens: int | None = None) -> list[Answered]:
        if len(asked) >= 10:
            raise KeyboardInterrupt
        asked.extend((way, prompt.id) for prompt in prompts if max_tokens is None)
        return answer(self, way, prompts, max_tokens)

    monkeypatch.setattr(Models, "answer", failing)
    with pytest.raises(KeyboardInterrupt):
        evaluate(plan)
    first, asked[:] = list(asked), []

    def counting(self: Models, way: Any, prompts: list[EvalPrompt], max_tokens: int | None = None) -> list[Answered]:
        asked.extend((way, prompt.id) for prompt in prompts if max_tokens is None)
        return answer(self, way, prompts, max_tokens)

    monkeypatch.setattr(Models, "answer", counting)
    evaluate(plan)
    assert len(first) == 10
    assert not set(first) & set(asked)
    assert len(asked) == (2 * 4 + 3 * 3) + 2 * 4 - 10


def test_a_finished_evaluation_is_told_again_without_a_model(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = load_config(config, Plan)
    first = evaluate(plan)
    monkeypatch.setattr("apar.eval.models.LLM", None)
    monkeypatch.setattr("apar.eval.scoring.load", None)
    assert evaluate(plan) == first


@pytest.mark.parametrize("change", [{"max_tokens": 13}, {"seed": 1}, {"twin": None}])
def test_answers_of_another_plan_are_not_mixed_in(config: Path, change: dict[str, Any]) -> None:
    plan = load_config(config, Plan)
    evaluate(plan)
    with pytest.raises(UserError, match="holds answers of another plan, other prompts or other models"):
        evaluate(plan.model_copy(update=change))


def test_answers_of_other_weights_are_not_mixed_in(config: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", seed=4)
    plan = load_config(config, Plan, [f"model={other}"])
    evaluate(plan)
    tiny_model(other, seed=5)
    with pytest.raises(UserError, match="other models"):
        evaluate(plan)


def test_the_tables_name_what_is_compared(config: Path) -> None:
    run = CliRunner().invoke(command, [str(config)], catch_exceptions=False)
    for told in (
        "tokens per step",
        "one thread",
        "twin",
        "reader: nats a token",
        "reader's nats a token, forked less twin",
        "held-out loss, structured",
    ):
        assert told in run.stdout


def adapter_of(model: str, folder: Path) -> Path:
    """Save a LoRA with random weights."""
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    settings = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(model), settings).save_pretrained(folder)
    return folder


def test_a_model_may_be_a_base_with_an_adapter(config: Path, tmp_path: Path, models: dict[str, str]) -> None:
    adapter = adapter_of(models["base"], tmp_path / "adapter")
    plan = load_config(
        config, Plan, [f"twin={{model: {models['base']}, adapter: {adapter}}}", "sets.heldout.prompts=1"]
    )
    found = evaluate(plan)
    texts = {(row["way"], row["prompt"]): row["text"] for row in result_of(config)["answers"]["vicuna"]}
    assert texts["twin", "0"] != texts["base", "0"]
    reader = found["sets"]["vicuna"]["reader"]["nats"]
    assert reader["twin"]["a_token"] != reader["base"]["a_token"]
    adapter_of(models["base"], tmp_path / "adapter")
    with pytest.raises(UserError, match="other models"):
        evaluate(plan)


def test_an_untaught_model_by_rules_beside_skeleton_of_thought_and_sequential_decoding(
    config: Path, tmp_path: Path
) -> None:
    base = str(tiny_model(tmp_path / "wide", control=False, context=1024))
    changes = [
        "model=null",
        "twin=null",
        f"rules={base}",
        f"skeleton={base}",
        f"base={base}",
        "temperature=0.7",
        "top_p=0.9",
    ]
    arguments = [str(config), "--samples", str(tmp_path / "s.md")]
    for change in changes:
        arguments += ["--set", change]
    run = CliRunner().invoke(command, arguments, catch_exceptions=False)
    result = result_of(config)
    heldout = result["sets"]["heldout"]
    assert result["held_out_loss"] is None
    assert list(heldout["speed"]["all"]["forking"]) == ["rules", "skeleton"]
    assert list(heldout["speed"]["all"]["timed"]["seconds_over"]["rules"]) == ["skeleton", "base"]
    assert heldout["reader"]["paired"]["rules"]["skeleton"]["a_token"]["prompts"] >= 1
    assert set(heldout["repetition"]["paired"]["rules"]) == {"skeleton", "base"}
    rows = {(row["way"], row["prompt"]): row for row in result["answers"]["vicuna"]}
    assert {way for way, _ in rows} == {"rules", "skeleton", "base"}
    # Nonsense has no lists: without a fork the answer by rules is the sequential one.
    for way, key in rows:
        if way == "rules" and not rows[way, key]["forks"]:
            assert rows[way, key]["text"] == rows["base", key]["text"]
    for told in (
        "rules: tokens per step",
        "reader's nats a token, rules less skeleton",
        "details of skeleton are without text",
    ):
        assert told in run.stdout
    text = (tmp_path / "s.md").read_text()
    assert text.count("**C**") == 7
    assert "at temperature 0.7" in text


def test_a_plan_needs_something_that_forks(config: Path) -> None:
    with pytest.raises(UserError, match="or one to fork by rules"):
        load_config(config, Plan, ["model=null"])


def test_samples_are_written_beside(config: Path, tmp_path: Path) -> None:
    arguments = [str(config), "--json", "--samples", str(tmp_path / "s.md")]
    CliRunner().invoke(command, arguments, catch_exceptions=False)
    text = (tmp_path / "s.md").read_text()
    assert text.count("\n## ") == 7 + 1
    assert "What about 0?" in text


def test_instructions_are_verified_on_answers_that_are_not_timed(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_lines(tmp_path / "i.jsonl", [instructed("1", "a:b"), instructed("2", "a:b")])
    monkeypatch.setattr(run_module, "load_judge", lambda: lambda prompt, text: prompt.id == "1")
    override = f"sets.ifbench={{ifbench: {path}, timed: 0}}"
    found = evaluate(load_config(config, Plan, [override]))["sets"]["ifbench"]
    assert found["speed"]["all"]["timed"] is None
    assert found["instructions"]["passed"] == {"forked": 0.5, "twin": 0.5, "base": 0.5}


def test_a_model_alone_is_measured_without_comparisons(config: Path) -> None:
    found = evaluate(load_config(config, Plan, ["twin=null", "base=null", "read=false", "loss.answers=0"]))
    heldout = found["sets"]["heldout"]
    assert found["held_out_loss"] is None
    assert heldout["reader"] is None
    assert list(heldout["speed"]["all"]["timed"]["seconds_over"]["forked"]) == ["one_thread"]


def test_a_model_that_was_not_taught_to_fork_is_told(config: Path, models: dict[str, str]) -> None:
    with pytest.raises(ModelError, match="was not taught to fork"):
        evaluate(load_config(config, Plan, [f"model={models['base']}", "loss.answers=0"]))


def test_prompts_longer_than_the_context_are_left_out_of_all(config: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "trees.jsonl", [record("Why?"), record("water " * 200)])
    found = evaluate(load_config(config, Plan, ["loss.answers=0"]))["sets"]["heldout"]
    assert (found["prompts"], found["answered"]) == (2, 1)
