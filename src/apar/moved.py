"""Modules that have moved: whoever imports one by its old name is told the new one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

_MOVED = {
    "apar.backends.blocking": "apar.backends.sync",
    "apar.backends.conductor": "apar.decoding.coordinator",
    "apar.backends.groups": "apar.decoding.requests",
    "apar.backends.ranks": "apar.backends.data_parallel",
    "apar.backends.remote": "apar.backends.vllm_server",
    "apar.backends.sequences": "apar.backends.sequence_engine",
    "apar.backends.streams": "apar.backends.backend",
    "apar.backends.vllm.arguments": "apar.backends.vllm.engine_args",
    "apar.backends.vllm.options": "apar.backends.vllm.request_options",
    "apar.backends.vllm.replay": "apar.backends.vllm.forced_tokens",
    "apar.backends.vllm.requests": "apar.backends.vllm.thread_requests",
    "apar.backends.vllm.sharing": "apar.backends.vllm.block_handover",
    "apar.backends.vllm.steps": "apar.backends.vllm.step_decoder",
    "apar.backends.vllm.tree": "apar.backends.vllm.forked_request",
    "apar.backends.vllm.words": "apar.backends.vllm.passthrough_flags",
    "apar.backends.vocabulary": "apar.decoding.vocabulary",
    "apar.chat.body": "apar.client.chat",
    "apar.chat.chunks": "apar.client.chat_chunks",
    "apar.chat.figures": "apar.client.chat_chunks",
    "apar.chat.interrupts": "apar.chat.sigint",
    "apar.chat.refusals": "apar.client.errors",
    "apar.chat.responses": "apar.client.response",
    "apar.chat.server": "apar.client.chat",
    "apar.doctor.check": "apar.doctor.report",
    "apar.doctor.child": "apar.doctor.subprocess_probe",
    "apar.doctor.diagnosis": "apar.doctor.checks",
    "apar.doctor.facts": "apar.doctor.subprocess_probe",
    "apar.doctor.machine": "apar.doctor.checks",
    "apar.doctor.model": "apar.doctor.checks",
    "apar.doctor.server": "apar.doctor.checks",
    "apar.doctor.vllm": "apar.doctor.packages",
    "apar.corpus.batches": "apar.corpus.map_batches",
    "apar.corpus.card": "apar.corpus.dataset_card",
    "apar.corpus.figures": "apar.corpus.totals",
    "apar.corpus.page_data": "apar.corpus.page",
    "apar.corpus.sample": "apar.corpus.page",
    "apar.corpus.summary": "apar.corpus.totals",
    "apar.corpus.work": "apar.corpus.chunk_store",
    "apar.data.arrays": "apar.data.json_array",
    "apar.data.counters": "apar.data.token_counter",
    "apar.data.hub": "apar.data.hf_datasets",
    "apar.data.lines": "apar.data.read",
    "apar.data.mix": "apar.data.records",
    "apar.data.streams": "apar.data.compression",
    "apar.data.tokenizer": "apar.train.tokenizer",
    "apar.engine.adapters": "apar.models.adapters",
    "apar.engine.admission": "apar.engine.growth",
    "apar.engine.answer": "apar.decoding.answer",
    "apar.engine.detokenize": "apar.decoding.detokenize",
    "apar.engine.device": "apar.models.device",
    "apar.engine.fork": "apar.decoding.grammar",
    "apar.engine.intake": "apar.decoding.requests",
    "apar.engine.load": "apar.models.load",
    "apar.engine.lockstep": "apar.decoding.lockstep",
    "apar.engine.memory": "apar.models.memory",
    "apar.engine.params": "apar.decoding.params",
    "apar.engine.portable": "apar.engine.torch_attention",
    "apar.engine.prefixes": "apar.engine.prefix_cache",
    "apar.engine.quantize": "apar.models.quantize",
    "apar.engine.script": "apar.decoding.forced_answer",
    "apar.engine.sequence": "apar.decoding.group",
    "apar.engine.service": "apar.engine.engine_thread",
    "apar.engine.source": "apar.models.model_source",
    "apar.engine.statistics": "apar.decoding.statistics",
    "apar.engine.tables": "apar.engine.block_tables",
    "apar.eval.details": "apar.verify.details",
    "apar.eval.distribution": "apar.verify.distribution",
    "apar.eval.independence": "apar.verify.measure",
    "apar.eval.losses": "apar.verify.losses",
    "apar.eval.merge": "apar.verify.merge",
    "apar.eval.reading": "apar.verify.scorer",
    "apar.structure.criteria": "apar.structure.labels",
    "apar.structure.markers": "apar.structure.pseudo_lists",
    "apar.structure.script": "apar.structure.cjk",
    "apar.train.start": "apar.train.initial_model",
    "apar.train.stream": "apar.train.batches",
}


class _Signpost(MetaPathFinder):
    """The last finder that Python asks: a module that it knows was found by no other."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name in _MOVED:
            raise ModuleNotFoundError(f"{name} has moved: import {_MOVED[name]}", name=name)


def put_up_signpost() -> None:
    """Have Python say where a module of this package has moved to."""
    sys.meta_path.append(_Signpost())
