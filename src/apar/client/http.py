"""Asking a server over HTTP, with asyncio or without: where it is, and the bytes of its answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, Self

import httpx

from apar.client.errors import KEY_ADVICE, refusal
from apar.client.response import Response
from apar.errors import AparError, RunError, UserError

_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 3.0
"""How long an idle connection is kept; vLLM's servers close theirs after five."""


class Endpoint:
    """A server at `url`, with or without its `/v1`, and how it is asked; `address` is its URL for messages.

    The server may say nothing for `timeout` seconds; `timeout_option` is what a user raises then, `key_advice`
    what one does where the key is refused. Raises UserError for what is no URL of a server, and for a key that no
    request can carry.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        timeout: float = 30.0,
        timeout_option: str = "timeout",
        key_advice: str = KEY_ADVICE,
    ) -> None:
        base = _base(url)
        self.address = str(base.copy_with(userinfo=b"")).rstrip("/")
        self.options: dict[str, Any] = {
            "base_url": base,
            "verify": httpx.create_ssl_context(),
            "headers": _headers(api_key),
            "timeout": httpx.Timeout(timeout, connect=min(timeout, _CONNECT_SECONDS), pool=None),
        }
        self._timeout_option, self._key_advice = timeout_option, key_advice

    def refusal(self, response: Response) -> AparError:
        """The error of a response that is no answer."""
        return refusal(self.address, response, self._key_advice)

    def connection_error(self, error: Exception, when: str = "") -> RunError:
        """The error of a connection that failed; `when` is empty or as ` in the middle of an answer`."""
        reason = str(error).strip() or type(error).__name__
        match error:
            case httpx.ConnectError() | httpx.ConnectTimeout():
                return RunError(f"the server at {self.address} cannot be reached: {reason}; does it run, and there?")
            case httpx.TimeoutException():
                return RunError(
                    f"the server at {self.address} said nothing for too long{when}; raise {self._timeout_option}"
                )
        return RunError(f"the connection to the server at {self.address} was lost{when}: {reason}; ask again")


class HttpClient:
    """Asks a server, and blocks until it answers. Use it as a context manager."""

    def __init__(self, endpoint: Endpoint, follow_redirects: bool = False) -> None:
        self.endpoint, self.address = endpoint, endpoint.address
        self._client = httpx.Client(follow_redirects=follow_redirects, **endpoint.options)

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Response:
        """What a path answers, with a body to a POST. Raises RunError where the connection fails."""
        with self.stream(path, body) as response:
            return Response.read(response)

    @contextmanager
    def stream(self, path: str, body: Mapping[str, Any] | None = None) -> Iterator[httpx.Response]:
        """A response that is open; leaving it ends the request. Raises RunError where the connection fails."""
        try:
            with self._client.stream("GET" if body is None else "POST", path, json=body) as response:
                yield response
        except httpx.HTTPError as error:
            raise self.endpoint.connection_error(error) from error

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncHttpClient:
    """Streams any number of a server's answers at once."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.address, self.closed = endpoint.address, False
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=_IDLE_SECONDS)
        self._endpoint, self._client = endpoint, httpx.AsyncClient(limits=limits, **endpoint.options)

    @asynccontextmanager
    async def stream(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> AsyncGenerator[AsyncIterator[bytes], None]:
        """The bytes of an answer, from when the server has accepted the request. Leaving it ends the request.

        Raises what the server refuses with, and RunError where the connection fails.
        """
        response = await self._send(path, body, headers)
        try:
            if response.status_code != httpx.codes.OK:
                raise self._endpoint.refusal(await self._whole(response))
            async with aclosing(self._pieces(response)) as pieces:
                yield pieces
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """End all requests; later ones get a RunError."""
        self.closed = True
        await self._client.aclose()

    async def _send(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> httpx.Response:
        """Ask once more where the connection fails before the first byte of an answer: an idle one may just close."""
        failure: httpx.HTTPError | None = None
        for _ in range(2):
            if self.closed:
                break
            request = self._client.build_request("POST", path, json=body, headers=headers)
            try:
                return await self._client.send(request, stream=True)
            except httpx.HTTPError as error:
                failure = error
            if not isinstance(failure, httpx.NetworkError | httpx.RemoteProtocolError):
                break
        raise self._error(failure) from failure

    async def _whole(self, response: httpx.Response) -> Response:
        try:
            return await Response.aread(response)
        except httpx.HTTPError as error:
            raise self._error(error) from error

    async def _pieces(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        try:
            async for piece in response.aiter_bytes():
                yield piece
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._error(error, " in the middle of an answer") from error

    def _error(self, error: Exception | None, when: str = "") -> RunError:
        if self.closed or error is None:
            return RunError(f"the backend was closed{when}; open another one")
        return self._endpoint.connection_error(error, when)


def _base(url: str) -> httpx.URL:
    """The URL without `/v1`."""
    try:
        base = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise UserError(f"{url!r} is no URL: {error}; give its address as http://host:8000") from error
    if base.scheme not in ("http", "https") or not base.host:
        raise UserError(f"{url!r} is no URL of a server; give its address as http://host:8000")
    return base.copy_with(path=base.path.rstrip("/").removesuffix("/v1") or "/", query=None, fragment=None)


def _headers(api_key: str | None) -> dict[str, str]:
    if not api_key:
        return {}
    if not api_key.isascii() or not api_key.isprintable():
        raise UserError("the API key has characters that no request can carry; give it in ASCII")
    return {"Authorization": f"Bearer {api_key}"}
