"""Answers of an untaught model that fork by their form, with a real vLLM: in process, and through its own server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from apar.backends.backend import Backend
from apar.backends.completions import CompletionsBackend
from apar.backends.vllm.engine import VllmBackend
from apar.backends.vllm_server import VllmServerBackend
from apar.decoding.answer import Answer
from apar.decoding.params import SamplingParams
from apar.errors import RequestError
from tests.backends.lists import PIECES, PROMPTS, finish_slowly, forks, list_group, list_tokenizer
from tests.backends.vllm.served import vllm_server
from tests.decoding.by_form.test_random_forms import LIKELY
from tests.engine.tiny import tiny_model

CONTEXT = 128
PARAMS = [
    SamplingParams(max_tokens=100, seed=0, fork_by="rules"),
    SamplingParams(max_tokens=100, seed=0, fork_by="rules", max_items=2, max_parallel_threads=1),
]
ASKED = [(prompt, params) for prompt in PROMPTS for params in PARAMS]


@torch.no_grad()
def _writes_lists(folder: Path) -> Any:
    """Save a random model to which what comes next in lists is likelier."""
    model = tiny_model(3, "llama", CONTEXT, head_dim=32, vocab_size=len(PIECES))
    head, embedding = model.lm_head, model.get_input_embeddings().weight
    embedding *= 3.0
    unit = embedding / embedding.norm(dim=-1, keepdim=True)
    for token, piece in enumerate(PIECES):
        for likely in next((pieces for end, pieces in LIKELY if piece.endswith(end)), ()):
            if likely in PIECES:
                head.weight[PIECES.index(likely)] += 2.0 * unit[token]
    model.config.bos_token_id = None
    model.config.eos_token_id = model.generation_config.eos_token_id = 0
    model.save_pretrained(folder)
    list_tokenizer().save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("lists")
    return folder, _writes_lists(folder)


async def _ask(backend: Backend) -> list[Answer]:
    """All answers, asked for at once."""
    prompts, params = zip(*ASKED, strict=True)
    return await backend.generate(prompts, params)


def _check(answers: Sequence[Answer], model: Any) -> None:
    def logits(tokens: Sequence[int]) -> list[float]:
        with torch.no_grad():
            return list(model(input_ids=torch.tensor([list(tokens)]), use_cache=False).logits[0, -1].tolist())

    found = 0
    for (prompt, params), answer in zip(ASKED, answers, strict=True):
        expected = finish_slowly(list_group(prompt, params, CONTEXT), logits)
        assert list(answer.events) == expected.events
        assert answer.text == expected.assembler.text
        assert answer.not_forked == expected.not_forked
        found += forks(expected)
    assert found > 4


def test_in_process_answers_are_those_of_the_slow_engine(model: tuple[Path, Any]) -> None:
    async def ask() -> list[Answer]:
        backend = VllmBackend(
            model[0],
            dtype="float32",
            enforce_eager=True,
            max_model_len=CONTEXT,
            num_gpu_blocks_override=100,
            gpu_memory_utilization=0.1,
        )
        try:
            with pytest.raises(RequestError, match="logprobs"):
                backend.stream("Tips", SamplingParams(fork_by="rules", logprobs=1))
            return await _ask(backend)
        finally:
            backend.close()

    _check(asyncio.run(ask()), model[1])


@pytest.fixture(scope="module")
def url(model: tuple[Path, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    with vllm_server(model[0], log, "--max-model-len", str(CONTEXT), "--num-gpu-blocks-override", "100") as url:
        yield url


def test_through_its_server_answers_are_those_of_the_slow_engine(model: tuple[Path, Any], url: str) -> None:
    async def ask() -> list[Answer]:
        async with VllmServerBackend(model[0], url) as backend:
            return await _ask(backend)

    _check(asyncio.run(ask()), model[1])


def test_as_texts_its_server_answers_the_same_questions(model: tuple[Path, Any], url: str) -> None:
    """Paths are cut into tokens anew with every request, so an answer may be another one."""

    async def ask() -> list[Answer]:
        async with CompletionsBackend(model[0], url) as backend:
            assert backend.context == CONTEXT
            return await _ask(backend)

    answers = asyncio.run(ask())
    assert sum(answer.forks for answer in answers) > 0
    assert all(answer.text and answer.tokens <= 100 for answer in answers)
