"""A model's own answers as a file of trees that training reads, made from the prompts of another file; resumable.

What is of no use for training, such as an answer that its budget cut (the model did not choose its ends), goes to a
second file, `NAME.left_out`, and is not decoded again either.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from apar.assemble import tree_of
from apar.backends.answering import Engine, WantedAnswer, decode_all
from apar.data.prompts import FilePrompt
from apar.data.records import TreeRecord
from apar.decoding.answer import Answer
from apar.decoding.detokenize import BROKEN
from apar.decoding.params import SamplingParams
from apar.errors import RequestError, TreeError, UserError
from apar.structure.labels import Rule
from apar.tokens import Message


@dataclass
class Tally:
    """What became of the answers of a run, and how many were there before.

    `left_out` counts reasons; `refused` is what the first prompt failed with that could not be answered.
    """

    before: int = 0
    kept: int = 0
    forking: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    refused: RequestError | None = None


class AnswerFile:
    """Answers are added to the file at `path` one by one; a line that a kill left half-written is dropped.

    `settings` are how the answers were decoded. Raises UserError where the file holds anything else, or answers of
    other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self._path, self._settings = path, settings
        self.messages: dict[str, list[Message]] = {}
        """By the id of each answer in the file, what it answers."""
        complete = self._read() if path.exists() else 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._file.truncate(complete)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        empty = self._file.tell() == 0
        self._file.close()
        if empty:
            self._path.unlink()

    def add(self, record: TreeRecord) -> None:
        """Write an answer; where it was written the process can be killed."""
        self._file.write(record.to_json().encode() + b"\n")
        self._file.flush()

    def _read(self) -> int:
        """The length in bytes of the whole lines."""
        complete = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                self._take(number, line)
                complete += len(line)
        return complete

    def _take(self, number: int, line: bytes) -> None:
        try:
            data = json.loads(line)
            settings = {key: data[key] for key in self._settings}
            messages = data["messages"] if "messages" in data else [{"role": "user", "content": data["prompt"]}]
            self.messages[data["id"]] = messages
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self._path}, line {number} is no answer written by `apar generate --input`") from error
        for key, value in self._settings.items():
            if settings[key] != value:
                raise UserError(
                    f"{self._path} has answers of {key} {settings[key]}, not {value}: "
                    "give the options that it was made with, or another file"
                )


def answer_file(
    engine: Engine, prompts: Sequence[FilePrompt], params: SamplingParams, path: Path, model: str, concurrency: int
) -> Iterator[Tally]:
    """Write the answers that `path` does not hold yet; yield the tally at first and after each.

    There are `params.n` answers to each prompt. `model` names the model in the records; `concurrency` answers are
    decoded at a time. Raises UserError where the file holds other things, answers of another model or of other
    parameters, or to other prompts; RequestError where no prompt can be answered; and what decoding raises.
    """
    settings = {"model": model, "sampling": _not_default(params)}
    with ExitStack() as files:
        kept = files.enter_context(AnswerFile(path, settings))
        left_out = files.enter_context(AnswerFile(path.with_name(path.name + ".left_out"), settings))
        wanted = _wanted(prompts, params)
        missing = _missing(path, wanted, kept.messages | left_out.messages)
        tally = Tally(before=len(wanted) - len(missing))
        yield tally
        for each, found in decode_all(engine, missing, concurrency):
            if isinstance(found, RequestError):
                tally.refused = tally.refused or found
                tally.left_out["refused by the engine"] += 1
            else:
                record = _record(each, found, settings)
                problem = _problem(found, record)
                (left_out if problem else kept).add(record)
                tally.left_out.update([problem] if problem else [])
                tally.kept += not problem
                tally.forking += not problem and record.tree.root.forks
            yield tally
        if tally.refused is not None and tally.left_out["refused by the engine"] == len(wanted):
            raise tally.refused


def _wanted(prompts: Sequence[FilePrompt], params: SamplingParams) -> list[WantedAnswer]:
    """The answers to each prompt, each with a seed of its own where there is one."""
    found = []
    for prompt in prompts:
        for choice in range(params.n):
            seed = None if params.seed is None else params.seed + choice
            name = prompt.id if params.n == 1 else f"{prompt.id}/{choice + 1}"
            found.append(WantedAnswer(name, prompt, replace(params, n=1, seed=seed)))
    return found


def _missing(path: Path, wanted: Sequence[WantedAnswer], done: dict[str, list[Message]]) -> list[WantedAnswer]:
    """The answers that are not done; raises UserError where one has the id of an answer to another prompt."""
    for each in wanted:
        if each.id in done and done[each.id] != list(each.prompt.messages):
            raise UserError(f"{path} has an answer {each.id} to another prompt: give the same input, or another file")
    return [each for each in wanted if each.id not in done]


def _record(wanted: WantedAnswer, answer: Answer, settings: dict[str, Any]) -> TreeRecord:
    """The answer as the model forked it."""
    tree = tree_of(answer.events, wanted.params.stop)
    prompt = wanted.prompt
    rule: Rule = "generated" if tree.root.forks else "unstructured"
    extra = {**prompt.extra, **settings, **({"seed": answer.seed} if wanted.params.temperature else {})}
    return TreeRecord(wanted.id, prompt.source, prompt.messages, tree.text, rule, None, tree, extra)


def _problem(answer: Answer, record: TreeRecord) -> str | None:
    """Why an answer is of no use for training."""
    if answer.finish_reason == "length":
        return "cut by the limit of its length"
    if not record.response.strip():
        return "empty"
    if BROKEN in record.response:
        return "with broken characters"
    try:
        TreeRecord.from_json(record.to_json())
    except TreeError:  # tokens without text stand between two forks
        return "with a node that has no text"
    return None


def _not_default(params: SamplingParams) -> dict[str, Any]:
    """The parameters that are not the defaults, as JSON gives them back."""
    default = SamplingParams()
    values = {item.name: getattr(params, item.name) for item in fields(params)}
    given = {name: value for name, value in values.items() if value != getattr(default, name)}
    found: dict[str, Any] = json.loads(json.dumps(given))
    return found
