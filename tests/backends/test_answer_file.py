"""A model's own answers become a file of trees, which a killed run goes on with."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from apar.assemble import tree_of
from apar.backends.answer_file import Tally, answer_file
from apar.backends.answering import decode_all
from apar.data.prompts import FilePrompt
from apar.data.records import read_examples, read_trees
from apar.decoding.answer import Answer
from apar.decoding.params import SamplingParams
from apar.errors import ContextError, RunError, UserError
from apar.events import Event
from apar.tree import Node, ParagraphTree
from tests.scripted import LIST, Scripted

PLAIN = ParagraphTree.leaf("No.")
PARAMS = SamplingParams()


class Engine:
    """Answers a prompt with the tree of that name; notes the prompts, and how many are under way."""

    def __init__(self, **trees: ParagraphTree | Answer | Exception) -> None:
        self.trees = trees
        self.asked: list[str] = []
        self.seeds: list[int | None] = []
        self.under_way = self.most = 0

    def stream(self, prompt: Any, params: SamplingParams) -> Generator[Event, None, Answer]:
        name = prompt[-1]["content"]
        self.asked.append(name)
        self.seeds.append(params.seed)
        found = self.trees[name]
        if isinstance(found, ContextError):
            raise found
        return self._stream(found, params)

    def _stream(self, found: ParagraphTree | Exception, params: SamplingParams) -> Generator[Event, None, Answer]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if isinstance(found, Exception):
                raise found
            answer = yield from Scripted(_encoded(found)).stream("", params)
            return replace(answer, finish_reason="length") if found.text.endswith("…") else answer
        finally:
            self.under_way -= 1


def _encoded(tree: ParagraphTree) -> ParagraphTree:
    """With a token for each character, and one without text where a node has none."""
    return tree.encode(lambda text: [ord(character) for character in text] or [0])


def prompts(*names: str) -> list[FilePrompt]:
    return [FilePrompt(name, "asked", ({"role": "user", "content": name},), {"lang": "en"}) for name in names]


def run(engine: Engine, names: Sequence[str], path: Path, params: SamplingParams = PARAMS, **options: Any) -> Tally:
    options = {"model": "m", "concurrency": 2, **options}
    *_, tally = answer_file(engine, prompts(*names), params, path, **options)
    return tally


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_answers_are_trees_that_training_reads(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    tally = run(Engine(a=LIST, b=PLAIN), "ab", path)
    assert (tally.kept, tally.forking, tally.left_out.total()) == (2, 1, 0)
    records = list(read_trees(path))
    assert [record.tree for record in records] == [LIST, PLAIN]
    assert [(record.id, record.source, record.rule, record.reason) for record in records] == [
        ("a", "asked", "generated", None),
        ("b", "asked", "unstructured", None),
    ]
    assert records[0].extra == {"lang": "en", "model": "m"}
    assert [example.structured for example in read_examples([path])] == [True, False]
    assert [each.name for each in tmp_path.iterdir()] == ["answers.jsonl"]


def test_what_is_of_no_use_is_kept_apart_and_not_answered_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    odd = ParagraphTree(Node("A", Node("", Node("x"), Node("y")), Node("B")))
    engine = Engine(a=PLAIN, b=ParagraphTree.leaf("and so on…"), c=ParagraphTree.leaf(" "), d=odd,
                    e=ParagraphTree.leaf("caf\ufffd"))  # fmt: skip
    tally = run(engine, "abcde", path)
    assert tally.kept == 1
    assert dict(tally.left_out) == {
        "cut by the limit of its length": 1,
        "empty": 1,
        "with a node that has no text": 1,
        "with broken characters": 1,
    }
    assert ids(path) == ["a"]
    assert ids(tmp_path / "answers.jsonl.left_out") == ["b", "c", "d", "e"]
    again = Engine()
    assert run(again, "abcde", path) == Tally(before=5)
    assert again.asked == []


def test_a_killed_run_goes_on_without_its_half_written_line(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with pytest.raises(RunError):
        run(Engine(a=LIST, b=PLAIN, c=RunError("the engine is gone")), "abc", path, concurrency=1)
    assert ids(path) == ["a", "b"]
    text = path.read_bytes()
    path.write_bytes(text[:-9])
    engine = Engine(b=PLAIN, c=PLAIN)
    tally = run(engine, "abc", path)
    assert engine.asked == ["b", "c"]
    assert (tally.before, tally.kept) == (1, 2)
    assert ids(path) == ["a", "b", "c"]
    assert path.read_bytes().startswith(text)


def test_several_answers_to_a_prompt_have_seeds_and_ids_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    params = SamplingParams(n=2, seed=7, temperature=1)
    engine = Engine(a=LIST, b=PLAIN)
    run(engine, "ab", path, params)
    assert ids(path) == ["a/1", "a/2", "b/1", "b/2"]
    assert engine.seeds == [7, 8, 7, 8]
    assert [json.loads(line)["seed"] for line in path.read_text().splitlines()] == [7, 8, 7, 8]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "other"}, "has answers of model m, not other"),
        ({"params": SamplingParams(temperature=1)}, r"has answers of sampling \{\}, not \{'temperature': 1\}"),
    ],
)
def test_a_file_of_other_answers_is_not_gone_on_with(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = tmp_path / "answers.jsonl"
    run(Engine(a=LIST), "a", path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=message):
        run(Engine(a=LIST, b=PLAIN), "ab", path, **options)
    assert path.read_bytes() == before


def test_an_answer_to_another_prompt_of_the_same_id_is_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    run(Engine(a=LIST), "a", path)
    changed = [replace(prompts("a")[0], messages=({"role": "user", "content": "b"},))]
    with pytest.raises(UserError, match="has an answer a to another prompt"):
        list(answer_file(Engine(), changed, PARAMS, path, "m", 1))


@pytest.mark.parametrize("content", ['{"prompt": "a"}\n', "words\n", "[1]\n"])
def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match="line 1 is no answer written by"):
        run(Engine(a=LIST), "a", path)
    assert path.read_text() == content


def test_a_prompt_that_the_engine_refuses_is_counted_and_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    tally = run(Engine(a=ContextError("too long"), b=PLAIN), "ab", path)
    assert (tally.kept, dict(tally.left_out)) == (1, {"refused by the engine": 1})
    assert str(tally.refused) == "too long"
    assert run(Engine(a=LIST), "ab", path).kept == 1


def test_where_every_prompt_is_refused_that_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with pytest.raises(ContextError, match="too long"):
        run(Engine(a=ContextError("too long"), b=ContextError("this one, too")), "ab", path)
    assert not path.exists()


@pytest.mark.parametrize("concurrency", [1, 3, 10])
def test_so_many_answers_are_decoded_at_a_time_and_none_is_left_open(tmp_path: Path, concurrency: int) -> None:
    engine = Engine(**dict.fromkeys("abcde", LIST))
    run(engine, "abcde", tmp_path / "answers.jsonl", concurrency=concurrency)
    assert (engine.most, engine.under_way) == (min(concurrency, 5), 0)
    broken = Engine(a=LIST, b=LIST, c=LIST, d=RunError("gone"), e=LIST)
    with pytest.raises(RunError):
        run(broken, "abcde", tmp_path / "others.jsonl", concurrency=concurrency)
    assert broken.under_way == 0


def test_an_engine_in_process_gives_the_answers_that_it_gives_one_by_one(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from apar.engine.llm import LLM
    from apar.tokens import ControlTokens
    from tests.engine.tiny import favour, tiny_model, tiny_tokenizer

    model, tokenizer = tiny_model(3), tiny_tokenizer()
    favour(model, ControlTokens.of(tokenizer), fork=3.0, eos=3.0)
    llm = LLM.from_parts(model, tokenizer, num_blocks=200)
    asked = prompts("a1", "b2", "c3", "a", "b", "c")
    params = SamplingParams(max_tokens=60, seed=5, temperature=1)
    single = {each.id: llm.generate([each.messages], params)[0] for each in asked}
    *_, tally = answer_file(llm, asked, params, tmp_path / "answers.jsonl", "m", 4)
    assert tally.forking > 1
    for record in read_trees(tmp_path / "answers.jsonl"):
        found, wanted = record.tree, tree_of(single[record.id].events)
        assert [(node.text, node.forks) for node in found.nodes()] == [(n.text, n.forks) for n in wanted.nodes()]
    assert llm.engine.pool.num_free == llm.engine.pool.num_blocks


def test_closing_the_iterator_cancels_what_is_under_way() -> None:
    from apar.backends.answering import WantedAnswer

    engine = Engine(**dict.fromkeys("abc", LIST))
    answers = decode_all(engine, [WantedAnswer(each.id, each, PARAMS) for each in prompts(*"abc")], 3)
    next(answers)
    assert engine.under_way == 2
    answers.close()  # type: ignore[attr-defined]
    assert engine.under_way == 0
