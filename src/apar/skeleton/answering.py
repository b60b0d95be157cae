"""Answers by Skeleton-of-Thought over the engine in this process: its cache shares what the requests have in common."""

from __future__ import annotations

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
    `requests` are those of the outline and of that answer. `tokens` are those of the text, `outline_tokens` those that
    only the outline has, which nobody sees. `steps` are logical: those of the outline and of the longest of the
    requests behind it; `seconds` likewise. The first token comes with the first of these requests: before, nothing
    of the text is known.
    """

    text: str
    details: tuple[tuple[int, int], ...]
    ended: bool
    tokens: int
    outline_tokens: int
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
        self.groups = [llm.start(_begun(llm, outline_request(question), OUTLINE_BEGINS), params)]

    @property
    def done(self) -> bool:
        return len(self.groups) > 1 and all(group.done for group in self.groups)

    def go_on(self) -> None:
        """Ask for the points, if the outline has ended just now; where there is none, for the answer itself."""
        if len(self.groups) > 1 or not self.groups[0].done:
            return
        [outline] = answers([outcome(self.groups[0])])
        self._points = points_of(OUTLINE_BEGINS + outline.text)
        if not self._points:
            self.groups.append(self._llm.start(self._question, self._params))
        share = replace(self._params, max_tokens=max(self._params.max_tokens // max(len(self._points), 1), 1))
        for number, point in enumerate(self._points, 1):
            request = point_request(self._question, self._points, number)
            self.groups.append(self._llm.start(_begun(self._llm, request, f"{number}. {point}"), share))

    def answer(self) -> SkeletonAnswer:
        outline, *written = answers([outcome(group) for group in self.groups])
        return _put_together(self._llm, outline, self._points, written)


def takes(llm: LLM, question: str, max_tokens: int) -> bool:
    """Whether the context has room for the longest request there can be: a point of an outline of `max_tokens`."""
    request = encode_prompt(llm.tokenizer, point_request(question, [], 1))
    return len(request) + 2 * max_tokens < llm.context


def _begun(llm: LLM, messages: list[dict[str, str]], begins: str) -> RawPrompt:
    """A chat whose answer has begun."""
    return RawPrompt((*encode_prompt(llm.tokenizer, messages), *encode_text(llm.tokenizer, begins)))


def _put_together(llm: LLM, outline: Answer, points: Sequence[str], written: Sequence[Answer]) -> SkeletonAnswer:
    text, details = "", []
    for number, (point, answer) in enumerate(zip(points, written, strict=False), 1):
        text += ("\n" if text else "") + f"{number}. {point}"
        detail = answer.text.rstrip()
        details.append((len(text), len(text) + len(detail)))
        text += detail
    text = text if points else written[0].text
    first = [answer.first_token_seconds for answer in written if answer.first_token_seconds is not None]
    return SkeletonAnswer(
        text=text,
        details=tuple(details),
        ended=all(answer.finish_reason == "stop" for answer in (outline, *written)),
        tokens=len(encode_text(llm.tokenizer, text)),
        outline_tokens=outline.tokens,
        steps=outline.steps + max(answer.steps for answer in written),
        seconds=outline.seconds + max(answer.seconds for answer in written),
        first_token_seconds=outline.seconds + min(first) if first else None,
        prompt_tokens=outline.prompt_tokens,
        kv_blocks_peak=max(outline.kv_blocks_peak, sum(answer.kv_blocks_peak for answer in written)),
        requests=(outline, *written),
    )
