"""Tables of settled funding rates, in the spellings of exchanges, their web pages and collectors."""

import numpy as np
import pandas as pd
import pytest

from tests.derivatives import written
from virtuoso.errors import AmbiguousError
from virtuoso.ingest.validate_events import validate_events
from virtuoso.venues.files.file_io import head_of
from virtuoso.venues.files.funding import read_funding, recognises
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.files.timestamps import NO_TIME

JANUARY = 1_704_067_200_000  # 2024-01-01T00:00Z
NOW = 1_780_000_000_000
HOUR = 3_600_000


def read(path, **options):
    """The one table of rates of a file."""
    assert recognises(head_of(path))
    (raw,) = read_funding(path, ImportOptions(**options), now_ms=NOW)
    assert raw.kind == "funding"
    return raw


def hours(raw) -> list[float]:
    """Event times in hours after the year began."""
    return ((raw.event_time - JANUARY) / HOUR).tolist()


class TestTheSpellings:
    """The same rate comes out of every way in which it is written."""

    def test_of_binance_archives(self, tmp_path):
        lines = [
            "calc_time,funding_interval_hours,last_funding_rate",
            f"{JANUARY + 6},8,0.00012359",
            f"{JANUARY},4,-0.0002",
        ]
        raw = read(written(tmp_path / "BTCUSDT-fundingRate-2024-01.zip", lines))
        assert raw.symbol == "BTCUSDT"
        assert raw.columns["rate"].tolist() == [0.00012359, -0.0002]
        assert raw.columns["hours"].tolist() == [8, 4]
        assert raw.event_time.tolist() == [JANUARY + 6, JANUARY]

    def test_of_answers_kept_as_a_table(self, tmp_path):
        lines = ["symbol,fundingTime,fundingRate,markPrice", f"BTCUSDT,{JANUARY},0.00012359,34287.5"]
        raw = read(written(tmp_path / "a.csv", lines))
        assert raw.columns["mark"].tolist() == [34287.5]
        assert np.isnan(raw.columns["hours"]).all()

    def test_of_the_web_page_of_binance(self, tmp_path):
        """A byte-order mark, the newest first, percent, the interval in words."""
        lines = [
            '"Time","Contracts","Funding Interval","Funding Rate"',
            '"2024-01-01 08:00:00","BTCUSDT Perpetual","8h","0.012359%"',
            '"2024-01-01 00:00:00","BTCUSDT Perpetual","8h","-0.010000%"',
        ]
        raw = read(written(tmp_path / "a.csv", lines, bom=True), time_zone="Europe/London")
        assert raw.symbol == "BTCUSDT"
        assert raw.columns["rate"].tolist() == [0.00012359, -0.0001]
        assert raw.columns["hours"].tolist() == [8, 8]
        assert hours(raw) == [8, 0]

    def test_of_collectors(self, tmp_path):
        lines = ["Symbol,Date,Funding Rate", "BTC-USDT,2024-01-01 03:00:00.001,0.00012359"]
        raw = read(written(tmp_path / "a.csv.gz", lines), time_zone="Etc/GMT-3")
        assert (raw.symbol, raw.event_time.tolist()) == ("BTCUSDT", [JANUARY + 1])

    @pytest.mark.parametrize("name", ["Funding Rate (%)", "funding_rate_pct", "funding_rate_percent"])
    @pytest.mark.parametrize("mark", ["", "%"])
    def test_that_are_called_percent_are_fractions(self, tmp_path, name, mark):
        lines = [f"symbol,time,{name}", f"BTCUSDT,{JANUARY},0.012359{mark}", f"BTCUSDT,{JANUARY + HOUR},-0.01{mark}"]
        assert read(written(tmp_path / "a.csv", lines)).columns["rate"].tolist() == [0.00012359, -0.0001]

    def test_in_percent_lose_no_bit(self, tmp_path):
        """Dividing 0.000283 by 100 gives another number than writing 0.00000283."""
        lines = ["symbol,time,funding_rate", f"BTCUSDT,{JANUARY},0.000283%", f"BTCUSDT,{JANUARY + HOUR},0.00000283"]
        first, second = read(written(tmp_path / "a.csv", lines)).columns["rate"].tolist()
        assert first == second

    def test_of_rates_and_intervals_that_are_no_numbers_are_set_aside(self, tmp_path):
        lines = [
            "calc_time,funding_interval_hours,last_funding_rate",
            f"{JANUARY},8,high",
            f"{JANUARY + HOUR},often,0.1",
        ]
        raw = read(written(tmp_path / "BTCUSDT-fundingRate-2024-01.csv", [*lines, f"{JANUARY + 2 * HOUR},8,0.1"]))
        assert [(number, reason) for number, reason, _ in raw.rejected] == [(2, "not_a_number"), (3, "not_a_number")]
        assert len(raw) == 1


