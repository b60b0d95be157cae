"""Deltas of tokens that were forced on a thread: told token by token, with log probabilities of what was not drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from apar.decoding.by_form.form_tokens import FormTokens
from apar.decoding.detokenize import BROKEN
from apar.events import Delta, TokenLogprob


def forced_logprobs(ids: Sequence[int]) -> tuple[TokenLogprob, ...]:
    """Those of tokens that nothing was drawn for: no other could have come, so each is 0, without alternatives."""
    return tuple(TokenLogprob(token, 0.0) for token in ids)


def by_token(tokens: FormTokens, delta: Delta, chars: int) -> Iterator[Delta]:
    """The first `chars` characters of a delta, a delta for each of its tokens that has some of them.

    A token that is cut has the text before the cut. One of a part of a character has no text; the last part has it.
    """
    if len(delta.token_ids) < 2:
        yield replace(delta, text=delta.text[:chars])
        return
    for number, (begin, end) in enumerate(pairwise([0, *_ends(tokens, delta), len(delta.text)])):
        if begin >= chars and chars < len(delta.text):
            return
        token, logprobs = delta.token_ids[number : number + 1], delta.logprobs[number : number + 1]
        yield replace(delta, token_ids=token, text=delta.text[begin : min(end, chars)], logprobs=logprobs)


def _ends(tokens: FormTokens, delta: Delta) -> Iterator[int]:
    """Where in the text of a delta its tokens end, without the last. White space may stand before them all."""
    newline, ids, end = tokens.encode("\n"), delta.token_ids, 0
    whole = tokens.text_behind(newline, ids)
    before = len(delta.text) - len(whole)
    for number in range(1, len(ids)):
        said = tokens.text_behind(newline, ids[:number])
        if not said.endswith(BROKEN) and whole.startswith(said) and delta.text.endswith(whole):
            end = before + len(said)
        yield end
