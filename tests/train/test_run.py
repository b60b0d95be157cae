"""A whole training, small: it learns, it resumes exactly, and what it writes loads with Transformers."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from apar.errors import ModelError, RunError, UserError
from apar.tokens import ControlTokens
from apar.train import answers, checkpoints, run, trainer
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
        "optimizer": {"learning_rate": 0.02, "warmup": 0},
        "precision": "float32",
        "compile": False,
        "sample_answers": 1,
        "report_to": [],
        "device": "cpu",
        "evaluate_every": 10,
        "checkpoint_every": 10,
        "held_out": [tmp_path / "heldout.jsonl"],
    }
    return Recipe.model_validate({**base, **changes})


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in lines(folder) if "loss" in line]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_training_lowers_the_loss_and_writes_a_model_that_transformers_loads(tmp_path: Path, trees: Path) -> None:
    chosen = recipe(tmp_path, trees)
    folder = run.train(chosen)
    told = losses(chosen.output)
    assert len(told) == 30
    assert told[-1] < 0.7 * told[0]
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    control = ControlTokens.of(tokenizer)
    assert model.get_input_embeddings().weight.shape[0] == len(tokenizer) == control.child + 1
    measured = [line["held_out"] for line in lines(chosen.output) if "held_out" in line]
    assert len(measured) == 3
    assert {"structured_text", "structured_control", "unstructured_text", "held_out"} <= measured[-1].keys()
    assert "### List facts about soap." in (chosen.output / "answers" / "30.txt").read_text()
    assert (chosen.output / "loss.png").read_bytes().startswith(b"\x89PNG")


ADAPTER: dict[str, object] = {
    "lora": {"rank": 2, "dropout": 0.1},
    "checkpoint_every": 5,
    "evaluate_every": 5,
    "start": {
        "vocab_size": 300,
        "shape": {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "tie_word_embeddings": True,
        },
    },
}


def interrupted(chosen: Recipe, at: int, *, resume: bool = False) -> Path:
    """The output folder of a training that was interrupted after a step."""

    def stop(line: dict[str, object]) -> None:
        if line["step"] == at and "loss" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.train(chosen, report=stop, resume=resume)
    return chosen.output


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (one, other))
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name


@pytest.mark.parametrize("mix", [{"structured": 0.5}, {"structured": None}])
def test_a_resumed_training_ends_in_the_same_weights(tmp_path: Path, trees: Path, mix: dict[str, object]) -> None:
    whole = run.train(recipe(tmp_path, trees, mix=mix, output=tmp_path / "whole"))
    chosen = recipe(tmp_path, trees, mix=mix, output=tmp_path / "broken")
    output = interrupted(chosen, 23)
    assert not (output / "model").exists()
    assert_same_weights(whole, run.train(chosen, resume=True))
    by_step: dict[int, set[float]] = {}
    for line in lines(tmp_path / "whole") + lines(output):
        if "loss" in line:
            by_step.setdefault(line["step"], set()).add(line["loss"])
    assert len(by_step) == 30
    assert all(len(found) == 1 for found in by_step.values())


def test_resuming_parses_and_encodes_nothing_again(
    tmp_path: Path, trees: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(tmp_path, trees)
    interrupted(chosen, 23)
    read = answers.read_examples
    held_out_alone: list[Any] = []
    monkeypatch.setattr(answers, "read_examples", lambda paths: pytest.fail("parsed again"))
    monkeypatch.setattr(run, "read_examples", lambda paths: held_out_alone.append(paths) or read(paths))
    monkeypatch.setattr(answers, "write_samples", lambda *arguments: pytest.fail("encoded again"))
    run.train(chosen, resume=True)
    assert held_out_alone == [chosen.held_out]


def test_samples_of_another_tokenizer_are_made_again(tmp_path: Path, trees: Path) -> None:
    base = run.train(recipe(tmp_path, trees, steps=1, output=tmp_path / "base"))
    chosen = recipe(tmp_path, trees, start={"model": str(base)}, steps=1)
    before = run.set_up(chosen).store
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = "X" + tokenizer.chat_template
    tokenizer.save_pretrained(base)
    after = run.set_up(chosen).store
    assert before.tokenizer != after.tokenizer
    assert sum(after.lengths) > sum(before.lengths)


def test_what_is_trained_on_cannot_be_held_out_later(tmp_path: Path, trees: Path) -> None:
    interrupted(recipe(tmp_path, trees), 12)
    write(tmp_path / "other.jsonl", records(("tea",)))
    with pytest.raises(UserError, match=r"2 answers of held_out are to prompts that .*trees\.jsonl has too"):
        run.train(recipe(tmp_path, trees, held_out=[tmp_path / "other.jsonl"], keep_best=False), resume=True)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed"),
        ({"mix": {"structured": 0.7}}, "mix"),
        ({"optimizer": {"name": "adafactor"}}, "optimizer"),
        ({"seed": 1, "max_length": 120}, "max_length, seed"),
    ],
)
def test_a_checkpoint_of_other_settings_is_not_gone_on_from(
    tmp_path: Path, trees: Path, changes: dict[str, object], named: str
) -> None:
    output = interrupted(recipe(tmp_path, trees), 12)
    files = contents(output)
    with pytest.raises(UserError, match=rf"is of a training that differs in {named}; give the recipe"):
        run.train(recipe(tmp_path, trees, **changes), resume=True)
    assert files == contents(output)


@pytest.mark.parametrize(
    ("changes", "values"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"batch_tokens": 256}, "batch_tokens was 512 and is 256"),
        ({"optimizer": {"learning_rate": 0.02, "warmup": 0.5}}, "optimizer.warmup was 0.0 and is 0.5"),
        ({"optimizer": {"learning_rate": 0.03, "warmup": 0}}, "optimizer.learning_rate was 0.02 and is 0.03"),
        ({"start": {"vocab_size": 290, "shape": {}}}, "start.vocab_size was 300 and is 290"),
    ],
)
def test_settings_that_differ_are_named_with_both_values(
    tmp_path: Path, trees: Path, changes: dict[str, object], values: str
) -> None:
    chosen = recipe(tmp_path, trees)
    began = {"fingerprint": checkpoints.fingerprint(chosen), "recipe": chosen.model_dump(mode="json")}
    checkpoints.write_training(chosen.output, began)
    checkpoint = chosen.output / "checkpoints" / "checkpoint-10"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text("{}")
    with pytest.raises(UserError) as caught:
        run.train(recipe(tmp_path, trees, **changes), resume=True)
    assert values in str(caught.value)


def test_a_folder_with_a_training_is_not_begun_anew_unless_it_is_said(tmp_path: Path, trees: Path) -> None:
    chosen = recipe(tmp_path, trees, steps=2)
    run.train(chosen)
    files = contents(chosen.output)
    with pytest.raises(UserError, match=r"holds a training already \(checkpoint-2, model\): .* --resume, .* --restart"):
        run.train(chosen)
    assert files == contents(chosen.output)
    run.train(recipe(tmp_path, trees, steps=1), restart=True)
    assert [path.name for path in (chosen.output / "checkpoints").glob("checkpoint-*")] == ["checkpoint-1"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_checkpoint_of_other_data_is_not_gone_on_from(tmp_path: Path, trees: Path) -> None:
    interrupted(recipe(tmp_path, trees), 12)
    whole = trees.read_text()
    write(trees, records(TOPICS[:-1]))
    with pytest.raises(UserError, match="differs in the content of trees"):
        run.train(recipe(tmp_path, trees), resume=True)
    moved = trees.with_name("moved.jsonl")
    moved.write_text(whole)
    run.train(recipe(tmp_path, moved), resume=True)


def test_what_does_not_decide_the_weights_may_differ(tmp_path: Path, trees: Path) -> None:
    output = interrupted(recipe(tmp_path, trees), 12)
    changes = {"held_out": (), "checkpoint_every": 7, "micro_batch_tokens": 128, "output": tmp_path / "elsewhere"}
    shutil.copytree(output, tmp_path / "elsewhere")
    run.train(recipe(tmp_path, trees, optimizer={"learning_rate": 0.001, "warmup": 0}, **changes), resume=True)


def test_a_training_can_be_extended_and_not_shortened(tmp_path: Path, trees: Path) -> None:
    chosen = recipe(tmp_path, trees, steps=10)
    run.train(chosen)
    run.train(recipe(tmp_path, trees, steps=14), resume=True)
    assert len(losses(chosen.output)) == 14
    with pytest.raises(UserError, match=r"checkpoint-14 has done 14 steps, more than steps = 12"):
        run.train(recipe(tmp_path, trees, steps=12), resume=True)


def test_examples_longer_than_a_pack_are_counted(tmp_path: Path, trees: Path) -> None:
    long = {**records(("tea",))[1], "prompt": "How long?", "response": "x " * 500}
    write(trees, [*records(TOPICS), long])
    run.train(recipe(tmp_path, trees, steps=1))
    told = json.loads((tmp_path / "run" / "training.json").read_text())["data"]
    assert told["too_long"] == 1
    assert told["samples"] == 20
    assert "1 longer than 128 tokens were left out" in (tmp_path / "run" / "model" / "README.md").read_text()


def test_checkpoints_of_an_older_version_are_one_line(tmp_path: Path, trees: Path) -> None:
    output = interrupted(recipe(tmp_path, trees), 12)
    (output / "training.json").write_text('{"recipe": {}}')
    with pytest.raises(UserError, match=r"training\.json does not say of which training"):
        run.train(recipe(tmp_path, trees), resume=True)


def test_a_checkpoint_that_is_not_finished_leaves_the_one_before(
    tmp_path: Path, trees: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(tmp_path, trees)
    save = torch.save

    def fail(state: object, path: object, *args: object, **kwargs: object) -> None:
        if "checkpoint-20" in str(path) and "optimizer" in str(path):
            raise RuntimeError("[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing file")
        save(state, path, *args, **kwargs)

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RunError, match=r"cannot write a checkpoint .* the one before stays, use --resume"):
        run.train(chosen)
    monkeypatch.undo()
    (chosen.output / ".model.x.part" / "new").mkdir(parents=True)
    (chosen.output / ".download.part").write_bytes(b"of another program")
    whole = run.train(recipe(tmp_path, trees, output=tmp_path / "whole"))
    assert_same_weights(whole, run.train(chosen, resume=True))
    hidden = [path.name for path in chosen.output.glob(".*")]
    assert hidden == [".download.part"]


def test_a_training_killed_at_any_step_ends_in_the_same_weights(tmp_path: Path, trees: Path) -> None:
    whole = run.train(recipe(tmp_path, trees, **ADAPTER, output=tmp_path / "whole"))
    chosen = recipe(tmp_path, trees, **ADAPTER)
    rng = random.Random(0)
    steps = sorted(rng.sample(range(6, 30), 5))
    interrupted(chosen, steps[0])
    for step in steps[1:]:
        interrupted(chosen, step, resume=True)
    resumed = run.train(chosen, resume=True)
    assert (whole / "adapter_model.safetensors").read_bytes() == (resumed / "adapter_model.safetensors").read_bytes()


def test_a_model_trained_without_control_tokens_is_given_them(tmp_path: Path, trees: Path) -> None:
    base = run.train(recipe(tmp_path, trees, mode="sequential", steps=2))
    tokenizer = AutoTokenizer.from_pretrained(base)
    size = len(tokenizer)
    assert "[Fork]" not in tokenizer.get_added_vocab()
    tuned = run.train(recipe(tmp_path, trees, start={"model": str(base)}, output=tmp_path / "tuned", steps=2))
    assert len(AutoTokenizer.from_pretrained(tuned)) == size + 2


def test_the_twin_is_trained_on_the_same_packs(tmp_path: Path, trees: Path) -> None:
    forked, twin = (run.set_up(recipe(tmp_path, trees, mode=mode)) for mode in ("forked", "sequential"))
    assert forked.packs.packs == twin.packs.packs
    assert forked.store.room == twin.store.room
    assert sum(forked.store.lengths) > sum(twin.store.lengths)


def test_examples_of_which_none_fits_into_a_pack_are_an_error(tmp_path: Path, trees: Path) -> None:
    with pytest.raises(UserError, match=r"of the 0 answers that fit into max_length 0 are structured"):
        run.train(recipe(tmp_path, trees, max_length=4, batch_tokens=8, micro_batch_tokens=None))


def test_trees_without_answers_are_an_error_that_says_where_to_look(tmp_path: Path, trees: Path) -> None:
    trees.write_text("")
    with pytest.raises(UserError, match=r"trees\.jsonl has no answers; report\.json"):
        run.train(recipe(tmp_path, trees))


def test_what_is_trained_on_cannot_be_held_out(tmp_path: Path, trees: Path) -> None:
    question, answer = {"role": "user", "content": "what  is TEA?"}, {"role": "assistant", "content": "A drink."}
    later = {**records(("tea",))[0], "messages": [question, answer, {"role": "user", "content": "And?"}]}
    write(tmp_path / "other.jsonl", [later])
    with pytest.raises(UserError, match=r"1 answers of held_out are to prompts that .*trees\.jsonl has too"):
        run.train(recipe(tmp_path, trees, held_out=[tmp_path / "other.jsonl"]))


def test_resuming_without_a_checkpoint_is_an_error(tmp_path: Path, trees: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint to resume"):
        run.train(recipe(tmp_path, trees), resume=True)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path, trees: Path) -> None:
    with pytest.raises(RunError, match=r"the (loss|gradient) is not a number"):
        run.train(recipe(tmp_path, trees, optimizer={"learning_rate": 1e30, "warmup": 0}))


def test_trees_that_do_not_exist_are_named_with_the_command_that_makes_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="apar extract"):
        run.train(recipe(tmp_path, tmp_path / "none.jsonl"))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("I/O error")])
def test_a_model_folder_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, trees: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    folder = run.train(recipe(tmp_path, trees, steps=1))
    before = contents(folder)

    def fail(self: object, place: Path, *args: object, **kwargs: object) -> None:
        if "checkpoint" not in str(place):
            raise error

    monkeypatch.setattr(PreTrainedTokenizerFast, "save_pretrained", fail)
    with pytest.raises(RunError, match="cannot write"):
        run.train(recipe(tmp_path, trees, steps=2), resume=True)
    assert not list(folder.parent.glob(".*"))
    assert before == contents(folder)


def test_a_device_that_is_not_there_is_one_line(tmp_path: Path, trees: Path) -> None:
    with pytest.raises(ModelError, match="the device 'cudda' cannot be used here"):
        run.train(recipe(tmp_path, trees, device="cudda"))


def test_an_adapter_is_trained_beside_weights_of_4_bits(tmp_path: Path, trees: Path) -> None:
    pytest.importorskip("bitsandbytes")
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 1}
    start = {"vocab_size": 300, "shape": {**shape, "tie_word_embeddings": True}}
    base = run.train(recipe(tmp_path, trees, start=start, steps=2, output=tmp_path / "base"))
    chosen = recipe(tmp_path, trees, start={"model": str(base)}, lora={"rank": 4, "quantize": "nf4"})
    folder = run.train(chosen)
    assert (folder / "adapter_model.safetensors").stat().st_size < 60_000
    assert losses(chosen.output)[-1] < 0.95 * losses(chosen.output)[0]


def test_the_best_of_losses_on_other_answers_is_not_looked_for(tmp_path: Path, trees: Path) -> None:
    interrupted(recipe(tmp_path, trees), 12)
    with pytest.raises(UserError, match="evaluate_samples changed since the training began"):
        run.train(recipe(tmp_path, trees, evaluate_samples=3), resume=True)
    run.train(recipe(tmp_path, trees, evaluate_samples=3, keep_best=False), resume=True)


def test_held_out_answers_are_the_same_by_content_and_not_by_name(tmp_path: Path, trees: Path) -> None:
    chosen = recipe(tmp_path, trees)
    interrupted(chosen, 12)
    held_out = tmp_path / "heldout.jsonl"
    moved = held_out.rename(tmp_path / "moved.jsonl")
    interrupted(recipe(tmp_path, trees, held_out=[moved]), 13, resume=True)
    write(held_out, records(HELD_OUT[:1]))
    with pytest.raises(UserError, match="the content of held_out changed since the training began"):
        run.train(chosen, resume=True)
    # Losses on other answers in between make the best of all unknown.
    interrupted(recipe(tmp_path, trees, keep_best=False), 14, resume=True)
    with pytest.raises(UserError, match="the content of held_out changed"):
        run.train(chosen, resume=True)


def test_a_training_does_not_go_on_from_another_base(tmp_path: Path, trees: Path) -> None:
    base = run.train(recipe(tmp_path, trees, steps=1, output=tmp_path / "base"))
    chosen = recipe(tmp_path, trees, start={"model": str(base)}, lora={"rank": 2})
    interrupted(chosen, 12)
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.model.norm.weight += 1
    model.save_pretrained(base)
    with pytest.raises(UserError, match="the base that the training began with was"):
        run.train(chosen, resume=True)


def test_a_lower_rate_counts_from_where_a_training_goes_on(tmp_path: Path, trees: Path) -> None:
    """To lower it is the mend where a loss is not a number."""
    interrupted(recipe(tmp_path, trees, **ADAPTER), 12)
    lower = {**ADAPTER, "optimizer": {"learning_rate": 1e-5, "warmup": 0}}
    run.train(recipe(tmp_path, trees, **lower), resume=True)
    rates = [line["rate"] for line in lines(tmp_path / "run") if "loss" in line and line["step"] > 10]
    assert len(rates) == 20
    assert max(rates) <= 1e-5


def test_held_out_answers_of_which_none_fits_are_an_error(tmp_path: Path, trees: Path) -> None:
    write(tmp_path / "heldout.jsonl", [{**records(HELD_OUT)[2], "response": "x " * 500}])
    with pytest.raises(UserError, match="none of the 1 answers of held_out has at most max_length = 128"):
        run.train(recipe(tmp_path, trees))


def test_a_twins_adapter_is_loaded_on_its_base(tmp_path: Path, trees: Path) -> None:
    from apar.models.load import load

    base = run.train(recipe(tmp_path, trees, mode="sequential", steps=2, output=tmp_path / "base"))
    start = {"model": str(base)}
    twin = run.train(recipe(tmp_path, trees, mode="sequential", lora={"rank": 2}, start=start, merge=True))
    model, tokenizer = load(str(base), "float32", "cpu", adapter=twin)
    assert "[Fork]" not in tokenizer.get_added_vocab()
    merged, _ = load(str(twin.parent / "model"), "float32", "cpu")
    ids = torch.tensor([tokenizer.encode("List facts about tea.")])
    torch.testing.assert_close(model(ids).logits, merged(ids).logits, rtol=0.05, atol=0.05)


def test_the_best_checkpoint_is_what_is_written(tmp_path: Path, trees: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter((3.0, 2.0, 4.0, 5.0, 6.0, 7.0))
    monkeypatch.setattr(trainer, "_mean", lambda losses: next(told))
    chosen = recipe(tmp_path, trees, **ADAPTER)
    folder = run.train(chosen)
    measured = {line["step"]: line["held_out"]["held_out"] for line in lines(chosen.output) if "held_out" in line}
    best = min(measured, key=measured.__getitem__)
    assert best == 10
    kept = load_file(chosen.output / "checkpoints" / f"checkpoint-{best}" / "adapter_model.safetensors")
    for name, weight in load_file(folder / "adapter_model.safetensors").items():
        assert torch.equal(weight, kept[name].to(torch.bfloat16)), name
    assert f"| held out | {measured[best]:.4f} |" in (folder / "README.md").read_text()


def test_a_training_ends_early_where_nothing_gets_better(tmp_path: Path, trees: Path) -> None:
    settings = {**ADAPTER, "optimizer": {"learning_rate": 0.3, "warmup": 0}, "stop_after": 1}
    run.train(recipe(tmp_path, trees, **settings))
    assert len(losses(tmp_path / "run")) < 30


def test_a_resumed_training_ends_as_early(tmp_path: Path, trees: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter((3.0, 2.0, 4.0, 5.0, 6.0, 7.0))
    monkeypatch.setattr(trainer, "_mean", lambda losses: next(values))
    interrupted(recipe(tmp_path, trees, **ADAPTER, stop_after=2), 16)  # behind 3, 2, 4
    run.train(recipe(tmp_path, trees, **ADAPTER, stop_after=2), resume=True)
    assert len(losses(tmp_path / "run")) == 20


@pytest.mark.parametrize("torn", ['{"step": 11, "lo', "\n"])
def test_a_torn_line_of_the_log_is_dropped(tmp_path: Path, trees: Path, torn: str) -> None:
    output = interrupted(recipe(tmp_path, trees), 12)
    with (output / "log.jsonl").open("a") as file:
        file.write(torn)
    run.train(recipe(tmp_path, trees), resume=True)
    assert len(losses(output)) == 30


def test_a_full_disk_while_weights_are_saved_is_one_line(
    tmp_path: Path, trees: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, *args: object, **kwargs: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", fail)
    with pytest.raises(RunError, match="cannot write a checkpoint"):
        run.train(recipe(tmp_path, trees))


REFUSING = (
    "{% for message in messages %}{% if message['role'] != ('user', 'assistant')[loop.index0 % 2] %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ message['content'] }}{% endfor %}"
)


def test_what_the_chat_template_refuses_is_left_out_before_the_first_step(tmp_path: Path, trees: Path) -> None:
    base = run.train(recipe(tmp_path, trees, steps=1, output=tmp_path / "base"))
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = REFUSING
    tokenizer.save_pretrained(base)
    twice = {**records(("tea",))[1], "id": "twice", "messages": [{"role": "user", "content": text} for text in "AB"]}
    write(trees, [*records(TOPICS), twice])
    changes: dict[str, object] = {"start": {"model": str(base)}, "steps": 2, "evaluate_every": 1, "checkpoint_every": 1}
    chosen = recipe(tmp_path, trees, **changes, sample_answers=8)
    write(tmp_path / "heldout.jsonl", [*records(HELD_OUT), {**twice, "id": "held", "messages": system(twice)}])
    told: list[dict[str, Any]] = []
    run.train(chosen, report=told.append)
    assert told[0] == {"step": 0, "refused": ["twice", "held"]}
    said = json.loads((chosen.output / "training.json").read_text())
    assert (said["refused"], said["data"]["refused"], said["data"]["samples"]) == (["twice", "held"], 1, 20)
    assert said["held_out_examples"] == 4
    assert len(losses(chosen.output)) == 2
    assert "and 1 that the chat template refuses" in (chosen.output / "model" / "README.md").read_text()
    assert "refused" not in (chosen.output / "log.jsonl").read_text()


def system(record: dict[str, Any]) -> list[dict[str, str]]:
    """Messages that the template refuses, with a question that is not trained on."""
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Held {record['id']}?"}]


def test_a_template_that_refuses_every_answer_is_an_error(tmp_path: Path, trees: Path) -> None:
    base = run.train(recipe(tmp_path, trees, steps=1, output=tmp_path / "base"))
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = "{{ raise_exception('no chats') }}"
    tokenizer.save_pretrained(base)
    with pytest.raises(UserError, match=r"none of the 20 answers can be trained on: .*no chats"):
        run.train(recipe(tmp_path, trees, start={"model": str(base)}, held_out=()))