class TestTimesOfSomewhere:
    """Wall time needs its zone; where it cannot be right, it is refused."""

    LINES = (
        "Symbol,Date,Funding Rate",
        *(f"BTC-USDT,2024-01-0{d} {h}:00:00,0.0001" for d in (1, 2) for h in ("03", "11", "19")),
    )

    def test_without_a_zone_are_refused_with_a_hint(self, tmp_path):
        path = written(tmp_path / "a.csv", list(self.LINES))
        with pytest.raises(AmbiguousError, match=r"--time-zone.*3 hours ahead of UTC \(Etc/GMT-3\) or 5 behind"):
            read(path)

    def test_that_no_venue_settles_at_are_refused(self, tmp_path):
        path = written(tmp_path / "a.csv", list(self.LINES))
        with pytest.raises(AmbiguousError, match=r"2024-01-01T03:00Z.*The time zone is wrong"):
            read(path, time_zone="UTC", venue="binance-usdm")
        assert hours(read(path, time_zone="Etc/GMT-3", venue="binance-usdm"))[:3] == [0, 8, 16]

    def test_are_believed_of_venues_that_settle_at_other_hours(self, tmp_path):
        path = written(tmp_path / "a.csv", list(self.LINES))
        assert hours(read(path, time_zone="UTC", venue="bitmex-perp"))[0] == 3

    def autumn(self, tmp_path, interval: str):
        """Around the end of summer time: 01:00 London time came at 00:00 and at 01:00 UTC."""
        header = "Time,Contracts,Funding Interval,Funding Rate"
        times = ("2024-10-27 08:00:00", "2024-10-27 01:00:00", "2024-10-26 17:00:00")
        lines = [header, *(f"{time},BTCUSDT Perpetual,{interval},0.01%" for time in times)]
        return read(written(tmp_path / "a.csv", lines), time_zone="Europe/London")

    def test_in_the_hour_that_comes_twice_are_settled_by_their_interval(self, tmp_path):
        raw = self.autumn(tmp_path, "8h")
        assert [str(time.astype("M8[ms]")) for time in raw.event_time] == [
            "2024-10-27T08:00:00.000", "2024-10-27T00:00:00.000", "2024-10-26T16:00:00.000",
        ]  # fmt: skip

    @pytest.mark.parametrize("interval", ["1h", ""])
    def test_in_that_hour_are_no_times_where_the_interval_does_not_tell(self, tmp_path, interval):
        assert self.autumn(tmp_path, interval).event_time[1] == NO_TIME


