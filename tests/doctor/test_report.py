from __future__ import annotations

import pytest

from apar.doctor.report import Check, Finding, examine, lacking
from apar.errors import RunError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("operator torchvision::nms does not exist\nmore"), "RuntimeError: operator torchvision::nms"),
        (OSError("libc10_cuda.so: cannot open shared object file"), "OSError: libc10_cuda.so"),
        (AssertionError(), "AssertionError"),
        (RunError("no answer within 3 seconds"), "no answer within 3 seconds"),
    ],
)
def test_whatever_a_check_raises_is_a_broken_row_with_the_reason(error: Exception, told: str) -> None:
    def look() -> Finding:
        raise error

    check = examine("one", ("local",), look, "install it again")
    assert (check.finding.status, check.finding.advice) == ("broken", "install it again")
    assert check.finding.found.startswith(told)
    assert "\n" not in check.finding.found


def test_only_what_a_subject_needs_keeps_it_from_working() -> None:
    checks = [
        Check("a", Finding("missing", "", ""), ("local",)),
        Check("b", Finding("ok", "", ""), ("vllm",)),
        Check("c", Finding("broken", "", "")),
    ]
    assert [check.name for check in lacking(checks, "local")] == ["a"]
    assert lacking(checks, "vllm") == []
