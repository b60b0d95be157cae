"""Are the details of an answer independent? Measured by what a model loses when it does not see the others.

Each token of a detail is predicted twice: with everything before it in reading order (*shown*), and with its
tree path only (*hidden*): the prompt, the ancestors and the leads of earlier siblings, not the earlier
details. Where the earlier details matter, the loss increases. A detail is all text of its fork, `[at, end)`,
details within it included; to say which fork costs how much, each level is hidden by itself (see
`apar.verify.details`). `docs/verify.md` tells how to read the figures.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field
from torch import Tensor

from apar.config import Section
from apar.data.files import atomic_write
from apar.data.records import TreeRecord, read_trees
from apar.errors import RequestError, UserError
from apar.verify.details import Detail, EncodedAnswer, Layout
from apar.verify.distribution import Distribution
from apar.verify.losses import START_TOKENS, DetailLoss, DetailLosses, Skipped, Sums, Verified
from apar.verify.merge import merge_back
from apar.verify.scorer import Scorer


class VerifyConfig(Section):
    """How `apar extract --verify` measures and what it takes back."""

    threshold: float = Field(default=0.1, ge=0)
    """A detail is dependent if hiding the details before it surely costs more than this, in nats a token of it."""
    certainty: float = Field(default=2.0, ge=0)
    """How sure: so many standard errors, over the detail's tokens, must the cost be above the threshold."""
    min_tokens: int = Field(default=16, ge=1)
    """Shorter details are measured, but too noisy to be judged."""
    min_parts: int = Field(default=2, ge=1)
    """Fewer details than these are not left in a thread."""
    max_length: int | None = Field(default=None, ge=2)
    """Prompt and answer in tokens; null: what the models have positions for. A model trained on shorter
    samples is only to be trusted up to their length."""
    batch_tokens: int = Field(default=2048, ge=1)
    """Tokens in a forward pass."""
    window: int = Field(default=128, ge=1)
    """Answers that are held at a time, to put those of like length into a pass."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"


class Measurer:
    """Measures answers with a model that reads tree paths and one that reads plain text, often the same."""

    def __init__(self, model: Scorer, sequential: Scorer, config: VerifyConfig) -> None:
        """Raises UserError if `max_length` is more than the models have positions for."""
        self.model = model
        self.sequential = sequential
        self.config = config
        context = min(model.context, sequential.context)
        if config.max_length is not None and config.max_length > context:
            raise UserError(f"max_length is {config.max_length}, but {model.name} reads at most {context} tokens")
        self.max_length = config.max_length or context

    @classmethod
    def load(cls, model: str, sequential: str | None, config: VerifyConfig) -> Measurer:
        """Raises ModelError where a model cannot be loaded."""
        scorer = Scorer.load(model, config.dtype, config.device)
        other = scorer if sequential is None else Scorer.load(sequential, config.dtype, config.device)
        return cls(scorer, other, config)

    def measure(self, records: Sequence[TreeRecord]) -> list[DetailLosses]:
        """Raises UserError if the two models' tokenizers split an answer differently."""
        laid = [self._lay_out(record) for record in records]
        plain = [one.contexts[0] for one in laid if isinstance(one, _Laid)]
        deeper = [context for one in laid if isinstance(one, _Laid) for context in one.contexts[1:]]
        plain_losses = iter(self.sequential.losses(plain, self.config.batch_tokens))
        deeper_losses = iter(self.model.losses(deeper, self.config.batch_tokens))
        return [
            _compare(one.answer, [next(plain_losses), *itertools.islice(deeper_losses, one.answer.depth)])
            if isinstance(one, _Laid)
            else DetailLosses(skipped=one)
            for one in laid
        ]

    def _lay_out(self, record: TreeRecord) -> _Laid | Skipped:
        if not record.tree.root.forks:
            return "no_forks"
        if not _is_utf8(record):
            return "not_utf8"
        answer = self.model.encode(record.tree)
        try:
            plain = self.sequential.lay_out(record.messages, self._plain(record, answer), 0)
            if len(plain) > self.max_length:
                return "too_long"
            contexts = [self.model.lay_out(record.messages, answer, depth + 1) for depth in range(answer.depth)]
        except RequestError:
            return "prompt_refused"
        # A path is shorter than the text, but its control tokens may outweigh what is hidden.
        if max(max(context.positions) for context in contexts) >= self.max_length:
            return "too_long"
        return _Laid(answer, (plain, *contexts))

    def _plain(self, record: TreeRecord, answer: EncodedAnswer) -> EncodedAnswer:
        if self.sequential is self.model:
            return answer
        other = self.sequential.encode(record.tree)
        if other.tokens != answer.tokens:
            raise UserError(
                f"{self.sequential.name} cannot be compared with {self.model.name}: "
                "their tokenizers split the answers differently"
            )
        return other


