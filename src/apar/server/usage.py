"""What an answer took: OpenAI's usage, and the figures of decoding in parallel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from apar.decoding.answer import Answer, summed
from apar.server.protocol.answers import AnswerMetrics, CompletionDetails, ParallelMetrics, PromptDetails, Usage


def usage(answers: Sequence[Answer]) -> Usage:
    """The usage of a request. Its prompts are counted once each, however many answers they have.

    Completion tokens are the visible ones; those that steer, those decoded behind a stop text, and, where there were
    any, draft tokens and leads that did not fork, are details.
    """
    prompts = [answer for answer in answers if answer.choice == 0]
    prompt = sum(answer.prompt_tokens for answer in prompts)
    visible = sum(answer.tokens for answer in answers)
    drafted, accepted = _drafts(answers)
    details: dict[str, Any] = {}
    if drafted:
        details["accepted_prediction_tokens"] = sum(accepted)
        details["rejected_prediction_tokens"] = sum(drafted) - sum(accepted)
    if not_forked := _not_forked(answers):
        details["not_forked"] = not_forked
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=visible,
        total_tokens=prompt + visible,
        prompt_tokens_details=PromptDetails(cached_tokens=sum(answer.cached_tokens for answer in prompts)),
        completion_tokens_details=CompletionDetails(
            control_tokens=sum(answer.control_tokens for answer in answers),
            discarded_tokens=sum(answer.discarded_tokens for answer in answers),
            **details,
        ),
    )


def answer_metrics(answers: Sequence[Answer]) -> AnswerMetrics:
    """The `metrics` of a request, whose answers are decoded side by side.

    Of several answers threads, forks, leads that did not fork, tokens, drafts, blocks and preemptions are summed;
    steps, passes and times are the longest. Passes, blocks and preemptions are None where the engine does not report
    them.
    """
    blocks = sum(answer.kv_blocks_peak for answer in answers)  # every answer holds some
    tokens = sum(answer.tokens for answer in answers)
    steps = max(answer.steps for answer in answers)
    passes = max(answer.forward_passes or 0 for answer in answers)
    drafted, accepted = _drafts(answers)
    firsts = [answer.first_token_seconds for answer in answers if answer.first_token_seconds is not None]
    parallel = ParallelMetrics(
        mode=answers[0].mode,
        fork=answers[0].forker,
        not_forked=_not_forked(answers),
        threads=sum(answer.threads for answer in answers),
        forks=sum(answer.forks for answer in answers),
        steps=steps,
        critical_path=max(answer.critical_path for answer in answers),
        forward_passes=passes or None,
        tokens_per_step=tokens / steps if steps else 0.0,
        tokens_per_pass=tokens / passes if passes else None,
        drafted=drafted,
        accepted=accepted,
        kv_blocks_peak=blocks or None,
        preemptions=sum(answer.preemptions for answer in answers) if blocks else None,
        seconds=max(answer.seconds for answer in answers),
        queue_seconds=max(answer.queue_seconds for answer in answers),
        first_token_seconds=min(firsts, default=None),
    )
    return AnswerMetrics(parallel=parallel)


def _not_forked(answers: Sequence[Answer]) -> dict[str, int]:
    """The leads behind which the answers did not fork, by reason."""
    return dict(sum((Counter(answer.not_forked) for answer in answers), Counter()))


def _drafts(answers: Sequence[Answer]) -> tuple[list[int], list[int]]:
    """The draft tokens of all answers by depth, and those of them that were right."""
    drafted = summed([answer.drafted for answer in answers])
    accepted = summed([[0] * len(drafted), *(answer.accepted for answer in answers)])
    return list(drafted), list(accepted)
