"""A file that has not changed since it was imported is not read again; in doubt it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.archives import JANUARY, bars, lines, minutes, write
from virtuoso.ingest import importer
from virtuoso.ingest.importer import import_paths
from virtuoso.lake.lake import Lake

N = 100


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


@pytest.fixture
def path(tmp_path):
    return aged(write(tmp_path / "BTCUSDT-1m-2024-01-01.csv", lines(minutes(N), bars(N))))


@pytest.fixture
def read(monkeypatch):
    """Names of the files that are read."""
    found: list[str] = []
    decode = importer.decode

    def counted(path, *args):
        found.append(path.name)
        return decode(path, *args)

    monkeypatch.setattr(importer, "decode", counted)
    return found


def aged(path: Path, seconds: int = 60) -> Path:
    """Make a file one that was last changed a while ago."""
    then = path.stat().st_mtime_ns - seconds * 1_000_000_000
    os.utime(path, ns=(then, then))
    return path


def take(lake, *paths, **options):
    return import_paths(lake, paths, venue="binance-spot", **options).files


def test_is_not_read_again_and_says_so(lake, path, read):
    (first,) = take(lake, path)
    (second,) = take(lake, path)
    assert read == [path.name]
    assert (first.status, first.stored) == ("imported", N)
    assert (second.status, second.stored, second.duplicates, second.lines) == ("unchanged", 0, N, N + 1)
    assert second.uncounted == 0
    assert second.notes[-1].startswith("not read again")


def test_is_read_again_when_its_bytes_change(lake, path, read):
    take(lake, path)
    path.write_text(path.read_text() + "\n")
    aged(path, 120)
    take(lake, path)
    assert len(read) == 2


def test_of_the_same_size_and_touched_is_read_again(lake, path, read):
    take(lake, path)
    aged(path)
    take(lake, path)
    assert len(read) == 2


def test_written_a_moment_ago_is_in_doubt(lake, tmp_path, read):
    path = write(tmp_path / "BTCUSDT-1m-2024-01-01.csv", lines(minutes(N), bars(N)))
    take(lake, path)
    take(lake, path)
    assert len(read) == 2


def test_is_read_again_under_other_options(lake, path, read):
    take(lake, path)
    take(lake, path, max_bad_share=0.5)
    assert len(read) == 2


def test_is_read_again_by_other_code(lake, path, read, monkeypatch):
    take(lake, path)
    monkeypatch.setattr("virtuoso.ingest.remembered._code", lambda: "other")
    take(lake, path)
    assert len(read) == 2


def test_is_remembered_while_others_are_imported(lake, path, tmp_path, read):
    take(lake, path)
    other = aged(write(tmp_path / "ETHUSDT-1m-2024-01-01.csv", lines(minutes(N), bars(N))))
    take(lake, path, other)
    take(lake, path, other)
    assert read == [path.name, other.name]


def test_is_forgotten_when_somebody_else_writes_to_the_lake(lake, path, read):
    take(lake, path)
    with lake.writing() as writer:
        writer.of_kind("bars").publish(writer.manifest)
    take(lake, path)
    assert len(read) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"x": 1}', b'{"x": {"is": 1}}'])
def test_is_read_again_where_the_memory_is_lost_or_damaged(lake, path, read, damage):
    take(lake, path)
    memory = lake.path / "derived" / "imported.json"
    assert json.loads(memory.read_bytes())
    memory.write_bytes(damage)
    (again,) = take(lake, path)
    assert (again.status, again.duplicates) == ("unchanged", N)
    assert len(read) == 2


def test_of_bars_that_were_forming_is_read_again(lake, tmp_path, read):
    now = lake.env.now_ms() // 60_000 * 60_000
    path = aged(write(tmp_path / "BTCUSDT-1m.csv", lines(minutes(N, now - (N - 1) * 60_000), bars(N))))
    (first,) = take(lake, path)
    take(lake, path)
    assert first.forming == 1
    assert len(read) == 2
    assert now > JANUARY


def test_that_was_refused_is_read_again(lake, path, read):
    path.write_text("open_time,open\n1,2\n")
    aged(path)
    take(lake, path)
    take(lake, path)
    assert len(read) == 2


def test_a_report_prints_what_was_done_and_names_what_failed(lake, path, tmp_path):
    (tmp_path / "torn.csv").write_bytes(b"\x00\x01")
    report = import_paths(lake, [path, tmp_path / "torn.csv"], venue="binance-spot")
    first, *problems = repr(report).splitlines()
    assert first.startswith("<Import of 2 files: ")
    assert f"{report.total('stored'):,} stored" in first
    assert len(problems) == 1
    assert "torn.csv" in problems[0]
