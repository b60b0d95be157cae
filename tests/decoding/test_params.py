"""What a request may ask."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from apar.decoding.params import SamplingParams
from apar.errors import RequestError


def _from_dict(params: SamplingParams) -> SamplingParams:
    return SamplingParams(**asdict(params))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("seed", -1),
        ("stop", "a string"),
        ("stop", ("",)),
        ("stop", (3,)),
        ("fork", 1),
        ("max_threads", 0),
        ("max_depth", 0),
        ("n", 0),
        ("min_p", 1.5),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", 1e-300),
        ("repetition_penalty", 1e39),
        ("presence_penalty", 2.5),
        ("frequency_penalty", float("inf")),
        ("logprobs", 21),
        ("logprobs", -1),
        ("logit_bias", [(1, 2.0)]),
        ("priority", 0.5),
        ("repeated_leads", "end it"),
        ("repeated_leads", True),
    ],
)
def test_a_value_out_of_range_is_refused_by_name_and_value(field: str, value: Any) -> None:
    with pytest.raises(RequestError) as refusal:
        SamplingParams(**{field: value})
    assert str(refusal.value).startswith(f"{field} is {value!r}; it must be ")


@pytest.mark.parametrize(("biases", "named"), [({-1: 1.0}, "-1"), ({3: 101}, "logit_bias of 3"), ({"a": 1}, "'a'")])
def test_a_bias_out_of_range_is_named(biases: Any, named: str) -> None:
    with pytest.raises(RequestError, match=named):
        SamplingParams(logit_bias=biases)


def test_a_bias_cannot_be_changed_afterwards_and_parameters_can_be_compared_and_hashed() -> None:
    biases = {3: 1.0}
    params = SamplingParams(logit_bias=biases)
    biases[3] = 2.0
    assert params.logit_bias == {3: 1.0}
    assert params == SamplingParams(logit_bias={3: 1.0})
    assert len({params, SamplingParams()}) == 2


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda params: pickle.loads(pickle.dumps(params)), _from_dict])
def test_parameters_can_be_copied_pickled_and_turned_into_plain_data(
    twin: Callable[[SamplingParams], SamplingParams],
) -> None:
    params = SamplingParams(temperature=0.5, logit_bias={3: 1.0}, stop=("a",))
    assert twin(params) == params


def test_stop_strings_may_come_as_a_list() -> None:
    assert SamplingParams(stop=["a"]).stop == ("a",)  # type: ignore[arg-type]


def test_importing_the_parameters_imports_no_torch() -> None:
    program = "import sys, apar.decoding.params; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
