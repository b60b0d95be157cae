"""A server that answers chats: ours, which tells of threads, or any other with OpenAI's API."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Self

import httpx

from apar.backends.vllm_server.connection import server_address
from apar.chat.body import chat_body
from apar.chat.chunks import ChunkReader
from apar.chat.figures import Reply
from apar.chat.refusals import lost, refused
from apar.chat.responses import Response
from apar.decoding.params import SamplingParams
from apar.errors import RunError, UserError
from apar.events import Event
from apar.tokens import Message

_CONNECT_SECONDS = 10.0
_PAUSE_SECONDS = 1.0
"""Between two questions whether a server has loaded its model."""


class Server:
    """Asks the server at `url`, with or without its `/v1`, for answers of `model`, by default its only one.

    `timeout` is how many seconds it may say nothing, `say` is told what is waited for. While the server loads its
    model it is waited for. Use it as a context manager.

    Raises UserError for what is no URL or no API key, RunError where the server cannot be reached, and what it refuses
    with.
    """

    def __init__(
        self, url: str, api_key: str | None, model: str | None, timeout: float, say: Callable[[str], None]
    ) -> None:
        base = server_address(url)
        self.place = str(base.copy_with(userinfo=b"")).rstrip("/")
        self._say = say
        self._client = httpx.Client(
            base_url=base, headers=_headers(api_key), timeout=httpx.Timeout(timeout, connect=_CONNECT_SECONDS)
        )
        try:
            self.forks = self._tells_of_threads()
            self.model = model or self._only_model()
        except BaseException:
            self.close()
            raise

    def stream(self, prompt: Sequence[Message], params: SamplingParams) -> Generator[Event, None, Reply]:
        """The events of the answer to a chat; the generator returns what was told of it. Closing it cancels.

        Raises what the server refuses with, and RunError where it is lost or breaks off.
        """
        body = chat_body(self.model, prompt, params, threads=self.forks)
        while True:
            reader = ChunkReader(self.place)
            try:
                with self._client.stream("POST", "v1/chat/completions", json=body) as response:
                    if response.status_code == httpx.codes.OK:
                        yield from reader.read(self._pieces(response))
                        return reader.reply()
                    refusal = Response.read(response)
            except httpx.HTTPError as error:
                raise lost(self.place, error, answering=False) from error
            self._wait_for(refusal)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pieces(self, response: httpx.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_bytes()
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise lost(self.place, error, answering=True) from error

    def _tells_of_threads(self) -> bool:
        """Whether the server is ours: others have no /version, or tell no backend there."""
        response = self._get("version")
        return response.status == httpx.codes.OK and {"version", "backend", "model"} <= response.told.keys()

    def _only_model(self) -> str:
        while True:
            response = self._get("v1/models")
            if response.status == httpx.codes.OK:
                return self._named(response)
            self._wait_for(response)

    def _named(self, response: Response) -> str:
        try:
            names = [str(card["id"]) for card in response.told["data"]]
        except (KeyError, TypeError) as error:
            raise RunError(f"the server at {self.place} does not list its models; name one by --model") from error
        if len(names) != 1:
            listed = f": {', '.join(names[:10])}" if names else ""
            raise UserError(f"the server at {self.place} has {len(names)} models; name one by --model{listed}")
        return names[0]

    def _get(self, path: str) -> Response:
        try:
            with self._client.stream("GET", path) as response:
                return Response.read(response)
        except httpx.HTTPError as error:
            raise lost(self.place, error, answering=False) from error

    def _wait_for(self, response: Response) -> None:
        """Wait while the server loads its model; raises what any other response refuses with."""
        if response.status != httpx.codes.SERVICE_UNAVAILABLE or not self._is_loading():
            raise refused(self.place, response)
        self._say(f"the server at {self.place} is loading its model; waiting for it")
        while self._is_loading():
            time.sleep(_PAUSE_SECONDS)

    def _is_loading(self) -> bool:
        """Whether the health of the server says so."""
        return self._get("health").told.get("status") == "loading"


def _headers(api_key: str | None) -> dict[str, str]:
    if api_key is None:
        return {}
    if not api_key.isascii() or not api_key.isprintable():
        raise UserError("the API key has characters that no request can carry; give it in ASCII")
    return {"Authorization": f"Bearer {api_key}"}
