"""vLLM's engine arguments as words of a command line (`--vllm.tensor-parallel-size 4`) or a section of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apar.backends.vllm.versions import require_vllm
from apar.errors import ConfigError, UserError

PREFIX = "--vllm."
SECTION = "vllm"


def split_words(words: Sequence[str], server: bool = False) -> tuple[list[str], list[str]]:
    """vLLM's words, with the values that belong to them, and the others.

    An option that takes several values has all words up to the next option, so it must not stand right before an
    argument of ours. With `server` the options of vLLM's server are known too. Raises UserError where there are
    words for vLLM and no vLLM to say which take a value, or none by that name.
    """
    own: list[str] = []
    rest: list[str] = []
    waiting = list(words)
    actions = _actions(server) if any(word.startswith(PREFIX) for word in words) else {}
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            return own, [*rest, word, *waiting]
        if not word.startswith(PREFIX):
            rest.append(word)
            continue
        own.append(word)
        if "=" not in word:
            own += _take_values(word, _action(word, actions).nargs, waiting)
    return own, rest


def _take_values(word: str, count: Any, waiting: list[str]) -> list[str]:
    """The values of an option, taken off the words that wait; `count` is argparse's `nargs`."""
    if count == 0:
        return []
    values = []
    while waiting and not waiting[0].startswith("--"):
        values.append(waiting.pop(0))
        if count is None:
            break
    if not values and count not in ("?", "*"):
        raise UserError(f"{word} needs a value")
    return values


def parse_options(words: Sequence[str]) -> dict[str, Any]:
    """The engine arguments of vLLM's words, as its own parser reads them; those that were given only.

    Raises UserError for values that vLLM does not take.
    """
    if not words:
        return {}
    from vllm import AsyncEngineArgs

    actions = _actions(server=False)
    given = [word.replace(PREFIX, "--", 1) if word.startswith(PREFIX) else word for word in words]
    read = vars(_parser(server=False).parse_args(given))
    named = {_action(word, actions).dest for word in words if word.startswith(PREFIX)}
    fields = AsyncEngineArgs.__dataclass_fields__
    return {name: value for name, value in read.items() if name in fields and name in named}


def read_config(path: Path) -> dict[str, Any]:
    """The engine arguments in a YAML file's section `vllm`; raises ConfigError where there is none."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    section = data.get(SECTION) if isinstance(data, dict) else None
    if not isinstance(section, dict) or not all(isinstance(name, str) for name in section):
        raise ConfigError(
            f"{path} has no section `{SECTION}:` with vLLM's engine arguments, as tensor_parallel_size: 4"
        )
    if others := sorted(map(str, data.keys() - {SECTION})):
        raise ConfigError(f"{path} has a section {others[0]!r}; only `{SECTION}:` is known")
    return {name.replace("-", "_"): value for name, value in section.items()}


def to_words(arguments: Mapping[str, Any]) -> list[str]:
    """Engine arguments as words of vLLM's command line."""
    words = []
    for name, value in arguments.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        elif isinstance(value, list):
            words += [option, *map(str, value)]
        else:
            words += [option, json.dumps(value) if isinstance(value, dict) else str(value)]
    return words


def _action(word: str, actions: Mapping[str, Any]) -> Any:
    """The option that a word names; `--vllm.NAME.KEY` is a key of the option NAME."""
    name = "--" + word.removeprefix(PREFIX).split("=")[0].split(".")[0].replace("_", "-")
    if name not in actions:
        raise UserError(f"vLLM has no option {word}; its engine's own are listed by `vllm serve --help=all`")
    return actions[name]


def _actions(server: bool) -> Mapping[str, Any]:
    require_vllm()
    actions: Mapping[str, Any] = _parser(server)._option_string_actions
    return actions


def _parser(server: bool) -> Any:
    from vllm import AsyncEngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    class Parser(FlexibleArgumentParser):
        """Raises where argparse would end the program."""

        def error(self, message: str) -> Any:
            raise UserError(f"vLLM's options: {message}")

    if server:
        try:
            from vllm.entrypoints.launchers.cli_args import make_arg_parser
        except ModuleNotFoundError:  # where it was before
            from vllm.entrypoints.openai.cli_args import make_arg_parser

        return make_arg_parser(Parser(add_help=False))
    return AsyncEngineArgs.add_cli_args(Parser(add_help=False))
