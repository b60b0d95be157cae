"""The result of `apar evaluate` as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_NONE = "–"
_WAYS = {"forked": "forked", "one_thread": "one thread", "twin": "twin", "base": "base"}


def print_result(console: Console, result: Mapping[str, Any]) -> None:
    """Print the tables of every set of prompts, and the held-out loss."""
    for name, found in result["sets"].items():
        console.print(_speed_table(name, found["speed"]))
        console.print(_quality_table(name, found))
        _print_lines(console, _comparisons(found))
    _print_lines(console, _loss_lines(result["held_out_loss"]))


def _print_lines(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _speed_table(name: str, speed: Mapping[str, Any]) -> Table:
    others = _others(speed["all"])
    told = "; seconds over those forked: median, 95 %" if others else ""
    table = Table(title=f"{name}: tokens per step{told}", box=box.SIMPLE_HEAD, padding=0)
    table.add_column("prompts", no_wrap=True)
    for column in ("", "fork", "per step", "tokens", "ended", *(_WAYS[way] for way in others)):
        table.add_column(column, justify="right", no_wrap=True)
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
    return f"{found['value']:.2f}\n{found['low']:.2f}–{found['high']:.2f}"


def _quality_table(name: str, found: Mapping[str, Any]) -> Table:
    read, reader = found["repetition"]["as_read"], found["reader"]
    table = Table(title=f"{name}: the answers", box=box.SIMPLE_HEAD)
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


def _comparisons(found: Mapping[str, Any]) -> Iterator[str]:
    """What the model does differently from the twin, with its interval."""
    forked = found["repetition"]["as_forked"]
    yield f"{forked['empty_details']} of {forked['details']} forked details are without text"
    pairs = {
        "4-grams in siblings": found["repetition"]["paired"].get("ngrams"),
        "leads said before": found["repetition"]["paired"].get("leads"),
        "reader's nats a token": ((found["reader"] or {}).get("paired") or {}).get("a_token"),
        "instructions followed": (found["instructions"] or {}).get("paired"),
    }
    for label, one in pairs.items():
        if one is not None:
            gap = one["difference"]
            told = f"{gap['value']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f}, {one['prompts']} prompts)"
            yield f"{label}, forked less twin: {told}" + (f"; McNemar's p {one['p']:.2f}" if "p" in one else "")


def _loss_lines(loss: Mapping[str, Any] | None) -> Iterator[str]:
    for name in ("all", "structured", "unstructured") if loss is not None else ():
        part = loss[name] if loss is not None else None
        if part is None:
            continue
        line = f"held-out loss, {name}: {part['model']:.4f} nats a token over {part['tokens']} tokens of text"
        if part["twin"] is not None:
            line += f"; sequential twin {part['twin']:.4f}; ratio {part['ratio']:.4f}"
        yield line
