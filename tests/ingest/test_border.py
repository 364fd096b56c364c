"""What comes in at the border: a row's fault stays the row's, a file's the file's, and every line is counted once."""

from __future__ import annotations

import gzip
import json
import os
import socket
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.archives import HEADER, JANUARY, MINUTE, NOW, bars, env, lines, minutes, write
from tests.faults.test_E_ingest import quarantined
from virtuoso.account.instrument import Instrument
from virtuoso.ingest import importer
from virtuoso.ingest.importer import import_paths
from virtuoso.lake.lake import Lake

N = 200
ROWS = lines(minutes(N), bars(N))
TRADES = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
USDM = "binance-usdm"


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake", env=env())


def one(lake, path, **options):
    (report,) = import_paths(lake, path, **({"venue": USDM} | options)).files
    return report


def trades(folder: Path, *rows: str, name: str = "BTCUSDT-aggTrades-2024-01-01.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([TRADES, *rows]) + "\n")
    return path


def trade(i: int, **changes: object) -> str:
    fields = {"id": i, "price": "100.5", "size": 1, "first": i, "last": i, "time": JANUARY + i, "maker": "true"}
    return ",".join(str(value) for value in {**fields, **changes}.values())


def adds_up(report) -> bool:
    kept = report.stored + report.duplicates + report.revisions + report.conflicts
    others = report.quarantined + report.forming + report.left_out + report.blank + report.header
    return report.uncounted == 0 and (report.unit == "events" or report.lines == kept + others)


class TestALine:
    """Is a row, blank, a header or broken, and takes no other along."""

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda row: row + '"',
            lambda row: '"' + row,
            lambda row: row.replace(",", ',"', 1),
            lambda row: row.replace(",", '","', 1),
            lambda row: row[: len(row) // 2],
            lambda row: "\x00" * 9 + row,
            lambda row: row + ",1",
            lambda row: "garbage",
            lambda row: row.replace(",", "," + "7" * 2_000_000, 1),
        ],
        ids=[
            "quote behind",
            "quote before",
            "quote opens",
            "quotes cross",
            "cut",
            "NUL",
            "one more",
            "garbage",
            "long",
        ],
    )
    def test_that_is_damaged_is_refused_alone(self, lake, tmp_path, spoil):
        rows = [*ROWS[:90], spoil(ROWS[90]), *ROWS[91:]]
        report = one(lake, write(tmp_path / "BTCUSDT-1m-2024-01-01.csv", rows))
        assert (report.stored, report.quarantined, report.lines) == (N - 1, 1, N + 1)
        assert adds_up(report)

    def test_without_anything_in_it_is_blank_and_keeps_its_number(self, lake, tmp_path):
        rows = [*ROWS[:3], "", "  ", ",,,", "garbage", *ROWS[3:], ""]
        report = one(lake, write(tmp_path / "BTCUSDT-1m-2024-01-01.csv", rows))
        assert (report.stored, report.blank, report.header, report.lines) == (N, 4, 1, N + 6)
        assert quarantined(lake)[0]["row"] == 8
        assert adds_up(report)

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_ends_as_any_system_ends_it(self, lake, tmp_path, end):
        path = tmp_path / "BTCUSDT-1m-2024-01-01.csv"
        path.write_bytes(end.join([HEADER, *ROWS]).encode())  # and the last one ends with the file
        report = one(lake, path)
        assert (report.stored, report.lines, report.blank) == (N, N + 1, 0)

    @pytest.mark.parametrize("code", ["utf-16", "utf-8-sig", "utf-8"])
    def test_is_text_in_any_of_its_codes(self, lake, tmp_path, code):
        path = tmp_path / "BTCUSDT-1m-2024-01-01.csv"
        path.write_bytes("\n".join([HEADER, *ROWS]).encode(code))
        assert one(lake, path).stored == N

    def test_of_joined_files_may_be_their_header(self, lake, tmp_path):
        path = tmp_path / "BTCUSDT-1m-2024-01-01.csv"
        parts = ["\n".join([HEADER, *some]) + "\n" for some in (ROWS[:80], ROWS[80:])]
        path.write_bytes(b"".join(b"\xef\xbb\xbf" + part.encode() for part in parts))
        report = one(lake, path)
        assert (report.stored, report.header, report.lines) == (N, 2, N + 2)

    def test_may_end_with_a_delimiter(self, lake, tmp_path):
        path = tmp_path / "BTCUSDT-1m-2024-01-01.csv"
        path.write_text("\n".join([f"{HEADER},", *(f"{row}," for row in ROWS)]))
        assert one(lake, path).stored == N

    def test_may_be_quoted_whole(self, lake, tmp_path):
        rows = ['"' + row.replace(",", '","') + '"' for row in ROWS]
        assert one(lake, write(tmp_path / "BTCUSDT-1m-2024-01-01.csv", rows)).stored == N

    def test_is_found_across_parts(self, lake, tmp_path, monkeypatch):
        monkeypatch.setattr("virtuoso.venues.files.lines.stretches.__defaults__", (1_000,))
        rows = [*ROWS[:90], ROWS[90] + '"', "", *ROWS[91:], "garbage", ""]
        report = one(lake, write(tmp_path / "BTCUSDT-1m-2024-01-01.csv", rows), timeframe="1m")
        assert (report.stored, report.quarantined, report.blank) == (N - 1, 2, 2)
        assert adds_up(report)

    def test_that_is_not_counted_is_an_error_of_ours(self, lake, tmp_path, monkeypatch):
        path = write(tmp_path / "BTCUSDT-1m-2024-01-01.csv", ROWS)
        monkeypatch.setattr("virtuoso.venues.files.lines._headers", lambda *args: np.zeros(len(args[1]), dtype=bool))
        monkeypatch.setattr("virtuoso.ingest.verdict.Verdict._close_part", lambda self: None)
        monkeypatch.setattr(importer, "INTERNAL_ERRORS_RAISE", False)
        report = one(lake, path)
        assert report.status == "failed"
        assert "Report it, please" in report.error
        assert lake.instruments() == []


