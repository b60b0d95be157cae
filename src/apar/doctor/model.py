"""A model: can it be found and read, and does it know the control tokens."""

from __future__ import annotations

import importlib.util
from typing import Any

from apar.doctor.check import Check, Finding, examine
from apar.doctor.child import ask

_NEEDED_BY = ("model",)


def model_checks(model: str) -> list[Check]:
    """Whether the model is there; and if so its tokens, its template and what the local engine says of it."""
    facts: dict[str, Any] = {}

    def found() -> Finding:
        if importlib.util.find_spec("transformers") is None:
            return Finding("missing", "cannot be read without Transformers", "pip install 'apar-llm[local]'")
        facts.update(ask("model", model))
        return _found(facts)

    checks = [examine("model", _NEEDED_BY, found, "give a folder with a model, a hub id, or `demo`")]
    if not facts:
        return checks
    return [
        *checks,
        examine("control tokens", _NEEDED_BY, lambda: _tokens(facts)),
        examine("chat template", (), lambda: _template(facts)),
        examine("local engine", ("local",), lambda: _engine(facts)),
    ]


def _found(facts: dict[str, Any]) -> Finding:
    context = f"context {facts['context']:,} tokens" if facts["context"] else "no context given"
    about = f"{facts['type']}, {context}"
    if facts["weights"] is None:
        return Finding("ok", f"{about}, from the hub")
    if facts["weights"] == 0:
        return Finding("missing", f"{about}, no weights", "save or download the model again, with its weights")
    return Finding("ok", f"{about}, weights {facts['weights'] / (1 << 20):,.0f} MiB")


def _tokens(facts: dict[str, Any]) -> Finding:
    if facts["lacks"]:
        advice = "train it with `apar train`; it can only be decoded sequentially"
        return Finding("missing", f"the tokenizer lacks {' and '.join(facts['lacks'])}", advice)
    if not facts["eos"]:
        return Finding("missing", "no end-of-sequence token", "set eos_token in tokenizer_config.json")
    return Finding("ok", "[Fork] and [Child], and an end-of-sequence token")


def _template(facts: dict[str, Any]) -> Finding:
    if not facts["template"]:
        return Finding("ok", "takes a question")
    what, _, advice = facts["template"].partition("; ")
    return Finding("missing" if advice else "broken", what, advice or "give prompts as token ids")


def _engine(facts: dict[str, Any]) -> Finding:
    if facts["unsupported"]:
        return Finding("broken", facts["unsupported"], "vLLM may take it: --backend vllm")
    return Finding("ok", "can decode it in parallel threads")
