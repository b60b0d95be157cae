"""The compose file: its commands parse, its files are there, and nothing is open to the outside."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.deploy.files import DEPLOY, PORT, arguments, read_yaml, seconds, serve, words

SERVERS = ["apar", "apar-cuda"]


def services() -> dict[str, Any]:
    found: dict[str, Any] = read_yaml("compose.yaml")["services"]
    return found


def with_defaults(word: str) -> str:
    """A word in which variables that nobody has set are replaced by their defaults."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word)


def dockerfile(service: dict[str, Any]) -> str:
    path = str(service["build"]["dockerfile"])
    assert (DEPLOY / service["build"]["context"] / path).is_file()
    return path.removeprefix("deploy/")


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_starts_by_a_line_that_parses(name: str) -> None:
    service = services()[name]
    params = serve([*words(dockerfile(service), "ENTRYPOINT"), *map(with_defaults, service["command"])])
    assert params["model"] == "demo"
    assert params["drain"] < seconds(service["stop_grace_period"])


@pytest.mark.parametrize("name", SERVERS)
def test_build_arguments_are_those_of_the_dockerfile(name: str) -> None:
    service = services()[name]
    known = {argument.split("=")[0] for argument in arguments(dockerfile(service), "ARG")}
    assert service["build"].get("args", {}).keys() <= known


@pytest.mark.parametrize("name", SERVERS)
def test_a_key_that_is_not_set_is_no_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a value the variable is that of whoever starts it, and left out where it is not set there.
    assert services()[name]["environment"]["APAR_API_KEY"] is None
    monkeypatch.delenv("APAR_API_KEY", raising=False)
    assert serve(["apar", "serve", "demo"])["api_key"] is None
    monkeypatch.setenv("APAR_API_KEY", "secret")
    assert serve(["apar", "serve", "demo"])["api_key"] == "secret"


@pytest.mark.parametrize("name", SERVERS)
def test_a_page_with_the_address_of_this_machine_for_its_name_is_refused(name: str) -> None:
    service = services()[name]
    params = serve([*words(dockerfile(service), "ENTRYPOINT"), *map(with_defaults, service["command"])])
    assert params["allowed_hosts"] == ("localhost",)


def test_only_this_machine_reaches_what_is_published() -> None:
    ports = [port for service in services().values() for port in service["ports"]]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len({port.rsplit(":", 1)[0] for port in ports}) == len(ports) == 4


@pytest.mark.parametrize("name", SERVERS)
def test_the_port_is_the_one_that_the_image_listens_on(name: str) -> None:
    service = services()[name]
    assert [port.rsplit(":", 1)[1] for port in service["ports"]] == [str(PORT)]
    assert arguments(dockerfile(service), "EXPOSE") == [str(PORT)]


@pytest.mark.parametrize("name", SERVERS)
def test_the_cache_is_mounted_where_the_image_has_it(name: str) -> None:
    service = services()[name]
    assert service["volumes"] == [f"cache:{arguments(dockerfile(service), 'VOLUME')[0]}"]


def test_files_that_are_mounted_are_there_and_named_volumes_declared() -> None:
    declared = read_yaml("compose.yaml")["volumes"]
    sources = [volume.split(":")[0] for service in services().values() for volume in service["volumes"]]
    assert len(sources) == 7
    for source in sources:
        assert (DEPLOY / source).exists() if source.startswith("./") else source in declared, source


def test_a_plain_start_needs_no_gpu() -> None:
    assert services()["apar-cuda"]["profiles"] == ["cuda"]
    assert not [name for name in services() if name != "apar-cuda" and "profiles" in services()[name]]


def test_prometheus_finds_the_servers_by_their_names() -> None:
    prometheus = read_yaml("prometheus.yml")
    [job] = prometheus["scrape_configs"]
    [names] = job["dns_sd_configs"]
    assert names["names"] == SERVERS
    assert names["port"] == PORT
    mounted = [volume.split(":")[1] for volume in services()["prometheus"]["volumes"]]
    assert all(f"/etc/prometheus/{file}" in mounted for file in prometheus["rule_files"])


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    [source] = read_yaml("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert any(port.endswith(":9090") for port in services()["prometheus"]["ports"])
    [provider] = read_yaml("grafana/provisioning/dashboards/apar.yaml")["providers"]
    grafana = services()["grafana"]
    targets = {volume.split(":")[1]: volume.split(":")[0] for volume in grafana["volumes"]}
    folder = provider["options"]["path"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(f"{folder}/")
    assert (DEPLOY / targets[folder] / home.removeprefix(f"{folder}/")).is_file()
