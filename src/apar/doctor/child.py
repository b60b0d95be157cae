"""Looking at a library from a process of its own: one that crashes or hangs there takes nothing along.

`python -m apar.doctor.child NAME ARGUMENT...` prints the facts of that name as the last line, in JSON.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

from apar.errors import RunError

SECONDS = 180.0


def ask(name: str, *arguments: str, seconds: float = SECONDS) -> dict[str, Any]:
    """The facts of that name (`apar.doctor.facts`). Raises RunError with the reason where there are none."""
    # Without -P a file in the working directory could stand in for a library.
    command = [sys.executable, "-P", "-m", __name__, name, *arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise RunError(f"no answer within {seconds:.0f} seconds") from None
    answer = _last_line(done.stdout)
    if done.returncode != 0 or not answer.startswith("{"):
        raise RunError(_ending(done.returncode, _last_line(done.stderr)))
    facts: dict[str, Any] = json.loads(answer)
    if "error" in facts:
        raise RunError(facts["error"])
    return facts


def _ending(code: int, last: str) -> str:
    """How a process ended that gave no answer."""
    if code >= 0:
        return last or f"it ended with code {code}"
    names = {one.value: one.name for one in signal.Signals}
    return f"it crashed ({names.get(-code, f'signal {-code}')})"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _main(name: str, *arguments: str) -> None:
    from apar.doctor.check import reason
    from apar.doctor.facts import FACTS

    try:
        facts = FACTS[name](*arguments)
    except Exception as error:  # whatever a broken library raises
        facts = {"error": reason(error)}
    print("\n" + json.dumps(facts))


if __name__ == "__main__":
    _main(*sys.argv[1:])
