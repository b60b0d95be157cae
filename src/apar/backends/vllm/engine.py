"""A vLLM in this process (its core in others), asked by its public `AsyncLLM`."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Literal

from vllm import AsyncEngineArgs
from vllm import SamplingParams as VllmParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from apar.backends.backend import GroupBackend
from apar.backends.data_parallel import DataParallelRouter
from apar.backends.sequence_engine import decode_forked, mark_times, vllm_limits
from apar.backends.vllm.engine_args import (
    NO_PREFIX_CACHING,
    arguments_of_ids,
    arguments_to_force,
    engine_arguments,
)
from apar.backends.vllm.sampling import answer_params, logprob_of, thread_params
from apar.backends.vllm.step_decoder import StepDecoder
from apar.backends.vllm.versions import core_supported, require_vllm
from apar.decoding.coordinator import SequenceRequest
from apar.decoding.forced_answer import ForcedAnswer
from apar.decoding.group import Group, Sampled
from apar.decoding.params import SamplingParams
from apar.decoding.requests import Request, check
from apar.decoding.vocabulary import Vocabulary
from apar.errors import ModelError, RequestError, RunError, UserError
from apar.events import Event
from apar.models.model_source import ModelSource, plain_source
from apar.models.vocabulary import load_vocabulary

logger = logging.getLogger(__name__)

ForkWay = Literal["core", "requests"]
"""Where forks are carried out: by a scheduler class inside vLLM's core, or outside by requests of their own."""

_NO_PRIORITIES = "priority needs vLLM's scheduling policy `priority`; leave scheduling_policy out"


class VllmBackend(GroupBackend):
    """A model that vLLM runs, decoding the parts of an answer in parallel.

    `model` is a folder, a hub id, or `demo`; `fork` the way in which forks are carried out, by default "core"
    where the installed vLLM was tested with it, else "requests", which needs public parts of vLLM only.
    `stat_loggers` are vLLM's own, `options` its engine arguments, such as `tensor_parallel_size=4`. A `vocabulary`
    is for a model that has no tokenizer of its own; with `force` answers can be forced. For one event loop.
    Raises UserError where vLLM is missing or too old or new, ModelError where the model cannot be loaded or served
    so.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        fork: ForkWay | None = None,
        vocabulary: Vocabulary | None = None,
        force: bool = False,
        stat_loggers: Sequence[Any] = (),
        **options: Any,
    ) -> None:
        version = require_vllm().version
        source = plain_source(model, "vLLM")
        vocabulary = vocabulary or load_vocabulary(ModelSource(source))
        self.fork = _fork_way(fork, version)
        if vocabulary.given:
            options = arguments_of_ids(options, vocabulary.control)
        if force:
            options = arguments_to_force(options)
        arguments = engine_arguments(source, options, core=self.fork == "core" and vocabulary.control is not None)
        self._engine = _start(arguments, str(model), stat_loggers)
        self._closed = False
        config = self._engine.vllm_config
        described = config.model_config
        self._prioritised = config.scheduler_config.policy == "priority"
        no_priorities = None if self._prioritised else _NO_PRIORITIES
        super().__init__(
            vocabulary,
            vllm_limits(vocabulary, described.max_model_len, described.get_vocab_size(), no_priorities),
        )
        self._forces = force
        self._ids = itertools.count()
        self._ranks = DataParallelRouter(config.parallel_config.data_parallel_size)
        if not config.cache_config.enable_prefix_caching and vocabulary.control is not None:
            self.close()
            raise ModelError(NO_PREFIX_CACHING)

    @property
    def failure(self) -> str | None:
        """Why it answers no more; None while it does."""
        if self._closed:
            return "the engine was closed"
        return "vLLM's engine has died" if self._engine.errored else None

    def close(self) -> None:
        """End vLLM's processes; open answers get a RunError, and later ones too. May be called again."""
        if not self._closed:
            self._closed = True
            # vLLM's shutdown wakes nobody who waits.
            self._engine.output_processor.propagate_error(EngineDeadError())
            self._engine.shutdown()

    def force(self, prompt: Sequence[int], forced: ForcedAnswer) -> Group:
        """An answer that is given, for `decode`: what its threads are to say.

        Raises RequestError for one that cannot be told whole, UserError where the backend was made without `force`.
        """
        if not self._forces:
            raise UserError("this vLLM was not started to force answers: give force=True")
        params = forced.params()
        check(prompt, params, self._limits)
        forced.check(params, len(prompt), self.context)
        group = self._group(Request(list(prompt), params))
        group.forced = forced
        return group

    def decode(self, group: Group) -> AsyncGenerator[list[Event], None]:
        """Decode a group's answer, and yield its events as they come. Closing it ends the requests behind it."""
        forked = group.params.fork and group.control is not None
        in_core = forked and self.fork == "core" and _core_decodes(group.params)
        return self._decode_in_core(group) if in_core else self._decode_threads(group)

    async def forget(self) -> None:
        """Let no answer find what another stored. Raises RunError while one is under way."""
        if not await self._engine.reset_prefix_cache():
            raise RunError("vLLM keeps its prefix cache: an answer is under way")

    async def _decode_threads(self, group: Group) -> AsyncGenerator[list[Event], None]:
        """Each thread a request of its own, all on one data-parallel rank, where the prefix is."""
        with self._ranks.least_busy() as rank:
            async with aclosing(decode_forked(group, _Threads(self, rank))) as pieces:
                async for events in pieces:
                    yield events

    async def _decode_in_core(self, group: Group) -> AsyncGenerator[list[Event], None]:
        """One request, whose threads the core decodes."""
        reader = StepDecoder(group)
        told = 0
        params = answer_params(group)
        async with aclosing(self._ask(group, group.threads[0].tokens, params, self._priority(group))) as pieces:
            async for sampled in pieces:
                reader.feed(sampled)
                mark_times(group)
                if told < len(group.events):
                    yield group.events[told:]
                    told = len(group.events)
                if group.done:
                    return
        raise RunError(f"vLLM ended {group.name} before its threads had ended")

    def _priority(self, group: Group, child: bool = False) -> int:
        """vLLM runs the lowest number first; children come before new answers."""
        return -2 * group.params.priority - child if self._prioritised else 0

    async def _ask(
        self, group: Group, tokens: Sequence[int], params: VllmParams, priority: int, rank: int | None = None
    ) -> AsyncGenerator[list[Sampled], None]:
        """What vLLM samples behind some tokens, as it comes. Closing it aborts the request."""
        if self._closed:
            raise _closed(group)
        request = f"apar-{os.getpid()}-{next(self._ids)}"
        prompt: Any = {"type": "token", "prompt_token_ids": list(tokens)}
        outputs = self._engine.generate(prompt, params, request, priority=priority, data_parallel_rank=rank)
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    _note_beginning(group, output)
                    [completion] = output.outputs
                    if completion.finish_reason in ("error", "abort"):
                        raise RunError(f"vLLM failed {group.name}; its log says why")
                    yield _sampled(completion, group.params.logprobs)
        except EngineDeadError as error:
            if self._closed:
                raise _closed(group) from None
            raise RunError(
                f"vLLM's engine has died; {group.name} cannot be answered, and no other from now on"
            ) from error
        except EngineGenerateError as error:
            raise RunError(f"vLLM failed {group.name}: {error.__cause__ or 'its log says why'}") from error
        except ValueError as error:
            raise RequestError(f"vLLM cannot serve {group.name}: {error}") from error


