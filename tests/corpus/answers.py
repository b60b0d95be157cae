"""Chats for the tests of what is done with a whole data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apar.data.formats import Chat
from apar.data.raw import SourceLocation


def chat(response: str, question: str = "What?", **extra: Any) -> Chat:
    """An answer to a question."""
    messages = ({"role": "user", "content": question},)
    return Chat("1", "s", messages, response, "jsonl", SourceLocation(Path("chats.jsonl"), 1), extra)  # type: ignore[arg-type]
