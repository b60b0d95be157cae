"""`apar serve` with the tiny model in a process of its own, with a key, as clients find it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.fixtures import TINY
from tests.server.processes import PATIENCE, Running, running, wait_until

KEY = "a-key-of-the-tests"
MODEL = "tiny"
# Loading imports PyTorch, which takes long on a busy machine.
_LOADING_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Served:
    """The server that is ready."""

    process: Running

    @property
    def origin(self) -> str:
        return f"http://{self.process.host}:{self.process.port}"

    @property
    def url(self) -> str:
        """What clients call the base URL."""
        return f"{self.origin}/v1"

    def post(self, path: str, body: Any) -> httpx.Response:
        """Ask without the help of any client of the API."""
        key = {"Authorization": f"Bearer {KEY}"}
        return httpx.post(self.origin + path, json=body, headers=key, timeout=PATIENCE, trust_env=False)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        families = parse(self.process.ask("/metrics").body.decode())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        assert samples, f"there is no metric {name}"
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def check_idle(self) -> None:
        """Fail unless all answers come to an end and every block is free."""
        wait_until(lambda: not self.metric("apar_answers_open"), "no answer is open")
        wait_until(lambda: not self.metric("apar_engine_blocks", state="held"), "no block is held")


def later_word(text: str) -> str:
    """A word that does not begin in the first third of an answer: a stop text. Fails where there is none."""
    found = [word for word in re.findall(r"\b[a-z]{4,}\b", text) if text.index(word) > len(text) // 3]
    assert found, f"no word is new in the last two thirds of {text!r}"
    return found[0]


@contextmanager
def serving(*words: str, model: str = str(TINY)) -> Iterator[Served]:
    """`apar serve MODEL WORDS` until the end of the context, ready at its begin; fails if its log tells of a failure.

    The name of the model is `tiny`.
    """
    words = ("--served-model-name", MODEL, "--port", "0", "--api-key", KEY, *words)
    with running("apar", "serve", model, *words) as process:
        end = time.monotonic() + _LOADING_SECONDS
        while not any("the model is ready" in line for line in process.lines):
            assert process.process.poll() is None, process.lines
            assert time.monotonic() < end, process.lines
            time.sleep(0.05)
        yield Served(process)
        assert process.stop() == 0, process.lines
        assert not any("Traceback" in line for line in process.lines), "".join(process.lines)
