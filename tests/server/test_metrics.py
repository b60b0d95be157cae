"""The server's metrics: their names are the documented ones, their format is valid, and labels are bounded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from apar.decoding.answer import Answer
from apar.server.metrics import Metrics
from tests.engine.drafts.known import guess_everything
from tests.engine.test_engine import tiny_engine
from tests.server.scraped import answers, families, metrics, value, values

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def everything() -> Metrics:
    """Metrics in which everything has happened once."""
    subject, engine = metrics(), guess_everything(tiny_engine(blocks=24), width=3)
    subject.watch(engine.statistics)
    for answer in answers(engine):
        subject.answered(answer)
    subject.request("/v1/chat/completions", 200)
    subject.refused("busy")
    subject.cancelled()
    subject.failed()
    return subject


def documented() -> dict[str, tuple[str, set[str], str]]:
    """Type, labels and meaning by name, as the document's table has them."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels)), meaning) for name, kind, labels, meaning in rows}


def test_the_documented_table_is_exactly_what_is_told() -> None:
    told = {}
    for family in families(everything()).values():
        if not family.name.startswith("process_"):
            name = family.name + "_total" * (family.type == "counter")
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            told[name] = (family.type, labels, family.documentation)
    assert told == documented()


def test_names_have_the_prefix_and_counters_end_in_total() -> None:
    names = documented()
    assert all(name.startswith("apar_") for name in names)
    assert all(name.endswith("_total") == (kind == "counter") for name, (kind, _, _) in names.items())
    assert all(meaning.endswith(".") for _, _, meaning in names.values())


def test_the_process_is_told_of_in_the_same_text() -> None:
    assert value(metrics(), "process_resident_memory_bytes") > 1e6


def test_what_is_served_is_told() -> None:
    assert value(metrics(), "apar_info", backend="local", model="demo", version="1.2.3") == 1


def test_two_servers_in_a_process_do_not_share_their_counts() -> None:
    first, second = metrics(), metrics()
    first.cancelled()
    assert value(first, "apar_answers_cancelled_total") == 1
    assert value(second, "apar_answers_cancelled_total") == 0


def test_answers_are_summed_by_mode() -> None:
    subject = metrics()
    forked, unforked = answers(tiny_engine()), answers(tiny_engine(), fork=False)
    for answer in forked + unforked:
        subject.answered(answer)
    for mode, group in [("forked", forked), ("unforked", unforked)]:
        sums: dict[str, Callable[[Answer], float]] = {
            "apar_visible_tokens_total": lambda answer: answer.tokens,
            "apar_prompt_tokens_total": lambda answer: answer.prompt_tokens,
            "apar_control_tokens_total": lambda answer: 2 * answer.forks,
            "apar_steps_total": lambda answer: answer.steps,
            "apar_forward_passes_total": lambda answer: answer.forward_passes or 0,
            "apar_answer_threads_sum": lambda answer: answer.threads,
            "apar_answer_threads_count": lambda _: 1,
            "apar_answer_kv_blocks_sum": lambda answer: answer.kv_blocks_peak,
            "apar_answer_first_token_seconds_count": lambda answer: answer.first_token_seconds is not None,
        }
        for name, amount in sums.items():
            assert value(subject, name, mode=mode) == pytest.approx(sum(map(amount, group))), name
    assert value(subject, "apar_draft_tokens_total", mode="forked") == 0
    assert value(subject, "apar_forks_total", mode="forked") > 0
    assert value(subject, "apar_forks_total", mode="unforked") == 0


def test_the_prompt_of_several_answers_to_a_request_counts_once() -> None:
    subject, engine = metrics(), tiny_engine()
    [answer] = answers(engine, 1)
    for choice in range(3):
        subject.answered(Answer(**{**_fields(answer), "choice": choice}))
    assert value(subject, "apar_prompt_tokens_total", mode="forked") == answer.prompt_tokens > 0
    assert value(subject, "apar_visible_tokens_total", mode="forked") == 3 * answer.tokens


