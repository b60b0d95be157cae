"""Answers by Skeleton-of-Thought over the engine in this process: its cache shares what the requests have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from apar.decoding.answer import Answer
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
    """Answer questions of one turn: the outlines of all together, then the points of all together.

    `max_tokens` is, as always, that of an answer: its points share it evenly. The requests have no forks.

    Raises what `LLM.generate` does.
    """
    params = replace(params, fork=False, fork_by="model")
    prompts = [_begun(llm, outline_request(question), OUTLINE_BEGINS) for question in questions]
    outlines = llm.generate(prompts, params)
    points = [points_of(OUTLINE_BEGINS + outline.text) for outline in outlines]
    requests = [request for each in zip(questions, points, strict=True) for request in _requests(llm, *each, params)]
    answers = iter(llm.generate([prompt for prompt, _ in requests], [own for _, own in requests]))
    return [
        _put_together(llm, outline, own, [next(answers) for _ in range(max(len(own), 1))])
        for outline, own in zip(outlines, points, strict=True)
    ]


def takes(llm: LLM, question: str, max_tokens: int) -> bool:
    """Whether the context has room for the longest request there can be: a point of an outline of `max_tokens`."""
    request = encode_prompt(llm.tokenizer, point_request(question, [], 1))
    return len(request) + 2 * max_tokens < llm.context


def _requests(
    llm: LLM, question: str, points: Sequence[str], params: SamplingParams
) -> list[tuple[RawPrompt, SamplingParams]]:
    """One for each point; where there is none, the question itself."""
    if not points:
        return [(_begun(llm, [{"role": "user", "content": question}], ""), params)]
    share = replace(params, max_tokens=max(params.max_tokens // len(points), 1))
    return [
        (_begun(llm, point_request(question, points, number), f"{number}. {point}"), share)
        for number, point in enumerate(points, 1)
    ]


def _begun(llm: LLM, messages: list[dict[str, str]], begins: str) -> RawPrompt:
    """A chat whose answer has begun."""
    return RawPrompt((*encode_prompt(llm.tokenizer, messages), *encode_text(llm.tokenizer, begins)))


def _put_together(llm: LLM, outline: Answer, points: Sequence[str], answers: Sequence[Answer]) -> SkeletonAnswer:
    text, details = "", []
    for number, (point, answer) in enumerate(zip(points, answers, strict=False), 1):
        text += ("\n" if text else "") + f"{number}. {point}"
        detail = answer.text.rstrip()
        details.append((len(text), len(text) + len(detail)))
        text += detail
    text = text if points else answers[0].text
    first = [answer.first_token_seconds for answer in answers if answer.first_token_seconds is not None]
    return SkeletonAnswer(
        text=text,
        details=tuple(details),
        ended=all(answer.finish_reason == "stop" for answer in (outline, *answers)),
        tokens=len(encode_text(llm.tokenizer, text)),
        outline_tokens=outline.tokens,
        steps=outline.steps + max(answer.steps for answer in answers),
        seconds=outline.seconds + max(answer.seconds for answer in answers),
        first_token_seconds=outline.seconds + min(first) if first else None,
        prompt_tokens=outline.prompt_tokens,
        kv_blocks_peak=max(outline.kv_blocks_peak, sum(answer.kv_blocks_peak for answer in answers)),
        requests=(outline, *answers),
    )
