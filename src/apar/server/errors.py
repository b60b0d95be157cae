"""Errors in the form of OpenAI's API: an HTTP status and `{"error": {message, type, param, code}}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apar.errors import AparError, BusyError, ContextError, ModelError, RequestError
from apar.server.protocol.answers import Error, ErrorDetail

INVALID = "invalid_request_error"
SERVER = "server_error"


@dataclass(eq=False)  # not frozen: context managers set an exception's traceback
class ApiError(Exception):
    """A refusal in the form of the API. `param` names the field, `code` is for programs; `headers` go with it.

    Not frozen: whoever handles an exception sets its traceback.
    """

    status: int
    message: str
    type: str = INVALID
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """What the client reads."""
        detail = ErrorDetail(message=self.message, type=self.type, param=self.param, code=self.code)
        return Error(error=detail).to_dict()


FAILED = ApiError(500, "the server has failed at this request; its log says why", SERVER, code="internal_error")


def unknown_model(name: str, served: str) -> ApiError:
    """The request names a model that is not here."""
    message = f"there is no model {name[:200]!r} here; this server has {served!r}"
    return ApiError(404, message, param="model", code="model_not_found")


def unavailable(reason: str, seconds: int = 5) -> ApiError:
    """No answer can be given now; the client may try again after `seconds`."""
    return ApiError(503, reason, SERVER, code="unavailable", headers={"Retry-After": str(seconds)})


def busy(reason: str, seconds: int) -> ApiError:
    """Too many answers are under way."""
    return ApiError(429, reason, "rate_limit_error", code="busy", headers={"Retry-After": str(seconds)})


def too_many(count: int, most: int) -> ApiError:
    """A request asks for more answers than there may ever be under way."""
    message = f"the request asks for {count} answers, and at most {most} may be under way; ask for fewer"
    return ApiError(400, message, param="n", code="invalid_value")


def upstream_error(error: AparError) -> ApiError:
    """What went wrong at the server that decodes for this one, which is no fault of the client."""
    if isinstance(error, BusyError):
        return unavailable("the server behind this one is busy; try again later")
    return ApiError(502, "the server behind this one failed; this one's log says why", SERVER, code="behind_failed")


def timed_out(seconds: float) -> ApiError:
    """The answer took too long and was cancelled."""
    return ApiError(504, f"the answer was not complete within {seconds:g} seconds", SERVER, code="timeout")


def of_apar(error: AparError) -> ApiError:
    """What an engine raises, for a client. What went wrong inside only the server's log says."""
    if isinstance(error, BusyError):
        return busy(str(error), 1)
    if isinstance(error, RequestError):
        code = "context_length_exceeded" if isinstance(error, ContextError) else None
        return ApiError(400, str(error), code=code)
    if isinstance(error, ModelError):
        return ApiError(400, str(error), param="model")
    return ApiError(500, "the engine failed while it answered; the server's log says why", SERVER, code="engine_failed")
