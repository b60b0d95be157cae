"""The start of a command: what can be refused is refused before anything heavy is imported, and loading is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from apar.cli.answering import spinner

pytest.importorskip("torch")

_HEAVY = ("torch", "transformers", "scipy", "sklearn")
_CODE = f"""
import json, sys
from apar.cli import main
try:
    main()
    code = 0
except SystemExit as end:
    code = end.code
print("\\n" + json.dumps([code, [name for name in {_HEAVY!r} if name in sys.modules]]))
"""


class Hub(BaseHTTPRequestHandler):
    """A hub without models, which keeps count of what it is asked."""

    asked = 0

    def do_GET(self) -> None:
        Hub.asked += 1
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    Hub.asked = 0
    with HTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def refused(folder: Path, *words: str, hub: str = "http://127.0.0.1:9") -> tuple[str, int, list[str]]:
    """Standard error of a command in a process of its own, its exit code, and what heavy it had imported."""
    own = {"HF_ENDPOINT": hub, "HF_HOME": str(folder), "APAR_MODELS": str(folder), "HF_HUB_OFFLINE": "0"}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")} | own
    command = [sys.executable, "-c", _CODE, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    code, heavy = json.loads(done.stdout.splitlines()[-1])
    return done.stderr, code, heavy


@pytest.mark.parametrize(
    "words",
    [["generate", "./gone/x/", "Q"], ["chat", "./gone/x/"], ["serve", "./gone/x/"], ["demo", "--model", "./gone/x/"]],
)
def test_a_missing_folder_is_refused_before_anything_heavy_is_imported(tmp_path: Path, words: list[str]) -> None:
    told, code, heavy = refused(tmp_path, *words)
    assert (code, heavy) == (2, [])
    assert told.splitlines()[-1] == "apar: there is no model folder gone/x"


def test_a_mistyped_name_is_refused_after_a_question_to_the_hub(tmp_path: Path, hub: str) -> None:
    told, code, heavy = refused(tmp_path, "generate", "Qwen/Qwen-mistyped", "Q", hub=hub)
    assert (code, heavy) == (2, [])
    assert Hub.asked <= 2  # its client may ask again without a key
    assert told == (
        "apar: cannot load the model Qwen/Qwen-mistyped: there is no such folder, and from the hub: it has no model of "
        "that name, or a private one\n"
    )


def test_without_a_network_a_name_is_refused_at_once(tmp_path: Path) -> None:
    told, code, heavy = refused(tmp_path, "generate", "OWNER/NAME", "Q")
    assert (code, heavy, told.count("\n")) == (2, [], 1)
    assert "there is no such folder, and from the hub: it cannot be reached (" in told


def test_an_adapter_is_looked_for_as_well(tmp_path: Path, hub: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    told, code, heavy = refused(
        tmp_path, "generate", str(tmp_path / "model"), "Q", "--adapter", "OWNER/ADAPTER", hub=hub
    )
    assert (code, heavy) == (2, [])
    assert "cannot load the model OWNER/ADAPTER: there is no such folder" in told


def test_what_the_cache_has_is_loaded_without_asking(tmp_path: Path, hub: str) -> None:
    (tmp_path / "hub" / "models--OWNER--NAME" / "snapshots" / "1").mkdir(parents=True)
    code = "from apar.models.model_source import check_present; check_present('OWNER/NAME')"
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert Hub.asked == 0


def test_decoding_imports_no_scikit_learn_and_no_scipy(tiny: Path) -> None:
    told, code, heavy = refused(tiny, "generate", str(tiny), "Q", "--max-tokens", "3")
    assert (code, heavy) == (0, ["torch", "transformers"]), told


def test_a_line_on_the_terminal_says_that_a_model_of_the_hub_loads(capsys: pytest.CaptureFixture[str]) -> None:
    for terminal, told in ((True, "apar: loading owner/name\n"), (False, "")):
        with spinner("owner/name", Console(stderr=True, force_terminal=terminal)):
            pass
        assert capsys.readouterr().err == told
