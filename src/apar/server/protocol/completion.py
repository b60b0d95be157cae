"""`/v1/completions`: the request."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from apar.engine.params import RawPrompt, SamplingParams
from apar.server.protocol.fields import MAX_TOKENS, Logprobs, Request

DEFAULT_TOKENS = 16
"""OpenAI's."""
MAX_PROMPTS = 128

Token = Annotated[int, Field(ge=0, lt=2**31)]
Tokens = Annotated[list[Token], Field(min_length=1)]
Text = Annotated[str, Field(min_length=1)]


class CompletionRequest(Request):
    """Texts to be gone on from, without a chat template. A field that is not here is refused."""

    prompt: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_PROMPTS)]
        | Tokens
        | Annotated[list[Tokens], Field(min_length=1, max_length=MAX_PROMPTS)]
    ) = Field(description="One text or several, or their token ids. Control tokens in a text are ordinary text.")
    max_tokens: int = Field(
        default=DEFAULT_TOKENS, ge=1, le=MAX_TOKENS, description="Budget of visible tokens, all threads together."
    )
    logprobs: Logprobs | None = Field(default=None, description="Log probabilities, and so many of the likeliest.")

    @property
    def prompts(self) -> list[RawPrompt]:
        """Each with `n` answers."""
        given = self.prompt
        if isinstance(given, str):
            return [RawPrompt(given)]
        texts = [RawPrompt(text) for text in given if isinstance(text, str)]
        if texts:
            return texts
        several = [RawPrompt(tuple(ids)) for ids in given if isinstance(ids, list)]
        return several or [RawPrompt(tuple(token for token in given if isinstance(token, int)))]

    def params(self, context: int, forks: bool) -> SamplingParams:
        """What is asked of the answers."""
        return self.sampling(self.max_tokens, self.logprobs, forks)
