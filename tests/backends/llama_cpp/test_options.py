"""llama.cpp's own options, and which llama-cpp-python fits: nothing here needs it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from apar.backends.llama_cpp import versions
from apar.backends.llama_cpp.cells import sequences_for
from apar.backends.llama_cpp.options import Settings, parse_options, split_words
from apar.errors import ModelError, UserError


def test_words_of_llama_cpp_are_told_from_others() -> None:
    own, others = split_words(["model", "--llama.n-ctx", "512", "--json", "--llama.type-k=q8_0", "prompt"])
    assert own == ["--llama.n-ctx", "512", "--llama.type-k", "q8_0"]
    assert others == ["model", "--json", "prompt"]
    assert parse_options(own) == {"n_ctx": 512, "type_k": 8}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--llama.n-ctx"], "--llama.n-ctx needs a value"),
        (["--llama.n-ctx", "--json"], "--llama.n-ctx needs a value"),
        (["--llama.n-ctx", "many"], "--llama.n-ctx is 'many'; it must be a whole number of at least 1"),
        (["--llama.type-k", "q9"], "--llama.type-k is 'q9'; it must be one of f32, f16"),
        (
            ["--llama.n-seq-max", "4"],
            "llama.cpp has no option --llama.n-seq-max that can be chosen here",
        ),
    ],
)
def test_a_wrong_option_is_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        parse_options(split_words(words)[0])


def test_parameters_of_the_context_are_one_cache_for_all_sequences() -> None:
    settings = Settings(4, parse_options(["--llama.n-threads", "3", "--llama.flash-attn", "on"]))
    params = settings.context(2048, sequences_for(4))
    assert params["kv_unified"]
    assert params["n_seq_max"] == 12
    assert params["n_ctx"] == 2048
    assert params["n_threads"] == params["n_threads_batch"] == 3
    assert params["flash_attn_type"] == 1
    assert "flash_attn" not in params


def test_more_threads_than_llama_cpp_has_sequences_for_are_refused() -> None:
    assert sequences_for(Settings(85).max_rows) <= 256
    with pytest.raises(ModelError, match=r"max_rows is 86; with llama\.cpp it must be from 1 to 85"):
        Settings(86)


def test_a_missing_and_an_old_package_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "installed", lambda: None)
    assert not versions.is_usable()
    with pytest.raises(UserError, match=r"^llama-cpp-python is not installed, and this needs .* 0\.3\.36 or later"):
        versions.require_llama_cpp()
    monkeypatch.setattr(versions, "installed", lambda: "0.2.90")
    assert not versions.is_usable()
    with pytest.raises(UserError, match=r"^llama-cpp-python 0\.2\.90 is installed, and this needs"):
        versions.require_llama_cpp()
    monkeypatch.setattr(versions, "installed", lambda: versions.LOWEST)
    assert versions.require_llama_cpp() == versions.LOWEST


def test_the_bounds_are_those_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"llama-cpp-python>={versions.LOWEST},<{versions.BELOW}" in project["optional-dependencies"]["llama-cpp"]
