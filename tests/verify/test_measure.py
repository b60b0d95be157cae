"""What hiding the earlier details costs: against a slow oracle, and on dependences that were planted."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

from apar.data.records import TreeRecord, read_trees
from apar.errors import ModelError, RunError, UserError
from apar.structure.labels import Refusal
from apar.tokens import encode_prompt, encode_text
from apar.train.mask import additive, dense_mask
from apar.tree import Node, ParagraphTree
from apar.verify.details import details
from apar.verify.losses import DetailLosses
from apar.verify.measure import Measurer, VerifyConfig, verify_file, verify_records
from apar.verify.scorer import Scorer
from tests.tiny import tiny_model

Losses = dict[Node, list[float]]

NESTED = ParagraphTree(
    Node(
        "Some: 1. Sea:",
        Node(" the sea is wide"),
        Node(
            "\n2. Garden:",
            Node(" - bench:", Node(" in the shade"), Node("\n - herbs:", Node(" by the door"), Node(" and rain"))),
            Node("\n3. Sleep:", Node(" go to bed"), Node("\nThat is all.")),
        ),
    )
)
FLAT = ParagraphTree(
    Node(
        "1. Sea:",
        Node(" grey in winter"),
        Node("\n2. Wind:", Node(" smells of salt"), Node("\n3. é:", Node(" ok"), Node(""))),
    )
)


def record(tree: ParagraphTree, name: str = "x") -> TreeRecord:
    rule, reason = ("ordered_list", None) if tree.root.forks else ("unstructured", "too_few_parts")
    return TreeRecord(name, "s", ({"role": "user", "content": "How?"},), tree.text, rule, reason, tree, extra={})


@pytest.fixture(scope="module")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("forking"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("plain"), control=False, seed=1)


class Oracle:
    """Every node by a forward pass of its own over the very text it sees."""

    def __init__(self, reader: Scorer) -> None:
        self.reader = reader

    def losses(self, tree: ParagraphTree, depth: int) -> Losses:
        found: Losses = {}
        prompt = encode_prompt(self.reader.tokenizer, record(tree).messages)
        self._visit(tree.root, prompt, 0, depth, found)
        return found

    def _visit(self, node: Node, path: list[int], level: int, depth: int, found: Losses) -> list[int]:
        """Return the path of what comes next in the text if nothing is hidden."""
        control = self.reader.control
        tokens = encode_text(self.reader.tokenizer, node.text)
        found[node] = self._read(path, tokens)
        path = path + tokens
        if node.detail is None or node.next is None:
            return path
        if level >= depth:
            path = self._visit(node.detail, path, level + 1, depth, found)
            return self._visit(node.next, path, level, depth, found)
        fork, child = ([control.fork], [control.child]) if control else ([], [])
        self._visit(node.detail, path + fork + child, level + 1, depth, found)
        return self._visit(node.next, path + fork, level, depth, found)

    @torch.inference_mode()
    def _read(self, path: list[int], tokens: list[int]) -> list[float]:
        if not tokens:
            return []
        logits = self.reader.model(torch.tensor([path + tokens])).logits[0, len(path) - 1 : -1]
        if self.reader.control:
            logits[:, [self.reader.control.fork, self.reader.control.child]] = -torch.inf
        return F.cross_entropy(logits, torch.tensor(tokens), reduction="none").tolist()


def subtrees(tree: ParagraphTree) -> list[list[Node]]:
    """The nodes of each detail, in the order of the forks."""
    return [list(ParagraphTree(node.detail).nodes()) for node in tree.nodes() if node.detail]


def total(losses: Losses, nodes: list[Node]) -> float:
    return sum(sum(losses[node]) for node in nodes)


@pytest.mark.parametrize("tree", [NESTED, FLAT])
@pytest.mark.parametrize("readers", [("forking", "forking"), ("plain", "plain"), ("forking", "plain")])
def test_the_losses_are_those_of_reading_each_context_by_itself(
    tree: ParagraphTree, readers: tuple[str, str], forking: Path, plain: Path
) -> None:
    folders = {"forking": str(forking), "plain": str(plain)}
    sequential = folders[readers[1]] if readers[0] != readers[1] else None
    measurer = Measurer.load(folders[readers[0]], sequential, VerifyConfig(device="cpu", batch_tokens=150))
    # Others beside it, longer and shorter: packing must not matter.
    found = measurer.measure([record(FLAT), record(tree), record(NESTED)])[1]
    depths = [Oracle(measurer.sequential).losses(tree, 0)]
    depths += [Oracle(measurer.model).losses(tree, depth) for depth in range(1, tree.depth)]
    assert len(found.details) == tree.num_forks
    for detail, nodes in zip(found.details, subtrees(tree), strict=True):
        tokens = [x for node in nodes for x in zip(*(losses[node] for losses in depths), strict=True)]
        assert detail.whole.tokens == detail.own.tokens == len(tokens)
        assert detail.whole.shown == pytest.approx(total(depths[0], nodes), abs=1e-4)
        assert detail.whole.hidden == pytest.approx(total(depths[-1], nodes), abs=1e-4)
        assert detail.own.shown == pytest.approx(total(depths[detail.level - 1], nodes), abs=1e-4)
        assert detail.own.hidden == pytest.approx(total(depths[detail.level], nodes), abs=1e-4)
        assert detail.start.shown == pytest.approx(sum(token[0] for token in tokens[:4]), abs=1e-4)
        assert detail.start.hidden == pytest.approx(sum(token[-1] for token in tokens[:4]), abs=1e-4)
    after = list(tree.nodes())[1:]
    assert found.text.hidden == pytest.approx(total(depths[-1], after), abs=1e-4)
    assert found.leads.shown + found.outermost.shown == pytest.approx(total(depths[0], after), abs=1e-4)


def test_without_control_tokens_the_first_detail_of_a_thread_loses_nothing(plain: Path) -> None:
    found = Measurer.load(str(plain), None, VerifyConfig(device="cpu")).measure([record(NESTED)])[0]
    by_number = {number: [d.own.increase for d in found.details if d.number == number] for number in (0, 1)}
    assert by_number[0] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert all(abs(increase) > 1e-3 for increase in by_number[1])


def test_what_every_level_costs_adds_up(plain: Path) -> None:
    found = Measurer.load(str(plain), None, VerifyConfig(device="cpu")).measure([record(NESTED)])[0]
    inner = found.details[2]
    outer = found.details[1]
    assert (outer.level, inner.level) == (1, 2)
    in_the_parts = sum(d.own.hidden - d.own.shown for d in found.details if d.level == 2)
    whole = found.outermost.hidden - found.outermost.shown
    first = sum(d.own.hidden - d.own.shown for d in found.details if d.level == 1)
    # What is left is the text between the inner parts, which misses them.
    between = whole - first - in_the_parts
    assert abs(between) > 1e-3
    assert outer.whole.hidden - outer.whole.shown == pytest.approx(
        outer.own.hidden - outer.own.shown + in_the_parts + between, abs=1e-4
    )


LETTERS = "ABCDEFGH"


def planted(rng: random.Random) -> ParagraphTree:
    """Four details of two letters: the second repeats the first's, the others are drawn anew."""
    first, third, fourth = ("".join(rng.choices(LETTERS, k=2)) for _ in range(3))
    follow = Node("3", Node(third), Node("4", Node(fourth), Node(".")))
    return ParagraphTree(Node("1", Node(first), Node("2", Node(first), follow)))


