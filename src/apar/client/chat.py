"""A server that answers chats: ours, which reports its threads, or any other with OpenAI's API."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Self

import httpx

from apar.client.chat_chunks import AnswerStats, ChunkReader
from apar.client.http import Endpoint, HttpClient
from apar.client.response import Response
from apar.decoding.params import SamplingParams
from apar.errors import RequestError, RunError, UserError
from apar.events import Event
from apar.tokens import Message

_PAUSE_SECONDS = 1.0
"""Between two questions whether a server has loaded its model."""
_DEFAULTS = SamplingParams()
_OPTIONAL = ("top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "seed")


class ChatClient:
    """Asks the server at `url`, with or without its `/v1`, for answers of `model`, by default its only one.

    `timeout` is how many seconds it may say nothing, `say` gets a line about what is waited for. While the server
    loads its model it is waited for. Use it as a context manager.

    Raises UserError for what is no URL or no API key, RunError where the server cannot be reached, and what it refuses
    with.
    """

    def __init__(
        self, url: str, api_key: str | None, model: str | None, timeout: float, say: Callable[[str], None]
    ) -> None:
        self._http = HttpClient(Endpoint(url, api_key, timeout, "--timeout", "give one by --api-key"))
        self.address, self._say = self._http.address, say
        try:
            self.forks = self._reports_threads()
            self.model = model or self._only_model()
        except BaseException:
            self.close()
            raise

    def stream(self, prompt: Sequence[Message], params: SamplingParams) -> Generator[Event, None, AnswerStats]:
        """The events of the answer to a chat; the generator returns its figures. Closing it cancels.

        Raises what the server refuses with, and RunError where it is lost or breaks off.
        """
        body = _body(self.model, prompt, params, threads=self.forks)
        while True:
            reader = ChunkReader(self.address)
            with self._http.stream("v1/chat/completions", body) as response:
                if response.status_code == httpx.codes.OK:
                    yield from reader.read(self._pieces(response))
                    return reader.stats()
                refused = Response.read(response)
            self._wait_for(refused)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_bytes()
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._http.endpoint.connection_error(error, " in the middle of the answer") from error

    def _reports_threads(self) -> bool:
        """Whether the server is ours: others have no /version, or name no backend there."""
        response = self._http.ask("version")
        return response.status == httpx.codes.OK and {"version", "backend", "model"} <= response.fields.keys()

    def _only_model(self) -> str:
        while (response := self._http.ask("v1/models")).status != httpx.codes.OK:
            self._wait_for(response)
        try:
            names = [str(card["id"]) for card in response.fields["data"]]
        except (KeyError, TypeError) as error:
            raise RunError(f"the server at {self.address} does not list its models; name one by --model") from error
        if len(names) != 1:
            listed = f": {', '.join(names[:10])}" if names else ""
            raise UserError(f"the server at {self.address} has {len(names)} models; name one by --model{listed}")
        return names[0]

    def _wait_for(self, response: Response) -> None:
        """Wait while the server loads its model; raises what any other response refuses with."""
        if response.status != httpx.codes.SERVICE_UNAVAILABLE or not self._is_loading():
            raise self._http.endpoint.refusal(response)
        self._say(f"the server at {self.address} is loading its model; waiting for it")
        while self._is_loading():
            time.sleep(_PAUSE_SECONDS)

    def _is_loading(self) -> bool:
        """Whether the health of the server says so."""
        return self._http.ask("health").fields.get("status") == "loading"


def _body(model: str, messages: Sequence[Message], params: SamplingParams, threads: bool) -> dict[str, Any]:
    """What is posted; `threads` asks for the events of threads, which only our server has.

    What is at a value that changes nothing is left out: not every server knows it. Raises RequestError for several
    answers and for log probabilities, which a chat does not show, and for inexact drafts, which no server has.
    """
    if params.n > 1:
        raise RequestError("a chat has one answer a turn; leave -n out")
    if params.logprobs is not None:
        raise RequestError("the log probabilities of a server are not shown; leave --logprobs out")
    if params.by_rules and not threads:
        raise RequestError("only a server of `apar serve` forks by rules; leave --fork rules out")
    if params.draft_acceptance != "exact":
        raise RequestError(f"a server accepts drafts exactly; leave draft_acceptance {params.draft_acceptance!r} out")
    body: dict[str, Any] = {
        "model": model,
        "messages": list(messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": params.max_tokens,
        "temperature": params.temperature,
    }
    body |= {name: getattr(params, name) for name in _OPTIONAL if getattr(params, name) != getattr(_DEFAULTS, name)}
    if params.stop:
        body["stop"] = list(params.stop)
    if params.logit_bias:
        body["logit_bias"] = {str(token): bias for token, bias in params.logit_bias.items()}
    if threads:
        body["apar"] = {
            "stream": "threads",
            "fork": _fork(params),
            "max_threads": params.max_threads,
            "max_depth": params.max_depth,
            "metrics": True,
        }
        if params.max_parallel_threads is not None:
            body["apar"]["max_parallel_threads"] = params.max_parallel_threads
        for name in ("max_items", "repeated_leads", "drafts", "draft_acceptance"):
            if getattr(params, name) != getattr(_DEFAULTS, name):
                body["apar"][name] = getattr(params, name)
    return body


def _fork(params: SamplingParams) -> bool | str:
    """What forks, as a server is asked for it."""
    return params.fork_by if params.fork and params.fork_by != "model" else params.fork
