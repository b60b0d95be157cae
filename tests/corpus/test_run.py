"""Runs give the same output however many processes they have, and however often they are killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from apar.corpus import chunks as chunks_module
from apar.corpus.chunk_store import ChunkStore
from apar.corpus.chunks import Chunk, Source, chunks
from apar.corpus.config import ExtractConfig, configuration
from apar.corpus.run import ExtractionRun, Progress
from apar.data.records import read_trees
from apar.errors import ConfigError, UserError
from tests.corpus.chats import write_chats
from tests.corpus.kills import killed_and_resumed, outputs


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_module, "MAX_RECORDS", 16)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(write_chats(tmp_path / "chats.jsonl", 120))


def test_every_record_is_a_tree_or_told(source: Source, tmp_path: Path) -> None:
    report = ExtractionRun([source], tmp_path / "out", ExtractConfig()).run()
    ids = [record.id for record in read_trees(tmp_path / "out" / "trees.jsonl")]
    assert len(ids) == len(set(ids)) == report["answers"] > 60
    lines = len(source.path.read_text().splitlines())
    assert report["answers"] + report["dropped"]["count"] + report["broken"]["count"] == lines
    assert report["dropped"]["by_reason"]["duplicate"] > 0
    assert report["broken"]["count"] > 0
    assert not (tmp_path / "out" / ".work").exists()


def test_the_output_is_the_same_with_any_number_of_processes(source: Source, tmp_path: Path) -> None:
    for processes in (1, 2):
        ExtractionRun([source], tmp_path / str(processes), ExtractConfig(), processes=processes).run()
    assert outputs(tmp_path / "1") == outputs(tmp_path / "2")


def test_a_run_that_is_interrupted_goes_on_where_it_was(source: Source, tmp_path: Path) -> None:
    whole, twice = (
        ExtractionRun([source], tmp_path / "whole", ExtractConfig()),
        ExtractionRun([source], tmp_path / "out", ExtractConfig()),
    )
    whole.run()
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        if progress.chunks == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        twice.run(interrupt)
    assert not (tmp_path / "out" / "trees.jsonl").exists()
    twice.run(seen.append)
    assert seen[0].resumed == 3
    assert outputs(tmp_path / "whole") == outputs(tmp_path / "out")


def test_a_run_killed_at_any_moment_gives_the_same_output(tmp_path: Path) -> None:
    path = write_chats(tmp_path / "chats.jsonl", 3000)
    kills, same = killed_and_resumed([path], tmp_path, times=2, seed=1)
    assert kills >= 2
    assert same


def test_another_run_in_the_folder_is_told_and_restart_throws_it_away(source: Source, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ExtractionRun([source], tmp_path / "out", ExtractConfig()).run(interrupt)
    other = ExtractionRun([source], tmp_path / "out", ExtractConfig(turns="last"))
    with pytest.raises(UserError, match=r"holds an unfinished run with other configuration; .* --restart"):
        other.run()
    assert other._replace(restart=True).run()["answers"] > 0


def test_changed_input_is_no_longer_the_same_run(source: Source, tmp_path: Path) -> None:
    work = ChunkStore(tmp_path / "out" / ".work")
    run = ExtractionRun([source], tmp_path / "out", ExtractConfig())
    manifest: dict[str, Any] = {"inputs": [chunks_module.describe(source)]}
    work.begin(manifest, restart=False)
    write_chats(source.path, 121)
    with pytest.raises(UserError, match="other inputs"):
        run.run()


def test_a_manifest_that_is_damaged_is_told(source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "out" / ".work"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"cannot be read .* --restart"):
        ExtractionRun([source], tmp_path / "out", ExtractConfig()).run()


def test_a_mistake_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        ExtractionRun([Source(tmp_path / "missing")], tmp_path / "out", ExtractConfig()).run()
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "A"}\n' * 5000)
    with pytest.raises(UserError, match="of no known format"):
        ExtractionRun([Source(path)], tmp_path / "out", ExtractConfig()).run()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_trees_are_the_same_in_every_form(source: Source, tmp_path: Path, form: Any) -> None:
    if form != "jsonl.gz":
        pytest.importorskip("pyarrow")
    plain = ExtractionRun([source], tmp_path / "plain", ExtractConfig())
    other = ExtractionRun([source], tmp_path / "other", ExtractConfig(), form)
    plain.run()
    other.run()
    assert list(read_trees(other.trees)) == list(read_trees(plain.trees))


def test_held_out_prompts_are_apart_and_the_mix_is_drawn(source: Source, tmp_path: Path) -> None:
    config = configuration(None, "default", ("split.held_out=0.3", "split.structured=0.4"))
    report = ExtractionRun([source], tmp_path / "out", config).run()
    train, held = (list(read_trees(tmp_path / "out" / f"{name}.jsonl")) for name in ("trees", "heldout"))
    assert report["held_out"] == len(held) > 10
    assert not {record.messages[0]["content"] for record in train} & {r.messages[0]["content"] for r in held}
    structured = sum(record.reason is None for record in train)
    assert 0.25 < structured / len(train) < 0.55
    assert report["dropped"]["by_reason"]["mix"] > 0


def test_all_turns_of_a_chat_are_on_one_side_of_the_split(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    with path.open("w") as file:
        for k in range(60):
            said = (f"Question {k}?", f"Answer {k}.", "Why?", f"So {k}.")
            messages = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]
            system = [{"role": "system", "content": "Be short."}] if k % 2 else []
            file.write(json.dumps({"id": k, "messages": system + messages}) + "\n")
    config = ExtractConfig.model_validate({"split": {"held_out": 0.4}})
    ExtractionRun([Source(path)], tmp_path / "out", config).run()
    sides = [list(read_trees(tmp_path / "out" / f"{name}.jsonl")) for name in ("trees", "heldout")]
    chats = [{record.id.split("#")[0] for record in side} for side in sides]
    assert not chats[0] & chats[1]
    assert [len(side) for side in sides] == [2 * len(side) for side in chats]
    assert 10 < len(chats[1]) < 40


def test_answers_are_left_out_by_source_reason_and_prompt(source: Source, tmp_path: Path) -> None:
    changes = {"filters": {"skip_reasons": ["too_few_parts"]}, "duplicates": {"near": None, "answers_per_prompt": 1}}
    again = tmp_path / "again.jsonl"
    again.write_text(source.path.read_text().replace("1. Making", "1. Baking"))
    report = ExtractionRun([source, Source(again)], tmp_path / "out", ExtractConfig.model_validate(changes)).run()
    assert report["by_reason"].keys() <= {"short_details"}
    assert report["dropped"]["by_reason"]["reason_too_few_parts"] > 10
    assert report["dropped"]["by_reason"]["answers_per_prompt"] > 10
    records = list(read_trees(tmp_path / "out" / "trees.jsonl"))
    assert len({record.messages[0]["content"] for record in records}) == len(records) == report["answers"]
    nothing = ExtractConfig.model_validate({"filters": {"skip_sources": ["towns"]}})
    report = ExtractionRun([source], tmp_path / "none", nothing).run()
    assert (report["answers"], set(report["dropped"]["by_reason"])) == (0, {"source"})


def test_questions_that_models_are_judged_by_are_left_out(source: Source, tmp_path: Path) -> None:
    whole = ExtractionRun([source], tmp_path / "whole", ExtractConfig()).run()
    first, second, *others = [r.messages[0]["content"] for r in read_trees(tmp_path / "whole" / "trees.jsonl")]
    judged = tmp_path / "judged.jsonl"
    chats: list[dict[str, Any]] = [
        {"prompt": f"  {first.upper()}", "response": "Nothing."},
        {"prompt": "And then?", "response": "So.", "history": [second, "Nothing."]},
    ]
    judged.write_text("\n".join(map(json.dumps, chats)))
    report = _without(judged, source, tmp_path / "out")
    assert report["dropped"]["by_reason"]["prompt"] >= 2
    assert report["answers"] == whole["answers"] - 2
    assert [r.messages[0]["content"] for r in read_trees(tmp_path / "out" / "trees.jsonl")] == others
    with pytest.raises(UserError, match=r"cannot read .*none\.jsonl"):
        _without(tmp_path / "none.jsonl", source, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def _without(judged: Path, source: Source, output: Path) -> dict[str, Any]:
    config = ExtractConfig.model_validate({"filters": {"skip_prompts": [judged]}})
    return ExtractionRun([source], output, config).run()


def test_memory_is_bounded_by_chunks(source: Source) -> None:
    sizes = [len(chunk.raws) for chunk in chunks([source], "every")]
    assert max(sizes) == 16
    assert [chunk.number for chunk in chunks([source], "every")] == list(range(len(sizes)))


def test_a_large_record_makes_a_chunk_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks_module, "MAX_BYTES", 1000)
    path = write_chats(tmp_path / "chats.jsonl", 40)
    sizes = [sum(len(raw.content) for raw in chunk.raws) for chunk in _chunks(path)]
    assert max(sizes) < 2000


def _chunks(path: Path) -> Iterator[Chunk]:
    return chunks([Source(path)], "every")


def test_config_files_presets_and_overrides(tmp_path: Path) -> None:
    path = tmp_path / "extract.yaml"
    path.write_text("structure: {max_depth: 2}\nfilters: {min_chars: 5}\n")
    config = configuration(path, "paper", ("structure.min_parts=4",))
    assert (config.structure.max_depth, config.structure.min_parts, config.filters.min_chars) == (2, 4, 5)
    assert config.structure.rules == {"ordered_list", "paragraphs"}
    assert configuration(None, "default", ()) == ExtractConfig()
    with pytest.raises(ConfigError, match=r"unknown key structure\.max_deth; did you mean max_depth"):
        configuration(None, "default", ("structure.max_deth=2",))
    assert json.loads(json.dumps(config.model_dump(mode="json"))) == config.model_dump(mode="json")


def test_the_recipe_shows_every_knob_with_its_default() -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "extract.yaml"
    shown = yaml.safe_load(recipe.read_text())
    assert configuration(recipe, "default", ()) == ExtractConfig()
    defaults = ExtractConfig().model_dump(mode="json")
    assert {name: set(section) for name, section in shown.items() if isinstance(section, dict)} == {
        name: set(section) for name, section in defaults.items() if isinstance(section, dict)
    }
