"""GGUF files on a real llama.cpp behind the one face of all backends."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from apar.backends.llama_cpp.backend import LlamaCppBackend
from apar.backends.llama_cpp.cells import sequences_for
from apar.backends.llama_cpp.options import parse_options
from apar.backends.sync import SyncBackend
from apar.decoding.params import RawPrompt, SamplingParams
from apar.errors import ModelError, RequestError, RunError, UserError
from apar.events import Delta, Finished, Forked
from tests.backends.llama_cpp.tiny import write_recurrent, write_sliding, write_tiny

QUESTION = "he had the hat"
# With keys and values in float32, no answer hangs on how its tokens were batched.
SMALL = {**parse_options(["--llama.type-k", "f32", "--llama.type-v", "f32", "--llama.flash-attn", "off"])}
SMALL |= {"n_threads": 1, "n_ctx": 1024}


@pytest.fixture(scope="module")
def backend(tiny: Path) -> Iterator[LlamaCppBackend]:
    made = LlamaCppBackend(tiny, max_rows=16, options=SMALL)
    yield made
    made.close()


@asynccontextmanager
async def _made(file: Path, **options: Any) -> AsyncIterator[LlamaCppBackend]:
    async with LlamaCppBackend(file, max_rows=8, options=SMALL, **options) as made:
        yield made


def _cells_held(backend: LlamaCppBackend) -> int:
    """After the engine's thread has ended: sequences with a cell, when what is kept is let go."""
    engine: Any = backend._engine
    engine.pool.forget(list(range(engine.pool.num_blocks)))
    engine.cells.settle()
    return sum(backend._context.last_position(number) >= 0 for number in range(sequences_for(8)))


async def test_answer_forks(backend: LlamaCppBackend) -> None:
    [answer] = await backend.generate([QUESTION], SamplingParams(max_tokens=60, max_threads=6))
    assert backend.forks
    assert answer.forks >= 3
    assert answer.threads == answer.forks + 1
    assert answer.tokens == 60
    assert answer.steps < 50
    assert answer.forward_passes is not None
    assert answer.kv_blocks_peak > 1


async def test_forks_off_is_one_thread(backend: LlamaCppBackend) -> None:
    [answer] = await backend.generate([QUESTION], SamplingParams(max_tokens=20, fork=False))
    assert (answer.threads, answer.mode, answer.tokens) == (1, "unforked", 20)


async def test_the_same_answer_alone_and_in_a_crowd(backend: LlamaCppBackend) -> None:
    params = SamplingParams(max_tokens=40, temperature=0.8, seed=5, n=2)
    first = await backend.generate([QUESTION], params)
    others = [SamplingParams(max_tokens=50, temperature=1.0, seed=seed) for seed in range(6)]
    crowd = await backend.generate([QUESTION, *["the other hat"] * 6], [params, *others])
    assert [answer.text for answer in crowd[:2]] == [answer.text for answer in first]
    assert first[0].text != first[1].text


async def test_events_log_probabilities_and_figures(backend: LlamaCppBackend) -> None:
    stream = backend.stream(QUESTION, SamplingParams(max_tokens=30, logprobs=2, max_threads=4))
    events = [event async for event in stream]
    answer = stream.answer
    assert sum(isinstance(event, Forked) for event in events) == answer.forks > 0
    assert sum(isinstance(event, Finished) for event in events) == answer.threads
    deltas = [event for event in events if isinstance(event, Delta) and event.token_ids]
    assert all(len(delta.logprobs) == 1 and len(delta.logprobs[0].top) == 2 for delta in deltas)
    assert len(answer.logprobs) == answer.tokens == 30
    statistics = backend.statistics()
    assert statistics.visible_tokens >= 30
    assert statistics.blocks == 64


async def test_a_prompt_is_found_in_the_cache(backend: LlamaCppBackend) -> None:
    long = "the hat and the other hat had a father, and then the thing there was that"
    await backend.generate([long], SamplingParams(max_tokens=1))
    [answer] = await backend.generate([long], SamplingParams(max_tokens=1))
    assert answer.cached_tokens >= 48


async def test_stop_strings_and_budgets(backend: LlamaCppBackend) -> None:
    [whole] = await backend.generate([QUESTION], SamplingParams(max_tokens=40, fork=False))
    stop = whole.text[10:12]
    [cut] = await backend.generate([QUESTION], SamplingParams(max_tokens=40, fork=False, stop=(stop,)))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert whole.finish_reason == "length"


async def test_a_cancelled_answer_frees_its_cells_and_harms_no_other(tiny: Path) -> None:
    async with _made(tiny) as backend:
        expected = (await backend.generate([QUESTION], SamplingParams(max_tokens=60)))[0].text
        doomed = backend.stream("the hat", SamplingParams(max_tokens=200, max_threads=8))
        kept = backend.stream(QUESTION, SamplingParams(max_tokens=60))
        await anext(doomed)
        await doomed.aclose()
        async for _ in kept:
            pass
        assert kept.answer.text == expected
        backend._thread.close()
        assert _cells_held(backend) == 0


