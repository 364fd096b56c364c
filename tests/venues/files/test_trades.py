"""Files of trades: every shape in which they are published, and what is not to be taken for them."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile

import numpy as np
import pytest

from virtuoso.errors import AmbiguousError, UnreadableFileError
from virtuoso.ingest.validate_events import validate_events
from virtuoso.venues.files.file_io import Head
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.files.timestamps import NO_TIME
from virtuoso.venues.files.trades import read_trades, recognises

NOW = 1_760_000_000_000
T = 1_704_067_200_000  # 2024-01-01T00:00Z

AGGREGATED = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
SINGLE = "id,price,qty,quote_qty,time,is_buyer_maker"
VENDOR = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"


def write(path, *lines, checksum=False):
    """Lines as a CSV, a gzipped CSV or a zip, as the name says."""
    text = "\n".join(lines) + "\n"
    data = text.encode()
    if path.name.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    elif path.name.endswith(".zip"):
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(path.stem + ".csv"), text)
        data = sink.getvalue()
    path.write_bytes(data)
    if checksum:
        path.with_name(path.name + ".CHECKSUM").write_text(f"{hashlib.sha256(data).hexdigest()}  {path.name}")
    return path


def aggregated(n, per_ms=1, best=False):
    """Rows of Binance's aggTrades archive; every third stands for two single trades, every second was a sale."""
    end = ",true" if best else ""
    return [
        f"{70 + i},{100 + i}.50,0.{i + 1}00,{10 * i},{10 * i + (i % 3 == 2)},{(T + i) * per_ms},"
        f"{'true' if i % 2 else 'false'}{end}"
        for i in range(n)
    ]  # fmt: skip


def single(n, best=False):
    """Rows of Binance's trades archive."""
    end = ",True" if best else ""
    return [f"{900 + i},{100 + i}.5,2,{2 * (100 + i)},{T + i},{'True' if i % 2 else 'False'}{end}" for i in range(n)]


