"""`/v1/completions`: the request."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from apar.decoding.params import RawPrompt, SamplingParams
from apar.server.protocol.fields import MAX_TOKENS, Logprobs, Request, Text

DEFAULT_TOKENS = 16
"""OpenAI's."""
MAX_PROMPTS = 128

Token = Annotated[int, Field(ge=0, lt=2**31)]
Tokens = Annotated[list[Token], Field(min_length=1, fail_fast=True)]
Prompt = Annotated[Text, Field(min_length=1)]


_FORMS: dict[type, str] = {str: "<texts>", list: "<token lists>"}


def _form(prompt: Any) -> str | None:
    """Which of its forms a prompt has, by its first part: only that is tried."""
    if isinstance(prompt, list):
        return _FORMS.get(type(prompt[0]) if prompt else str, "<tokens>")
    return "<text>" if isinstance(prompt, str) else None


class CompletionRequest(Request):
    """Texts to be gone on from, without a chat template. A field that is not here is refused."""

    prompt: Annotated[
        Annotated[Prompt, Tag("<text>")]
        | Annotated[list[Prompt], Field(min_length=1, max_length=MAX_PROMPTS, fail_fast=True), Tag("<texts>")]
        | Annotated[Tokens, Tag("<tokens>")]
        | Annotated[list[Tokens], Field(min_length=1, max_length=MAX_PROMPTS, fail_fast=True), Tag("<token lists>")],
        Discriminator(_form, custom_error_type="form", custom_error_message="it must be a text, token ids, or a list"),
    ] = Field(description="One text or several, or their token ids. Control tokens in a text are ordinary text.")
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

    def params(self, context: int, forks: bool, max_parallel_threads: int | None = None) -> SamplingParams:
        """What is asked of the answers."""
        return self.sampling(self.max_tokens, self.logprobs, forks, max_parallel_threads)
