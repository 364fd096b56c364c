"""Rates of funding are settlements, or polls of rates that are still to come."""

import numpy as np
import pytest

from tests.archives import env
from virtuoso.account.instrument import Instrument
from virtuoso.errors import AmbiguousError
from virtuoso.ingest.importer import import_paths
from virtuoso.ingest.settlements import Settlements
from virtuoso.lake.lake import Lake

JANUARY = 1_704_067_200_000  # 2024-01-01T00:00Z
MINUTE = 60_000
HOUR = 60 * MINUTE
BTC, ETH = Instrument("binance-usdm", "BTCUSDT"), Instrument("binance-usdm", "ETHUSDT")


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake", env=env())


def take(lake, path, **said):
    (report,) = import_paths(lake, path, **({"venue": "binance-usdm"} | said)).files
    return report


def polls(path, minutes, due, column="funding_timestamp", symbols=("BTCUSDT",), rate=lambda minute: 0.0001):
    """A poll a row: of each symbol, after so many minutes, of the settlement that `due` says."""
    lines = [f"symbol,timestamp,{column},funding_rate"]
    lines += [
        f"{symbol},{JANUARY + minute * MINUTE},{JANUARY + due(minute) * MINUTE},{rate(minute)}"
        for minute in minutes
        for symbol in symbols
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def every_eight_hours(minute: int) -> int:
    return (minute // 480 + 1) * 480


class TestPolls:
    """Of a coming rate give the settlement that each is about, once it has passed."""

    @pytest.mark.parametrize("column", ["funding_timestamp", "next_funding_time", "nextFundingTime"])
    def test_give_the_last_before_each(self, lake, tmp_path, column):
        path = polls(tmp_path / "a.csv", range(0, 1200), every_eight_hours, column, rate=lambda m: m / 1e7)
        report = take(lake, path)
        assert (report.status, report.stored, report.left_out) == ("imported", 2, 1198)
        events = lake.events("funding", BTC)
        assert events.event_time.tolist() == [JANUARY + 8 * HOUR, JANUARY + 16 * HOUR]
        assert events.columns["rate"].tolist() == [479 / 1e7, 959 / 1e7]

    def test_of_several_symbols_keep_each_apart(self, lake, tmp_path):
        path = polls(tmp_path / "a.csv", range(0, 1200, 5), every_eight_hours, symbols=("BTCUSDT", "ETHUSDT"))
        assert take(lake, path).stored == 4
        assert len(lake.events("funding", ETH).event_time) == 2

    def test_taken_long_before_prove_nothing(self, lake, tmp_path):
        report = take(lake, polls(tmp_path / "a.csv", range(0, 1200, 60), every_eight_hours))
        assert "none within 10 minutes of a settlement" in report.error

    def test_over_a_gap_prove_nothing(self, lake, tmp_path):
        minutes = [*range(0, 300), *range(700, 1200)]
        assert take(lake, polls(tmp_path / "a.csv", minutes, every_eight_hours)).stored == 1

    def test_without_a_column_are_refused(self, lake, tmp_path):
        path = polls(tmp_path / "a.csv", range(0, 1200), every_eight_hours, column="something")
        report = take(lake, path)
        assert "1,199 of 1,200 rates" in report.error
        assert "they are polls of a coming rate, not settlements" in report.error
        assert not lake.kinds()[1:] or not lake.manifest("funding").readable()

    def test_whose_next_settlement_differs_from_row_to_row_are_settlements(self, lake, tmp_path):
        path = polls(tmp_path / "a.csv", range(0, 9600, 480), lambda minute: minute + 480)
        assert take(lake, path).stored == 20


class TestSettlements:
    """Are at least an hour apart, and on whole hours."""

    @pytest.mark.parametrize("hours", [1, 2, 4, 8])
    def test_are_left_alone_with_their_jitter(self, hours):
        settlements = Settlements()
        times = JANUARY + np.arange(100) * hours * HOUR + np.arange(100) % 7
        settlements.see(BTC, times[:50])
        settlements.see(ETH, times)
        settlements.see(BTC, times[50:])
        settlements.conclude("a.csv")

    @pytest.mark.parametrize("step", [MINUTE, 5 * MINUTE, 30 * MINUTE, 90 * MINUTE])
    def test_that_are_too_near_or_off_the_hour_are_refused(self, step):
        settlements = Settlements()
        settlements.see(BTC, JANUARY + np.arange(100) * step)
        with pytest.raises(AmbiguousError, match="less than an hour after another or off the whole hour"):
            settlements.conclude("a.csv")

    def test_may_be_off_once_in_a_hundred(self):
        settlements = Settlements()
        times = JANUARY + np.arange(200) * 8 * HOUR
        times[7] += 20 * MINUTE
        settlements.see(BTC, times)
        settlements.conclude("a.csv")
