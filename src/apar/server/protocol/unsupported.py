"""Fields of OpenAI's API that ask for what this server does not do: refused with the reason.

A client may send a field with the value that means the same as leaving it out; it is then left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

RefusalOf = Callable[[str, Any, Mapping[str, Any]], str | None]
"""Of a field's name, its value, and all fields beside it: why it is refused."""

_FORKED_TEXT = "an answer is free text here, whose parts are decoded in parallel"

_REASONS = {
    "tools": f"tools are not supported: {_FORKED_TEXT}; leave tools out",
    "functions": f"functions are not supported: {_FORKED_TEXT}; leave functions out",
    "tool_choice": "tool_choice is of tools, which are not supported",
    "function_call": "function_call is of functions, which are not supported",
    "parallel_tool_calls": "parallel_tool_calls is of tools, which are not supported",
    "response_format": f"only the response_format text is supported: {_FORKED_TEXT}",
    "modalities": "only the modality text is supported",
    "audio": "audio is not supported",
    "prediction": "predicted outputs are not supported",
    "web_search_options": "web search is not supported",
    "reasoning_effort": "the model has no levels of reasoning",
    "verbosity": "the model has no levels of verbosity; ask for a short or a long answer in the prompt",
    "store": "answers are not stored",
    "best_of": "best_of other than n is not supported; ask for n answers",
    "echo": "echo is not supported; the prompt is known to who asks",
    "suffix": "suffix is not supported: the model only goes on from a prompt",
    "ignore_eos": "ignore_eos is not supported: a thread ends where the model ends it",
    "min_tokens": "min_tokens is not supported: a thread ends where the model ends it",
    "guided_json": f"guided decoding is not supported: {_FORKED_TEXT}",
    "structured_outputs": f"structured outputs are not supported: {_FORKED_TEXT}",
}

_NEUTRAL: dict[str, Callable[[Any, Mapping[str, Any]], bool]] = {
    "tools": lambda value, request: value == [],
    "functions": lambda value, request: value == [],
    "tool_choice": lambda value, request: value in ("none", "auto"),
    "function_call": lambda value, request: value in ("none", "auto"),
    "parallel_tool_calls": lambda value, request: isinstance(value, bool),
    "response_format": lambda value, request: value == {"type": "text"},
    "modalities": lambda value, request: value == ["text"],
    "reasoning_effort": lambda value, request: value == "none",
    "top_logprobs": lambda value, request: value == 0 and not isinstance(value, bool),
    "store": lambda value, request: value is False,
    "best_of": lambda value, request: value == request.get("n", 1) and not isinstance(value, bool),
    "echo": lambda value, request: value is False,
    "suffix": lambda value, request: value == "",
    "ignore_eos": lambda value, request: value is False,
    "min_tokens": lambda value, request: value == 0 and not isinstance(value, bool),
}


_HARMLESS = {"prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "metadata"}
"""Fields that cannot change an answer: they are of OpenAI's caches, bills, records and abuse reports."""


def refusal_of(name: str, value: Any, request: Mapping[str, Any]) -> str | None:
    """Why a field that the request's form does not have is refused: empty where it is simply unknown.

    None where it asks for nothing.
    """
    if name in _HARMLESS:
        return None
    reason = _REASONS.get(name, "")
    neutral = _NEUTRAL.get(name)
    asks_nothing = (reason and value is None) or (neutral is not None and neutral(value, request))
    return None if asks_nothing else reason


_TOOLS = "tools are not supported"
_REASONS_OF_TURNS = {
    "tool_calls": f"{_TOOLS}, nor messages with calls of them",
    "function_call": f"{_TOOLS}, nor messages with calls of them",
    "tool_call_id": f"{_TOOLS}, nor messages with their results",
    "name": "names are not supported, for chat templates have no place for them; put them into the text",
    "refusal": "refusals are not supported; put what was said into content",
    "annotations": "annotations are not supported",
    "audio": "audio is not supported",
}


_OF_ANSWERS = {"id", "type", "status", "reasoning", "reasoning_content", "cache_control"}
"""Keys of messages as servers return them, of which chat templates take nothing."""


def refusal_in_turn(name: str, value: Any, turn: Mapping[str, Any]) -> str | None:
    """The same of a field of a message: an answer that a client was given may be sent back as it came."""
    if name in _OF_ANSWERS:
        return None
    return None if value in (None, [], "") else _REASONS_OF_TURNS.get(name, "")


def refusal_in_part(name: str, value: Any, part: Mapping[str, Any]) -> str | None:
    """The same of a field of a message's part: `cache_control` is of Anthropic's cache."""
    return None if name == "cache_control" or value is None else ""


def refusal_in_stream_options(name: str, value: Any, options: Mapping[str, Any]) -> str | None:
    """The same of an option of streams: `include_obfuscation` pads chunks against who watches the network."""
    return None if name == "include_obfuscation" or value is None else ""
