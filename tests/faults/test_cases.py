"""Inputs that went wrong, with the right answer: the small files of the cases pack, where it is there.

Each stands for a kind; its other members are tested beside the code that mends the kind.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import virtuoso as vt
from virtuoso.account.instrument import Instrument
from virtuoso.errors import AmbiguousError, NoDataError
from virtuoso.ingest.importer import import_paths
from virtuoso.ingest.report import FileReport
from virtuoso.lake.lake import Lake


@pytest.fixture(scope="session")
def cases() -> Path:
    beside = Path(__file__).resolve().parents[3] / "shared" / "cases"
    folder = Path(os.environ.get("VIRTUOSO_CASES", beside))
    if not (folder / "LUNAUSDT-1d-crash.csv").is_file():
        pytest.skip("the pack of cases is not here; set VIRTUOSO_CASES to its folder")
    return folder


Take = Callable[..., FileReport]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def take(lake: Lake, cases: Path) -> Take:
    """Import one of the files."""

    def taken(name: str, venue: str, **options: object) -> FileReport:
        (report,) = import_paths(lake, cases / name, venue=venue, **options).files
        return report

    return taken


def bars_of(lake: Lake, venue: str, symbol: str, clock: str) -> vt.MarketFrame:
    return lake.frame(symbol, clock, venue=venue)


class TestBars:
    """What is stored of files of bars."""

    def test_a_true_crash_is_history(self, lake: Lake, take: Take, cases: Path):
        rows = len((cases / "LUNAUSDT-1d-crash.csv").read_text().splitlines()) - 1
        report = take("LUNAUSDT-1d-crash.csv", "binance-spot")
        assert (report.status, report.stored, report.quarantined) == ("imported", rows, 0)

    def test_weeks_are_refused_and_days_named(self, lake: Lake, take: Take):
        report = take("BTCUSDT-1w-2022.csv", "binance-usdm")
        assert report.status == "failed"
        assert "folded from days" in report.error
        report = take("BTCUSDT-1w-2022.csv", "binance-usdm", timeframe="1d")
        assert report.status == "failed"
        assert not lake.coverage()

    def test_an_inverse_contract_is_refused_by_name(self, lake: Lake, take: Take):
        with pytest.raises(AmbiguousError, match="inverse"):
            take("BTCUSD_PERP-1h-2023-10.csv", "binance-coinm")
        report = take("BTCUSD_PERP-1h-2023-10.csv", "binance-usdm")
        assert report.status == "failed"
        assert "inverse" in report.error

    def test_contracts_are_not_taken_for_base_volume(self, lake: Lake, take: Take, cases: Path):
        report = take("BTC-USDT-SWAP-1H.csv", "okx-linear", symbol="BTCUSDT")
        assert report.status == "imported"
        assert report.forming == 1
        bars = bars_of(lake, "okx-linear", "BTCUSDT", "1h").base
        np.testing.assert_allclose(bars.columns["volume"][:2], [24.6, 29.8])
        np.testing.assert_allclose(bars.columns["quote_volume"][0], 737124.24)

    def test_a_dated_contract_never_becomes_the_perpetual(self, lake: Lake, take: Take):
        report = take("BTCUSDT_240628-1h-2024-05.csv", "binance-usdm")
        assert report.instruments != ["BTCUSDT binance-usdm"]
        with pytest.raises(NoDataError):
            bars_of(lake, "binance-usdm", "BTCUSDT", "1h")

    def test_two_units_in_one_file_are_read_row_by_row(self, lake: Lake, take: Take, cases: Path):
        report = take("BTCUSDT-1m-concat.csv", "binance-usdm")
        lines = len((cases / "BTCUSDT-1m-concat.csv").read_text().splitlines())
        assert "--max-bad-share" not in report.error
        assert report.status == "imported"
        assert report.stored + report.duplicates == lines

    def test_bars_off_the_grid_stay_refused(self, take: Take):
        report = take("BTCUSDT-1m-2018-02.csv", "binance-spot")
        assert (report.status, report.stored, report.refused) == ("failed", 0, {"off_grid": 400})
        assert "off the grid" in report.error


class TestEvents:
    """What is stored of files of events."""

    def test_public_trades_of_bybit(self, take: Take):
        report = take("BTCUSDT2023-01-01.csv.gz", "bybit-linear")
        assert report.status == "imported", report.error
        assert report.kinds == ["trades"]
        assert report.instruments == ["BTCUSDT bybit-linear"]
        assert report.quarantined == 0

    def test_polls_of_a_coming_rate_are_no_settlements(self, lake: Lake, take: Take):
        take("binance-futures_derivative_ticker_2023-05-01_BTCUSDT.csv", "binance-usdm")
        funding = lake.events("funding", Instrument("binance-usdm", "BTCUSDT"))
        assert len(funding) <= 2

    def test_liquidations_are_stored_once(self, take: Take):
        report = take("BTCUSDT-liquidationSnapshot-2023-07-31.csv", "binance-usdm", symbol="BTCUSDT")
        assert (report.stored, report.duplicates) == (40, 40)


class TestConflicts:
    """Two files that contradict each other make one lake, whatever came first."""

    PAIRS = (
        ("BTCUSDT-1m-2020-12-21.csv", "BTCUSDT-1m-2020-12.csv", "BTCUSDT"),
        ("XRPUSDT-fundingRate-2024-01-right.csv", "XRPUSDT-fundingRate-2024-01-stale.csv", "XRPUSDT"),
    )

    @pytest.mark.parametrize(("first", "second", "symbol"), PAIRS)
    def test_the_order_does_not_matter(self, tmp_path: Path, cases: Path, first: str, second: str, symbol: str):
        seen = []
        for k, order in enumerate(((first, second), (second, first), (first, second, first))):
            lake = Lake(tmp_path / f"{k}")
            reports = [import_paths(lake, cases / name, venue="binance-usdm").files[0] for name in order]
            assert [report.status for report in reports if report.status == "failed"] == []
            assert reports[1].conflicts + reports[1].revisions > 0
            assert any("--prefer" in note for note in reports[1].notes)
            seen.append(current(lake, symbol))
        assert seen[0] == seen[1] == seen[2]

    @pytest.mark.parametrize(("right", "stale", "symbol"), PAIRS)
    def test_a_preferred_file_is_right_for_good(self, tmp_path: Path, cases: Path, right: str, stale: str, symbol: str):
        wanted = []
        for k, (good, other) in enumerate(((right, stale), (stale, right))):
            alone, lake = Lake(tmp_path / f"alone{k}"), Lake(tmp_path / f"{k}")
            import_paths(alone, cases / good, venue="binance-usdm")
            import_paths(lake, cases / other, venue="binance-usdm")
            import_paths(lake, cases / good, venue="binance-usdm", prefer=True)
            import_paths(lake, cases / other, venue="binance-usdm")
            assert current(lake, symbol) == current(alone, symbol)
            wanted.append(current(alone, symbol))
        assert wanted[0] != wanted[1]


def current(lake: Lake, symbol: str) -> list[bytes]:
    """Values of the current view."""
    instrument = Instrument("binance-usdm", symbol)
    if lake.coverage():
        columns = lake.frame(symbol, "1m").base.columns
        return [columns[name].tobytes() for name in sorted(columns)]
    events = lake.events("funding", instrument)
    return [events.event_time.tobytes(), *(np.asarray(events[name]).tobytes() for name in sorted(events.columns))]


class TestHourlyFunding:
    """Funding finer than the bars that are traded."""

    def test_is_paid_once_a_settlement(self, tmp_path: Path, cases: Path, monkeypatch: pytest.MonkeyPatch):
        out = tmp_path / "raw"
        monkeypatch.setattr(sys, "argv", ["make", str(out)])
        runpy.run_path(str(cases / "make_hourly_funding_year.py"), run_name="__main__")
        lake = Lake(tmp_path / "lake")
        report = import_paths(lake, out, venue="hyperliquid-perp")
        assert report.ok
        frame = lake.frame("HYPEUSDT", "1d")
        funding = frame.base.columns["funding_rate"]
        assert np.isfinite(funding[5:]).all()
