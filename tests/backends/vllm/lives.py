"""Random answers decoded by a real vLLM that forks in its core, compared with the oracle; many are aborted.

    python -m tests.backends.vllm.lives --cases 10000

Requests come and go at random, on caches so small that threads are preempted. Every answer that is not aborted
must have the oracle's tokens, and nothing may be left behind. Oracles are of as many requests as `--requests`
says, drawn again and again; a request whose answer hangs on a tie of logits is not used.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from apar.assemble import Assembler
from apar.backends.vllm.engine_args import SCHEDULER
from apar.backends.vllm.request_options import MAX_DEPTH, MAX_THREADS
from apar.decoding.params import SamplingParams
from tests.backends.vllm.tiny import CONTEXT, control, forking_model, texts
from tests.engine.tiny import random_prompt
from tests.oracle import Oracle

CONFIGURATIONS: tuple[dict[str, Any], ...] = (
    {"num_gpu_blocks_override": 400, "max_num_seqs": 64},
    {"num_gpu_blocks_override": 14, "max_num_seqs": 16},
    {"num_gpu_blocks_override": 40, "max_num_seqs": 4, "scheduling_policy": "priority"},
    {"num_gpu_blocks_override": 24, "max_num_seqs": 32, "max_num_batched_tokens": 64},
)


@dataclass(frozen=True)
class Wanted:
    """A request, and what its answer must be: the tokens in reading order, and whether its length was cut."""

    prompt: list[int]
    params: SamplingParams
    tokens: list[int]
    cut: bool


@dataclass
class Tally:
    """What has happened."""

    answers: int = 0
    aborted: int = 0
    differences: int = 0
    forks: int = 0
    preemptions: int = 0
    steps: int = 0
    recomputed_tokens: int = 0
    left_behind: list[str] = field(default_factory=list)


def make_wanted(model: Any, count: int, seed: int) -> list[Wanted]:
    """Random requests with the oracle's answers."""
    rng = random.Random(seed)
    found = []
    while len(found) < count:
        prompt = random_prompt(rng, 40)
        params = SamplingParams(
            max_tokens=rng.choice([1, 8, 30, 60, 90]),
            seed=0,
            max_threads=rng.choice([2, 4, 8, 32]),
            max_depth=rng.choice([2, 3, 4]),
        )
        exact, noisy = (
            Oracle(model, texts(), control(), CONTEXT, prompt, params, noise=noise)
            for noise in (None, random.Random(seed))
        )
        if exact.run() == noisy.run():
            reason = any(getattr(event, "reason", None) == "length" for event in exact.events)
            found.append(Wanted(prompt, params, _reading(exact), reason))
    return found


def _reading(oracle: Oracle) -> list[int]:
    assembler = Assembler()
    for event in oracle.events:
        assembler.feed(event)
    assembler.end()
    return [token for delta in assembler.deltas() for token in delta.token_ids]


