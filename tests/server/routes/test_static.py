"""The files of the page and of the description: nothing else is given away, and nothing comes from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest

from tests.engine.crowd import Crowd
from tests.server.serving import Site, serving, wait_for


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Crowd() as crowd, serving(lambda: crowd.llm, key="k") as site:
        yield site


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_need_no_key_and_name_files_of_this_server_alone(site: Site, path: str) -> None:
    response = site.client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    named = re.findall(r'(?:src|href)="([^"]+)"', response.text)
    assert len(named) >= 2
    assert not [name for name in named if "//" in name]
    for name in named:
        assert site.client.get(urljoin(path, name)).status_code == 200, name


@pytest.mark.parametrize(
    "name",
    ["nothing.js", "..%2Fapp.py", "%2e%2e%2fapp.py", "..%5capp.py", "%00", "%2fetc%2fpasswd", "index.html%00.js"],
)
def test_only_files_of_the_page_are_given(site: Site, name: str) -> None:
    for folder in ("page", "docs"):
        response = site.client.get(f"/{folder}/{name}")
        assert response.status_code == 404, response.text
        assert response.json()["error"]["code"] == "not_found"


def test_the_description_tells_of_the_key_and_of_every_error(site: Site) -> None:
    described = site.client.get("/openapi.json").json()
    chat = described["paths"]["/v1/chat/completions"]["post"]
    assert chat["security"]
    assert {"200", "400", "401", "404", "413", "429", "503"} <= chat["responses"].keys()
    assert "422" not in chat["responses"], "which is never the answer"
    example = described["components"]["schemas"]["ChatRequest"]["examples"][0]
    wait_for(lambda: site.health.status == "ok", "loaded")
    answered = site.client.post("/v1/chat/completions", json=example, headers={"authorization": "Bearer k"})
    assert answered.status_code == 200
    assert "security" not in described["paths"]["/health"]["get"]
