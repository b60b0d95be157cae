"""`apar demo`: the shipped model answers questions, each in parallel threads and again sequentially."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apar.cli.options import count_option
from apar.cli.options.model import model_options
from apar.decoding.params import SamplingParams
from apar.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from apar.cli.comparison import AnswerPair
    from apar.engine.llm import LLM, Answer

WARM_UP_TOKENS = 32
TOP_P = 0.9


@click.command("demo")
@click.option("--model", default="demo", show_default=True, help="A folder, a GGUF file, a hub id, or `demo`.")
@click.option(
    "--questions",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with your own questions, one per line.  [default: those shipped]",
)
@click.option("--max-tokens", default=300, show_default=True, metavar="N", help="Most tokens of an answer.")
@click.option(
    "--temperature", default=0.5, show_default=True, metavar="T", help="0 is greedy; a small model then loops."
)
@click.option("--seed", default=0, show_default=True, metavar="S", help="Seed of the sampling, the same for both ways.")
@count_option("--count", help="Answer only the first N.  [default: all]")
@click.option(
    "--pace",
    type=click.FloatRange(min=0),
    default=40.0,
    show_default=True,
    metavar="N",
    help="Show at most N steps a second, so that they can be followed; 0 shows them as they are decoded.",
)
@model_options
def command(
    model: str,
    questions: Path | None,
    max_tokens: int,
    temperature: float,
    seed: int,
    count: int | None,
    pace: float,
    loading: dict[str, Any],
) -> None:
    """Watch a model answer questions in parallel threads, and compare with decoding them sequentially.

    Both ways run in turn in the same run, and which goes first alternates. On a terminal the threads are
    shown side by side; elsewhere the text comes in reading order. The seconds are those of decoding: neither
    drawing nor the pace counts.
    """
    params = SamplingParams(max_tokens=max_tokens, temperature=temperature, top_p=TOP_P, seed=seed)
    asked = _questions(questions)[:count]
    from rich.console import Console

    from apar.cli.answering import load_llm
    from apar.cli.comparison import summary_sentence, summary_table

    console = Console(highlight=False)
    demo = _Demo(load_llm(model, Console(stderr=True), **loading), console, params, pace)
    demo.warm_up(asked[0])
    pairs = [demo.ask(question, number, len(asked)) for number, question in enumerate(asked)]
    console.rule(style="dim")
    console.print(summary_table(pairs))
    console.print(summary_sentence(pairs))


def _questions(path: Path | None) -> list[str]:
    """The questions of a file, one a line; raises UserError where it has none."""
    from apar.demo import QUESTIONS

    file = path or QUESTIONS
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"cannot read the questions {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text; give a file with one question a line") from error
    questions = [line.strip() for line in lines if line.strip()]
    if not questions:
        raise UserError(f"{file} has no questions; give a file with one question a line")
    return questions


@dataclass(frozen=True, slots=True)
class _Demo:
    llm: LLM
    console: Console
    params: SamplingParams
    pace: float

    def warm_up(self, question: str) -> None:
        """The first passes of a process are slower; neither way of decoding should pay for them."""
        with self.console.status("warming up"):
            for fork in (True, False):
                self.llm.generate([question], replace(self.params, fork=fork, max_tokens=WARM_UP_TOKENS))

    def ask(self, question: str, number: int, of: int) -> AnswerPair:
        """Answer a question both ways, every other one sequentially first; print the answer and its numbers."""
        from rich.text import Text

        from apar.cli.comparison import AnswerPair, numbers_table, verdict
        from apar.view.labels import printable

        self.console.rule(style="dim")
        self.console.print(Text(f"{number + 1}/{of}  {printable(question)}", "bold"))
        self.console.print()
        sequential_first = number % 2 == 1
        answers = {fork: self._answer(question, fork) for fork in (not sequential_first, sequential_first)}
        pair = AnswerPair(question, answers[True], answers[False])
        self.console.print(numbers_table(pair))
        self.console.print(verdict(pair))
        return pair

    def _answer(self, question: str, fork: bool) -> Answer:
        """Decode one way. Drawing is not counted; the text is printed once, of the parallel way."""
        from apar.cli.answering import TimedAnswer, write
        from apar.view.live import can_show_live, paced, show_live, show_plain

        stream = TimedAnswer(self.llm.stream(question, replace(self.params, fork=fork)))
        if can_show_live(self.console):
            events = paced(stream, self.pace) if self.pace else stream
            text = show_live(events, self.console, title="in parallel" if fork else "sequentially")
            if fork:
                write(text.strip())
        else:
            show_plain(stream, write if fork else _drop)
        if fork:
            click.echo("\n")
        return stream.answer


def _drop(text: str) -> None:
    """Print nothing."""
