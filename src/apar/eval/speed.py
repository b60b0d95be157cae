"""Answering held-out prompts forked and sequentially with the same model, in turn, in one run."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from apar.data.records import Example
from apar.decoding.params import SamplingParams
from apar.engine.llm import LLM, Answer
from apar.eval.plan import Plan

LISTS = ("ordered_list", "bullet_list")


@dataclass(frozen=True, slots=True)
class Pair:
    """The same prompt answered both ways; `asks_for_list` says whether its reference answer is a list."""

    prompt: str
    asks_for_list: bool
    forked: Answer
    sequential: Answer

    def to_dict(self) -> dict[str, Any]:
        """The figures, without the prompt and the texts: those may not be ours to pass on."""
        figures = {"forked": self.forked.to_dict(), "sequential": self.sequential.to_dict()}
        for answer in figures.values():
            del answer["text"]
        return {"asks_for_list": self.asks_for_list, **figures}


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures over a set of prompts.

    `tokens_per_step` is visible tokens over logical steps, both summed. `rate_ratio` is the tokens a second
    forked over the tokens a second sequentially, both over summed tokens and seconds, and `median_ratio` the
    median over the prompts of the same. `seconds_ratio` is the summed seconds sequentially over those forked:
    it differs from `rate_ratio` where forked answers are longer or shorter. `kv_peak_ratio` is the mean peak of
    KV blocks, forked over sequential.
    """

    prompts: int
    forking: float
    tokens_per_step: float
    rate_ratio: float
    median_ratio: float
    seconds_ratio: float
    kv_peak_ratio: float
    mean_tokens_forked: float
    mean_tokens_sequential: float
    finished: float


def choose_prompts(examples: Sequence[Example], plan: Plan) -> list[Example]:
    """At most `plan.prompts` examples of one turn with distinct, short prompts, drawn by the plan's seed."""
    distinct: dict[str, Example] = {}
    for example in examples:
        prompt = example.messages[-1]["content"]
        if len(example.messages) == 1 and len(prompt) <= plan.max_prompt_chars:
            distinct.setdefault(prompt, example)
    drawn = list(distinct.values())
    random.Random(plan.seed).shuffle(drawn)
    return drawn[: plan.prompts]


def answer_pairs(llm: LLM, examples: Sequence[Example], plan: Plan) -> Iterator[Pair]:
    """Answer each prompt both ways, greedily; which way goes first alternates. One answer warms up."""
    forked = SamplingParams(max_tokens=plan.max_tokens, seed=plan.seed)
    sequential = SamplingParams(max_tokens=plan.max_tokens, seed=plan.seed, fork=False)
    for params in (forked, sequential):
        llm.generate([examples[0].messages], params)
    for number, example in enumerate(examples):
        order = (forked, sequential) if number % 2 else (sequential, forked)
        answers = {params.fork: llm.generate([example.messages], params)[0] for params in order}
        asks_for_list = example.rule in LISTS and example.structured
        yield Pair(example.messages[-1]["content"], asks_for_list, answers[True], answers[False])


def figures(pairs: Sequence[Pair]) -> Figures | None:
    """The figures of some pairs; None where there are none."""
    if not pairs:
        return None
    forked, sequential = [pair.forked for pair in pairs], [pair.sequential for pair in pairs]
    each = [_rate([pair.forked]) / _rate([pair.sequential]) for pair in pairs if pair.sequential.tokens]
    return Figures(
        prompts=len(pairs),
        forking=_mean(forked, lambda answer: answer.forks > 0),
        tokens_per_step=sum(a.tokens for a in forked) / sum(a.steps for a in forked),
        rate_ratio=_rate(forked) / _rate(sequential),
        median_ratio=statistics.median(each) if each else 0.0,
        seconds_ratio=sum(a.seconds for a in sequential) / sum(a.seconds for a in forked),
        kv_peak_ratio=_mean(forked, lambda a: a.kv_blocks_peak) / _mean(sequential, lambda a: a.kv_blocks_peak),
        mean_tokens_forked=_mean(forked, lambda answer: answer.tokens),
        mean_tokens_sequential=_mean(sequential, lambda answer: answer.tokens),
        finished=_mean(forked, lambda answer: answer.finish_reason == "stop"),
    )


def summarize(pairs: Sequence[Pair]) -> dict[str, dict[str, Any] | None]:
    """The figures over all prompts, over those that forked, over those that ask for lists, and over the others."""
    parts = {
        "all": list(pairs),
        "forking": [pair for pair in pairs if pair.forked.forks],
        "lists": [pair for pair in pairs if pair.asks_for_list],
        "others": [pair for pair in pairs if not pair.asks_for_list],
    }
    found = {name: figures(part) for name, part in parts.items()}
    return {name: None if part is None else asdict(part) for name, part in found.items()}


def _rate(answers: Sequence[Answer]) -> float:
    """Visible tokens a second."""
    return sum(answer.tokens for answer in answers) / sum(answer.seconds for answer in answers)


def _mean(answers: Sequence[Answer], value: Callable[[Answer], float]) -> float:
    return statistics.fmean(value(answer) for answer in answers)
