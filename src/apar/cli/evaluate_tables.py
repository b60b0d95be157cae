"""The result of `apar evaluate` as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

_NONE = "–"
_WAYS = {"forked": "forked", "one_thread": "one thread at a time", "twin": "twin", "base": "base"}


def print_result(console: Console, result: Mapping[str, Any]) -> None:
    """Print the tables of every set of prompts, and the held-out loss."""
    for name, found in result["sets"].items():
        console.print(_speed_table(name, found["speed"]))
        console.print(_quality_table(name, found))
    for line in _loss_lines(result["held_out_loss"]):
        console.print(line, highlight=False)


def _speed_table(name: str, speed: Mapping[str, Any]) -> Table:
    others = _others(speed["all"])
    table = Table(title=f"{name}: prompts, and seconds of an answer over those forked (median, 95 %)")
    table.add_column("prompts")
    for column in ("number", "fork", "tokens/step", "tokens", "ended", *(_WAYS[way] for way in others)):
        table.add_column(column, justify="right")
    for label, part in _parts(speed):
        table.add_row(label, *_speed_cells(part, others))
    return table


def _others(part: Mapping[str, Any] | None) -> list[str]:
    timed = part["timed"] if part is not None else None
    return [] if timed is None else list(timed["seconds_over_forked"])


def _parts(speed: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    rows = [("all", speed["all"]), ("forking", speed["forking"]), *speed["kinds"].items(), *speed["categories"].items()]
    return ((label, part) for label, part in rows if part is not None)


def _speed_cells(part: Mapping[str, Any], others: list[str]) -> list[str]:
    timed = part["timed"]
    ratios = [_interval(timed["seconds_over_forked"][way]["median"]) if timed else _NONE for way in others]
    return [
        str(part["prompts"]),
        f"{part['forking']:.0%}",
        f"{part['tokens_per_step']:.2f}",
        f"{part['tokens']['forked']['mean']:.0f}",
        f"{part['ended']['forked']:.0%}",
        *ratios,
    ]


def _interval(found: Mapping[str, float]) -> str:
    return f"{found['value']:.2f} ({found['low']:.2f}–{found['high']:.2f})"


def _quality_table(name: str, found: Mapping[str, Any]) -> Table:
    read, reader = found["repetition"]["as_read"], found["reader"]
    table = Table(title=f"{name}: the answers", caption=_caption(found))
    table.add_column("")
    for way in read:
        table.add_column(_WAYS[way], justify="right")
    for label, key in (("4-grams of details in siblings", "ngrams"), ("leads said before", "leads")):
        table.add_row(label, *(_percent(each[key]) for each in read.values()))
    if reader is not None:
        for label, key in (("reader: nats a token", "a_token"), ("reader: nats a character", "a_character")):
            table.add_row(label, *(_NONE if each is None else f"{each[key]:.3f}" for each in reader["nats"].values()))
    if found["instructions"] is not None:
        passed = found["instructions"]["passed"]
        table.add_row("instructions followed, strict", *(_percent(passed[way]) for way in read))
    return table


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1%}"


def _caption(found: Mapping[str, Any]) -> str:
    """The comparisons with the twin that have an interval."""
    pairs = {
        "reader's nats a token": (found["reader"] or {}).get("paired", {}) or {},
        "instructions": {"a_token": (found["instructions"] or {}).get("paired")},
    }
    lines = [
        f"{found['repetition']['as_forked']['empty_details']} of "
        f"{found['repetition']['as_forked']['details']} details without text"
    ]
    for label, paired in pairs.items():
        if (one := paired.get("a_token")) is not None:
            gap = one["difference"]
            lines.append(f"{label}, model less twin: {gap['value']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})")
    return "\n".join(lines)


def _loss_lines(loss: Mapping[str, Any] | None) -> Iterator[str]:
    for name in ("all", "structured", "unstructured") if loss is not None else ():
        part = loss[name] if loss is not None else None
        if part is None:
            continue
        line = f"held-out loss, {name}: {part['model']:.4f} nats a token over {part['tokens']} tokens of text"
        if part["twin"] is not None:
            line += f"; sequential twin {part['twin']:.4f}; ratio {part['ratio']:.4f}"
        yield line
