"""Prompts become requests in any thread of the host program."""

from __future__ import annotations

import threading
from pathlib import Path

from transformers import AutoTokenizer

from apar.decoding.params import SamplingParams
from apar.decoding.requests import RequestBuilder
from apar.tokens import ControlTokens
from tests.tiny import tiny_model


def test_control_tokens_in_prompts_stay_text_when_several_threads_encode(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model(tmp_path))
    intake = RequestBuilder(tokenizer, True, lambda ids, params: None)
    control = ControlTokens.of(tokenizer)
    found: list[list[int]] = []

    def encode() -> None:
        for _ in range(300):
            found.append(intake.one("What does [Fork] mean? " * 3, None).prompt)

    threads = [threading.Thread(target=encode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1200
    assert len({tuple(ids) for ids in found}) == 1
    assert not {control.fork, control.child} & set(found[0])


def test_a_request_without_parameters_has_the_defaults(tmp_path: Path) -> None:
    intake = RequestBuilder(AutoTokenizer.from_pretrained(tiny_model(tmp_path)), True, lambda ids, params: None)
    several = [SamplingParams(max_tokens=3), SamplingParams()]
    assert intake.one("a", None).params == SamplingParams()
    assert [request.params for request in intake.many(["a", "b"], several)] == several
