from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from apar.doctor import checks as doctor_checks
from apar.doctor.checks import model_checks
from apar.doctor.report import Check, lacking
from apar.doctor.subprocess_probe import PROBES, _heads

pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of imports are saved; tests/cli has one that looks from a process of its own."""
    monkeypatch.setattr(doctor_checks, "run_probe", lambda name, *arguments: PROBES[name](*arguments))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    from tests.tiny import tiny_model

    return tiny_model(tmp_path)


def change(folder: Path, name: str, **values: object) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def rows(folder: Path) -> tuple[list[Check], dict[str, tuple[str, str, str]]]:
    checks = model_checks(str(folder))
    return checks, {check.name: check.finding for check in checks}


def test_a_model_that_was_trained_to_fork_is_ok(tiny: Path) -> None:
    checks, found = rows(tiny)
    assert [check.finding.status for check in checks] == ["ok"] * 5
    assert found["model"][1].startswith("llama, context 256 tokens, weights ")
    assert found["Medusa heads"][1].startswith("none come with it; --medusa HEADS")


def test_a_model_that_was_not_trained_to_fork_lacks_the_tokens(tmp_path: Path) -> None:
    from tests.tiny import tiny_model

    checks, found = rows(tiny_model(tmp_path, control=False))
    assert found["control tokens"][:2] == ("missing", "the tokenizer lacks [Fork] and [Child]")
    assert "apar train" in found["control tokens"][2]
    assert [check.name for check in lacking(checks, "model")] == ["control tokens"]


def test_a_folder_without_a_model_is_broken(tmp_path: Path) -> None:
    [check] = model_checks(str(tmp_path))
    assert check.finding[:2] == (
        "broken",
        f"the folder {tmp_path} holds no model: it has no config.json and no GGUF file",
    )
    assert lacking([check], "model") == [check]


def test_a_configuration_that_is_no_json_is_broken(tiny: Path) -> None:
    (tiny / "config.json").write_text("{")
    [check] = model_checks(str(tiny))
    assert check.finding.status == "broken"
    assert check.finding.found.startswith(f"cannot read {tiny}: ")


def test_a_model_without_weights_is_told(tiny: Path) -> None:
    (tiny / "model.safetensors").unlink()
    checks, found = rows(tiny)
    assert found["model"][:2] == ("missing", "llama, context 256 tokens, no weights")
    assert lacking(checks, "model") != []


def test_a_model_of_another_kind_is_not_for_the_local_engine(tiny: Path) -> None:
    change(tiny, "config.json", rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0})
    checks, found = rows(tiny)
    assert found["local engine"][0] == "broken"
    assert "dynamic rotary positions" in found["local engine"][1]
    assert lacking(checks, "model") == []
    assert [check.name for check in lacking(checks, "local")] == ["local engine"]


def test_a_model_without_a_chat_template_can_still_be_given_token_ids(tiny: Path) -> None:
    (tiny / "chat_template.jinja").unlink()
    checks, found = rows(tiny)
    assert found["chat template"][:2] == ("missing", "the tokenizer has no chat template")
    assert "chat_template" in found["chat template"][2]
    assert lacking(checks, "model") == []


def test_without_transformers_there_is_no_more_than_that(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    [check] = model_checks(str(tiny))
    assert check.finding == ("missing", "cannot be read without Transformers", "pip install 'apar-llm[local]'")


def test_without_pytorch_the_model_is_still_read(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apar.models.load", None)
    checks, found = rows(tiny)
    assert lacking(checks, "model") == []
    assert found["local engine"][0] == "broken"


def test_a_gguf_file_is_read_as_a_folder_is(tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    from tests.gguf_files import write_gguf

    file = write_gguf(tiny, tmp_path / "tiny.gguf", "Q8_0")
    checks, found = rows(file)
    assert [check.finding.status for check in checks] == ["ok"] * 5
    assert found["model"][1].startswith("llama, context 256 tokens, weights ")
    file.write_bytes(file.read_bytes()[:-100])
    [check] = model_checks(str(file))
    assert check.finding[:2] == ("broken", f"{file} is cut off or damaged; download it again")


def test_heads_that_come_with_the_model_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from apar.models.head_files import save_heads
    from apar.models.heads import HeadsShape, MedusaHeads

    folder = tmp_path / "heads"
    save_heads(MedusaHeads(HeadsShape(8, 20, heads=3)), folder)
    monkeypatch.setattr("apar.demo.heads_folder", lambda: folder)
    assert doctor_checks._medusa_heads(_heads("any")).found.startswith("none come with it")
    assert doctor_checks._medusa_heads(_heads("demo"))[:2] == (
        "ok",
        "3 come with it, and draft unless --drafts off is given",
    )
    (folder / "model.safetensors").unlink()
    broken = doctor_checks._medusa_heads(_heads("demo"))
    assert broken.status == "broken"
    assert "has no model.safetensors" in broken.found