async def test_a_full_cache_preempts_and_every_answer_is_the_same(tiny: Path) -> None:
    prompts = [f"the hat number {number} " * 6 for number in range(6)]
    params = SamplingParams(max_tokens=200, max_threads=16)
    texts, preemptions = [], 0
    for cells in (4096, 256):
        backend = LlamaCppBackend(tiny, max_rows=8, options={**SMALL, "n_ctx": cells})
        answers = await backend.generate(prompts, params)
        texts.append([answer.text for answer in answers])
        preemptions = backend.statistics().preemptions
        backend.close()
    assert texts[0] == texts[1]
    assert preemptions > 0


async def test_the_event_loop_goes_on_while_a_pass_runs(backend: LlamaCppBackend) -> None:
    answer = asyncio.create_task(backend.generate([QUESTION] * 8, SamplingParams(max_tokens=100)))
    turns = 0
    while not answer.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 20


def test_rules_fork_a_model_without_control_tokens(tmp_path: Path) -> None:
    file = write_tiny(tmp_path / "plain.gguf", control=False)
    with SyncBackend(lambda: LlamaCppBackend(file, max_rows=8, options=SMALL)) as engine:
        assert not engine.backend.forks
        [auto] = engine.generate([QUESTION], SamplingParams(max_tokens=10, fork_by="auto"))
        assert auto.threads == 1
        [answer] = engine.generate([QUESTION], SamplingParams(max_tokens=10, fork_by="rules"))
        assert answer.by_rules
        with pytest.raises(ModelError, match=r"no control token \[Fork\] or \[Child\]"):
            engine.generate([QUESTION])


def test_neither_torch_nor_transformers_is_imported() -> None:
    assert not {"torch", "transformers"} & sys.modules.keys()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no GGUF file: it does not begin with GGUF; download it again"),
        (b"PK\x03\x04 something else", "is no GGUF file: it does not begin with GGUF; download it again"),
        (b"GGUF\x03\x00\x00\x00", "llama.cpp cannot load"),
    ],
)
def test_what_is_no_whole_gguf_file_is_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        LlamaCppBackend(file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off_is_one_line(tiny: Path, tmp_path: Path) -> None:
    file = tmp_path / "cut.gguf"
    file.write_bytes(tiny.read_bytes()[:-5000])
    with pytest.raises(ModelError, match=r"llama\.cpp cannot load .*cut\.gguf: .*\S") as caught:
        LlamaCppBackend(file)
    assert "does not say why" not in str(caught.value)


@pytest.mark.parametrize(
    ("write", "reason"),
    [(write_recurrent, "it has recurrent layers, whose state"), (write_sliding, "it has a sliding window, and llama")],
)
def test_a_model_whose_cells_cannot_be_shared_is_one_line(
    tmp_path: Path, write: Callable[[Path], Path], reason: str
) -> None:
    file = write(tmp_path / "other.gguf")
    with pytest.raises(ModelError, match=rf"^{file} cannot be decoded in parallel threads by llama\.cpp: {reason}"):
        LlamaCppBackend(file)


def test_a_context_that_is_too_small_for_the_threads_is_one_line(tiny: Path) -> None:
    with pytest.raises(
        ModelError, match=r"a cache of 64 cells is too small for 8 threads .* --llama\.n-ctx of at least 128"
    ):
        LlamaCppBackend(tiny, max_rows=8, options={"n_ctx": 64})


def test_an_option_that_llama_cpp_does_not_have_is_one_line(tiny: Path) -> None:
    with pytest.raises(UserError, match=r"llama\.cpp has no option n_seq_max"):
        LlamaCppBackend(tiny, options={"n_seq_max": 4})


def test_a_model_without_a_chat_template_answers_raw_prompts_alone(tmp_path: Path) -> None:
    file = write_tiny(tmp_path / "untold.gguf", template=None)
    with SyncBackend(lambda: LlamaCppBackend(file, max_rows=8, options=SMALL)) as engine:
        with pytest.raises(
            ModelError, match=r"untold\.gguf has no chat template \(tokenizer\.chat_template\); take a file"
        ):
            engine.generate([QUESTION])
        [answer] = engine.generate([RawPrompt(QUESTION)], SamplingParams(max_tokens=5))
        assert answer.tokens == 5


def test_a_prompt_that_is_too_long_and_a_closed_backend_are_errors(tiny: Path) -> None:
    engine = SyncBackend(lambda: LlamaCppBackend(tiny, max_rows=8, options=SMALL))
    with pytest.raises(RequestError, match="the context of 256 tokens must also hold the answer"):
        engine.generate(["the hat " * 200])
    backend = engine.backend
    engine.close()
    with pytest.raises(RunError):
        asyncio.run(backend.generate([QUESTION]))
