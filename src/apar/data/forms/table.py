"""Which form a record has, told by its keys, and what was said in it.

| format                 | a record has                                                                        |
|------------------------|-------------------------------------------------------------------------------------|
| `sharegpt`             | `conversations`: `[{"from": "human" or "gpt", "value": text}, …]`                   |
| `messages`             | `messages`: `[{"role": "user" or "assistant", "content": text}, …]`                 |
| `conversation`         | `conversation`, such a list (LMSYS-Chat-1M, WildChat)                               |
| `chatgpt`              | `mapping`: the messages of a conversation of ChatGPT's export                       |
| `oasst`                | `prompt`: OpenAssistant's tree of messages                                          |
| `ultrachat`            | `data`: `[question, answer, …]`                                                     |
| `alpaca`               | `instruction`, `input`, `output`                                                    |
| `prompt_response` etc. | a question (`QUESTIONS`) and an answer (`ANSWERS`) as texts or lists of messages    |
| `chosen`               | `chosen`: the whole conversation, its last answer the preferred one                 |

The lists take the keys `role` and `content` or `from` and `value`, whatever their own name. Where `system` or
`system_prompt` stands beside them or beside a question, it is the first turn. A question may have `context` and
`history` (pairs, or texts in turn; one of odd length opens with a system message).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from apar.data.forms import chatgpt, oasst
from apar.data.forms.conversations import conversation, texts_in_turn
from apar.data.forms.pairs import ANSWERS, QUESTIONS, answered, asked, chosen
from apar.data.forms.turns import MisfitError, Said, Turn, check_text

KNOWN = (
    "`conversations` (ShareGPT), `messages`, `conversation`, `instruction` and `output` (Alpaca), `prompt` and "
    "`response` or other names of a question and an answer, or `--map`"
)
"""What records may have, for messages."""


class Form(NamedTuple):
    """The keys that tell a form, what else must hold, and the reader of the conversations in a record."""

    keys: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], Iterator[Said]]
    fits: Callable[[Mapping[str, Any]], bool] = lambda data: True


def _in_turn(data: Mapping[str, Any]) -> bool:
    texts = data["data"]
    return isinstance(texts, list) and bool(texts) and all(isinstance(text, str) for text in texts)


def _pair(question: str, answer: str) -> tuple[str, Form]:
    name = "alpaca" if (question, answer) == ("instruction", "output") else f"{question}_{answer}"
    return name, Form((question, answer), partial(answered, question=question, answer=answer))


_FORMS: dict[str, Form] = {
    "sharegpt": Form(("conversations",), partial(conversation, key="conversations")),
    "messages": Form(("messages",), partial(conversation, key="messages")),
    "conversation": Form(("conversation",), partial(conversation, key="conversation")),
    "chatgpt": Form(("mapping",), chatgpt.branch, chatgpt.is_export),
    "oasst": Form(("prompt",), oasst.paths, oasst.is_tree),
    "ultrachat": Form(("data",), texts_in_turn, _in_turn),
    **dict(_pair(question, answer) for question in QUESTIONS for answer in ANSWERS),
    "chosen": Form(("chosen",), chosen),
}


def format_of(data: Mapping[str, Any]) -> str | None:
    """The name of the form whose keys a record has; a key that is null tells a form only where no other does."""
    held = {key for key, value in data.items() if value is not None}
    return _first(data, held) or _first(data, set(data))


def _first(data: Mapping[str, Any], keys: set[str]) -> str | None:
    return next((name for name, form in _FORMS.items() if keys.issuperset(form.keys) and form.fits(data)), None)


def said_in(data: Mapping[str, Any], name: str) -> list[Said]:
    """The conversations of a record of a form. Raises MisfitError where it is not of that form."""
    return list(_FORMS[name].read(data))


def turns_asked(data: Mapping[str, Any]) -> list[Turn]:
    """The turns of a record of any form, whether or not it has an answer. Raises MisfitError where it is of none."""
    name = _first(data, {key for key, value in data.items() if value is not None})
    question = next((key for key in QUESTIONS if key in data), None)
    if name is not None:
        said = said_in(data, name)[0]
    elif question is not None:
        said = asked(data, question)
    else:
        raise MisfitError(f"no known keys, but {listed(data)}")
    if said.problem is not None:
        raise MisfitError(said.problem)
    check_text(*(turn.content for turn in said.turns))
    return said.turns


def listed(data: Mapping[str, Any]) -> str:
    """The keys of a record, for messages."""
    keys = [f"`{key}`"[:30].encode("utf-8", "replace").decode() for key in data]
    return ", ".join(keys[:6]) + (", …" if len(keys) > 6 else "") if keys else "an empty object"
