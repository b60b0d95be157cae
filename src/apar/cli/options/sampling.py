"""The options of a command that asks for an answer: how its tokens are chosen, and what ends it."""

from __future__ import annotations

from typing import Any, get_args

import click

from apar.cli.options import Decorator, count_option, gather
from apar.decoding.params import DraftAcceptance, ForkBy, RepeatedLeads, SamplingParams
from apar.errors import RequestError, UserError

_DEFAULTS = SamplingParams()

NUMBERS: dict[str, tuple[str, str]] = {
    "max_tokens": ("N", "Most visible tokens of the answer, over all threads."),
    "temperature": ("T", "Sampling temperature; 0 is greedy."),
    "top_p": ("P", "Sample from the likeliest tokens whose probabilities add up to P."),
    "top_k": ("K", "Sample from the K likeliest tokens; 0 is off."),
    "min_p": ("P", "Sample from tokens with at least P times the probability of the likeliest."),
    "repetition_penalty": ("R", "Divide the logits of tokens in the prompt or thread by R; 1 is off."),
    "presence_penalty": ("X", "Subtract X from the logits of tokens in the thread; 0 is off."),
    "frequency_penalty": ("X", "Subtract X for each occurrence of the token in the thread; 0 is off."),
    "max_threads": ("N", "Most threads of the answer, the first included."),
    "max_depth": ("N", "Most threads on a path from the first thread."),
}


def _params(sequential: bool, logit_bias: tuple[str, ...], fork: str, **values: Any) -> SamplingParams:
    limit = 1 if sequential else None
    if values["max_items"] is not None and fork != "rules":
        raise UserError("--max-items is of lists that are forked by rules; add --fork rules, or leave it out")
    values |= {"fork": fork != "off", "fork_by": "model" if fork == "off" else fork}
    return SamplingParams(**values, logit_bias=dict(map(_bias, logit_bias)), max_parallel_threads=limit)


def _bias(option: str) -> tuple[int, float]:
    token, _, bias = option.partition("=")
    try:
        return int(token), float(bias)
    except ValueError as error:
        raise RequestError(f"--logit-bias {option}: give ID=X, a token id and a number") from error


def _number(name: str, metavar: str, text: str) -> Decorator:
    default = getattr(_DEFAULTS, name)
    return click.option("--" + name.replace("_", "-"), default=default, show_default=True, metavar=metavar, help=text)


def _served_fork(context: click.Context, parameter: click.Parameter, value: str) -> str:
    return "auto" if value == "on" else _fork_by(context, parameter, value)


def _fork_by(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if value in ("core", "requests"):
        raise UserError(f"--fork {value} is now --fork-way {value}")
    if value not in (*get_args(ForkBy), "on", "off"):
        raise click.BadParameter(f"{value!r} is not one of 'model', 'rules', 'off', 'auto'.")
    return "model" if value == "on" else value


def tell_unforked(params: SamplingParams, forks: bool) -> None:
    """Say in a line that the model was not trained to fork, where it was to fork only if it was."""
    if params.fork and params.fork_by == "auto" and not forks:
        click.echo(
            "apar: --fork auto: the model was not trained to fork and decodes one thread; --fork rules would fork "
            "where the form of its text tells items of a list",
            err=True,
        )


sequential_option = click.option(
    "--sequential", is_flag=True, help="Decode the same answer with one thread at a time, to compare."
)
served_fork_option = click.option(
    "--fork",
    default="auto",
    show_default=True,
    metavar="[model|rules|off|auto]",
    callback=_served_fork,
    help="What forks the answers to requests that do not say. model: its own tokens; rules: the form of the text, with "
    "any model; auto: model where it was trained to fork, else off. off: a model with an adapter is loaded without it.",
)

fork_by_option = click.option(
    "--fork",
    default="model",
    show_default=True,
    metavar="[model|rules|off|auto]",
    callback=_fork_by,
    help="What forks. model: its own tokens; rules: the form of the text, with any model; auto: model where it was "
    "trained to fork, else off. off: decode without forks; a model with an adapter is then loaded without it.",
)

max_items_option = count_option("--max-items", help="Most items of a list that is forked by rules.")

repeated_leads_option = click.option(
    "--repeated-leads",
    type=click.Choice(get_args(RepeatedLeads)),
    default=_DEFAULTS.repeated_leads,
    show_default=True,
    help="end: a thread ends where it would say a lead of its list again.",
)

sampling_options = gather(
    "params",
    _params,
    sequential_option,
    fork_by_option,
    max_items_option,
    *(_number(name, *texts) for name, texts in NUMBERS.items()),
    repeated_leads_option,
    click.option(
        "--draft-acceptance",
        type=click.Choice(get_args(DraftAcceptance)),
        default=_DEFAULTS.draft_acceptance,
        show_default=True,
        help="typical: take drafts that are likely enough, which is faster and inexact above temperature 0.",
    ),
    click.option("--logit-bias", multiple=True, metavar="ID=X", help="Add X to the logit of a token (repeatable)."),
    click.option("--seed", type=int, metavar="S", help="Seed of the sampling.  [default: a new one each time]"),
    click.option("--stop", multiple=True, metavar="TEXT", help="End the answer before TEXT (repeatable)."),
    click.option("--logprobs", type=int, metavar="K", help="Log probabilities of each token and the K likeliest."),
    click.option("-n", "--answers", "n", default=1, show_default=True, metavar="N", help="Number of answers."),
)
"""The command is called with their `SamplingParams` as `params`."""
