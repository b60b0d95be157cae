"""The whole evaluation behind `apar evaluate`."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from typing import Any

import torch

from apar.data.files import atomic_write
from apar.data.records import read_examples
from apar.engine.llm import LLM
from apar.errors import UserError
from apar.eval.plan import Plan
from apar.eval.quality import compare_losses
from apar.eval.speed import Pair, answer_pairs, choose_prompts, summarize


def evaluate(plan: Plan, report: Callable[[int, int, Pair], None] = lambda done, total, pair: None) -> dict[str, Any]:
    """Measure speed and held-out loss; write everything to `plan.output` and return it without the single answers."""
    if plan.threads:
        torch.set_num_threads(plan.threads)
    examples = read_examples(plan.trees)
    prompts = choose_prompts(examples, plan)
    if not prompts:
        raise UserError(
            f"no record of {', '.join(map(str, plan.trees))} is one question of at most max_prompt_chars characters"
        )
    # The losses first: a twin that does not fit is told before the long part.
    loss = compare_losses(plan, examples)
    llm = LLM(plan.model)
    pairs = []
    for pair in answer_pairs(llm, prompts, plan):
        pairs.append(pair)
        report(len(pairs), len(prompts), pair)
    result = {
        "plan": plan.model_dump(mode="json"),
        "machine": {
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "processor": platform.machine(),
        },
        "speed": summarize(pairs),
        "loss": loss,
    }
    if plan.output is not None:
        plan.output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(plan.output) as file:
            json.dump({**result, "answers": [pair.to_dict() for pair in pairs]}, file, indent=1, ensure_ascii=False)
    return result
