"""`apar bench policies`: what its options ask for, and its table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from apar.cli.bench.output import print_table, ratio_text, ways_of
from apar.errors import UserError
from apar.extras import require

if TYPE_CHECKING:
    from apar.bench.policies import PolicyAnswers
    from apar.bench.side_by_side import CategoryFigures


def prepare(options: Mapping[str, Any]) -> tuple[dict[str, Any], PolicyAnswers]:
    """The engine of the options with its questions, and what of it goes into the result."""
    require("local", "torch", "transformers")
    import torch

    from apar.bench.answers import even_sample, read_categories
    from apar.bench.environment import command_line, environment_facts
    from apar.bench.policies import PolicyAnswers, chosen_ways
    from apar.cli.answering import quiet_libraries
    from apar.decoding.params import SamplingParams
    from apar.engine.llm import LLM

    params = SamplingParams(**{name: options[name] for name in ("max_tokens", "temperature", "top_p")}, seed=0)
    questions = even_sample(list(read_categories(options["prompts"]).items()), options["count"], lambda one: one[1])
    if not questions:
        raise UserError(f"{options['prompts']} has no question")
    quiet_libraries()
    if options["cpu_threads"]:
        torch.set_num_threads(options["cpu_threads"])
    loading = {name: options[name] for name in ("adapter", "dtype", "device", "num_blocks", "max_rows", "cpu_threads")}
    llm = LLM(options["model"], drafts="off", **loading)
    ways = chosen_ways(llm.forks, options["policies"])
    facts = {"bench": "policies", "command": command_line(), "machine": environment_facts()}
    model = {"name": options["model"], "forks": llm.forks}
    result = {**facts, "model": model, "concurrency": options["concurrency"], "temperature": params.temperature}
    return result, PolicyAnswers(llm, questions, params, ways)


def print_policies(by_category: Mapping[str, CategoryFigures]) -> None:
    """A row per category and way."""
    rows = [
        [
            *beginning,
            f"{figures.forking:.0%}",
            f"{figures.tokens:.0f}",
            f"{figures.tokens_per_pass:.2f}",
            f"{figures.seconds:.2f}",
            ratio_text(figures.speedup),
        ]
        for beginning, figures in ways_of(by_category)
    ]
    print_table("category", ["answers", "way", "fork", "tokens", "tokens/pass", "seconds", "speed-up"], rows)
