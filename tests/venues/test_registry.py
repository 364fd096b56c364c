"""Every kind of table is the same rows from every kind of file, and the first decoder that knows a file reads it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from tests.archives import HEADER as KLINES
from tests.archives import JANUARY, MINUTE
from tests.derivatives import METRICS, written
from virtuoso.errors import UnknownContentError, UnreadableFileError
from virtuoso.venues import registry
from virtuoso.venues.files.bars import RawBars
from virtuoso.venues.files.file_io import head_of
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.raw_events import RawEvents
from virtuoso.venues.registry import DECODERS, decode

NOW = 1_760_000_000_000
T = JANUARY
N = 12
WRONG = 4
"""Position of the row in which a word stands for a number."""
TEXT = (".csv", ".csv.gz", ".zip")
PACKED = (*TEXT, ".parquet")
VENDOR = "exchange,symbol,timestamp,local_timestamp"


class Case(NamedTuple):
    """A small table: where it lies without its suffix, its lines, the value that is spoilt, what it holds."""

    name: str
    lines: list[str]
    spoilt: tuple[str, str]
    held: set[str]


def levels(at: int) -> str:
    return ",".join(f"{101 + level},{level + at % 3 + 1},{100 - level},{level + 2}" for level in range(5))


LEVELS = ",".join(f"asks[{i}].price,asks[{i}].amount,bids[{i}].price,bids[{i}].amount" for i in range(5))
CASES = {
    "aggregated trades": Case(
        "BTCUSDT-aggTrades-2024-01-01",
        [
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
            *(
                f"{70 + i},{100 + i}.5,0.{i + 1},{10 * i},{10 * i + i % 3},{T + i},{'true' if i % 2 else 'false'}"
                for i in range(N)
            ),
        ],
        ("104.5", "many"),
        {"trades"},
    ),
    "trades of a vendor": Case(
        "binance_trades_2024-01-01_ALL",
        [
            f"{VENDOR},id,side,price,amount",
            *(
                f"binance,{'ETH' if i % 2 else 'BTC'}USDT,{(T + i) * 1_000 + 7},{(T + i + 2) * 1_000 + 1},{i},"
                f"{'buy' if i % 3 else 'sell'},{100 + i}.25,1"
                for i in range(N)
            ),
        ],
        ("104.25", "many"),
        {"trades"},
    ),
    "liquidations of an archive": Case(
        "BTCUSDT-liquidationSnapshot-2024-01-01",
        [
            "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,"
            "last_fill_quantity,accumulated_fill_quantity",
            *(
                f"{T + 1_000 * i},{'BUY' if i % 2 else 'SELL'},LIMIT,IOC,1.5,99.5,{100 + i}.25,"
                f"{'NEW' if i == 8 else 'FILLED'},1.5,1.5"
                for i in range(N)
            ),
        ],
        ("104.25", "many"),
        {"liquidations"},
    ),
    "liquidations of a vendor": Case(
        "binance_liquidations_2024-01-01_BTCUSDT",
        [
            f"{VENDOR},id,side,price,amount",
            *(
                f"binance,BTCUSDT,{(T + i) * 1_000},{(T + i + 2) * 1_000 + 1},{i},sell,{100 + i}.25,2.5"
                for i in range(N)
            ),
        ],
        ("104.25", "many"),
        {"liquidations"},
    ),
    "changes of a book": Case(
        "binance_incremental_book_L2_2024-01-01_BTCUSDT",
        [
            f"{VENDOR},is_snapshot,side,price,amount",
            *(
                f"binance,BTCUSDT,{(T + i) * 1_000},{(T + i + 2) * 1_000 + 1},{'true' if i < 3 else 'false'},"
                f"{'bid' if i % 2 else 'ask'},{100 + i}.25,{i % 3}.5"
                for i in range(N)
            ),
        ],
        ("104.25", "many"),
        {"depth"},
    ),
    "snapshots of a book": Case(
        "binance_book_snapshot_5_2024-01-01_BTCUSDT",
        [
            f"{VENDOR},{LEVELS}",
            *(f"binance,BTCUSDT,{(T + i) * 1_000},{(T + i) * 1_000 + 400},{levels(i)}" for i in range(N)),
        ],
        (f"{(T + 4) * 1_000 + 400},101", f"{(T + 4) * 1_000 + 400},many"),
        {"depth"},
    ),
    "best quotes": Case(
        "BTCUSDT-bookTicker-2024-01-01",
        [
            "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time",
            *(f"{i},{100 + i}.25,1.5,{101 + i}.5,{i},{T + i},{T + i + 1}" for i in range(N)),
        ],
        ("104.25", "many"),
        {"ticker"},
    ),
    "metrics": Case(
        "BTCUSDT-metrics-2024-01-01",
        [
            METRICS,
            *(f"2024-01-01 00:{5 * i:02d}:00,BTCUSDT,{100 + i}.25,{3e9 + i},1.1,1.2,1.3,0.9" for i in range(N)),
        ],
        ("104.25", "many"),
        {"open_interest", "ratios"},
    ),
    "depth bands": Case(
        "BTCUSDT-bookDepth-2024-01-01",
        ["timestamp,percentage,depth,notional", *(f"2024-01-01 00:00:{i:02d},-1,{100 + i}.25,9.5" for i in range(N))],
        ("104.25", "many"),
        {"bands"},
    ),
    "mark prices": Case(
        "markPriceKlines/BTCUSDT-1m-2024-01-01",
        [
            KLINES,
            *(
                f"{T + i * MINUTE},99.5,110.5,90.5,{100 + i}.25,0,{T + (i + 1) * MINUTE - 1},0,60,0,0,0"
                for i in range(N)
            ),
        ],
        ("104.25", "many"),
        {"prices"},
    ),
    "funding": Case(
        "BTCUSDT-fundingRate-2024-01",
        [
            "calc_time,funding_interval_hours,last_funding_rate",
            *(f"{T + i * 480 * MINUTE},8,0.000{i + 100}" for i in range(N)),
        ],
        ("0.000104", "many"),
        {"funding"},
    ),
    "bars": Case(
        "BTCUSDT-1m-2024-01-01",
        [
            KLINES,
            *(
                f"{T + i * MINUTE},99.5,120.5,90.5,{100 + i}.25,{i}.5,{T + (i + 1) * MINUTE - 1},50.5,{i},1.5,20.5,0"
                for i in range(N)
            ),
        ],
        ("104.25", "many"),
        {"bars"},
    ),
    "bars of several symbols": Case(
        "mine",
        [
            "symbol;timestamp;open;high;low;close;volume",
            *(
                f"{'ETH' if i % 2 else 'BTC'}USDT;{T + i // 2 * MINUTE};99.5;120.5;90.5;{100 + i}.25;{i}.5"
                for i in range(N)
            ),
        ],
        ("104.25", "many"),
        {"bars"},
    ),
}


def saved(folder: Path, case: Case, suffix: str, lines: list[str], typed: bool = False) -> Path:
    """Write a table in one of its packings; as Parquet its values are text, or `typed` what they look like."""
    path = folder / f"{case.name}{suffix}"
    if suffix != ".parquet":
        return written(path, lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    delimiter = ";" if ";" in lines[0] else ","
    text = dict.fromkeys(lines[0].split(delimiter), pa.string())
    table = csv.read_csv(
        io.BytesIO("\n".join(lines).encode()),
        parse_options=csv.ParseOptions(delimiter=delimiter),
        convert_options=csv.ConvertOptions(column_types={} if typed else text, strings_can_be_null=True),
    )
    pq.write_table(table, path)
    return path


def told(raw: RawBars | RawEvents, header: bool) -> tuple[object, ...]:
    """All that a decoder says of a file's rows, numbered without the header, but what depends on the packing."""
    if isinstance(raw, RawBars):
        rejected = [(number - header, text) for number, text in raw.table.broken]
        rows, times = raw.table.rows, (raw.times.ms.tolist(), raw.times.exact.tolist(), raw.times.meaning)
        said: tuple[object, ...] = (raw.stamped_at_close, raw.span_ms, raw.symbols, raw.symbol_of_row.tolist())
        said = (*said, raw.garbled.tolist(), rejected)
    else:
        rows, times = raw.rows, (raw.event_time.tolist(),)
        received = None if raw.received_at is None else raw.received_at.tolist()
        said = (raw.symbol, received, [(number - header, why) for number, why, _ in raw.rejected], raw.notes)
    columns = {name: np.asarray(values).tobytes() for name, values in raw.columns.items()}
    return raw.kind, (rows - header).tolist(), times, columns, said


