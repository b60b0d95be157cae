"""ChatGPT's export (`conversations.json`): the branch of each conversation that its user saw last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apar.data.forms.turns import REASONING, MisfitError, Said, Turn, no_weight, readable, role_of

_THOUGHTS = ("thoughts", "reasoning_recap")
_TEXTS = ("text", "multimodal_text")


def is_export(data: Mapping[str, Any]) -> bool:
    """Whether a record is a conversation of such an export."""
    nodes = data.get("mapping")
    return isinstance(nodes, Mapping) and all(
        isinstance(node, Mapping) and "children" in node for node in nodes.values()
    )


def branch(data: Mapping[str, Any]) -> Iterator[Said]:
    """The messages from the first to the current one. What a model thought goes with the answer after it."""
    yield readable(_with_thoughts(_messages(data)), lambda pair: _turn(*pair))


def _messages(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The messages on the way to the current one that were shown and say something."""
    nodes: Mapping[str, Any] = data["mapping"]
    current = str(data.get("current_node"))
    at = current if current in nodes else _last(nodes)
    path: dict[str, Mapping[str, Any]] = {}
    while at in nodes and at not in path:
        path[at] = _object(nodes[at], "message")
        at = str(nodes[at].get("parent"))
    return [message for message in reversed(path.values()) if _is_shown(message)]


def _last(nodes: Mapping[str, Any]) -> str:
    """The end of the newest branch, where none is said to be the current one."""
    at = next((name for name, node in nodes.items() if node.get("parent") not in nodes), "")
    seen = set[str]()
    while at in nodes and at not in seen and nodes[at]["children"]:
        seen.add(at)
        at = str(nodes[at]["children"][-1])
    return at


def _object(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under a key; an empty one where there is none."""
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def _is_shown(message: Mapping[str, Any]) -> bool:
    hidden = _object(message, "metadata").get("is_visually_hidden_from_conversation")
    content = _object(message, "content")
    empty = content.get("content_type") == "text" and not any(content.get("parts") or ())
    return bool(message) and not hidden and not empty and content.get("content_type") != "user_editable_context"


def _with_thoughts(messages: list[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Each message that is a turn, and what was thought before it."""
    thoughts: list[str] = []
    for message in messages:
        content = _object(message, "content")
        if content.get("content_type") in _THOUGHTS:
            thoughts += [
                str(each.get("content") or "") for each in content.get("thoughts") or () if isinstance(each, Mapping)
            ]
            continue
        yield message, "\n\n".join(filter(None, thoughts))
        thoughts = []


def _turn(message: Mapping[str, Any], thought: str) -> Turn:
    role = role_of(_object(message, "author"), "role")
    content = _object(message, "content")
    if message.get("recipient") not in (None, "all"):
        raise MisfitError("a turn calls a tool")
    parts = content.get("parts") or ()
    if content.get("content_type") not in _TEXTS or not all(isinstance(part, str) for part in parts):
        raise MisfitError(f"a turn is no text but {content.get('content_type')!r}")
    model = _object(message, "metadata").get("model_slug")
    extra = {"model": model} if isinstance(model, str) else {}
    extra |= {REASONING: thought} if thought else {}
    return Turn(role, "\n".join(parts), extra if role == "assistant" else {}, no_weight(message))
