"""The data card: what a file of trees holds, where it comes from, how it was made, and what to mind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from apar.corpus.config import ExtractConfig

_LANGUAGES = 20
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_HUB_LICENCES = frozenset(
    {"apache-2.0", "mit", "cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0"}
)
_ABOUT = """
Each record is an answer with the messages before it and its *paragraph tree*: the text, and as `forks` the pairs
of character offsets (end of a lead, end of its detail). A model trained on it with tree attention emits `[Fork]`
at the end of a lead and decodes the detail beside what follows. Reading the tree in order gives the answer
byte for byte. `rule` says what the outermost parts are, `reason` why an answer has none, and `refusals` which
groups of parts do not fork, and why.
"""
_CHOSEN = """
Answers were chosen for each prompt: it is here with structured answers or with unstructured ones, not with both, and
with the best of them by items, length and model (`choice` below).
"""
_CAUTIONS = """
- The licences are those that the records state. Answers of commercial models may come under those models' terms.
- Trees are read from the form of an answer, and parts that depend on each other are told from its words: some
  that do are not seen. `apar extract --verify MODEL` measures it.
- Nothing was checked for truth, bias or harm, and personal data were not looked for.
- All answers to a prompt are on one side of the split, by the text of the first question. The same question in
  other words may be on both.
"""


def card_text(report: Mapping[str, Any], config: ExtractConfig) -> str:
    """The card as Markdown, with the head that the Hugging Face hub reads."""
    return "\n".join(_lines(report, config)).rstrip() + "\n"


def _lines(report: Mapping[str, Any], config: ExtractConfig) -> Iterator[str]:
    yield f"---\n{yaml.safe_dump(_head(report), allow_unicode=True, sort_keys=False)}---\n"
    yield f"# Paragraph trees of {report['answers']:,} answers\n{_ABOUT}\n## Contents\n"
    speedup = report["structured"]["ideal_speedup"]["corpus"]
    yield f"- {report['structured']['answers']:,} structured answers" + (
        f", ideal speed-up {speedup:.2f}x (tokens over critical path)" if speedup else ""
    )
    yield f"- tokens: {report['all']['tokens']:,} (counted by {report['token_counter']})"
    yield f"- held out: {report['held_out']:,} answers\n"
    yield from _table("rule", "answers", report["by_rule"])
    yield from _table("why an answer does not fork", "answers", report["by_reason"])
    yield from _table("kind", "answers", report["by_kind"])
    yield "## Sources\n"
    yield from _table("source", "answers", _answers(report["by_source_figures"]))
    yield from _table("licence stated", "answers", report["by_licence"])
    yield from _table("language", "answers", _answers(report["by_language_figures"]))
    yield from _table("model that wrote the answers", "answers", _answers(report["by_model_figures"]))
    yield "## How it was made\n"
    files = ", ".join(f"`{Path(source).name}`" for source in report["sources"])
    yield f"By `apar extract`, version {report['version']}, from {files or 'no file'}. "
    yield f"Left out: {report['dropped']['count']:,} answers and {report['broken']['count']:,} broken records.\n"
    if config.choice.prefer == "structure":
        yield _CHOSEN
    yield from _table("left out as", "answers", report["dropped"]["by_reason"])
    knobs = yaml.safe_dump(config.model_dump(mode="json"), allow_unicode=True, sort_keys=False)
    yield f"```yaml\n{knobs}```\n\n## What to mind\n{_CAUTIONS}"


def _head(report: Mapping[str, Any]) -> dict[str, Any]:
    languages = [code for code in report["by_language_figures"] if len(code) == 2][:_LANGUAGES]
    size = next((name for most, name in _SIZES if report["answers"] < most), "1M<n")
    head = {"pretty_name": "Paragraph trees", "task_categories": ["text-generation"], "size_categories": [size]}
    licences = sorted({_hub_licence(name) for name in report["by_licence"]})
    return {
        **({"language": languages} if languages else {}),
        **({"license": licences} if licences else {}),
        **head,
        "tags": ["apar", "parallel-decoding"],
    }


def _hub_licence(name: str) -> str:
    """The hub's name of a licence; one that it does not know, or that a remark goes with, is another."""
    return name.lower() if name.lower() in _HUB_LICENCES else "other"


def _answers(figures: Mapping[str, Any]) -> dict[str, int]:
    return {name: group["answers"] for name, group in figures.items()}


def _table(title: str, number: str, counts: Mapping[str, int]) -> Iterator[str]:
    counts = {name: count for name, count in counts.items() if count}
    if counts:
        yield f"| {title} | {number} |\n|---|---:|"
        yield from (f"| {_cell(name)} | {count:,} |" for name, count in counts.items())
        yield ""


def _cell(name: str) -> str:
    """A name as the text of a table's cell."""
    return " ".join(name.replace("_", " ").replace("|", "\\|").replace("<", "&lt;").split())
