"""With the native kernels an answer has the same bits under every load, in low precision too."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from apar.engine.native.build import available
from tests import device
from tests.engine.random_lives import Case, make_case, make_engine, run_engine

pytestmark = [
    pytest.mark.skipif(not available(), reason="there is no C++ compiler"),
    pytest.mark.skipif(device.chosen != "cpu", reason="the C++ kernels are for the CPU"),
]


def answers(case: Case) -> list[object]:
    return [group.events for group in run_engine(case, make_engine(case))]


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_a_short_engine_and_one_request_at_a_time_give_the_same_bfloat16_answers(first: int) -> None:
    for number in range(first, first + 10):
        case = make_case(number)
        # Just room for one whole path: with less, paths would be cut, which is another answer.
        blocks = -(-case.model.config.max_position_embeddings // case.block_size)
        case = replace(case, model=case.model.to(torch.bfloat16), num_blocks=blocks, native=True)
        roomy = replace(case, num_blocks=2000, max_rows=64, max_tokens=1000)
        alone = [
            answers(replace(roomy, prompts=[prompt], params=[params]))[0]
            for prompt, params in zip(case.prompts, case.params, strict=True)
        ]
        assert answers(case) == alone, f"case {number}"
