"""The files that people have: each form is imported with its own units, or asks for what it does not say."""

import bz2
import gzip
import json
import lzma

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.archives import MINUTE, bars, env, minutes
from virtuoso.account.instrument import Instrument
from virtuoso.ingest.importer import import_paths
from virtuoso.lake.lake import Lake

HOUR, DAY = 60 * MINUTE, 1440 * MINUTE
N = 30
HOURS = minutes(N, step=HOUR)
MADE = bars(N)
PRICES = ("open", "high", "low", "close")


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake", env=env())


def take(lake, path, **said):
    """The report on one file, with its lines added up."""
    (report,) = import_paths(lake, path, **({"venue": "binance-spot"} | said)).files
    return report


def stored(lake, report):
    symbol, venue = report.instruments[0].split()
    (series,) = [s for s in lake.manifest().readable() if (s.symbol, s.venue) == (symbol, venue)]
    return lake.read(series)


def check(lake, report, volume=True, times=HOURS):
    """All rows are stored, with their prices, and their volume or none."""
    assert (report.status, report.error) == ("imported", "")
    rows = stored(lake, report)
    assert rows.open_time.tolist() == times.tolist()
    for name in (*PRICES, "volume") if volume else PRICES:
        np.testing.assert_array_equal(rows.columns[name], MADE[name][: len(times)], err_msg=name)
    if not volume:
        assert np.isnan(rows.columns["volume"]).all()
    return rows


def rows(*names, times=HOURS, made=MADE):
    """Lines with the time first, then some of the columns."""
    return [[str(int(t)), *(f"{made[name][i]:.6f}" for name in names)] for i, t in enumerate(times)]


def write(path, lines, mark=",", header=None):
    path.parent.mkdir(exist_ok=True)
    text = "\n".join([*([header] if header else []), *(mark.join(line) for line in lines)]) + "\n"
    path.write_text(text)
    return path


def quote_of(made=MADE):
    return np.round(made["volume"] * made["close"], 4)


