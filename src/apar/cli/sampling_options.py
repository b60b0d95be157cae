"""The options of a command that asks for an answer: how its tokens are chosen, and what ends it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from apar.decoding.params import SamplingParams
from apar.errors import RequestError

_DEFAULTS = SamplingParams()

NUMBERS: dict[str, tuple[str, str]] = {
    "max_tokens": ("N", "Budget of visible tokens, all threads together."),
    "temperature": ("T", "0 is greedy."),
    "top_p": ("P", "Sample from the likeliest tokens that make up P."),
    "top_k": ("K", "Sample from the K likeliest tokens; 0 is off."),
    "min_p": ("P", "Sample from tokens with at least P times the likeliest one's probability."),
    "repetition_penalty": ("R", "Divide logits of what the prompt or the thread has; 1 is off."),
    "presence_penalty": ("X", "Subtract X from logits of what the thread has; 0 is off."),
    "frequency_penalty": ("X", "The same for each time it has it; 0 is off."),
    "max_threads": ("N", "Threads that the answer may have, the first included."),
    "max_depth": ("N", "Length of the longest thread path."),
}


def sampling_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of sampling; it is called with their `SamplingParams` as `params`."""

    @click.option("--sequential", is_flag=True, help="Decode the same model with forking off.")
    @_numbers
    @click.option("--logit-bias", multiple=True, metavar="ID=X", help="Add X to the logit of a token (again for more).")
    @click.option("--seed", type=int, metavar="S", help="Sample the same answer again.  [default: a fresh one]")
    @click.option("--stop", multiple=True, metavar="TEXT", help="End the answer before TEXT (again for more).")
    @click.option("--logprobs", type=int, metavar="K", help="Log probabilities of each token and the K likeliest.")
    @click.option("-n", "--answers", "n", default=1, metavar="N", help="Answers to give.  [default: 1]")
    @wraps(command)
    def gathered(
        *args: Any, sequential: bool, logit_bias: tuple[str, ...], seed: int | None, stop: tuple[str, ...],
        logprobs: int | None, n: int, **values: Any,
    ) -> None:  # fmt: skip
        numbers = {name: values.pop(name) for name in NUMBERS}
        biases = dict(map(_bias, logit_bias))
        params = SamplingParams(
            **numbers, logit_bias=biases, seed=seed, stop=stop, logprobs=logprobs, n=n, fork=not sequential
        )
        command(*args, params=params, **values)

    decorated: Callable[..., None] = gathered
    return decorated


def _numbers(command: Callable[..., None]) -> Callable[..., None]:
    for name, (metavar, text) in reversed(NUMBERS.items()):
        option = "--" + name.replace("_", "-")
        default = getattr(_DEFAULTS, name)
        command = click.option(option, default=default, show_default=True, metavar=metavar, help=text)(command)
    return command


def _bias(option: str) -> tuple[int, float]:
    token, _, bias = option.partition("=")
    try:
        return int(token), float(bias)
    except ValueError as error:
        raise RequestError(f"--logit-bias {option}: give ID=X, a token id and a number") from error
