"""Recordings of Binance streams: lines with a receive time, or JSON lists."""

import gzip
import json

import numpy as np
import pytest

from virtuoso.errors import UnreadableFileError
from virtuoso.market.schema.kinds import KINDS
from virtuoso.venues.files.file_io import Head
from virtuoso.venues.files.timestamps import NO_TIME
from virtuoso.venues.streams.binance import read_recording, recognises

NS = 1_723_161_255_030_314_667
MS = 1_723_161_255_031  # rounded up: nothing is known before it came
SENT = 1_723_161_255_028


def usdm_depth(**other):
    return {
        "e": "depthUpdate", "E": SENT, "T": SENT - 1, "s": "BTCUSDT", "U": 11, "u": 19, "pu": 9,
        "b": [["58710.20", "0.014"], ["61511.00", "0.000"]], "a": [["61800.30", "2.5"]], **other,
    }  # fmt: skip


SPOT_DEPTH = {key: value for key, value in usdm_depth().items() if key not in ("pu", "T")}
TICKER = {"u": 21, "s": "BTCUSDT", "b": "61837.63", "B": "3.7", "a": "61837.64", "A": "1.5"}
TRADE = {"e": "trade", "E": SENT, "T": SENT - 2, "s": "BTCUSDT", "t": 7, "p": "61800.30", "q": "0.006", "m": True}
SUM = {"e": "aggTrade", "E": SENT, "T": SENT, "s": "BTCUSDT", "a": 5, "p": "6.5", "q": "2", "f": 7, "l": 9, "m": False}
FORCED = {"e": "forceOrder", "E": SENT, "o": {
    "s": "BTCUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "0.5", "p": "9000", "ap": "9100", "X": "FILLED",
    "l": "0.1", "z": "0.4", "T": SENT - 9}}  # fmt: skip
MARK = {"e": "markPriceUpdate", "E": SENT, "s": "BTCUSDT", "p": "101.5", "i": "101.25", "r": "0.0001", "T": SENT}
SNAPSHOT = {"lastUpdateId": 17, "bids": [["99.5", "1"], ["99", "2"]], "asks": [["100", "3"]]}


def line(message, ns=NS):
    return f"{ns} {json.dumps(message, separators=(',', ':'))}"


@pytest.fixture
def read(tmp_path):
    def read_lines(*lines, name="btcusdt_20240808.gz"):
        path = tmp_path / name
        text = "\n".join(lines).encode() + b"\n"
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        return {(raw.kind, raw.symbol): raw for raw in read_recording(path)}

    return read_lines


def values(raw, row=0):
    return {name: column[row].item() for name, column in raw.columns.items()}


