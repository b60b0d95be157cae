"""The control tokens `[Fork]` and `[Child]`: adding them to a tokenizer and looking their ids up.

Ids are never written as numbers anywhere. Text that comes from a user never becomes a control token: the
literal text `[Fork]` in a question or an answer is encoded as ordinary text by `encode_text` and
`encode_prompt`, and by `encode_raw`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apar.errors import ModelError, RequestError

FORK = "[Fork]"
CHILD = "[Child]"

Message = dict[str, str]
"""One turn of a chat: `{"role": "user" | "assistant" | "system", "content": text}`."""


@dataclass(frozen=True, slots=True)
class ControlTokens:
    """The ids that steer decoding. `fork` is sampled by the model, `child` is appended by the engine."""

    fork: int
    child: int
    eos: frozenset[int]

    @classmethod
    def of(cls, tokenizer: Any, extra_eos: Iterable[int] = ()) -> ControlTokens:
        """Look the ids up in a Hugging Face tokenizer; raise ModelError where they are missing.

        `extra_eos` are further ids that end a thread (a model's generation config may name several).
        """
        vocabulary = tokenizer.get_added_vocab()
        missing = [token for token in (FORK, CHILD) if token not in vocabulary]
        if missing:
            raise ModelError(
                f"the tokenizer has no control token {' or '.join(missing)}: this model was not trained to fork; "
                "train it with `apar train`, or decode it with --sequential"
            )
        return cls(vocabulary[FORK], vocabulary[CHILD], end_tokens(tokenizer, extra_eos))

    @property
    def hidden(self) -> frozenset[int]:
        """Ids that are no part of the visible answer."""
        return self.eos | {self.fork, self.child}


def end_tokens(tokenizer: Any, extra_eos: Iterable[int] = ()) -> frozenset[int]:
    """The ids that end a thread; raise ModelError if there are none."""
    eos = frozenset(extra_eos)
    if tokenizer.eos_token_id is not None:
        eos |= {int(tokenizer.eos_token_id)}
    if not eos:
        raise ModelError("the tokenizer names no end-of-sequence token; set eos_token in tokenizer_config.json")
    return eos


def add_control_tokens(tokenizer: Any) -> int:
    """Add `[Fork]` and `[Child]` as special tokens; return how many were new."""
    return int(
        tokenizer.add_special_tokens({"additional_special_tokens": [FORK, CHILD]}, replace_extra_special_tokens=False)
    )


def encode_text(tokenizer: Any, text: str) -> list[int]:
    """The ids of ordinary text: no special token is added, and none is recognised in the text.

    The text may continue another: where a tokenizer puts a space before whatever it encodes (SentencePiece
    models do), the text is encoded behind an anchor that is cut off, so that decoding pieces of a text that
    were encoded one by one gives the text.
    """
    if _joins(tokenizer):
        return _encode_plain(tokenizer, text)
    anchor = _encode_plain(tokenizer, _ANCHOR)
    anchored = _encode_plain(tokenizer, _ANCHOR + text)
    if anchored[: len(anchor)] != anchor:
        raise ModelError("the tokenizer merges text with what stands before it in an unusual way; it cannot be used")
    return anchored[len(anchor) :]


_ANCHOR = "\x01"
"""A character that no vocabulary merges with what follows."""


@lru_cache(maxsize=16)
def _joins(tokenizer: Any) -> bool:
    """Whether texts encoded one by one decode to the joined text."""
    ids = [token for text in ("a", "b") for token in _encode_plain(tokenizer, text)]
    return bool(tokenizer.decode(ids, clean_up_tokenization_spaces=False) == "ab")


def _encode_plain(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))


def encode_prompt(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """The ids of a chat up to where the assistant's answer begins, by the tokenizer's chat template.

    The template's own special tokens are kept; a control token can only have come from the messages' text
    and is put back to ordinary text. Raises ModelError without a template, RequestError where the messages
    are malformed or the template refuses them.
    """
    if tokenizer.chat_template is None:
        raise ModelError("the tokenizer has no chat template; set chat_template in tokenizer_config.json")
    _check_messages(messages)
    try:
        rendered = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template raises whatever its author chose
        raise RequestError(f"the model's chat template refuses these messages: {error}") from error
    return _without_control(tokenizer, tokenizer.encode(rendered, add_special_tokens=False))


def encode_raw(tokenizer: Any, text: str) -> list[int]:
    """The ids of a text that is gone on from as it is, with the special tokens that the tokenizer puts before texts.

    Its special tokens are recognised in the text, but for control tokens.
    """
    return _without_control(tokenizer, tokenizer.encode(text, add_special_tokens=True))


def check_ids(tokenizer: Any, ids: Sequence[int]) -> None:
    """Raise RequestError if one of a prompt's ids is none of the tokenizer's, or a control token."""
    vocabulary = tokenizer.get_added_vocab()
    control = {vocabulary[token]: token for token in (FORK, CHILD) if token in vocabulary}
    for token in ids:
        if not 0 <= token < len(tokenizer):
            raise RequestError(f"the prompt names token {token}; the model has {len(tokenizer)} tokens")
        if token in control:
            raise RequestError(f"the prompt names token {token}, which is {control[token]}; no prompt may have it")


def _without_control(tokenizer: Any, ids: Iterable[int]) -> list[int]:
    """The ids, control tokens put back to the ordinary text that they can only have come from."""
    vocabulary = tokenizer.get_added_vocab()
    literal = {vocabulary[t]: encode_text(tokenizer, t) for t in (FORK, CHILD) if t in vocabulary}
    return [piece for token in ids for piece in literal.get(token, (token,))]


def _check_messages(messages: Sequence[Message]) -> None:
    if not messages:
        raise RequestError("the chat has no messages")
    for number, message in enumerate(messages):
        fits = isinstance(message, Mapping) and all(isinstance(message.get(k), str) for k in ("role", "content"))
        if not fits:
            raise RequestError(f'message {number} is {message!r}; it must have strings "role" and "content"')
