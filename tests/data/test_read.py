"""Every record is read or told of, with its place."""

from __future__ import annotations

import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from apar.data import json_array, jsonl
from apar.data.raw import BrokenRecord, Record
from apar.data.read import detect_container, read_records
from apar.errors import UserError


def read(path: Path) -> list[tuple[int, object]]:
    """Line and data, or line and problem, of each record."""
    records = read_records(path)
    return [(one.location.line, one.data if isinstance(one, Record) else one.problem) for one in records]


def test_json_lines_with_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"a": 2}')
    assert detect_container(path) == "jsonl"
    assert read(path) == [(1, {"a": 1}), (4, {"a": 2})]


def test_only_a_line_feed_ends_a_json_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "x\u2028y\x85z"}\n{"a": 2}\n', encoding="utf-8")
    assert read(path) == [(1, {"a": "x\u2028y\x85z"}), (2, {"a": 2})]


def test_a_broken_line_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": \n"text"\n\xff\xfe\n' + b"[" * 100_000 + b'\n{"a": 2}\n')
    (one, two, three, four, five, six) = read(path)
    assert (one, six) == ((1, {"a": 1}), (6, {"a": 2}))
    assert two[0] == 2
    assert str(two[1]).startswith("not valid JSON: Expecting value")
    assert three == (3, "the record is no JSON object but a str")
    assert four == (4, "the line is not UTF-8 text")
    assert five == (5, "the JSON is nested too deeply")


def test_an_array_is_read_with_the_lines_of_its_records(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(' [\n {"a":\n 1},\n {"a": 2}, 3\n]\n')
    assert detect_container(path) == "json"
    assert read(path) == [(2, {"a": 1}), (4, {"a": 2}), (4, "the record is no JSON object but a int")]


@pytest.mark.parametrize("rest", ['{"a": ', '{"a": 2', "tru"])
def test_what_comes_before_a_broken_place_of_an_array_is_kept(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "a.json"
    path.write_text('[\n{"a": 1},\n' + rest)
    first, broken = read(path)
    assert first == (2, {"a": 1})
    assert broken[0] == 3
    assert "not valid JSON" in str(broken[1])


def test_what_follows_a_broken_record_of_an_array_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[\n{"a": 1},\n{"a": tru},\n{"a": 3}\n]\n')
    first, broken, third = read(path)
    assert (first, broken[0], third) == ((2, {"a": 1}), 3, (4, {"a": 3}))


def test_text_after_the_end_of_an_array_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1}]\n[{"a": 2}]\n')
    first, broken = read(path)
    assert first == (1, {"a": 1})
    assert "more text follows the end of the array" in str(broken[1])


def test_an_array_without_an_end_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1},\n')
    assert read(path)[-1] == (2, "the array has no end: the file is cut off")


def test_an_empty_array_has_no_records(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[]")
    assert read(path) == []


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "no-ending"
    path.write_bytes(gzip.compress(b'{"a": 1}\n'))
    assert read(path) == [(1, {"a": 1})]


def test_a_compressed_file_that_is_cut_off_gives_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:-12])
    records = list(read_records(path))
    assert records
    assert isinstance(records[-1], BrokenRecord)
    assert records[-1].problem == "the compressed file is damaged or cut off"


def test_a_file_that_cannot_be_read_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        detect_container(tmp_path / "missing")
    with pytest.raises(UserError, match="Is a directory"):
        detect_container(tmp_path)


def test_an_array_is_read_up_to_what_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'[\n{"a": 1},\n{"a": "\xff"}]')
    assert read(path) == [(2, {"a": 1}), (3, "the text is not UTF-8 from here on")]


def test_an_object_written_over_many_lines_is_a_record(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": [1, 2]}, indent=2) + "\n" + json.dumps({"a": 3}, indent=2))
    assert read(path) == [(1, {"a": [1, 2]}), (7, {"a": 3})]


def test_records_on_one_line_have_numbers_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1}, {"a": 2}]')
    assert [one.number for one in read_records(path) if isinstance(one, Record)] == [1, 2]


@pytest.mark.parametrize("window", [1, 2, 7, 64])
def test_an_array_is_read_alike_through_any_window(tmp_path: Path, monkeypatch: Any, window: int) -> None:
    path = tmp_path / "a.json"
    values = [{"a": "é😀" * 20, "b": [1, {"c": None}]}, 12345, {"a": "]"}, {}]
    path.write_text(json.dumps(values, ensure_ascii=False, indent=1), encoding="utf-8")
    whole = read(path)
    monkeypatch.setattr(json_array, "_WINDOW", window)
    assert read(path) == whole
    assert [data for _, data in whole if isinstance(data, dict)] == [values[0], values[2], values[3]]


def test_zstandard_is_known_by_its_content(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    codec = pyarrow.Codec("zstd")
    path = tmp_path / "no-ending"
    path.write_bytes(codec.compress(b'{"a": 1}\n', asbytes=True) + codec.compress(b'{"a": 2}\n', asbytes=True))
    assert read(path) == [(1, {"a": 1}), (2, {"a": 2})]
    path.write_bytes(codec.compress(b'{"a": 1}\n' * 100_000, asbytes=True)[:-5])
    assert read(path)[-1][1] == "the compressed file is damaged or cut off"


def test_the_rows_of_a_parquet_file_are_records_without_their_nulls(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    rows = [{"prompt": "Q", "messages": [{"role": "user", "content": "Q"}]}, {"prompt": None, "messages": []}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert read(path) == [(1, rows[0]), (2, {"messages": []})]
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(UserError, match="as Parquet"):
        read(path)


def test_a_pipe_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b'{"a": 1}\n',))
    writer.start()
    assert read(path) == [(1, {"a": 1})]
    writer.join()


def test_a_line_beyond_any_use_is_told_and_the_rest_is_read(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(jsonl, "LONGEST_RECORD", 2**20)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": "' + b"x" * (5 << 20) + b'"}\n{"a": 2}\n')
    assert read(path) == [(1, "the line is longer than 1 MiB"), (2, {"a": 2})]