def _is_utf8(record: TreeRecord) -> bool:
    """Python strings may hold lone surrogates, which no tokenizer takes."""
    try:
        "".join((record.response, *(message["content"] for message in record.messages))).encode()
    except UnicodeEncodeError:
        return False
    return True


class _Laid(NamedTuple):
    """An answer and its contexts: plain text, then with one level after the other as threads."""

    answer: EncodedAnswer
    contexts: tuple[Layout, ...]


def _compare(answer: EncodedAnswer, losses: Sequence[Tensor]) -> DetailLosses:
    """`losses` has for every depth the loss of each token of the text."""
    sums = [[0.0, *one.cumsum(0).tolist()] for one in losses]

    def between(begin: int, end: int, shown: int, hidden: int) -> Sums:
        return Sums(end - begin, *(sums[depth][end] - sums[depth][begin] for depth in (shown, hidden)))

    def detail_loss(detail: Detail) -> DetailLoss:
        at, end, level, number, _ = detail
        own = losses[level][at:end] - losses[level - 1][at:end]
        return DetailLoss(
            at,
            end,
            level,
            number,
            whole=between(at, end, 0, answer.depth),
            own=between(at, end, level - 1, level),
            error=float(own.std()) / len(own) ** 0.5 if len(own) > 1 else float("nan"),
            start=between(at, min(at + START_TOKENS, end), 0, answer.depth),
        )

    text = between(answer.details[0].at, len(answer.tokens), 0, answer.depth)
    return DetailLosses(tuple(map(detail_loss, answer.details)), text)


def verify_records(records: Iterable[TreeRecord], measurer: Measurer) -> Iterator[Verified]:
    """Measure the records and merge their dependent details back; in order, `window` at a time."""
    config = measurer.config
    source = iter(records)
    while window := list(itertools.islice(source, config.window)):
        for record, losses in zip(window, measurer.measure(window), strict=True):
            increases = losses.least_increases(config.certainty, config.min_tokens)
            after = record if losses.skipped else merge_back(record, increases, config.threshold, config.min_parts)
            yield Verified(record, after, losses)


def verify_file(
    source: Path,
    target: Path,
    model: str,
    config: VerifyConfig | None = None,
    *,
    sequential: str | None = None,
    on_progress: Callable[[int], None] = lambda answers: None,
) -> dict[str, Any]:
    """Verify a `trees.jsonl`: write the records to `target` and return what `report.json` says of it.

    `model` is a folder, a hub id or `demo`: one trained to fork reads the paths with its control tokens, any
    other reads them as joined text. It reads the plain text too unless `sequential` names another model, which
    must have the same tokenizer. `target` appears, or is replaced, when all is done; it may be `source`.
    `on_progress` is called with the number of answers done. The random draws of the interval are seeded.

    Raises UserError for a broken source or models that do not fit each other, ModelError for a model that
    cannot be loaded, RunError for a full disk.
    """
    config = config or VerifyConfig()
    measurer = Measurer.load(model, sequential, config)
    distribution = Distribution(config.threshold, config.certainty, config.min_tokens)
    with atomic_write(target) as file:
        for verified in verify_records(read_trees(source), measurer):
            file.write(verified.after.to_json() + "\n")
            distribution.add(verified)
            on_progress(distribution.answers)
    return {
        "model": model,
        "sequential_model": sequential or model,
        "paths": "joined text" if measurer.model.control is None else "[Fork] and [Child]",
        "max_length": measurer.max_length,
        "device": str(measurer.model.model.device),
        "dtype": str(measurer.model.model.dtype).removeprefix("torch."),
        "config": config.model_dump(mode="json"),
        **distribution.to_dict(),
    }
