"""Faults of derivatives data by their numbers in the catalogue (E05-E07, E33, E37, E39), and those of real files."""

import numpy as np
import pytest

from tests.archives import reject_bad_file
from tests.derivatives import METRICS, written
from virtuoso.clock import Timeframe
from virtuoso.errors import AmbiguousError, UnreadableFileError
from virtuoso.ingest.event_rules import RULES
from virtuoso.ingest.validate_events import validate_events
from virtuoso.market.features.derivatives import DerivativesFeatures
from virtuoso.venues.files.derivatives import read_derivatives
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.registry import decode

JANUARY = 1_704_067_200_000  # 2024-01-01T00:00Z
NOW = 1_780_000_000_000
MINUTE, HOUR = 60_000, 3_600_000
M5 = Timeframe("5m")


def metrics(tmp_path, interests, start: str = "2024-01-01T00:05", ratio: str = "1.5"):
    """The judged events of a metrics file with these open interests, by kind."""
    times = np.datetime64(start, "s") + 300 * np.arange(len(interests))
    rows = [
        f"{str(t).replace('T', ' ')},BTCUSDT,{oi},{oi},1,1,{ratio},1" for t, oi in zip(times, interests, strict=True)
    ]
    raws = list(read_derivatives(written(tmp_path / "BTCUSDT-metrics-2024-01-01.csv", [METRICS, *rows]), now_ms=NOW))
    return {raw.kind: validate_events(raw, NOW) for raw in raws}


def column(judged, name: str, n: int, first_ms: int = JANUARY) -> list[float]:
    events = {kind: found.accepted for kind, found in judged.items()}
    first = first_ms // M5.ms
    return DerivativesFeatures(M5).bars(events, first, first + n)[name].tolist()


def funding(tmp_path, lines: list[str], name: str = "BTCUSDT-fundingRate-2024-01.csv", **options):
    (raw,) = decode(written(tmp_path / name, lines), ImportOptions(**options), NOW)
    return validate_events(raw, NOW)


class TestOpenInterest:
    """What never was is quarantined, and the column is not known once the last truth is too old."""

    def test_E33_zero_open_interest_is_an_outage(self, tmp_path):
        judged = metrics(tmp_path, [100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 101.0])
        assert judged["open_interest"].counts == {"outage": 5}
        assert len(judged["ratios"].accepted) == 7
        reject_bad_file(list(judged.values()), RULES)
        known = column(judged, "open_interest", 9)
        assert known[1:4] == [100, 100, 100]
        assert np.isnan(known[4:7]).all()
        assert known[7:] == [101, 101]

    def test_E33_missing_open_interest_is_an_outage(self, tmp_path):
        assert metrics(tmp_path, [100.0, "", 101.0])["open_interest"].counts == {"outage": 1}

    def test_E33_negative_open_interest_is_refused(self, tmp_path):
        judged = metrics(tmp_path, [100.0, -5.0, 101.0])
        assert judged["open_interest"].counts == {"negative": 1}
        assert column(judged, "open_interest", 4)[1:] == [100, 100, 101]

    def test_E33_a_jump_by_a_thousand_is_kept_and_not_known(self, tmp_path):
        judged = metrics(tmp_path, [100.0, 101.0, 102_000_000.0, 103.0, 104.0])
        assert not judged["open_interest"].counts
        known = column(judged, "open_interest", 7)
        assert known[1:3] == [100, 101]
        assert np.isnan(known[3])
        assert known[4:] == [103, 104, 104]

    def test_E33_a_level_that_stays_is_believed_from_its_third_row_on(self, tmp_path):
        judged = metrics(tmp_path, [100.0, 101.0, 2e5, 2.1e5, 2.2e5, 2.3e5])
        known = column(judged, "open_interest", 8)
        assert known[1:3] == [100, 101]
        assert np.isnan(known[3:5]).all()
        assert known[5:7] == [2.2e5, 2.3e5]


class TestRatios:
    """NULL is not known, and neither is a ratio of nothing."""

    @pytest.mark.parametrize("ratio", ["", "0", "NULL", "inf", "-1"])
    def test_that_say_nothing_are_not_known(self, tmp_path, ratio):
        judged = metrics(tmp_path, [100.0, 100.0], ratio=ratio)
        assert np.isnan(column(judged, "accounts_ratio", 3)).all()
        assert column(judged, "taker_ratio", 3)[1:] == [1, 1]