@pytest.fixture(scope="module")
def copier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without control tokens that has learnt planted answers and their paths, in a few seconds."""
    folder = tiny_model(tmp_path_factory.mktemp("copier"), control=False)
    model = AutoModelForCausalLM.from_pretrained(folder).train()
    reader = Scorer("copier", model, AutoTokenizer.from_pretrained(folder), None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    rng = random.Random(0)
    for _ in range(200):
        answers = [record(planted(rng)) for _ in range(20)]
        rows = [reader.lay_out(one.messages, reader.encode(one.tree), depth) for one in answers for depth in (0, 1)]
        ids, positions, ends, before, targets = (
            torch.tensor([getattr(row, name) for row in rows])
            for name in ("ids", "positions", "subtree_end", "before", "targets")
        )
        mask = additive(dense_mask(ends), model.dtype)
        logits = model(input_ids=ids, position_ids=positions, attention_mask=mask).logits
        chosen = logits.gather(1, before[:, :, None].expand(-1, -1, logits.shape[-1]))
        loss = F.cross_entropy(chosen.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    return folder


def test_a_planted_dependence_is_found_and_independent_details_are_left_alone(copier: Path) -> None:
    rng = random.Random(1)
    config = VerifyConfig(device="cpu", min_tokens=2, certainty=0, threshold=1.0)
    measurer = Measurer.load(str(copier), None, config)
    found = measurer.measure([record(planted(rng)) for _ in range(64)])
    mean = [sum(one.details[k].own.increase for one in found) / len(found) for k in range(4)]
    assert mean[0] == pytest.approx(0, abs=1e-6)
    assert mean[1] > 1.0  # of log(8) = 2.1 nats
    assert max(map(abs, mean[2:])) < 0.7


def test_dependent_details_are_merged_back_in_the_file(copier: Path, tmp_path: Path) -> None:
    rng = random.Random(2)
    source, target = tmp_path / "trees.jsonl", tmp_path / "out" / "verified.jsonl"
    answers = [record(planted(rng), f"a{k}") for k in range(40)]
    write(source, [*answers, record(ParagraphTree.leaf("Plain."), "leaf")])
    config = VerifyConfig(device="cpu", min_tokens=2, certainty=0, threshold=0.9, window=7)
    seen: list[int] = []
    report = verify_file(source, target, str(copier), config, on_progress=seen.append)
    after = list(read_trees(target))
    assert [one.id for one in after] == [*(one.id for one in answers), "leaf"]
    assert [one.response for one in after] == [*(one.response for one in answers), "Plain."]
    found = [one for one, before in zip(after, answers, strict=False) if one.tree.forks() == before.tree.forks()[2:]]
    assert len(found) >= 24
    assert found[0].refusals == (Refusal(1, 6, "dependent"),)
    assert report["answers"]["changed"] >= len(found)
    assert report["details"]["merged"] == 160 - sum(one.tree.num_forks for one in after) >= 2 * len(found)
    assert report["increase"]["quantiles"]["0.9"] > 1.0
    assert report["answers"]["read"] == 41
    assert report["answers"]["skipped"] == {"no_forks": 1}
    assert report["paths"] == "joined text"
    assert seen == list(range(1, 42))
    assert json.loads(json.dumps(report)) == report


def write(path: Path, records: list[TreeRecord]) -> None:
    path.write_text("".join(one.to_json() + "\n" for one in records), encoding="utf-8")


def measured(records: list[TreeRecord], model: Path, **config: object) -> Iterator[DetailLosses]:
    measurer = Measurer.load(str(model), None, VerifyConfig.model_validate({"device": "cpu", **config}))
    return (verified.losses for verified in verify_records(records, measurer))


def test_answers_that_cannot_be_measured_are_told_and_left_as_they_are(forking: Path) -> None:
    surrogate = "1:\ud800 a\n2: b"
    odd = record(ParagraphTree.from_forks(surrogate, [(2, 6), (8, 10)]))
    long = record(ParagraphTree.from_forks("a:b" * 400, [(2, 3), (5, 6)]))
    records = [record(ParagraphTree.leaf("x")), odd, long, record(FLAT)]
    assert [one.skipped for one in measured(records, forking)] == ["no_forks", "not_utf8", "too_long", None]
    measurer = Measurer.load(str(forking), None, VerifyConfig(device="cpu"))
    assert all(one.after is one.before for one in verify_records(records[:3], measurer))


def test_messages_that_the_chat_template_refuses_are_told(forking: Path) -> None:
    assert [one.skipped for one in measured([replace(record(FLAT), messages=())], forking)] == ["prompt_refused"]


def test_max_length_counts_the_tokens_of_prompt_and_answer(forking: Path) -> None:
    reader = Scorer.load(str(forking), "float32", "cpu")
    length = len(reader.lay_out(record(FLAT).messages, reader.encode(FLAT), 0))
    assert [one.skipped for one in measured([record(FLAT)], forking, max_length=length)] == [None]
    assert [one.skipped for one in measured([record(FLAT)], forking, max_length=length - 1)] == ["too_long"]


def test_the_report_says_which_models_read_what_and_the_source_may_be_the_target(
    forking: Path, plain: Path, tmp_path: Path
) -> None:
    file = tmp_path / "trees.jsonl"
    write(file, [record(NESTED), record(FLAT)])
    report = verify_file(file, file, str(forking), VerifyConfig(threshold=99, device="cpu"), sequential=str(plain))
    assert (report["model"], report["sequential_model"]) == (str(forking), str(plain))
    assert report["paths"] == "[Fork] and [Child]"
    assert [one.tree for one in read_trees(file)] == [NESTED, FLAT]
    tokens = report["loss"]["tokens"]
    assert report["by_rule"]["ordered_list"]["tokens"] == report["by_source"]["s"]["tokens"] == tokens > 0
    assert set(report["by_level"]) == {"1", "2"}
    assert report["details"]["number"] == NESTED.num_forks + FLAT.num_forks == len(details(NESTED)) + 3


def test_models_that_split_text_differently_are_not_compared(forking: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", control=False)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["model"]["merges"] = []
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    write(tmp_path / "trees.jsonl", [record(FLAT)])
    with pytest.raises(UserError, match="split the answers differently"):
        verify_file(tmp_path / "trees.jsonl", tmp_path / "v.jsonl", str(forking), sequential=str(other))
    assert not (tmp_path / "v.jsonl").exists()


def test_a_max_length_beyond_the_positions_and_a_missing_model_are_errors(forking: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at most 256 tokens"):
        Measurer.load(str(forking), None, VerifyConfig(max_length=257))
    with pytest.raises(ModelError, match="no model folder"):
        verify_file(tmp_path / "trees.jsonl", tmp_path / "v.jsonl", str(tmp_path / "none"))


def test_a_full_device_is_told_with_what_to_lower(forking: Path) -> None:
    def full(**inputs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    measurer = Measurer.load(str(forking), None, VerifyConfig(device="cpu"))
    measurer.model.model.forward = full
    with pytest.raises(RunError, match="lower batch_tokens"):
        measurer.measure([record(FLAT)])
