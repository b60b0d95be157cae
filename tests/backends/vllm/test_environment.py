"""The environment that `make test-vllm` makes."""

from __future__ import annotations

from apar.backends.vllm.versions import require_vllm


def test_the_vllm_that_is_found_is_the_one_that_is_imported() -> None:
    found = require_vllm()
    import vllm

    assert vllm.__version__.partition("+")[0] == found.version.partition("+")[0]
