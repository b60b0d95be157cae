"""Runs killed at random moments and started again: is the output that of a run left alone?

python -m tests.corpus.kills FILE... --times 20
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_NAMES = ("trees.jsonl", "report.json", "card.md")


def outputs(folder: Path) -> list[bytes]:
    """The files of a run, byte for byte."""
    return [(folder / name).read_bytes() for name in _NAMES]


def killed_and_resumed(files: Sequence[Path], folder: Path, times: int, seed: int = 0) -> tuple[int, bool]:
    """Kill a run at `times` random moments, each time going on with it, then let it end.

    Returns how often it was killed before it had ended, and whether its output is that of a run left alone.
    """
    chance = random.Random(seed)
    alone, killed = folder / "alone", folder / "killed"
    began = time.monotonic()
    assert _start(files, alone).wait() == 0
    takes = time.monotonic() - began
    kills = 0
    while kills < times:
        process = _start(files, killed)
        try:
            process.wait(timeout=chance.uniform(0.3, 1.0) * takes)
        except subprocess.TimeoutExpired:
            kills += 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (killed / "report.json").exists():
            if outputs(alone) != outputs(killed):
                return kills, False
            shutil.rmtree(killed)
    assert _start(files, killed).wait() == 0
    return kills, outputs(alone) == outputs(killed)


def _start(files: Sequence[Path], output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "apar", "extract", *map(str, files), "-o", str(output), "--processes", "2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--times", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kills, same = killed_and_resumed(options.files, Path(folder), options.times)
    print(f"killed {kills} times; the output is {'the same' if same else 'ANOTHER'}")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
