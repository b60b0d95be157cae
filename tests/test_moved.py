"""Old names of modules: the error names the new one, and there is a module of that name."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

import pytest

from apar.moved import moved


@pytest.mark.parametrize(("old", "new"), moved().items())
def test_an_old_name_is_told_the_new_one(old: str, new: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=rf"^{old} has moved: import {new}$"):
        importlib.import_module(old)
    assert find_spec(new)
