"""Real prompts answered without and with drafts: every text, token and fork has to be the same.

    python -m tests.engine.drafts.same_text demo heldout.jsonl --max-tokens 64 --together 4

A line of JSON is printed for each batch, and the sums at the end; the exit code is 1 where an answer differs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from apar.data.raw import BrokenRecord
from apar.data.read import read_records
from apar.decoding.answer import Answer
from apar.decoding.params import SamplingParams
from apar.engine.llm import LLM
from apar.events import Delta


@click.command()
@click.argument("model")
@click.argument("prompts", type=click.Path(path_type=Path))
@click.option("--max-tokens", default=64)
@click.option("--together", default=4)
@click.option("--max-chars", default=2000)
def main(model: str, prompts: Path, max_tokens: int, together: int, max_chars: int) -> None:
    llm = LLM(model)
    texts = sorted({prompt for prompt in _prompts(prompts) if len(prompt) <= max_chars})
    params = SamplingParams(max_tokens=max_tokens, seed=0)
    sums = {"prompts": 0, "different": 0, "tokens": 0, "forked": 0, "drafted": 0, "accepted": 0}
    for begin in range(0, len(texts), together):
        batch = texts[begin : begin + together]
        with_drafts = llm.generate(batch, params)
        plain = llm.generate(batch, SamplingParams(max_tokens=max_tokens, seed=0, drafts=False))
        for one, other, prompt in zip(with_drafts, plain, batch, strict=True):
            if _told(one) != _told(other):
                sums["different"] += 1
                click.echo(json.dumps({"prompt": prompt, "with": one.text, "without": other.text}), err=True)
        sums["prompts"] += len(batch)
        sums["tokens"] += sum(answer.tokens for answer in plain)
        sums["forked"] += sum(answer.threads > 1 for answer in plain)
        sums["drafted"] += sum(sum(answer.drafted) for answer in with_drafts)
        sums["accepted"] += sum(sum(answer.accepted) for answer in with_drafts)
        click.echo(json.dumps(sums))
    raise SystemExit(int(sums["different"] > 0))


def _prompts(path: Path) -> list[str]:
    return [str(record.data["prompt"]) for record in read_records(path) if not isinstance(record, BrokenRecord)]


def _told(answer: Answer) -> Any:
    """Each thread's tokens, how it forked, and why it ended; how many drafts there were is left out."""
    threads: dict[Any, list[Any]] = {}
    for event in answer.events:
        told = event.token_ids if isinstance(event, Delta) else (type(event).__name__, getattr(event, "reason", None))
        threads.setdefault(event.thread, []).extend(told)
    return answer.text, answer.steps, threads


if __name__ == "__main__":
    main()
