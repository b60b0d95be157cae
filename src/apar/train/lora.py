"""Low-rank adapters by PEFT, with the control tokens' rows as parameters of their own."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from apar.errors import ConfigError
from apar.extras import require
from apar.tokens import CHILD, FORK
from apar.train.recipe import Lora

CONTROL_ROWS = "trainable_tokens_delta"
"""What PEFT calls the parameters that stand in the place of single rows of the embeddings."""


def add_adapter(model: Any, tokenizer: Any, settings: Lora, *, forked: bool) -> Any:
    """The model as a `PeftModel`: only the adapter, and with `forked` the control tokens' rows, are trained.

    What is trained is float32, whatever the model is in. Raises ConfigError if the model has none of the layers.
    """
    require("train", "peft")
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if settings.quantize is not None:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # type: ignore[no-untyped-call]
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.modules if isinstance(settings.modules, str) else list(settings.modules),
        trainable_token_indices=_rows(model, tokenizer) if forked else None,
    )
    try:
        adapted = get_peft_model(model, config, autocast_adapter_dtype=True)
    except ValueError as error:
        raise ConfigError(f"lora.modules: {str(error).splitlines()[0]}") from error
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)
    # PEFT would store all rows of a table that grew.
    save = partial(adapted.save_pretrained, save_embedding_layers=False)
    adapted.save_pretrained = save  # type: ignore[method-assign]
    return adapted


def _rows(model: Any, tokenizer: Any) -> dict[str, list[int]]:
    """The control tokens' ids, by the name of each table that has rows for them."""
    ids = tokenizer.convert_tokens_to_ids([FORK, CHILD])
    tables = [model.get_input_embeddings()]
    if not model.config.tie_word_embeddings:
        tables.append(model.get_output_embeddings())
    names = [name for name, module in model.named_modules() if any(module is table for table in tables)]
    return {name.rpartition(".")[2]: ids for name in names}
