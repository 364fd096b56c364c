"""Recorded history, from the files as they were published to a certificate, by the command line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from virtuoso.cli import main
from virtuoso.clock import parse_time

pytestmark = pytest.mark.real_data
MARCH = ("BTCUSDT", "--venue", "binance-spot", "-i", "1m", "--timerange", "20260310-20260313")


@pytest.fixture(scope="module")
def root(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with spot bars of three eras: milliseconds, microseconds, and local time as text."""
    folder = tmp_path_factory.mktemp("real") / "data"
    archives = real_data / "raw_archives"
    files = [*archives.glob("BTCUSDT-*.zip"), *(real_data / "ohlcv").glob("binance_spot_1m_*.parquet")]
    arguments = [*map(str, files), "--venue", "binance-spot", "--data", str(folder)]
    assert main(["data", "import", *arguments, "-q"]) == 0
    link = archives / "LINKUSDT-1m-2023-02.csv.gz"
    assert main(["data", "import", str(link), "--venue", "binance-usdm", "--data", str(folder), "-q"]) == 0
    return folder


@pytest.fixture
def virtuoso(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict]:
    """Run a command with --json on that data, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> dict:
        capsys.readouterr()
        assert main([*arguments, "--data", str(root), "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


class TestTheImport:
    """Units, zones and headers end in the right bars."""

    def test_every_era_lies_where_it_belongs(self, virtuoso: Callable[..., dict]):
        series = {(s["symbol"], s["venue"]): s for s in virtuoso("data", "list")["series"]}
        bitcoin = series["BTCUSDT", "binance-spot"]
        assert bitcoin["bars"] == 3 * 1_440 + 21_600 + 31 * 1_440
        assert (bitcoin["start_utc"], bitcoin["end_utc"]) == ("2020-01-01 00:00:00Z", "2026-04-01 00:00:00Z")
        assert series["LINKUSDT", "binance-usdm"]["bars"] == 28 * 1_440

    def test_months_hold_whole_days(self, virtuoso: Callable[..., dict]):
        query = (
            "select month, count(*) as n, min(time) as a, max(time) as b from bars where symbol = 'BTCUSDT' group by 1"
        )
        rows = {row[0]: row[1:] for row in virtuoso("data", "sql", query)["rows"]}
        assert rows["2020-01"] == [4_320, "2020-01-01T00:00:00", "2020-01-03T23:59:00"]
        assert rows["2026-03"] == [44_640, "2026-03-01T00:00:00", "2026-03-31T23:59:00"]

    def test_the_gaps_between_eras_are_in_the_ledger(self, virtuoso: Callable[..., dict]):
        gaps = virtuoso("data", "check", "BTCUSDT")["series"][0]["gaps"]
        assert gaps[0]["start_utc"] == "2020-01-04 00:00:00Z"
        assert sum(gap["bars"] for gap in gaps) > 2_000_000

    def test_every_byte_is_as_it_was_written(self, virtuoso: Callable[..., dict]):
        assert virtuoso("data", "verify")["ok"] is True


class TestTheMainJob:
    """Score, explain, backtest and certify three days of March 2026."""

    def test_scores_remember_what_lies_before_the_range(self, virtuoso: Callable[..., dict], tmp_path: Path):
        found = virtuoso("score", *MARCH, "--out", "s.parquet")
        assert found["bars"] == 3 * 1_440
        assert found["known_shares"]["technical.rsi"] == {
            "1m": 1.0,
            "5m": 1.0,
            "30m": 1.0,
            "4h": pytest.approx(0.0, abs=1),
        }
        table = pq.read_table(tmp_path / "s.parquet")
        assert table["close_time"][0].as_py() == parse_time("2026-03-10T00:01Z")
        assert table["confluence"].null_count == 0

    def test_an_explanation_agrees_with_the_scores(self, virtuoso: Callable[..., dict], tmp_path: Path):
        virtuoso("score", *MARCH, "--out", "s.parquet")
        table = pq.read_table(tmp_path / "s.parquet", columns=["close_time", "confluence", "volume.volume_delta"])
        for at in ("2026-03-10T00:01:00Z", "2026-03-11T13:37:00Z", "2026-03-13T00:00:00Z"):
            row = (parse_time(at) - parse_time("2026-03-10T00:01Z")) // 60_000
            found = virtuoso("explain", "BTCUSDT", "--venue", "binance-spot", "--at", at)
            assert found["time"] == table["close_time"][row].as_py()
            assert found["confluence"] == table["confluence"][row].as_py()
            delta = next(part for part in found["faces"]["volume"] if part["name"] == "volume_delta")
            assert delta["score"] == table["volume.volume_delta"][row].as_py()

    def test_a_backtest_leaves_everything_that_repeats_it(self, virtuoso: Callable[..., dict], tmp_path: Path):
        found = virtuoso("backtest", *MARCH)
        folder = tmp_path / found["folder"]
        assert {file.name for file in folder.iterdir()} >= {
            "config.json",
            "provenance.json",
            "trades.parquet",
            "tearsheet.html",
        }
        assert "simulated market" not in (folder / "tearsheet.html").read_text()
        following = shlex.split(found["next"])
        assert following[:3] == ["virtuoso", "signals", "list"]
        listed = virtuoso("signals", "list", *MARCH, "--limit", "3")["signals"]
        assert {signal["simulated"] for signal in listed} <= {False}

    def test_the_laws_hold_on_it(self, virtuoso: Callable[..., dict], tmp_path: Path):
        found = virtuoso("verify", *MARCH, "--live-bars", "100")
        assert found["holds"] is True
        assert {finding["law"] for finding in found["findings"]} >= {"cutting", "future", "live", "memory", "mirror"}
        assert all((tmp_path / file).is_file() for file in found["files"])
