"""Answers by Skeleton-of-Thought over the engine in this process, whose cache shares what prompts have in common."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from apar.decoding.answer import Answer, answers, outcome
from apar.decoding.params import RawPrompt, SamplingParams
from apar.engine.llm import LLM
from apar.skeleton.outline import points_of
from apar.skeleton.prompts import OUTLINE_BEGINS, outline_request, point_request
from apar.tokens import encode_prompt, encode_text


@dataclass(frozen=True, slots=True)
class SkeletonAnswer:
    """What a question was answered with.

    `text` is a numbered list of the points, each with what was written behind it; `details` are the character offsets
    of these, (begin, end). An outline without points gives none: then the question is answered sequentially, and
    `requests` are those of the outline and of that answer. `tokens` are those of the text. `steps` are logical: those
    of the outline and of the longest of the requests behind it. `seconds` run from the question to the end of the last
    request, and to the first token behind the outline: before, nothing of the text is known. `kv_blocks_peak` is the
    most cache blocks that all requests held at one time.
    """

    text: str
    details: tuple[tuple[int, int], ...]
    ended: bool
    tokens: int
    steps: int
    seconds: float
    first_token_seconds: float | None
    prompt_tokens: int
    kv_blocks_peak: int
    requests: tuple[Answer, ...]


def skeleton_answers(llm: LLM, questions: Sequence[str], params: SamplingParams) -> list[SkeletonAnswer]:
    """Answer questions of one turn, decoded together: the points of each follow as soon as its outline has ended.

    `max_tokens` is, as always, that of an answer: its points share it evenly. The requests have no forks.

    Raises what `LLM.generate` does.
    """
    params = replace(params, fork=False, fork_by="model")
    asked: list[_Asked] = []
    try:
        asked.extend(_Asked(llm, question, params) for question in questions)
        while not all(one.done for one in asked):
            llm.engine.step()
            for one in asked:
                one.go_on()
    finally:
        for group in (group for one in asked for group in one.groups):
            llm.engine.cancel(group)
    return [one.answer() for one in asked]


class _Asked:
    """A question under way."""

    def __init__(self, llm: LLM, question: str, params: SamplingParams) -> None:
        self._llm, self._question, self._params = llm, question, params
        self._points: list[str] = []
        self._waiting: list[tuple[RawPrompt, SamplingParams]] = []
        self._blocks_peak = 0
        self.groups = [llm.start(_begun(llm, outline_request(question), OUTLINE_BEGINS), params)]

    @property
    def done(self) -> bool:
        return len(self.groups) > 1 and not self._waiting and all(group.done for group in self.groups)

    def go_on(self) -> None:
        """Ask for what can be asked for now: after the outline for its first point, and when the cache has that
        prompt, for the others, which begin as it does.
        """
        self._blocks_peak = max(self._blocks_peak, len({block for group in self.groups for block in group.holders}))
        if len(self.groups) == 1 and self.groups[0].done:
            self._waiting = self._requests()
            self._ask(1)
        elif len(self.groups) == 2 and (self.groups[1].first_token or self.groups[1].done):
            self._ask(len(self._waiting))

    def _ask(self, count: int) -> None:
        for prompt, params in self._waiting[:count]:
            self.groups.append(self._llm.start(prompt, params))
        del self._waiting[:count]

    def _requests(self) -> list[tuple[RawPrompt, SamplingParams]]:
        """One for each point; for the question itself where there is none, or not room for all."""
        [outline] = answers([outcome(self.groups[0])])
        self._points = points_of(OUTLINE_BEGINS + outline.text)
        prompts = [
            _begun(self._llm, point_request(self._question, self._points, number), f"{number}. {point}")
            for number, point in enumerate(self._points, 1)
        ]
        if not prompts or max(len(prompt.content) for prompt in prompts) >= self._llm.context:
            self._points = []
            return [(_begun(self._llm, [{"role": "user", "content": self._question}], ""), self._params)]
        share = max(self._params.max_tokens // len(prompts), 1)
        return [
            (prompt, replace(self._params, max_tokens=share, seed=_seed(self._params.seed, number)))
            for number, prompt in enumerate(prompts, 1)
        ]

    def answer(self) -> SkeletonAnswer:
        outline, *written = answers([outcome(group) for group in self.groups])
        return _put_together(self._llm, outline, self._points, written, self._blocks_peak, self._seconds)

    @property
    def _seconds(self) -> tuple[float, float | None]:
        """From the question to the end, and to the first token behind the outline, if there is one."""
        outline, *written = self.groups
        first = [group.first_token for group in written if group.first_token]
        return max(group.ended for group in written) - outline.began, min(first) - outline.began if first else None


def takes(llm: LLM, question: str) -> bool:
    """Whether the context has room for the request for an outline of the answer."""
    return len(_begun(llm, outline_request(question), OUTLINE_BEGINS).content) < llm.context


def _seed(seed: int | None, number: int) -> int | None:
    """The seed of a point: of one seed all points would be drawn by the same random numbers."""
    return None if seed is None else random.Random(f"{seed} {number}").getrandbits(32)


def _begun(llm: LLM, messages: list[dict[str, str]], begins: str) -> RawPrompt:
    """A chat whose answer has begun."""
    return RawPrompt((*encode_prompt(llm.tokenizer, messages), *encode_text(llm.tokenizer, begins)))


def _put_together(
    llm: LLM,
    outline: Answer,
    points: Sequence[str],
    written: Sequence[Answer],
    blocks_peak: int,
    seconds: tuple[float, float | None],
) -> SkeletonAnswer:
    text, details = "", []
    for number, (point, answer) in enumerate(zip(points, written, strict=False), 1):
        text += ("\n" if text else "") + f"{number}. {point}"
        detail = answer.text.rstrip()
        details.append((len(text), len(text) + len(detail)))
        text += detail
    text = text if points else written[0].text
    return SkeletonAnswer(
        text=text,
        details=tuple(details),
        ended=all(answer.finish_reason == "stop" for answer in (outline, *written)),
        tokens=len(encode_text(llm.tokenizer, text)),
        steps=outline.steps + max(answer.steps for answer in written),
        seconds=seconds[0],
        first_token_seconds=seconds[1],
        prompt_tokens=outline.prompt_tokens,
        kv_blocks_peak=blocks_peak,
        requests=(outline, *written),
    )
