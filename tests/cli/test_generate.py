from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from apar.assemble import tree_of
from apar.decoding.params import SamplingParams
from apar.events import Event, read_trace, replay
from tests.cli.conftest import Run
from tests.scripted import LIST, ScriptedLLM
from tests.trees import encoded

Apar = Callable[..., Run]


def test_the_answer_goes_to_standard_output_and_its_numbers_to_standard_error(
    apar: Apar, scripted: ScriptedLLM
) -> None:
    code, out, err = apar("generate", "any", "What helps?")
    assert code == 0
    assert out == LIST.text
    assert err.count("\n") == 1
    assert err.startswith(f"{len(LIST.text)} tokens in ")
    assert ", 3 threads, " in err


def test_an_answer_without_a_last_line_end_gets_one(apar: Apar, scripted: ScriptedLLM) -> None:
    run = apar("generate", "any", "What helps?", "--stop", "\n2.")
    assert run.out == LIST.text.partition("\n2.")[0] + "\n"


def test_options_reach_the_engine(apar: Apar, scripted: ScriptedLLM) -> None:
    apar("generate", "any", "Q", "--fork", "off", "--max-tokens", 9, "--temperature", 0.5, "--top-p", 0.9,
         "--top-k", 3, "--seed", 11, "--stop", "a", "--stop", "b", "--max-threads", 2)  # fmt: skip
    expected = SamplingParams(
        max_tokens=9, temperature=0.5, top_p=0.9, top_k=3, seed=11, stop=("a", "b"), fork=False, max_threads=2
    )
    assert scripted.asked == [("Q", expected)]


def test_options_of_sampling_reach_the_engine(apar: Apar, scripted: ScriptedLLM) -> None:
    apar("generate", "any", "Q", "--min-p", 0.1, "--repetition-penalty", 1.2, "--presence-penalty", 0.3,
         "--frequency-penalty", 0.4, "--logit-bias", "5=2", "--logit-bias", "7=-1.5", "--logprobs", 2,
         "--max-depth", 2, "--repeated-leads", "end")  # fmt: skip
    expected = SamplingParams(
        min_p=0.1, repetition_penalty=1.2, presence_penalty=0.3, frequency_penalty=0.4,
        logit_bias={5: 2.0, 7: -1.5}, logprobs=2, max_depth=2, repeated_leads="end",
    )  # fmt: skip
    assert scripted.asked == [("Q", expected)]


def test_several_answers_are_printed_one_after_the_other(apar: Apar, scripted: ScriptedLLM) -> None:
    code, out, err = apar("generate", "any", "Q", "-n", 2, "--temperature", 1)
    assert code == 0
    assert out == LIST.text * 2
    assert [line.partition(":")[0] for line in err.splitlines()] == ["answer 1 of 2, seed 7", "answer 2 of 2, seed 7"]
    lines = apar("generate", "any", "Q", "-n", 2, "--json").out.splitlines()
    assert [json.loads(line)["choice"] for line in lines] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("--logit-bias", "x=1"), "--logit-bias x=1"), (("-n", 2, "--live"), "--live"), (("--min-p", 2), "min_p is 2")],
)
def test_options_that_do_not_fit_are_one_line(
    apar: Apar, scripted: ScriptedLLM, arguments: tuple[str | int, ...], named: str
) -> None:
    code, _, err = apar("generate", "any", "Q", *arguments)
    assert code != 0
    assert err.count("\n") == 1
    assert named in err


def test_without_options_the_engines_defaults_hold(apar: Apar, scripted: ScriptedLLM) -> None:
    apar("generate", "any", "Q")
    assert scripted.asked == [("Q", SamplingParams())]


def test_the_seed_of_a_sampled_answer_is_told(apar: Apar, scripted: ScriptedLLM) -> None:
    assert "seed 7" in apar("generate", "any", "Q", "--temperature", 1).err
    assert "seed" not in apar("generate", "any", "Q").err


