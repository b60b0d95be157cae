"""The result of `apar evaluate` as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

_NONE = "–"
_WAYS = {
    "forked": "forked",
    "one_thread": "one thread",
    "rules": "rules",
    "skeleton": "skeleton",
    "twin": "twin",
    "base": "base",
}


def print_result(console: Console, result: Mapping[str, Any]) -> None:
    """Print the tables of every set of prompts, and the held-out loss."""
    for name, found in result["sets"].items():
        for way in found["speed"]["all"]["forking"]:
            console.print(_speed_table(name, way, found["speed"]))
        console.print(_quality_table(name, found))
        _print_lines(console, _empty_lines(found))
        _print_lines(console, _comparisons(found))
    _print_lines(console, _loss_lines(result["held_out_loss"]))


def _print_lines(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _speed_table(name: str, way: str, speed: Mapping[str, Any]) -> Table:
    others = _others(speed["all"], way)
    told = "; seconds of the others over its own: median, 95 %" if others else ""
    table = Table(title=f"{name}, {_WAYS[way]}: tokens per step{told}", box=box.SIMPLE_HEAD, padding=0)
    table.add_column("prompts", no_wrap=True)
    for column in ("", "fork", "per step", "tokens", "ended", *(_WAYS[other] for other in others)):
        table.add_column(column, justify="right", no_wrap=True)
    for label, part in _parts(speed, way):
        table.add_row(label, *_speed_cells(part, way, others))
    return table


def _others(part: Mapping[str, Any], way: str) -> list[str]:
    timed = part["timed"]
    return [] if timed is None else list(timed["seconds_over"][way])


def _parts(speed: Mapping[str, Any], way: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    forking = speed["forking"].get(way)
    rows = [("all", speed["all"]), ("forking", forking), *speed["kinds"].items(), *speed["categories"].items()]
    return ((label, part) for label, part in rows if part is not None)


def _speed_cells(part: Mapping[str, Any], way: str, others: list[str]) -> list[str]:
    timed = part["timed"]
    return [
        str(part["prompts"]),
        f"{part['forking'][way]:.0%}",
        f"{part['tokens_per_step'][way]:.2f}",
        f"{part['tokens'][way]['mean']:.0f}",
        f"{part['ended'][way]:.0%}",
        *(_interval(timed["seconds_over"][way][other]["median"]) if timed else _NONE for other in others),
    ]


def _interval(found: Mapping[str, float]) -> str:
    return f"{found['value']:.2f}\n{found['low']:.2f}–{found['high']:.2f}"


def _quality_table(name: str, found: Mapping[str, Any]) -> Table:
    read, reader = found["repetition"]["as_read"], found["reader"]
    table = Table(title=f"{name}: the answers", box=box.SIMPLE_HEAD)
    table.add_column("")
    for way in read:
        table.add_column(_WAYS[way], justify="right")
    for label, key in (
        ("4-grams of details in siblings", "ngrams"),
        ("leads said before", "leads"),
        ("items without detail", "without_detail"),
    ):
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


def _empty_lines(found: Mapping[str, Any]) -> Iterator[str]:
    for way, forked in found["repetition"]["as_forked"].items():
        yield f"{forked['empty_details']} of {forked['details']} details of {_WAYS[way]} are without text"


def _comparisons(found: Mapping[str, Any]) -> Iterator[str]:
    """What the taught model, and the rules, do differently from every other way, with intervals."""
    repetition, reader, instructions = (
        (found[part] or {}).get("paired", {}) for part in ("repetition", "reader", "instructions")
    )
    for first, others in repetition.items():
        for other, shares in others.items():
            pairs = {
                "4-grams in siblings": shares["ngrams"],
                "leads said before": shares["leads"],
                "items without detail": shares["without_detail"],
                "reader's nats a token": reader and reader[first][other]["a_token"],
                "instructions followed": instructions and instructions[first][other],
            }
            for label, one in pairs.items():
                if one:
                    yield f"{label}, {_WAYS[first]} less {_WAYS[other]}: {_difference(one)}"


def _difference(one: Mapping[str, Any]) -> str:
    gap = one["difference"]
    told = f"{gap['value']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f}, {one['prompts']} prompts)"
    return told + (f"; McNemar's p {one['p']:.2f}" if "p" in one else "")


def _loss_lines(loss: Mapping[str, Any] | None) -> Iterator[str]:
    for name in ("all", "structured", "unstructured") if loss is not None else ():
        part = loss[name] if loss is not None else None
        if part is None:
            continue
        line = f"held-out loss, {name}: {part['model']:.4f} nats a token over {part['tokens']} tokens of text"
        if part["twin"] is not None:
            line += f"; sequential twin {part['twin']:.4f}; ratio {part['ratio']:.4f}"
        yield line
