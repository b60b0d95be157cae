"""What a server answers instead of an answer, as an error of ours: what, where, and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apar.client.response import Response
from apar.errors import AparError, BusyError, ContextError, ModelError, RequestError, RunError

KEY_ADVICE = "give one it knows"
"""What to do about a refused API key, where no option is known to give it by."""
_LONGEST = 500
_TOO_LONG = ("context_length_exceeded", "maximum context length", "exceed_context_size")
"""OpenAI's code for a prompt beyond the context, how servers without the code put it, and llama.cpp's."""


def refusal(address: str, response: Response, key_advice: str) -> AparError:
    """The error of a response that is no answer; `key_advice` says what to do about a refused API key."""
    message = response.headers.get("location") or message_of(response.text)
    if response.status == 400 and any(words in response.text for words in _TOO_LONG):
        return ContextError(f"the server at {address} says: {message}")
    return _status_error(address, response.status, message, key_advice, response.headers.get("retry-after"))


def _stream_error(address: str, error: Any) -> AparError:
    """The error that a chunk in mid-stream carries; by its status where it names one."""
    status, message = (error.get("code") if isinstance(error, dict) else None), _message(error)
    if isinstance(status, int):
        return _status_error(address, status, message, KEY_ADVICE)
    return RunError(f"the server at {address} failed in the middle of the answer{_says(message)}; its log says why")


@contextmanager
def reading_chunk(address: str, data: bytes, kind: str) -> Iterator[dict[str, Any]]:
    """The JSON object of a chunk of a stream, `kind` says of what. The error it carries is raised.

    RunError is raised for what is no such chunk, which is also what ValueError, KeyError, TypeError and AttributeError
    within mean.
    """
    try:
        chunk: Any = json.loads(data)
        if chunk.get("error") is not None:
            raise _stream_error(address, chunk["error"])
        yield chunk
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        shown = data[:80].decode(errors="replace")
        raise RunError(f"the server at {address} sent what is no chunk of a {kind}: {shown}") from error


def message_of(body: str) -> str:
    """The server's own words in the body of an error, in one line."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return _line(body)
    if isinstance(data, dict):
        return _message(data.get("error") or data.get("detail") or data.get("message"))
    return _line(body)


def _status_error(
    address: str, status: int, message: str, key_advice: str, retry_after: str | None = None
) -> AparError:
    says = _says(message)
    match status:
        case 401 | 403:
            return RequestError(f"the server at {address} refuses the API key ({status}){says}; {key_advice}")
        case 404:
            return ModelError(
                f"the server at {address} does not know what was asked for (404){says}; is it the right server, and "
                "is the model still there?"
            )
        case 429 | 503:
            when = f"in {retry_after} s" if retry_after and retry_after.isdigit() else "later"
            return BusyError(f"the server at {address} is busy ({status}){says}; ask again {when}")
        case _ if 300 <= status < 400:
            return RequestError(f"the server at {address} is elsewhere ({status}){says}; give that address")
        case _ if 400 <= status < 500:
            return RequestError(f"the server at {address} refuses the request ({status}){says}")
    return RunError(f"the server at {address} failed ({status}){says}; its log says why")


def _message(error: Any) -> str:
    if isinstance(error, dict):
        error = error.get("message", error)
    return "" if error is None else _line(error if isinstance(error, str) else json.dumps(error))


def _says(message: str) -> str:
    return f": {message}" if message else ""


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
