"""What a server sends without end is not kept."""

from __future__ import annotations

import pytest

from apar.errors import RequestError, RunError
from tests.client.fake import FakeChat, Reply
from tests.client.test_chat import connect, told


def test_a_line_without_end_is_an_error_and_is_not_kept() -> None:
    endless = [b"x" * 2**20] * 40
    fake = FakeChat(distort=lambda pieces: [*pieces[:5], *endless, *pieces[5:]])
    error = pytest.raises(RunError, match="16 MiB without the end of a line")
    with fake.running() as url, connect(url) as server, error:
        told(server)


def test_a_refusal_without_end_is_told_by_its_begin() -> None:
    endless = Reply(400, {"error": {"message": "no " * 2**20}}, {"Content-Length": str(2**40)})
    error = pytest.raises(RequestError, match=r"refuses the request \(400\): .*no no no")
    with FakeChat(refuse=lambda body: endless).running() as url, connect(url, timeout=5) as server, error as raised:
        told(server)
    assert len(str(raised.value)) < 1000


def test_of_an_answer_to_a_plain_question_only_the_begin_is_read() -> None:
    models = {"data": [{"id": "m" * 2**22}]}
    with FakeChat(models=models).running() as url, pytest.raises(RunError, match="does not list its models"):
        connect(url)