class TestBinanceArchives:
    """aggTrades and trades, spot and futures, of every year."""

    @pytest.mark.parametrize("suffix", ["zip", "csv", "csv.gz"])
    @pytest.mark.parametrize("header", [True, False])
    @pytest.mark.parametrize(("per_ms", "best"), [(1, False), (1, True), (1_000, True)])
    def test_aggregated_trades(self, tmp_path, suffix, header, per_ms, best):
        head = [AGGREGATED + (",is_best_match" if best else "")] * header
        path = tmp_path / f"BTCUSDT-aggTrades-2024-01-01.{suffix}"
        (raw,) = read_trades(write(path, *head, *aggregated(5, per_ms, best)), now_ms=NOW)
        assert (raw.kind, raw.symbol, raw.received_at, raw.simulated) == ("trades", "BTCUSDT", None, False)
        assert raw.event_time.tolist() == [T, T + 1, T + 2, T + 3, T + 4]
        assert raw.rows.tolist() == [i + header for i in range(1, 6)]
        assert raw.columns["id"].tolist() == [70, 71, 72, 73, 74]
        assert raw.columns["price"].tolist() == [100.5, 101.5, 102.5, 103.5, 104.5]
        assert raw.columns["size"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
        assert raw.rejected == ()

    def test_the_buyer_was_the_maker_so_the_taker_sold(self, tmp_path):
        (raw,) = read_trades(write(tmp_path / "BTCUSDT-aggTrades-2024-01-01.csv", *aggregated(4)), now_ms=NOW)
        assert raw.columns["side"].tolist() == [1, -1, 1, -1]

    def test_an_aggregated_row_says_how_many_single_trades_it_stands_for(self, tmp_path):
        rows = [*aggregated(4), f"74,104.5,0.5,-1,-1,{T + 4},true"]
        (raw,) = read_trades(write(tmp_path / "BTCUSDT-aggTrades-2024-01-01.csv", *rows), now_ms=NOW)
        np.testing.assert_array_equal(raw.columns["count"], [1, 1, 2, 1, np.nan])

    @pytest.mark.parametrize("header", [True, False])
    @pytest.mark.parametrize("best", [True, False])
    def test_single_trades(self, tmp_path, header, best):
        head = [SINGLE + (",isBestMatch" if best else "")] * header
        path = write(tmp_path / "ETHUSDT-trades-2024-01-01.zip", *head, *single(3, best))
        (raw,) = read_trades(path, now_ms=NOW)
        assert raw.symbol == "ETHUSDT"
        assert raw.event_time.tolist() == [T, T + 1, T + 2]
        assert [raw.columns[name].tolist() for name in ("id", "side", "count")] == [
            [900, 901, 902], [1, -1, 1], [1, 1, 1],
        ]  # fmt: skip

    def test_a_name_that_does_not_say_the_symbol_leaves_it_open(self, tmp_path):
        (raw,) = read_trades(write(tmp_path / "mine.csv", AGGREGATED, *aggregated(2)), now_ms=NOW)
        assert raw.symbol is None

    def test_bytes_that_differ_from_their_checksum_are_refused(self, tmp_path):
        path = write(tmp_path / "BTCUSDT-aggTrades-2024-01-01.zip", *aggregated(3), checksum=True)
        assert len(next(iter(read_trades(path, now_ms=NOW)))) == 3
        write(path, *aggregated(4))
        with pytest.raises(UnreadableFileError, match="differs from its checksum"):
            list(read_trades(path, now_ms=NOW))

    def test_a_file_that_was_cut_off_is_refused(self, tmp_path):
        path = write(tmp_path / "BTCUSDT-aggTrades-2024-01-01.csv.gz", *aggregated(300))
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(UnreadableFileError, match="is damaged"):
            list(read_trades(path, now_ms=NOW))

    def test_a_zip_of_the_simulator_says_so(self, tmp_path):
        path = write(tmp_path / "BTCUSDT-aggTrades-2024-01-01.zip", *aggregated(3))
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = b"simulated"
        assert next(iter(read_trades(path, now_ms=NOW))).simulated


class TestTheVendor:
    """tardis.dev: microseconds, the taker's side, and when it was received."""

    ROWS = (
        "bybit,BTCUSDT,1704067200000999,1704067200000000,a-1,buy,100,1",
        "bybit,BTCUSDT,1704067200001000,1704067200101001,a-2,sell,101,2",
        "bybit,ETHUSDT,1704067200002000,1704067200102000,a-3,unknown,50,3",
    )

    def test_one_a_symbol(self, tmp_path):
        btc, eth = read_trades(write(tmp_path / "bybit_trades_2024-01-01_ALL.csv.gz", VENDOR, *self.ROWS), now_ms=NOW)
        assert (btc.symbol, eth.symbol) == ("BTCUSDT", "ETHUSDT")
        assert btc.event_time.tolist() == [T, T + 1]
        assert btc.columns["side"].tolist() == [1, -1]
        assert btc.notes == ("recorded at bybit", "1 trades without a side")

    def test_receipt_is_rounded_up_so_that_nothing_is_known_too_early(self, tmp_path):
        btc, eth = read_trades(write(tmp_path / "bybit_trades.csv", VENDOR, *self.ROWS), now_ms=NOW)
        assert btc.received_at.tolist() == [T, T + 102]
        assert eth.received_at.tolist() == [T + 102]

    def test_a_side_that_the_source_does_not_know_is_none(self, tmp_path):
        _, eth = read_trades(write(tmp_path / "bybit_trades.csv", VENDOR, *self.ROWS), now_ms=NOW)
        assert eth.columns["side"].tolist() == [0]

    def test_ids_that_are_no_numbers_and_counts_that_nobody_says_are_not_known(self, tmp_path):
        btc, _ = read_trades(write(tmp_path / "bybit_trades.csv", VENDOR, *self.ROWS), now_ms=NOW)
        assert btc.columns["id"].tolist() == [-1, -1]
        assert np.isnan(btc.columns["count"]).all()

    def test_liquidations_have_the_same_columns_so_a_name_that_says_neither_is_refused(self, tmp_path):
        path = write(tmp_path / "bybit.csv", VENDOR, *self.ROWS)
        with pytest.raises(AmbiguousError, match="trades or liquidations"):
            list(read_trades(path, now_ms=NOW))
        assert len(list(read_trades(path, ImportOptions(kind="trades"), now_ms=NOW))) == 2

    def test_the_recording(self, real_data):
        path = real_data / "trades/tardis_binance-futures_trades_BTCUSDT_20200222_first9999.csv.gz"
        (raw,) = read_trades(path, now_ms=NOW)
        assert (raw.symbol, len(raw)) == ("BTCUSDT", 9_999)
        assert (np.diff(raw.columns["id"]) == 1).all()
        assert 115 <= (raw.received_at - raw.event_time).min() < 120
        judged = validate_events(raw, NOW)
        assert (len(judged.accepted), judged.duplicates, judged.rejected) == (9_999, 0, ())


class TestASelectionOfTrades:
    """A file of large trades alone must not be folded as if it held all of them."""

    LINES = tuple(f"{T + i},{s}USDT, {1_000 + 17 * i}, 100.5, 300,{T + i - 5}, {i % 2 == 0}"
                  for i in range(40) for s in ("BTC", "ETH"))  # fmt: skip

    def test_it_is_refused(self, tmp_path):
        with pytest.raises(UnreadableFileError, match=r"a selection of trades.*--kind trades"):
            list(read_trades(write(tmp_path / "large.csv", *self.LINES), now_ms=NOW))

    def test_it_is_read_and_says_what_it_is_if_the_user_insists(self, tmp_path):
        path = write(tmp_path / "large.csv", *self.LINES)
        btc, eth = read_trades(path, ImportOptions(kind="trades"), now_ms=NOW)
        assert (btc.symbol, eth.symbol) == ("BTCUSDT", "ETHUSDT")
        assert btc.event_time.tolist()[:2] == [T - 5, T - 4]
        assert btc.received_at.tolist()[:2] == [T, T + 1]
        assert btc.columns["side"].tolist()[:2] == [-1, 1]
        assert "a selection of trades" in btc.notes[0]

    def test_a_recording_with_a_hole_is_no_selection(self, tmp_path):
        lines = [f"{T + i},BTCUSDT,{i + 5_000 * (i > 50)},100,1,{T + i},True" for i in range(100)]
        (raw,) = read_trades(write(tmp_path / "all.csv", *lines), now_ms=NOW)
        assert len(raw) == 100

    def test_the_recording_of_trades_above_fifteen_thousand_dollars(self, real_data):
        path = real_data / "trades/binance_um_aggtrades_over15kUSD_bands_2024-08.csv.gz"
        with pytest.raises(UnreadableFileError, match="a selection of trades"):
            list(read_trades(path, now_ms=NOW))
        parts = list(read_trades(path, ImportOptions(kind="trades"), now_ms=NOW))
        assert {raw.symbol: len(raw) for raw in parts} == {
            "BTCUSDT": 12_222, "ETHUSDT": 8_165, "SOLUSDT": 1_418, "WIFUSDT": 216, "BNBUSDT": 160,
        }  # fmt: skip

    def test_wall_clocks_in_place_of_times_are_refused_each_and_never_guessed(self, real_data):
        """1,546 lines say 15:40:27 where the trade's time should be: neither the day nor the zone is known."""
        path = real_data / "trades/binance_um_aggtrades_over15kUSD_bands_2024-08.csv.gz"
        parts = list(read_trades(path, ImportOptions(kind="trades"), now_ms=NOW))
        assert sum(int((raw.event_time == NO_TIME).sum()) for raw in parts) == 1_546
        judged = [validate_events(raw, NOW) for raw in parts]
        assert sum(part.counts["time_unreadable"] for part in judged) == 1_546
        assert sum(len(part.accepted) for part in judged) == 22_181 - 1_546


class TestRowsThatCannotBeRead:
    """They are set aside with their number and a reason; the others stay."""

    def test_broken_lines_and_words_for_numbers(self, tmp_path):
        rows = aggregated(6)
        rows[1] = "71,101.5"
        rows[3] = rows[3].replace("103.50", "many")
        rows[4] = rows[4].replace("false", "perhaps")
        (raw,) = read_trades(write(tmp_path / "BTCUSDT-aggTrades-2024-01-01.csv", AGGREGATED, *rows), now_ms=NOW)
        assert raw.rows.tolist() == [2, 4, 7]
        assert [(number, reason) for number, reason, _ in raw.rejected] == [
            (3, "broken_line"), (5, "not_a_number"), (6, "not_a_number"),
        ]  # fmt: skip
        assert "many" in raw.rejected[1][2]

    def test_a_table_of_something_else_is_said_to_be(self, tmp_path):
        with pytest.raises(UnreadableFileError, match="holds no trades: its first line is 'open_time,open'"):
            list(read_trades(write(tmp_path / "x.csv", "open_time,open", "1,2"), now_ms=NOW))
        with pytest.raises(UnreadableFileError, match="is empty"):
            list(read_trades(write(tmp_path / "y.csv", ""), now_ms=NOW))
        with pytest.raises(UnreadableFileError, match="holds no row"):
            list(read_trades(write(tmp_path / "z.csv", AGGREGATED), now_ms=NOW))


class TestRecognising:
    """By the first lines, so that the import can hand each file to its reader."""

    @pytest.mark.parametrize(
        ("name", "line", "is_trades"),
        [
            ("a.csv", AGGREGATED, True),
            ("a.zip", aggregated(1)[0], True),
            ("a.csv", SINGLE, True),
            ("a.csv.gz", single(1, best=True)[0], True),
            ("x_trades.csv.gz", VENDOR, True),
            ("x_liquidations.csv.gz", VENDOR, False),
            ("a.csv", "timestamp,price,amount,side", True),
            ("a.csv", "timestamp,price,amount", False),
            ("a.parquet", AGGREGATED, False),
            ("a.csv", "open_time,open,high,low,close,volume", False),
            ("a.csv", "1577836800000,7195.2,7196.2,7183.1,7186.6,51.6,1577836859999,371233.5,493,19.6,141000,0", False),
            ("a.csv", "BTC,SELL,LIMIT,IOC,0.02,59935.28,59697.40,FILLED,0.02,0.02,1723971641090,1498.38", False),
        ],
    )  # fmt: skip
    def test_from_the_head(self, tmp_path, name, line, is_trades):
        assert recognises(Head(tmp_path / name, f"{line}\n".encode())) is is_trades
