"""OpenAssistant's trees of messages: every answer with the path that leads to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apar.data.forms.turns import MisfitError, Said, Turn, check_text, role_of, text_of


def is_tree(data: Mapping[str, Any]) -> bool:
    """Whether a record is such a tree."""
    prompt = data.get("prompt")
    return isinstance(prompt, Mapping) and "replies" in prompt


def paths(data: Mapping[str, Any]) -> Iterator[Said]:
    """The conversation to each message without a reply; paths that begin alike share their turns.

    What was deleted or failed its review is bad, and so is all that follows it.
    """
    todo: list[tuple[Any, list[Turn]]] = [(data.get("prompt"), [])]
    while todo:
        node, before = todo.pop()
        try:
            turn = _turn(node, bad=bool(before) and before[-1].bad)
        except MisfitError as error:
            yield Said(
                before, f"message {len(before) + 1} of a path and its replies: {error}" if before else str(error)
            )
            continue
        path = [*before, turn]
        replies = node["replies"] if isinstance(node.get("replies"), list) else []
        todo += [(reply, path) for reply in reversed(replies)]
        if not replies:
            yield Said(path)


def _turn(node: Any, *, bad: bool) -> Turn:
    if not isinstance(node, Mapping):
        raise MisfitError("a message is not an object")
    text = text_of(node, "text")
    check_text(text)
    extra = {"lang": node["lang"]} if isinstance(node.get("lang"), str) else {}
    bad = bad or node.get("deleted") is True or node.get("review_result") is False
    name = node.get("message_id")
    return Turn(role_of(node, "role"), text, extra, bad, None if name is None else str(name))