class TestCryptoDataDownload:
    """The address stands above the header, volumes name their currency, the newest bar comes first."""

    def lines(self, unit=1):
        found = []
        for i in reversed(range(N)):
            day = np.datetime_as_string(np.datetime64(int(HOURS[i]), "ms"), unit="s").replace("T", " ")
            prices = [f"{MADE[name][i]:.6f}" for name in PRICES]
            volumes = [f"{MADE['volume'][i]:.6f}", f"{quote_of()[i]:.4f}"]
            found.append([str(int(HOURS[i]) // unit), day, "BTC/USDT", *prices, *volumes, "7"])
        return found

    HEADER = (
        "https://www.CryptoDataDownload.com\nunix,date,symbol,open,high,low,close,Volume BTC,Volume USDT,tradecount"
    )

    @pytest.mark.parametrize("unit", [1, 1000], ids=["ms", "s"])
    def test_of_every_era(self, lake, tmp_path, unit):
        path = write(tmp_path / "Binance_BTCUSDT_1h.csv", self.lines(unit), header=self.HEADER)
        found = check(lake, take(lake, path))
        assert found.columns["quote_volume"].tolist() == quote_of().tolist()
        assert set(found.columns["trades"]) == {7.0}

    def test_of_dates_alone_are_utc(self, lake, tmp_path):
        lines = [line[1:] for line in self.lines()]
        path = write(tmp_path / "Binance_BTCUSDT_1h.csv", lines, header=self.HEADER.replace("unix,", ""))
        check(lake, take(lake, path))

    def test_of_the_clock_of_twelve_hours(self, lake, tmp_path):
        lines = [line[1:] for line in self.lines()]
        for line in lines:
            line[0] = pd.Timestamp(line[0]).strftime("%Y-%m-%d %I-%p")
        path = write(tmp_path / "Binance_BTCUSDT_1h.csv", lines, header=self.HEADER.replace("unix,", ""))
        check(lake, take(lake, path))

    def test_whose_quote_volume_comes_first(self, lake, tmp_path):
        lines = [[*line[:7], line[8], line[7], line[9]] for line in self.lines()]
        header = self.HEADER.replace("Volume BTC,Volume USDT", "Volume USDT,Volume BTC")
        check(lake, take(lake, write(tmp_path / "Binance_BTCUSDT_1h.csv", lines, header=header)))

    def test_of_another_exchange_is_refused(self, lake, tmp_path):
        path = write(tmp_path / "Bitstamp_BTCUSD_1h.csv", self.lines(), header=self.HEADER)
        assert "is of bitstamp by its name, not of binance-spot" in take(lake, path).error


class TestKraken:
    """Archives without a header: seconds, seven columns."""

    def test_of_an_archive(self, lake, tmp_path):
        lines = [[*line, "12"] for line in rows(*PRICES, "volume", times=HOURS // 1000)]
        report = take(lake, write(tmp_path / "XBTUSD_60.csv", lines), venue="kraken", market="spot")
        assert report.instruments == ["XBTUSD kraken-spot"]
        assert "stored as kraken-spot" in report.notes
        assert set(check(lake, report).columns["trades"]) == {12.0}

    def test_of_an_answer(self, lake, tmp_path):
        lines = [[int(t) // 1000, *(str(MADE[n][i]) for n in PRICES), str(MADE["close"][i]), str(MADE["volume"][i]), 3]
                 for i, t in enumerate(HOURS)]  # fmt: skip
        path = tmp_path / "XBTUSD.json"
        path.write_text(json.dumps({"error": [], "result": {"XXBTZUSD": lines, "last": 1}}))
        check(lake, take(lake, path, venue="kraken-spot"))


class TestFreqtrade:
    """Feather and JSON, named by pair, length and market."""

    def table(self):
        return pd.DataFrame({"date": pd.to_datetime(HOURS, unit="ms", utc=True), **{n: MADE[n] for n in PRICES},
                             "volume": MADE["volume"]})  # fmt: skip

    def test_of_feather(self, lake, tmp_path):
        self.table().to_feather(tmp_path / "BTC_USDT_USDT-1h-futures.feather")
        check(lake, take(lake, tmp_path / "BTC_USDT_USDT-1h-futures.feather", venue="binance-usdm"))

    @pytest.mark.parametrize("name", ["BTC_USDT-1h.json", "BTC_USDT-1h.json.gz"])
    def test_of_json(self, lake, tmp_path, name):
        data = json.dumps([[int(t), *(MADE[n][i] for n in (*PRICES, "volume"))] for i, t in enumerate(HOURS)]).encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        check(lake, take(lake, tmp_path / name))

    def test_of_spot_into_perpetuals_is_refused(self, lake, tmp_path):
        self.table().to_feather(tmp_path / "BTC_USDT-1h.feather")
        report = take(lake, tmp_path / "BTC_USDT-1h.feather", venue="binance-usdm")
        assert "BTC/USDT is spot by its name, and binance-usdm is not" in report.error

    def test_of_rates_of_funding(self, lake, tmp_path):
        path = tmp_path / "BTC_USDT_USDT-8h-funding_rate.feather"
        rates, times = np.round(MADE["open"] / 1e6, 9), minutes(N, step=8 * HOUR)
        dates = pd.to_datetime(times, unit="ms", utc=True)
        pd.DataFrame({"date": dates, "open": rates, "high": 0.0, "low": 0.0, "close": 0.0, "volume": 0.0}).to_feather(
            path
        )
        report = take(lake, path, venue="binance-usdm")
        assert (report.kinds, report.stored) == (["funding"], N)
        events = lake.events("funding", Instrument("binance-usdm", "BTCUSDT"))
        assert events.event_time.tolist() == times.tolist()
        assert events.columns["rate"].tolist() == rates.tolist()

    @pytest.mark.parametrize("kind", ["funding_rate", "mark", "index", "premiumIndex"])
    def test_of_other_things_never_become_bars(self, lake, tmp_path, kind):
        path = tmp_path / f"BTC_USDT_USDT-8h-{kind}.feather"
        self.table().to_feather(path)
        report = take(lake, path, venue="binance-usdm", kind="bars")
        assert report.status == "skipped"
        assert not lake.instruments()


class TestCcxt:
    """Lists of milliseconds, open, high, low, close, volume, in any digits."""

    @pytest.mark.parametrize("name", ["BTCUSDT.json", "BTCUSDT.json.bz2", "BTCUSDT.json.xz"])
    def test_of_a_list(self, lake, tmp_path, name):
        data = json.dumps([[int(t), *(MADE[n][i] for n in (*PRICES, "volume"))] for i, t in enumerate(HOURS)]).encode()
        pack = {"bz2": bz2.compress, "xz": lzma.compress}.get(name.rsplit(".", 1)[-1], bytes)
        (tmp_path / name).write_bytes(pack(data))
        check(lake, take(lake, tmp_path / name))

    def test_of_objects(self, lake, tmp_path):
        made = [{"timestamp": int(t), **{n: MADE[n][i] for n in (*PRICES, "volume")}} for i, t in enumerate(HOURS)]
        (tmp_path / "BTCUSDT.json").write_text(json.dumps(made))
        check(lake, take(lake, tmp_path / "BTCUSDT.json"))

    def test_a_line_each(self, lake, tmp_path):
        made = [{"timestamp": int(t), **{n: MADE[n][i] for n in (*PRICES, "volume")}} for i, t in enumerate(HOURS)]
        (tmp_path / "BTCUSDT.json").write_text("\n".join(map(json.dumps, made)))
        check(lake, take(lake, tmp_path / "BTCUSDT.json"))

    @pytest.mark.parametrize("orient", ["columns", "records", "split"])
    def test_as_pandas_writes_them(self, lake, tmp_path, orient):
        table = pd.DataFrame({"time": HOURS, **{name: MADE[name] for name in (*PRICES, "volume")}})
        table.to_json(tmp_path / "BTCUSDT.json", orient=orient, double_precision=15)
        check(lake, take(lake, tmp_path / "BTCUSDT.json"))

    @pytest.mark.parametrize("damage", ["", "null", "-5"])
    def test_with_a_damaged_row_among_the_first(self, lake, tmp_path, damage):
        lines = rows(*PRICES, "volume")
        lines[1][3] = damage
        report = take(lake, write(tmp_path / "BTCUSDT.csv", lines))
        assert (report.stored, report.quarantined) == (N - 1, 1)

    def test_without_a_header_in_a_csv(self, lake, tmp_path):
        check(lake, take(lake, write(tmp_path / "BTCUSDT.csv", rows(*PRICES, "volume"))))

    def test_larger_than_what_is_read_whole(self, lake, tmp_path, monkeypatch):
        from virtuoso.venues.files import json_rows

        monkeypatch.setattr(json_rows, "WHOLE_BYTES", 100)
        monkeypatch.setattr(json_rows, "_PIECE", 333)
        made = [[int(t), *(MADE[n][i] for n in (*PRICES, "volume"))] for i, t in enumerate(HOURS)]
        (tmp_path / "BTCUSDT.json").write_text(json.dumps(made, indent=1))
        report = take(lake, tmp_path / "BTCUSDT.json")
        check(lake, report)
        assert report.rows_read == N

    def test_that_is_an_error_of_its_source_says_so(self, lake, tmp_path):
        (tmp_path / "BTCUSDT.json").write_text('{"code": -1121, "msg": "Invalid symbol."}')
        assert "holds an error of its source, no data: 'Invalid symbol.'" in take(lake, tmp_path / "BTCUSDT.json").error


class TestOtherOrders:
    """Bitfinex and Coinbase put the prices in orders of their own, the newest first."""

    def test_of_bitfinex(self, lake, tmp_path):
        lines = rows("open", "close", "high", "low", "volume")[::-1]
        check(lake, take(lake, write(tmp_path / "tBTCUSD.csv", lines), venue="bitfinex-spot"))

    def test_of_coinbase(self, lake, tmp_path):
        lines = rows("low", "high", "open", "close", "volume", times=HOURS // 1000)[::-1]
        path = tmp_path / "BTC-USD.json"
        path.write_text(json.dumps([[float(field) for field in line] for line in lines]))
        check(lake, take(lake, path, venue="coinbase-spot"))

    def test_that_fit_none_are_refused(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSDT.csv", rows("close", "low", "high", "open", "volume"))
        assert "6 columns in no order that is known" in take(lake, path).error


class TestOtherAnswers:
    """Of exchanges, kept as they came."""

    def test_of_kucoin(self, lake, tmp_path):
        lines = [[*line, "5"] for line in rows("open", "close", "high", "low", "volume", times=HOURS // 1000)]
        (tmp_path / "BTC-USDT.json").write_text(json.dumps({"code": "200000", "data": lines}))
        report = take(lake, tmp_path / "BTC-USDT.json", venue="kucoin-spot", no_volume=True)
        check(lake, report, volume=False)

    def test_of_bybit(self, lake, tmp_path):
        lines = [[*line, f"{quote_of()[i]:.4f}"] for i, line in enumerate(rows(*PRICES, "volume"))][::-1]
        body = {"retCode": 0, "retMsg": "OK", "result": {"symbol": "BTCUSDT", "list": lines}}
        (tmp_path / "BTCUSDT.json").write_text(json.dumps(body))
        found = check(lake, take(lake, tmp_path / "BTCUSDT.json", venue="bybit-linear"))
        assert found.columns["quote_volume"].tolist() == quote_of().tolist()

    def test_by_columns(self, lake, tmp_path):
        result = {"ticks": HOURS.tolist(), **{name: MADE[name].tolist() for name in (*PRICES, "volume")},
                  "cost": quote_of().tolist(), "status": "ok"}  # fmt: skip
        (tmp_path / "BTC_USDC-PERPETUAL.json").write_text(json.dumps({"result": result}))
        report = take(lake, tmp_path / "BTC_USDC-PERPETUAL.json", venue="deribit-linear")
        assert report.instruments == ["BTCUSDC deribit-linear"]
        check(lake, report)

    def test_of_htx_names_its_volumes_the_other_way_round(self, lake, tmp_path):
        lines = [[*line, f"{quote_of()[i]:.4f}"] for i, line in enumerate(rows(*PRICES, "volume"))]
        path = write(tmp_path / "BTCUSDT.csv", lines, header="ts,open,high,low,close,amount,vol")
        check(lake, take(lake, path, venue="htx-spot"))


class TestYfinance:
    """Three lines of header, days in UTC, a volume in quote currency."""

    DAYS = minutes(N, step=DAY)

    def lines(self):
        days = [str(np.datetime64(int(t), "ms").astype("M8[D]")) for t in self.DAYS]
        return [[day, *(f"{MADE[n][i]:.6f}" for n in ("close", "high", "low", "open")), "35000000000"]
                for i, day in enumerate(days)]  # fmt: skip

    def test_with_its_three_lines(self, lake, tmp_path):
        header = "Price,Close,High,Low,Open,Volume\nTicker" + ",BTC-USD" * 5 + "\nDate,,,,,"
        report = take(lake, write(tmp_path / "data.csv", self.lines(), header=header), venue="coinbase-spot")
        assert report.instruments == ["BTCUSD coinbase-spot"]
        found = check(lake, report, volume=False, times=self.DAYS)
        assert set(found.columns["quote_volume"]) == {35e9}
        assert any("in quote currency alone" in note for note in report.notes)

    def test_with_one_line(self, lake, tmp_path):
        lines = [[*line[:5], line[1], line[5]] for line in self.lines()]
        path = write(tmp_path / "BTC-USD.csv", lines, header="Date,Close,High,Low,Open,Adj Close,Volume")
        check(lake, take(lake, path, venue="coinbase-spot"), volume=False, times=self.DAYS)

    def test_with_one_line_and_adjusted_prices(self, lake, tmp_path):
        path = write(tmp_path / "BTC-USD.csv", self.lines(), header="Date,Close,High,Low,Open,Volume")
        check(lake, take(lake, path, venue="coinbase-spot"), volume=False, times=self.DAYS)

    def test_of_two_tickers_is_refused(self, lake, tmp_path):
        header = "Price" + ",Close,High,Low,Open,Volume\nTicker,A-USD,A-USD,B-USD,B-USD,B-USD\nDate,,,,,"
        assert "2 tickers side by side" in take(lake, write(tmp_path / "x.csv", self.lines(), header=header)).error


class TestMetaTrader:
    """Day and clock in two columns; ticks are counted, and they are not coins."""

    HEADER = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>"

    def lines(self, volume):
        found = []
        for i, t in enumerate(HOURS):
            day, clock = str(np.datetime64(int(t), "ms").astype("M8[s]")).split("T")
            found.append([day.replace("-", "."), clock, *(f"{MADE[n][i]:.6f}" for n in PRICES), "99", volume(i), "5"])
        return found

    def test_needs_the_zone_of_its_server(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSD_H1.csv", self.lines(lambda i: "0"), "\t", self.HEADER)
        assert "Pass --time-zone" in take(lake, path).error or "pass --time-zone" in take(lake, path).error

    def test_without_real_volume(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSD_H1.csv", self.lines(lambda i: "0"), "\t", self.HEADER)
        report = take(lake, path, time_zone="UTC")
        check(lake, report, volume=False)
        assert any("in ticks alone" in note for note in report.notes)

    def test_with_real_volume(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSD_H1.csv", self.lines(lambda i: f"{MADE['volume'][i]:.6f}"), "\t", self.HEADER)
        check(lake, take(lake, path, time_zone="UTC"))

    def test_of_the_fourth_version_has_no_header(self, lake, tmp_path):
        lines = [[*line[:1], line[1][:5], *line[2:7]] for line in self.lines(lambda i: "0")]
        check(lake, take(lake, write(tmp_path / "BTCUSD60.csv", lines), time_zone="UTC", symbol="BTCUSD"), volume=False)


class TestTradingView:
    """Exports of charts, often without volume, and with indicators beside the prices."""

    def test_without_volume_says_so(self, lake, tmp_path):
        path = write(
            tmp_path / "BINANCE_BTCUSDT, 60.csv", rows(*PRICES, times=HOURS // 1000), header="time,open,high,low,close"
        )
        report = take(lake, path)
        assert "no column for volume" in report.error
        assert report.error.endswith('--venue binance-spot --columns volume="…", or --no-volume')
        check(lake, take(lake, path, no_volume=True), volume=False)

    def test_with_indicators(self, lake, tmp_path):
        header = "time,open,high,low,close,Volume,Volume MA,Plot"
        lines = [[*line, "1", "2"] for line in rows(*PRICES, "volume", times=HOURS // 1000)]
        check(
            lake, take(lake, write(tmp_path / "BINANCE_BTCUSDT.P, 60.csv", lines, header=header), venue="binance-usdm")
        )

    def test_of_the_perpetual_is_not_spot(self, lake, tmp_path):
        path = write(
            tmp_path / "BINANCE_BTCUSDT.P, 60.csv", rows(*PRICES, "volume"), header="time,open,high,low,close,v"
        )
        assert "is a linear perpetual contract by its name" in take(lake, path).error


class TestOkx:
    """Of a swap `vol` counts contracts and `volCcy` coins; of a pair `vol` does. `confirm` tells them apart."""

    HEADER = "ts,o,h,l,c,vol,volCcy,volCcyQuote,confirm"

    def lines(self, *volumes):
        return [[*line, *(f"{values[i]:.6f}" for values in volumes), "1" if i < N - 1 else "0"]
                for i, line in enumerate(rows(*PRICES))]  # fmt: skip

    @pytest.mark.parametrize("header", [HEADER, None], ids=["header", "none"])
    def test_of_a_swap(self, lake, tmp_path, header):
        lines = self.lines(MADE["volume"] * 100, MADE["volume"], quote_of())
        path = write(tmp_path / "BTC-USDT-SWAP.csv", lines, header=header)
        report = take(lake, path, venue="okx-linear")
        check(lake, report, times=HOURS[:-1])
        assert report.forming == 1

    def test_of_a_pair(self, lake, tmp_path):
        lines = self.lines(MADE["volume"], quote_of(), quote_of())
        path = write(tmp_path / "BTC-USDT.csv", lines, header=self.HEADER)
        check(lake, take(lake, path, venue="okx-spot"), times=HOURS[:-1])

    def test_of_contracts_alone_is_refused(self, lake, tmp_path):
        path = write(tmp_path / "BTC-USDT-SWAP.csv", rows(*PRICES, "volume"), header="ts,o,h,l,c,vol")
        assert "counts contracts of a swap, not coins" in take(lake, path, venue="okx-linear").error

    def test_of_a_pair_is_no_swap(self, lake, tmp_path):
        path = write(tmp_path / "BTC-USDT.csv", rows(*PRICES, "volume"), header="ts,o,h,l,c,volume")
        assert "BTC-USDT is spot by its name, and okx-linear is not" in take(lake, path, venue="okx-linear").error


class TestUnclosedBars:
    """A row that says of itself that it had not closed is left out."""

    @pytest.mark.parametrize(
        ("name", "no"), [("confirm", "0"), ("is_closed", "false"), ("complete", "False"), ("x", "0")]
    )
    def test_is_forming(self, lake, tmp_path, name, no):
        yes = {"0": "1", "false": "true", "False": "True"}[no]
        lines = [[*line, yes if i != 4 else no] for i, line in enumerate(rows(*PRICES, "volume"))]
        path = write(tmp_path / "BTCUSDT.csv", lines, header=f"time,open,high,low,close,volume,{name}")
        report = take(lake, path)
        assert (report.stored, report.forming) == (N - 1, 1)
        assert HOURS[4] not in stored(lake, report).open_time


class TestVolumesInOtherUnits:
    """What a column counts is believed by its name, and judged where quote volume stands beside it."""

    @pytest.mark.parametrize("name", ["Volume USD", "volume_usdt", "Volume (Currency)", "quote_volume", "turnover"])
    def test_in_quote_currency_alone_are_not_base(self, lake, tmp_path, name):
        path = write(tmp_path / "BTCUSDT.csv", rows(*PRICES, "volume"), header=f"time,open,high,low,close,{name}")
        found = check(lake, take(lake, path), volume=False)
        assert found.columns["quote_volume"].tolist() == MADE["volume"].tolist()

    def test_that_contradict_the_prices_are_refused(self, lake, tmp_path):
        made = {**MADE, "volume": MADE["volume"] * 1000, "quote": quote_of()}
        lines = rows(*PRICES, "volume", "quote", made=made)
        path = write(tmp_path / "BTCUSDT.csv", lines, header="time,open,high,low,close,volume,quote_volume")
        report = take(lake, path)
        assert report.status == "failed"
        assert "the volume seems to count contracts of 0.001 coins" in report.error
        check(lake, take(lake, path, no_volume=True), volume=False)


class TestWhatTheCallerSays:
    """Settles what a file does not."""

    def test_of_columns(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSDT.csv", rows(*PRICES, "volume"), header="when,a,b,cc,d,coins")
        error = take(lake, path).error
        assert "no column for open, high, low, close, volume, the time among when, a, b" in error
        assert "Names that are known: time, close_time, open" in error
        said = {"time": "when", "open": "a", "high": "b", "low": "cc", "close": "d", "volume": "coins"}
        check(lake, take(lake, path, columns=said))

    def test_of_a_column_that_there_is_not(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSDT.csv", rows(*PRICES, "volume"), header="time,open,high,low,close,volume")
        error = take(lake, path, columns={"volume": "volumme"}).error
        assert "--columns volume=volumme: the file has no such column. Did you mean 'volume'?" in error

    @pytest.mark.parametrize("shown", ["%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%H:%M %d/%m/%y"])
    def test_of_the_form_of_times(self, lake, tmp_path, shown):
        lines = rows(*PRICES, "volume")
        for line, t in zip(lines, HOURS, strict=True):
            line[0] = pd.Timestamp(int(t), unit="ms").strftime(shown)
        path = write(tmp_path / "BTCUSDT.csv", lines, header="time,open,high,low,close,volume")
        assert "--time-format" in take(lake, path, time_zone="UTC").error
        check(lake, take(lake, path, time_zone="UTC", time_format=shown))

    def test_of_dates_without_marks(self, lake, tmp_path):
        days = minutes(N, step=DAY)
        lines = rows(*PRICES, "volume", times=days)
        for line, t in zip(lines, days, strict=True):
            line[0] = pd.Timestamp(int(t), unit="ms").strftime("%Y%m%d")
        path = write(tmp_path / "BTCUSDT.csv", lines, header="date,open,high,low,close,volume")
        assert "If they are dates, pass --time-format '%Y%m%d'." in take(lake, path).error
        check(lake, take(lake, path, time_zone="UTC", time_format="%Y%m%d"), times=days)

    def test_of_the_market_once(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSD.csv", rows(*PRICES, "volume"), header="time,open,high,low,close,volume")
        take(lake, path, venue="bitfinex", market="spot")
        report = take(lake, path, venue="bitfinex")
        assert report.instruments == ["BTCUSD bitfinex-spot"]
        assert "stored as bitfinex-spot, which the lake holds" in report.notes


class TestParquetOfEveryKind:
    """Whatever types its columns have."""

    @pytest.mark.parametrize(
        "times",
        [
            pa.array(HOURS, pa.int64()), pa.array(HOURS * 1000, pa.timestamp("us", "UTC")),
            pa.array(HOURS * 1_000_000, pa.timestamp("ns", "Europe/London")),
            pa.array([str(t) for t in HOURS]), pa.array(HOURS.astype(np.float64)),
        ],
        ids=["int", "us", "ns of London", "text", "float"],
    )  # fmt: skip
    @pytest.mark.parametrize("suffix", ["parquet", "feather"])
    def test_of_times(self, lake, tmp_path, times, suffix):
        from pyarrow import feather, parquet

        table = pa.table({"time": times, **{name: MADE[name] for name in (*PRICES, "volume")}})
        path = tmp_path / f"BTCUSDT.{suffix}"
        (parquet.write_table if suffix == "parquet" else feather.write_feather)(table, path)
        check(lake, take(lake, path))

    def test_of_columns_that_are_about_something_else(self, lake, tmp_path):
        made = {name: MADE[name] for name in (*PRICES, "volume")}
        table = pd.DataFrame({"time": HOURS, **made, "x": [[1, 2]] * N, "final": ["what"] * N})
        table.to_parquet(tmp_path / "BTCUSDT.parquet")
        check(lake, take(lake, tmp_path / "BTCUSDT.parquet"))

    def test_of_an_index(self, lake, tmp_path):
        index = pd.to_datetime(HOURS, unit="ms", utc=True)
        pd.DataFrame({name: MADE[name] for name in (*PRICES, "volume")}, index=index).to_parquet(
            tmp_path / "BTCUSDT.pq"
        )
        check(lake, take(lake, tmp_path / "BTCUSDT.pq"))


@pytest.mark.parametrize("name", ["BTCUSDT.txt", "BTCUSDT.tsv", "BTCUSDT.csv.zst", "BTCUSDT.csv.bz2", "BTCUSDT.csv.xz"])
def test_every_pack_holds_the_same(lake, tmp_path, name):
    mark = "\t" if "tsv" in name else ","
    lines = [mark.join(line) for line in rows(*PRICES, "volume")]
    data = "\n".join([mark.join(("time", *PRICES, "volume")), *lines]).encode()
    pack = {"bz2": bz2.compress, "xz": lzma.compress, "zst": lambda d: pa.Codec("zstd").compress(d, asbytes=True)}
    (tmp_path / name).write_bytes(pack.get(name.rsplit(".", 1)[-1], bytes)(data))
    check(lake, take(lake, tmp_path / name))


class TestVolumeThatIsNotKnown:
    """Is NaN in frames, on slower clocks too, and is added once a file tells it."""

    def test_is_not_zero(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSDT.csv", rows(*PRICES), header="time,open,high,low,close")
        take(lake, path, no_volume=True)
        for clock in ("1h", "2h"):
            columns = lake.frame("BTCUSDT", clock).base.columns
            assert np.isnan(columns["volume"]).all(), clock
            assert np.isfinite(columns["close"]).all(), clock

    def test_is_added_by_a_file_that_tells_it(self, lake, tmp_path):
        bare = write(tmp_path / "a" / "BTCUSDT.csv", rows(*PRICES), header="time,open,high,low,close")
        full = write(tmp_path / "b" / "BTCUSDT.csv", rows(*PRICES, "volume"), header="time,open,high,low,close,volume")
        take(lake, bare, no_volume=True)
        report = take(lake, full)
        assert (report.status, report.conflicts) == ("imported", 0)
        assert stored(lake, report).columns["volume"].tolist() == MADE["volume"][:N].tolist()
        take(lake, bare, no_volume=True)
        assert stored(lake, report).columns["volume"].tolist() == MADE["volume"][:N].tolist()
