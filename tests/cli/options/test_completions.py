"""The commands with `--backend completions`, against a server of texts."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.backends.completions.fake import TextServer
from tests.cli.conftest import Run

Apar = Callable[..., Run]
ASKED = ("--backend", "completions", "--max-tokens", "150", "--json")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_a_model_at_any_server_forks_by_form(apar: Apar) -> None:
    with TextServer().running() as url:
        run = apar("generate", "lists", "Tips", "--fork", "rules", "--url", url, *ASKED)
    answer = json.loads(run.out)
    assert (run.code, answer["by_rules"], answer["mode"]) == (0, True, "forked")
    assert answer["forks"] >= 2
    assert answer["steps"] < answer["tokens"]


def test_without_rules_the_line_says_what_there_is(apar: Apar) -> None:
    with TextServer().running() as url:
        code, out, err = apar("generate", "lists", "Tips", "--url", url, *ASKED)
        assert (code, out) == (2, "")
        assert "--fork rules" in err
        run = apar("generate", "lists", "Tips", "--fork", "auto", "--url", url, *ASKED)
    assert (run.code, json.loads(run.out)["forks"]) == (0, 0)
    assert "--fork rules would fork" in run.err


def test_a_server_that_is_gone_is_one_line(apar: Apar) -> None:
    code, out, err = apar("generate", "lists", "Tips", "--fork", "rules", "--url", "http://127.0.0.1:9", *ASKED)
    assert (code, out) == (1, "")
    assert "cannot be reached" in err
    assert err.count("\n") == 1
