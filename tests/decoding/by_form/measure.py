"""Forks by the form of the text against those of extraction, over real answers read token by token.

python -m tests.decoding.by_form.measure --data DIR [--files eval/heldout.jsonl ...] [--at-most 2000] [--show 20]

Extraction reads whole answers and knows what comes; the reader knows the text so far only. Answers are fed in random
pieces of one to eight characters. Chinese characters and prompts are read alike.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apar.decoding.by_form.child import DetailReader
from apar.decoding.by_form.markers import read_marker
from apar.decoding.by_form.reader import ItemReader, LeadEnd
from apar.decoding.by_form.why_not import ForkJudge
from apar.structure.extract import extract
from apar.tree import Fork

_FILES = ("bench/vicuna_bench_answers.jsonl", "bench/vicuna_bench_answers_qlora.jsonl", "eval/heldout.jsonl")
_SEED = 16
_FORMS = (
    (re.compile(r"[:：][*_\"'”’]*$"), "colon"),
    (re.compile(r"[-–—]$"), "dash"),
    (re.compile(r"[*_]$"), "bold"),
)


@dataclass
class Read:
    """One answer, read both ways."""

    prompt: str
    text: str
    leads: list[tuple[LeadEnd, str | None]]  # and why it does not fork
    ends: dict[int, int]  # of details, by where their leads end
    extracted: Sequence[Fork]
    seconds: list[float]  # of each piece

    @property
    def forks(self) -> set[int]:
        return {lead.at for lead, reason in self.leads if reason is None}


@dataclass
class Tally:
    """Lead ends of one kind and form: told by both, by extraction alone, by the reader alone."""

    both: int = 0
    missed: int = 0
    extra: int = 0
    right_ends: int = 0

    def __str__(self) -> str:
        precision = self.both / max(self.both + self.extra, 1)
        recall = self.both / max(self.both + self.missed, 1)
        ends = self.right_ends / max(self.both, 1)
        return f"{self.both + self.missed:7} {self.both + self.extra:7} {precision:9.3f} {recall:7.3f} {ends:7.3f}"


@dataclass
class Group:
    """Answers of one category."""

    answers: int = 0
    forked: int = 0
    unstructured: int = 0
    false: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def records(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """The records of a file of chats."""
    path = folder / name
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        for line in file:
            one = json.loads(line)
            if one["response"].strip():
                yield one


def read_answer(prompt: str, text: str, generator: random.Random) -> Read:
    """Read an answer in random pieces; judge each lead, and read the details of those that fork."""
    reader, judge = ItemReader(), ForkJudge(prompt)
    leads: list[LeadEnd] = []
    pieces = list(_pieces(text, generator))
    seconds = []
    for piece in pieces:
        began = time.thread_time()
        leads += reader.feed(piece)
        seconds.append(time.thread_time() - began)
    judged = [(lead, judge.why_not(lead, text[: lead.read])) for lead in leads]
    ends = {lead.at: lead.at + _detail(text[lead.at :], lead) for lead, reason in judged if reason is None}
    return Read(prompt, text, judged, ends, extract(text).tree.forks(), seconds)


def _pieces(text: str, generator: random.Random) -> Iterator[str]:
    at = 0
    while at < len(text):
        step = generator.randint(1, 8)
        yield text[at : at + step]
        at += step


def _detail(rest: str, lead: LeadEnd) -> int:
    reader = DetailReader(lead)
    state = reader.feed(rest)
    return state.chars


def kind_of(text: str, at: int) -> tuple[str, str]:
    """The kind and form of the lead that ends at `at`."""
    start = text.rfind("\n", 0, at) + 1
    marker = read_marker(text[start:at] + " x" if at else "")
    lead = text[start:at]
    form = next((name for pattern, name in _FORMS if pattern.search(lead)), "")
    if text[at : at + 1] in ("\n", "") and form in ("", "bold"):
        form = "line"
    return (marker.kind if marker else "paragraph"), form or "sentence"


def compare(answers: Sequence[Read]) -> dict[str, Tally]:
    """Lead ends by kind and form, and all of those that a reader can know."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    for one in answers:
        if not one.extracted:
            continue
        ends = {fork.at: fork.end for fork in one.extracted}
        for at in ends.keys() | one.forks:
            kind, form = kind_of(one.text, at)
            names = [f"{kind} {form}"]
            if form != "sentence" and kind != "paragraph":
                names.append("all (without sentences and paragraphs)")
            for name in names:
                tally = tallies[name]
                tally.both += at in ends and at in one.forks
                tally.missed += at in ends and at not in one.forks
                tally.extra += at not in ends and at in one.forks
                tally.right_ends += at in ends and _same_end(one, at, ends[at])
    return tallies


