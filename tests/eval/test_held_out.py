"""The loss on held-out trees against the twin's on the same text, by position."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from apar.errors import UserError
from apar.eval.held_out import EDGES, held_out_loss
from apar.eval.journal import Journal
from apar.eval.plan import ModelSpec, Plan
from apar.eval.scoring import Text, load_scorer, read
from apar.models.load import load
from apar.tokens import encode_prompt, encode_text
from apar.tree import Node, ParagraphTree
from tests.eval.files import LISTING, record, write_lines
from tests.tiny import tiny_model

MESSAGES = ({"role": "user", "content": "What now?"},)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "model": str(tiny_model(folder / "model")),
        "twin": str(tiny_model(folder / "twin", control=False, seed=1)),
    }


def plan(folder: Path, models: dict[str, str], **more: Any) -> Plan:
    trees = write_lines(
        folder / "t.jsonl",
        [record("a"), record("b"), record("c", ParagraphTree.leaf("A short one."), "too_few_parts")],
    )
    sets = {"one": {"trees": [trees]}}
    given = {"model": models["model"], "twin": models["twin"], "output": folder / "r.json", "sets": sets, **more}
    return Plan.model_validate(given)


def measured(chosen: Plan) -> Any:
    return held_out_loss(chosen, Journal(chosen.journal, "f"), lambda what, done, total: None)


def test_the_twins_loss_is_that_of_the_plain_text(tmp_path: Path, models: dict[str, str]) -> None:
    chosen = plan(tmp_path, models)
    [(losses, _)] = read(load_scorer(chosen.twin, chosen), [Text(MESSAGES, LISTING, False)], 999, 999)  # type: ignore[arg-type]
    model, tokenizer = load(models["twin"], "float32", "cpu")
    prompt = encode_prompt(tokenizer, MESSAGES)
    answer = [token for node in LISTING.nodes() for token in encode_text(tokenizer, node.text)]
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    assert losses is not None
    assert losses == pytest.approx(F.cross_entropy(logits, torch.tensor(answer), reduction="none").tolist(), abs=1e-4)


def test_places_count_along_the_path_from_the_answers_beginning(tmp_path: Path, models: dict[str, str]) -> None:
    chosen = plan(tmp_path, models)
    scorer = load_scorer(chosen.subject, chosen)
    tree = ParagraphTree(Node("ab", Node("cd"), Node("ef")))
    counts = [len(scorer.encode(ParagraphTree.leaf(text)).tokens) for text in ("ab", "cd", "ef")]
    [(_, places)] = read(scorer, [Text(MESSAGES, tree, True)], 999, 999)
    lead, detail, following = counts
    # [Fork] takes a place before the detail's [Child] and before what follows on the parent's path.
    assert places == [*range(lead), *range(lead + 2, lead + 2 + detail), *range(lead + 1, lead + 1 + following)]
    [(_, plain)] = read(scorer, [Text(MESSAGES, tree, False)], 999, 999)
    assert plain == list(range(sum(counts)))


def test_both_models_are_measured_on_the_same_tokens(tmp_path: Path, models: dict[str, str]) -> None:
    found = measured(plan(tmp_path, models))
    assert (found["answers"], found["skipped"]) == (3, 0)
    every = found["all"]
    assert every["tokens"] == found["structured"]["tokens"] + found["unstructured"]["tokens"] > 0
    assert every["ratio"] == pytest.approx(every["model"] / every["twin"])
    assert every["ratio_interval"][0] <= every["ratio"] + 1e-5
    assert [bucket["from"] for bucket in every["by_position"]] == [0, *EDGES]
    assert sum(bucket["tokens"] for bucket in every["by_position"]) == every["tokens"]
    nats = sum(bucket["twin"] * bucket["tokens"] for bucket in every["by_position"] if bucket["tokens"])
    assert nats == pytest.approx(every["twin"] * every["tokens"])


def test_an_answer_that_is_too_long_counts_for_neither(tmp_path: Path, models: dict[str, str]) -> None:
    chosen = plan(tmp_path, models)
    scorer = load_scorer(chosen.subject, chosen)
    tree = scorer.encode(LISTING)
    longest = len(scorer.lay_out(({"role": "user", "content": "a"},), tree, tree.depth))
    found = measured(plan(tmp_path, models, loss={"max_length": longest - 1}))
    assert (found["answers"], found["skipped"], found["structured"]) == (1, 2, None)


def test_the_plan_bounds_the_answers_of_either_kind(tmp_path: Path, models: dict[str, str]) -> None:
    assert measured(plan(tmp_path, models, loss={"answers": 1}))["answers"] == 2
    assert measured(plan(tmp_path, models, loss={"answers": 0})) is None


def test_what_was_measured_is_not_measured_again(tmp_path: Path, models: dict[str, str]) -> None:
    chosen = plan(tmp_path, models)
    first = measured(chosen)
    gone = {"model": ModelSpec(model="gone"), "twin": ModelSpec(model="gone")}
    assert measured(chosen.model_copy(update=gone)) == first


def test_a_twin_with_another_tokenizer_is_told(tmp_path: Path, models: dict[str, str]) -> None:
    chosen = plan(tmp_path, models)
    other = tmp_path / "other"
    tiny_model(other, control=False)
    _longer_vocabulary(other)
    with pytest.raises(UserError, match="is no twin of"):
        measured(chosen.model_copy(update={"twin": ModelSpec(model=str(other))}))


def _longer_vocabulary(folder: Path) -> None:
    """Drop a merge: the tokenizer splits texts into more tokens."""
    import json

    path = folder / "tokenizer.json"
    data = json.loads(path.read_text())
    data["model"]["merges"] = data["model"]["merges"][:5]
    path.write_text(json.dumps(data))


def test_without_a_twin_there_is_the_models_loss_alone(tmp_path: Path, models: dict[str, str]) -> None:
    found = measured(plan(tmp_path, models, twin=None))["all"]
    assert found["model"] > 0
    assert (found["twin"], found["ratio"], found["ratio_interval"]) == (None, None, None)
