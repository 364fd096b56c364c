"""What a file is of: no word makes a contract another one, nor weeks days."""

import numpy as np
import pandas as pd
import pytest

from tests.archives import MINUTE, bars, env, lines, minutes, write
from virtuoso.errors import AmbiguousError
from virtuoso.ingest.importer import import_paths
from virtuoso.lake.lake import Lake

HOUR, DAY = 60 * MINUTE, 1440 * MINUTE
MONDAY = 1_641_168_000_000  # 2022-01-03T00:00Z
N = 12
MADE = bars(N)


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake", env=env())


def take(lake, path, **said):
    (report,) = import_paths(lake, path, **({"venue": "binance-usdm"} | said)).files
    return report


def klines(path, times, step):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, lines(times, MADE, step=step))


def table(path, times, **further):
    columns = {name: MADE[name] for name in ("open", "high", "low", "close", "volume")}
    pd.DataFrame({"time": times, **columns, **further}).to_csv(path, index=False)
    return path


def months(n):
    return np.arange("2022-01", n, dtype="M8[M]").astype("M8[ms]").astype(np.int64)


class TestLongBars:
    """Are folded from days, whatever the name or the caller says."""

    @pytest.mark.parametrize("name", ["BTCUSDT-1w-2022.csv", "BTCUSDT-1d-2022.csv", "BTCUSDT.csv"])
    @pytest.mark.parametrize("said", [{}, {"timeframe": "1d"}], ids=["", "-i 1d"])
    @pytest.mark.parametrize("days", [2, 3, 7])
    def test_are_seen_from_their_closes(self, lake, tmp_path, name, said, days):
        report = take(lake, klines(tmp_path / name, minutes(N, MONDAY, days * DAY), days * DAY), **said)
        assert report.status == "failed"
        assert "folded from days" in report.error

    @pytest.mark.parametrize("said", [{}, {"timeframe": "1d"}], ids=["", "-i 1d"])
    def test_of_weeks_are_seen_from_their_spacing(self, lake, tmp_path, said):
        times = np.delete(minutes(N + 1, MONDAY, 7 * DAY), 4)
        assert "holds weeks" in take(lake, table(tmp_path / "BTCUSDT.csv", times), **said).error

    @pytest.mark.parametrize("said", [{}, {"timeframe": "1d"}], ids=["", "-i 1d"])
    def test_of_months_are_seen_from_their_spacing(self, lake, tmp_path, said):
        assert "holds months" in take(lake, table(tmp_path / "BTCUSDT.csv", months("2023-01")), **said).error

    def test_of_one_row_are_told_by_the_name(self, lake, tmp_path):
        path = tmp_path / "BTCUSDT-1w-2022.csv"
        path.write_text(f"time,open,high,low,close,volume\n{MONDAY},1,1,1,1,1\n")
        assert "holds weeks" in take(lake, path).error

    def test_are_not_seen_in_days_with_holes(self, lake, tmp_path):
        times = minutes(2 * N, MONDAY, DAY)[[0, 1, 2, 5, 6, 7, 8, 11, 12, 13, 20, 21]]
        assert take(lake, table(tmp_path / "BTCUSDT-1d.csv", times)).stored == N


class TestTheOwnSpan:
    """Of a file is not contradicted."""

    @pytest.mark.parametrize(("step", "said"), [(HOUR, "1d"), (HOUR, "1m"), (MINUTE, "1h"), (DAY, "1h")])
    def test_by_the_caller(self, lake, tmp_path, step, said):
        report = take(lake, klines(tmp_path / "BTCUSDT.csv", minutes(N, MONDAY, step), step), timeframe=said)
        assert f"but --timeframe says {said}" in report.error

    def test_of_few_bars_by_a_shorter_timeframe(self, lake, tmp_path):
        path = table(tmp_path / "BTCUSDT.csv", minutes(N, MONDAY, HOUR))
        assert "holds 1h bars, but --timeframe says 1m. Pass --timeframe 1h." in take(lake, path, timeframe="1m").error

    def test_of_few_bars_by_a_longer_timeframe(self, lake, tmp_path):
        path = table(tmp_path / "BTCUSDT.csv", minutes(N, MONDAY, HOUR))
        assert "holds 1h bars, but --timeframe says 1d. Pass --timeframe 1h." in take(lake, path, timeframe="1d").error


