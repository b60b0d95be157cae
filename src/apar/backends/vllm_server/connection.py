"""The HTTP side: the server's addresses, its answers to plain questions, and the streams of completions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx

from apar.backends.vllm_server.refusals import message_of, refused
from apar.errors import AparError, RunError, UserError

_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 3.0
"""How long an idle connection is kept; vLLM's servers close theirs after five."""


class Connection:
    """A server at `url`, with or without its `/v1`. `timeout` is how many seconds it may say nothing.

    Raises UserError for what is no URL of a server.
    """

    def __init__(self, url: str, api_key: str | None, timeout: float) -> None:
        self._base = server_address(url)
        self.place = str(self._base.copy_with(userinfo=b"")).rstrip("/")
        self._options: dict[str, Any] = {
            "verify": httpx.create_ssl_context(),
            "headers": {} if api_key is None else {"Authorization": f"Bearer {api_key}"},
            "timeout": httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS), pool=None),
        }
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=_IDLE_SECONDS)
        self._client = httpx.AsyncClient(limits=limits, **self._options)
        self.closed = False

    def ask(self, path: str, question: Mapping[str, Any] | None = None) -> Any:
        """The JSON that the server answers a plain question with, None where it knows no such path.

        Blocks. Raises RunError where the server cannot be reached or answers no JSON, and what it refuses with.
        """
        method, url = ("GET" if question is None else "POST"), self._url(path)
        try:
            with httpx.Client(**self._options) as client:
                response = client.request(method, url, json=question)
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        if response.status_code in (404, 405):
            return None
        if response.status_code != httpx.codes.OK:
            raise _refused(self.place, response)
        try:
            return response.json()
        except ValueError as error:
            raise RunError(f"the server at {self.place} answers {path} with what is no JSON") from error

    @asynccontextmanager
    async def complete(
        self, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """The bytes of a completion, from when the server has accepted it. Leaving it ends the request.

        Raises what the server refuses with, and RunError where it is lost.
        """
        response = await self._send(body, headers)
        try:
            if response.status_code != httpx.codes.OK:
                await self._read_whole(response)
                raise _refused(self.place, response)
            async with aclosing(self._pieces(response)) as pieces:
                yield pieces
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """End all requests; later ones get a RunError."""
        self.closed = True
        await self._client.aclose()

    async def _send(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> httpx.Response:
        """Ask once more where the connection fails before the first byte of an answer: an idle one may just close."""
        try:
            return await self._try(body, headers)
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            pass
        except httpx.HTTPError as error:
            raise self._lost(error) from error
        try:
            return await self._try(body, headers)
        except httpx.HTTPError as error:
            raise self._lost(error) from error

    async def _try(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> httpx.Response:
        if self.closed:
            raise self._lost(None)
        request = self._client.build_request("POST", self._url("/v1/completions"), json=body, headers=headers)
        return await self._client.send(request, stream=True)

    async def _pieces(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        try:
            async for piece in response.aiter_bytes():
                yield piece
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._lost(error, "in the middle of an answer") from error

    async def _read_whole(self, response: httpx.Response) -> None:
        try:
            await response.aread()
        except httpx.HTTPError as error:
            raise self._lost(error) from error

    def _url(self, path: str) -> httpx.URL:
        return self._base.copy_with(path=self._base.path.rstrip("/") + path)

    def _lost(self, error: Exception | None, when: str = "") -> RunError:
        """What went wrong with the connection."""
        when = when and f" {when}"
        if self.closed:
            return RunError(f"the backend was closed{when}; open another one")
        reason = str(error).strip() or type(error).__name__
        match error:
            case httpx.ConnectError() | httpx.ConnectTimeout():
                return RunError(f"the server at {self.place} cannot be reached: {reason}; does it run, and there?")
            case httpx.TimeoutException():
                return RunError(f"the server at {self.place} said nothing for too long{when} ({reason}); raise timeout")
        return RunError(f"the connection to the server at {self.place} was lost{when}: {reason}; ask again")


def server_address(url: str) -> httpx.URL:
    """The address without `/v1`; raises UserError for what is no URL of a server."""
    try:
        base = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise UserError(f"{url!r} is no URL: {error}") from error
    if base.scheme not in ("http", "https") or not base.host:
        raise UserError(f"{url!r} is no URL of a server; it must be as http://host:8000")
    return base.copy_with(path=base.path.rstrip("/").removesuffix("/v1") or "/", query=None, fragment=None)


def _refused(place: str, response: httpx.Response) -> AparError:
    message = response.headers.get("location") or message_of(response.text)
    return refused(place, response.status_code, message)
