"""Modules that have moved: whoever imports one by its old name is told the new one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

# By the old package, old name = new name within `apar`.
_MOVED = """
apar.backends: blocking=backends.sync conductor=decoding.coordinator groups=decoding.requests
    ranks=backends.data_parallel remote=backends.vllm_server sequences=backends.sequence_engine
    streams=backends.backend vocabulary=decoding.vocabulary
apar.backends.vllm: arguments=backends.vllm.engine_args options=backends.vllm.request_options
    replay=backends.vllm.forced_tokens requests=backends.vllm.thread_requests sharing=backends.vllm.block_handover
    steps=backends.vllm.step_decoder tree=backends.vllm.forked_request words=backends.vllm.passthrough_flags
apar.bench: codec=tokens intervals=intervals local=bench.local_replay machine=bench.environment
    passes=bench.vllm.pass_log scripted=bench.replay target=bench.model vllm_forks=bench.vllm.fork_cost
    vllm_passes=bench.vllm.pass_log vllm_plan=bench.vllm.engine_setup vllm_player=bench.vllm.replay
    vllm_teller=bench.vllm.replay
apar.chat: body=client.chat chunks=client.chat_chunks figures=client.chat_chunks interrupts=chat.sigint
    refusals=client.errors responses=client.response server=client.chat
apar.cli: backend_options=cli.options.backend bench_options=cli.options.bench bench_player=cli.bench.engine
    bench_progress=cli.bench.output bench_tables=cli.bench.output chat_answer=cli.chat.terminal
    chat_commands=cli.chat.commands chat_options=cli.options.chat chat_plain=cli.chat.plain
    chat_prompt=cli.chat.prompt chat_terminal=cli.chat.terminal model_options=cli.options.model
    origins=cli.options.origins quiet=cli.answering sampling_options=cli.options.sampling
    serve_options=cli.options.serve sizes=cli.options.model
apar.corpus: batches=corpus.map_batches card=corpus.dataset_card figures=corpus.totals page_data=corpus.page
    sample=corpus.page summary=corpus.totals work=corpus.chunk_store
apar.data: arrays=data.json_array counters=data.token_counter hub=data.hf_datasets lines=data.read mix=data.records
    refused=view.refusal_spans streams=data.compression tokenizer=train.tokenizer
apar.doctor: check=doctor.report child=doctor.subprocess_probe diagnosis=doctor.checks facts=doctor.subprocess_probe
    machine=doctor.checks model=doctor.checks server=doctor.checks vllm=doctor.packages
apar.engine: adapters=models.adapters admission=scheduling.growth answer=decoding.answer blocks=scheduling.blocks
    counters=scheduling.counters detokenize=decoding.detokenize device=models.device
    engine_thread=backends.engine_thread forced=scheduling.forced fork=decoding.grammar growth=scheduling.growth
    intake=decoding.requests load=models.load lockstep=decoding.lockstep memory=models.memory params=decoding.params
    place=scheduling.place portable=engine.torch_attention prefix_cache=scheduling.prefix_cache
    prefixes=scheduling.prefix_cache quantize=models.quantize scheduler=scheduling.scheduler
    script=decoding.forced_answer sequence=decoding.group service=backends.engine_thread source=models.model_source
    statistics=decoding.statistics tables=engine.block_tables transfer=engine.block_tables
apar.engine.drafts: draft=scheduling.draft
apar.engine.native: fuse=engine.native.fused_modules
apar.eval: details=verify.details distribution=verify.distribution independence=verify.measure losses=verify.losses
    merge=verify.merge quality=eval.held_out reading=verify.scorer
apar.server: api=server.routes.api asked=server.parsed_request body=server.middleware.body_limit
    connection=server.http.connection counting=server.middleware.request_metrics desk=server.service
    forms=server.response_format guard=server.middleware hosts=server.middleware.hosts keys=server.middleware.keys
    limits=server.settings listening=server.http.sockets logprobs=assemble operation=server.routes.operations
    pace=server.coalescing pages=server.routes.static places=server.admission presence=server.concurrency
    refusals=server.error_response run=server.http.server state=server.served_model tally=server.metrics
    telling=server.chunk_builder together=server.concurrency
apar.server.protocol: invalid=server.protocol.validation_errors
apar.structure: criteria=structure.labels markers=structure.pseudo_lists script=structure.cjk
apar.train: checkpoint=train.checkpoints optimizer=train.trainer sft=train.run start=train.initial_model
    stream=train.batches
"""


@cache
def moved() -> dict[str, str]:
    """The new name of every module that has moved, by the old one."""
    names: dict[str, str] = {}
    package = ""
    for word in _MOVED.split():
        if word.endswith(":"):
            package = word[:-1]
        else:
            old, _, new = word.partition("=")
            names[f"{package}.{old}"] = f"apar.{new}"
    return names


class _Signpost:
    """The last finder that Python asks: a module that it knows was found by no other.

    Its base class is not imported: that takes longer than all else of `import apar`.
    """

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name.startswith("apar.") and name in moved():
            raise ModuleNotFoundError(f"{name} has moved: import {moved()[name]}", name=name)


def put_up_signpost() -> None:
    """Have Python say where a module of this package has moved to."""
    sys.meta_path.append(_Signpost())
