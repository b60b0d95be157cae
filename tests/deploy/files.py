"""What is deployed, read as the programs read it that it is for."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import yaml

from apar.cli.serve import command

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PORT = 8000
"""What the server listens on in every container."""


def read_yaml(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


def documents(path: Path) -> dict[str, Any]:
    """The objects of a Kubernetes file by their kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(path.read_text("utf-8"))}


def instructions(name: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile and their arguments, lines joined, without comments."""
    lines = [line for line in (DEPLOY / name).read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(pair[0], pair[1]) for pair in pairs]


def arguments(name: str, instruction: str) -> list[str]:
    """Those of all instructions of a kind."""
    return [argument for kind, argument in instructions(name) if kind == instruction]


def words(name: str, instruction: str) -> list[str]:
    """The words of the last instruction of a kind, which has to be in the form of a list: no shell is between."""
    found: list[str] = json.loads(arguments(name, instruction)[-1])
    return found


def serve(line: list[str]) -> dict[str, Any]:
    """The parameters of a line that starts the server; raises what `apar serve` says where it is wrong.

    vLLM's own options (`--vllm.NAME VALUE`) are left out: only vLLM knows them.
    """
    assert line[:2] == ["apar", "serve"], line
    given = [word for before, word in pairwise(line[1:]) if not before.startswith("--vllm.")]
    own = [word for word in given if not word.startswith("--vllm.")]
    with click.Context(command), command.make_context("serve", own) as context:
        return dict(context.params)


def shell_words(text: str) -> list[str]:
    """The words of a line of a shell in which variables have a value."""
    return shlex.split(re.sub(r"\$\{?\w+(:[-?][^}]*)?\}?", "value", text))


def seconds(duration: str) -> int:
    """Of Docker's notation as 90s and 2m."""
    number, unit = duration[:-1], duration[-1]
    return int(number) * {"s": 1, "m": 60}[unit]
