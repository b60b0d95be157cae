"""The command `lm_eval`, whose chat model is our server, on a task of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

pytest.importorskip("torch")

from apar.decoding.params import Prompt, RawPrompt, SamplingParams
from apar.engine.llm import LLM
from tests.fixtures import TINY
from tests.server.clients.commands import run_command
from tests.server.served import KEY, MODEL, Served

QUESTIONS = [
    "Give me five tips for sleeping better.",
    "What is a good way to learn to cook?",
    "Why is the sea salty?",
    "Name three kinds of bread.",
    "How do I write a letter to a friend?",
    "What should I see in a museum?",
    "How can I save water at home?",
    "What makes a good teacher?",
]
TOKENS = 40
TASK = """
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  until: ["\\n\\n\\n"]
  max_gen_toks: {tokens}
  temperature: 0.0
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""


@pytest.fixture(scope="module")
def llm() -> LLM:
    """The engine by itself, without any server."""
    return LLM(TINY)


def greedily(llm: LLM, prompts: Sequence[Prompt]) -> dict[str, str]:
    """What the engine says to the questions, asked as `prompts`."""
    params = SamplingParams(max_tokens=TOKENS, temperature=0, stop=("\n\n\n",))
    texts = [answer.text for answer in llm.generate(prompts, params)]
    return dict(zip(QUESTIONS, texts, strict=True))


def evaluate(served: Served, folder: Path, expected: Mapping[str, str], model: str, **arguments: object) -> float:
    """The share of answers through `lm_eval` that are those expected, letter for letter."""
    data = folder / "questions.jsonl"
    rows = [{"question": question, "answer": answer} for question, answer in expected.items()]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task.yaml").write_text(TASK.format(name="greedy", data=data, tokens=TOKENS))
    given = {"model": MODEL, "num_concurrent": 4, "max_retries": 1, "tokenized_requests": False, **arguments}
    words = ["--model", model, "--model_args", ",".join(f"{key}={value}" for key, value in given.items())]
    words += ["--tasks", "greedy", "--include_path", str(folder), "--output_path", str(folder / "out")]
    words += ["--apply_chat_template"] if "chat" in model else []
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "home")}
    run = run_command("lm_eval", *words, environment={**offline, "OPENAI_API_KEY": KEY}, folder=folder)
    assert run.returncode == 0, run.stderr[-3000:]
    [results] = (folder / "out").rglob("results_*.json")
    score: float = json.loads(results.read_text())["results"]["greedy"]["exact_match,none"]
    return score


def test_chats_are_answered_as_the_engine_answers_them(served: Served, llm: LLM, tmp_path: Path) -> None:
    url = f"{served.url}/chat/completions"
    assert evaluate(served, tmp_path, greedily(llm, QUESTIONS), "local-chat-completions", base_url=url) == 1.0


def test_texts_are_gone_on_with_as_the_engine_goes_on(served: Served, llm: LLM, tmp_path: Path) -> None:
    expected = greedily(llm, [RawPrompt(question) for question in QUESTIONS])
    # Its tokenizer would be fetched from a hub; probabilities of prompts, which need `echo`, are refused.
    given = {"base_url": f"{served.url}/completions", "tokenizer_backend": "none"}
    assert evaluate(served, tmp_path, expected, "local-completions", **given) == 1.0
