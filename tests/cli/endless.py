"""`apar` with a model that never ends an answer to a question with `endless`, and tells the list to any other."""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator
from typing import Any

from apar.cli import answering, main
from apar.events import Delta, Event, Started
from tests.scripted import ScriptedLLM


class EndlessLLM(ScriptedLLM):
    def stream(self, prompt: Any, params: Any) -> Generator[Event, None, Any]:
        if "endless" not in prompt[-1]["content"]:
            return (yield from super().stream(prompt, params))
        yield Started((0,), None, 0)
        for step in itertools.count():
            time.sleep(0.001)
            yield Delta((0,), step, (step,), "on ")
        raise AssertionError


def run() -> None:
    """Run the command line."""
    setattr(answering, "load_llm", lambda model, console, **loading: EndlessLLM())  # noqa: B010
    main()
