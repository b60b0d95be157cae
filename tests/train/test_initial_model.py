"""What a training starts from."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import Gemma2Config, LlamaConfig, MistralConfig, Qwen2Config

from apar.errors import ModelError
from apar.train.initial_model import check_window


@pytest.mark.parametrize("config", [MistralConfig(sliding_window=512), Gemma2Config(sliding_window=512)])
def test_samples_longer_than_a_models_window_are_refused(config: Any) -> None:
    with pytest.raises(ModelError, match=r"last 512 tokens.*up to 1024.*max_length"):
        check_window(config, "the model", 1024)
    check_window(config, "the model", 512)


@pytest.mark.parametrize("config", [LlamaConfig(), Qwen2Config(sliding_window=512), MistralConfig(sliding_window=None)])
def test_models_without_windows_take_samples_of_any_length(config: Any) -> None:
    check_window(config, "the model", 100_000)
