"""`apar export`: heads as vLLM reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from apar.models.fingerprint import base_fingerprint
from apar.models.head_files import HeadsInfo, save_heads
from apar.models.heads import MedusaHeads
from apar.models.load import load
from apar.models.side_file import BaseModel
from tests.tiny import tiny_model

Apar = Callable[..., tuple[int, str, str]]


@pytest.fixture
def heads(tiny: Path, tmp_path: Path) -> Path:
    model, tokenizer = load(tiny, "float32", "cpu")
    info = HeadsInfo(BaseModel("OWNER/BASE", base_fingerprint(model, tokenizer)))
    save_heads(MedusaHeads.on(model), tmp_path / "heads", info=info)
    return tmp_path / "heads"


def test_heads_are_written_as_vllm_reads_them(apar: Apar, tiny: Path, heads: Path, tmp_path: Path) -> None:
    code, out, err = apar("export", str(heads), str(tiny), "-o", str(tmp_path / "written"))
    assert (code, out) == (0, "")
    assert err.splitlines()[-1].startswith(f"wrote {tmp_path / 'written'} (")
    assert json.loads((tmp_path / "written" / "config.json").read_text())["architectures"] == ["MedusaModel"]
    code, _, err = apar("export", str(heads), str(tiny), "-o", str(tmp_path / "written"))
    assert (code, err) == (2, f"apar: {tmp_path / 'written'} is there already; name a new folder\n")


def test_what_does_not_go_together_is_one_line(apar: Apar, tiny: Path, heads: Path, tmp_path: Path) -> None:
    # Another vocabulary, and so another base.
    other = tiny_model(tmp_path / "other", control=False)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    word = next(word for word, number in tokenizer["model"]["vocab"].items() if number == 300)
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": 320, "content": f"{word}{word}"})
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    for arguments, message in (
        ((str(heads), str(other)), "are of another base: trained on OWNER/BASE"),
        ((str(tmp_path), str(tiny)), "holds no Medusa heads"),
        ((str(tiny), str(tiny)), "holds no Medusa heads but a model (llama)"),
        ((str(heads), str(tmp_path / "none" / "x" / "y")), "there is no model folder"),
    ):
        code, out, err = apar("export", *arguments, "-o", str(tmp_path / "written"))
        assert (code, out) == (2, ""), err
        assert message in err.splitlines()[-1]
    assert not (tmp_path / "written").exists()