class TestFundingRates:
    """Extreme rates are kept, impossible ones refused, and the interval is never assumed."""

    HEADER = "calc_time,funding_interval_hours,last_funding_rate"

    @pytest.mark.parametrize("rate", [0.02, -0.02, 0.75])
    def test_E39_extreme_funding_is_kept_as_it_is(self, tmp_path, rate):
        judged = {"funding": funding(tmp_path, [self.HEADER, f"{JANUARY},8,{rate}"])}
        assert column(judged, "funding_rate", 1, JANUARY + MINUTE * 5) == [rate]

    def test_E39_more_than_the_whole_notional_is_refused(self, tmp_path):
        assert funding(tmp_path, [self.HEADER, f"{JANUARY},8,1.5"]).counts == {"impossible_rate": 1}

    def test_an_interval_that_nobody_states_is_not_assumed(self, tmp_path):
        lines = ["symbol,fundingTime,fundingRate", *(f"BTCUSDT,{JANUARY + h * HOUR},0.0001" for h in (0, 4, 5))]
        judged = {"funding": funding(tmp_path, lines)}
        rates = column(judged, "funding_rate", 12 * 6)
        assert np.isnan(rates[: 12 * 4]).all()
        assert rates[12 * 4 + 1] == 0.0002
        assert rates[12 * 5 + 1] == 0.0008


