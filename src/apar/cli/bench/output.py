"""What `apar bench` shows: its progress on standard error, its results as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

if TYPE_CHECKING:
    from apar.bench.decode import DecodeReport
    from apar.bench.latency import LatencyFigures
    from apar.bench.side_by_side import CategoryFigures, WayFigures
    from apar.bench.steps import StepFigures
    from apar.bench.structure import StructureFigures
    from apar.bench.throughput import CategoryLatency, ThroughputFigures
    from apar.bench.vllm.fork_cost import ForkFigures, PassFigures
    from apar.intervals import Interval, Spread

_WIDTH = 1000
"""More than any table needs: a column that is cut off says nothing, a line that wraps still does."""


@contextmanager
def progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on standard error; what is given is called after each of `total` parts."""
    # Drawn between the parts and never beside one: a thread that draws takes time from what is timed.
    with Progress(console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("measuring", total=total)
        yield lambda: bar.update(task, advance=1, refresh=True)


@contextmanager
def status() -> Iterator[Callable[[str], None]]:
    """One line on standard error that says what is going on, where that is a terminal."""
    console = Console(stderr=True)
    yield lambda line: console.print(f"[dim]{line}", highlight=False) if console.is_terminal else None


def print_structure(by_category: Mapping[str, StructureFigures]) -> None:
    """A row per category: its counts, its ratios, and a bound for every limit of rows."""
    bounds = list(next(iter(by_category.values())).bounds)
    columns = ["answers", "fork", "tokens", "threads", "steps", "path", "attended", "KV peak", "KV sum"]
    rows = [
        [
            name,
            f"{one.answers:,}",
            f"{one.forking:.0%}",
            f"{one.tokens:,}",
            f"{one.threads:.1f}",
            f"{one.sequential_steps:,}",
            f"{one.critical_path:,}",
            *(f"{ratio:.2f}" for ratio in (one.attended_ratio, one.kv_peak_ratio, one.kv_sum_ratio)),
            *(f"{bound:.2f}x" for bound in one.bounds.values()),
        ]
        for name, one in by_category.items()
    ]
    print_table("category", [*columns, *(f"rows {limit}" for limit in bounds)], rows)
    click.echo("Steps: sequential ones; path: the critical path. Attended tokens and KV held: forked over sequential.")
    click.echo("Rows: the most that the speed-up can be with so many threads in a pass.")


def print_latency(by_category: Mapping[str, LatencyFigures]) -> None:
    """A row per category, sequential and forked beside each other."""
    rows = [
        [
            name,
            f"{one.answers:,}",
            f"{one.tokens:,}",
            f"{one.rate_sequential:.1f} {one.rate_forked:.1f}",
            f"{one.latency_sequential:.2f} {one.latency_forked:.2f}",
            ratio_text(one.speedup),
            f"{one.mean_speedup.value:.2f}x",
            f"{one.step_ratio.value:.2f}x",
            _percent(one.share),
            f"{one.kv_peak_sequential:.1f} {one.kv_peak_forked:.1f}",
            f"{one.kv_mean_sequential:.1f} {one.kv_mean_forked:.1f}",
            f"{one.attended_ratio.value:.2f}x",
        ]
        for name, one in by_category.items()
    ]
    columns = ["answers", "tokens", "tokens/s", "seconds", "speed-up", "mean", "steps", "of steps"]
    print_table("category", [*columns, "KV peak", "KV mean", "attended"], rows)
    click.echo("Two numbers: sequential, forked. Ratios: sequential over forked; in brackets the 95 % interval over")
    click.echo("answers. Of steps: the speed-up as a share of the step ratio. KV: blocks, means over answers.")


def print_throughput(figures: ThroughputFigures, categories: Mapping[str, CategoryLatency]) -> None:
    """The two modes under load, their ratios, and the latencies by category."""
    sides = {"sequential": figures.sequential, "forked": figures.forked}
    rows = [
        [
            name,
            f"{one.rate:.1f}",
            f"{one.passes:,.0f}",
            f"{one.latency_mean:.2f}",
            f"{one.latency_p95:.2f}",
            f"{one.kv_peak:,.0f}",
            f"{one.kv_mean:,.1f}",
            f"{one.preemptions:.0f}",
        ]
        for name, one in sides.items()
    ]
    ratios = (figures.latency_ratio, figures.kv_peak_ratio, figures.kv_mean_ratio)
    latency, peak, mean = map(ratio_text, ratios)
    rows.append(["ratio", ratio_text(figures.rate_ratio), ratio_text(figures.step_ratio), latency, "", peak, mean, ""])
    print_table("", ["tokens/s", "passes", "latency", "p95", "KV peak", "KV mean", "preempted"], rows)
    click.echo(f"{figures.answers:,} answers, {figures.tokens:,} tokens; medians of the rounds, in brackets the least")
    click.echo(f"and the most. Attended tokens: {figures.attended_ratio:.2f}x fewer.")
    print_table(
        "category",
        ["answers", "tokens", "latency", "ratio"],
        [
            [
                name,
                f"{one.answers:,}",
                f"{one.tokens:,}",
                f"{one.latency_sequential:.2f} {one.latency_forked:.2f}",
                ratio_text(one.latency_ratio),
            ]
            for name, one in categories.items()
        ],
    )


def print_decode(report: DecodeReport) -> None:
    """A row per engine and batch size."""
    rows = [
        [
            one.engine,
            str(one.batch),
            f"{one.rate.value:.1f} [{one.rate.low:.1f}–{one.rate.high:.1f}]",
            ratio_text(one.ratio),
            f"{one.bandwidth_share:.0%}",
            f"{one.prompt_milliseconds:.1f}",
            f"{one.same_tokens:.0%}",
        ]
        for one in report.figures
    ]
    print_table("engine", ["batch", "tokens/s", "ours/its", "bandwidth", "prompt, ms", "same tokens"], rows)
    click.echo(
        f"Medians of the rounds, in brackets the least and the most. Memory reads {report.bandwidth / 1e9:.1f} GB/s."
    )
    for name, facts in report.engines.items():
        click.echo(f"{name}: {facts['version']}, {facts['threads']} threads")
    for name, reason in report.skipped.items():
        click.echo(f"{name} is skipped: {reason}")


def print_steps(figures: Iterable[StepFigures]) -> None:
    """A row per number of threads."""
    rows = [
        [
            str(one.threads),
            f"{one.milliseconds:.3f}",
            f"{one.ratio:.2f} [{one.ratio_low:.2f}–{one.ratio_high:.2f}]",
            f"{one.fork_microseconds:.0f}",
        ]
        for one in figures
    ]
    print_table("threads", ["step, ms", "over one thread", "fork, µs"], rows)


def print_passes(figures: Iterable[PassFigures]) -> None:
    """A row per number of threads, of a vLLM."""
    rows = [
        [str(one.threads), f"{one.milliseconds:.3f}", f"{one.ratio:.2f} [{one.ratio_low:.2f}–{one.ratio_high:.2f}]"]
        for one in figures
    ]
    print_table("threads", ["pass, ms", "over one thread"], rows)


def print_forks(figures: ForkFigures) -> None:
    """What a fork costs, of a vLLM."""
    row = [
        f"{figures.computed:.1f}",
        f"{figures.recomputed:.1f} {figures.recomputed_most}",
        f"{figures.delay:.2f} {figures.delay_most}",
    ]
    print_table("forks", ["tokens computed", "recomputed", "delay, passes"], [[str(figures.forks), *row]])
    click.echo("Tokens that a child computes before its first one, and those of them beyond [Fork] and [Child]: mean,")
    click.echo("most. Delay from [Fork] to the child's first token: mean, most; 1 is the very next pass.")


def print_table(first: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows of text under their columns, of which `first` is the name of the leftmost."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    Console(width=_WIDTH, highlight=False).print(table)


def ratio_text(interval: Interval | Spread) -> str:
    """A ratio with its bounds."""
    return f"{interval.value:.2f}x [{interval.low:.2f}–{interval.high:.2f}]"


def _percent(interval: Interval) -> str:
    return f"{interval.value:.0%} [{interval.low:.0%}–{interval.high:.0%}]"


def ways_of(by_category: Mapping[str, CategoryFigures]) -> Iterator[tuple[list[str], WayFigures]]:
    """For each way of each category the first cells of its row: the category and its answers once, then the way."""
    for name, one in by_category.items():
        beginning = [name, f"{one.answers:,}"]
        for way, figures in one.ways.items():
            yield [*beginning, way], figures
            beginning = ["", ""]


def percent_list(shares: Iterable[float]) -> str:
    """Shares as percentages, one after the other."""
    return " ".join(f"{share:.0%}" for share in shares)
