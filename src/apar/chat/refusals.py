"""What a server answers instead of an answer, as an error of ours: what, where, and what to do."""

from __future__ import annotations

import json
from typing import Any

import httpx

from apar.backends.vllm_server import refusals as remote
from apar.chat.responses import Response
from apar.errors import AparError, BusyError, ContextError, ModelError, RequestError, RunError

_TOO_LONG = "context_length_exceeded"
_TOO_LONG_WORDS = "maximum context length"
"""How servers that have no code for it say it."""


def refused(place: str, response: Response) -> AparError:
    """The error of a response that is no answer."""
    message = response.headers.get("location") or remote.message_of(response.text)
    if response.status == httpx.codes.BAD_REQUEST and _is_too_long(response.text):
        return ContextError(f"the server at {place} says: {message}")
    return _error(place, response.status, message, response.headers.get("retry-after"))


def refused_in_stream(place: str, error: Any) -> AparError:
    """The error of a chunk in mid-stream."""
    return RunError(f"the server at {place} failed in the middle of the answer{_says(remote.message_of(_body(error)))}")


def lost(place: str, error: Exception, answering: bool) -> RunError:
    """The error of a connection; `answering` says that a part of the answer had come."""
    reason = str(error).strip() or type(error).__name__
    when = " in the middle of the answer" if answering else ""
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return RunError(f"the server at {place} cannot be reached: {reason}; does it run, and there?")
        case httpx.TimeoutException():
            return RunError(f"the server at {place} said nothing for too long{when}; raise --timeout")
    return RunError(f"the connection to the server at {place} was lost{when}: {reason}")


def _error(place: str, status: int, message: str, retry_after: str | None) -> AparError:
    says = _says(message)
    match status:
        case 401 | 403:
            return RequestError(f"the server at {place} refuses the API key ({status}){says}; give one by --api-key")
        case 404:
            return ModelError(f"the server at {place} has no such model or no chat at this address (404){says}")
        case 429 | 503:
            when = f"in {retry_after} s" if retry_after and retry_after.isdigit() else "later"
            return BusyError(f"the server at {place} takes no more now ({status}){says}; ask again {when}")
    return remote.refused(place, status, message)


def _says(message: str) -> str:
    return f": {message}" if message else ""


def _is_too_long(body: str) -> bool:
    return _TOO_LONG in body or _TOO_LONG_WORDS in body


def _body(error: Any) -> str:
    return json.dumps({"error": error})