class TestAMessage:
    """Becomes events of its kind, in the columns of the kind."""

    def test_of_the_book_becomes_a_row_a_level(self, read):
        raw = read(line({"stream": "btcusdt@depth@0ms", "data": usdm_depth()}))["depth", "BTCUSDT"]
        assert raw.columns["side"].tolist() == [1, 1, -1]
        assert raw.columns["price"].tolist() == [58_710.2, 61_511.0, 61_800.3]
        assert raw.columns["size"].tolist() == [0.014, 0.0, 2.5]
        assert {name: raw.columns[name][2].item() for name in ("first_id", "last_id", "prev_id", "snapshot")} == {
            "first_id": 11, "last_id": 19, "prev_id": 9, "snapshot": 0,
        }  # fmt: skip
        assert (raw.rows.tolist(), raw.event_time[0], raw.received_at[0]) == ([1, 1, 1], SENT, MS)

    def test_of_spot_has_no_previous_id(self, read):
        assert read(line(SPOT_DEPTH))["depth", "BTCUSDT"].columns["prev_id"][0] == -1

    def test_without_a_level_is_a_row_without_a_side(self, read):
        raw = read(line(usdm_depth(b=[], a=[])), line(usdm_depth(u=20)))["depth", "BTCUSDT"]
        assert raw.columns["side"].tolist() == [0, 1, 1, -1]
        assert np.isnan(raw.columns["price"][0])
        assert raw.columns["price"][1] == 58_710.2

    @pytest.mark.parametrize(
        ("message", "kind", "sent", "expected"),
        [
            (TICKER, "ticker", MS, {"id": 21, "bid": 61_837.63, "bid_size": 3.7, "ask": 61_837.64, "ask_size": 1.5}),
            ({**TICKER, "e": "bookTicker", "E": SENT}, "ticker", SENT, {"id": 21}),
            (TRADE, "trades", SENT - 2, {"id": 7, "price": 61_800.3, "size": 0.006, "side": -1, "count": 1.0}),
            (SUM, "trades", SENT, {"id": 5, "price": 6.5, "size": 2.0, "side": 1, "count": 3.0}),
            (FORCED, "liquidations", SENT - 9, {"side": -1, "price": 9_100.0, "size": 0.4}),
            (MARK, "prices", SENT, {"mark": 101.5, "index": 101.25}),
        ],
        ids=["bookTicker of spot", "bookTicker", "trade", "aggTrade", "forceOrder", "markPrice"],
    )
    def test_of_another_stream(self, read, message, kind, sent, expected):
        raw = read(line(message))[kind, "BTCUSDT"]
        assert values(raw) | expected == values(raw)
        assert set(raw.columns) == set(KINDS[kind].columns)
        assert (raw.event_time[0], raw.received_at[0]) == (sent, MS)

    def test_of_a_list_is_taken_one_by_one(self, read):
        found = read(line({"stream": "!forceOrder@arr", "data": [FORCED, FORCED]}))
        assert len(found["liquidations", "BTCUSDT"]) == 2

    def test_that_is_nothing_of_the_market_is_counted(self, read):
        found = read(line({"e": "kline", "s": "BTCUSDT"}), line({"result": None, "id": 1}), line({**TRADE, "X": "ADL"}))
        assert found == {}
        noted = read(line(TICKER), line({"e": "kline"}), line({**TRADE, "X": "ADL"}))["ticker", "BTCUSDT"]
        assert noted.notes == ("left out: 1 kline, 1 trade beside the market",)


class TestASnapshot:
    """Belongs to a symbol and a moment, though it may name neither."""

    def test_has_the_symbol_of_its_file_and_stands_in_its_order(self, read):
        raw = read(line(usdm_depth()), line(SNAPSHOT), line(usdm_depth(u=25)))["depth", "BTCUSDT"]
        assert raw.columns["snapshot"].tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]
        assert raw.columns["last_id"].tolist() == [19] * 3 + [17] * 3 + [25] * 3

    def test_has_the_symbol_that_was_asked_for(self, read):
        asked = "https://api.binance.com/api/v3/depth?symbol=NKNUSDT&limit=1000 -> 1633998512.3206391: "
        raw = read(asked + json.dumps(SNAPSHOT))["depth", "NKNUSDT"]
        assert raw.received_at[0] == 1_633_998_512_321

    def test_has_the_symbol_of_the_name(self, read):
        assert ("depth", "ETHBTC") in read(line(SNAPSHOT), name="binance_spot_ETHBTC_x.gz")
        assert ("depth", None) in read(line(SNAPSHOT), name="book.gz")

    @pytest.mark.parametrize(("levels", "kind"), [(19, 1), (20, 2), (1_000, 2), (1_001, 1)])
    def test_of_a_usual_limit_was_cut_there(self, read, levels, kind):
        bids = [[str(100 - k / 1_000), "1"] for k in range(levels)]
        assert read(line({**SNAPSHOT, "bids": bids}))["depth", "BTCUSDT"].columns["snapshot"][0] == kind

    def test_of_a_partial_stream_is_left_out_beside_changes(self, read):
        partial = line({"stream": "btcusdt@depth20@100ms", "data": usdm_depth()})
        assert read(partial)["depth", "BTCUSDT"].columns["snapshot"][0] == 2
        both = read(partial, line({"stream": "btcusdt@depth@0ms", "data": usdm_depth()}))["depth", "BTCUSDT"]
        assert both.rows.tolist() == [2, 2, 2]
        assert both.notes == ("left out: 1 partial books, since the changes are here too",)

    def test_without_a_time_counts_from_the_first_change_beyond_it(self, read, tmp_path):
        changes = [usdm_depth(E=SENT + k, u=15 + k) for k in range(5)]
        (tmp_path / "ETHBTC_T09_update.json").write_text(json.dumps([{**c, "s": "ETHBTC"} for c in changes]))
        found = read(json.dumps(SNAPSHOT), name="ETHBTC_T09_snapshot.json")["depth", "ETHBTC"]
        assert (found.event_time == SENT + 3).all()
        assert found.received_at is None

    def test_that_nothing_dates_has_no_time(self, read):
        found = read(json.dumps(SNAPSHOT), name="ETHBTC_T10_snapshot.json")["depth", "ETHBTC"]
        assert (found.event_time == NO_TIME).all()
        assert "no change that goes beyond it" in found.notes[0]


