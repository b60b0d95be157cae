"""The options of `apar bench`."""

from __future__ import annotations

from pathlib import Path

import click

from apar.cli.options import Decorator, count_option, options, renamed_option
from apar.cli.options.backend import backend_options

PATH = click.Path(path_type=Path)


json_option = click.option("--json", "json_file", metavar="FILE", type=PATH, help="Write the whole result as JSON.")
tree_options = options(
    click.option("--questions", metavar="FILE", type=PATH, help="Questions with categories, as JSON lines."),
    click.option(
        "--only",
        multiple=True,
        metavar="KEY=VALUE[,VALUE]",
        help="Use only answers with this value, as category=writing.",
    ),
    count_option("--answers", "count", help="Use an even sample of N answers."),
)


def tokenizer_option(default: str) -> Decorator:
    """What tokens are counted by; `default` says by what else."""
    what = "Folder, tokenizer.json or SentencePiece .model to count tokens by."
    return click.option("--tokenizer", metavar="PATH", type=PATH, help=f"{what}  [default: {default}]")


model_options = options(
    click.argument("model", required=False),
    click.option(
        "--shape", metavar="NAME", help="Use random weights of this shape: llama-25m, qwen-0.5b, llama-1b, llama-7b."
    ),
    click.option("--dtype", default="auto", show_default=True, metavar="TYPE", help="float32, bfloat16 or float16."),
    click.option("--device", default="auto", show_default=True, metavar="DEVICE", help="cpu, cuda or cuda:N."),
    count_option("--cpu-threads", help="Number of CPU threads."),
    tokenizer_option("that of demo"),
)
replay_options = options(
    click.option("--replay", metavar="TREES", type=PATH, help="Real answers, written by `apar extract`."),
    tree_options,
    backend_options,
    renamed_option("--fork", "--fork-way"),
    count_option("--num-blocks", help="Size of the KV cache, in blocks of 16 tokens (vLLM on the CPU: 32)."),
    renamed_option("--kv-blocks", "--num-blocks"),
    count_option("--max-rows", help="Most threads in one forward pass.", default=64),
)
_loading_options = (
    click.option("--adapter", metavar="FOLDER", help="Merge a LoRA adapter into the model."),
    click.option("--dtype", default="auto", show_default=True, metavar="TYPE", help="float32, bfloat16 or float16."),
    click.option("--device", default="auto", show_default=True, metavar="DEVICE", help="cpu, cuda or cuda:N."),
    count_option("--cpu-threads", help="Number of CPU threads."),
    count_option("--num-blocks", help="Size of the KV cache, in blocks of 16 tokens."),
    count_option("--max-rows", help="Most threads in one forward pass.", default=64),
)
drafts_options = options(
    click.option("--prompts", metavar="FILE", type=PATH, help="Questions with categories, as JSON lines."),
    click.option("--replay", metavar="TREES", type=PATH, help="Real answers, written by `apar extract`."),
    tree_options,
    click.option(
        "--acceptance",
        metavar="SHARES",
        callback=lambda context, parameter, value: shares(value),
        help="With --replay: how often guess 1, 2, … is right, as 0.7,0.5.",
    ),
    count_option("--concurrency", help="Answers decoded at a time.", default=1),
    count_option("--max-tokens", help="With --prompts: most visible tokens of an answer.", default=600),
    click.option("--shape", metavar="NAME", help="With --replay: random weights of this shape."),
    click.option("--medusa", metavar="HEADS", help="Medusa heads.  [default: the model's, if any]"),
    click.option("--drafts", metavar="KIND", help="medusa, ngram or all.  [default: all with heads]"),
    *_loading_options,
    tokenizer_option("that of demo"),
)
policies_options = options(
    click.option(
        "--prompts", metavar="FILE", type=PATH, required=True, help="Questions with categories, as JSON lines."
    ),
    count_option("--answers", "count", help="Use an even sample of N questions."),
    click.option(
        "--policies",
        metavar="NAMES",
        callback=lambda context, parameter, value: None if value is None else tuple(value.split(",")),
        help="Of model, rules, skeleton.  [default: all that the model has]",
    ),
    count_option("--concurrency", help="Answers decoded at a time.", default=1),
    count_option("--max-tokens", help="Most visible tokens of an answer.", default=600),
    click.option("--temperature", default=0.0, show_default=True, metavar="T", help="0 is greedy."),
    click.option("--top-p", default=1.0, show_default=True, metavar="P", help="Sample from the likeliest tokens only."),
    *_loading_options,
)
peer_options = options(
    click.option("--peers", metavar="NAMES", help="Compare sequential decoding with hf, vllm, llama.cpp."),
    click.option(
        "--peer-python", multiple=True, metavar="NAME=PYTHON", help="Python interpreter in which a peer is installed."
    ),
    count_option("--prompt-tokens", help="Length of a prompt for --peers.", default=128),
    count_option("--new-tokens", help="Tokens to decode for --peers.", default=64, least=2),
    count_option("--peer-rounds", help="Rounds of --peers.", default=5),
)


def numbers(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Whole numbers with commas between them."""
    try:
        found = tuple(int(part) for part in value.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise click.BadParameter(f"{value!r} is not a list of whole numbers such as 1,2,4")
    return found


def shares(value: str | None) -> tuple[float, ...] | None:
    """Numbers from 0 to 1 with commas between them."""
    if value is None:
        return None
    try:
        found = tuple(float(part) for part in value.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 <= share <= 1 for share in found):
        raise click.BadParameter(f"{value!r} is not a list of shares from 0 to 1 such as 0.7,0.5")
    return found


def row_limits(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int | None, ...]:
    """As `numbers`, and `inf` for no limit."""
    parts = value.split(",")
    limits = [None if part.strip() == "inf" else numbers(context, parameter, part)[0] for part in parts]
    return tuple(limits)