class TestAnId:
    """Damaged is the fault of its row; the others keep theirs."""

    @pytest.mark.parametrize("bad", ["x", "7.5", "-3", "9223372036854775808", "1" * 30, "1e5"])
    def test_that_is_damaged_takes_no_other_along(self, lake, tmp_path, bad):
        report = one(lake, trades(tmp_path, *(trade(i, **({"id": bad} if i == 7 else {})) for i in range(216))))
        assert (report.stored, report.duplicates, report.refused) == (215, 0, {"id_unreadable": 1})
        ids = lake.events("trades", Instrument(USDM, "BTCUSDT"))["id"]
        assert sorted(ids.tolist()) == [i for i in range(216) if i != 7]

    def test_is_exact_to_its_last_digit(self, lake, tmp_path):
        most = 2**63 - 1
        one(lake, trades(tmp_path, *(trade(most - i, first=0, last=0, time=JANUARY + 9 - i) for i in range(9))))
        ids = lake.events("trades", Instrument(USDM, "BTCUSDT"))["id"]
        assert ids.tolist() == [most - i for i in reversed(range(9))]


class TestATime:
    """Is read digit by digit."""

    @pytest.mark.parametrize(
        ("written", "ms"),
        [
            ("1704067200001999999", JANUARY + 1),
            ("1704067200.001", JANUARY + 1),
            ("1704067200.001999", JANUARY + 1),
            ("1704067200001.9", JANUARY + 1),
            ("1704067200001999", JANUARY + 1),
        ],
    )
    def test_in_any_unit_is_of_its_millisecond(self, lake, tmp_path, written, ms):
        rows = [trade(i, time=written) for i in range(4)]
        assert one(lake, trades(tmp_path, *rows)).stored == 4
        assert set(lake.events("trades", Instrument(USDM, "BTCUSDT")).event_time.tolist()) == {ms}

    def test_in_nanoseconds_is_never_a_millisecond_early(self, lake, tmp_path):
        times = [JANUARY * 1_000_000 + i * 1_000_000 for i in range(1_500)]
        assert one(lake, trades(tmp_path, *(trade(i, time=t) for i, t in enumerate(times)))).stored == 1_500
        found = lake.events("trades", Instrument(USDM, "BTCUSDT")).event_time
        assert found.tolist() == [JANUARY + i for i in range(1_500)]

    def test_longer_than_64_bits_is_the_fault_of_its_row(self, lake, tmp_path):
        rows = [trade(i, **({"time": "1" * 30} if i == 5 else {})) for i in range(50)]
        report = one(lake, trades(tmp_path, *rows))
        assert (report.stored, report.refused) == (49, {"time_unreadable": 1})

    def test_in_scientific_notation_is_refused_with_the_cause(self, lake, tmp_path):
        report = one(lake, trades(tmp_path, *(trade(i, time="1.70407E+12") for i in range(50))))
        assert "are in scientific notation, which rounds them" in report.error

    @pytest.mark.parametrize(
        ("kind", "per_ms"),
        [(pa.int64(), 1_000_000), (pa.uint64(), 1_000_000), (pa.decimal128(38, 6), 1_000), (pa.float64(), 1)],
    )
    def test_of_any_type_in_parquet_is_the_same(self, lake, tmp_path, kind, per_ms):
        times = pa.array([(JANUARY + i) * per_ms for i in range(9)]).cast(kind)
        names = TRADES.split(",")
        columns = [pa.array(range(9)), pa.array([1.5] * 9), pa.array([1.0] * 9), *[pa.array(range(9))] * 2, times]
        path = tmp_path / "BTCUSDT-aggTrades-2024-01-01.parquet"
        pq.write_table(pa.table([*columns, pa.array([True] * 9)], names=names), path)
        assert one(lake, path).stored == 9
        found = lake.events("trades", Instrument(USDM, "BTCUSDT")).event_time
        assert found.tolist() == [JANUARY + i for i in range(9)]

    def test_as_a_float_of_32_bits_is_refused_with_the_cause(self, lake, tmp_path):
        path = tmp_path / "BTCUSDT-1m.parquet"
        table = {name: pa.array([1.0] * 9) for name in ("open", "high", "low", "close", "volume")}
        pq.write_table(pa.table({"time": pa.array([JANUARY / 1e3] * 9, pa.float32()), **table}), path)
        assert "floats of 32 bits, which round them to minutes" in one(lake, path).error


