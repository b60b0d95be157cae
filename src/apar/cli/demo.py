"""`apar demo`: the shipped model answers questions in parallel threads, and is held against decoding one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from apar.cli.base_model import base_of
from apar.cli.options import count_option
from apar.cli.options.model import model_options
from apar.decoding.params import SamplingParams
from apar.errors import ModelError, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from apar.cli.comparison import Comparison
    from apar.engine.llm import LLM, Answer

WARM_UP_TOKENS = 32


@click.command("demo")
@click.option("--model", default="demo", show_default=True, help="A folder, a GGUF file, a hub id, or `demo`.")
@click.option(
    "--questions",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with your own questions, one per line.  [default: those shipped]",
)
@click.option("--max-tokens", default=400, show_default=True, metavar="N", help="Most tokens of an answer.")
@click.option("--temperature", default=0.0, show_default=True, metavar="T", help="0 is greedy.")
@click.option("--top-p", default=0.9, show_default=True, metavar="P", help="As for `apar generate`.")
@click.option(
    "--frequency-penalty",
    default=0.3,
    show_default=True,
    metavar="F",
    help="As for `apar generate`; without it a small model repeats itself in long lists.",
)
@click.option(
    "--repeated-leads",
    type=click.Choice(["allow", "end"]),
    default="end",
    show_default=True,
    help="Whether a list ends where its next lead would be one that it has.",
)
@click.option("--seed", default=0, show_default=True, metavar="S", help="Seed of the sampling, the same for all ways.")
@count_option("--count", help="Answer only the first N.  [default: all]")
@click.option("--skip-base", is_flag=True, help="Leave out the untaught base's answers.")
@click.option("--texts", is_flag=True, help="Print the untaught base's answers, too.")
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
    top_p: float,
    frequency_penalty: float,
    repeated_leads: Literal["allow", "end"],
    seed: int,
    count: int | None,
    skip_base: bool,
    texts: bool,
    pace: float,
    loading: dict[str, Any],
) -> None:
    """Watch a model answer questions in parallel threads, and compare with decoding one thread at a time.

    Every answer is decoded twice in the same run: with all its threads at the same time, and with drafts where the
    model has heads; and with one thread at a time and no drafts. Which goes first alternates. The base that the model
    was trained from answers the question, too. On a terminal the threads are shown side by side; elsewhere the text
    comes in reading order. The seconds are those of decoding: neither drawing nor the pace counts.
    """
    params = SamplingParams(
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        frequency_penalty=frequency_penalty,
        repeated_leads=repeated_leads,
        seed=seed,
    )
    asked = _questions(questions)[:count]
    from rich.console import Console

    from apar.cli.comparison import summary_sentence, summary_table

    demo = _Demo(_load(model, loading), Console(highlight=False), params, pace, texts)
    demo.warm_up(demo.llm, asked[0], params, one_thread(params))
    if not skip_base:
        demo.base = _load_base(model, loading)
    if demo.base is not None:
        demo.warm_up(demo.base, asked[0], replace(params, fork=False))
    comparisons = [demo.ask(question, number, len(asked)) for number, question in enumerate(asked)]
    demo.console.rule(style="dim")
    demo.console.print(summary_table(comparisons))
    demo.console.print(summary_sentence(comparisons))


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


def _load(model: str, loading: dict[str, Any]) -> LLM:
    from rich.console import Console

    from apar.cli.answering import load_llm

    click.echo(f"apar: loading {model}", err=True)
    return load_llm(model, Console(stderr=True, quiet=True), **loading)


def _load_base(model: str, loading: dict[str, Any]) -> LLM | None:
    """The model as it was before it learnt to fork; None, and a line that says why, where there is none."""
    base = base_of(model, loading)
    if base is None:
        click.echo(f"apar: {model} has no base of its own, so there are no answers of an untaught one", err=True)
        return None
    try:
        return _load(*base)
    except ModelError as error:
        click.echo(f"apar: the untaught base is left out: {error}", err=True)
        return None


@dataclass(slots=True)
class _Demo:
    llm: LLM
    console: Console
    params: SamplingParams
    pace: float
    texts: bool
    base: LLM | None = field(default=None)

    def warm_up(self, llm: LLM, question: str, *ways: SamplingParams) -> None:
        """The first passes of a model are slower; no way of decoding should pay for them."""
        with self._waiting("warming up"):
            for params in ways:
                llm.generate([question], replace(params, max_tokens=min(WARM_UP_TOKENS, params.max_tokens)))

    def ask(self, question: str, number: int, of: int) -> Comparison:
        """Answer a question all ways, every other one with one thread at a time first; print text and numbers."""
        from rich.text import Text

        from apar.cli.comparison import Comparison, numbers_table, verdict
        from apar.view.labels import printable

        self.console.rule(style="dim")
        self.console.print(Text(f"{number + 1}/{of}  {printable(question)}", "bold"))
        self.console.print()
        sequential = self._sequential(question) if number % 2 else None
        parallel = self._show(question)
        sequential = sequential or self._sequential(question)
        comparison = Comparison(question, parallel, sequential, self._of_base(question))
        self.console.print(numbers_table(comparison))
        self.console.print(verdict(comparison))
        return comparison

    def _show(self, question: str) -> Answer:
        """Decode in parallel. Drawing is not counted."""
        from apar.cli.answering import TimedAnswer, write
        from apar.view.live import can_show_live, paced, show_live, show_plain

        stream = TimedAnswer(self.llm.stream(question, self.params))
        if can_show_live(self.console):
            events = paced(stream, self.pace) if self.pace else stream
            write(show_live(events, self.console, title="in parallel").strip())
        else:
            show_plain(stream, write)
        click.echo("\n")
        return stream.answer

    def _sequential(self, question: str) -> Answer:
        """The same answer: there is nothing to be seen but its seconds."""
        with self._waiting("decoding the same answer with one thread at a time"):
            return _read(self.llm, question, one_thread(self.params))

    def _of_base(self, question: str) -> Answer | None:
        from rich.text import Text

        from apar.view.labels import printable

        if self.base is None:
            return None
        with self._waiting("the untaught base answers"):
            answer = _read(self.base, question, replace(self.params, fork=False))
        if self.texts:
            self.console.print(Text("untaught base", "bold"))
            self.console.print(Text(printable(answer.text.strip()) + "\n", "dim"))
        return answer

    @contextmanager
    def _waiting(self, text: str) -> Iterator[None]:
        """Say what is waited for: nothing else moves meanwhile."""
        with self.console.status(text):
            yield


def one_thread(params: SamplingParams) -> SamplingParams:
    """The same answer decoded sequentially: one thread at a time, one token at a time."""
    return replace(params, max_parallel_threads=1, drafts=False)


def _read(llm: LLM, question: str, params: SamplingParams) -> Answer:
    """An answer whose events nobody sees, timed as one that is seen."""
    from apar.cli.answering import TimedAnswer

    stream = TimedAnswer(llm.stream(question, params))
    for _ in stream:
        pass
    return stream.answer
