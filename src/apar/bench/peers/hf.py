"""Hugging Face `generate`, with its default attention and cache."""

from __future__ import annotations

from typing import Any

import torch
import transformers


class Peer:
    """Greedy decoding of a batch of prompts of one length."""

    def __init__(self, settings: dict[str, Any]) -> None:
        torch.set_num_threads(settings["threads"])
        self.version = f"transformers {transformers.__version__}, torch {torch.__version__}"
        self.threads = torch.get_num_threads()
        dtype = getattr(torch, settings["dtype"])
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(settings["folder"], dtype=dtype)
        self._model = model.to(settings["device"]).eval()
        # A model's own settings would only warn that they are not used.
        self._model.generation_config = transformers.GenerationConfig(pad_token_id=0)  # type: ignore[no-untyped-call]

    def decode(self, prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
        ids = torch.tensor(prompts, device=self._model.device)
        output = self._model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            min_new_tokens=new_tokens,
            max_new_tokens=new_tokens,
        )
        answers: list[list[int]] = output[:, ids.shape[1] :].tolist()
        return answers
