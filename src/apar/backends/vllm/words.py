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


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """vLLM's words, with the values that belong to them, and the others.

    Raises UserError where there are some and no vLLM to say which take a value, or none by that name.
    """
    own: list[str] = []
    rest: list[str] = []
    waiting = list(words)
    arities = _arities() if any(word.startswith(PREFIX) for word in words) else {}
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            return own, [*rest, word, *waiting]
        if not word.startswith(PREFIX):
            rest.append(word)
            continue
        own.append(word)
        if "=" not in word and _arity(word, arities):
            if not waiting:
                raise UserError(f"{word} needs a value")
            own.append(waiting.pop(0))
    return own, rest


def parse_options(words: Sequence[str]) -> dict[str, Any]:
    """The engine arguments of vLLM's words, as its own parser reads them; those that were given only.

    Raises UserError for values that vLLM does not take.
    """
    if not words:
        return {}
    from vllm import AsyncEngineArgs

    parser = _parser()
    given = [word.replace(PREFIX, "--", 1) if word.startswith(PREFIX) else word for word in words]
    defaults, read = vars(parser.parse_args([])), vars(parser.parse_args(given))
    fields = AsyncEngineArgs.__dataclass_fields__
    return {name: value for name, value in read.items() if name in fields and value != defaults[name]}


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


def _arity(word: str, arities: dict[str, bool]) -> bool:
    name = "--" + word.removeprefix(PREFIX).replace("_", "-")
    if name not in arities:
        raise UserError(f"vLLM has no option {word}; its own are listed by `vllm serve --help`")
    return arities[name]


def _arities() -> dict[str, bool]:
    """Whether each of vLLM's options takes a value."""
    require_vllm()
    return {name: action.nargs != 0 for name, action in _parser()._option_string_actions.items()}


def _parser() -> Any:
    from vllm import AsyncEngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    class Parser(FlexibleArgumentParser):
        """Raises where argparse would end the program."""

        def error(self, message: str) -> Any:
            raise UserError(f"vLLM's options: {message}")

    return AsyncEngineArgs.add_cli_args(Parser(add_help=False))
