"""Medusa heads that we wrote, as a real vLLM reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from vllm import LLM
from vllm.distributed import cleanup_dist_env_and_memory

from apar.backends.vllm.heads import arguments_to_draft
from apar.models.head_files import NOT_FOR_VLLM, load_heads, save_heads
from apar.models.heads import HeadsShape, MedusaHeads
from tests.backends.vllm.tiny import CONTEXT, forking_model
from tests.engine.tiny import VOCABULARY

SHAPES = {
    "sharing the model's output layer": HeadsShape(32, VOCABULARY, heads=2, layers=2),
    "with output layers of their own": HeadsShape(32, VOCABULARY, heads=3, layers=1, tied=False),
    "with a bias": HeadsShape(32, VOCABULARY, heads=1, layers=2, bias=True),
}


def random_heads(shape: HeadsShape) -> MedusaHeads:
    torch.manual_seed(1)
    heads = MedusaHeads(shape)
    for parameter in heads.parameters():
        nn.init.normal_(parameter, std=0.4)
    return heads


def drafts(heads: Path, count: int) -> dict[str, Any]:
    return {"speculative_config": {"method": "medusa", "model": str(heads), "num_speculative_tokens": count}}


def start(model: Path, **arguments: Any) -> LLM:
    return LLM(
        str(model),
        dtype="float32",
        enforce_eager=True,
        block_size=32,
        max_model_len=CONTEXT,
        gpu_memory_utilization=0.1,
        num_gpu_blocks_override=20,
        **arguments,
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("model")
    return folder, forking_model(folder)


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def heads(request: pytest.FixtureRequest) -> MedusaHeads:
    return random_heads(request.param)


@pytest.fixture
def drafter(model: tuple[Path, Any], heads: MedusaHeads, tmp_path: Path) -> Iterator[Any]:
    """vLLM's proposer of drafts, with our heads loaded by a vLLM that decodes."""
    save_heads(heads, tmp_path / "heads", model[1], torch.float32)
    core: Any = start(model[0], **drafts(tmp_path / "heads", heads.shape.heads)).llm_engine.engine_core
    yield core.engine_core.model_executor.driver_worker.worker.model_runner.drafter
    core.shutdown()
    cleanup_dist_env_and_memory()


def test_vllm_reads_the_heads_and_computes_the_logits_that_we_compute(
    model: tuple[Path, Any], heads: MedusaHeads, drafter: Any
) -> None:
    hidden = torch.randn(7, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours = heads.logits(hidden, model[1].lm_head)
        theirs = drafter.model.compute_logits(drafter.model(hidden))
        drafts = drafter.propose(heads.shape.heads, hidden, None)
    torch.testing.assert_close(torch.stack(theirs), ours)
    assert torch.equal(drafts, ours.argmax(-1).T)


def test_vllm_drafts_with_heads_that_were_completed_for_it(
    model: tuple[Path, Any], heads: MedusaHeads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_heads(heads, tmp_path / "heads")
    arguments = arguments_to_draft({}, tmp_path / "heads", model[0])
    made = Path(arguments["speculative_config"]["model"])
    core: Any = start(model[0], **arguments).llm_engine.engine_core
    try:
        drafter = core.engine_core.model_executor.driver_worker.worker.model_runner.drafter
        hidden = torch.randn(7, 32, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            ours = load_heads(made).logits(hidden, lambda states: states @ model[1].lm_head.weight.bfloat16().float().T)
            theirs = drafter.model.compute_logits(drafter.model(hidden))
        torch.testing.assert_close(torch.stack(theirs), ours)
    finally:
        core.shutdown()
        cleanup_dist_env_and_memory()


def test_vllm_refuses_heads_whose_shared_output_layer_is_not_written(model: tuple[Path, Any], tmp_path: Path) -> None:
    save_heads(MedusaHeads.on(model[1]), tmp_path / "heads")
    with pytest.raises(ValueError, match=NOT_FOR_VLLM):
        start(model[0], **drafts(tmp_path / "heads", 2))
