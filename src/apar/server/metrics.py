"""The server's figures for Prometheus: every name begins with `apar_`, and units are seconds, tokens and blocks.

The table of all names is docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder

from apar.decoding.answer import Answer, Forker, Mode
from apar.decoding.by_form.thread_form import WhyNotForked
from apar.decoding.statistics import EngineStatistics
from apar.server.engine_metrics import EngineCollector

Reason = Literal["busy", "unready", "key", "large", "slow", "type", "path", "request"]
"""Why a request was refused: too many answers are under way (429); the model is being loaded or has failed, or the
server is stopping (503); no key or a wrong one (401); too large a body (413); it did not come in time (408); it is no
JSON (415); no such model, path or method (404, 405); a request that is wrong or asks for what there is not (400)."""

ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/models",
    "/health",
    "/metrics",
    "/version",
    "/docs",
    "/openapi.json",
    "/",
    "/page",
)
OTHER = "other"
_FOLDERS = ("page", "docs", "v1/models")

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120, 300, 600)
THREADS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
TOKENS_PER_STEP = (1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 6, 8, 12, 16, 32)
BLOCKS = tuple(2**power for power in range(17))


class Metrics:
    """What the server counts. Each has a registry of its own, so that several servers fit into one process.

    Labels have few values, all known beforehand: nothing that a client sends becomes one.
    """

    def __init__(self, backend: str, model: str, version: str) -> None:
        self._registry = _Registry()
        self._engine = EngineCollector()
        self._registry.register(self._engine)
        ProcessCollector(registry=self._registry)
        about = self._gauge("apar_info", "What this server runs; always 1.", "backend", "model", "version")
        about.labels(backend, model, version).set(1)
        self._requests = self._counter("apar_requests", "HTTP requests answered.", "endpoint", "status")
        self._refused = self._counter("apar_requests_refused", "Requests to the API refused, by reason.", "reason")
        self._open = self._gauge("apar_answers_open", "Answers under way.")
        self._answers = self._counter("apar_answers", "Answers given whole.", "mode", "reason")
        self._by_forker = self._counter("apar_answers_by_fork", "Answers given whole, by what forks them.", "fork")
        self._not_forked = self._counter(
            "apar_leads_not_forked", "Leads behind which answers did not fork by rules, by reason.", "reason"
        )
        self._cancelled = self._counter("apar_answers_cancelled", "Answers cancelled because the client was gone.")
        self._failed = self._counter("apar_answers_failed", "Answers that ended by an error while they ran.")
        self._counts = {name: self._counter(name, text, "mode") for name, text, _ in _COUNTS}
        self._histograms = {
            name: Histogram(name, text, ["mode"], buckets=buckets, registry=self._registry)
            for name, text, buckets, _ in _HISTOGRAMS
        }
        self._begin_at_zero()

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """All figures as text, and its media type: OpenMetrics if the header `Accept` asks for it."""
        try:
            encode, media_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a header that is none
            encode, media_type = choose_encoder("")
        return encode(self._registry), media_type

    def watch(self, statistics: Callable[[], EngineStatistics]) -> None:
        """Render the figures of an engine too, which are read anew each time."""
        self._engine.statistics = statistics

    def request(self, path: str, status: int) -> None:
        """A request was answered with an HTTP status. A path that is under none of `ENDPOINTS` counts as `other`."""
        self._requests.labels(_endpoint(path), str(status)).inc()

    def refused(self, reason: Reason) -> None:
        """A request was turned away before it was answered."""
        self._refused.labels(reason).inc()

    def opened(self) -> None:
        """An answer is under way; `closed` has to follow."""
        self._open.inc()

    def closed(self) -> None:
        """An answer that was opened is over, whatever its end."""
        self._open.dec()

    def answered(self, answer: Answer) -> None:
        """An answer came to its end. The prompt of several answers to one request counts once."""
        self._answers.labels(answer.mode, answer.finish_reason).inc()
        self._by_forker.labels(answer.forker).inc()
        for why, leads in answer.not_forked.items():
            self._not_forked.labels(why).inc(leads)
        for name, _, count in _COUNTS:
            self._counts[name].labels(answer.mode).inc(count(answer))
        for name, _, _, value in _HISTOGRAMS:
            observed = value(answer)
            if observed is not None:
                self._histograms[name].labels(answer.mode).observe(observed)

    def cancelled(self, answers: int = 1) -> None:
        """A client was gone before so many of its answers were complete."""
        self._cancelled.inc(answers)

    def failed(self, answers: int = 1) -> None:
        """So many answers that had begun ended by an error."""
        self._failed.inc(answers)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)

    def _begin_at_zero(self) -> None:
        """Make all series whose labels are known, so that their first count is seen as a rise."""
        for reason in get_args(Reason):
            self._refused.labels(reason)
        for forker in get_args(Forker):
            self._by_forker.labels(forker)
        for why in _values(WhyNotForked):
            self._not_forked.labels(why)
        for mode in get_args(Mode):
            for finish_reason in ("stop", "length"):
                self._answers.labels(mode, finish_reason)
            for metric in (*self._counts.values(), *self._histograms.values()):
                metric.labels(mode)


class RequestOutcome:
    """Counts what becomes of the `answers` of one request: each is answered, or else it failed or was cancelled."""

    def __init__(self, metrics: Metrics, answers: int) -> None:
        self._metrics = metrics
        self._num_open = answers

    def answered(self, answer: Answer) -> None:
        """One of them is complete."""
        self._num_open -= 1
        self._metrics.answered(answer)

    def failed(self) -> None:
        """The others ended by an error."""
        self._metrics.failed(self._num_open)
        self._num_open = 0

    def cancelled(self) -> None:
        """The client was gone before the others were complete."""
        self._metrics.cancelled(self._num_open)
        self._num_open = 0


def _values(kind: Any) -> list[str]:
    """The values of a literal, or of a union of some."""
    return [value for part in get_args(kind) for value in ([part] if isinstance(part, str) else _values(part))]


def _endpoint(path: str) -> str:
    """The endpoint that a path belongs to: itself, or the folder that it is a file of."""
    for known in (path, *(f"/{folder}" for folder in _FOLDERS if path.startswith(f"/{folder}/"))):
        if known in ENDPOINTS:
            return known
    return OTHER


class _Registry(CollectorRegistry):
    """Without the time at which each series began, which would double their number."""

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


def _of_first_choice(count: Callable[[Answer], int]) -> Callable[[Answer], int]:
    return lambda answer: 0 if answer.choice else count(answer)


_COUNTS: tuple[tuple[str, str, Callable[[Answer], int]], ...] = (
    ("apar_prompt_tokens", "Tokens of prompts.", _of_first_choice(lambda answer: answer.prompt_tokens)),
    (
        "apar_cached_tokens",
        "Tokens of prompts that were found in the cache.",
        _of_first_choice(lambda answer: answer.cached_tokens),
    ),
    ("apar_visible_tokens", "Visible tokens of answers.", lambda answer: answer.tokens),
    (
        "apar_control_tokens",
        "Control tokens of answers: two for each fork; none by rules.",
        lambda answer: answer.control_tokens,
    ),
    (
        "apar_discarded_tokens",
        "Tokens that were decoded and left out: behind a stop string, of a repeated lead, or by rules.",
        lambda answer: answer.discarded_tokens,
    ),
    ("apar_forks", "Forks of answers.", lambda answer: answer.forks),
    ("apar_steps", "Logical steps of answers.", lambda answer: answer.steps),
    ("apar_forward_passes", "Forward passes that answers took part in.", lambda answer: answer.forward_passes or 0),
    ("apar_draft_tokens", "Draft tokens that were verified for answers.", lambda answer: sum(answer.drafted)),
    ("apar_accepted_tokens", "Draft tokens of answers that were right.", lambda answer: sum(answer.accepted)),
    ("apar_critical_path_steps", "The same as apar_steps, by its other name.", lambda answer: answer.critical_path),
    ("apar_preemptions", "Times that an answer lost its KV blocks to others.", lambda answer: answer.preemptions),
)
"""Name (to which `_total` is appended), meaning and amount of what is summed over all answers."""

_HISTOGRAMS: tuple[tuple[str, str, tuple[float, ...], Callable[[Answer], float | None]], ...] = (
    ("apar_answer_seconds", "Seconds from the request to the end of the answer.", SECONDS, lambda a: a.seconds),
    (
        "apar_answer_queue_seconds",
        "Seconds from the request to the beginning of its first forward pass.",
        SECONDS,
        lambda answer: answer.queue_seconds,
    ),
    (
        "apar_answer_first_token_seconds",
        "Seconds from the request to the first visible token.",
        SECONDS,
        lambda answer: answer.first_token_seconds,
    ),
    ("apar_answer_threads", "Threads of an answer.", THREADS, lambda answer: answer.threads),
    (
        "apar_answer_tokens_per_step",
        "Visible tokens of an answer for each logical step.",
        TOKENS_PER_STEP,
        lambda answer: answer.tokens_per_step,
    ),
    (
        "apar_answer_kv_blocks",
        "Most KV blocks that an answer held at a time.",
        BLOCKS,
        lambda answer: answer.kv_blocks_peak or None,  # vLLM does not report them, and every answer holds some
    ),
)
"""Name, meaning, bounds of the buckets, and the value of an answer (None: it has none)."""
