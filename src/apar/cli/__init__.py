"""The command line: `apar COMMAND`. Commands are imported when they run, so that `apar --help` stays quick."""

from __future__ import annotations

import errno
import importlib
import sys
from io import TextIOWrapper

import click
from click.exceptions import NoArgsIsHelpError

from apar.errors import AparError

# name: (module, one line of help). The module holds a click command called `command`.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("apar.cli.demo", "Watch the shipped model answer questions in parallel threads."),
    "generate": ("apar.cli.generate", "Answer a prompt, decoding the answer's parts in parallel."),
    "chat": ("apar.cli.chat", "Talk with a model, or with a server, over many turns."),
    "serve": ("apar.cli.serve", "Answer requests of OpenAI's API."),
    "extract": ("apar.cli.extract", "Turn chats into paragraph trees."),
    "show": ("apar.cli.show", "Draw a paragraph tree in the terminal."),
    "train": ("apar.cli.train", "Train a model to fork, from a recipe."),
    "merge": ("apar.cli.merge", "Write a model as an ordinary folder, its adapter merged."),
    "export": ("apar.cli.export", "Write Medusa heads for vLLM, or a model for llama.cpp."),
    "push": ("apar.cli.push", "Put an adapter, heads or a model on the Hugging Face hub."),
    "evaluate": ("apar.cli.evaluate", "Measure a model on held-out prompts: its speed and its answers."),
    "bench": ("apar.cli.bench", "Measure what forking saves on the trees of real answers."),
    "plot": ("apar.cli.plot", "Draw the threads of a trace over its steps as SVG."),
    "doctor": ("apar.cli.doctor", "Say what works on this machine, and what to do about the rest."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module only when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="apar-llm", prog_name="apar")
def cli() -> None:
    """APAR: language models that answer faster by decoding the parts of an answer in parallel."""


def main() -> None:
    """Run the command line. A user's mistake is one line on standard error and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what the encoding does not have is written as its escape
            stream.reconfigure(errors="backslashreplace")
    try:
        cli(prog_name="apar", standalone_mode=False)
    except AparError as error:
        _fail(str(error), error.exit_code)
    except NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        _fail(_usage(error), 2)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        code = 1 if error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT) else 2
        _fail(f"cannot read or write{where}: {error.strerror or error}", code)


def _usage(error: click.ClickException) -> str:
    """One line of what is wrong with the command line, and where its help is."""
    message = " ".join(error.format_message().split()).rstrip(".").replace(". Did you", ", did you")
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx is not None else "apar"
    return f"{message[:1].lower()}{message[1:]} (see {path} --help)"


def _fail(message: str, code: int) -> None:
    from apar.view.labels import printable  # a message may hold what a server or a file says

    click.echo(f"apar: {printable(message)}", err=True)
    sys.exit(code)
