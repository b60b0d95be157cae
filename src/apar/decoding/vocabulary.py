"""What decoding has to know of a model: its tokenizer, and the tokens that steer it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    def of(cls, tokenizer: Any, generation_config: Any = None) -> Vocabulary:
        """That of a Hugging Face tokenizer, and of a generation config, which may name further ends.

        Raises ModelError where nothing names an end-of-sequence token.
        """
        further = _ends(generation_config)
        forks = {FORK, CHILD} <= set(tokenizer.get_added_vocab())
        control = ControlTokens.of(tokenizer, further) if forks else None
        return cls(tokenizer, control, end_tokens(tokenizer, further))

    @property
    def forks(self) -> bool:
        """Whether the model was trained to fork."""
        return self.control is not None

    def decode(self, ids: list[int]) -> str:
        """The text of tokens, without the special ones."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def text_of(self, token: int) -> str:
        """A control token or end-of-sequence as it is written."""
        text: str = self.tokenizer.convert_ids_to_tokens(token)
        return text


def _ends(generation_config: Any) -> list[int]:
    """The end-of-sequence ids that a generation config names."""
    eos = getattr(generation_config, "eos_token_id", None)
    return [eos] if isinstance(eos, int) else list(eos or ())
