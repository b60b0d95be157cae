"""A whole training, small: it learns, it resumes exactly, and what it writes loads with Transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from apar.errors import ModelError, RunError, UserError
from apar.tokens import ControlTokens
from apar.train import sft
from apar.train.checkpoint import replace_folder
from apar.train.recipe import Recipe
from apar.tree import Node, ParagraphTree

TOPICS = ("tea", "rain", "bread", "chess", "maps", "bees", "wool", "salt", "ink", "tin")


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    path = tmp_path / "trees.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records()))
    return path


def records() -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for k, topic in enumerate(TOPICS * 2):
        forks = k < len(TOPICS)
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
        "mix": {"held_out": 0.2},
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


def test_a_resumed_training_ends_in_the_same_weights(
    tmp_path: Path, trees: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sft.train(recipe(tmp_path, trees, output=tmp_path / "whole"))
    chosen = recipe(tmp_path, trees, output=tmp_path / "broken")

    def stop(line: dict[str, object]) -> None:
        if line["step"] == 23:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sft.train(chosen, report=stop)
    assert not (chosen.output / "model").exists()
    resumed = sft.train(chosen, resume=True)
    first, second = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (whole, resumed))
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name


def test_a_model_trained_without_control_tokens_is_given_them(tmp_path: Path, trees: Path) -> None:
    base = sft.train(recipe(tmp_path, trees, mode="sequential", steps=2))
    tokenizer = AutoTokenizer.from_pretrained(base)
    size = len(tokenizer)
    assert "[Fork]" not in tokenizer.get_added_vocab()
    tuned = sft.train(recipe(tmp_path, trees, start={"model": str(base)}, output=tmp_path / "tuned", steps=2))
    assert len(AutoTokenizer.from_pretrained(tuned)) == size + 2


def test_the_twin_sees_the_same_examples_in_the_same_order(tmp_path: Path, trees: Path) -> None:
    from apar.data.mix import read_all, select
    from apar.train.batches import Encoder, batches
    from apar.train.initial_model import prepare

    seen = []
    for mode in ("forked", "sequential"):
        chosen = recipe(tmp_path, trees, mode=mode)
        examples = select(read_all(chosen.trees), chosen.mix).train
        encoder = Encoder(prepare(chosen, examples).tokenizer, forked=mode == "forked", max_length=chosen.max_length)
        order: list[str] = []
        monitored = encoder.sample
        encoder.sample = lambda example, m=monitored, o=order: (o.append(example.tree.text), m(example))[1]  # type: ignore[method-assign]
        stream = batches(examples, encoder, chosen)
        for _ in range(5):
            next(stream)
        seen.append(order[:60])
    assert seen[0] == seen[1]
    assert len(seen[0]) == 60


def test_examples_of_which_none_fits_into_a_pack_are_an_error(tmp_path: Path, trees: Path) -> None:
    with pytest.raises(UserError, match=r"none of the .* structured examples has at most max_length = 4 tokens"):
        sft.train(recipe(tmp_path, trees, max_length=4, batch_tokens=8, micro_batch_tokens=None))


def test_a_mix_that_leaves_nothing_is_an_error_that_says_why(tmp_path: Path, trees: Path) -> None:
    with pytest.raises(UserError, match=r"no record of .* passes the mix; left out: .*too short"):
        sft.train(recipe(tmp_path, trees, mix={"min_response_chars": 10_000}))


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
def test_a_model_folder_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, error: Exception) -> None:
    folder = tmp_path / "model"
    replace_folder(folder, lambda place: (place / "weights").write_text("old") and None)

    def fail(place: Path) -> None:
        (place / "weights").write_text("ne")
        raise error

    with pytest.raises(RunError, match="cannot write"):
        replace_folder(folder, fail)
    assert [item.name for item in tmp_path.iterdir()] == ["model"]
    assert (folder / "weights").read_text() == "old"


def test_a_device_that_is_not_there_is_one_line(tmp_path: Path, trees: Path) -> None:
    with pytest.raises(ModelError, match="the device 'cudda' cannot be used here"):
        sft.train(recipe(tmp_path, trees, device="cudda"))