def encrypted(path: Path) -> None:
    write(path, ROWS)
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + at] |= 1
    path.write_bytes(data)


def other_method(path: Path) -> None:
    write(path, ROWS)
    data = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(mark) + at] = 97
    path.write_bytes(data)


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def damaged(path: Path, method: int) -> None:
    zipped(path, {"a.csv": "\n".join([HEADER, *ROWS]).encode()}, method)
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)


TEXT = "\n".join([HEADER, *ROWS]).encode()
ODD_FILES = {
    "empty.csv": (lambda path: path.write_bytes(b""), "is empty"),
    "blank.csv": (lambda path: path.write_bytes(b"\n \n\n"), "is empty"),
    "empty.zip": (lambda path: path.write_bytes(b""), "is damaged"),
    "nothing.zip": (lambda path: zipped(path, {}), "should hold one CSV, holds nothing. Unpack it first"),
    "two.zip": (lambda path: zipped(path, {"a.csv": TEXT, "b.csv": TEXT}), "holds a.csv, b.csv. Unpack it first"),
    "nested.zip": (lambda path: zipped(path, {"a.zip": TEXT}), "holds a.zip. Unpack it first"),
    "encrypted.zip": (encrypted, "is encrypted. Unpack it with its password first"),
    "method.zip": (other_method, "is packed in a way that is not read"),
    "lzma.zip": (lambda path: damaged(path, zipfile.ZIP_LZMA), "is damaged"),
    "bz2.zip": (lambda path: damaged(path, zipfile.ZIP_BZIP2), "is damaged"),
    "deflate.zip": (lambda path: damaged(path, zipfile.ZIP_DEFLATED), "is damaged"),
    "cut.csv.gz": (lambda path: path.write_bytes(gzip.compress(TEXT)[:-20]), "is damaged"),
    "behind.csv.gz": (lambda path: path.write_bytes(gzip.compress(TEXT) + b"garbage"), "is damaged"),
    "plain.csv.gz": (lambda path: path.write_bytes(TEXT), "is not gzipped, though its name says so"),
    "pipe.csv": (lambda path: os.mkfifo(path), "is a named pipe, not a file"),
    "dangling.csv": (lambda path: path.symlink_to("nowhere"), "is a link that leads nowhere"),
    "loop.csv": (lambda path: path.symlink_to(path), "is a link that leads nowhere"),
    "garbage.parquet": (lambda path: path.write_bytes(b"PAR1garbagePAR1"), "is damaged"),
    "BTCUSDT.bars.csv.CHECKSUM.csv": (lambda path: path.write_bytes(b"\xff" * 99), "holds no bars"),
}


