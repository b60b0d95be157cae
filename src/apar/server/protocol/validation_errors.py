"""What is wrong with a body that is no request, as an error of the API."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from apar.server.errors import ApiError

_LONGEST = 300
_FORM = re.compile(r"str|bool|literal\[.*\]|constrained-str|function-.*|list\[.*|<.*>|\[key\]")
"""What pydantic puts into a place to say which of several forms it tried."""


def validation_error(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """The first of pydantic's errors, with the place of the field; and how many more there are."""
    first = _most_precise(errors)
    place = [str(part) for part in first["loc"] if part != "body" and not _FORM.fullmatch(str(part))]
    field = ".".join([*place, *filter(None, [first.get("ctx", {}).get("field")])])
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    match first["type"]:
        case "model_attributes_type" if not place and isinstance(first.get("input"), bytes):
            return ApiError(
                415, "the body must be JSON: send it with Content-Type: application/json", code="media_type"
            )
        case "model_attributes_type" if not place:
            return ApiError(400, "the body is no JSON object", code="invalid_value")
        case "json_invalid":
            reason = first.get("ctx", {}).get("error", "")
            return ApiError(400, f"the body is not JSON: {reason} at character {place[-1] if place else 0}")
        case "unknown":
            return ApiError(400, _cut(first["msg"]), param=field, code="unknown_field")
        case "unsupported":
            return ApiError(400, _cut(first["msg"]), param=field, code="unsupported_field")
        case "unfit":
            return ApiError(400, _cut(first["msg"]), param=field, code="invalid_value")
        case "missing" if not place:
            return ApiError(400, "the request has no body; send a JSON object", code="missing_field")
        case "missing":
            return ApiError(400, f"{field} is missing", param=field, code="missing_field")
    message = f"{field or 'the body'}: {_cut(first['msg'])}{more}"
    return ApiError(400, message, param=field or None, code="invalid_value")


def _most_precise(errors: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Of the errors of the first wrong field the one that says most: a field of several forms has one for each."""
    field = errors[0]["loc"][:2]
    of_field = [error for error in errors if error["loc"][:2] == field]
    return max(of_field, key=lambda error: (len(error["loc"]), not error["type"].endswith("_type")))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
