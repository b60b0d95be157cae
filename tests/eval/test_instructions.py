"""Which instructions answers follow."""

from __future__ import annotations

import pytest

from apar.errors import RunError, UserError
from apar.eval.instructions import Judge, instruction_figures, load_judge
from apar.eval.prompts import EvalPrompt
from tests.eval.answers import answered, by_way, prompt

PROMPTS = [prompt(name, instructions=(("count:x", {}),)) for name in ("a", "b", "c", "d")]


def judge(asked: EvalPrompt, text: str) -> bool | None:
    return {"yes": True, "no": False, "?": None}[text]


def test_pass_rates_are_over_the_prompts_that_all_answers_can_be_judged_on() -> None:
    answers = by_way(
        *(answered(p.id, "forked", text) for p, text in zip(PROMPTS, ("yes", "no", "?", "yes"), strict=True)),
        *(answered(p.id, "one_thread", "?") for p in PROMPTS),
        *(answered(p.id, "twin", text) for p, text in zip(PROMPTS, ("yes", "yes", "yes", "no"), strict=True)),
    )
    found = instruction_figures(PROMPTS, answers, judge)
    assert (found["prompts"], found["unjudged"]) == (3, 1)
    assert found["passed"] == {"forked": pytest.approx(2 / 3), "twin": pytest.approx(2 / 3)}
    assert tuple(found["paired"]["forked"]["twin"][name] for name in ("only_first", "only_second", "p")) == (1, 1, 1)
    assert found["each"]["b"] == {"forked": False, "twin": True}


def test_a_prompt_that_one_did_not_answer_is_left_out() -> None:
    answers = by_way(answered("a", "forked", "yes"), answered("b", "forked", "yes"), answered("a", "twin", "no"))
    assert instruction_figures(PROMPTS, answers, judge)["prompts"] == 1


def test_without_the_verifiers_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"apar-llm\[eval\]"):
        load_judge()


@pytest.fixture(scope="module")
def verifiers() -> Judge:
    pytest.importorskip("if_verifiable")
    return load_judge()


def asked(name: str, **arguments: object) -> EvalPrompt:
    return EvalPrompt("1", "How?", "other", instructions=((name, arguments),))


def test_the_verifiers_of_ifbench_judge_strictly(verifiers: Judge) -> None:
    numbers = asked("count:numbers", N=2)
    assert verifiers(numbers, "There are 2 of 3.") is True
    assert verifiers(numbers, "There are none.") is False
    assert verifiers(numbers, "") is False


def test_a_verifier_whose_data_is_missing_says_nothing(verifiers: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    assert verifiers(asked("ratio:stop_words", percentage=10), "The one and the other.") is None


def test_an_instruction_that_nobody_knows_is_told(verifiers: Judge) -> None:
    with pytest.raises(RunError, match="does not know the instruction count:nothing"):
        verifiers(asked("count:nothing"), "x")
