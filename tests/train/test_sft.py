"""A whole training, small: it learns, it resumes exactly, and what it writes loads with Transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from apar.errors import ModelError, RunError, UserError
from apar.tokens import ControlTokens
from apar.train import sft
from apar.train.batches import Encoder
from apar.train.initial_model import InitialModel
from apar.train.recipe import Recipe
from apar.tree import Node, ParagraphTree

TOPICS = ("tea", "rain", "bread", "chess", "maps", "bees", "wool", "salt", "ink", "tin")
HELD_OUT = ("soap", "jam")


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    path = tmp_path / "trees.jsonl"
    write(path, records(TOPICS))
    write(tmp_path / "heldout.jsonl", records(HELD_OUT))
    return path


def write(path: Path, found: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in found))


def records(topics: tuple[str, ...]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for k, topic in enumerate(topics * 2):
        forks = k < len(topics)
        tree = listing(topic) if forks else ParagraphTree.leaf(f"{topic} is just {topic}.")
        question = f"List facts about {topic}." if forks else f"What is {topic}?"
        rule = "ordered_list" if forks else "unstructured"
        found.append(
            {
                "id": str(k),
                "source": "s",
                "prompt": question,
                "response": tree.text,
                "rule": rule,
                "reason": None,
                "forks": tree.forks(),
            }
        )
    return found


def listing(topic: str) -> ParagraphTree:
    node = Node("")
    for number in (2, 1):
        node = Node(
            f"{number}. A {topic}:" if number == 1 else f"\n{number}. More {topic}:",
            Node(f" it is {topic}."),
            node,
        )
    return ParagraphTree(node)


def recipe(tmp_path: Path, trees: Path, **changes: object) -> Recipe:
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    base: dict[str, object] = {
        "output": tmp_path / "run",
        "start": {"vocab_size": 300, "shape": {**shape, "tie_word_embeddings": True}},
        "trees": [trees],
        "max_length": 128,
        "batch_tokens": 512,
        "micro_batch_tokens": 256,
        "steps": 30,
        "optimizer": {"name": "muon", "learning_rate": 0.01},
        "precision": "float32",
        "evaluate_every": 10,
        "checkpoint_every": 10,
        "held_out": [tmp_path / "heldout.jsonl"],
    }
    return Recipe.model_validate({**base, **changes})


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_training_lowers_the_loss_and_writes_a_model_that_transformers_loads(tmp_path: Path, trees: Path) -> None:
    chosen = recipe(tmp_path, trees)
    folder = sft.train(chosen)
    told = losses(chosen.output)
    assert len(told) == 30
    assert told[-1] < 0.7 * told[0]
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    control = ControlTokens.of(tokenizer)
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer) == control.child + 1
    last = json.loads((chosen.output / "log.jsonl").read_text().splitlines()[-1])
    assert last["held_out"]["text_tokens"] > 0


def interrupted(chosen: Recipe, at: int) -> Path:
    """The output folder of a training that was interrupted after a step."""

    def stop(line: dict[str, object]) -> None:
        if line["step"] == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sft.train(chosen, report=stop)
    return chosen.output


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (one, other))
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name


@pytest.mark.parametrize("mix", [{"structured": 0.5}, {"structured": None}])
def test_a_resumed_training_ends_in_the_same_weights(tmp_path: Path, trees: Path, mix: dict[str, object]) -> None:
    whole = sft.train(recipe(tmp_path, trees, mix=mix, output=tmp_path / "whole"))
    chosen = recipe(tmp_path, trees, mix=mix, output=tmp_path / "broken")
    output = interrupted(chosen, 23)
    assert not (output / "model").exists()
    assert_same_weights(whole, sft.train(chosen, resume=True))
    lines = [
        json.loads(line)
        for folder in (tmp_path / "whole", output)
        for line in (folder / "log.jsonl").read_text().splitlines()
    ]
    by_step: dict[int, set[float]] = {}
    for line in lines:
        by_step.setdefault(line["step"], set()).add(line["loss"])
    assert all(len(found) == 1 for found in by_step.values())


def test_resuming_encodes_nothing_that_was_drawn_before(
    tmp_path: Path, trees: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn() -> int:
        return int(torch.load(chosen.output / "checkpoint.pt", weights_only=True)["batches"]["drawn"])

    chosen = recipe(tmp_path, trees, held_out=())
    interrupted(chosen, 23)
    before = drawn()
    encoded = []
    sample = Encoder.sample
    monkeypatch.setattr(Encoder, "sample", lambda self, example: (encoded.append(1), sample(self, example))[1])
    sft.train(chosen, resume=True)
    assert len(encoded) == 2 + drawn() - before  # one of each pool, to see that it fits


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed"),
        ({"mix": {"structured": 0.7}}, "mix"),
        ({"optimizer": {"name": "adamw"}}, "optimizer"),
        ({"seed": 1, "max_length": 120}, "max_length, seed"),
    ],
)
def test_a_checkpoint_of_other_settings_is_not_gone_on_from(
    tmp_path: Path, trees: Path, changes: dict[str, object], named: str
) -> None:
    output = interrupted(recipe(tmp_path, trees), 12)
    files = {path.name: path.read_bytes() for path in output.iterdir()}
    with pytest.raises(UserError, match=rf"checkpoint.pt is of a training that differs in {named}; give the recipe"):
        sft.train(recipe(tmp_path, trees, **changes), resume=True)
    assert files == {path.name: path.read_bytes() for path in output.iterdir()}


def test_a_checkpoint_of_other_data_is_not_gone_on_from(tmp_path: Path, trees: Path) -> None:
    interrupted(recipe(tmp_path, trees), 12)
    whole = trees.read_text()
    write(trees, records(TOPICS[:-1]))
    with pytest.raises(UserError, match="differs in the content of trees"):
        sft.train(recipe(tmp_path, trees), resume=True)
    moved = trees.with_name("moved.jsonl")
    moved.write_text(whole)
    sft.train(recipe(tmp_path, moved), resume=True)


def test_what_does_not_decide_the_weights_may_differ(tmp_path: Path, trees: Path) -> None:
    output = interrupted(recipe(tmp_path, trees), 12)
    changes = {"held_out": (), "checkpoint_every": 7, "micro_batch_tokens": 128, "output": tmp_path / "elsewhere"}
    shutil.copytree(output, tmp_path / "elsewhere")
    sft.train(recipe(tmp_path, trees, optimizer={"name": "muon", "learning_rate": 0.001}, **changes), resume=True)


def test_a_training_can_be_extended_and_not_shortened(tmp_path: Path, trees: Path) -> None:
    chosen = recipe(tmp_path, trees, steps=10)
    sft.train(chosen)
    sft.train(recipe(tmp_path, trees, steps=14), resume=True)
    assert len(losses(chosen.output)) == 14
    with pytest.raises(UserError, match=r"checkpoint\.pt has done 14 steps, more than steps = 12"):
        sft.train(recipe(tmp_path, trees, steps=12), resume=True)


def test_examples_longer_than_a_pack_are_counted(tmp_path: Path, trees: Path) -> None:
    def counts(folder: Path) -> list[int]:
        return [json.loads(line)["left_out"] for line in (folder / "log.jsonl").read_text().splitlines()]

    sft.train(recipe(tmp_path, trees, steps=2))
    assert counts(tmp_path / "run") == [0, 0]
    long = {**records(("tea",))[1], "prompt": "How long?", "response": "x " * 500}
    write(trees, [*records(TOPICS), long])
    mix = {"structured": None}
    sft.train(recipe(tmp_path, trees, mix=mix, output=tmp_path / "whole"))
    sft.train(recipe(tmp_path, trees, mix=mix, output=interrupted(recipe(tmp_path, trees, mix=mix), 23)), resume=True)
    whole, resumed = counts(tmp_path / "whole"), counts(tmp_path / "run")
    assert whole == sorted(whole)
    assert whole[-1] > 1
    assert resumed == whole[:23] + whole[20:]


def test_a_checkpoint_of_an_older_version_is_one_line(tmp_path: Path, trees: Path) -> None:
    output = interrupted(recipe(tmp_path, trees), 12)
    torch.save({"step": 10, "model": {}, "optimizers": []}, output / "checkpoint.pt")
    with pytest.raises(UserError, match="written by an older version"):
        sft.train(recipe(tmp_path, trees), resume=True)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("[enforce fail] file write failed"), SystemExit()]
)
def test_a_checkpoint_that_is_not_finished_leaves_the_one_before(
    tmp_path: Path, trees: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    chosen = recipe(tmp_path, trees)
    save = torch.save

    def fail(state: dict[str, object], path: Path) -> None:
        if state["step"] == 20:
            path.write_bytes(b"half")
            raise error
        save(state, path)

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises((RunError, SystemExit)) as caught:
        sft.train(chosen)
    monkeypatch.undo()
    assert caught.type is SystemExit or "cannot write" in str(caught.value)
    assert not list(chosen.output.glob(".*"))
    (chosen.output / ".checkpoint.pt.x.part").write_bytes(b"left by a kill")
    (chosen.output / ".model.x.part" / "new").mkdir(parents=True)
    (chosen.output / ".download.part").write_bytes(b"of another program")
    whole = sft.train(recipe(tmp_path, trees, output=tmp_path / "whole"))
    assert_same_weights(whole, sft.train(chosen, resume=True))
    assert sorted(path.name for path in chosen.output.iterdir()) == [
        ".download.part",
        "checkpoint.pt",
        "log.jsonl",
        "model",
        "training.json",
    ]


def test_a_model_trained_without_control_tokens_is_given_them(tmp_path: Path, trees: Path) -> None:
    base = sft.train(recipe(tmp_path, trees, mode="sequential", steps=2))
    tokenizer = AutoTokenizer.from_pretrained(base)
    size = len(tokenizer)
    assert "[Fork]" not in tokenizer.get_added_vocab()
    tuned = sft.train(recipe(tmp_path, trees, start={"model": str(base)}, output=tmp_path / "tuned", steps=2))
    assert len(AutoTokenizer.from_pretrained(tuned)) == size + 2


def test_the_twin_sees_the_same_examples_in_the_same_order(tmp_path: Path, trees: Path) -> None:
    from apar.data.records import read_examples
    from apar.train.batches import TrainingBatches
    from apar.train.initial_model import prepare

    seen = []
    for mode in ("forked", "sequential"):
        chosen = recipe(tmp_path, trees, mode=mode)
        examples = read_examples(chosen.trees)
        encoder = Encoder(prepare(chosen, examples).tokenizer, forked=mode == "forked", max_length=chosen.max_length)
        order: list[str] = []
        monitored = encoder.sample
        encoder.sample = lambda example, m=monitored, o=order: (o.append(example.tree.text), m(example))[1]  # type: ignore[method-assign]
        stream = iter(TrainingBatches(examples, encoder, chosen))
        for _ in range(5):
            next(stream)
        seen.append(order[:60])
    assert seen[0] == seen[1]
    assert len(seen[0]) == 60


def test_examples_of_which_none_fits_into_a_pack_are_an_error(tmp_path: Path, trees: Path) -> None:
    with pytest.raises(UserError, match=r"none of the .* structured examples has at most max_length = 4 tokens"):
        sft.train(recipe(tmp_path, trees, max_length=4, batch_tokens=8, micro_batch_tokens=None))


def test_trees_without_answers_are_an_error_that_says_where_to_look(tmp_path: Path, trees: Path) -> None:
    trees.write_text("")
    with pytest.raises(UserError, match=r"trees\.jsonl has no answers; report\.json"):
        sft.train(recipe(tmp_path, trees))


def test_what_is_trained_on_cannot_be_held_out(tmp_path: Path, trees: Path) -> None:
    question, answer = {"role": "user", "content": "what  is TEA?"}, {"role": "assistant", "content": "A drink."}
    later = {**records(("tea",))[0], "messages": [question, answer, {"role": "user", "content": "And?"}]}
    write(tmp_path / "other.jsonl", [later])
    with pytest.raises(UserError, match=r"1 answers of held_out are to prompts that .*trees\.jsonl has too"):
        sft.train(recipe(tmp_path, trees, held_out=[tmp_path / "other.jsonl"]))


def test_resuming_without_a_checkpoint_is_an_error(tmp_path: Path, trees: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint to resume"):
        sft.train(recipe(tmp_path, trees), resume=True)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path, trees: Path) -> None:
    with pytest.raises(RunError, match="the loss is not a number"):
        sft.train(recipe(tmp_path, trees, optimizer={"learning_rate": 1e30}))


def test_trees_that_do_not_exist_are_named_with_the_command_that_makes_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="apar extract"):
        sft.train(recipe(tmp_path, tmp_path / "none.jsonl"))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("I/O error")])
def test_a_model_folder_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, trees: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    folder = sft.train(recipe(tmp_path, trees, steps=1))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

    def fail(place: Path) -> None:
        (place / "weights").write_text("ne")
        raise error

    monkeypatch.setattr(tokenizer, "save_pretrained", fail)
    with pytest.raises(RunError, match="cannot write"):
        InitialModel(model, tokenizer).save(folder)
    assert not list(folder.parent.glob(".*"))
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_device_that_is_not_there_is_one_line(tmp_path: Path, trees: Path) -> None:
    with pytest.raises(ModelError, match="the device 'cudda' cannot be used here"):
        sft.train(recipe(tmp_path, trees, device="cudda"))