def read(path: Path) -> list[tuple[object, ...]]:
    return [told(raw, header=path.suffix != ".parquet") for raw in decode(path, ImportOptions(time_zone="UTC"), NOW)]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
class TestEveryKindOfTable:
    """Is the same rows, bit by bit, whatever it is packed in."""

    @pytest.mark.parametrize("suffix", PACKED)
    def test_is_recognised_by_what_it_holds(self, tmp_path, case, suffix):
        path = saved(tmp_path, case, suffix, case.lines)
        assert {raw.kind for raw in decode(path, ImportOptions(time_zone="UTC"), NOW)} == case.held

    @pytest.mark.parametrize("suffix", PACKED[1:])
    def test_gives_the_rows_of_the_plain_csv(self, tmp_path, case, suffix):
        plain = read(saved(tmp_path, case, ".csv", case.lines))
        assert read(saved(tmp_path, case, suffix, case.lines)) == plain

    def test_gives_them_from_parquet_with_types_as_well(self, tmp_path, case):
        plain = read(saved(tmp_path, case, ".csv", case.lines))
        assert read(saved(tmp_path, case, ".parquet", case.lines, typed=True)) == plain

    @pytest.mark.parametrize("suffix", PACKED[1:])
    def test_rejects_the_same_row_for_the_same_reason(self, tmp_path, case, suffix):
        lines = list(case.lines)
        lines[1 + WRONG] = lines[1 + WRONG].replace(*case.spoilt)
        assert lines != case.lines
        plain = saved(tmp_path, case, ".csv", lines)
        found = read(plain)
        assert found == read(saved(tmp_path, case, suffix, lines))
        first = next(decode(plain, ImportOptions(time_zone="UTC"), NOW))
        if isinstance(first, RawBars):
            assert np.flatnonzero(first.garbled).tolist() == [WRONG]
        else:
            assert (2 + WRONG, "not_a_number") in [rejected[:2] for rejected in first.rejected]

    def test_shows_a_rejected_row_of_parquet_as_one_of_csv(self, tmp_path, case):
        lines = list(case.lines)
        lines[1 + WRONG] = lines[1 + WRONG].replace(*case.spoilt)
        plain, packed = (
            next(decode(saved(tmp_path, case, suffix, lines), ImportOptions(time_zone="UTC"), NOW))
            for suffix in (".csv", ".parquet")
        )
        if isinstance(plain, RawBars) and isinstance(packed, RawBars):  # of Parquet only columns of bars are read
            shown = json.loads(next(packed.table.texts(np.array([WRONG]))))
            assert shown.items() <= json.loads(next(plain.table.texts(np.array([WRONG])))).items()
            assert shown["close"] == "many"
        else:
            assert plain.rejected == tuple((number + 1, why, text) for number, why, text in packed.rejected)
            assert "many" in plain.rejected[0][2]

    def test_takes_null_in_parquet_for_nothing_in_csv(self, tmp_path, case):
        lines = list(case.lines)
        delimiter = ";" if ";" in lines[0] else ","
        nothing = case.spoilt[0].split(delimiter)[-1]
        fields = lines[1 + WRONG].split(delimiter)
        assert nothing in fields
        lines[1 + WRONG] = delimiter.join("" if field in (nothing, "sell", "BUY") else field for field in fields)
        assert read(saved(tmp_path, case, ".parquet", lines)) == read(saved(tmp_path, case, ".csv", lines))

    @pytest.mark.parametrize("suffix", TEXT)
    def test_sets_a_broken_line_aside_and_keeps_counting(self, tmp_path, case, suffix):
        lines = [*case.lines[:3], "1704067200000", *case.lines[3:]]
        path = saved(tmp_path, case, suffix, lines)
        first = next(decode(path, ImportOptions(time_zone="UTC"), NOW))
        if isinstance(first, RawBars):
            assert first.table.broken == ((4, "1704067200000"),)
        else:
            assert (4, "broken_line", "1704067200000") in first.rejected
        rows = first.table.rows if isinstance(first, RawBars) else first.rows
        assert 4 not in rows
        assert rows.max() in (N + 1, N + 2)

    @pytest.mark.parametrize("suffix", PACKED)
    def test_that_is_damaged_is_refused(self, tmp_path, case, suffix):
        path = saved(tmp_path, case, suffix, case.lines)
        if suffix == ".csv":
            path.with_name(f"{path.name}.CHECKSUM").write_text("0" * 64)
        else:
            path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(UnreadableFileError, match=r"differs from its checksum|is damaged"):
            list(decode(path, ImportOptions(time_zone="UTC"), NOW))


