"""What a training tells while it runs: a line of JSON for every step, a progress report, and sample answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from apar.data.files import atomic_write

OnStep = Callable[[dict[str, Any]], None]
"""Called with the log line of every step and of every evaluation, and before them where answers are left out with
their ids as `refused`; each has `step`."""
LOG = "log.jsonl"


class StepLog(TrainerCallback):
    """Writes `OUTPUT/log.jsonl`: step, loss, rate, gradient norm, tokens and seconds of each step, held-out losses."""

    def __init__(self, output: Path, tokens: int, report: OnStep, *, done: int) -> None:
        """`tokens` is those of a step; `done` the steps that a resumed training has behind it: later lines go."""
        self._path, self._tokens, self._report, self._done = output / LOG, tokens, report, done
        self._began = time.perf_counter()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            kept = self._lines_until(self._done) if self._done else []
            with atomic_write(self._path) as file:
                file.writelines(line + "\n" for line in kept)

    def _lines_until(self, step: int) -> list[str]:
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        return [line for line in lines if _step_of(line) <= step]

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if not logs or "loss" not in logs or not state.is_world_process_zero:
            return
        seconds = time.perf_counter() - self._began
        line = {"step": state.global_step, "loss": logs["loss"], "rate": logs["learning_rate"]}
        self._tell({**line, "norm": logs.get("grad_norm"), "tokens": self._tokens, "seconds": round(seconds, 4)})

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        if metrics and state.is_world_process_zero:
            held_out = {name.removeprefix("eval_"): value for name, value in metrics.items() if name != "epoch"}
            self._tell({"step": state.global_step, "held_out": held_out})

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        # The last step is measured, wherever it falls.
        if state.global_step >= state.max_steps and args.eval_strategy != "no":
            control.should_evaluate = True
        return control

    def _tell(self, line: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._report(line)


def _step_of(line: str) -> float:
    """The step of a line of the log; of one that a kill has torn a step that never comes."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


class SampleAnswers(TrainerCallback):
    """Writes answers to held-out prompts as trees to `OUTPUT/answers/STEP.txt` at each evaluation."""

    def __init__(self, output: Path, answer: Callable[[Any], str]) -> None:
        """`answer` gives the text of the file for a model; of several processes one answers, but of sharded models."""
        self._folder, self._answer = output / "answers", answer

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero and not (args.fsdp or args.deepspeed):
            return
        text = self._answer(model)
        if state.is_world_process_zero:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{state.global_step}.txt").write_text(text, encoding="utf-8")
