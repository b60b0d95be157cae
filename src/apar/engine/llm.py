"""The engine for users: prompts in, answers or events out."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from functools import partial
from typing import Any, Self

from apar.decoding.answer import Answer, BatchError, answers, outcome
from apar.decoding.group import Group
from apar.decoding.params import Prompt, SamplingParams
from apar.decoding.requests import Request, RequestBuilder
from apar.decoding.statistics import EngineStatistics
from apar.decoding.vocabulary import Vocabulary
from apar.engine.cache_budget import CacheBudget, memory_for_cache
from apar.engine.cpu_threads import check_threads, use_threads
from apar.engine.drafts.kinds import draft_kind, draft_setup, heads_of
from apar.engine.drafts.setup import DraftSetup
from apar.engine.engine import Engine
from apar.errors import ModelError
from apar.events import Event
from apar.models.load import check_supported, load
from apar.models.model_source import model_source
from apar.scheduling.blocks import BlockPool
from apar.tokens import encode_text

__all__ = ["LLM", "Answer", "BatchError"]


class LLM:
    """A model that answers, decoding the parts of an answer in parallel.

    `model` is a folder, a GGUF file, a hub id, or `demo`; `adapter` the folder or hub id of a LoRA adapter, merged
    into it. `dtype` `auto` is float32 on the CPU and the checkpoint's on a GPU; `quantize` "int8" or "int4" keeps the
    weights in so many bits and computes in bfloat16, which does change answers (see `apar.models.quantize`).
    `block_size`, `num_blocks`, `kv_memory` and `max_rows` size the cache (see `CacheBudget`). A path is as long
    as the model's positions and the whole cache allow, at most. At most `max_rows` threads share a forward
    pass. `graphs` are CUDA graphs, which only a GPU has: without them a pass launches its kernels one by one.
    `medusa` is the folder or hub id of Medusa heads, those that are shipped for `demo`; `drafts` says what drafts are
    made by: "medusa" heads, an "ngram" that was said before, "all", or "off". The default is all with heads, and off
    without. `cpu_threads` is the number of PyTorch's threads in this process; the default is as many as the CPUs and
    the size of the model warrant, or what OMP_NUM_THREADS says. Apart from the length of a path, none of these changes
    what is answered, only how fast. For one thread of the host program.

    Raises ModelError where the model is missing, unsupported, cannot be loaded, or does not fit into memory;
    RequestError for sizes that mean nothing; UserError where an extra is not installed.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        dtype: str = "auto",
        device: str = "auto",
        adapter: str | os.PathLike[str] | None = None,
        quantize: str | None = None,
        medusa: str | os.PathLike[str] | None = None,
        drafts: str | None = None,
        block_size: int = 16,
        num_blocks: int | None = None,
        kv_memory: int | str | None = None,
        max_rows: int = 64,
        graphs: bool = True,
        cpu_threads: int | None = None,
    ) -> None:
        check_threads(cpu_threads)
        budget = CacheBudget(block_size, num_blocks, kv_memory, max_rows)
        kind = draft_kind(drafts, medusa)
        loaded, tokenizer = load(model, dtype, device, adapter, quantize)
        heads = heads_of(model, medusa)
        setup = draft_setup(
            loaded, tokenizer, heads, kind, None if heads is None else model_source(model, adapter).adapter
        )
        use_threads(loaded, cpu_threads)
        self._set_up(loaded, tokenizer, str(model), budget, graphs, setup)

    @classmethod
    def from_parts(
        cls,
        model: Any,
        tokenizer: Any,
        *,
        block_size: int = 16,
        medusa: str | os.PathLike[str] | None = None,
        drafts: str | None = None,
        num_blocks: int | None = None,
        kv_memory: int | str | None = None,
        max_rows: int = 64,
        graphs: bool = True,
    ) -> Self:
        """An LLM of a Hugging Face model and tokenizer that are loaded already.

        The model's attention is replaced: it is of no other use from then on.
        """
        self = cls.__new__(cls)
        budget = CacheBudget(block_size, num_blocks, kv_memory, max_rows)
        setup = draft_setup(model, tokenizer, medusa, draft_kind(drafts, medusa))
        self._set_up(model, tokenizer, type(model).__name__, budget, graphs, setup)
        return self

    def _set_up(
        self, model: Any, tokenizer: Any, name: str, budget: CacheBudget, graphs: bool, drafts: DraftSetup | None
    ) -> None:
        check_supported(model.config, name)
        if not model._supports_attention_backend:
            raise ModelError(f"the attention of {name} ({type(model).__name__}) cannot be replaced in Transformers")
        model.eval()
        self.tokenizer = tokenizer
        vocabulary = Vocabulary.of(tokenizer, getattr(model, "generation_config", None))
        control = vocabulary.control
        if control is not None and max(control.fork, control.child) >= model.config.vocab_size:
            raise ModelError(f"the tokenizer of {name} has control tokens that the model has no rows for")
        blocks = budget.blocks_for(model)
        with memory_for_cache(blocks, budget.block_size):
            pool = BlockPool(blocks, budget.block_size)
            self.engine = Engine(
                model,
                vocabulary.decode,
                vocabulary.eos,
                control,
                pool,
                budget.max_rows,
                graphs=graphs,
                drafts=drafts,
                encode=partial(encode_text, tokenizer),
            )
        self.vocabulary = vocabulary
        self._requests = RequestBuilder(vocabulary, self.engine.limits)

    @property
    def forks(self) -> bool:
        """Whether the model was trained to fork."""
        return self.vocabulary.forks

    @property
    def context(self) -> int:
        """How many tokens a path may have, the prompt included."""
        return self.engine.context

    def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams] | None = None
    ) -> list[Answer]:
        """Answer all prompts, decoded together; `params` are one for all or one for each. The `n` answers of a
        prompt follow each other.

        Raises RequestError before anything runs where a prompt cannot be served, ModelError where forking is
        asked of a model that was not trained to, and BatchError with the other answers where some fail.
        """
        requests = self._requests.build_all(prompts, params)
        groups = [self._add(request) for request in requests]
        try:
            for group in groups:
                while not group.done:
                    self.engine.step()
        finally:
            for group in groups:
                self.engine.cancel(group)
        return answers([outcome(group) for group in groups])

    def stream(self, prompt: Prompt, params: SamplingParams | None = None) -> Generator[Event, None, Answer]:
        """The events of one answer as they happen; the generator returns the answer.

        Events are raw, and go on to the step in which a stop string was found: to show text, feed them to an
        `Assembler(params.stop)`, which holds back what a stop string may begin with. Closing the generator
        cancels the answer and frees its blocks. Raises as `generate` does, a request's errors at once.
        """
        return self._events(self._requests.build(prompt, params))

    def start(self, prompt: Prompt, params: SamplingParams | None = None) -> Group:
        """Begin an answer that `engine.step` decodes, whatever else is under way; `Answer.of` reads it when it is done.

        Raises as `stream` does.
        """
        return self._add(self._requests.build(prompt, params))

    def _events(self, request: Request) -> Generator[Event, None, Answer]:
        group = self._add(request)
        num_sent = 0
        try:
            # Another stream may have stepped the engine meanwhile, and may even have finished this answer.
            while num_sent < len(group.events) or not group.done:
                if num_sent == len(group.events):
                    self.engine.step()
                unread = group.events[num_sent:]
                num_sent += len(unread)
                yield from unread
        finally:
            self.engine.cancel(group)
        [answer] = answers([outcome(group)])
        return answer

    def _add(self, request: Request) -> Group:
        return self.engine.add(request.prompt, request.params, request.choice, question=request.question)

    def statistics(self) -> EngineStatistics:
        """What was done so far and what is under way."""
        return self.engine.statistics()