def test_a_dash_reads_the_prompt_from_standard_input(
    apar: Apar, scripted: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Was hülfe?\n".encode())))
    assert apar("generate", "any", "-").code == 0
    assert scripted.asked[0][0] == "Was hülfe?\n"


def test_json_is_one_line_and_nothing_else(apar: Apar, scripted: ScriptedLLM) -> None:
    code, out, err = apar("generate", "any", "Q", "--json", "--live")
    assert (code, err) == (0, "")
    assert out.splitlines(keepends=True) == [out]
    answer = json.loads(out)
    assert answer["text"] == LIST.text
    assert set(answer) >= {
        "text", "finish_reason", "threads", "forks", "tokens", "steps", "critical_path", "forward_passes", "seconds",
        "tokens_per_second", "tokens_per_step", "kv_blocks_peak", "mode", "seed",
    }  # fmt: skip


def test_without_a_terminal_live_writes_plain_text(apar: Apar, scripted: ScriptedLLM) -> None:
    run = apar("generate", "any", "Q", "--live")
    assert run.out == LIST.text
    assert "\x1b" not in run.out + run.err


def test_a_trace_holds_the_events_of_the_answer(apar: Apar, scripted: ScriptedLLM, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    assert apar("generate", "any", "Q", "--trace", trace).code == 0
    assert list(read_trace(trace)) == list(replay(encoded(LIST)))
    assert tree_of(read_trace(trace)) == encoded(LIST)


def test_a_trace_that_cannot_be_written_costs_no_answer(apar: Apar, scripted: ScriptedLLM, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    run = apar("generate", "any", "Q", "--trace", tmp_path / "file" / "trace.jsonl")
    assert run.code != 0
    assert run.err.startswith("apar: cannot write")
    assert scripted.asked == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-tokens", "0"], "max_tokens is 0"),
        (["--temperature", "-1"], "temperature is -1"),
        (["--top-p", "1.5"], "top_p is 1.5"),
        (["--max-threads", "0"], "max_threads is 0"),
        (["--stop", ""], "stop is"),
    ],
)
def test_a_value_out_of_range_is_one_line_and_exit_code_two(
    apar: Apar, scripted: ScriptedLLM, arguments: list[str], message: str
) -> None:
    code, out, err = apar("generate", "any", "Q", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"apar: {message}")
    assert err.count("\n") == 1
    assert scripted.asked == []


@pytest.mark.parametrize("data", [b"", b" \n", b"\xff\xfe"])
def test_a_prompt_that_is_empty_or_no_text_is_refused(
    apar: Apar, scripted: ScriptedLLM, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    code, _, err = apar("generate", "any", "-")
    assert code == 2
    assert "the prompt" in err


def test_an_interruption_leaves_no_traceback_and_no_half_written_trace(
    apar: Apar, scripted: ScriptedLLM, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    closed = []

    def stream(prompt: str, params: SamplingParams) -> Generator[Event, None, None]:
        try:
            yield from list(replay(encoded(LIST)))[:20]
            raise KeyboardInterrupt
        finally:
            closed.append(True)

    monkeypatch.setattr(scripted, "stream", stream)
    code, out, err = apar("generate", "any", "Q", "--trace", tmp_path / "trace.jsonl")
    assert code == 130
    assert LIST.text.startswith(out)
    assert err.strip() == "apar: interrupted"
    assert closed == [True]
    assert list(tmp_path.iterdir()) == []


def test_a_base_installation_is_told_what_to_install(apar: Apar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    code, _, err = apar("generate", "any", "Q")
    assert code == 2
    assert err.count("\n") == 1
    assert "apar-llm[local]" in err


def test_the_shipped_adapter_is_told_how_to_be_made_where_it_is_missing(
    apar: Apar, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("apar.demo._HERE", tmp_path)
    code, _, err = apar("generate", "demo", "Q")
    assert code == 2
    assert "apar train recipes/smollm2.yaml" in err


def test_a_real_model_answers_in_threads_and_sequentially(apar: Apar, tiny: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    run = apar("generate", tiny, "How can I sleep?", "--max-tokens", 40, "--json", "--trace", trace)
    answer = json.loads(run.out)
    assert (run.code, answer["mode"], answer["tokens"]) == (0, "forked", 40)
    assert answer["forks"] > 0
    assert answer["steps"] < answer["tokens"]
    assert tree_of(read_trace(trace)).text == answer["text"]
    asked = ("generate", tiny, "How can I sleep?", "--max-tokens", 40)
    sequential = json.loads(apar(*asked, "--json", "--sequential").out)
    same = ("text", "threads", "forks", "tokens", "steps")
    assert {name: sequential[name] for name in same} == {name: answer[name] for name in same}
    assert sequential["mode"] == "sequential"
    assert sequential["forward_passes"] >= 40 > answer["forward_passes"]
    passes = f"40 tokens in {sequential['forward_passes']} passes, one thread at a time"
    assert passes in apar(*asked, "--sequential").err
    unforked = json.loads(apar(*asked, "--json", "--fork", "off").out)
    assert (unforked["mode"], unforked["threads"], unforked["steps"]) == ("unforked", 1, 40)


def test_a_real_models_text_is_the_same_streamed_and_as_json(apar: Apar, tiny: Path) -> None:
    arguments = ("generate", tiny, "How can I sleep?", "--max-tokens", 30, "--temperature", 1, "--seed", 5)
    answer = json.loads(apar(*arguments, "--json").out)
    assert apar(*arguments).out.rstrip("\n") == answer["text"].rstrip("\n")


def test_a_model_without_control_tokens_is_refused_unless_forks_are_off(apar: Apar, tmp_path: Path) -> None:
    from tests.tiny import tiny_model

    model = tiny_model(tmp_path / "plain", control=False)
    code, _, err = apar("generate", model, "Q")
    assert code == 2
    assert "--fork off" in err
    assert err.count("\n") == 1
    for way in (["--fork", "off"], ["--sequential"]):
        assert apar("generate", model, "Q", *way, "--max-tokens", 5).code == 0


def test_a_model_that_was_not_trained_to_fork_decodes_one_thread_where_that_is_left_to_it(
    apar: Apar, tmp_path: Path
) -> None:
    from tests.tiny import tiny_model

    model = tiny_model(tmp_path / "plain", control=False)
    run = apar("generate", model, "Q", "--fork", "auto", "--max-tokens", 5)
    assert run.code == 0
    assert "--fork rules would fork" in run.err
    assert run.out == apar("generate", model, "Q", "--fork", "off", "--max-tokens", 5).out
    ruled = apar("generate", model, "Q", "--fork", "rules", "--max-items", 3, "--max-tokens", 5, "--json")
    assert ruled.code == 0
    assert json.loads(ruled.out)["not_forked"] == {}
    told = apar("generate", model, "Q", "--fork", "rules", "--max-tokens", 5, "--logprobs", 2, "--json")
    assert [len(each["top"]) for each in json.loads(told.out)["logprobs"]] == [2] * 5


def test_most_items_go_with_rules_only(apar: Apar) -> None:
    refused = apar("generate", "m", "Q", "--max-items", 3)
    assert refused.code == 2
    assert "add --fork rules, or leave it out" in refused.err


@pytest.mark.parametrize(
    ("value", "told"), [("core", "--fork core is now --fork-way core"), ("no", "'model', 'rules', 'off', 'auto'")]
)
def test_what_fork_meant_before_is_answered_with_its_new_name(
    apar: Apar, scripted: ScriptedLLM, value: str, told: str
) -> None:
    run = apar("generate", "any", "Q", "--fork", value)
    assert run.code == 2
    assert told in run.err


def test_with_forks_off_a_model_is_loaded_without_its_adapter(
    apar: Apar, scripted: ScriptedLLM, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    run = apar("generate", "any", "Q", "--adapter", adapter, "--dtype", "float32", "--fork", "off")
    assert scripted.loading == {"dtype": "float32"}
    assert f"any decodes without {adapter}, which was trained to fork" in run.err
    assert apar("generate", "any", "Q", "--adapter", adapter, "--sequential").code == 0
    assert scripted.loading == {"adapter": str(adapter)}


def test_a_folder_without_a_model_is_one_line(apar: Apar, tmp_path: Path) -> None:
    code, out, err = apar("generate", tmp_path, "Q")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert str(tmp_path) in err
