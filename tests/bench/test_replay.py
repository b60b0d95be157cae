from __future__ import annotations

from pathlib import Path

import pytest

from apar.bench.answers import BenchAnswer
from apar.bench.model import codec_for_shape, load_bench_model
from apar.bench.replay import fitting, replay_answers
from apar.errors import ModelError, UserError
from apar.tree import Node, ParagraphTree
from tests.fixtures import TINY

ASKED = ({"role": "user", "content": "How?"},)
TREE = ParagraphTree(Node("1. Bed:", Node(" go early."), Node("\nDone.")))


def test_an_answer_has_the_same_tokens_for_both_ways() -> None:
    bench_model = load_bench_model(None, "llama-25m", "bfloat16", "cpu", TINY)
    control, [answer] = replay_answers(bench_model, [BenchAnswer("list", "lists", ASKED, TREE)])
    encode = codec_for_shape(TINY).encode
    bed, early, done = map(encode, ("1. Bed:", " go early.", "\nDone."))
    [eos] = control.eos
    assert answer.forced["sequential"].threads == {(0,): (*bed, *early, *done, eos)}
    assert answer.forced["forked"].threads == {(0,): (*bed, control.fork, *done, eos), (0, 0): (*early, eos)}
    assert not {control.fork, control.child, eos} & {*bed, *early, *done, *answer.prompt}
    assert answer.longest == len(answer.prompt) + len(bed) + len(early) + len(done)
    assert fitting([answer], answer.longest + 1) == [answer]
    with pytest.raises(
        UserError, match=f"no answer fits into the context of {answer.longest} tokens; give more --num-blocks"
    ):
        fitting([answer], answer.longest)


def test_the_tokenizer_of_the_shipped_model_is_loaded_where_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apar.demo._HERE", tmp_path)
    bench_model = load_bench_model(None, "llama-25m", "bfloat16", "cpu")
    assert bench_model.codec.name == "that of demo"
    with pytest.raises(ModelError, match="adapter of demo is not in"):
        bench_model.codec.encode("a")


def test_a_shape_with_fewer_ids_than_the_texts_have_is_told_as_such() -> None:
    bench_model = load_bench_model(None, "llama-25m", "bfloat16", "cpu", TINY)
    with pytest.raises(UserError, match="has more ids than llama-25m, which has 32000: name a smaller one"):
        bench_model.control_tokens([32000])
