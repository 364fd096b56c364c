"""Files of liquidations, with the defects that recorders leave in them."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from virtuoso.errors import UnreadableFileError
from virtuoso.ingest.validate_events import validate_events
from virtuoso.venues.files.file_io import Head, head_of
from virtuoso.venues.files.liquidations import read_liquidations, recognises

NOW = 1_760_000_000_000
T = 1_723_971_641_000

SOLD = f"BTC,SELL,LIMIT,IOC,0.5,59000.0,60000.0,FILLED,0.2,0.5,{T},29500.0"
BOUGHT = f"ETH,BUY,LIMIT,IOC,2,2700,2600,FILLED,2,2,{T + 10},5400"
GARBAGE = "<generator object binance_liquidation.<locals>.<genexpr> at 0x00000174585298C0>,175.54066740000002"


def write(path, *lines):
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.name.endswith(".gz") else data)
    return path


@pytest.fixture
def read(tmp_path):
    return lambda *lines: list(read_liquidations(write(tmp_path / "forced.csv", *lines), now_ms=NOW))


class TestRecordedLines:
    """Lines of Binance's forceOrder stream."""

    def test_what_changed_hands_at_the_price_it_was_filled(self, read):
        btc, eth = read(SOLD, BOUGHT)
        assert (btc.kind, btc.event_time.tolist()) == ("liquidations", [T])
        assert {name: values.tolist() for name, values in btc.columns.items()} == {
            "side": [-1], "price": [60_000.0], "size": [0.5],
        }  # fmt: skip
        assert eth.columns["side"].tolist() == [1]

    def test_a_forced_sale_means_that_a_long_was_liquidated(self, read):
        """The side is the order's; positioning.py turns it round."""
        assert read(SOLD)[0].columns["side"].tolist() == [-1]

    def test_symbols_without_their_quote_currency_are_in_usdt(self, read):
        lines = [SOLD.replace("BTC,", f"{name},") for name in ("BTC", "ARBUSDT", "SUIUSDC", "1000PEPE", "USDC")]
        assert [raw.symbol for raw in read(*lines)] == ["BTCUSDT", "ARBUSDT", "SUIUSDC", "1000PEPEUSDT", "USDCUSDT"]

    def test_both_spellings_of_a_symbol_are_one(self, read):
        (raw,) = read(SOLD, SOLD.replace("BTC,", "BTCUSDT,"))
        assert (raw.symbol, len(raw)) == ("BTCUSDT", 2)
        assert raw.notes == ("1 of 2 symbols were written without USDT",)

    def test_a_dated_contract_is_left_out_and_named(self, read):
        (raw,) = read(SOLD, SOLD.replace("BTC,", "BTC_250328,"))
        assert (raw.symbol, len(raw)) == ("BTCUSDT", 1)
        assert "BTC_250328" in raw.notes[-1]

    def test_an_order_that_was_not_filled_whole_is_refused(self, read):
        (raw,) = read(SOLD, SOLD.replace("FILLED", "PARTIALLY_FILLED"))
        assert len(raw) == 1
        assert [(number, reason) for number, reason, _ in raw.rejected] == [(2, "not_filled")]


