"""Prompts become requests in any thread of the host program."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from apar.decoding.params import SamplingParams
from apar.decoding.requests import Limits, RequestBuilder
from apar.decoding.vocabulary import Vocabulary
from apar.tokens import ControlTokens
from tests.tiny import tiny_model


def _builder(tokenizer: Any) -> RequestBuilder:
    return RequestBuilder(Vocabulary.of(tokenizer), Limits("the engine", 10_000))


def test_control_tokens_in_prompts_stay_text_when_several_threads_encode(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model(tmp_path))
    builder = _builder(tokenizer)
    control = ControlTokens.of(tokenizer)
    found: list[list[int]] = []

    def encode() -> None:
        for _ in range(300):
            found.append(builder.build("What does [Fork] mean? " * 3, None).prompt)

    threads = [threading.Thread(target=encode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1200
    assert len({tuple(ids) for ids in found}) == 1
    assert not {control.fork, control.child} & set(found[0])


def test_a_request_without_parameters_has_the_defaults(tmp_path: Path) -> None:
    builder = _builder(AutoTokenizer.from_pretrained(tiny_model(tmp_path)))
    several = [SamplingParams(max_tokens=3), SamplingParams()]
    assert builder.build("a", None).params == SamplingParams()
    assert [request.params for request in builder.build_all(["a", "b"], several)] == several
