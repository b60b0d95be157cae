"""What has been said in a chat: a system message, and turns of plain text without control tokens.

A conversation never changes: a turn that fails leaves nothing behind.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apar.data.files import atomic_write
from apar.errors import UserError
from apar.tokens import Message

_SYSTEM, _USER, _ASSISTANT = "system", "user", "assistant"


@dataclass(frozen=True, slots=True)
class Conversation:
    """`turns` are the messages after the system message, as OpenAI's API has them."""

    system: str | None = None
    turns: tuple[Message, ...] = ()

    @property
    def messages(self) -> list[Message]:
        """All messages, the system's first."""
        return [*([] if self.system is None else [_message(_SYSTEM, self.system)]), *self.turns]

    @property
    def questions(self) -> int:
        """How many questions were asked."""
        return sum(turn["role"] == _USER for turn in self.turns)

    def asking(self, question: str) -> list[Message]:
        """The messages that ask a question after all this; raises UserError for what is no question."""
        if not question.strip():
            raise UserError("the question is empty")
        check_text("the question", question)
        return [*self.messages, _message(_USER, question)]

    def with_turn(self, question: str, answer: str) -> Conversation:
        """The conversation one turn later."""
        return replace(self, turns=(*self.turns, _message(_USER, question), _message(_ASSISTANT, answer)))

    def without_last(self) -> tuple[Conversation, str]:
        """The conversation before its last question, and that question; raises UserError where there is none."""
        asked = [number for number, turn in enumerate(self.turns) if turn["role"] == _USER]
        if not asked:
            raise UserError("nothing was asked yet")
        return replace(self, turns=self.turns[: asked[-1]]), self.turns[asked[-1]]["content"]

    def with_system(self, system: str | None) -> Conversation:
        """The conversation with another system message, or none."""
        if system is not None:
            check_text("the system message", system)
        return replace(self, system=system)

    def write(self, path: Path) -> None:
        """Write the messages as a line of JSON that `read` and `apar extract` read.

        Raises UserError where nothing was said or the folder cannot be written.
        """
        if not self.turns:
            raise UserError("nothing was said yet: there is nothing to save")
        with atomic_write(path) as file:
            file.write(json.dumps({"messages": self.messages}, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Conversation:
        """The chat of a file with OpenAI's messages, `{"messages": […]}` or the list alone.

        Raises UserError where it cannot be read or is no chat, and says why.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise UserError(f"cannot read the chat {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is no chat: it is not UTF-8 text") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is no chat: it is not one JSON value ({error})") from error
        listed = data.get("messages") if isinstance(data, dict) else data
        if not isinstance(listed, list) or not listed:
            raise UserError(f'{path} is no chat: it must hold {{"messages": [{{"role": …, "content": …}}, …]}}')
        messages = [_checked(message, number, path) for number, message in enumerate(listed)]
        if messages[0]["role"] == _SYSTEM:
            return cls(messages[0]["content"], tuple(messages[1:]))
        return cls(None, tuple(messages))

    def unanswered(self) -> tuple[Conversation, str | None]:
        """The conversation without a question at its end that has no answer, and that question."""
        if self.turns and self.turns[-1]["role"] == _USER:
            return self.without_last()
        return self, None


def check_text(what: str, text: str) -> None:
    """Raise UserError for bytes that were no text: they cannot be sent, encoded or saved."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{what} is not UTF-8 text (character {error.start + 1})") from error


def _checked(message: Any, number: int, path: Path) -> Message:
    role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
    if role not in (_SYSTEM, _USER, _ASSISTANT) or not isinstance(content, str):
        raise UserError(
            f"{path} is no chat: message {number + 1} must have a role, which is system, user or assistant, and a "
            "content that is text"
        )
    check_text(f"{path}, message {number + 1}", content)
    return _message(role, content)


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
