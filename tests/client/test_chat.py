from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from apar.assemble import tree_of
from apar.client.chat import ChatClient
from apar.client.chat_chunks import AnswerStats
from apar.decoding.params import SamplingParams
from apar.errors import AparError, BusyError, ContextError, ModelError, RequestError, RunError, UserError
from apar.events import Event, replay
from tests.client.fake import CUT, HANG, FakeChat, Reply, sent
from tests.scripted import LIST
from tests.trees import encoded

QUESTION = [{"role": "user", "content": "What helps?"}]


def connect(url: str, key: str | None = None, model: str | None = None, timeout: float = 30) -> ChatClient:
    return ChatClient(url, key, model, timeout, lambda text: None)


def told(server: ChatClient, params: SamplingParams | None = None) -> tuple[list[Event], AnswerStats]:
    """All events of an answer, and what was told at its end."""
    stream, events = server.stream(QUESTION, params or SamplingParams()), []
    while True:
        try:
            events.append(next(stream))
        except StopIteration as end:
            return events, end.value


def test_threads_come_as_the_events_that_an_engine_tells() -> None:
    with FakeChat().running() as url, connect(url) as server:
        events, reply = told(server)
    assert events == list(replay(encoded(LIST)))
    assert (reply.tokens, reply.steps, reply.threads, reply.finish_reason) == (len(LIST.text), 30, 3, "stop")


def test_a_server_of_somebody_else_gives_its_text_in_one_thread() -> None:
    fake = FakeChat(version={"version": "0.32.0"})
    with fake.running() as url, connect(url + "/v1/") as server:
        events, reply = told(server)
    assert tree_of(events).text == LIST.text
    assert {event.thread for event in events} == {(0,)}
    assert (reply.tokens, reply.steps, reply.threads) == (len(LIST.text), None, None)
    assert not server.forks
    assert "apar" not in fake.asked[0]


def test_a_text_with_every_kind_of_line_end_comes_whole_however_it_is_cut() -> None:
    text = "a\u2028b\u0085c\r\nd\n\nü"
    chunk = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]}

    def bytewise(pieces: list[bytes]) -> list[bytes]:
        return [bytes([byte]) for byte in sent(chunk) + b"data: [DONE]\n\n"]

    with FakeChat(version=None, distort=bytewise).running() as url, connect(url) as server:
        assert tree_of(told(server)[0]).text == text


def test_an_empty_answer_has_one_thread() -> None:
    chunk = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
    with FakeChat(version=None, distort=lambda pieces: [sent(chunk)]).running() as url, connect(url) as server:
        events, reply = told(server)
    assert tree_of(events).text == ""
    assert reply.finish_reason == "length"


def test_the_request_says_what_was_asked_for_and_nothing_that_changes_nothing() -> None:
    fake = FakeChat()
    with fake.running() as url, connect(url) as server:
        told(server)
        told(server, SamplingParams(max_tokens=9, temperature=0.5, top_k=3, seed=0, stop=("x",), fork=False,
                                    max_depth=2, logit_bias={5: 1.5}, repeated_leads="end", drafts=False))  # fmt: skip
    common = {"model": "tiny", "messages": QUESTION, "stream": True, "stream_options": {"include_usage": True}}
    threads = {"stream": "threads", "fork": True, "max_threads": 32, "max_depth": 4, "metrics": True}
    assert fake.asked[0] == {**common, "max_tokens": 512, "temperature": 0.0, "apar": threads}
    assert fake.asked[1] == {
        **common, "max_tokens": 9, "temperature": 0.5, "top_k": 3, "seed": 0, "stop": ["x"], "logit_bias": {"5": 1.5},
        "apar": {**threads, "fork": False, "max_depth": 2, "repeated_leads": "end", "drafts": False},
    }  # fmt: skip


@pytest.mark.parametrize(
    "params", [SamplingParams(n=2), SamplingParams(logprobs=0), SamplingParams(draft_acceptance="typical")]
)
def test_what_a_chat_does_not_show_or_a_server_has_not_is_refused(params: SamplingParams) -> None:
    with FakeChat().running() as url, connect(url) as server, pytest.raises(RequestError, match=r"leave (-|draft)"):
        told(server, params)


def test_closing_the_stream_closes_the_connection() -> None:
    fake = FakeChat(distort=lambda pieces: [*pieces[:9], HANG])
    with fake.running() as url, connect(url) as server:
        stream = server.stream(QUESTION, SamplingParams())
        next(stream)
        stream.close()
        assert fake.left.wait(30)


def test_a_server_that_is_loading_is_waited_for_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apar.client.chat._PAUSE_SECONDS", 0.0)
    said: list[str] = []
    fake = FakeChat(loading=4)
    with fake.running() as url, ChatClient(url, None, None, 30, said.append) as server:
        assert (server.model, len(said), fake.healths) == ("tiny", 1, 4)
        fake.loading = 3
        assert tree_of(told(server)[0]) == encoded(LIST)
    assert said == [f"the server at {url} is loading its model; waiting for it"] * 2