class TestTimes:
    """Of a wrong unit or an unknown zone are errors at the border."""

    @pytest.mark.parametrize(("scale", "unit"), [(1_000, "us"), (0.001, "s")])
    def test_E05_a_file_in_another_unit_is_read_in_it(self, tmp_path, scale, unit):
        header = TestFundingRates.HEADER
        judged = funding(tmp_path, [header, *(f"{int((JANUARY + h * HOUR) * scale)},8,0.0001" for h in (0, 8))])
        assert judged.accepted.event_time.tolist() == [JANUARY, JANUARY + 8 * HOUR]
        assert f"times: {unit}" in judged.notes

    @pytest.mark.parametrize("time", [JANUARY // 1_000, JANUARY * 1_000, NOW + HOUR])
    def test_E05_a_row_in_another_unit_or_of_the_future_is_refused(self, tmp_path, time):
        header = TestFundingRates.HEADER
        rows = [f"{JANUARY + h * HOUR},8,0.0001" for h in (0, 8, 16)]
        judged = funding(tmp_path, [header, *rows, f"{time},8,0.0001"])
        assert judged.counts == {"time_out_of_range": 1}

    def test_E37_times_without_a_zone_are_an_error(self, tmp_path):
        with pytest.raises(AmbiguousError, match="--time-zone"):
            funding(tmp_path, ["Symbol,Date,Funding Rate", "BTC-USDT,2024-01-01 03:00:00,0.0001"])

    def test_E37_a_zone_in_which_no_venue_settles_is_an_error(self, tmp_path):
        lines = ["Symbol,Date,Funding Rate", *(f"BTC-USDT,2024-01-01 {h}:00:00,0.0001" for h in ("03", "11", "19"))]
        with pytest.raises(AmbiguousError, match="The time zone is wrong"):
            funding(tmp_path, lines, venue="binance-usdm", time_zone="UTC")

    def test_off_the_grid_are_kept_as_they_are(self, tmp_path):
        judged = metrics(tmp_path, [100.0, 101.0], start="2024-01-01T00:05:02")
        assert judged["open_interest"].accepted.event_time.tolist() == [JANUARY + 302_000, JANUARY + 602_000]


class TestRepeatedRows:
    """Are stored once; the lake decides which version holds."""

    def test_E06_the_same_settlement_twice_is_one(self, tmp_path):
        rows = [f"{JANUARY},8,0.0001", f"{JANUARY + 9},8,0.0001"]
        judged = funding(tmp_path, [TestFundingRates.HEADER, *rows])
        assert (len(judged.accepted), judged.duplicates) == (1, 1)

    def test_E07_of_another_value_is_another_version(self, tmp_path):
        rows = [f"{JANUARY},8,0.0001", f"{JANUARY},8,0.0002"]
        judged = funding(tmp_path, [TestFundingRates.HEADER, *rows])
        assert (judged.accepted["rate"].tolist(), judged.superseded["rate"].tolist()) == ([0.0001], [0.0002])


class TestAFileOfErrors:
    """Is refused whole."""

    def test_that_is_a_page_of_html_is_refused(self, tmp_path):
        path = tmp_path / "BTCUSDT-metrics-2024-01-01.zip"
        path.write_text("<html>503</html>")
        with pytest.raises(UnreadableFileError, match="is damaged"):
            list(read_derivatives(path, now_ms=NOW))

    def test_of_negative_open_interest_is_refused(self, tmp_path):
        judged = metrics(tmp_path, [*[100.0] * 50, *[-1.0] * 50])
        with pytest.raises(UnreadableFileError, match="50 of 200 events are bad"):
            reject_bad_file(list(judged.values()), RULES)


@pytest.mark.real_data
class TestDefectsOfRealFiles:
    """Those that the data pack's README lists, found and handled by name."""

    @staticmethod
    def judged(path):
        raws = decode(path, ImportOptions(), NOW)
        found = {(raw.kind, raw.symbol): validate_events(raw, NOW) for raw in raws}
        reject_bad_file(list(found.values()), RULES)
        return found

    def test_zero_open_interest_of_2022_is_an_outage(self, real_data):
        found = self.judged(real_data / "derivatives/binance_um_metrics_5m_BTCUSDT_2022H1.parquet")
        assert found["open_interest", "BTCUSDT"].counts == {"outage": 117}

    def test_zero_open_interest_of_2025_is_an_outage(self, real_data):
        path = real_data / "derivatives/binance_um_metrics_5m_4sym_20250704_20251031.parquet"
        found = [validate_events(raw, NOW) for raw in decode(path, ImportOptions(), NOW)]
        reject_bad_file(found, RULES)
        assert sum(judged.counts.get("outage", 0) for judged in found) == 40

    def test_null_ratios_are_not_known_and_empty_rows_are_left_out(self, real_data):
        ratios = self.judged(real_data / "derivatives/binance_um_metrics_5m_BTCUSDT_2022H1.parquet")[
            "ratios", "BTCUSDT"
        ]
        assert ratios.left_out == 5_349
        assert np.isfinite(ratios.accepted["top_accounts_ratio"]).sum() == 8_370
        assert np.isfinite(ratios.accepted["accounts_ratio"]).mean() > 0.8
        assert not ratios.counts

    def test_times_off_the_grid_are_kept(self, real_data):
        found = self.judged(real_data / "derivatives/raw_metrics_csv/BTCUSDT-metrics-2024-09-23.csv")
        assert (found["ratios", "BTCUSDT"].accepted.event_time % (5 * MINUTE) != 0).sum() == 54

    def test_a_day_with_163_rows_says_so(self, real_data):
        found = self.judged(real_data / "derivatives/raw_metrics_csv/BTCUSDT-metrics-2024-02-16.csv")
        assert "2024-02-16 has 163 of 288 rows" in found["ratios", "BTCUSDT"].notes

    def test_102_zeros_of_one_day_do_not_lose_the_others(self, real_data):
        found = self.judged(real_data / "derivatives/raw_metrics_csv/BTCUSDT-metrics-2022-03-07.csv")
        assert (len(found["open_interest", "BTCUSDT"].accepted), len(found["ratios", "BTCUSDT"].accepted)) == (186, 288)

    def test_jittering_settlements_are_on_their_hour(self, real_data):
        found = self.judged(real_data / "derivatives/funding/binance_um_funding_BTC_ETH_2022_202510.parquet")
        assert all((judged.accepted.event_time % (8 * HOUR) == 0).all() for judged in found.values())

    def test_an_hourly_venue_that_missed_two_settlements_is_not_known_after_them(self, real_data):
        path = real_data / "derivatives/multivenue_funding_BTC_ETH_Unlicense.parquet"
        (raw,) = decode(path, ImportOptions(venue="kraken-perp", symbol="BTCUSD"), NOW)
        events = validate_events(raw, NOW).accepted
        missed = events.event_time[1:][np.diff(events.event_time) == 2 * HOUR]
        hourly = Timeframe("1h")
        first, end = int(events.event_time[0]) // HOUR, int(events.event_time[-1]) // HOUR + 1
        rates = DerivativesFeatures(hourly).bars({"funding": events}, first, end)["funding_rate"]
        assert np.flatnonzero(np.isnan(rates)).tolist() == [
            0,
            *(int(t) // HOUR + k - first for t in missed for k in (-1, 0)),
        ]
