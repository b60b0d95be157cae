"""The command line of `apar serve`, up to the point where it would listen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from apar.cli.serve import _forking
from apar.decoding.requests import Limits
from apar.errors import ModelError, UserError
from apar.models.model_source import model_source
from tests.cli.conftest import Run
from tests.engine.tiny import tiny_tokenizer
from tests.server.calls import call

pytest.importorskip("fastapi")

from apar.server.forking import Forking


class Started:
    """What the server was started with, instead of being started."""

    def __init__(self, apar: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
        self._apar = apar
        self.app: Any = None
        self.options: dict[str, Any] = {}
        monkeypatch.delenv("APAR_API_KEY", raising=False)
        monkeypatch.setattr("apar.server.http.server.serve", self._serve)
        monkeypatch.setattr("apar.cli.serve.check_present", model_source)  # the demo's base need not be here
        monkeypatch.setattr("apar.cli.serve.backend_maker", lambda *given: self._make)

    def __call__(self, *words: str) -> Run:
        return self._apar("serve", "demo", *words)

    def refuses(self, *words: str) -> str:
        """Fail unless the words are refused before anything starts; returns the error."""
        run = self(*words)
        assert (run.code, self.app) == (2, None), run
        return run.err

    def status(self, host: str, path: str = "/version") -> int:
        """Of a request to the application that was to be served."""
        headers = [(b"host", host.encode())]
        return asyncio.run(call(self.app, path, headers=headers, method="GET", root_path="")).status

    def allows(self, origin: str) -> bool:
        """Whether the application lets pages of an origin read its answers."""
        headers = [(b"host", b"localhost"), (b"origin", origin.encode())]
        sent = asyncio.run(call(self.app, "/version", headers=headers, method="GET", root_path=""))
        return sent.headers.get(b"access-control-allow-origin") == origin.encode()

    def _serve(self, app: Any, health: Any, name: str, **options: Any) -> None:
        self.app, self.options = app, options

    def _make(self) -> Any:
        raise AssertionError("no engine is made before the server runs")


@pytest.fixture
def serve(apar: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> Started:
    return Started(apar, monkeypatch)


def test_by_default_names_of_other_machines_are_refused(serve: Started) -> None:
    assert serve().code == 0
    assert serve.status("localhost:8000") == 200
    assert serve.status("evil.example:8000") == 421


def test_names_are_allowed_one_by_one_or_in_a_list(serve: Started) -> None:
    serve("--allowed-hosts", "a.example, b.example", "--allowed-hosts", "c.example")
    assert [serve.status(f"{name}.example") for name in "abcd"] == [200, 200, 200, 421]


def test_with_a_key_every_name_will_do(serve: Started) -> None:
    serve("--api-key", "secret")
    assert serve.status("a.example") == 200


def test_a_key_that_is_set_but_empty_is_refused(serve: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--api-key is empty" in serve.refuses("--api-key", "")
    monkeypatch.setenv("APAR_API_KEY", "")
    assert "$APAR_API_KEY is empty; set it to a key, or unset it" in serve.refuses()
    assert "$APAR_API_KEY is empty" in serve.refuses("--backend", "vllm", "--server", "vllm")
    assert serve("--api-key", "secret").code == 0
    assert serve.status("localhost", "/v1/models") == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_server_that_others_reach_without_a_key_is_started_with_a_warning(serve: Started, host: str) -> None:
    assert serve("--host", host).err == f"warning: whoever reaches {host} may ask this server: it has no --api-key\n"
    assert serve("--host", host, "--api-key", "secret").err == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.9"])
def test_a_server_of_this_machine_alone_needs_no_key(serve: Started, host: str) -> None:
    assert serve("--host", host).err == ""
    assert serve.options["host"] == host


def test_origins_come_one_by_one_or_in_a_list(serve: Started) -> None:
    serve("--cors-origins", "https://a.example, https://b.example", "--cors-origins", " http://localhost:3000 ")
    told = [serve.allows(name) for name in ("https://b.example", "http://localhost:3000", "https://c.example")]
    assert told == [True, True, False]


def test_what_no_page_has_for_its_origin_is_refused(serve: Started) -> None:
    assert "; write https://b.example" in serve.refuses("--cors-origins", "https://a.example, https://b.example/")


@pytest.mark.parametrize("option", ["--cors-origins", "--allowed-hosts"])
def test_a_list_of_nothing_is_refused(serve: Started, option: str) -> None:
    assert f"{option} is empty" in serve.refuses(option, " , ")


def test_the_other_servers_name_of_the_model_needs_that_server(serve: Started) -> None:
    said = serve.refuses("--remote-model", "x")
    assert "--remote-model" in said
    assert "--url" in said


@pytest.mark.parametrize("words", [(), ("--url", "http://127.0.0.1:1")])
def test_threads_of_the_processor_are_those_of_our_engine_in_this_process(
    serve: Started, words: tuple[str, ...]
) -> None:
    assert "--cpu-threads is of --backend local" in serve.refuses("--backend", "vllm", *words, "--cpu-threads", "2")


def test_what_is_no_name_of_a_host_is_refused(serve: Started) -> None:
    assert "'http://a.example' is no name of a host" in serve.refuses("--allowed-hosts", "http://a.example")


def test_drafts_are_options_of_the_engine_that_is_served(
    serve: Started, apar: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setattr("apar.cli.serve.backend_maker", lambda *given: made.append(given) or serve._make)
    assert serve("--medusa", "heads", "--drafts", "all", "--max-rows", "3").code == 0
    [(model, choice, loading)] = made
    assert (model, choice.backend) == ("demo", "local")
    assert loading == {"medusa": "heads", "drafts": "all", "max_rows": 3}
    told = apar("serve", "--help").out
    assert "--medusa HEADS" in told
    assert "--drafts KIND" in told


def test_the_engine_in_process_is_made_with_the_drafts_that_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from apar.cli.options.backend import BackendChoice, backend_maker

    asked: dict[str, Any] = {}
    monkeypatch.setattr("apar.engine.async_llm.AsyncLLM", lambda model, **loading: asked.update(loading))
    choice = BackendChoice("local", None, None, None, None, None, None, ())
    backend_maker("demo", choice, {"medusa": "heads", "drafts": "medusa"})()
    assert asked == {"medusa": "heads", "drafts": "medusa"}


class Backend:
    """A backend that was loaded: whether its model was trained to fork, and whether it can by rules."""

    def __init__(self, forks: bool, by_rules: bool) -> None:
        self.forks, self.closed = forks, False
        self.limits = Limits("this engine", 100, by_rules=by_rules)
        self.tokenizer = tiny_tokenizer(control=False)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("by_rules", [True, False])
def test_a_model_that_does_not_fork_is_told_of_at_the_start(capsys: pytest.CaptureFixture[str], by_rules: bool) -> None:
    def started(forks: bool, policy: Any) -> str:
        backend: Any = Backend(forks, by_rules)
        assert _forking(lambda: backend, Forking(policy))() is backend
        return capsys.readouterr().err

    told = started(False, "auto")
    assert told.startswith("apar: --fork auto: the model was not trained to fork, and answers have one thread")
    assert told.count("\n") == 1
    assert ("--fork rules would fork" in told) == by_rules
    assert started(True, "auto") == started(False, "off") == started(True, "model") == ""


@pytest.mark.parametrize(
    ("policy", "error", "told"),
    [("rules", UserError, "this engine cannot fork by the form of the text"), ("model", ModelError, "was not trained")],
)
def test_what_a_backend_cannot_is_refused_at_the_start(policy: Any, error: type[Exception], told: str) -> None:
    backend: Any = Backend(False, False)
    with pytest.raises(error, match=told):
        _forking(lambda: backend, Forking(policy))()
    assert backend.closed


@pytest.mark.parametrize(
    ("words", "forking"),
    [
        ((), Forking("auto")),
        (("--fork", "on"), Forking("auto")),
        (("--fork", "rules", "--max-items", "5"), Forking("rules", 5)),
        (("--fork", "model"), Forking("model")),
    ],
)
def test_what_forks_is_an_option_of_the_server(
    serve: Started, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], forking: Forking
) -> None:
    given: list[Forking] = []
    monkeypatch.setattr("apar.server.app.guarded_app", lambda settings, *rest: given.append(settings.forking))
    assert serve(*words).code == 0
    assert given == [forking]


def test_what_is_no_policy_is_refused(serve: Started) -> None:
    assert "'model', 'rules', 'off', 'auto'" in serve.refuses("--fork", "form")
    assert "--max-items" in serve.refuses("--max-items", "0")
    assert "--max-items is of our own server" in serve.refuses(
        "--backend", "vllm", "--server", "vllm", "--max-items", "2"
    )
