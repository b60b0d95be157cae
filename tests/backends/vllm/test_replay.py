"""Answers that are given: the logits processor by itself, and a real vLLM that tells them both ways."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality

from apar.backends.vllm.engine import VllmBackend
from apar.backends.vllm.forced_tokens import ForcedTokenProcessor, answer_arguments, thread_arguments
from apar.backends.vllm.request_options import FORCED, SAMPLED, THREAD
from apar.bench.answers import BenchAnswer
from apar.bench.model import BenchModel
from apar.bench.vllm.engine_setup import EngineSetup
from apar.bench.vllm.fork_cost import FORKS, LEAD, fork_figures, fork_tree, forks_of
from apar.bench.vllm.pass_log import decoding
from apar.bench.vllm.replay import VllmReplay, check_answer
from apar.decoding.coordinator import SequenceRequest
from apar.decoding.forced_answer import ForcedAnswer
from apar.errors import RequestError, RunError, UserError
from apar.tokens import ControlTokens, TextCodec
from apar.tree import Node, ParagraphTree
from tests.engine.tiny import tiny_model

CONTEXT = 400
EOS, CONTROL = 9, ControlTokens(7, 8, frozenset({9}))
TREE = ParagraphTree(
    Node("", Node("", tokens=(5,) * 20), Node("", Node("", tokens=(6,)), Node("", tokens=(4, 3)), (2, 1)), (1, 2, 3))
)
PROMPT = list(range(10, 40))


def params(**extra: Any) -> SamplingParams:
    return SamplingParams(extra_args=extra)


def processor() -> ForcedTokenProcessor:
    return ForcedTokenProcessor(None, torch.device("cpu"), False)


def chosen(one: ForcedTokenProcessor, rows: int) -> list[int]:
    """What each row takes, where the model would take token 0."""
    logits = torch.zeros(rows, 12)
    logits[:, 0] = 50.0
    return [int(token) for token in one.apply(logits).argmax(-1)]


def test_each_row_takes_the_token_of_its_place_and_rows_without_a_script_are_left_alone() -> None:
    one = processor()
    said, own = [7], list[int]()
    script = {"0": [7, 5, 6], "0.1": [4, 3]}
    added = [
        (0, params(**{FORCED: script}), None, said),
        (1, params(), None, []),
        (2, params(**{FORCED: script, THREAD: [0, 1], SAMPLED: 1}), None, own),
    ]
    one.update_state(BatchUpdate(3, removed=[], added=added, moved=[]))
    assert chosen(one, 3) == [5, 0, 3]
    said.append(5)
    own.append(3)
    assert chosen(one, 3) == [6, 0, 0]  # the second script is at its end
    one.update_state(BatchUpdate(2, removed=[1], added=[], moved=[(0, 1, MoveDirectionality.UNIDIRECTIONAL)]))
    assert chosen(one, 2) == [0, 6]


def test_by_slots_too_each_row_takes_the_token_of_its_place() -> None:
    """As the newer model runner has it: slots are used again, and their rows differ from pass to pass."""
    states = SimpleNamespace(prompt_len=SimpleNamespace(np=np.array([4, 6, 9])))
    one = ForcedTokenProcessor(SimpleNamespace(speculative_config=None), states)
    script = {"0": [7, 5, 6], "0.1": [4, 3]}
    assert one.add_request(0, params(**{FORCED: script}))
    assert one.add_request(2, params(**{FORCED: script, THREAD: [0, 1], SAMPLED: 1}))
    assert not one.add_request(1, params())

    def taken(slots: list[int], lengths: list[int]) -> list[int]:
        context = SimpleNamespace(idx_mapping_np=np.array(slots), seq_lens_upper_bound_np=np.array(lengths))
        logits = torch.zeros(len(slots), 12)
        logits[:, 0] = 50.0
        return [int(token) for token in one.apply(logits, context).argmax(-1)]

    assert taken([2, 1, 0], [9, 6, 5]) == [3, 0, 5]
    assert taken([0, 2], [6, 10]) == [6, 0]  # the second script is at its end
    assert not one.add_request(0, params())
    assert taken([0], [4]) == [0]


def test_drafts_are_refused() -> None:
    with pytest.raises(ValueError, match="leave out speculative_config"):
        ForcedTokenProcessor(SimpleNamespace(speculative_config=object()), None)


def test_nothing_is_left_to_the_others_at_any_temperature() -> None:
    one = processor()
    one.update_state(BatchUpdate(1, removed=[], added=[(0, params(**{FORCED: {"0": [3]}}), None, [])], moved=[]))
    logits = one.apply(torch.full((1, 12), 80.0))
    for temperature in (0.01, 1.0, 2.0):
        assert torch.softmax(logits / temperature, -1)[0].tolist() == [0.0] * 3 + [1.0] + [0.0] * 8


@pytest.mark.parametrize("script", [[1], {"0": 3}, {"0": ["a"]}, {"0": [-1]}])
def test_what_is_no_script_is_refused(script: Any) -> None:
    with pytest.raises(ValueError, match="is not an object that has for every thread"):
        ForcedTokenProcessor.validate_params(params(**{FORCED: script}))


def test_a_thread_is_sent_with_its_own_script_only() -> None:
    script = ForcedAnswer.forked(TREE, CONTROL, EOS)
    run = SequenceRequest(3, (0, 1), (1, 2, 8), 1, 10, frozenset(), 0, False)
    assert thread_arguments(script, run) == {FORCED: {"0.1": [6, EOS]}, THREAD: [0, 1], SAMPLED: 1}
    threads = {"0": [1, 2, 3, 7, 2, 1, 7, 4, 3, EOS], "0.0": [5] * 20 + [EOS], "0.1": [6, EOS]}
    assert answer_arguments(script) == {FORCED: threads}


def test_an_answer_that_differs_from_its_tree_is_an_error() -> None:
    group: Any = SimpleNamespace(name="request 5", events=[])
    with pytest.raises(RunError, match=r"request 5 differs from the tokens that were forced, in thread \(0,\)"):
        check_answer(ForcedAnswer.forked(TREE, CONTROL, EOS), group, CONTROL)


# From here on with one real vLLM, which forks both ways.


def letters() -> TextCodec:
    """A token for each letter."""
    encode = [*range(1, 35)].__getitem__
    ids = lambda text: [encode(ord(letter) % 30) for letter in text]  # noqa: E731
    return TextCodec("letters", ids, lambda ids: "." * len(ids), lambda messages: ids(messages[0]["content"]))


def answers() -> list[BenchAnswer]:
    asked = ({"role": "user", "content": "how do i sleep"},)
    tree = ParagraphTree(Node("bed:", Node(" early and long"), Node(" book:", Node(" read it now"), Node(" done"))))
    return [BenchAnswer("list", "lists", asked, tree), BenchAnswer("plain", "prose", asked, ParagraphTree.leaf("yes"))]


@pytest.fixture(scope="module")
def replay() -> Iterator[VllmReplay]:
    model = BenchModel("tiny", tiny_model(3, "llama", CONTEXT, head_dim=32), letters(), None)
    setup = EngineSetup(None, 24, 32, "core", {"enforce_eager": True, "max_model_len": CONTEXT})
    with VllmReplay.of(model, answers(), setup) as found:
        yield found
    # vLLM leaves a socket's context open, which Python would tell of in some later test.
    del found._backend
    with warnings.catch_warnings(action="ignore"):
        gc.collect()


@pytest.fixture(params=["core", "requests"])
def way(request: pytest.FixtureRequest, replay: VllmReplay, monkeypatch: pytest.MonkeyPatch) -> str:
    """The scheduler that forks in the core leaves requests of clients that fork by themselves as they are."""
    monkeypatch.setattr(replay._backend, "fork", request.param)
    return str(request.param)


def test_passes_are_those_that_the_tree_says(replay: VllmReplay, way: str) -> None:
    answer, plain = replay.answers
    assert replay.run_one(answer, "sequential").passes == answer.stats.sequential_steps - 1
    assert replay.run_one(plain, "forked").passes == plain.stats.sequential_steps - 1
    forked = replay.run_one(answer, "forked").passes
    # By requests a child begins a pass later.
    assert forked == answer.stats.critical_path - 1 if way == "core" else forked > answer.stats.critical_path - 1


def test_a_run_alone_is_counted(replay: VllmReplay, way: str) -> None:
    run = replay.run_one(replay.answers[0], "forked")
    assert run.seconds > 0
    assert run.prompt_seconds > 0
    assert 3 <= run.kv_blocks_peak <= 6  # three threads at a time, each with a last block of its own
    assert 1 <= run.kv_blocks_mean < run.kv_blocks_peak


def test_a_load_is_counted_and_keeps_to_its_concurrency(replay: VllmReplay, way: str) -> None:
    together, alone = replay.run_all("forked", None), replay.run_all("forked", 1)
    assert together.passes < alone.passes
    assert together.tokens == alone.tokens == sum(answer.stats.tokens for answer in replay.answers)
    assert len(together.latencies) == 2
    assert together.preemptions == 0


def test_a_small_cache_preempts_and_answers_all_the_same(replay: VllmReplay, way: str) -> None:
    script = ForcedAnswer.sequential(ParagraphTree(Node("", tokens=(5,) * 200)), min(replay.control.eos))
    decoded = replay.decode([(PROMPT, script)] * 6, 6)
    assert sum(one.resumed for one in decoded.passes) > 0
    assert max(one.blocks for one in decoded.passes) <= 24


def test_a_fork_costs_what_it_is_said_to(replay: VllmReplay, way: str) -> None:
    control = replay.control
    script = ForcedAnswer.forked(fork_tree(FORKS, LEAD), control, min(control.eos))
    figures = fork_figures(forks_of(decoding(replay.decode([(PROMPT, script)], 1).passes)))
    assert figures.forks == FORKS
    if way == "core":
        assert (figures.computed, figures.recomputed_most, figures.delay_most) == (2.0, 0, 1)
    else:
        # All but the full blocks of the parent; how late it is depends on how busy this process is.
        assert 0 < figures.recomputed_most <= 32 - 2
        assert figures.delay >= 1


def test_what_cannot_be_told_whole_is_refused(replay: VllmReplay) -> None:
    long = ForcedAnswer.sequential(ParagraphTree(Node("", tokens=(5,) * 380)), min(replay.control.eos))
    with pytest.raises(RequestError, match="the forced answer may need 411 and the context is 400"):
        replay.decode([(PROMPT, long)], 1)
    backend: VllmBackend = replay._backend
    backend._forces = False
    with pytest.raises(UserError, match="was not started to force answers"):
        backend.force(PROMPT, long)
    backend._forces = True


def test_the_report_says_which_engine_it_was(replay: VllmReplay) -> None:
    facts = replay.facts()
    assert facts["name"].startswith("vllm")
    assert (facts["kv_blocks"], facts["block_size"], facts["context"]) == (24, 32, CONTEXT)
