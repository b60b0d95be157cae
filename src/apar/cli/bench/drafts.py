"""`apar bench drafts`: what its options ask for, and its table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from apar.cli.bench.engine import read_trees
from apar.cli.bench.output import percent_list, print_table, ratio_text, ways_of
from apar.errors import UserError
from apar.extras import require

if TYPE_CHECKING:
    from apar.bench.side_by_side import CategoryFigures, SideBySide


def prepare(options: Mapping[str, Any]) -> tuple[dict[str, Any], SideBySide]:
    """The engine of the options with its answers, and what of it goes into the result; UserError where they do not fit
    together.
    """
    if (options["prompts"] is None) == (options["replay"] is None):
        raise UserError("give the questions to answer (--prompts) or the answers to force (--replay), one of the two")
    if (options["acceptance"] is None) != (options["replay"] is None):
        raise UserError("--acceptance says how often drafts of forced answers are right: it goes with --replay")
    require("local", "torch", "transformers")
    import torch

    from apar.bench.environment import command_line, environment_facts
    from apar.cli.answering import quiet_libraries

    quiet_libraries()
    if options["cpu_threads"]:
        torch.set_num_threads(options["cpu_threads"])
    facts = {"bench": "drafts", "command": command_line(), "machine": environment_facts()}
    model, engine = _own(options) if options["prompts"] else _forced(options)
    return {**facts, "model": model, "concurrency": options["concurrency"]}, engine


def _own(options: Mapping[str, Any]) -> tuple[dict[str, Any], SideBySide]:
    if options["model"] is None or options["shape"] is not None:
        raise UserError("only a trained model answers questions: give a MODEL, and no --shape")
    from apar.bench.answers import even_sample, read_categories
    from apar.bench.drafted_engine import OwnAnswers
    from apar.decoding.params import SamplingParams
    from apar.engine.llm import LLM

    loading = {name: options[name] for name in ("medusa", "drafts", "adapter", "dtype", "device", "num_blocks")}
    llm = LLM(options["model"], max_rows=options["max_rows"], cpu_threads=options["cpu_threads"], **loading)
    if llm.engine.speculator is None:
        raise UserError(f"{options['model']} has no heads: name some by --medusa, or give --drafts ngram")
    questions = even_sample(list(read_categories(options["prompts"]).items()), options["count"], lambda one: one[1])
    params = SamplingParams(max_tokens=options["max_tokens"], seed=0)
    return {"name": options["model"], "drafts": llm.engine.speculator.names}, OwnAnswers(llm, questions, params)


def _forced(options: Mapping[str, Any]) -> tuple[dict[str, Any], SideBySide]:
    for name in ("medusa", "drafts", "adapter"):
        if options[name] is not None:
            raise UserError(f"--{name} does not go with --replay: its drafts are those of --acceptance")
    from apar.bench.drafted_engine import ForcedAnswers
    from apar.bench.model import load_bench_model
    from apar.bench.replay import fitting, replay_answers
    from apar.engine.drafts.setup import DraftSetup
    from apar.engine.drafts.stated import StatedDrafts

    model = load_bench_model(
        options["model"], options["shape"], options["dtype"], options["device"], options["tokenizer"]
    )
    answers = read_trees(options["replay"], options["questions"], options["only"], options["count"])
    control, forced = replay_answers(model, answers)
    facts = {**model.facts(), "acceptance": options["acceptance"]}
    setup = DraftSetup(ngram=False, further=[StatedDrafts(options["acceptance"])])
    engine = model.engine(control, options["num_blocks"], options["max_rows"], setup)
    return facts, ForcedAnswers(engine, fitting(forced, engine.context))


def print_drafts(by_category: Mapping[str, CategoryFigures]) -> None:
    """Four rows per category."""
    rows = [
        [
            *beginning,
            f"{figures.tokens_per_pass:.2f}",
            f"{figures.seconds:.2f}",
            ratio_text(figures.speedup),
            f"{figures.same_text:.0%}",
            f"{figures.drafted_per_pass:.1f}",
            percent_list(figures.accepted),
        ]
        for beginning, figures in ways_of(by_category)
    ]
    print_table(
        "category", ["answers", "way", "tokens/pass", "seconds", "speed-up", "same text", "drafted/pass", "right"], rows
    )
