"""What a request may ask."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from apar.engine.params import SamplingParams
from apar.errors import RequestError


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
    ],
)
def test_a_value_out_of_range_is_refused_by_name_and_value(field: str, value: Any) -> None:
    with pytest.raises(RequestError) as refusal:
        SamplingParams(**{field: value})
    assert str(refusal.value).startswith(f"{field} is {value!r}; it must be ")


def test_stop_strings_may_come_as_a_list() -> None:
    assert SamplingParams(stop=["a"]).stop == ("a",)  # type: ignore[arg-type]


def test_importing_the_parameters_imports_no_torch() -> None:
    program = "import sys, apar.engine.params; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
