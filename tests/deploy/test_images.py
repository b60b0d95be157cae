"""The Dockerfiles: what they copy is there, what they start parses, and nobody is root."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch

import pytest
import yaml

from apar.backends.vllm.versions import core_supported, within_bounds
from apar.models.local_copies import how_to_get, models_folder
from apar.server.metrics import ENDPOINTS
from tests.deploy.files import DEPLOY, PORT, ROOT, arguments, instructions, serve, words

IMAGES = ["Dockerfile", "Dockerfile.cuda"]
both = pytest.mark.parametrize("name", IMAGES)


def images() -> list[str]:
    """All images that are taken from elsewhere, wherever they are named."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    foreign = [service["image"] for service in compose["services"].values() if "build" not in service]
    recipes = re.findall(
        r"^ *image: (\S+)$", (ROOT / "recipes" / "vllm" / "kubernetes.yaml").read_text("utf-8"), re.MULTILINE
    )
    bases = [argument.split()[0] for name in IMAGES for argument in arguments(name, "FROM")]
    return [*foreign, *recipes, *bases]


def test_every_image_is_of_one_exact_version() -> None:
    assert len(images()) == 6
    for image in images():
        assert re.search(r":v?\d+\.\d+\.\d+(-[\w-]+)?$", image), image


def test_vllm_is_one_that_forks_in_the_core_were_run_with() -> None:
    tags = [image.rpartition(":v")[2] for image in images() if image.startswith("vllm/")]
    assert len(tags) == 2
    assert all(core_supported(tag) and within_bounds(tag) for tag in tags)


def test_python_is_one_that_the_package_takes() -> None:
    [requires] = re.findall(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    minors = [int(re.findall(r"python:3\.(\d+)\.", image)[0]) for image in images() if image.startswith("python:")]
    assert len(set(minors)) == 1
    assert minors[0] >= int(requires)


@both
def test_what_is_copied_is_in_the_checkout_and_in_the_context(name: str) -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    sources = [word for copy in arguments(name, "COPY") if "--from" not in copy for word in copy.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in kept), source


@both
def test_what_the_package_is_built_of_is_copied(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    copied = {word for copy in arguments(name, "COPY") if "--from" not in copy for word in copy.split()[:-1]}
    assert {"pyproject.toml", "src", project["readme"], *project["license-files"]} <= copied


@both
def test_extras_are_those_of_the_package(name: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    [given] = [argument for argument in arguments(name, "ARG") if argument.startswith("EXTRAS=")]
    wanted = given.removeprefix("EXTRAS=").strip('"').split(",")
    assert {"local", "server"} <= set(wanted) <= extras.keys()
    assert {"adapters", "gguf"} <= set(wanted) or name == "Dockerfile.cuda", "the shipped model is served on the CPU"


def test_the_base_of_the_shipped_model_is_where_models_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    [installed] = [run for run in arguments("Dockerfile", "RUN") if "--target" in run]
    [place] = re.findall(r"--target (\S+)", installed)
    [variables] = [argument for argument in arguments("Dockerfile", "ENV") if "APAR_MODELS" in argument]
    monkeypatch.setenv("APAR_MODELS", place)
    assert f"APAR_MODELS={models_folder()}" in variables.split()
    assert any(copy.startswith("--from=build /opt/apar ") for copy in arguments("Dockerfile", "COPY"))
    assert place.startswith("/opt/apar/")
    told = how_to_get("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert told is not None
    assert installed.partition("==")[0] in told
    assert f" {installed.split()[-1]};" in (ROOT / "Makefile").read_text("utf-8"), "both take the same version"


@both
def test_the_server_runs_as_a_user_by_number_that_is_not_root(name: str) -> None:
    user = arguments(name, "USER")[-1]
    assert int(user) > 0
    assert any(f"--uid {user}" in run for run in arguments(name, "RUN"))
    kinds = [kind for kind, _ in instructions(name)]
    assert kinds.index("ENTRYPOINT") > len(kinds) - 1 - kinds[::-1].index("USER")


@both
def test_the_command_line_is_one_of_apar_serve(name: str) -> None:
    params = serve([*words(name, "ENTRYPOINT"), "demo"])
    assert (params["host"], params["port"]) == ("0.0.0.0", PORT)
    assert params["backend"] == ("vllm" if name == "Dockerfile.cuda" else "auto")


def test_without_arguments_the_shipped_model_is_served() -> None:
    assert serve([*words("Dockerfile", "ENTRYPOINT"), *words("Dockerfile", "CMD")])["model"] == "demo"


@both
def test_health_is_asked_where_the_server_listens(name: str) -> None:
    assert arguments(name, "EXPOSE") == [str(PORT)]
    [check] = arguments(name, "HEALTHCHECK")
    [(port, path)] = re.findall(r"127\.0\.0\.1:(\d+)(/\w+)", check)
    assert int(port) == PORT
    assert path == "/health"
    assert path in ENDPOINTS


@both
def test_the_cache_is_a_volume_in_the_home_of_the_user(name: str) -> None:
    [volume] = arguments(name, "VOLUME")
    assert volume == "/home/apar/.cache"
    assert any(f"install --directory --owner=apar --group=apar {volume}" in run for run in arguments(name, "RUN"))


def test_what_the_kernels_are_compiled_with_is_in_the_image() -> None:
    last = max(k for k, (kind, _) in enumerate(instructions("Dockerfile")) if kind == "FROM")
    runs = [argument for kind, argument in instructions("Dockerfile")[last:] if kind == "RUN"]
    assert any(re.search(r"apt-get install .* g\+\+", run) for run in runs)
