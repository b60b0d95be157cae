"""A backend that is a server elsewhere: its faults are not told as the client's, nor its address."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from apar.backends.backend import GroupBackend
from apar.decoding.group import Group
from apar.decoding.requests import Limits
from apar.decoding.vocabulary import Vocabulary
from apar.errors import AparError, BusyError, ModelError, RequestError, RunError
from apar.events import Event
from tests.engine.tiny import VOCABULARY, tiny_tokenizer
from tests.server.serving import Told, serving, wait_for

SECRET = "http://10.0.0.7:8000 refuses the API key"


class Broken(GroupBackend):
    """Fails at every answer when it is decoded."""

    def __init__(self, error: AparError) -> None:
        vocabulary = Vocabulary.of(tiny_tokenizer())
        super().__init__(vocabulary, Limits("the engine", 128, vocabulary.control, VOCABULARY))
        self._error = error

    async def decode(self, group: Group) -> AsyncGenerator[list[Event], None]:
        raise self._error
        yield []

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RequestError(SECRET), 502, "behind_failed"),
        (ModelError(SECRET), 502, "behind_failed"),
        (RunError(SECRET), 502, "behind_failed"),
        (BusyError(SECRET), 503, "unavailable"),
    ],
)
@pytest.mark.parametrize("n", [1, 2])
def test_what_the_server_behind_refuses_is_no_fault_of_the_client(
    error: AparError, status: int, code: str, n: int
) -> None:
    with serving(lambda: Broken(error), backend="remote") as site:
        wait_for(lambda: site.health.status == "ok", "loaded")
        whole = site.chat("a", n=n)
        assert (whole.status_code, whole.json()["error"]["code"]) == (status, code)
        told = Told.of(site.chat("a", n=n, stream=True).text)
        assert told.chunks[-1]["error"]["code"] == code
        assert "10.0.0.7" not in whole.text + str(told.chunks)
        assert site.metric("apar_answers_failed_total") == 2 * n
        own: Any = site.chat("a", logit_bias={"999": 1}).json()
        assert own["error"]["message"].startswith("logit_bias names token 999"), "this is the client's"


@pytest.mark.parametrize(("error", "status"), [(RequestError("too long"), 400), (BusyError("full"), 429)])
@pytest.mark.parametrize("n", [1, 3])
def test_the_status_does_not_depend_on_how_many_answers_are_asked_for(error: AparError, status: int, n: int) -> None:
    with serving(lambda: Broken(error)) as site:
        wait_for(lambda: site.health.status == "ok", "loaded")
        assert site.chat("a", n=n).status_code == status
