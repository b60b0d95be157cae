"""From prompts to requests whose prompts are texts."""

from __future__ import annotations

from dataclasses import dataclass

from apar.backends.completions.pieces import PROMPT
from apar.backends.completions.server_texts import ServerTexts
from apar.decoding.params import Prompt, RawPrompt, SamplingParams
from apar.decoding.requests import Limits, Request, RequestBuilder, check, turns
from apar.decoding.vocabulary import Vocabulary
from apar.errors import ModelError, RequestError


@dataclass(frozen=True, slots=True)
class TextRequest(Request):
    """A request whose prompt is the piece `text`, of so many `tokens` as far as the server says."""

    text: str = ""
    tokens: int = 1


class TextRequestBuilder(RequestBuilder):
    """Makes prompts texts, and refuses those that cannot be served. Asks the server, and blocks meanwhile."""

    def __init__(self, vocabulary: Vocabulary, limits: Limits, texts: ServerTexts) -> None:
        super().__init__(vocabulary, limits)
        self._texts = texts

    def _request(self, prompt: Prompt, params: SamplingParams) -> Request:
        self._check_fork(params)
        text = self._text(prompt)
        tokens = (self._texts.count(text) or 1) if text else 0
        check(range(tokens), params, self._limits)
        return TextRequest([PROMPT], params, 0, self._question(prompt, params), text, tokens)

    def _check_fork(self, params: SamplingParams) -> None:
        """Raise ModelError where the model itself is to fork: its control tokens are no texts."""
        if params.fork and params.fork_by == "model" and not params.sequential:
            raise ModelError(
                "a completions server knows no control tokens: have answers fork by their form (--fork rules, "
                "fork_by='rules') or not at all (--fork off, fork=False)"
            )

    def _text(self, prompt: Prompt) -> str:
        if not isinstance(prompt, RawPrompt):
            return self._texts.prompt(turns(prompt))
        if not isinstance(prompt.content, str):
            raise RequestError("a completions server is asked by texts: give the prompt as a text, not as token ids")
        return prompt.content
