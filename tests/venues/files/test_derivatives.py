"""Files about derivatives: open interest, ratios, depth bands, mark and index prices."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.derivatives import METRICS, written
from virtuoso.errors import UnknownContentError, UnreadableFileError
from virtuoso.venues.files.derivatives import read_derivatives, recognises
from virtuoso.venues.files.file_io import Head, head_of
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.files.timestamps import NO_TIME

JANUARY = 1_704_067_200_000  # 2024-01-01T00:00Z
NOW = 1_780_000_000_000
MINUTE, DAY = 60_000, 86_400_000
ROWS = [
    "2024-01-01 00:05:00,BTCUSDT,100.5,4020000.25,1.1,1.2,1.3,1.4",
    "2024-01-01 00:10:02,BTCUSDT,101.5,4060000.5,,1.25,1.35,1.45",
]


def read(path: Path, **options):
    assert recognises(head_of(path))
    return {(raw.kind, raw.symbol): raw for raw in read_derivatives(path, ImportOptions(**options), now_ms=NOW)}


class TestMetrics:
    """Five-minute rows of open interest and ratios, as Binance archives them."""

    @pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".zip"])
    def test_give_open_interest_and_ratios(self, tmp_path, suffix):
        found = read(written(tmp_path / f"BTCUSDT-metrics-2024-01-01{suffix}", [METRICS, *ROWS]))
        assert list(found) == [("open_interest", "BTCUSDT"), ("ratios", "BTCUSDT")]
        oi, ratios = found.values()
        assert oi.columns["open_interest"].tolist() == [100.5, 101.5]
        assert oi.columns["open_interest_value"].tolist() == [4020000.25, 4060000.5]
        assert ratios.columns["top_positions_ratio"].tolist() == [1.2, 1.25]
        assert ratios.columns["accounts_ratio"].tolist() == [1.3, 1.35]
        assert ratios.columns["taker_ratio"].tolist() == [1.4, 1.45]

    def test_are_stamped_in_utc_at_the_end_of_their_interval(self, tmp_path):
        path = written(tmp_path / "a.csv", [METRICS, *ROWS])
        oi = read(path, time_zone="Asia/Tokyo")["open_interest", "BTCUSDT"]
        assert oi.event_time.tolist() == [JANUARY + 5 * MINUTE, JANUARY + 10 * MINUTE + 2_000]
        assert oi.received_at is None

    def test_without_a_ratio_do_not_know_it(self, tmp_path):
        ratios = read(written(tmp_path / "a.csv", [METRICS, *ROWS]))["ratios", "BTCUSDT"]
        np.testing.assert_array_equal(ratios.columns["top_accounts_ratio"], [1.1, np.nan])

    def test_keep_each_symbol_apart(self, tmp_path):
        rows = [*ROWS, ROWS[0].replace("BTC", "ETH")]
        found = read(written(tmp_path / "a.csv", [METRICS, *rows]))
        assert found["open_interest", "ETHUSDT"].rows.tolist() == [4]
        assert found["open_interest", "BTCUSDT"].rows.tolist() == [2, 3]

    def test_set_aside_text_and_broken_lines(self, tmp_path):
        rows = [ROWS[0], ROWS[1].replace("101.5", "n/a?"), "2024-01-01 00:15:00,BTCUSDT,1"]
        found = read(written(tmp_path / "a.csv", [METRICS, *rows]))
        oi, ratios = found.values()
        assert [(number, reason) for number, reason, _ in oi.rejected] == [(3, "not_a_number"), (4, "broken_line")]
        assert oi.rows.tolist() == [2]
        assert ratios.rejected == ()
        assert len(ratios) == 2

    def test_of_a_time_that_cannot_be_read_have_none(self, tmp_path):
        rows = [*ROWS, ROWS[0].replace("2024-01-01 00:05:00", "yesterday")]
        assert read(written(tmp_path / "a.csv", [METRICS, *rows]))["ratios", "BTCUSDT"].event_time[2] == NO_TIME

    def test_as_a_parquet_table_are_the_same(self, tmp_path):
        text = read(written(tmp_path / "a.csv", [METRICS, *ROWS]))
        table = pd.read_csv(tmp_path / "a.csv")
        table["create_time"] = pd.to_datetime(table["create_time"]).dt.tz_localize("UTC")
        table.to_parquet(tmp_path / "a.parquet")
        for key, raw in read(tmp_path / "a.parquet").items():
            assert (raw.event_time == text[key].event_time).all()
            for name, values in raw.columns.items():
                np.testing.assert_array_equal(values, text[key].columns[name])


class TestDepthBands:
    """Depth within a percentage of the middle price: Binance's bookDepth files."""

    def test_are_read_with_the_symbol_of_their_name(self, tmp_path):
        lines = [
            "timestamp,percentage,depth,notional",
            "2024-01-01 00:00:08,-1.00,5.5,220000.5",
            "2024-01-01 00:00:08,1,4,9",
        ]
        found = read(written(tmp_path / "BTCUSDT-bookDepth-2024-01-01.zip", lines))
        bands = found["bands", "BTCUSDT"]
        assert bands.event_time.tolist() == [JANUARY + 8_000] * 2
        assert bands.columns["percentage"].tolist() == [-1, 1]
        assert bands.columns["notional"].tolist() == [220000.5, 9]