class Lives:
    """A vLLM in this process with the scheduler that forks, and requests that come and go at random."""

    def __init__(
        self, folder: Path, wanted: Sequence[Wanted], seed: int, asynchronous: bool = False, **options: Any
    ) -> None:
        from vllm import LLM

        with _scheduling_ahead() if asynchronous else contextlib.nullcontext():
            self.llm = LLM(
                str(folder),
                dtype="float32",
                enforce_eager=True,
                block_size=32,
                scheduler_cls=SCHEDULER,
                max_model_len=CONTEXT,
                gpu_memory_utilization=0.1,
                disable_log_stats=False,
                **options,
            )
        self.engine: Any = self.llm.llm_engine
        self.scheduler: Any = self.engine.engine_core.engine_core.scheduler
        self.accepted = 0
        self._count_accepted()
        self.wanted, self.rng = wanted, random.Random(seed)
        self.tally = Tally()
        self.open: dict[str, Wanted] = {}

    def run(self, cases: int) -> Tally:
        """Let so many requests live and die."""
        begun = 0
        while begun < cases or self.open:
            while begun < cases and len(self.open) < 12 and self.rng.random() < 0.4:
                self._begin(str(begun))
                begun += 1
            if self.open and self.rng.random() < 0.03:
                self._abort(self.rng.choice(list(self.open)))
            self._step()
        self.tally.forks = self.scheduler.costs.forks
        self.tally.recomputed_tokens = self.scheduler.costs.recomputed_tokens
        for _ in range(3):  # steps under way have to come back
            self.engine.step()
        self._check()
        return self.tally

    def ask(self, requests: Sequence[dict[str, Any]]) -> list[str]:
        """Why each of some requests with further parameters ended."""
        from vllm import SamplingParams as VllmParams

        for number, extra in enumerate(requests):
            params = VllmParams(temperature=0, max_tokens=20, **extra)
            self.engine.add_request(f"asked {number}", {"prompt_token_ids": [5, 9]}, params)
        ends: dict[str, str] = {}
        while len(ends) < len(requests):
            ends |= {
                output.request_id: output.outputs[0].finish_reason for output in self.engine.step() if output.finished
            }
        return [ends[f"asked {number}"] for number in range(len(requests))]

    def until_only_children_run(self) -> set[str]:
        """Step until answers go on whose first thread has ended; return the ids of their requests."""
        for number in range(40):
            self._begin(str(number))
        while True:
            self._step()
            roots = {tree.root.request_id for tree in self.scheduler._forked.values()}
            if roots := roots - self.scheduler.requests.keys():
                return roots

    def close(self) -> None:
        """End the engine, so that this process can have another one."""
        from vllm.distributed import cleanup_dist_env_and_memory

        self.engine.engine_core.shutdown()
        cleanup_dist_env_and_memory()

    def _count_accepted(self) -> None:
        """Count the tokens of drafts that were accepted."""
        observe = self.scheduler.make_spec_decoding_stats

        def counted(*args: Any, num_accepted_tokens: int, **values: Any) -> Any:
            self.accepted += num_accepted_tokens
            return observe(*args, num_accepted_tokens=num_accepted_tokens, **values)

        self.scheduler.make_spec_decoding_stats = counted

    def _begin(self, name: str) -> None:
        from vllm import SamplingParams as VllmParams

        one = self.rng.choice(self.wanted)
        extra = {MAX_THREADS: one.params.max_threads, MAX_DEPTH: one.params.max_depth}
        params = VllmParams(temperature=0, max_tokens=one.params.max_tokens, extra_args=extra, detokenize=False)
        self.engine.add_request(name, {"prompt_token_ids": one.prompt}, params)
        self.open[name] = one

    def _abort(self, name: str) -> None:
        self.engine.abort_request([name])
        del self.open[name]
        self.tally.aborted += 1

    def _step(self) -> None:
        self.tally.steps += 1
        preempted = {request: each.num_preemptions for request, each in self.scheduler.requests.items()}
        for output in self.engine.step():
            one = self.open.get(output.request_id)
            if one is None or not output.finished:
                continue
            del self.open[output.request_id]
            [completion] = output.outputs
            tokens = [token for token in completion.token_ids if token not in control().eos]
            self.tally.answers += 1
            cut = completion.finish_reason == "length"
            if tokens != one.tokens or cut != one.cut:
                self.tally.differences += 1
                print(f"request {output.request_id}: {tokens} is not {one.tokens} ({cut}, {one.cut})", file=sys.stderr)
        self.tally.preemptions += sum(
            each.num_preemptions - preempted.get(request, 0) for request, each in self.scheduler.requests.items()
        )

    def _check(self) -> None:
        """Nothing of any answer is left in the scheduler."""
        scheduler, pool = self.scheduler, self.scheduler.kv_cache_manager.block_pool
        left = {
            "requests": len(scheduler.requests),
            "trees": len(scheduler._forked),
            "heirs": len(scheduler._handover),
            "running": len(scheduler.running),
            "waiting": len(scheduler.waiting),
            # One block is vLLM's own, which stands for none.
            "blocks": pool.num_gpu_blocks - 1 - pool.get_num_free_blocks(),
        }
        self.tally.left_behind = [f"{count} {name}" for name, count in left.items() if count]


@contextlib.contextmanager
def _scheduling_ahead() -> Iterator[None]:
    """On the CPU vLLM schedules no pass before it knows the tokens of the last one: have it do so."""
    from vllm.platforms.cpu import CpuPlatform

    settle = CpuPlatform.check_and_update_config.__func__

    def settle_ahead(cls: Any, config: Any) -> None:
        settle(cls, config)
        config.scheduler_config.async_scheduling = True

    with mock.patch.object(CpuPlatform, "check_and_update_config", classmethod(settle_ahead)):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--configuration", type=int, choices=range(len(CONFIGURATIONS)), default=1)
    parser.add_argument("--asynchronous", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    with tempfile.TemporaryDirectory() as name:
        model = forking_model(Path(name), fork=14.0, eos=-2.0)
        wanted = make_wanted(model, options.requests, options.seed)
        configuration = CONFIGURATIONS[options.configuration]
        lives = Lives(Path(name), wanted, options.seed, asynchronous=options.asynchronous, **configuration)
        tally = lives.run(options.cases)
    print(json.dumps({**asdict(tally), "configuration": configuration, "asynchronous": options.asynchronous}))
    sys.exit(bool(tally.differences or tally.left_behind))


if __name__ == "__main__":
    main()
