"""What a server answers instead of tokens, as an error of ours: what, where, and what to do."""

from __future__ import annotations

import json
from typing import Any

from apar.errors import AparError, BusyError, ModelError, RequestError, RunError

_LONGEST = 500


def refused(place: str, status: int, message: str) -> AparError:
    """The error of an HTTP status, or of an error in mid-stream that names one; `message` is the server's own."""
    says = f": {message}" if message else ""
    match status:
        case 401 | 403:
            return RequestError(f"the server at {place} refuses the API key ({status}){says}; give one it knows")
        case 404:
            return ModelError(
                f"the server at {place} does not know what was asked for (404){says}; is it a vLLM server, and is "
                "the model still there?"
            )
        case 429 | 503:
            return BusyError(f"the server at {place} is busy ({status}){says}; ask again later")
        case _ if 300 <= status < 400:
            return RequestError(f"the server at {place} is elsewhere ({status}){says}; give that address")
        case _ if 400 <= status < 500:
            return RequestError(f"the server at {place} refuses the request ({status}){says}")
    return RunError(f"the server at {place} failed ({status}){says}; its log says why")


def refused_in_stream(place: str, error: Any) -> AparError:
    """The error that a chunk tells of."""
    status = error.get("code") if isinstance(error, dict) else None
    return refused(place, status if isinstance(status, int) else 500, _message(error))


def message_of(body: str) -> str:
    """The server's own words in the body of an error, in one line."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return _line(body)
    if isinstance(data, dict):
        return _message(data.get("error") or data.get("detail") or data.get("message"))
    return _line(body)


def _message(error: Any) -> str:
    if isinstance(error, dict):
        error = error.get("message", error)
    return "" if error is None else _line(error if isinstance(error, str) else json.dumps(error))


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
