"""The ids of the control tokens of the model that vLLM serves."""

from __future__ import annotations

from typing import Any

from apar.errors import ModelError
from apar.tokens import CHILD, FORK

CONFIG = "apar"
"""The part of vLLM's additional config that is ours."""


def control_ids(vllm_config: Any) -> tuple[int, int]:
    """The ids of `[Fork]` and `[Child]`: of the additional config where it names them, else of the tokenizer.

    Raises ModelError where the model has none.
    """
    given = (vllm_config.additional_config or {}).get(CONFIG, {})
    if "fork_id" in given and "child_id" in given:
        return int(given["fork_id"]), int(given["child_id"])
    config = vllm_config.model_config
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(
        config.tokenizer, revision=config.tokenizer_revision, trust_remote_code=config.trust_remote_code
    )
    vocabulary = tokenizer.get_added_vocab()
    if FORK not in vocabulary or CHILD not in vocabulary:
        raise ModelError(
            f"the tokenizer of {config.model} has no control tokens {FORK} and {CHILD}: this model was not trained to "
            "fork; train it with `apar train`, or leave the scheduler class of apar out"
        )
    return vocabulary[FORK], vocabulary[CHILD]
