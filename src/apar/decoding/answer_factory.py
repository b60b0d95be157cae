"""From a request to the group of its answer, for engines outside: theirs are the forward passes, ours the rest."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from apar.decoding.detokenize import Detokenizer
from apar.decoding.group import Group, Thread
from apar.decoding.params import SamplingParams, fresh_seed
from apar.decoding.requests import Request, check_length
from apar.errors import RequestError
from apar.tokens import ControlTokens
from apar.tree import ROOT

_HOTTEST = 2.0


class AnswerFactory:
    """Makes groups, and refuses what an engine outside cannot do.

    `control` None is of a model that was not trained to fork; `eos` end a thread; `context` is the longest path, and
    `size` counts the model's tokens, where that is known.
    """

    def __init__(
        self,
        tokenizer: Any,
        control: ControlTokens | None,
        eos: frozenset[int],
        context: int,
        size: int | None = None,
    ) -> None:
        self._tokenizer, self._control, self._eos, self.context = tokenizer, control, eos, context
        self._size = size
        self._numbers = itertools.count()

    def make(self, request: Request) -> Group:
        """The group of a request that was checked."""
        prompt, params = list(request.prompt), request.params
        seed = fresh_seed() if params.seed is None else params.seed
        root = Thread(ROOT, prompt, (len(prompt),), Detokenizer(self._decode))
        number = next(self._numbers)
        return Group(number, params, seed, self._control, self._eos, self.context, len(prompt), [root], request.choice)

    def check(self, prompt: Sequence[int], params: SamplingParams) -> None:
        """Raise RequestError if the prompt is empty or leaves no room for an answer, penalties are to see forks, or
        vLLM has narrower limits.
        """
        check_length(prompt, self.context)
        if params.temperature > _HOTTEST:
            raise RequestError(f"temperature is {params.temperature}; with vLLM it must be at most {_HOTTEST}")
        for token in params.logit_bias:
            if self._size is not None and token >= self._size:
                raise RequestError(f"logit_bias names token {token}; the model has {self._size} tokens")
            if self._control is not None and token == self._control.child:
                raise RequestError(f"logit_bias names token {token}, which is [Child] and never sampled")
        if params.fork and params.penalises:
            raise RequestError(
                "penalties are of what a thread's whole path has said, and vLLM applies them to the tokens of one "
                "request only: leave them out, or decode sequentially (--sequential, fork=False)"
            )

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text