@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (
            Reply(429, {"error": {"message": "full"}}, {"Retry-After": "7"}),
            BusyError,
            r"\(429\): full; ask again in 7 s",
        ),
        (Reply(429, {}), BusyError, "ask again later"),
        (Reply(503, {"error": {"message": "stopping"}}), BusyError, r"\(503\): stopping"),
        (Reply(404, {"error": {"message": "no model x"}}), ModelError, "no model x"),
        (Reply(400, {"error": {"message": "bad", "code": None}}), RequestError, r"refuses the request \(400\): bad"),
        (
            Reply(400, {"error": {"message": "9 tokens", "code": "context_length_exceeded"}}),
            ContextError,
            "says: 9 tokens",
        ),
        (Reply(400, {"message": "the model's maximum context length is 9"}), ContextError, "length is 9"),
        (Reply(500, "oops"), RunError, r"failed \(500\): .*oops.*; its log says why"),
        (Reply(301, "", {"Location": "http://else.example/"}), RequestError, "elsewhere .*else.example"),
    ],
)
def test_a_refusal_is_an_error_that_says_what_where_and_what_to_do(
    reply: Reply, kind: type[AparError], message: str
) -> None:
    with FakeChat(refuse=lambda body: reply).running() as url, connect(url) as server:
        with pytest.raises(kind, match=message) as raised:
            told(server)
        assert url in str(raised.value)


def cut(pieces: list[bytes]) -> list[bytes]:
    return [*pieces[:9], CUT]


def failing(pieces: list[bytes]) -> list[bytes]:
    return [*pieces[:9], sent({"error": {"message": "no memory", "type": "server_error"}})]


def skipping(pieces: list[bytes]) -> list[bytes]:
    return [*pieces[:1], *pieces[9:]]


@pytest.mark.parametrize(
    ("distort", "message"),
    [
        (cut, "ended in the middle of the answer"),
        (failing, "failed in the middle of the answer: no memory"),
        (skipping, "threads that make no answer"),
        (lambda pieces: [], "ended in the middle"),
        (lambda pieces: [b"data: {broken\n\n"], "what is no chunk of a chat: {broken"),
        (lambda pieces: [b"data: 3\n\n"], "what is no chunk"),
        (lambda pieces: [b"data: " + b"[" * 100_000 + b"\n\n"], "what is no chunk"),
        (lambda pieces: [sent({"choices": [{"delta": {"content": 3}}]})], "what is no chunk"),
        (lambda pieces: [sent({"choices": [{}], "apar": {"events": [{"event": "grown"}]}})], "what is no chunk"),
        (lambda pieces: [sent({"choices": 3})], "what is no chunk"),
    ],
)
def test_a_stream_that_breaks_is_an_error(distort: Callable[[list[bytes]], list[bytes]], message: str) -> None:
    with FakeChat(distort=distort).running() as url, connect(url) as server, pytest.raises(RunError, match=message):
        told(server)


def test_a_wrong_key_is_told_before_anything_is_asked() -> None:
    with FakeChat(key="secret").running() as url:
        with pytest.raises(RequestError, match=r"refuses the API key \(401\).*--api-key"):
            connect(url, "guess")
        with connect(url, "secret") as server:
            assert tree_of(told(server)[0]) == encoded(LIST)


@pytest.mark.parametrize("key", ["schlüssel", "a\nb"])
def test_a_key_that_no_request_can_carry_is_refused(key: str) -> None:
    with FakeChat().running() as url, pytest.raises(UserError, match="the API key has characters"):
        connect(url, key)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"data": [{"id": "a"}, {"id": "b"}]}, "has 2 models; name one by --model: a, b"),
        ({"data": []}, "has 0 models"),
        ({"data": 3}, "does not list its models"),
    ],
)
def test_a_server_without_one_model_needs_its_name(models: object, message: str) -> None:
    with FakeChat(models=models).running() as url:
        with pytest.raises(AparError, match=message):
            connect(url)
        with connect(url, model="b") as server:
            assert server.model == "b"


def test_silence_beyond_the_timeout_is_an_error() -> None:
    fake = FakeChat(distort=lambda pieces: [*pieces[:9], HANG])
    with fake.running() as url, connect(url, timeout=0.2) as server:
        with pytest.raises(RunError, match="said nothing for too long in the middle of the answer; raise --timeout"):
            told(server)
        assert fake.left.wait(30)


def test_a_server_that_is_not_there_cannot_be_reached() -> None:
    with FakeChat().running() as url:
        pass
    with pytest.raises(RunError, match="cannot be reached"):
        connect(url)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://h", ""])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="no URL"):
        connect(url)


def test_asking_a_server_needs_none_of_what_decodes_here() -> None:
    code = (
        "import json, sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'tokenizers', 'numpy']));"
        "from apar.cli import cli; from click.testing import CliRunner;"
        "result = CliRunner().invoke(cli, ['chat', '--url', sys.argv[1]], input='Why?');"
        "print(json.dumps([result.exit_code, result.output]))"
    )
    with FakeChat().running() as url:
        done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
    exit_code, output = json.loads(done.stdout)
    assert exit_code == 0
    assert LIST.text in output


def test_rules_are_asked_of_a_server_that_has_them() -> None:
    fake = FakeChat()
    with fake.running() as url, connect(url) as server:
        told(server, SamplingParams(fork_by="rules", max_items=3))
        told(server, SamplingParams(fork_by="auto"))
    assert [asked["apar"]["fork"] for asked in fake.asked] == ["rules", "auto"]
    assert fake.asked[0]["apar"]["max_items"] == 3
    other, refusal = (
        FakeChat(version={"version": "0.32.0"}),
        pytest.raises(RequestError, match="leave --fork rules out"),
    )
    with other.running() as url, connect(url) as server, refusal:
        told(server, SamplingParams(fork_by="rules"))
