from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from apar.cli import COMMANDS, cli
from tests.cli.conftest import Run
from tests.corpus.records import record

Apar = Callable[..., Run]

# Takes a tenth of a second or more to import; none is needed to print a page of help.
HEAVY = {"torch", "transformers", "tokenizers", "pydantic", "rich", "yaml", "markdown_it", "numpy"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["generate", "--help"], ["plot", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import json, sys; from click.testing import CliRunner; from apar.cli import cli;"
        f"result = CliRunner().invoke(cli, {arguments!r}); assert result.exit_code == 0, result.output;"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & set(json.loads(done.stdout)) == set()


def test_the_help_names_every_command_with_a_line() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in result.output
        assert line in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage: " in result.output


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "apar", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"apar, version {version('apar-llm')}"


def test_an_unknown_command_or_option_is_told_with_exit_code_two(apar: Apar) -> None:
    for arguments, line in (
        (["genrate"], "apar: no such command 'genrate'"),
        (["generate", "--colour", "m", "p"], "apar: no such option '--colour'"),
        (["generate", "m"], "apar: missing argument 'PROMPT', or --input and --output (see apar generate --help)"),
        (["bench", "latency", "--rounds", "0"], "apar: invalid value for '--rounds': 0 is not in the range x>=1"),
    ):
        code, out, err = apar(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith(line)
        assert err.endswith("--help)\n")
        assert err.count("\n") == 1


def test_a_renamed_option_is_answered_with_its_new_name(apar: Apar) -> None:
    code, out, err = apar("bench", "latency", "demo", "--kv-blocks", "24")
    assert (code, out, err) == (2, "", "apar: --kv-blocks is now --num-blocks; write --num-blocks 24\n")
    for command in (["generate", "demo", "Q"], ["doctor"]):
        code, out, err = apar(*command, "--served-model", "m")
        assert (code, out, err) == (2, "", "apar: --served-model is now --remote-model; write --remote-model m\n")


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="needs POSIX signals")
def test_an_interruption_ends_with_one_line_and_exit_code_130() -> None:
    # The prompt comes from standard input, which stays open: the command is waiting when it is interrupted.
    # A process started in the background of a script ignores interruptions; this one shall not.
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); print('up', flush=True)"
    command = [sys.executable, "-u", "-c", f"{start}; from apar.cli import main; main()", "generate", "m", "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        # Until Python's handler stands and the read begins, an interruption would end in a bare traceback.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1.5)
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=20)[1]
        assert process.returncode == 130
    assert err.strip() == "apar: interrupted"


def test_a_reader_that_goes_away_is_no_error_worth_a_traceback() -> None:
    done = subprocess.run(
        f"{sys.executable} -m apar --help | head -n 1", shell=True, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: apar")
    assert "Traceback" not in done.stderr


def test_an_answer_is_shown_where_the_encoding_has_not_its_characters(tmp_path: Path) -> None:
    trees = tmp_path / "trees.jsonl"
    trees.write_text(record("雨 and \x9b rain.").to_json() + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "apar", "show", str(trees)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u96e8 and \ufffd rain." in done.stdout
