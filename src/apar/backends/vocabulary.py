"""What a backend has to know of a model that another engine runs: its tokenizer, and the tokens that steer it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apar.engine.source import load_tokenizer
from apar.tokens import CHILD, FORK, ControlTokens, end_tokens


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`control` is None for a model that was not trained to fork; tokens of `eos` end a thread.

    A vocabulary is `given` where the model has no tokenizer that knows its control tokens, as random weights have
    none: then the engine is told ids, and `tokenizer` need have no more than `decode`.
    """

    tokenizer: Any
    control: ControlTokens | None
    eos: frozenset[int]
    given: bool = False

    @classmethod
    def load(cls, source: str) -> Vocabulary:
        """That of a folder or hub id. Raises ModelError where its tokenizer cannot be loaded or names no end."""
        tokenizer = load_tokenizer(source)
        further = _generation_eos(source)
        forks = {FORK, CHILD} <= set(tokenizer.get_added_vocab())
        control = ControlTokens.of(tokenizer, further) if forks else None
        return cls(tokenizer, control, end_tokens(tokenizer, further))

    def text_of(self, token: int) -> str:
        """A control token or end-of-sequence as it is written."""
        text: str = self.tokenizer.convert_ids_to_tokens(token)
        return text


def _generation_eos(source: str) -> list[int]:
    """The end-of-sequence ids that the model's generation config names, where it has one."""
    from transformers import GenerationConfig

    try:
        eos = GenerationConfig.from_pretrained(source).eos_token_id
    except (OSError, ValueError):
        return []
    return [eos] if isinstance(eos, int) else list(eos or ())
