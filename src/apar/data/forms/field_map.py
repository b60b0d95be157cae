"""Records whose fields have names of their own, read by the names that the known forms have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apar.data.forms.pairs import ANSWERS, QUESTIONS
from apar.data.forms.table import format_of
from apar.data.forms.turns import REASONING

FieldMap = Mapping[str, str]
"""For a known name, such as `prompt`, the field that holds it; `a.b` is the field `b` of the object `a`."""


NAMES = (
    *("conversations", "messages", "conversation", "data", *QUESTIONS, *ANSWERS),
    *("system", "system_prompt", "context", "history", REASONING, "label", "weight"),
    *("id", "source", "license", "model", "lang", "category"),
)
"""The names that can be given to fields."""


def mapped(data: Mapping[str, Any], fields: FieldMap) -> Mapping[str, Any]:
    """A record under known names. Where the mapped ones alone tell a form, the record's own do not count for it."""
    if not fields:
        return data
    found = {name: _value(data, field) for name, field in fields.items()}
    found = {name: value for name, value in found.items() if value is not None}
    if format_of(found) is None:
        return {**data, **found}
    return {
        **{key: value for key, value in data.items() if format_of({**found, key: value}) == format_of(found)},
        **found,
    }


def _value(data: Any, field: str) -> Any:
    if isinstance(data, Mapping) and field not in data and "." in field:
        name, _, rest = field.partition(".")
        return _value(data.get(name), rest)
    return data.get(field) if isinstance(data, Mapping) else None
