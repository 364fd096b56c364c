"""Scores of many instruments: the same bytes from threads, processes, and one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from virtuoso import workflows
from virtuoso.cli import main
from virtuoso.config import Settings
from virtuoso.errors import TaskError
from virtuoso.venues.simulator import simulate, write_archive

SYMBOLS = ["BTCUSDT", "ETHUSDT"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    write_archive(folder / "archives", simulate(SYMBOLS, days=6, seed=7))
    source = str(folder / "archives" / "simulated")
    assert main(["data", "import", source, "--venue", "simulated", "--data", str(folder / "data"), "-q"]) == 0
    return folder / "data"


def test_the_same_bytes_wherever_they_are_scored(data, working_folder):
    settings = Settings.load(overrides={"data.root": str(data)})
    found = []
    for where in (None, "processes"):
        files = workflows.score_many(SYMBOLS, "1h", settings=settings, jobs=2, executor=where, cache=False)
        assert [file.name for file in files] == [f"simulated_{symbol}_1h.parquet" for symbol in SYMBOLS]
        found.append([file.read_bytes() for file in files])
    for symbol in SYMBOLS:
        frame = workflows.load(symbol, "1h", settings=settings)
        file = workflows.score(frame, settings=settings).to_parquet(working_folder / f"{symbol}.parquet")
        assert [one[SYMBOLS.index(symbol)] for one in found] == [file.read_bytes()] * 2


def test_one_that_is_not_there_is_named(data, working_folder):
    settings = Settings.load(overrides={"data.root": str(data)})
    with pytest.raises(TaskError, match=r"Task 2 of 2.*SOLUSDT") as caught:
        workflows.score_many(["BTCUSDT", "SOLUSDT"], "1h", settings=settings, jobs=1)
    assert caught.value.exit_code == 3


def test_on_the_command_line(data, capsys):
    asked = ["score", *SYMBOLS, "-i", "1h", "--data", str(data)]
    assert main([*asked, "-j", "2"]) == 0
    said = capsys.readouterr().out
    assert "scored 2 instruments" in said
    assert "virtuoso backtest BTCUSDT ETHUSDT" in said
    assert main([*asked, "--out", "x.parquet"]) == 2
    assert "--out names one file" in capsys.readouterr().err
    assert main([*asked, "-j", "0"]) == 2
    assert "number from 1" in capsys.readouterr().err