class TestABadLine:
    """Is set aside with its number and reason; the others are read."""

    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            ("garbage", "not_json"),
            (f"{NS} " + '{"e":"trade","E":17', "not_json"),
            ("yesterday " + json.dumps(TRADE), "time_unreadable"),
            (line({**TRADE, "p": "much"}), "not_a_number"),
            (line({key: value for key, value in TRADE.items() if key != "q"}), "field_missing"),
            (line({**TRADE, "m": "perhaps"}), "side_unknown"),
            (line(usdm_depth(b=[["1", "2"], ["1", "x"]])), "not_a_number"),
            (line(usdm_depth(a=[["1"]])), "not_a_number"),
            (line(usdm_depth(U="x")), "id_unreadable"),
        ],
    )
    def test_is_refused(self, read, bad, reason):
        found = read(line(TICKER), line(usdm_depth()), bad, line(usdm_depth(u=25)))
        assert [(row, why) for row, why, _ in found["ticker", "BTCUSDT"].rejected] == [(3, reason)]
        depth = found["depth", "BTCUSDT"]
        assert (depth.rows.tolist(), depth.columns["size"].tolist()) == ([2, 2, 2, 4, 4, 4], [0.014, 0.0, 2.5] * 2)

    def test_among_nothing_else_fails_the_file(self, read):
        with pytest.raises(
            UnreadableFileError, match=r"2 rows are refused, the first is row 1 \(not_json\): 'garbage'"
        ):
            read("garbage", "more")

    def test_may_carry_old_levels_of_three(self, read):
        raw = read(line(usdm_depth(b=[["1", "2", []]], a=[])))["depth", "BTCUSDT"]
        assert (raw.columns["price"].tolist(), raw.columns["size"].tolist()) == ([1.0], [2.0])