class TestTheRegistry:
    """Lists every decoder once; bars are one of them."""

    def test_ends_with_bars(self):
        assert [decoder.kinds for decoder in DECODERS if "bars" in decoder.kinds] == [("bars",)]
        assert DECODERS[-1].kinds == ("bars",)

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
    def test_knows_each_table_by_one_decoder(self, tmp_path, case):
        head = head_of(saved(tmp_path, case, ".csv", case.lines))
        assert sum(decoder.recognises(head) for decoder in DECODERS[:-1]) == (case.held != {"bars"})

    @pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
    def test_declares_what_its_decoders_find(self, tmp_path, case):
        path = saved(tmp_path, case, ".csv", case.lines)
        reader = next(decoder for decoder in DECODERS if decoder.recognises(head_of(path)))
        assert case.held <= set(reader.kinds)

    def test_asks_only_decoders_of_the_kind_that_is_wanted(self, tmp_path, monkeypatch):
        path = saved(tmp_path, CASES["funding"], ".csv", CASES["funding"].lines)
        with pytest.raises(UnknownContentError, match="holds no depth in a shape that is known"):
            list(decode(path, ImportOptions(kind="depth"), NOW))
        only = [decoder for decoder in DECODERS if decoder.kinds == ("funding",)]
        monkeypatch.setattr(registry, "DECODERS", only)
        assert [raw.kind for raw in decode(path, ImportOptions(kind="funding"), NOW)] == ["funding"]

    def test_gives_of_several_kinds_the_wanted_one(self, tmp_path):
        path = saved(tmp_path, CASES["metrics"], ".parquet", CASES["metrics"].lines)
        assert [raw.kind for raw in decode(path, ImportOptions(kind="ratios"), NOW)] == ["ratios"]