class TestDefects:
    """What recorders got wrong, by name."""

    def test_garbage_in_the_first_line_costs_that_line(self, read):
        btc, _ = read(GARBAGE, SOLD, BOUGHT)
        assert btc.rows.tolist() == [2]
        assert btc.rejected == ((1, "broken_line", GARBAGE),)

    def test_garbage_in_the_first_line_of_the_recording(self, real_data):
        parts = list(read_liquidations(real_data / "liquidations/ale_2024-06.csv.gz", now_ms=NOW))
        assert sum(len(raw) for raw in parts) == 101
        assert [refused[:2] for raw in parts for refused in raw.rejected] == [(1, "broken_line")]

    def test_events_that_two_recorders_wrote_are_one(self, read):
        (raw,) = read(SOLD, SOLD, SOLD.replace("29500.0", "29500.000000000004"))
        judged = validate_events(raw, NOW)
        assert (len(judged.accepted), judged.duplicates) == (1, 2)

    def test_unsorted_events_come_in_order(self, read):
        later = SOLD.replace(str(T), str(T + 5_000))
        (raw,) = read(later, SOLD)
        judged = validate_events(raw, NOW)
        assert judged.disordered
        assert judged.accepted.event_time.tolist() == [T, T + 5_000]

    def test_the_recording_of_two_recorders(self, real_data):
        """1,673 of 3,510 events stand there twice, and the file is not in order."""
        parts = list(read_liquidations(real_data / "liquidations/paul_2025-01.csv.gz", now_ms=NOW))
        rows, times = (np.concatenate([getattr(raw, name) for raw in parts]) for name in ("rows", "event_time"))
        assert (np.diff(times[np.argsort(rows)]) < 0).any()
        judged = [validate_events(raw, NOW) for raw in parts]
        assert sum(part.duplicates for part in judged) == 1_673
        assert sum(len(part.accepted) for part in judged) == 3_510 - 1_673
        assert all((np.diff(part.accepted.event_time) >= 0).all() for part in judged)

    def test_words_for_numbers_are_refused(self, read):
        btc, _ = read(SOLD, SOLD.replace("60000.0", "NaNa"), SOLD.replace("SELL", "HOLD"), BOUGHT)
        assert len(btc) == 1
        assert [(number, reason) for number, reason, _ in btc.rejected] == [(2, "not_a_number"), (3, "not_a_number")]

    def test_a_wall_clock_for_a_time_is_no_time(self, read):
        lines = [SOLD.replace(str(T), str(T + i)) for i in range(5)]
        (raw,) = read(*lines, SOLD.replace(str(T), "15:40:27"))
        judged = validate_events(raw, NOW)
        assert len(judged.accepted) == 5
        assert judged.counts == {"time_unreadable": 1}


class TestOtherSources:
    """Binance's archive and the vendor's."""

    def test_the_archive(self, tmp_path):
        head = (
            "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,"
            "accumulated_fill_quantity"
        )
        path = write(
            tmp_path / "BTCUSDT-liquidationSnapshot-2024-01-01.csv", head,
            f"{T},BUY,LIMIT,IOC,0.5,61000,60500,FILLED,0.1,0.5",
        )  # fmt: skip
        (raw,) = read_liquidations(path, now_ms=NOW)
        assert (raw.symbol, raw.rows.tolist()) == ("BTCUSDT", [2])
        assert [raw.columns[name].tolist() for name in ("side", "price", "size")] == [[1], [60_500], [0.5]]

    def test_the_vendor(self, tmp_path):
        head = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
        path = write(
            tmp_path / "binance-futures_liquidations_2024-08-18_BTCUSDT.csv.gz", head,
            f"binance-futures,BTCUSDT,{T}000,{T + 30}001,,sell,60000,0.5",
        )  # fmt: skip
        (raw,) = read_liquidations(path, now_ms=NOW)
        assert raw.received_at.tolist() == [T + 31]
        assert raw.columns["side"].tolist() == [-1]

    def test_something_else_is_said_to_be(self, tmp_path):
        with pytest.raises(UnreadableFileError, match="holds no liquidations"):
            list(read_liquidations(write(tmp_path / "x.csv", "1,2,3"), now_ms=NOW))


class TestRecognising:
    """By the first lines."""

    @pytest.mark.parametrize(
        ("name", "head", "answer"),
        [
            ("a.csv.gz", SOLD, True),
            ("a.csv", f"{GARBAGE}\n{SOLD}", True),
            ("a_liquidations.csv", "exchange,symbol,timestamp,local_timestamp,id,side,price,amount", True),
            ("a_trades.csv", "exchange,symbol,timestamp,local_timestamp,id,side,price,amount", False),
            ("a.csv", "70,100.5,0.1,1,2,1704067200000,true", False),
            ("a.parquet", SOLD, False),
        ],
    )
    def test_from_the_head(self, tmp_path, name, head, answer):
        assert recognises(Head(tmp_path / name, head.encode())) is answer

    def test_every_recording(self, real_data):
        for path in sorted((real_data / "liquidations").iterdir()):
            assert recognises(head_of(path)), path.name
