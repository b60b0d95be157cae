from __future__ import annotations

from pathlib import Path

import pytest

from apar.backends.vllm.passthrough_flags import parse_options, read_config, split_words, to_words
from apar.errors import ConfigError, UserError


def test_words_for_vllm_are_told_from_the_others_with_their_values() -> None:
    words = ["m", "--vllm.tensor-parallel-size", "4", "--vllm.enforce-eager", "Why?", "--vllm.seed=3", "--json"]
    own, rest = split_words(words)
    assert own == ["--vllm.tensor-parallel-size", "4", "--vllm.enforce-eager", "--vllm.seed=3"]
    assert rest == ["m", "Why?", "--json"]


def test_what_stands_behind_two_dashes_is_left_alone() -> None:
    assert split_words(["--vllm.seed", "1", "--", "--vllm.seed"]) == (["--vllm.seed", "1"], ["--", "--vllm.seed"])


def test_an_option_with_several_values_has_them_all() -> None:
    own, rest = split_words(["m", "--vllm.cudagraph-capture-sizes", "1", "2", "4", "--json"])
    assert own == ["--vllm.cudagraph-capture-sizes", "1", "2", "4"]
    assert rest == ["m", "--json"]


def test_options_are_read_by_vllms_own_parser() -> None:
    given = parse_options(
        ["--vllm.tensor_parallel_size", "4", "--vllm.gpu-memory-utilization=0.5", "--vllm.enforce-eager"]
    )
    assert given == {"tensor_parallel_size": 4, "gpu_memory_utilization": 0.5, "enforce_eager": True}


def test_an_option_counts_as_given_where_its_value_is_vllms_default() -> None:
    assert parse_options(["--vllm.scheduling-policy", "fcfs"]) == {"scheduling_policy": "fcfs"}


def test_an_option_may_be_json_or_a_key_of_it() -> None:
    words, rest = split_words(["--vllm.speculative-config.method", "ngram"])
    assert (words, rest) == (["--vllm.speculative-config.method", "ngram"], [])
    assert parse_options(words)["speculative_config"]["method"] == "ngram"
    given = parse_options(["--vllm.speculative-config", '{"method": "ngram"}'])
    assert given["speculative_config"] == {"method": "ngram"}


def test_the_options_of_the_server_are_known_to_serve_only() -> None:
    words = ["--vllm.tool-call-parser", "hermes"]
    assert split_words(words, server=True) == (words, [])
    with pytest.raises(UserError, match=r"no option --vllm\.tool-call-parser"):
        split_words(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vllm.no-such-thing", "3"], "no option"),
        (["--vllm.tensor-parallel-size"], "needs a value"),
    ],
)
def test_words_that_vllm_does_not_know_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_words(words)


def test_a_value_that_vllm_does_not_take_is_refused() -> None:
    with pytest.raises(UserError, match="vLLM's options"):
        parse_options(["--vllm.tensor-parallel-size", "many"])


def test_a_section_of_a_file_is_read_and_told_to_the_server(tmp_path: Path) -> None:
    file = tmp_path / "engine.yaml"
    file.write_text("vllm:\n  tensor-parallel-size: 2\n  enforce_eager: true\n  speculative_config: {method: ngram}\n")
    given = read_config(file)
    assert given == {"tensor_parallel_size": 2, "enforce_eager": True, "speculative_config": {"method": "ngram"}}
    assert to_words(given) == [
        "--tensor-parallel-size", "2", "--enforce-eager", "--speculative-config", '{"method": "ngram"}',
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["a: [", "other: {}", "vllm: 3", "vllm: {seed: 1}\nmore: 2", ""])
def test_a_file_without_such_a_section_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "engine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"engine\.yaml"):
        read_config(file)
