"""What an engine tells about an answer while it is decoded, and the trace file made of it.

An answer is one stream of events, whatever engine makes it: assembly, the live view, the timeline, the
statistics and the server read nothing else.

`step` is logical: it counts from 0 (the pass that reads the prompt and gives the first token), and in every
step each live thread samples one token. It does not depend on load: an engine that is short of rows or blocks
needs several forward passes for one step, and tells the same events. The answer's critical path is its number
of steps.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO, get_args

from apar.errors import UserError
from apar.tree import ROOT, Node, ParagraphTree, ThreadPath

FinishReason = Literal["eos", "stop", "length", "cancelled", "repeated"]
"""Why a thread ended: it sampled end-of-sequence; a stop string was hit while it was next in reading order; the
budget or the context was spent; it comes after a stop string in reading order (cancelled); or it would have said a
lead again, and that was to end it (repeated). Of a request that is cancelled as a whole nothing more is told."""


@dataclass(frozen=True, slots=True)
class Started:
    """A thread exists. The root starts at step 0; a child at the step after its parent sampled `[Fork]`."""

    thread: ThreadPath
    parent: ThreadPath | None
    step: int


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """The natural logarithm of a token's probability, and the likeliest tokens with theirs, likeliest first."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """A thread sampled visible tokens at `step`; `text` may be empty where a character is not complete.

    `[Fork]` and end-of-sequence are no deltas: `Forked` and `Finished` tell of them. `logprobs` are of the tokens,
    one for each, if the request asks for them. Where repeated leads end a thread, a delta may come after events of
    other threads' later steps, never of its own.
    """

    thread: ThreadPath
    step: int
    token_ids: tuple[int, ...]
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Forked:
    """`thread` sampled `[Fork]` at `step`; `child` will give the detail, `thread` goes on with the next."""

    thread: ThreadPath
    child: ThreadPath
    step: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A thread ended at `step`, and the KV that is its own is free from then on.

    An end-of-sequence takes a step of its own, as does the `[Fork]` behind a repeated lead; `stop`, `length` and
    `cancelled` come with the last delta's step. For the thread so many draft tokens were verified (`drafted`), of
    which some were right (`accepted`); they are no part of what the answer is. Where rules fork, `not_forked` counts
    by reason the leads behind which the thread did not.
    """

    thread: ThreadPath
    step: int
    reason: FinishReason
    drafted: int = field(default=0, compare=False)
    accepted: int = field(default=0, compare=False)
    not_forked: Mapping[str, int] = field(default_factory=dict, compare=False)


Event = Started | Delta | Forked | Finished
_KINDS: dict[str, type[Event]] = {kind.__name__.lower(): kind for kind in (Started, Delta, Forked, Finished)}


MAX_STEPS = 10_000_000
"""More than any answer has: a trace that names a later step is broken."""


_OPTIONAL = ("logprobs", "drafted", "accepted", "not_forked")
"""Fields that are left out where there is nothing in them."""


def to_json(event: Event) -> str:
    """One event as one line of JSON: `{"event": "delta", "thread": [0, 1], "step": 7, …}`."""
    data = {"event": type(event).__name__.lower(), **asdict(event)}
    for key in _OPTIONAL:
        if not data.get(key, True):
            del data[key]
    return json.dumps(data, ensure_ascii=False)


def from_json(line: str) -> Event:
    """The inverse of `to_json`; raises ValueError, KeyError or TypeError where the form is wrong."""
    data: dict[str, Any] = json.loads(line)
    kind: Any = _KINDS[data.pop("event")]
    wrong = [key for key, value in data.items() if not _FORMS[key](value)]
    if wrong:
        raise ValueError(f"{wrong[0]} is {data[wrong[0]]!r}")
    if "logprobs" in data:
        data["logprobs"] = [_logprob_from_json(item) for item in data["logprobs"]]
    event: Event = kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})
    return event


def _logprob_from_json(item: dict[str, Any]) -> TokenLogprob:
    return TokenLogprob(item["token_id"], item["logprob"], tuple((token, value) for token, value in item["top"]))


def _are_logprobs(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict)
        and _is_token_with_logprob([item.get("token_id"), item.get("logprob")])
        and isinstance(item.get("top"), list)
        and all(map(_is_token_with_logprob, item["top"]))
        for item in value
    )


def _is_token_with_logprob(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    token, logprob = value
    number = isinstance(logprob, int | float) and not isinstance(logprob, bool)
    return _is_count(token) and number and math.isfinite(logprob)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_step(value: Any) -> bool:
    return _is_count(value) and value < MAX_STEPS


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_count, value))


def _is_path(value: Any) -> bool:
    return _are_counts(value) and value[:1] == [ROOT[0]]


_FORMS: dict[str, Callable[[Any], bool]] = {
    "thread": _is_path,
    "parent": lambda value: value is None or _is_path(value),
    "child": _is_path,
    "step": _is_step,
    "token_ids": _are_counts,
    "text": lambda value: isinstance(value, str),
    "logprobs": _are_logprobs,
    "reason": lambda value: value in get_args(FinishReason),
    "drafted": _is_count,
    "accepted": _is_count,
    "not_forked": lambda value: isinstance(value, dict) and all(map(_is_count, value.values())),
}
"""Whether the value of a key of a trace's line is of its kind."""


def write_trace(events: Iterable[Event], file: TextIO) -> None:
    for event in events:
        file.write(to_json(event) + "\n")


def read_trace(path: Path) -> Iterator[Event]:
    """The events of a trace file; raises UserError with the number of a broken line."""
    try:
        # Not splitlines: JSON leaves U+2028 and its like in texts, where they end no line.
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise UserError(f"cannot read the trace {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a trace: it is not UTF-8 text") from error
    for number, line in enumerate(lines if lines[-1] else lines[:-1], 1):
        try:
            yield from_json(line)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path}, line {number} is not an event of a trace written by `apar generate --trace`"
            ) from error


def replay(tree: ParagraphTree) -> Iterator[Event]:
    """The events of an engine that decodes `tree` with a row for every thread, step by step.

    Every token of a node, the `[Fork]` after it and the end of a thread take a step each, as in a real engine.
    A tree that is not encoded is split at white space, a word a step; its deltas carry no token ids.
    """
    steps: dict[int, list[Event]] = {}
    starts: dict[ThreadPath, int] = {}
    for thread in tree.threads():
        step = starts.pop(thread.path, 0)
        steps.setdefault(step, []).append(Started(thread.path, thread.parent, step))
        children = 0
        for node in thread.nodes:
            for ids, text in _pieces(node):
                steps.setdefault(step, []).append(Delta(thread.path, step, ids, text))
                step += 1
            if node.forks:
                child = (*thread.path, children)
                steps.setdefault(step, []).append(Forked(thread.path, child, step))
                step, children = step + 1, children + 1
                starts[child] = step
        steps.setdefault(step, []).append(Finished(thread.path, step, "eos"))
    for step in sorted(steps):
        yield from steps[step]


def _pieces(node: Node) -> list[tuple[tuple[int, ...], str]]:
    """What each step of a node yields. The node's text comes with its first token: replay has no tokenizer."""
    if node.tokens is None:
        return [((), piece) for piece in re.findall(r"\s*\S+\s*$|\s*\S+|\s+", node.text)]
    return [((token,), node.text if k == 0 else "") for k, token in enumerate(node.tokens)]