class TestAnOddFile:
    """Has its own line in the report, with the known cause; the files beside it are imported."""

    @pytest.mark.parametrize("name", ODD_FILES)
    def test_leaves_the_others_alone(self, lake, tmp_path, name):
        make, cause = ODD_FILES[name]
        folder = tmp_path / "files"
        folder.mkdir()
        make(folder / name)
        write(folder / "ETHUSDT-1m-2024-01-01.csv", ROWS)
        found = {Path(report.path).name: report for report in import_paths(lake, folder, venue=USDM).files}
        assert found["ETHUSDT-1m-2024-01-01.csv"].stored == N
        assert found[name].status in ("failed", "skipped")
        assert cause in found[name].error

    def test_that_is_a_socket_is_never_opened(self, lake, tmp_path, monkeypatch):
        folder = tmp_path / "s"
        folder.mkdir()
        monkeypatch.chdir(folder)
        with socket.socket(socket.AF_UNIX) as door:
            door.bind("x.csv")
            assert "is a socket, not a file" in one(lake, folder).error

    def test_that_is_a_device_is_never_opened(self, lake, tmp_path):
        (tmp_path / "zero.csv").symlink_to("/dev/zero")
        assert "is a device, not a file" in one(lake, tmp_path / "zero.csv").error

    def test_of_several_gzips_is_read_whole(self, lake, tmp_path):
        path = tmp_path / "BTCUSDT-1m-2024-01-01.csv.gz"
        halves = ["\n".join([HEADER, *some]).encode() + b"\n" for some in (ROWS[:90], ROWS[90:])]
        path.write_bytes(b"".join(gzip.compress(half) for half in halves))
        assert one(lake, path).stored == N

    def test_that_changes_while_it_is_read_is_refused(self, lake, tmp_path, monkeypatch):
        path = write(tmp_path / "BTCUSDT-1m-2024-01-01.csv", ROWS)
        add = Lake.writing

        def touched(writer, *batches, **options):
            path.write_text(path.read_text() + ROWS[0])
            return taken(writer, *batches, **options)

        from virtuoso.lake.writing.transaction import Writer

        taken = Writer.add
        monkeypatch.setattr(Writer, "add", touched)
        report = one(lake, path)
        assert "changed while it was read" in report.error
        assert lake.instruments() == []
        assert add is Lake.writing

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_that_may_not_be_read_says_so(self, lake, tmp_path):
        path = write(tmp_path / "BTCUSDT-1m-2024-01-01.csv", ROWS)
        path.chmod(0)
        assert "cannot be read: Permission denied" in one(lake, path).error
        assert stat.S_IMODE(path.stat().st_mode) == 0

    def test_does_not_swallow_an_interrupt(self, lake, tmp_path, monkeypatch):
        def interrupted(*args):
            raise KeyboardInterrupt

        monkeypatch.setattr(importer, "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            one(lake, write(tmp_path / "BTCUSDT-1m-2024-01-01.csv", ROWS))


class TestARecordedNumber:
    """Is taken as JSON writes it, or refused with its row."""

    TRADE = {"e": "trade", "s": "BTCUSDT", "t": 1, "p": "100.5", "q": "1", "T": JANUARY, "m": True}

    @pytest.mark.parametrize(
        ("field", "bad", "reason"),
        [
            ("q", "1e308", "impossible_amount"),
            ("q", "1e400", "not_finite"),
            ("p", True, "not_a_number"),
            ("p", "\uff11\uff10\uff10", "not_a_number"),
            ("p", "1_000", "not_a_number"),
            ("p", " 100", "not_a_number"),
            ("p", "NaN", "not_a_number"),
            ("p", [1], "not_a_number"),
            ("p", None, "not_a_number"),
            ("q", "-1", "size_not_positive"),
            ("t", 10**30, "id_unreadable"),
            ("t", True, "id_unreadable"),
            ("t", -1, "id_unreadable"),
            ("T", "yesterday", "time_unreadable"),
            ("T", 10**25, "time_unreadable"),
            ("m", 1, "side_unknown"),
            ("m", "true", "side_unknown"),
            ("s", {"a": 1}, "no_symbol"),
        ],
    )
    def test_that_is_none_is_refused_alone(self, lake, tmp_path, field, bad, reason):
        path = tmp_path / "btcusdt.jsonl"
        good = [json.dumps({**self.TRADE, "t": i, "T": JANUARY + i}) for i in range(2, 50)]
        path.write_text("\n".join([good[0], json.dumps({**self.TRADE, field: bad}), *good[1:]]))
        report = one(lake, path)
        assert (report.stored, report.refused) == (48, {reason: 1})
        assert adds_up(report)

    def test_of_a_change_that_runs_backwards_is_refused(self, lake, tmp_path):
        change = {"e": "depthUpdate", "s": "BTCUSDT", "E": JANUARY, "b": [["1", "1"]], "a": []}
        rows = [{**change, "U": 10 * i, "u": 10 * i + 9, "pu": 10 * i - 1} for i in range(1, 9)]
        rows[4] |= {"U": 99, "u": 7}
        path = tmp_path / "btcusdt.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows))
        report = one(lake, path)
        assert (report.stored, report.refused) == (7, {"ids_reversed": 1})

    def test_of_a_list_on_one_line_is_found_across_parts(self, lake, tmp_path, monkeypatch):
        monkeypatch.setattr("virtuoso.venues.streams.recordings._TEXT_BYTES", 50)
        monkeypatch.setattr("virtuoso.venues.streams.recordings.LISTED", 7)
        path = tmp_path / "btcusdt.json"
        path.write_text(json.dumps([{**self.TRADE, "t": i, "T": JANUARY + i} for i in range(100)]))
        report = one(lake, path)
        assert (report.stored, report.lines) == (100, 100)


BOMB = """
import sys
from pathlib import Path
import pandas, pyarrow.compute, pyarrow.csv, pyarrow.parquet
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.registry import decode
def kilobytes():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
before, n = kilobytes(), 0
for raw in decode(Path(sys.argv[1]), ImportOptions(venue="binance-usdm"), 1760000000000):
    n += len(raw)
    del raw
print(n, (kilobytes() - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads what the kernel says of memory")
class TestABomb:
    """Fits into memory, however much comes out of it."""

    def read(self, path: Path) -> tuple[int, int]:
        done = subprocess.run([sys.executable, "-c", BOMB, str(path)], capture_output=True, text=True, check=True)
        rows, megabytes = done.stdout.split()
        return int(rows), int(megabytes)

    def test_that_is_packed_well(self, tmp_path):
        path = tmp_path / "BTCUSDT-aggTrades-2024-01-01.csv.gz"
        row = f"1,100.{'0' * 400},1,1,1,{JANUARY},true\n".encode()
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(f"{TRADES}\n".encode())
            for _ in range(100):
                file.write(row * 6_000)
        rows, megabytes = self.read(path)
        assert rows == 600_000  # of a quarter of a gigabyte
        assert megabytes <= 300

    def test_of_one_line(self, tmp_path):
        path = tmp_path / "BTCUSDT-aggTrades-2024-01-01.csv"
        with path.open("wb") as file:
            file.write(f"{TRADES}\n{trade(1)}\n".encode())
            for _ in range(300):
                file.write(b"1" * (1 << 20))
        rows, megabytes = self.read(path)
        assert rows == 1
        assert megabytes <= 100


def test_bars_beside_the_present_are_forming_and_counted(tmp_path):
    lake = Lake(tmp_path / "lake", env=env(JANUARY + N * MINUTE - 1))
    report = one(lake, write(tmp_path / "BTCUSDT-1m-2024-01-01.csv", ROWS))
    assert (report.stored, report.forming, report.lines) == (N - 1, 1, N + 1)
    assert NOW > JANUARY