class TestADamagedFile:
    """Is read as far as a killed recorder wrote it, and refused where its bytes are wrong."""

    PACKED = gzip.compress("\n".join(line(TICKER, NS + 1_000_000 * k) for k in range(20_000)).encode())

    def test_that_ends_early_keeps_what_is_there(self, tmp_path):
        path = tmp_path / "btcusdt.gz"
        path.write_bytes(self.PACKED[: len(self.PACKED) // 2])
        (raw,) = read_recording(path)
        assert 1_000 < len(raw) < 20_000
        assert "ends early" in raw.notes[0]

    def test_with_other_bytes_is_refused(self, tmp_path):
        path = tmp_path / "btcusdt.gz"
        middle = len(self.PACKED) // 2
        path.write_bytes(self.PACKED[:middle] + bytes(64) + self.PACKED[middle + 64 :])
        with pytest.raises(UnreadableFileError, match="damaged after line"):
            list(read_recording(path))

    def test_that_is_empty_or_half_a_list_is_refused(self, tmp_path):
        path = tmp_path / "btcusdt.json"
        path.write_bytes(b"")
        with pytest.raises(UnreadableFileError, match="is empty"):
            list(read_recording(path))
        path.write_text(json.dumps([TRADE, TRADE])[:-40])
        with pytest.raises(UnreadableFileError, match="not whole JSON"):
            list(read_recording(path))


class TestTimes:
    """Are read in their unit, and rounded up to the millisecond."""

    @pytest.mark.parametrize(
        ("prefix", "received"),
        [
            ("1723161255030314667 ", MS), ("1723161255030000000 ", MS - 1), ("1723161255030314 ", MS),
            ("1723161255030 ", MS - 1), ("1723161255 ", 1_723_161_255_000), ("1723161255.0303: ", MS),
            ("1723161255.03: ", MS - 1),
        ],
    )  # fmt: skip
    def test_of_receipt(self, read, prefix, received):
        assert read(prefix + json.dumps(TICKER))["ticker", "BTCUSDT"].received_at[0] == received

    def test_in_microseconds_become_milliseconds(self, read):
        assert read(line({**TRADE, "T": SENT * 1_000 + 999}))["trades", "BTCUSDT"].event_time[0] == SENT


class TestRecognition:
    """Tells recordings from everything else by their first bytes."""

    @pytest.mark.parametrize(
        "head",
        [line(TRADE), json.dumps([TRADE]), json.dumps(SNAPSHOT), line({"stream": "x", "data": {}}),
         "wss://stream.binance.com:9443/stream?streams=nknusdt@depth <-> 1633998511.159679\n"],
    )  # fmt: skip
    def test_of_recordings(self, tmp_path, head):
        assert recognises(Head(tmp_path / "a.json.gz", head.encode()))

    @pytest.mark.parametrize("head", ["open_time,open\n1,2", '[{"symbol":"BTCUSDT"}]', "{}", "", '[["1","2"]]'])
    def test_of_other_files(self, tmp_path, head):
        assert not recognises(Head(tmp_path / "a.json.gz", head.encode()))


@pytest.mark.real_data
class TestARecorderWhoseClockRunsBehind:
    """Nothing is received before it happened: all kinds of a file move together."""

    def test_moves_receipts_by_the_largest_lead_met_so_far(self, read):
        late = [line({**TRADE, "T": MS + lead}, NS + k * 1_000_000) for k, lead in enumerate((-5, 900, 400, 1_203))]
        raw = read(*late)["trades", "BTCUSDT"]
        assert (raw.received_at - MS).tolist() == [0, 1 + 899, 2 + 899, 3 + 1_200]
        assert (raw.received_at >= raw.event_time).all()
        assert raw.notes == ("the recorder's clock ran up to 1,200 ms behind the venue's: receipts moved",)

    def test_keeps_the_order_of_different_kinds(self, read):
        found = read(line({**TRADE, "T": MS + 900}), line(TICKER, NS + 1_000_000), line(usdm_depth(), NS + 2_000_000))
        arrived = [found[kind, "BTCUSDT"].received_at[0] for kind in ("trades", "ticker", "depth")]
        assert (np.array(arrived) - MS).tolist() == [900, 901, 902]

    def test_is_taken_as_it_is_where_it_runs_right(self, read):
        raw = read(line(TRADE))["trades", "BTCUSDT"]
        assert raw.received_at[0] == MS
        assert raw.notes == ()


class TestRealRecordings:
    """Are read whole."""

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("l2/binance_usdm_btcusdt_20240808.gz", {"depth": 445_521, "ticker": 66_089, "trades": 21_313}),
            ("l2/binance_spot_ETHBTC_20201101T09_update.json.gz", {"depth": 67_601}),
            ("trades/binance_spot_aggTrade_ETHBTC_20201101T09.json.gz", {"trades": 1_736}),
        ],
    )
    def test_with_every_row(self, real_data, name, expected):
        raws = list(read_recording(real_data / name))
        assert {kind: sum(len(raw) for raw in raws if raw.kind == kind) for kind in expected} == expected
        assert all(raw.rejected == () for raw in raws)
        assert all("clock" in note for raw in raws for note in raw.notes)

    def test_of_cryptofeed_with_their_snapshots(self, real_data):
        folder = real_data / "payloads" / "cryptofeed"
        streams = list(read_recording(folder / "BINANCE_FUTURES.ws.1.0.gz"))
        assert {raw.symbol for raw in streams} == {"SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT"}
        assert streams[0].notes == ("left out: 67 kline",)
        snapshots = {raw.symbol: raw for raw in read_recording(folder / "BINANCE_FUTURES.http.0.0.gz")}
        assert snapshots["SUSHIUSDT"].columns["snapshot"].tolist() == [2] * 2_000
        assert set(snapshots["AKROUSDT"].columns["snapshot"].tolist()) == {1}

    def test_a_snapshot_is_dated_by_the_changes_beside_it(self, real_data):
        (raw,) = read_recording(real_data / "l2" / "binance_spot_ETHBTC_20201101T09_snapshot.json.gz")
        assert set(raw.event_time.tolist()) == {1_604_221_203_123}
