from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apar.backends.vllm.versions import installed

Apar = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--url", "http://localhost:1"], "--url is of vLLM or of another server; add --backend vllm"),
        (["--backend", "completions"], "--backend completions is a server elsewhere: give its --url"),
        (["--backend", "completions", "--url", "http://localhost:1", "--ranks", "2"], "--ranks is of a vLLM server"),
        (["--backend", "completions", "--url", "http://localhost:1", "--fork-way", "core"], "--fork-way is of vLLM"),
        (["--backend", "completions", "--url", "http://localhost:1", "--dtype", "float32"], "--dtype is of a model"),
        (["--fork-way", "core"], "--fork-way is of vLLM"),
        (["--vllm-config", "engine.yaml"], "--vllm-config is of vLLM"),
        (["--backend", "vllm", "--remote-model", "m"], "--remote-model is of a server: give its --url"),
        (["--backend", "vllm", "--ranks", "2"], "--ranks is of a server"),
        (["--backend", "vllm", "--url", "http://localhost:1", "--fork-way", "core"], "runs already"),
        (["--backend", "vllm", "--num-blocks", "9"], "--num-blocks is of --backend local"),
        (["--backend", "vllm", "--drafts", "ngram"], "--drafts ngram is of --backend local"),
        (["--backend", "vllm", "--drafts", "medusa"], "--drafts medusa needs heads: name their folder by --medusa"),
        (["--backend", "vllm", "--medusa", "h", "--url", "http://localhost:1"], "give --medusa where it is started"),
        (["--backend", "vllm", "--vllm-config", "missing.yaml"], "missing.yaml"),
    ],
)
def test_options_that_do_not_go_together_are_refused(apar: Apar, words: list[str], message: str) -> None:
    code, out, err = apar("generate", "demo", "Why?", *words)
    assert (code, out) == (2, "")
    assert message in err


def test_the_engine_in_process_is_taken_without_a_word(apar: Apar, scripted: Any) -> None:
    assert apar("generate", "m", "Why?")[0] == 0
    assert scripted.loading == {}


@pytest.mark.skipif(installed() is not None, reason="vLLM is installed")
@pytest.mark.parametrize(
    "words",
    [
        ["generate", "demo", "Why?", "--backend", "vllm"],
        ["generate", "demo", "Why?", "--backend", "vllm", "--vllm.seed", "3"],
        ["serve", "demo", "--backend", "vllm"],
    ],
)
def test_without_vllm_what_is_missing_is_said(apar: Apar, words: list[str]) -> None:
    code, out, err = apar(*words)
    assert (code, out) == (2, "")
    assert "vLLM is not installed" in err
    assert "docs/vllm.md" in err
