"""The command `schemathesis`, which asks for whatever our own description allows and forbids.

Many more examples by hand: `python -m tests.server.clients.test_schemathesis --max-examples 5000`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.server.clients import schemathesis_hooks as hooks
from tests.server.clients.commands import run_command
from tests.server.served import KEY, Served, serving

ROOT = Path(__file__).resolve().parents[3]


def explore(served: Served, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it with all its checks, on answers as short as its hooks make them."""
    given = ["--header", f"Authorization: Bearer {KEY}", "--checks", "all", "--continue-on-failure", *words]
    found = {"SCHEMATHESIS_HOOKS": hooks.__name__, "PYTHONPATH": str(ROOT)}
    address = f"{served.origin}/openapi.json"
    return run_command("schemathesis", "run", address, *given, environment=found, folder=folder, seconds=36000)


def failed(served: Served) -> float:
    """How many requests were answered by 500 or worse."""
    return sum(served.metric("apar_requests_total", status=str(status)) for status in range(500, 600))


def test_it_finds_nothing_wrong_with_the_api(served: Served, tmp_path: Path) -> None:
    before, failures = served.metric("apar_answers_total"), failed(served)
    run = explore(served, tmp_path, "--phases", "coverage,fuzzing", "--max-examples", "20", "--seed", "1")
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr
    tried = re.search(r"(\d+) generated, (\d+) passed", run.stdout)
    assert tried is not None, run.stdout
    assert int(tried[1]) == int(tried[2]) > 500
    assert served.metric("apar_answers_total") > before + 100, "most requests that are right are answered"
    assert failed(served) == failures
    served.check_idle()


def main() -> None:
    with serving("--cpu-threads", "1") as served, tempfile.TemporaryDirectory() as folder:
        run = explore(served, Path(folder), *sys.argv[1:])
        print(run.stdout[-8000:], run.stderr)
        print(f"{served.metric('apar_answers_total'):.0f} answers; {failed(served):.0f} requests answered by 5xx")
        served.check_idle()
    sys.exit(run.returncode)


if __name__ == "__main__":
    main()