def _same_end(one: Read, at: int, end: int) -> bool:
    return at in one.ends and one.text[: one.ends[at]].rstrip() == one.text[:end].rstrip()


def by_category(answers: Sequence[Read], categories: dict[str, str]) -> dict[str, Group]:
    """How many answers fork, and how many that extraction calls unstructured."""
    groups: dict[str, Group] = defaultdict(Group)
    for one in answers:
        for name in (categories.get(one.prompt, "other"), "all"):
            group = groups[name]
            group.answers += 1
            group.forked += bool(one.forks)
            group.unstructured += not one.extracted
            group.false += bool(one.forks) and not one.extracted
            group.reasons.update({reason for _, reason in one.leads if reason})
    return groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--files", nargs="+", default=_FILES)
    parser.add_argument("--at-most", type=int, default=100_000, help="answers of each file, drawn with a seed")
    parser.add_argument("--show", type=int, default=0, help="print so many false forks, and as many missed ones")
    options = parser.parse_args()
    with (options.data / "bench" / "vicuna_bench_questions.jsonl").open() as file:
        categories = {one["text"]: one["category"] for one in map(json.loads, file)}
    generator = random.Random(_SEED)
    for name in options.files:
        drawn = list(records(options.data, name))
        if len(drawn) > options.at_most:
            drawn = generator.sample(drawn, options.at_most)
        answers = [read_answer(one["prompt"], one["response"], generator) for one in drawn]
        _print(name, answers, categories)
        _show(answers, options.show)


def _print(name: str, answers: Sequence[Read], categories: dict[str, str]) -> None:
    costs = sorted(1e6 * second for one in answers for second in one.seconds)
    mean, most = sum(costs) / len(costs), costs[len(costs) * 99 // 100]
    print(f"\n## {name}: {len(answers)} answers, {mean:.1f} microseconds a piece, 99 of 100 at most {most:.1f}")
    print(f"{'lead ends':40} {'extract':>7} {'reader':>7} {'precision':>9} {'recall':>7} {'detail':>7}")
    tallies = compare(answers)
    for kind in sorted(tallies, key=lambda kind: -(tallies[kind].both + tallies[kind].missed)):
        print(f"{kind:40} {tallies[kind]}")
    print(f"{'answers':16} {'all':>6} {'forked':>7} {'unstructured':>13} {'false forks':>12}   refused for")
    for category, group in sorted(by_category(answers, categories).items()):
        false = f"{group.false} ({group.false / max(group.unstructured, 1):.1%})"
        reasons = ", ".join(f"{reason} {count}" for reason, count in group.reasons.most_common(8))
        print(f"{category:16} {group.answers:6} {group.forked:7} {group.unstructured:13} {false:>12}   {reasons}")


def _show(answers: Sequence[Read], count: int) -> None:
    false = [one for one in answers if one.forks and not one.extracted]
    for one in random.Random(_SEED).sample(false, min(count, len(false))):
        leads = [lead.lead for lead, reason in one.leads if reason is None]
        print("--- FALSE", repr(one.prompt[:200]), len(one.leads), leads[:5], extract(one.text).reason)
    missed = [one for one in answers if one.extracted and not one.forks]
    _show_leads(answers, count)
    for one in random.Random(_SEED).sample(missed, min(count, len(missed))):
        at = one.extracted[0].at
        reasons = [reason for _, reason in one.leads][:3]
        print("--- MISSED", repr(one.prompt[:200]), repr(one.text[max(at - 80, 0) : at]), reasons)


def _show_leads(answers: Sequence[Read], count: int) -> None:
    """Single leads that only one of the two found, in answers that both fork."""
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for one in answers:
        refused = {lead.at: str(reason) for lead, reason in one.leads if reason}
        ends = {fork.at for fork in one.extracted}
        for at in ends ^ one.forks if ends else ():
            kind, form = kind_of(one.text, at)
            start = one.text.rfind("\n", 0, at) + 1
            shown = repr(one.text[max(start - 30, 0) : at] + "|" + one.text[at : at + 40])
            why = refused.get(at, "not seen") if at in ends else "extra"
            found[kind, form, why].append(shown)
    for name, shown in sorted(found.items(), key=lambda pair: -len(pair[1])):
        if name[0] != "paragraph" and name[1] != "sentence":
            drawn = random.Random(_SEED).sample(shown, min(count // 2, len(shown)))
            print("--- LEADS", *name, len(shown), *drawn, sep="\n    ")


if __name__ == "__main__":
    main()