class TestATableOfSeveralVenues:
    """Gives the rows of the wanted one."""

    @pytest.fixture
    def path(self, tmp_path):
        made = pd.DataFrame(
            {
                "timestamp": pd.to_datetime([JANUARY, JANUARY, JANUARY + HOUR, JANUARY], unit="ms", utc=True),
                "venue": ["binance", "hyperliquid", "hyperliquid", "hyperliquid"],
                "coin": ["BTC", "BTC", "BTC", "ETH"],
                "funding_rate": [1e-4, 1e-5, 2e-5, 3e-5],
            }
        )
        made.to_parquet(tmp_path / "a.parquet")
        return tmp_path / "a.parquet"

    def test_of_the_wanted_symbol(self, path):
        raw = read(path, venue="hyperliquid-perp", symbol="BTCUSD")
        assert (raw.symbol, raw.columns["rate"].tolist(), hours(raw)) == ("BTCUSD", [1e-5, 2e-5], [0, 1])
        assert read(path, venue="binance-usdm", symbol="BTCUSDT").columns["rate"].tolist() == [1e-4]

    def test_is_refused_without_a_venue(self, path):
        with pytest.raises(AmbiguousError, match=r"binance, hyperliquid\. Pass --venue"):
            read(path, symbol="BTCUSDT")

    def test_is_refused_for_a_venue_that_it_does_not_hold(self, path):
        with pytest.raises(AmbiguousError, match="Did you mean 'hyperliquid'"):
            read(path, venue="hyperliqid", symbol="BTCUSDT")

    def test_is_refused_without_a_symbol(self, path):
        with pytest.raises(AmbiguousError, match=r"holds the coins BTC, ETH.*Pass --symbol"):
            read(path, venue="hyperliquid-perp")
        with pytest.raises(AmbiguousError, match=r"none of them is that of SOLUSDT"):
            read(path, venue="hyperliquid-perp", symbol="SOLUSDT")


@pytest.mark.real_data
class TestRecordedRates:
    """Every source of the data pack tells of the same settlements; all but the web page to the last bit."""

    @pytest.fixture(scope="class")
    @staticmethod
    def table(real_data):
        path = real_data / "derivatives/funding/binance_um_funding_BTC_ETH_2022_202510.parquet"
        return {raw.symbol: validate_events(raw, NOW).accepted for raw in read_funding(path, now_ms=NOW)}

    def same(self, raw, table, rounding: float = 0.0) -> int:
        """Number of settlements in both, which are all that one has where the other begins and ends."""
        events = validate_events(raw, NOW).accepted
        both, at, there = np.intersect1d(events.event_time, table.event_time, return_indices=True)
        assert (np.abs(events["rate"][at] - table["rate"][there]) <= rounding).all()
        inside = (events.event_time >= table.event_time[0]) & (events.event_time <= table.event_time[-1])
        assert inside.sum() == len(both)
        return len(both)

    @pytest.mark.parametrize("coin", ["BTC", "ETH"])
    def test_of_a_collector_three_hours_ahead(self, real_data, table, coin):
        name = f"{coin}-USDT_binance_2020-01-01_2024-01-01_funding_history.csv.gz"
        raw = read(real_data / "derivatives/funding" / name, time_zone="Etc/GMT-3", venue="binance-usdm")
        assert self.same(raw, table[raw.symbol]) == 2_190

    def test_of_the_web_page_in_london(self, real_data, table):
        """The page cuts the last digit of one rate in eighteen: 0.002281% for 0.00002282."""
        path = real_data / "derivatives/funding/binance_web_export_BTCUSDT_2019_2024_localtz_MIT.csv"
        raw = read(path, time_zone="Europe/London", venue="binance-usdm")
        assert (raw.event_time % (8 * HOUR) == 0).all()
        assert self.same(raw, table["BTCUSDT"], rounding=1.0001e-8) == 2_855
        events = validate_events(raw, NOW).accepted
        _, at, there = np.intersect1d(events.event_time, table["BTCUSDT"].event_time, return_indices=True)
        assert (events["rate"][at] != table["BTCUSDT"]["rate"][there]).sum() == 158

    def test_of_the_table_of_venues(self, real_data, table):
        path = real_data / "derivatives/multivenue_funding_BTC_ETH_Unlicense.parquet"
        assert self.same(read(path, venue="binance-usdm", symbol="BTCUSDT"), table["BTCUSDT"]) == 712
