"""The server's documents say what the code does: fields, errors, limits, and command lines."""

from __future__ import annotations

import re
import shlex

import pytest

from apar.cli.serve import command
from apar.server.protocol.chat import ChatRequest
from apar.server.protocol.completion import CompletionRequest
from apar.server.protocol.fields import Parallel
from apar.server.protocol.unsupported import refusal_of
from tests.deploy.files import ROOT, serve, shell_words

TEXT = (ROOT / "docs" / "server.md").read_text("utf-8")
SERVER = ROOT / "src" / "apar" / "server"


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def names(text: str) -> list[str]:
    """What stands between backticks and is a name."""
    return re.findall(r"`([a-z_]+)`", text)


def first_cells(title: str) -> list[str]:
    rows = re.findall(r"^\| ([^|]*) \|", section(title), re.MULTILINE)
    return [name for cell in rows for name in names(cell)]


def test_the_table_of_fields_is_that_of_the_requests() -> None:
    told = first_cells("Fields of a request")
    assert len(told) == len(set(told))
    assert set(told) == ChatRequest.model_fields.keys() | CompletionRequest.model_fields.keys()


def test_the_table_of_our_own_fields_is_theirs() -> None:
    [ours] = re.findall(r"\| field of `apar` .*?\n\n", section("Threads"), re.DOTALL)
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", ours, re.MULTILINE)
    assert {name for name, _ in rows} == Parallel.model_fields.keys()
    for name, default in rows:
        given = Parallel.model_fields[name].default
        if given is not None:
            assert default.strip('`"') == str(given).lower(), name


def test_fields_that_are_said_to_be_refused_are() -> None:
    [paragraph] = re.findall(
        r"Fields that ask for what there is not.*?With the value", section("Fields of a request"), re.S
    )
    refused = set(names(paragraph)) - {"n"}
    assert len(refused) > 15
    assert all(refusal_of(name, "something", {}) for name in refused)


def test_every_code_of_an_error_is_told() -> None:
    sources = [path.read_text("utf-8") for path in SERVER.rglob("*.py")]
    codes = {code for source in sources for code in re.findall(r'code="(\w+)"', source)}
    assert len(codes) > 10
    assert codes <= set(names(section("Errors")))


@pytest.mark.parametrize("option", ["max-open", "max-body", "request-timeout", "drain"])
def test_limits_are_those_by_default(option: str) -> None:
    [told] = re.findall(rf"\| ([\d ]\S*)[^|]* \| `--{option}` \|", section("Limits"))
    [parameter] = [each for each in command.params if f"--{option}" in each.opts]
    assert re.findall(r"\d+", told)[0] == re.findall(r"\d+", str(parameter.default))[0]


def lines() -> list[str]:
    found = []
    for name in ("README.md", "docs/server.md", "docs/vllm.md"):
        blocks = re.findall(r"```sh\n(.*?)```", (ROOT / name).read_text("utf-8"), re.DOTALL)
        found += [line for block in blocks for line in block.splitlines() if line.startswith("apar serve")]
    return found


@pytest.mark.parametrize("line", lines())
def test_a_line_that_starts_the_server_parses(line: str) -> None:
    words = shell_words(line.split(" #")[0])
    assert serve(words)["model"] in ("demo", "MODEL")


def test_there_are_lines_in_every_document() -> None:
    assert len(lines()) >= 8


def test_pictures_and_files_that_are_linked_are_there() -> None:
    for document in (ROOT / "docs" / "server.md", ROOT / "docs" / "deployment.md", ROOT / "docs" / "metrics.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{target} in {document.name}"


def test_docker_lines_name_files_that_are_there() -> None:
    text = (ROOT / "docs" / "deployment.md").read_text("utf-8")
    files = [word for line in text.splitlines() for word in _words(line) if word.startswith("deploy/")]
    assert len(files) >= 4
    assert all((ROOT / file).exists() for file in files)


def _words(line: str) -> list[str]:
    return shlex.split(line.split("#")[0].rstrip("\\")) if line.startswith(("docker", "kubectl", "APAR_MODEL")) else []
