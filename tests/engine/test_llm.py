"""Prompts in, answers or events out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from apar.assemble import Assembler, tree_of
from apar.decoding.params import SamplingParams
from apar.engine.llm import LLM, BatchError
from apar.errors import ModelError, RequestError, RunError
from apar.events import Delta
from tests.engine.tiny import tiny_model as raw_model
from tests.engine.tiny import tiny_tokenizer
from tests.tiny import tiny_model

QUESTION = "How can I sleep better?"
SAMPLED = SamplingParams(max_tokens=60, temperature=1.0, seed=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def llm(folder: Path) -> LLM:
    return LLM(folder, num_blocks=300)


def blocks_held(llm: LLM) -> int:
    return llm.engine.pool.num_blocks - llm.engine.pool.num_free


def test_an_answer_has_text_in_reading_order_and_figures_of_its_events(llm: LLM) -> None:
    [answer] = llm.generate([QUESTION], SAMPLED)
    assembler = Assembler()
    assert "".join(assembler.feed(event) for event in answer.events) == answer.text
    assert answer.threads == answer.forks + 1 > 1
    assert answer.tokens == sum(len(e.token_ids) for e in answer.events if isinstance(e, Delta)) <= 60
    assert answer.critical_path == answer.forward_passes == answer.steps == answer.events[-1].step + 1 < answer.tokens
    assert answer.tokens_per_step == answer.tokens / answer.steps > 1
    assert answer.tokens_per_second == answer.tokens / answer.seconds
    assert (answer.mode, answer.seed) == ("forked", 4)
    assert blocks_held(llm) == 0


def test_an_answer_as_plain_data_has_what_the_command_line_promises(llm: LLM) -> None:
    [answer] = llm.generate([QUESTION], SAMPLED)
    data = json.loads(json.dumps(answer.to_dict()))
    promised = [
        "text",
        "finish_reason",
        "threads",
        "forks",
        "tokens",
        "steps",
        "critical_path",
        "forward_passes",
        "seconds",
        "tokens_per_second",
    ]
    assert data.keys() >= {*promised, "tokens_per_second", "kv_blocks_peak", "mode", "seed", "tokens_per_step"}
    assert "events" not in data


def test_streaming_tells_the_events_of_the_answer_and_returns_it(llm: LLM) -> None:
    [answer] = llm.generate([QUESTION], SAMPLED)
    stream = llm.stream(QUESTION, SAMPLED)
    events = []
    while True:
        try:
            events.append(next(stream))
        except StopIteration as end:
            streamed = end.value
            break
    assert tuple(events) == streamed.events == answer.events
    assert streamed.text == answer.text


def test_closing_a_stream_frees_its_blocks(llm: LLM) -> None:
    stream = llm.stream(QUESTION, SAMPLED)
    next(stream)
    assert blocks_held(llm) > 0
    stream.close()
    assert blocks_held(llm) == 0
    assert llm.engine.groups == []


def test_a_stream_that_is_never_read_costs_nothing(llm: LLM) -> None:
    llm.stream(QUESTION, SAMPLED).close()
    assert llm.engine.groups == []


def test_streams_may_be_read_in_turn(llm: LLM) -> None:
    [answer] = llm.generate([QUESTION], SAMPLED)
    one, other = llm.stream(QUESTION, SAMPLED), llm.stream(QUESTION, SAMPLED)
    events = [event for pair in zip(one, other, strict=True) for event in pair]
    assert tuple(events[::2]) == tuple(events[1::2]) == answer.events


def test_prompts_may_have_their_own_parameters(llm: LLM) -> None:
    several = [SamplingParams(max_tokens=5), SamplingParams(max_tokens=40, fork=False)]
    short, sequential = llm.generate([QUESTION, QUESTION], several)
    assert (short.tokens, short.finish_reason) == (5, "length")
    assert (sequential.threads, sequential.mode) == (1, "unforked")
    with pytest.raises(RequestError, match="1 prompts and 2 params"):
        llm.generate([QUESTION], several)


def test_a_string_is_one_turn_of_a_user(llm: LLM) -> None:
    chat = [{"role": "user", "content": QUESTION}]
    first, second = llm.generate([QUESTION, chat], SAMPLED)
    assert first.events == second.events


def test_a_sampled_answer_comes_again_with_the_seed_that_it_reports(llm: LLM) -> None:
    [answer] = llm.generate([QUESTION], SamplingParams(max_tokens=30, temperature=1.0))
    [again] = llm.generate([QUESTION], SamplingParams(max_tokens=30, temperature=1.0, seed=answer.seed))
    [other] = llm.generate([QUESTION], SamplingParams(max_tokens=30, temperature=1.0, seed=answer.seed + 1))
    assert again.events == answer.events != other.events


def test_a_stop_string_ends_the_text_before_it(llm: LLM) -> None:
    [whole] = llm.generate([QUESTION], SAMPLED)
    middle = whole.text[len(whole.text) // 2 :][:2]
    stop = SamplingParams(max_tokens=60, temperature=1.0, seed=4, stop=(middle,))
    [cut] = llm.generate([QUESTION], stop)
    assert cut.text == whole.text[: whole.text.index(middle)]
    assert cut.finish_reason == "stop"


def test_one_token_is_one_token(llm: LLM) -> None:
    [answer] = llm.generate([QUESTION], SamplingParams(max_tokens=1))
    assert (answer.tokens, answer.steps, answer.threads, answer.finish_reason) == (1, 1, 1, "length")


def test_control_tokens_in_a_question_do_not_fork(llm: LLM) -> None:
    added = llm.tokenizer.get_added_vocab()
    fed = llm._requests.build("What does [Fork] mean? [Child]", SamplingParams()).prompt
    assert not {added["[Fork]"], added["[Child]"]} & set(fed)
    with pytest.raises(RequestError, match="the prompt has"):
        llm.stream("[Fork] " * 200)


def test_a_prompt_that_does_not_fit_is_refused_before_anything_runs(llm: LLM) -> None:
    with pytest.raises(RequestError, match="context of 256 tokens"):
        llm.generate([QUESTION, "word " * 300])
    assert llm.engine.groups == []


def test_prompts_are_a_list(llm: LLM) -> None:
    with pytest.raises(RequestError, match="one string"):
        llm.generate(QUESTION)


def test_no_prompts_have_no_answers(llm: LLM) -> None:
    assert llm.generate([]) == []


def test_a_model_without_control_tokens_decodes_sequentially_only(tmp_path: Path) -> None:
    llm = LLM(tiny_model(tmp_path, control=False), num_blocks=50)
    with pytest.raises(ModelError, match="--fork off"):
        llm.generate([QUESTION])
    [answer] = llm.generate([QUESTION], SamplingParams(max_tokens=8, fork=False))
    assert (answer.tokens, answer.threads) == (8, 1)


def test_when_prompts_fail_the_others_answers_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = LLM(folder, num_blocks=300, graphs=False)
    spoilt = llm.tokenizer.encode("zebra", add_special_tokens=False)[0]
    forward = llm.engine._runner._model.forward

    def failing(*args: object, **inputs: object) -> object:
        if (inputs["input_ids"] == spoilt).any():  # type: ignore[attr-defined]
            raise ValueError("a zebra")
        return forward(*args, **inputs)

    monkeypatch.setattr(llm.engine._runner._model, "forward", failing)
    params = SamplingParams(max_tokens=1)
    with pytest.raises(BatchError, match=r"1 of 2 prompts failed: request 1 .*a zebra") as failure:
        llm.generate(["aaa", "zebra"], params)
    kept, lost = failure.value.answers
    assert kept is not None
    assert (kept.tokens, lost) == (1, None)
    with pytest.raises(RunError, match="a zebra"):
        list(llm.stream("zebra", params))
    assert blocks_held(llm) == 0


def test_parts_that_are_loaded_already_make_an_llm() -> None:
    llm = LLM.from_parts(raw_model(1), tiny_tokenizer(), block_size=8, num_blocks=16)
    [answer] = llm.generate([[{"role": "user", "content": "a"}]], SamplingParams(max_tokens=4))
    assert llm.context == 128
    assert 0 < answer.tokens <= 4


def test_a_model_whose_attention_cannot_be_replaced_is_refused() -> None:
    model = raw_model(1)
    model._supports_attention_backend = False
    with pytest.raises(ModelError, match="cannot be replaced"):
        LLM.from_parts(model, tiny_tokenizer(), num_blocks=16)


def test_control_tokens_that_the_model_has_no_rows_for_are_refused() -> None:
    model = raw_model(1)
    model.config.vocab_size -= 1
    with pytest.raises(ModelError, match="no rows"):
        LLM.from_parts(model, tiny_tokenizer(), num_blocks=16)


@pytest.mark.parametrize("setting", ["block_size", "num_blocks", "max_rows"])
def test_sizes_are_at_least_one(folder: Path, setting: str) -> None:
    with pytest.raises(RequestError, match=f"{setting} is 0"):
        LLM(folder, **{setting: 0})  # type: ignore[arg-type]


def test_every_end_token_of_the_models_generation_config_ends_a_thread(folder: Path) -> None:
    model, tokenizer = raw_model(1), tiny_tokenizer()
    model.generation_config.eos_token_id = [0, 5]
    llm = LLM.from_parts(model, tokenizer, num_blocks=16)
    assert llm.vocabulary.eos == {0, 5}
    assert AutoTokenizer.from_pretrained(folder).eos_token_id not in {None}


def test_one_chat_given_as_prompts_is_named(llm: LLM) -> None:
    with pytest.raises(RequestError, match="prompts is one chat"):
        llm.generate([{"role": "user", "content": "a"}])  # type: ignore[list-item]


def test_several_answers_of_one_prompt_are_independent_and_come_again_with_their_seed(llm: LLM) -> None:
    params = SamplingParams(max_tokens=30, temperature=1.5, n=3)
    found = llm.generate([QUESTION, "What is the sea?"], params)
    assert [answer.choice for answer in found] == [0, 1, 2, 0, 1, 2]
    assert len({answer.text for answer in found}) == 6
    assert len({answer.seed for answer in found[:3]}) == 1
    again = llm.generate([QUESTION], SamplingParams(max_tokens=30, temperature=1.5, n=3, seed=found[0].seed))
    assert [answer.text for answer in again] == [answer.text for answer in found[:3]]


def test_several_answers_read_the_prompt_once(llm: LLM) -> None:
    question = "How many ways are there to " + "walk and walk " * 10 + "home?"
    found = llm.generate([question], SamplingParams(max_tokens=3, temperature=1.0, n=3, seed=1))
    size = llm.engine.pool.block_size
    whole = (found[0].prompt_tokens - 1) // size * size
    assert [answer.cached_tokens for answer in found] == [0, whole, whole]


def test_a_stream_is_of_one_answer(llm: LLM) -> None:
    with pytest.raises(RequestError, match="n is 2"):
        llm.stream(QUESTION, SamplingParams(n=2))


def test_log_probabilities_come_in_reading_order(llm: LLM) -> None:
    params = SamplingParams(max_tokens=60, temperature=1.0, seed=4, logprobs=1)
    [answer] = llm.generate([QUESTION], params)
    assert answer.forks > 0
    assert len(answer.logprobs) == answer.tokens == answer.decoded
    read = [token for node in tree_of(answer.events).nodes() for token in node.tokens or ()]
    assert [each.token_id for each in answer.logprobs] == read
    assert all(each.logprob <= each.top[0][1] <= 0 for each in answer.logprobs)
    assert json.loads(json.dumps(answer.to_dict()))["logprobs"][0]["token_id"] == answer.logprobs[0].token_id


def test_what_a_stop_string_cuts_is_no_token_of_the_answer(llm: LLM) -> None:
    [whole] = llm.generate([QUESTION], SAMPLED)
    stop = whole.text[len(whole.text) // 2 :][:3]
    [cut] = llm.generate([QUESTION], SamplingParams(max_tokens=60, temperature=1.0, seed=4, stop=(stop,), logprobs=0))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.tokens < cut.decoded
    assert len(cut.logprobs) == cut.tokens


@pytest.mark.parametrize(("token", "named"), [(10**6, "token 1000000"), (None, "never sampled")])
def test_a_bias_of_a_token_that_there_is_not_is_refused(llm: LLM, token: int | None, named: str) -> None:
    child = llm.tokenizer.convert_tokens_to_ids("[Child]")
    with pytest.raises(RequestError, match=named):
        llm.generate([QUESTION], SamplingParams(logit_bias={child if token is None else token: 1.0}))
    assert llm.engine.groups == []