class _Threads:
    """The engine as decoder of sequences, on one data-parallel rank."""

    def __init__(self, backend: VllmBackend, rank: int | None) -> None:
        self._backend, self._rank = backend, rank

    async def decode(self, group: Group, run: SequenceRequest) -> AsyncGenerator[Sequence[Sampled], None]:
        backend = self._backend
        params = thread_params(group, run, backend._vocabulary)
        priority = backend._priority(group, child=run.number > 0)
        async with aclosing(backend._ask(group, run.tokens, params, priority, self._rank)) as pieces:
            async for sampled in pieces:
                yield sampled


def _core_decodes(params: SamplingParams) -> bool:
    """Whether the core can: it decodes all threads of an answer at the same time, and has no text to read."""
    return params.max_parallel_threads is None and params.repeated_leads == "allow" and not params.by_rules


def _closed(group: Group) -> RunError:
    return RunError(f"the engine was closed: {group.name} cannot be answered")


def _fork_way(wanted: str | None, version: str) -> ForkWay:
    if wanted not in (None, "core", "requests"):
        raise UserError(f"fork is {wanted!r}; forks are carried out in the `core` or by `requests`")
    if wanted != "requests" and core_supported(version):
        return "core"
    if wanted != "requests":
        logger.warning("vLLM %s was not tested with forks in its core: they are carried out by requests", version)
    return "requests"


def _start(arguments: dict[str, Any], name: str, loggers: Sequence[Any]) -> AsyncLLM:
    try:
        return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments), stat_loggers=list(loggers) or None)
    except Exception as error:  # whatever vLLM makes of a model or an argument that it does not like
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"vLLM cannot start with {name}: {reason}") from error


def _note_beginning(group: Group, output: Any) -> None:
    """What the first output of an answer tells of its prompt."""
    if group.entered:
        return
    group.entered = group.began
    group.cached_tokens = output.num_cached_tokens or 0
    if output.metrics is not None and output.metrics.scheduled_ts:
        group.entered += output.metrics.scheduled_ts - output.metrics.queued_ts


def _sampled(completion: Any, count: int | None) -> list[Sampled]:
    tokens = completion.token_ids
    if count is None or completion.logprobs is None:
        return [Sampled(token) for token in tokens]
    found = zip(tokens, completion.logprobs, strict=True)
    return [Sampled(token, logprob_of(token, entries, count)) for token, entries in found]
