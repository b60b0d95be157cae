"""The control tokens `[Fork]` and `[Child]`: adding them to a tokenizer and looking their ids up.

Ids are never written as numbers anywhere. Text that comes from a user never becomes a control token: the
literal text `[Fork]` in a question or an answer is encoded as ordinary text by `encode_text` and
`PromptEncoder`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from apar.errors import ModelError, RequestError

FORK = "[Fork]"
CHILD = "[Child]"

Message = dict[str, str]
"""One turn of a chat: `{"role": "user" | "assistant" | "system", "content": text}`."""
Encode = Callable[[str], list[int]]
Decode = Callable[[list[int]], str]


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
                "train it with `apar train`, or decode it with --fork off"
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

    The text may continue another, as `joining` says.
    """
    return _text_encoder(tokenizer)(text)


def joining(encode: Encode, decode: Decode) -> Encode:
    """`encode` for the pieces of a text that are encoded one by one: decoding their ids gives the text.

    Where a tokenizer puts a space before whatever it encodes (SentencePiece models do), a piece is encoded behind
    an anchor that is cut off; a tokenizer of whole words, to which this does not help, encodes as it is. Raises
    ModelError, here or when it encodes, where the tokenizer merges the anchor with what follows.
    """
    if _joins(encode, decode):
        return encode
    anchor = encode(_ANCHOR)

    def anchored(text: str) -> list[int]:
        ids = encode(_ANCHOR + text)
        if ids[: len(anchor)] != anchor:
            raise ModelError("the tokenizer merges text with what stands before it in an unusual way: it is unusable")
        return ids[len(anchor) :]

    return anchored if _joins(anchored, decode) else encode


_ANCHOR = "\x01"
"""A character that no vocabulary merges with what follows."""


def _joins(encode: Encode, decode: Decode) -> bool:
    """Whether texts encoded one by one decode to the joined text."""
    return decode([*encode("a"), *encode("b")]) == "ab"


@lru_cache(maxsize=16)
def _text_encoder(tokenizer: Any) -> Encode:
    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    return joining(encode, lambda ids: str(tokenizer.decode(ids, clean_up_tokenization_spaces=False)))


@dataclass(frozen=True, slots=True)
class TextCodec:
    """How texts become token ids and ids texts; `name` says by what, for reports.

    Texts that are encoded one by one decode to the joined text. `chat` encodes the messages before an answer;
    without it they are encoded as their texts, a line each.
    """

    name: str
    encode: Encode
    decode: Decode
    chat: Callable[[Sequence[Message]], list[int]] | None = None

    @classmethod
    def of(cls, tokenizer: Any, name: str) -> TextCodec:
        """The codec of a Hugging Face tokenizer, with its chat template where it has one."""

        def decode(ids: list[int]) -> str:
            return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

        chat = None if tokenizer.chat_template is None else partial(encode_prompt, tokenizer)
        return cls(name, partial(encode_text, tokenizer), decode, chat)

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a chat up to where the answer begins."""
        if self.chat is not None:
            return self.chat(messages)
        return self.encode("".join(f"{message['content']}\n" for message in messages))


class PromptEncoder:
    """Encodes prompts, in several threads at once: none of its calls changes the tokenizer's options.

    Control tokens in a prompt can only have come from a user's text, and are put back to ordinary text.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        vocabulary = tokenizer.get_added_vocab()
        # Made here, because it does change an option for the time that it takes.
        self._literal = {vocabulary[t]: (t, encode_text(tokenizer, t)) for t in (FORK, CHILD) if t in vocabulary}

    def chat(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a chat up to where the assistant's answer begins, by the tokenizer's chat template.

        The template's own special tokens are kept. Raises ModelError without a template, RequestError where the
        messages are malformed or the template refuses them.
        """
        rendered = chat_text(self._tokenizer, messages)
        return self._without_control(self._tokenizer.encode(rendered, add_special_tokens=False))

    def raw(self, text: str) -> list[int]:
        """The ids of a text that is gone on from as it is, behind the special tokens that texts begin with.

        Special tokens are recognised in the text, but for control tokens.
        """
        return self._without_control(self._tokenizer.encode(text, add_special_tokens=True))

    def check_ids(self, ids: Sequence[int]) -> None:
        """Raise RequestError if one of a prompt's ids is none of the tokenizer's, or a control token."""
        size = len(self._tokenizer)
        for token in ids:
            if not 0 <= token < size:
                raise RequestError(f"the prompt names token {token}; the model has {size} tokens")
            if token in self._literal:
                name = self._literal[token][0]
                raise RequestError(f"the prompt names token {token}, which is {name}; no prompt may have it")

    def _without_control(self, ids: Iterable[int]) -> list[int]:
        return [piece for token in ids for piece in (self._literal[token][1] if token in self._literal else (token,))]


def encode_prompt(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """The ids of one chat, as `PromptEncoder.chat` gives them."""
    return PromptEncoder(tokenizer).chat(messages)


def chat_text(tokenizer: Any, messages: Sequence[Message]) -> str:
    """A chat up to where the assistant's answer begins, as the text that the tokenizer's chat template makes of it.

    Raises ModelError without a template, RequestError where the messages are malformed or the template refuses them.
    """
    if tokenizer.chat_template is None:
        raise ModelError("the tokenizer has no chat template; set chat_template in tokenizer_config.json")
    check_messages(messages)
    try:
        # Not copied by str(): that of llama.cpp knows where a user's text looks like a special token.
        rendered: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template raises whatever its author chose
        raise RequestError(f"the model's chat template refuses these messages: {error}") from error
    return rendered


def check_messages(messages: Sequence[Message]) -> None:
    """Raise RequestError for what is no chat."""
    if not messages:
        raise RequestError("the chat has no messages")
    for number, message in enumerate(messages):
        fits = isinstance(message, Mapping) and all(isinstance(message.get(k), str) for k in ("role", "content"))
        if not fits:
            raise RequestError(f'message {number} is {message!r}; it must have strings "role" and "content"')
