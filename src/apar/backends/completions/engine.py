"""Any server with OpenAI's streamed completions, such as llama.cpp's: threads of an answer are its requests."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from apar.backends.backend import Backend, DecodedAnswer, PendingAnswer
from apar.backends.completions.body import Bans, text_body
from apar.backends.completions.pieces import END, Pieces, PieceTokens
from apar.backends.completions.requests import TextRequest, TextRequestBuilder
from apar.backends.completions.server_texts import ServerTexts
from apar.backends.http_backend import HttpConnections, check_options
from apar.backends.priority_limiter import PriorityLimiter
from apar.backends.sequence_engine import decode_forked, may_pause
from apar.client.text_chunks import TextChunk, read_text_chunks
from apar.decoding.coordinator import SequenceRequest
from apar.decoding.detokenize import Detokenizer
from apar.decoding.form_coordinator import FormCoordinator
from apar.decoding.grammar import FULL
from apar.decoding.group import Group, Sampled
from apar.decoding.requests import Limits, Request
from apar.decoding.vocabulary import Vocabulary
from apar.errors import ContextError, RunError
from apar.extras import require

_PATH = "v1/completions"
_MOST_TRIES = 4
_CONTEXT = 4096
_NO_PRIORITIES = "priority is of engines that have some; a completions server has none: leave priority out"


class CompletionsBackend(HttpConnections, Backend):
    """A model that the server at `url` runs, whose answers fork by the form of their text, or not at all.

    Nothing is asked of the server but to go on behind a text and to stream what comes: prompts and answers are texts,
    and each piece of text that is streamed counts as one token. `model` is a folder, GGUF file or hub id with the
    tokenizer whose chat template is used where the server applies none; by default `served_model`, the model's name at
    the server, which by default is its only one. Where a prompt is a text no template is needed. `context` is how many
    tokens a path may have, where the server does not say it (4096). The server may say nothing for `timeout` seconds at
    most; `max_connections` are the threads that it decodes at once for this backend, others wait.

    For one event loop, in which `stream` blocks while the server makes a chat a prompt. Raises UserError where httpx is
    missing or an option is out of range, ModelError where the server has no such model, RunError where it cannot be
    reached.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None,
        url: str,
        *,
        served_model: str | None = None,
        api_key: str | None = None,
        context: int | None = None,
        timeout: float = 600.0,
        max_connections: int = 64,
    ) -> None:
        require("remote", "httpx")
        from apar.backends.vllm_server.model_info import find_served
        from apar.client.http import AsyncHttpClient, Endpoint, HttpClient

        check_options(timeout, max_connections=max_connections, context=1 if context is None else context)
        endpoint = Endpoint(url, api_key, timeout)
        with HttpClient(endpoint) as http:
            self.served_model, told = find_served(http, served_model)
        self._http = AsyncHttpClient(endpoint)
        self._texts = texts = ServerTexts(endpoint, self.served_model, model)
        limits = _limits(context or told or texts.context() or _CONTEXT)
        vocabulary = Vocabulary(_NoTokenizer(), None, frozenset([END]), given=True)
        super().__init__(vocabulary, limits)
        self._requests = TextRequestBuilder(vocabulary, limits, texts)
        self._limiter = PriorityLimiter(max_connections)

    def _start(self, requests: Sequence[Request], end_only: bool) -> Sequence[PendingAnswer]:
        return [self._answer(request, end_only) for request in requests]

    def _answer(self, request: Request, end_only: bool) -> PendingAnswer:
        assert isinstance(request, TextRequest)
        pieces = Pieces(request.text)
        # The prompt is one piece of a path, and has so many tokens more of the context.
        room = self.context - request.tokens + 1
        group = Group.start(next(self._numbers), request, self._vocabulary, room, Detokenizer(pieces.decode))
        group.prompt_tokens = request.tokens
        if request.params.by_rules:
            group.read_form(PieceTokens(pieces), request)
        [space] = pieces.encode(" ")
        coordinator = FormCoordinator(group, may_pause(group), _MOST_TRIES, stand_in=space)
        return DecodedAnswer(group, decode_forked(group, _Threads(self, pieces), coordinator), end_only)

    async def _decode_run(
        self, group: Group, run: SequenceRequest, pieces: Pieces
    ) -> AsyncGenerator[Sequence[Sampled], None]:
        """The pieces that the server sends behind a path; after a refusal the first one only."""
        bans = await self._bans(run, pieces) if run.banned else Bans()
        body = text_body(group, run, pieces.decode(run.tokens), self.served_model, bans)
        end, count = TextChunk(), 0
        try:
            async with self._limiter.slot(urgent=run.number > 0), self._http.stream(_PATH, body, {}) as received:
                group.entered = group.entered or time.perf_counter()
                async with aclosing(read_text_chunks(received, self._http.address)) as chunks:
                    async for chunk in chunks:
                        end = _later(end, chunk)
                        if chunk.text:
                            count += 1
                            yield [Sampled(pieces.id_of(chunk.text))]
                        if count and run.tries:
                            return
        except ContextError:
            if run.number == 0:
                raise
            yield [Sampled(FULL)]
            return
        if run.parent is None:
            group.cached_tokens = end.cached or 0
        if last := self._last(group, run, end, count):
            yield [last]

    def _last(self, group: Group, run: SequenceRequest, end: TextChunk, count: int) -> Sampled | None:
        """What comes behind the last piece, if the thread ends with it."""
        if end.finish is None:
            raise RunError(f"the server at {self._http.address} broke {group.name} off; ask again")
        if end.finish == "stop":
            return Sampled(END)
        is_full = end.completion_tokens is not None and end.completion_tokens < run.limit and not run.tries
        return Sampled(FULL) if is_full or not count else None

    async def _bans(self, run: SequenceRequest, pieces: Pieces) -> Bans:
        """The ids of refused pieces, which the server is asked for."""
        refused = [pieces.decode([piece]) for piece in run.banned if piece != END]
        found = [await asyncio.to_thread(self._texts.token, text) for text in refused]
        tokens = tuple(token for token in found if token is not None)
        return Bans(tokens, len(found) - len(tokens))


class _Threads:
    """The server as decoder of the sequences of one answer."""

    def __init__(self, backend: CompletionsBackend, pieces: Pieces) -> None:
        self._backend, self._pieces = backend, pieces

    def decode(self, group: Group, run: SequenceRequest) -> AsyncGenerator[Sequence[Sampled], None]:
        return self._backend._decode_run(group, run, self._pieces)


class _NoTokenizer:
    """In place of that of a model of which only texts are known."""

    def get_added_vocab(self) -> dict[str, int]:
        """No control token."""
        return {}


def _limits(context: int) -> Limits:
    return Limits(
        engine="a completions server",
        context=context,
        penalties_see_forks=False,
        no_priorities=_NO_PRIORITIES,
        typical_drafts=False,
        by_rules=True,
        logprobs_by_rules=False,
        logprobs=False,
    )


def _later(end: TextChunk, chunk: TextChunk) -> TextChunk:
    """What is known of the end of a stream, after another chunk."""
    return TextChunk(
        finish=chunk.finish or end.finish,
        completion_tokens=end.completion_tokens if chunk.completion_tokens is None else chunk.completion_tokens,
        cached=end.cached if chunk.cached is None else chunk.cached,
    )
