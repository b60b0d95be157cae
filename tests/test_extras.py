from __future__ import annotations

import pytest

from apar.errors import UserError
from apar.extras import fits, require


@pytest.mark.parametrize(
    ("version", "bounds"),
    [
        ("2.13.0+cpu", ">=2.9"),
        ("0.33.9", ">=0.28,<0.34"),
        ("0.28", ">=0.28.0,<0.34"),
        ("5.19.0", ">=5.16.1,<5.20"),
        ("2.13.0", "==2.13"),
        ("0.4", ""),
        ("unknown", ""),
        ("10.0", "> 9.9, != 9.10"),
        ("1.0", "~=1.0"),
        ("0.33.1.dev4+g1", ">=0.28,<0.34"),
    ],
)
def test_a_version_within_bounds_fits(version: str, bounds: str) -> None:
    assert fits(version, bounds)


@pytest.mark.parametrize(
    ("version", "bounds"),
    [
        ("2.8.1", ">=2.9"),
        ("0.34.0rc1", ">=0.28,<0.34"),
        ("0.4", ">=0.28"),
        ("5.20.0", ">=5.16.1,<5.20"),
        ("unknown", ">=0"),
        ("2.13.1", "==2.13"),
        ("2.0", "~=1.0"),
        ("0.28.0rc1", ">=0.28"),
    ],
)
def test_a_version_out_of_bounds_does_not(version: str, bounds: str) -> None:
    assert not fits(version, bounds)


def test_a_package_that_is_missing_is_named_with_its_extra() -> None:
    require("local", "json")
    with pytest.raises(UserError, match=r"this needs no_such_package: .*'apar-llm\[remote\]'"):
        require("remote", "json", "no_such_package")
