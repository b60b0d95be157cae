"""What an answer must be, computed the obvious way: no cache, one path at a time, nothing shared.

Every token of every thread is the model's choice after its whole path, run alone through the unchanged Hugging
Face model. The engine must give the same events and the same text. Nothing is taken from the engine but the
definition of its random numbers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from apar.decoding.params import SamplingParams
from apar.events import Delta, Event, Finished, Forked, Started, TokenLogprob
from apar.scheduling.place import uniform
from apar.tokens import ControlTokens
from apar.tree import ROOT, ThreadPath

BULLETS = " \t\n\r\v\f>*_`#~+•·-–—"
"""What may stand before the number of a list item."""

ROUNDING = 1e-5
"""More than two ways of computing a tiny model's logits in float32 differ by."""


@dataclass
class OracleThread:
    tokens: list[int]
    own: list[int] = field(default_factory=list)
    nodes: list[str] = field(default_factory=lambda: [""])
    open: bool = True
    # All text of the last node, and what of it is not told yet because it may become a repeated lead.
    saying: str = ""
    unsure: list[Delta] = field(default_factory=list)
    leads: list[str] = field(default_factory=list)


class Oracle:
    """One answer. `texts` has the text of each token id; `context` is the longest a path may be.

    With `noise` every logit is off by as much as rounding may put it off: an answer that this changes hangs on a tie.
    """

    def __init__(
        self,
        model: Any,
        texts: Sequence[str],
        control: ControlTokens,
        context: int,
        prompt: Sequence[int],
        params: SamplingParams,
        choice: int = 0,
        noise: random.Random | None = None,
    ) -> None:
        assert params.seed is not None
        self.prompt, self.choice, self.noise = prompt, choice, noise
        self.model, self.texts, self.control, self.context = model, texts, control, context
        self.params, self.seed = params, params.seed
        self.threads = {ROOT: OracleThread(list(prompt))}
        self.budget = params.max_tokens
        self.events: list[Event] = []
        self.stopped_at: int | None = None

    def run(self) -> list[Event]:
        """All events of the answer."""
        step = 0
        while any(thread.open for thread in self.threads.values()):
            self.events += self._step(step)
            step += 1
        return self.events

    @property
    def text(self) -> str:
        """The answer in reading order, cut before the stop string."""
        return "".join(self._read(ROOT))[: self.stopped_at]

    def _step(self, step: int) -> list[Event]:
        alive = sorted(path for path, thread in self.threads.items() if thread.open)
        # Two tokens for each live thread: this step's, and the next one's, so that a new detail gets its first.
        forks_affordable = self.budget >= 2 * len(alive)
        logits = {path: self._logits(self.threads[path].tokens) for path in alive}
        banned = {path: self._banned(path, forks_affordable) for path in alive}
        told = {path: self._advance(path, logits[path], banned[path], step) for path in alive}
        if self.budget == 0:
            for path in self._open(alive):
                told[path] += self._finish(path, step, "length")
        final = "".join(self._read(ROOT))
        if (hit := self._first_stop(final)) is not None:
            self.stopped_at = hit
            self._stop(told, alive, step)
        return [event for path in alive for event in told[path]]

    def _advance(self, path: ThreadPath, logits: list[float], banned: set[int], step: int) -> list[Event]:
        thread = self.threads[path]
        events: list[Event] = [] if thread.own else [Started(path, path[:-1] or None, step)]
        token = self._choose(path, logits, banned)
        room = len(self.threads) < self.params.max_threads or self._repeats(thread)
        if token == self.control.fork and not room:
            token = self._choose(path, logits, banned | {self.control.fork}, again=True)
        if token in self.control.eos:
            return [*events, *self._finish(path, step, "eos")]
        if token == self.control.fork and self._repeats(thread):
            thread.unsure = []
            return [*events, *self._finish(path, step, "repeated")]
        if token == self.control.fork:
            return [*events, *self._tell(thread), self._fork(path, step)]
        if self.budget == 0:
            return events
        self.budget -= 1
        thread.tokens.append(token)
        thread.own.append(token)
        thread.saying += self.texts[token]
        thread.unsure.append(Delta(path, step, (token,), self.texts[token], self._logprobs(token, logits, banned)))
        if not self._may_repeat(thread):
            events += self._tell(thread)
        if len(thread.tokens) == self.context:
            events += self._finish(path, step, "length")
        return events

    def _repeats(self, thread: OracleThread) -> bool:
        """Whether a fork would stand behind a lead that the thread has said before."""
        guarded = self.params.repeated_leads == "end"
        return guarded and lead_of(thread.saying) in thread.leads and self._may_repeat(thread)

    def _may_repeat(self, thread: OracleThread) -> bool:
        """Whether the node's text, with more behind it, can be a lead that the thread has said before."""
        if self.params.repeated_leads != "end" or "\n" in thread.saying.strip():
            return False
        said = lead_of(thread.saying)
        unfinished = thread.saying.lstrip(BULLETS)
        number = unfinished.removeprefix("(")
        may_be_number = len(number) <= 3 and all(character in "0123456789" for character in number)
        return any(lead[: len(said)] == said or may_be_number for lead in thread.leads)

    def _tell(self, thread: OracleThread) -> list[Event]:
        """What was held back of a thread is told now."""
        told: list[Event] = [*thread.unsure]
        thread.nodes[-1] += "".join(delta.text for delta in thread.unsure)
        thread.unsure = []
        return told

    def _fork(self, path: ThreadPath, step: int) -> Event:
        thread = self.threads[path]
        child = (*path, len(thread.nodes) - 1)
        thread.tokens.append(self.control.fork)
        thread.own.append(self.control.fork)
        lines = thread.saying.strip().split("\n")
        thread.leads = [lead for lead in [*(thread.leads if len(lines) == 1 else []), lead_of(lines[-1])] if lead]
        thread.nodes.append("")
        thread.saying = ""
        self.threads[child] = OracleThread([*thread.tokens, self.control.child])
        return Forked(path, child, step)

    def _finish(self, path: ThreadPath, step: int, reason: Any) -> list[Event]:
        self.threads[path].open = False
        return [*self._tell(self.threads[path]), Finished(path, step, reason)]

    def _open(self, alive: list[ThreadPath]) -> list[ThreadPath]:
        return [path for path in alive if self.threads[path].open]

    def _stop(self, told: dict[ThreadPath, list[Event]], alive: list[ThreadPath], step: int) -> None:
        """Forks of the step are not carried out, and everything that is open ends."""
        for path in alive:
            told[path] = [event for event in told[path] if not isinstance(event, Forked)]
        for thread in self.threads.values():
            thread.open &= bool(thread.own)
        reading = sorted(self._open(alive), key=lambda path: (*path, math.inf))
        for path in self._open(alive):
            told[path] += self._finish(path, step, "stop" if path == reading[0] else "cancelled")
        for thread in self.threads.values():
            thread.open = False

    def _banned(self, path: ThreadPath, forks_affordable: bool) -> set[int]:
        thread, params = self.threads[path], self.params
        banned = {self.control.child}
        if not thread.own:
            banned.add(self.control.fork)
            if len(path) > 1:
                banned |= self.control.eos
        if (
            not params.fork
            or thread.tokens[-1] == self.control.fork
            or not forks_affordable
            or len(path) >= params.max_depth
            or len(self.threads) >= params.max_threads
            # [Fork], [Child] and the detail's first token
            or len(thread.tokens) + 3 > self.context
        ):
            banned.add(self.control.fork)
        return banned

    def _logits(self, tokens: list[int]) -> list[float]:
        import torch  # which is not there where llama.cpp decodes

        with torch.no_grad():
            output = self.model(input_ids=torch.tensor([tokens], device=self.model.device), use_cache=False)
        logits: list[float] = output.logits[0, -1].tolist()
        if self.noise:
            logits = [value + self.noise.uniform(-ROUNDING, ROUNDING) for value in logits]
        return logits

    def _choose(self, path: ThreadPath, logits: list[float], banned: set[int], again: bool = False) -> int:
        allowed = {token: value for token, value in enumerate(logits) if token not in banned}
        allowed = self._adjusted(allowed, self.threads[path].tokens)
        if self.params.temperature == 0:
            return max(allowed, key=lambda token: allowed[token])
        number = uniform(self.seed, self.choice, path, len(self.threads[path].own), again)
        return _sample(self._filtered(allowed), number)

    def _adjusted(self, logits: dict[int, float], path: list[int]) -> dict[int, float]:
        """Logits after bias and penalties."""
        params, words = self.params, [token for token in path if token not in self._hidden()]
        sampled = [token for token in path[len(self.prompt) :] if token not in self._hidden()]
        adjusted = {}
        for token, value in logits.items():
            value += params.logit_bias.get(token, 0.0)
            if token in words and params.repetition_penalty != 1:
                value = value / params.repetition_penalty if value > 0 else value * params.repetition_penalty
            value -= params.frequency_penalty * sampled.count(token)
            value -= params.presence_penalty * (token in sampled)
            adjusted[token] = value
        return adjusted

    def _hidden(self) -> set[int]:
        return {self.control.fork, self.control.child, *self.control.eos}

    def _logprobs(self, token: int, logits: list[float], banned: set[int]) -> tuple[TokenLogprob, ...]:
        if self.params.logprobs is None:
            return ()
        allowed = {each: value for each, value in enumerate(logits) if each not in banned}
        total = math.log(sum(map(math.exp, allowed.values())))
        ranking = sorted(allowed, key=lambda each: -allowed[each])[: self.params.logprobs]
        return (TokenLogprob(token, allowed[token] - total, tuple((each, allowed[each] - total) for each in ranking)),)

    def _filtered(self, allowed: dict[int, float]) -> dict[int, float]:
        """Probabilities after temperature, min-p, top-k and top-p."""
        values = {token: value / self.params.temperature for token, value in allowed.items()}
        ranking = sorted(values, key=lambda token: -values[token])
        weights = {token: math.exp(values[token] - values[ranking[0]]) for token in ranking}
        ranking = [token for token in ranking if weights[token] >= self.params.min_p]
        ranking = ranking[: self.params.top_k or len(ranking)]
        total = sum(weights[token] for token in ranking)
        kept, mass = [], 0.0
        for token in ranking:
            if mass < self.params.top_p * total:
                kept.append(token)
            mass += weights[token]
        return {token: weights[token] for token in sorted(kept)}

    def _read(self, path: ThreadPath) -> Iterator[str]:
        """The text that is final, in reading order: up to the first place where something is still to come."""
        yield from self._read_thread(path, [True])

    def _read_thread(self, path: ThreadPath, complete: list[bool]) -> Iterator[str]:
        thread = self.threads[path]
        for number, node in enumerate(thread.nodes):
            if complete[0]:
                yield node
            if complete[0] and number < len(thread.nodes) - 1:
                yield from self._read_thread((*path, number), complete)
        complete[0] &= not thread.open

    def _first_stop(self, text: str) -> int | None:
        """Where the stop string begins that is complete first, reading character by character."""
        for end in range(len(text) + 1):
            starts = [end - len(stop) for stop in self.params.stop if text[:end].endswith(stop)]
            if starts:
                return min(starts)
        return None


def lead_of(text: str) -> str:
    """The words of a lead: without a list number, bullets, emphasis, white space, case and punctuation at its end."""
    rest = text.lstrip(BULLETS)
    number = rest.removeprefix("(")
    digits = len(number) - len(number.lstrip("0123456789"))
    if 0 < digits <= 3 and number[digits : digits + 1] in (".", ")") and not number[digits + 1 : digits + 2].isdigit():
        rest = number[digits + 1 :]
    kept = "".join(character for character in rest if not character.isspace() and character not in "*_`")
    while kept and kept[-1] in ".:,;!?-–—":
        kept = kept[:-1]
    return kept.casefold()


def _sample(weights: dict[int, float], number: float) -> int:
    """The token at which the cumulative weight, in the order of ids, passes the number's share."""
    target, mass = number * sum(weights.values()), 0.0
    for token, weight in weights.items():
        mass += weight
        if mass > target:
            return token
    return token