class TestTheContract:
    """Is that of the file's name, its suffix and its folders included."""

    @pytest.mark.parametrize("said", [{}, {"symbol": "BTCUSDT"}], ids=["", "BTCUSDT"])
    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("BTCUSDT_240628-1h-2022.csv", "BTCUSDT_240628 is a contract with a day of delivery"),
            ("BTCUSD_PERP-1h-2022.csv", "BTCUSD_PERP is an inverse contract"),
            ("data/futures/cm/daily/klines/BTCUSD/BTCUSD-1h-2022.csv", "BTCUSD is an inverse contract"),
        ],
    )
    def test_never_becomes_the_perpetual(self, lake, tmp_path, name, what, said):
        report = take(lake, klines(tmp_path / name, minutes(N, MONDAY, HOUR), HOUR), **said)
        assert what in report.error
        assert not lake.instruments()

    def test_never_becomes_it_by_a_column(self, lake, tmp_path):
        path = table(tmp_path / "BTCUSDT_240628-1h.csv", minutes(N, MONDAY, HOUR), symbol="BTCUSDT")
        assert "is a contract with a day of delivery" in take(lake, path).error

    @pytest.mark.parametrize("symbol", ["BTCUSD_PERP", "BTC/USD:BTC", "BTC-USD-SWAP", "BTC/USDT:USDT-240628"])
    def test_that_the_caller_names_must_be_linear(self, lake, tmp_path, symbol):
        path = table(tmp_path / "a.csv", minutes(N, MONDAY, HOUR))
        with pytest.raises(AmbiguousError, match=r"--symbol .* is "):
            take(lake, path, symbol=symbol)

    def test_of_spot_folders_is_not_the_perpetual(self, lake, tmp_path):
        name = "data/spot/daily/klines/BTCUSDT/BTCUSDT-1h-2022.csv"
        report = take(lake, klines(tmp_path / name, minutes(N, MONDAY, HOUR), HOUR))
        assert "BTCUSDT is spot by its name, and binance-usdm is not" in report.error
        assert take(lake, tmp_path / name, venue="binance-spot").stored == N

    def test_of_derivatives_is_not_spot(self, lake, tmp_path):
        path = tmp_path / "BTCUSDT-fundingRate-2022-01.csv"
        path.write_text(f"calc_time,funding_interval_hours,last_funding_rate\n{MONDAY},8,0.0001\n")
        assert "is a linear perpetual contract by its name" in take(lake, path, venue="binance-spot").error
        assert take(lake, path).stored == 1

    @pytest.mark.parametrize("exchange", ["bybit", "Kraken", "OKX_SWAP"])
    def test_of_another_exchange_in_a_column_is_refused(self, lake, tmp_path, exchange):
        path = table(tmp_path / "BTCUSDT.csv", minutes(N, MONDAY, HOUR), exchange=exchange)
        assert "not of binance-usdm. Pass the right --venue" in take(lake, path).error

    def test_of_the_same_exchange_in_a_column_is_taken(self, lake, tmp_path):
        assert take(lake, table(tmp_path / "BTCUSDT.csv", minutes(N, MONDAY, HOUR), exchange="Binance")).stored == N

    def test_of_the_coin_that_kraken_calls_xbt_may_be_called_btc(self, lake, tmp_path):
        path = table(tmp_path / "XBTUSD_60.csv", minutes(N, MONDAY, HOUR))
        report = take(lake, path, venue="kraken-spot", symbol="BTC/USD")
        assert report.instruments == ["BTCUSD kraken-spot"]
