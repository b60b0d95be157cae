"""What schemathesis is told of our API that no schema can say: hooks, which it loads by SCHEMATHESIS_HOOKS.

Bodies that are wrong stay wrong in the way they were made: only what is right is changed.
"""

from __future__ import annotations

import re
from typing import Any

import schemathesis

MODEL = "tiny"
TOKENS = 2000  # it has some more, the control tokens among them
MOST_TOKENS = 4
MOST_ANSWERS = 2
MOST_TURNS = 8


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Ask the model that is here, for little, and for what fits together."""
    if not isinstance(case.body, dict):
        return
    body = case.body
    if isinstance(body.get("model"), str) and len(body["model"]) <= 1000:
        body["model"] = MODEL
    _cheapen(body, chat="prompt" not in body)
    _fit(body)


def _cheapen(body: dict[str, Any], chat: bool) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        if _is_integer(body.get(name)) and MOST_TOKENS < body[name] <= 1_000_000:
            body[name] = MOST_TOKENS
    if chat and body.get("max_tokens") is None and body.get("max_completion_tokens") is None:
        body["max_tokens"] = MOST_TOKENS  # else as many as the context has
    if _is_integer(body.get("n")) and MOST_ANSWERS < body["n"] <= 128:
        body["n"] = MOST_ANSWERS
    if isinstance(prompts := body.get("prompt"), list) and len(prompts) <= 128:
        body["prompt"] = [_known(prompt) for prompt in prompts[:MOST_ANSWERS]]
    if isinstance(biases := body.get("logit_bias"), dict):
        body["logit_bias"] = {_known_key(token): bias for token, bias in biases.items()}
    if isinstance(turns := body.get("messages"), list):
        body["messages"] = turns[:MOST_TURNS]  # else there may be more than the context has


def _fit(body: dict[str, Any]) -> None:
    """Fields that are right each by itself and ask together for what there is not."""
    if _is_integer(body.get("max_tokens")) and _is_integer(body.get("max_completion_tokens")):
        body["max_tokens"] = body["max_completion_tokens"]
    if body.get("logprobs") in (None, False) and _is_integer(body.get("top_logprobs")):
        body["logprobs"] = True
    apar = body["apar"] if isinstance(body.get("apar"), dict) else {}
    if _is_integer(apar.get("max_items")) and apar.get("fork") in (None, True, False, "model", "off", "auto"):
        apar["fork"] = "rules"  # only they have lists
    threads = apar.get("stream") == "threads"
    if (threads or isinstance(body.get("stream_options"), dict)) and body.get("stream") in (None, False):
        body["stream"] = True


def _known(prompt: Any) -> Any:
    """A prompt of tokens that the model has."""
    if isinstance(prompt, list):
        return [_known(token) for token in prompt]
    return prompt % TOKENS if _is_integer(prompt) and 0 <= prompt < 2**31 else prompt


def _known_key(token: str) -> str:
    return str(int(token) % TOKENS) if re.fullmatch("[0-9]{1,9}", token) else token


def _is_integer(value: object) -> bool:
    """As JSON means it: 3.0 is one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
