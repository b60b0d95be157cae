"""A vLLM server elsewhere: no vLLM is needed here, nor torch."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from apar.backends.backend import GroupBackend
from apar.backends.data_parallel import DataParallelRouter
from apar.backends.http_backend import HttpConnections, check_options
from apar.backends.priority_limiter import PriorityLimiter
from apar.backends.sequence_engine import decode_forked, vllm_limits
from apar.backends.vllm_server.body import completion_body
from apar.client.completion_chunks import Chunk, read_chunks
from apar.decoding.coordinator import SequenceRequest
from apar.decoding.group import Group, Sampled
from apar.errors import RunError
from apar.events import Event
from apar.extras import require
from apar.models.model_source import ModelSource, model_source
from apar.models.vocabulary import load_vocabulary

logger = logging.getLogger(__name__)

_PATH = "v1/completions"
_LONG = 512
"""A prompt of so many tokens has full blocks whatever their size."""


_NO_PRIORITIES = (
    "priority needs a server that runs with --scheduling-policy priority; say that it does by priorities=True"
)


class VllmServerBackend(HttpConnections, GroupBackend):
    """A model that a vLLM server at `url` runs, decoding the parts of an answer in parallel.

    `model` is a folder or hub id with the tokenizer of the server's model, or `tokenizer` is. `served_model` is the
    model's name at the server, by default the only one there. The server may say nothing for `timeout` seconds at
    most; `max_connections` are the threads that it decodes at once for this backend, others wait. With `priorities`
    requests have some: the server must run with --scheduling-policy priority. `ranks` is its number of data-parallel
    ranks: with it, all threads of an answer go to one of them. `cache_salt` is sent with every request: answers share
    cached prefixes only with those of the same salt.

    For one event loop. Raises UserError where httpx is missing or an option is out of range, ModelError where the
    tokenizer cannot be loaded or the server has no such model, RunError where the server cannot be reached.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        url: str,
        *,
        served_model: str | None = None,
        api_key: str | None = None,
        tokenizer: str | os.PathLike[str] | None = None,
        priorities: bool = False,
        timeout: float = 600.0,
        max_connections: int = 512,
        ranks: int = 1,
        cache_salt: str | None = None,
    ) -> None:
        require("remote", "httpx", "transformers")
        from apar.backends.vllm_server.model_info import check_vocabulary, find_model
        from apar.client.http import AsyncHttpClient, Endpoint, HttpClient

        check_options(timeout, max_connections=max_connections, ranks=ranks)
        vocabulary = load_vocabulary(model_source(model) if tokenizer is None else ModelSource(str(tokenizer)))
        endpoint = Endpoint(url, api_key, timeout)
        with HttpClient(endpoint) as http:
            served = find_model(http, served_model)
            check_vocabulary(http, served, vocabulary, str(model))
        self._http = AsyncHttpClient(endpoint)
        super().__init__(
            vocabulary, vllm_limits(vocabulary, served.context, no_priorities=None if priorities else _NO_PRIORITIES)
        )
        self.served_model = served.name
        self._prioritised, self._salt = priorities, cache_salt
        self._limiter, self._ranks = PriorityLimiter(max_connections), DataParallelRouter(ranks)
        self._cache_missed = False

    async def decode(self, group: Group) -> AsyncGenerator[list[Event], None]:
        """Each thread a request of its own, all on one data-parallel rank, where the prefix is."""
        with self._ranks.least_busy() as rank:
            headers = {} if rank is None else {"X-data-parallel-rank": str(rank)}
            async with aclosing(decode_forked(group, _Threads(self, headers))) as pieces:
                async for events in pieces:
                    yield events

    async def _decode_run(
        self, group: Group, run: SequenceRequest, headers: dict[str, str]
    ) -> AsyncGenerator[Sequence[Sampled], None]:
        """The last tokens come when the server has sent all: to end a run cuts its connection."""
        last: Chunk | None = None
        body = self._body(group, run)
        async with self._limiter.slot(urgent=run.number > 0), self._http.stream(_PATH, body, headers) as pieces:
            group.entered = group.entered or time.perf_counter()
            async with aclosing(read_chunks(pieces, self._http.address, group.params.logprobs)) as chunks:
                async for chunk in chunks:
                    if chunk.cached is not None:
                        self._note_cached(group, run, chunk.cached)
                    if chunk.finished:
                        last = chunk
                    elif chunk.sampled:
                        yield chunk.sampled
        if last is None:
            raise RunError(f"the server at {self._http.address} broke {group.name} off; ask again")
        yield last.sampled

    def _body(self, group: Group, run: SequenceRequest) -> dict[str, object]:
        body = completion_body(group, run, self._vocabulary, self.served_model)
        if self._prioritised:
            # vLLM runs the lowest number first; children come before new answers.
            body["priority"] = -2 * group.params.priority - (run.number > 0)
        return body if self._salt is None else {**body, "cache_salt": self._salt}

    def _note_cached(self, group: Group, run: SequenceRequest, cached: int) -> None:
        if run.parent is None:
            group.cached_tokens = cached
        elif not cached and len(run.tokens) >= _LONG and not self._cache_missed:
            self._cache_missed = True
            logger.warning(
                "the server at %s found nothing of a fork's %d tokens in its cache, and computed them all again: run "
                "it with prefix caching, or say how many data-parallel ranks it has (ranks)",
                self._http.address,
                len(run.tokens),
            )


class _Threads:
    """The server as decoder of sequences, on one data-parallel rank."""

    def __init__(self, backend: VllmServerBackend, headers: dict[str, str]) -> None:
        self._backend, self._headers = backend, headers

    def decode(self, group: Group, run: SequenceRequest) -> AsyncGenerator[Sequence[Sampled], None]:
        return self._backend._decode_run(group, run, self._headers)
