"""Order books as tables of text."""

import numpy as np
import pytest

from virtuoso.errors import UnreadableFileError
from virtuoso.market.schema.kinds import KINDS
from virtuoso.venues.files.books import read_books, recognises
from virtuoso.venues.files.file_io import Head

NOW = 1_760_000_000_000
US = 1_582_329_602_111_000
CHANGES = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
BOOKS = (
    "exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,bids[0].amount,"
    "asks[1].price,asks[1].amount,bids[1].price,bids[1].amount"
)
QUOTES = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"


@pytest.fixture
def read(tmp_path):
    def read_lines(*lines, name="binance-futures_incremental_book_L2_2020-02-22_BTCUSDT.csv"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return list(read_books(path, now_ms=NOW))

    return read_lines


def change(at, whole, side, price, amount, symbol="BTCUSDT"):
    return f"binance-futures,{symbol},{US + at},{US + at + 300},{str(whole).lower()},{side},{price},{amount}"


class TestChanges:
    """Of tardis.dev are a row a level, without ids."""

    def test_become_depth(self, read):
        (raw,) = read(
            CHANGES, change(0, True, "bid", 9_682, 1.5), change(0, True, "ask", 9_683, 2),
            change(900, False, "bid", 9_682, 0),
        )  # fmt: skip
        assert (raw.kind, raw.symbol, raw.rows.tolist()) == ("depth", "BTCUSDT", [2, 3, 4])
        assert set(raw.columns) == set(KINDS["depth"].columns)
        assert raw.columns["snapshot"].tolist() == [1, 1, 0]
        assert raw.columns["side"].tolist() == [1, -1, 1]
        assert raw.columns["size"].tolist() == [1.5, 2.0, 0.0]
        assert set(raw.columns["last_id"].tolist()) == {-1}
        assert raw.event_time.tolist() == [US // 1_000] * 2 + [(US + 900) // 1_000]
        assert raw.received_at.tolist() == [-(-(US + 300) // 1_000)] * 2 + [-(-(US + 1_200) // 1_000)]

    def test_see_where_a_snapshot_was_cut(self, read):
        levels = [change(0, True, "bid", 9_000 - k, 1) for k in range(25)] + [change(0, True, "ask", 9_001, 1)]
        again = [change(5_000, True, "bid", 9_000 - k, 1) for k in range(7)]
        (raw,) = read(CHANGES, *levels, *again)
        assert raw.columns["snapshot"].tolist() == [2] * 26 + [1] * 7

    def test_refuse_what_is_no_number_or_side(self, read):
        (raw,) = read(
            CHANGES, change(0, False, "bid", 1, 1), change(0, False, "bid", "x", 1), change(0, False, "up", 1, 1)
        )
        assert raw.rows.tolist() == [2]
        assert [(row, why) for row, why, _ in raw.rejected] == [(3, "not_a_number"), (4, "not_a_number")]


class TestBooks:
    """A row a book become a row a level."""

    def test_the_bids_first_and_cut(self, read):
        row = f"binance,ETHUSDT,{US},{US + 300},101,1,100,2,102,3,99,4"
        (raw,) = read(BOOKS, row, name="binance_book_snapshot_5_2020-02-22_ETHUSDT.csv")
        assert raw.columns["price"].tolist() == [100.0, 99.0, 101.0, 102.0]
        assert raw.columns["size"].tolist() == [2.0, 4.0, 1.0, 3.0]
        assert raw.columns["side"].tolist() == [1, 1, -1, -1]
        assert raw.columns["snapshot"].tolist() == [2] * 4
        assert raw.rows.tolist() == [2] * 4

    def test_without_the_levels_that_are_not_there(self, read):
        (raw,) = read(BOOKS, f"binance,ETHUSDT,{US},{US + 300},101,1,100,2,,,99,4")
        assert raw.columns["price"].tolist() == [100.0, 99.0, 101.0]

    def test_of_one_millisecond_count_once(self, read):
        rows = [f"binance,ETHUSDT,{US + k},{US + 300 + k},101,{k + 1},100,2,,,99,4" for k in (0, 1, 5_000)]
        (raw,) = read(BOOKS, *rows)
        assert np.unique(raw.rows).tolist() == [3, 4]
        assert raw.notes == ("left out: 1 books of the same millisecond as the next",)


class TestQuotes:
    """Of Binance's archive become ticker events of the symbol in the file's name."""

    def test_in_the_columns_of_the_kind(self, read):
        (raw,) = read(
            QUOTES, f"77,100.5,2,100.6,3,{US // 1_000},{US // 1_000 + 4}", name="BTCUSDT-bookTicker-2024-01-01.csv"
        )
        assert (raw.kind, raw.symbol, raw.event_time.tolist()) == ("ticker", "BTCUSDT", [US // 1_000 + 4])
        assert {name: column[0] for name, column in raw.columns.items()} == {
            "id": 77, "bid": 100.5, "bid_size": 2.0, "ask": 100.6, "ask_size": 3.0,
        }  # fmt: skip


class TestRecognition:
    """Goes by the header row."""

    def test_of_books_and_nothing_else(self, tmp_path, read):
        path = tmp_path / "a.csv.gz"
        assert all(recognises(Head(path, header.encode())) for header in (CHANGES, BOOKS, QUOTES))
        assert not recognises(Head(path, b"exchange,symbol,timestamp,local_timestamp,id,side,price,amount"))
        assert not recognises(Head(tmp_path / "a.json", CHANGES.encode()))
        with pytest.raises(UnreadableFileError, match="holds no order books"):
            read("a,b,c", "1,2,3")