class TestMarkAndIndexPrices:
    """Klines of prices look like klines of trades; only their folder or their name tells them apart."""

    ROW = f"{JANUARY},40000,40010,39990,40005.5,0,{JANUARY + MINUTE - 1},0,60,0,0,0"
    HEADER = (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
        "taker_buy_quote_volume,ignore"
    )

    @pytest.mark.parametrize("header", [True, False])
    @pytest.mark.parametrize(("folder", "known"), [("markPriceKlines", "mark"), ("indexPriceKlines", "index")])
    def test_are_known_at_the_end_of_their_interval(self, tmp_path, folder, known, header):
        lines = [self.HEADER, self.ROW] if header else [self.ROW]
        found = read(written(tmp_path / folder / "BTCUSDT" / "1m" / "BTCUSDT-1m-2024-01-01.zip", lines))
        prices = found["prices", "BTCUSDT"]
        assert prices.event_time.tolist() == [JANUARY + MINUTE]
        assert {name: np.isfinite(values).all() for name, values in prices.columns.items()} == {
            "mark": known == "mark",
            "index": known == "index",
        }
        assert prices.columns[known].tolist() == [40005.5]

    def test_a_table_of_that_name_without_the_columns_is_something_else(self, tmp_path):
        path = tmp_path / "BTCUSDT-markPriceKlines.csv"
        path.write_text("GET\n/v5/market/mark-price-kline\n")
        with pytest.raises(UnknownContentError, match="no columns close and close_time among get"):
            list(read_derivatives(path, now_ms=NOW))

    def test_are_not_taken_from_klines_of_trades(self, tmp_path):
        path = written(tmp_path / "klines" / "BTCUSDT-1m-2024-01-01.zip", [self.HEADER, self.ROW])
        assert not recognises(head_of(path))


class TestAnotherFile:
    """Is not recognised; reading it all the same says what it holds."""

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("bars.csv", "open_time,open,high,low,close,volume\n1704067200000,1,1,1,1,1\n"),
            ("trades.csv", "1,2.0,3.0,4,5,1704067200000,true,true\n"),
            (
                "coinalyze.csv",
                "timestamp,open_interest,close_oi,open_rate,close_rate,long_liq,short_liq\n2024-01-01,1,1,1,1,1,1\n",
            ),
            ("notes.txt", "funding_rate,timestamp\n"),
            ("empty.csv", ""),
            ("damaged.csv.gz", "no gzip"),
            ("damaged.zip", "no zip"),
            ("damaged.parquet", "no parquet"),
        ],
    )
    def test_is_left_to_others(self, tmp_path, name, text):
        (tmp_path / name).write_text(text)
        assert not recognises(Head(tmp_path / name, text.encode()))

    def test_is_refused_with_its_columns(self, tmp_path):
        path = written(tmp_path / "a.csv", ["time,open", "1,2"])
        with pytest.raises(
            UnreadableFileError,
            match=r"holds no metrics, depth bands, mark or index prices: its columns are open, time",
        ):
            list(read_derivatives(path, now_ms=NOW))

    def test_that_is_damaged_is_an_error(self, tmp_path):
        path = written(tmp_path / "BTCUSDT-metrics-2024-01-01.csv.gz", [METRICS, *ROWS * 500])
        path.write_bytes(path.read_bytes()[:80])
        with pytest.raises(UnreadableFileError, match=r"is damaged"):
            list(read_derivatives(path, now_ms=NOW))

    def test_that_differs_from_its_checksum_is_an_error(self, tmp_path):
        path = written(tmp_path / "BTCUSDT-metrics-2024-01-01.zip", [METRICS, *ROWS])
        path.with_name(path.name + ".CHECKSUM").write_text(f"{'0' * 64}  {path.name}")
        with pytest.raises(UnreadableFileError, match="differs from its checksum"):
            list(read_derivatives(path, now_ms=NOW))

    @pytest.mark.parametrize("lines", [[], [METRICS]])
    def test_without_a_row_is_an_error(self, tmp_path, lines):
        with pytest.raises(UnreadableFileError, match=r"is empty|holds no row"):
            list(read_derivatives(written(tmp_path / "a.csv", lines), now_ms=NOW))


@pytest.mark.real_data
class TestRecordedMetrics:
    """The archives of the data pack."""

    def test_are_the_same_as_a_table_and_as_the_file_of_a_day(self, real_data):
        folder = real_data / "derivatives"
        day = read(folder / "raw_metrics_csv/BTCUSDT-metrics-2022-03-07.csv")
        table = read(folder / "binance_um_metrics_5m_BTCUSDT_2022H1.parquet")
        for key, raw in day.items():
            _, at, _ = np.intersect1d(table[key].event_time, raw.event_time, return_indices=True)
            assert len(at) == len(raw) == 288
            for name, values in raw.columns.items():
                np.testing.assert_array_equal(table[key].columns[name][at], values)
