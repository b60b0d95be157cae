"""The Kubernetes examples: selectors meet labels, probes wait for the model, and the commands parse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apar.cli.serve import command
from tests.deploy.files import DEPLOY, PORT, ROOT, arguments, documents, serve, shell_words, words

EXAMPLE = DEPLOY / "kubernetes.yaml"
RECIPE = ROOT / "recipes" / "vllm" / "kubernetes.yaml"
both = pytest.mark.parametrize("path", [EXAMPLE, RECIPE], ids=["deploy", "recipe"])


def pod(path: Path = EXAMPLE) -> Any:
    return documents(path)["Deployment"]["spec"]["template"]["spec"]


def container(path: Path = EXAMPLE) -> Any:
    [only] = pod(path)["containers"]
    return only


def test_the_arguments_are_those_of_apar_serve() -> None:
    params = serve([*words("Dockerfile", "ENTRYPOINT"), *container()["args"]])
    assert params["port"] == PORT
    grace = pod()["terminationGracePeriodSeconds"]
    wait = int(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert wait + params["drain"] < grace


def test_the_recipe_on_vllms_image_runs_vllms_server() -> None:
    [script] = container(RECIPE)["args"]
    params = serve(shell_words(script.split("exec ", 1)[1]))
    assert (params["backend"], params["server"], params["port"]) == ("vllm", "vllm", PORT)
    assert params["api_key"] is None, "it comes from the environment, where not everybody sees it"


@both
def test_the_key_comes_from_a_secret_into_the_variable_that_is_read(path: Path) -> None:
    [variable] = [each for each in container(path)["env"] if "secretKeyRef" in each["valueFrom"]]
    [option] = [parameter for parameter in command.params if parameter.name == "api_key"]
    assert variable["name"] == option.envvar


@both
def test_loading_is_waited_for_before_any_other_probe(path: Path) -> None:
    probes = {name: container(path)[f"{name}Probe"] for name in ("startup", "readiness", "liveness")}
    assert {probe["httpGet"]["path"] for probe in probes.values()} == {"/health"}
    assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] >= 600
    assert probes["liveness"]["failureThreshold"] >= 6


@both
def test_selectors_meet_the_labels_of_the_pods(path: Path) -> None:
    objects = documents(path)
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert objects["Service"]["spec"]["selector"].items() <= labels


def test_the_budget_keeps_a_copy_of_these_pods() -> None:
    objects = documents(EXAMPLE)
    budget = objects["PodDisruptionBudget"]["spec"]
    assert budget["selector"] == objects["Deployment"]["spec"]["selector"]
    assert budget["minAvailable"] < objects["Deployment"]["spec"]["replicas"]


def test_ports_meet_by_their_names() -> None:
    [port] = container()["ports"]
    [service] = documents(EXAMPLE)["Service"]["spec"]["ports"]
    assert port == {"name": "http", "containerPort": PORT}
    assert service["targetPort"] == port["name"]
    assert {container()[f"{name}Probe"]["httpGet"]["port"] for name in ("startup", "readiness", "liveness")} == {"http"}
    monitor = documents(DEPLOY / "servicemonitor.yaml")["ServiceMonitor"]["spec"]
    assert monitor["endpoints"][0]["port"] == service["name"]
    assert monitor["selector"]["matchLabels"].items() <= documents(EXAMPLE)["Service"]["metadata"]["labels"].items()


def test_the_container_is_that_of_the_image_and_is_not_root() -> None:
    assert pod()["securityContext"]["runAsUser"] == int(arguments("Dockerfile", "USER")[-1])
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert container()["securityContext"]["readOnlyRootFilesystem"] is True


def test_where_the_server_writes_there_is_a_volume() -> None:
    mounts = {mount["mountPath"]: mount["name"] for mount in container()["volumeMounts"]}
    assert mounts.keys() == {arguments("Dockerfile", "VOLUME")[0], "/tmp"}
    assert set(mounts.values()) == {volume["name"] for volume in pod()["volumes"]}
