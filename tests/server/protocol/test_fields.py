"""What requests' forms take, and what their description says they take."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from apar.server.protocol.chat import ChatRequest, Turn
from apar.server.protocol.completion import CompletionRequest
from apar.server.protocol.fields import Parallel, Part, StreamOptions

CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "a"}]}


@pytest.mark.parametrize("form", [ChatRequest, CompletionRequest, Parallel, StreamOptions, Turn])
def test_fields_that_may_be_absent_may_be_null_and_are_described_so(form: type[Part]) -> None:
    schema = form.model_json_schema()
    for name, field in schema["properties"].items():
        nullable = {"type": "null"} in field.get("anyOf", [])
        assert nullable == (name not in schema.get("required", [])), name


def test_null_is_as_good_as_absent() -> None:
    optional = set(ChatRequest.model_fields) - set(CHAT)
    assert ChatRequest.model_validate({**CHAT, **dict.fromkeys(optional)}) == ChatRequest.model_validate(CHAT)


@pytest.mark.parametrize("name", ["model", "messages"])
def test_what_has_to_be_there_may_not_be_null(name: str) -> None:
    with pytest.raises(ValidationError, match=r"missing|required"):
        ChatRequest.model_validate({**CHAT, name: None})


def test_an_unknown_field_is_refused_though_it_is_null() -> None:
    with pytest.raises(ValidationError, match="unknown field temprature; did you mean temperature"):
        ChatRequest.model_validate({**CHAT, "temprature": None})
    ChatRequest.model_validate({**CHAT, "tools": None})


def test_what_becomes_of_repeated_leads_is_a_parameter_of_the_answers() -> None:
    asked = [ChatRequest.model_validate({**CHAT, "apar": apar}) for apar in ({}, {"repeated_leads": "end"})]
    assert [one.params(100, forks=True).repeated_leads for one in asked] == ["allow", "end"]
    with pytest.raises(ValidationError, match="repeated_leads"):
        ChatRequest.model_validate({**CHAT, "apar": {"repeated_leads": "skip"}})


def test_drafts_are_turned_off_by_the_request_alone() -> None:
    asked = [ChatRequest.model_validate({**CHAT, "apar": apar}) for apar in ({}, {"drafts": False})]
    assert [one.params(100, forks=True).drafts for one in asked] == [True, False]
    with pytest.raises(ValidationError, match="drafts"):
        ChatRequest.model_validate({**CHAT, "apar": {"drafts": "off"}})


def test_numbers_without_a_fraction_are_integers() -> None:
    asked = ChatRequest.model_validate({**CHAT, "n": 2.0, "top_k": -1.0, "apar": {"max_threads": 3.0}})
    assert (asked.n, asked.top_k, asked.apar.max_threads) == (2, -1, 3)
    assert CompletionRequest.model_validate({"model": "demo", "prompt": [[5.0], [6]]}).prompt == [[5], [6]]


@pytest.mark.parametrize("value", [2.5, True, "2", 1e300, float("inf")])
def test_other_values_are_no_integers(value: object) -> None:
    with pytest.raises(ValidationError):
        ChatRequest.model_validate({**CHAT, "n": value})


@pytest.mark.parametrize("seed", [0, -1, 2**63 - 1, -(2**63), 2**64 - 1])
def test_a_seed_may_be_any_integer_of_64_bits(seed: int) -> None:
    asked = ChatRequest.model_validate({**CHAT, "seed": seed})
    assert asked.params(context=100, forks=True).seed == seed % 2**64
