"""The shipped model: an adapter in the package, and a base that is fetched."""

from __future__ import annotations

import json

import pytest

from apar.demo import QUESTIONS, adapter_folder
from apar.demo.base import base_name
from apar.models.local_copies import how_to_get, is_cached, local_copy
from apar.tokens import CHILD, FORK

pytest.importorskip("torch")

MIB = 1 << 20


def test_the_adapter_is_small_and_names_a_base_that_can_be_got() -> None:
    from apar.models.adapter_files import read_info

    folder = adapter_folder()
    info = read_info(str(folder), "demo")
    assert info is not None
    assert info.base.name == base_name()
    assert how_to_get(info.base.name) is not None
    assert len(info.base.fingerprint) == 64
    assert info.control_tokens.keys() == {FORK, CHILD}
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert set(config["trainable_token_indices"]["embed_tokens"]) == set(info.control_tokens.values())
    assert sum(file.stat().st_size for file in folder.iterdir()) < 12 * MIB


def test_the_heads_are_small_and_of_the_shipped_adapter() -> None:
    from apar.demo import heads_folder
    from apar.models.adapter_files import adapter_fingerprint, read_info
    from apar.models.head_files import load_heads, read_heads_info

    folder = heads_folder()
    assert folder is not None
    info, adapter = read_heads_info(str(folder)), read_info(str(adapter_folder()), "demo")
    assert info is not None
    assert adapter is not None
    assert info.base == adapter.base
    assert info.adapter == adapter_fingerprint(str(adapter_folder()))
    assert load_heads(folder).shape.heads == 2
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4 * MIB


def test_a_question_for_tips_is_answered_in_threads() -> None:
    pytest.importorskip("peft")
    pytest.importorskip("gguf")
    from apar import LLM, SamplingParams

    base = base_name()
    if base is None or (local_copy(base) is None and not is_cached(base)):
        pytest.skip(f"the base of demo is not on this machine: {how_to_get(base or '')}")
    [answer] = LLM("demo", kv_memory="64MiB").generate(
        [QUESTIONS.read_text("utf-8").splitlines()[0]], SamplingParams(max_tokens=120, temperature=0)
    )
    assert answer.threads > 2
    assert answer.steps < answer.tokens