def test_draft_tokens_are_counted_by_mode() -> None:
    subject = metrics()
    given = answers(guess_everything(tiny_engine()))
    for answer in given:
        subject.answered(answer)
    for name, counts in [("draft", [answer.drafted for answer in given]), ("accepted", [a.accepted for a in given])]:
        assert value(subject, f"apar_{name}_tokens_total", mode="forked") == sum(map(sum, counts)) > 0
        assert value(subject, f"apar_{name}_tokens_total", mode="unforked") == 0


def test_tokens_after_a_stop_string_are_discarded_ones() -> None:
    subject = metrics()
    given = answers(tiny_engine(), stop=("xxx",))
    for answer in given:
        subject.answered(answer)
    decoded = sum(answer.decoded for answer in given)
    visible = value(subject, "apar_visible_tokens_total", mode="forked")
    assert value(subject, "apar_discarded_tokens_total", mode="forked") == decoded - visible > 0


def test_an_answer_without_a_token_has_no_first_token_time() -> None:
    subject = metrics()
    [answer] = answers(tiny_engine(), 1)
    subject.answered(Answer(**{**_fields(answer), "first_token_seconds": None}))
    assert value(subject, "apar_answer_first_token_seconds_count", mode="forked") == 0
    assert value(subject, "apar_answer_seconds_count", mode="forked") == 1


def test_answers_under_way_go_up_and_down() -> None:
    subject = metrics()
    subject.opened()
    subject.opened()
    assert value(subject, "apar_answers_open") == 2
    subject.closed()
    assert value(subject, "apar_answers_open") == 1
    subject.closed()
    assert value(subject, "apar_answers_open") == 0


def counted(subject: Metrics, name: str, label: str) -> dict[str, float]:
    """The series of a counter that are not zero, by one of their labels."""
    told = {dict(labels).get(label, ""): number for (each, labels), number in values(subject).items() if each == name}
    return {key: number for key, number in told.items() if number}


def test_no_path_of_a_client_becomes_a_label() -> None:
    subject = metrics()
    paths = ["/v1/chat/completions", "/v1/models/demo", "/page/app.js", "/page/app.css", "/", "/docs/swagger-ui.css"]
    for path in [*paths, "/etc/passwd", "/v1/\n", "/é", "/pages", "/v1/models2", "/page.js"]:
        subject.request(path, 404)
    counts = {"/v1/chat/completions": 1, "/v1/models": 1, "/page": 2, "/": 1, "/docs": 1, "other": 6}
    assert counted(subject, "apar_requests_total", "endpoint") == counts


def test_reasons_are_there_before_the_first_refusal() -> None:
    subject = metrics()
    assert value(subject, "apar_requests_refused_total", reason="busy") == 0
    subject.refused("busy")
    assert counted(subject, "apar_requests_refused_total", "reason") == {"busy": 1}


def test_buckets_are_cumulative_and_end_with_all() -> None:
    subject = everything()
    found = 0
    for family in families(subject).values():
        if family.type == "histogram":
            buckets = [s.value for s in family.samples if s.name.endswith("_bucket") and s.labels["mode"] == "forked"]
            assert buckets == sorted(buckets)
            assert buckets[-1] == value(subject, f"{family.name}_count", mode="forked") > 0
            found += 1
    assert found == 6


def test_openmetrics_is_given_to_who_asks_for_it() -> None:
    body, media_type = everything().render(OPENMETRICS)
    assert media_type.startswith("application/openmetrics-text; version=1.0.0")
    told = {family.name: family.type for family in parse_openmetrics(body.decode())}
    assert told["apar_answer_seconds"] == "histogram"
    assert told["apar_answers"] == "counter"


def test_plain_text_is_given_to_all_others() -> None:
    for accept in ("", "*/*", "application/json", "text/plain;version=0.0.4"):
        assert metrics().render(accept)[1].startswith("text/plain; version=0.0.4")


def _fields(answer: Answer) -> dict[str, object]:
    return {name: getattr(answer, name) for name in Answer.__dataclass_fields__}


@pytest.mark.parametrize("accept", ["application/openmetrics-text;version=x;escaping=allow-utf-8", "\x00", "a/b;q=z"])
def test_a_header_that_is_none_is_answered_as_if_it_were_not_there(accept: str) -> None:
    body, media_type = everything().render(accept)
    assert media_type.startswith("text/plain")
    assert b"apar_info" in body
