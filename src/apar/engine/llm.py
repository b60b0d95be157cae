"""The engine for users: prompts in, answers or events out."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import Any, Self

from apar.engine.answer import Answer, BatchError, answers, outcome
from apar.engine.blocks import BlockPool
from apar.engine.engine import Engine
from apar.engine.intake import Intake, Request
from apar.engine.load import check_supported, default_num_blocks, load
from apar.engine.params import Prompt, SamplingParams
from apar.engine.statistics import EngineStatistics
from apar.errors import ModelError, RequestError
from apar.events import Event
from apar.tokens import CHILD, FORK, ControlTokens, end_tokens

__all__ = ["LLM", "Answer", "BatchError"]


class LLM:
    """A model that answers, decoding the parts of an answer in parallel.

    `model` is a folder, a hub id, or `demo`. `dtype` `auto` is float32 on the CPU and the checkpoint's on a
    GPU. The cache has `num_blocks` blocks of `block_size` tokens (None: 2 GiB on the CPU, 80 % of the free
    memory on a GPU, and never more than `max_rows` contexts need). A path is as long as the model's positions
    and the whole cache allow, at most. At most `max_rows` threads share a forward pass. Apart from the length
    of a path, none of this changes what is answered, only how fast. For one thread of the host program.

    Raises ModelError where the model is missing, unsupported, or cannot be loaded.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        dtype: str = "auto",
        device: str = "auto",
        block_size: int = 16,
        num_blocks: int | None = None,
        max_rows: int = 64,
    ) -> None:
        loaded, tokenizer = load(model, dtype, device)
        self._set_up(loaded, tokenizer, str(model), block_size, num_blocks, max_rows)

    @classmethod
    def from_parts(
        cls,
        model: Any,
        tokenizer: Any,
        *,
        block_size: int = 16,
        num_blocks: int | None = None,
        max_rows: int = 64,
    ) -> Self:
        """An LLM of a Hugging Face model and tokenizer that are loaded already.

        The model's attention is replaced: it is of no other use from then on.
        """
        self = cls.__new__(cls)
        self._set_up(model, tokenizer, type(model).__name__, block_size, num_blocks, max_rows)
        return self

    def _set_up(
        self, model: Any, tokenizer: Any, name: str, block_size: int, num_blocks: int | None, max_rows: int
    ) -> None:
        _check_sizes(block_size=block_size, num_blocks=num_blocks, max_rows=max_rows)
        check_supported(model.config, name)
        if not model._supports_attention_backend:
            raise ModelError(f"the attention of {name} ({type(model).__name__}) cannot be replaced in Transformers")
        model.eval()
        self.tokenizer = tokenizer
        eos = end_tokens(tokenizer, _generation_eos(model))
        control = _control_tokens(model, tokenizer, name)
        self.forks = control is not None
        pool = BlockPool(num_blocks or default_num_blocks(model, block_size, max_rows), block_size)
        self.engine = Engine(model, self._decode, eos, control, pool, max_rows)
        self._intake = Intake(tokenizer, self.forks, self.engine.check_prompt)

    @property
    def context(self) -> int:
        """How many tokens a path may have, the prompt included."""
        return self.engine.context

    def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams | Sequence[SamplingParams] | None = None
    ) -> list[Answer]:
        """Answer all prompts, decoded together; `params` are one for all or one for each.

        Raises RequestError before anything runs where a prompt cannot be served, ModelError where forking is
        asked of a model that was not trained to, and BatchError with the other answers where some fail.
        """
        requests = self._intake.many(prompts, params)
        groups = [self.engine.add(request.prompt, request.params) for request in requests]
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
        return self._events(self._intake.one(prompt, params))

    def _events(self, request: Request) -> Generator[Event, None, Answer]:
        group = self.engine.add(request.prompt, request.params)
        told = 0
        try:
            # Another stream may have stepped the engine meanwhile, and may even have finished this answer.
            while told < len(group.events) or not group.done:
                if told == len(group.events):
                    self.engine.step()
                news = group.events[told:]
                told += len(news)
                yield from news
        finally:
            self.engine.cancel(group)
        [answer] = answers([outcome(group)])
        return answer

    def statistics(self) -> EngineStatistics:
        """What was done so far and what is under way."""
        return self.engine.statistics()

    def _decode(self, ids: list[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def _check_sizes(**sizes: int | None) -> None:
    for name, value in sizes.items():
        if value is not None and value < 1:
            raise RequestError(f"{name} is {value}; it must be at least 1")


def _control_tokens(model: Any, tokenizer: Any, name: str) -> ControlTokens | None:
    """The control tokens of a model that was trained to fork; None of another, which decodes sequentially."""
    if not {FORK, CHILD} <= set(tokenizer.get_added_vocab()):
        return None
    control = ControlTokens.of(tokenizer, _generation_eos(model))
    if max(control.fork, control.child) >= model.config.vocab_size:
        raise ModelError(f"the tokenizer of {name} has control tokens that the model has no rows for")
    return control


def _generation_eos(model: Any) -> list[int]:
    """The end-of-sequence ids that the model's generation config names."""
    config = getattr(model, "generation_config", None)
    eos = getattr(config, "eos_token_id", None)
    return [eos] if isinstance(eos, int) else list(eos or ())
