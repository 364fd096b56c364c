"""Damaged files of every format: no error escapes, no line is lost, no good row is dragged along.

200 mutants in the suite; `VIRTUOSO_MUTANTS=1500` before a release. Each is imported with a good file beside it. A
format is a line in `FORMATS`, a way to damage one a line in `DAMAGE`.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from tests.archives import HEADER as KLINES
from tests.archives import JANUARY, MINUTE, env
from tests.venues.test_registry import CASES
from virtuoso.ingest.importer import import_paths
from virtuoso.lake.lake import Lake

MUTANTS = int(os.environ.get("VIRTUOSO_MUTANTS", "200"))
SEED = int(os.environ.get("VIRTUOSO_MUTANTS_SEED", "12"))
LONGEST_S = 60
N = 60
T = JANUARY
GOOD = [
    KLINES,
    *(
        f"{T + i * MINUTE},9,12,8,1{i % 2}.25,{i + 5}.5,{T + (i + 1) * MINUTE - 1},{10 * (i + 5.5)},9,1.5,15.5,0"
        for i in range(N)
    ),
]
ODD = (
    "", "true", "null", "nan", "Infinity", "-1", "1e400", "9" * 30, "1_000", "\uff11\uff12", "1,5", "0x10", "9" * 400,
    "{}", "[[1]]", "1e308", "\x00", '"', "2024-01-01", "170406720000", "9223372036854775808", " 7 ", "--",
)  # fmt: skip


class Format(NamedTuple):
    """A file without its suffix, its lines, and whether the first names the columns; JSON has no columns."""

    name: str
    lines: list[str]
    header: bool = True
    text: str = ".csv"


def said(**values: object) -> str:
    return json.dumps(values, separators=(",", ":"))


def messages() -> list[str]:
    """Each kind of message of a recording, in turn."""
    found = []
    for i in range(N):
        at = T + 100 * i
        levels = {"b": [[f"{99 - i % 5}.5", "1.5"]], "a": [[f"{101 + i % 5}.5", "2"]]}
        order = {"s": "BTCUSDT", "S": "SELL", "q": "1", "p": "100", "ap": "100.5", "z": "1", "T": at}
        found.append([
            said(e="depthUpdate", E=at, s="BTCUSDT", U=10 * i + 1, u=10 * i + 10, pu=10 * i, **levels),
            said(e="aggTrade", E=at, s="BTCUSDT", a=i, p="100.5", q="0.25", f=2 * i, l=2 * i + 1, T=at, m=i % 2 == 0),
            said(e="trade", E=at, s="BTCUSDT", t=i, p="100.5", q="0.25", T=at, m=i % 2 == 0, X="MARKET"),
            said(u=i, s="BTCUSDT", b="99.5", B="1", a="100.5", A="2", E=at),
            said(e="markPriceUpdate", E=at, s="BTCUSDT", p="100.5", i="100.25"),
            said(e="forceOrder", E=at, o=order),
        ][i % 6])  # fmt: skip
    return found


RECORDED = [f"{(T + 100 * i) * 1_000_000} {message}" for i, message in enumerate(messages())]
RATES = [said(symbol="BTCUSDT", fundingTime=T + i * 480 * MINUTE, fundingRate="0.0001") for i in range(N)]
PRICES = [f"9,12,8,1{i % 2}.25" for i in range(N)]
OPENS = [T + i * MINUTE for i in range(N)]
OKX = [f"{t},{p},250,2.5,{2.5 * 10},1" for t, p in zip(OPENS, PRICES, strict=True)]
CDD = [f"{t},2024-01-01 00:00:00,BTC/USDT,{p},2.5,25" for t, p in zip(OPENS, PRICES, strict=True)]
TICKS = [f"2024.01.01\t00:{i:02}\t{p.replace(',', chr(9))}\t5\t0\t1" for i, p in enumerate(PRICES)]
OHLCV = [f"[{t},{p},2.5]" for t, p in zip(OPENS, PRICES, strict=True)]
BYBIT = [
    f"{T // 1000 + i}.25,BTCUSDT,Buy,0.5,10.5,PlusTick,{i:08x}-0000-4000-8000-{i:012x},1,0.5,5.25" for i in range(N)
]
BYBIT_HEADER = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"
POLLS = [f"BTCUSDT,{T + i * 10 * MINUTE},{T + (i // 48 + 1) * 480 * MINUTE},0.0001" for i in range(N)]
POLLED = ["symbol,timestamp,next_funding_time,funding_rate", *POLLS]
FORMATS = [
    Format("BTC-USDT-1m", ["ts,o,h,l,c,vol,volCcy,volCcyQuote,confirm", *OKX]),
    Format("Binance_BTCUSDT_1m", ["unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT", *CDD]),
    Format("BTCUSDT_M1", ["<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>", *TICKS]),
    Format("BTCUSDT", [row[1:-1] for row in OHLCV], header=False),
    Format("BTCUSDT_1m_list", ["[", *(f"{row}," for row in OHLCV[:-1]), OHLCV[-1], "]"], False, ".json"),
    Format("BTCUSDT_trades", [BYBIT_HEADER, *BYBIT]),
    Format("rates", POLLED),
    *(Format(case.name, case.lines) for case in CASES.values() if case.held != {"bars"}),
    Format("BTCUSDT-1m-2024-01-01", GOOD),
    Format(
        "mine", [f"{('symbol', 'BTCUSDT', 'ETHUSDT')[(i > 0) * (1 + i % 2)]},{line}" for i, line in enumerate(GOOD)]
    ),
    Format("BTCUSDT-aggTrades-2024-02-01", [f"{i},100.5,1,{i},{i},{T + i},true" for i in range(N)], header=False),
    Format("btcusdt", RECORDED, header=False, text=".jsonl"),
    Format("btcusdt_list", ["[", *(f"{m}," for m in messages()[:-1]), messages()[-1], "]"], False, ".json"),
    Format("BTCUSDT-fundingRate", ["[", *(f"{rate}," for rate in RATES[:-1]), RATES[-1], "]"], False, ".json"),
]
PACKED = {
    ".csv": (".csv", ".csv.gz", ".zip", ".parquet"),
    ".jsonl": (".jsonl", ".jsonl.gz"),
    ".json": (".json", ".json.gz"),
}

Lines = list[str]
Damage = Callable[[random.Random, Lines], Lines]


def at(rng: random.Random, lines: Lines) -> int:
    return rng.randrange(len(lines))


def with_line(lines: Lines, i: int, *new: str) -> Lines:
    return [*lines[:i], *new, *lines[i + 1 :]]


def flipped(rng: random.Random, lines: Lines) -> Lines:
    i = at(rng, lines)
    if not lines[i]:
        return lines
    j = rng.randrange(len(lines[i]))
    return with_line(lines, i, lines[i][:j] + chr(rng.randrange(1, 256)) + lines[i][j + 1 :])


def odd_field(rng: random.Random, lines: Lines) -> Lines:
    i = at(rng, lines)
    marks = [j for j, one in enumerate(lines[i]) if one in ",:;"]
    if len(marks) < 2:
        return lines
    j = rng.randrange(len(marks) - 1)
    return with_line(lines, i, lines[i][: marks[j] + 1] + rng.choice(ODD) + lines[i][marks[j + 1] :])


def swapped(rng: random.Random, lines: Lines) -> Lines:
    i = at(rng, lines)
    fields = lines[i].split(",")
    rng.shuffle(fields)
    return with_line(lines, i, ",".join(fields))


def without_column(rng: random.Random, lines: Lines) -> Lines:
    j = rng.randrange(5)
    return [",".join(field for k, field in enumerate(line.split(",")) if k != j) for line in lines]


def mixed_units(rng: random.Random, lines: Lines) -> Lines:
    cut, stamp = at(rng, lines), str(T)[:6]
    by = rng.choice([lambda v: v * 1_000, lambda v: v // 1_000, lambda v: v * 1_000_000])
    change = lambda field: str(by(int(field))) if field.startswith(stamp) and field.isdigit() else field  # noqa: E731
    return [*lines[:cut], *(",".join(map(change, line.split(","))) for line in lines[cut:])]


DAMAGE: list[Damage] = [
    flipped,
    flipped,
    odd_field,
    odd_field,
    odd_field,
    swapped,
    without_column,
    mixed_units,
    lambda rng, lines: with_line(lines, i := at(rng, lines), lines[i][: len(lines[i]) // 2]),
    lambda rng, lines: with_line(lines, i := at(rng, lines), lines[i], lines[i]),
    lambda rng, lines: [*lines, *lines[at(rng, lines) :]],
    lambda rng, lines: [*lines, *lines],
    lambda rng, lines: with_line(lines, i := at(rng, lines), lines[i] + '"'),
    lambda rng, lines: with_line(lines, i := at(rng, lines), '"' + lines[i]),
    lambda rng, lines: with_line(lines, i := at(rng, lines), lines[i].replace(",", '","', 1)),
    lambda rng, lines: with_line(lines, i := at(rng, lines), lines[i], "", "   ", ",,,"),
    lambda rng, lines: with_line(lines, i := at(rng, lines), lines[i], lines[0]),
    lambda rng, lines: with_line(lines, i := at(rng, lines), lines[i] + "9" * 3_000_000),
    lambda rng, lines: with_line(lines, i := at(rng, lines), "\x00" * 40 + lines[i]),
    lambda rng, lines: with_line(lines, i := at(rng, lines), "\ufeff" + lines[i]),
    lambda rng, lines: with_line(lines, i := at(rng, lines), lines[i] + "\r" * rng.randrange(3)),
    lambda rng, lines: [line + "," for line in lines],
    lambda rng, lines: [f'"{line}"'.replace(",", '","') for line in lines],
    lambda rng, lines: lines[1:],
    lambda rng, lines: [lines[at(rng, lines)], *lines],
    lambda rng, lines: rng.sample(lines, len(lines)),
    lambda rng, lines: lines[: at(rng, lines)],
]


def packed(rng: random.Random, path: Path, lines: Lines) -> None:
    """Write lines as the file's name says, and perhaps damage its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ends, code = rng.choice(["\n", "\n", "\n", "\r\n", "\r"]), rng.choice(["utf-8"] * 8 + ["utf-16", "utf-8-sig"])
    text = (ends.join(lines) + rng.choice([ends, ""])).encode(code, "replace")
    if path.suffix == ".gz":
        data = gzip.compress(text)
        data += rng.choice([b""] * 6 + [gzip.compress(text), b"garbage", bytes(100)])
    elif path.suffix == ".zip":
        buffer = io.BytesIO()
        method = rng.choice([zipfile.ZIP_DEFLATED] * 4 + [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_STORED])
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name in rng.choice([["a.csv"]] * 6 + [[], ["a.csv", "b.csv"], ["a.zip"]]):
                archive.writestr(name, text)
        data = buffer.getvalue()
    elif path.suffix == ".parquet":
        data = as_parquet(rng, "\n".join(lines))
    else:
        data = text
    if rng.random() < 0.25 and data:
        data = damaged_bytes(rng, data)
    path.write_bytes(data)


def damaged_bytes(rng: random.Random, data: bytes) -> bytes:
    i = rng.randrange(len(data))
    return rng.choice([
        data[:i],
        data[:i] + bytes([data[i] ^ 1 << rng.randrange(8)]) + data[i + 1 :],
        data[:i] + data[i + 7 :],
        data[:i] + data[i // 2 : i] + data[i:],
    ])  # fmt: skip


def as_parquet(rng: random.Random, text: str) -> bytes:
    """Make a table of lines as far as they are one, with its types changed."""
    skip = csv.ParseOptions(delimiter=";" if ";" in text[:80] else ",", invalid_row_handler=lambda row: "skip")
    try:
        table = csv.read_csv(io.BytesIO(text.encode()), parse_options=skip)
    except pa.ArrowInvalid:
        table = pa.table({"a": [1]})
    names = list(table.column_names)
    for i in rng.sample(range(len(names)), min(2, len(names))):
        kind = rng.choice(
            [pa.string(), pa.float64(), pa.float32(), pa.decimal128(38, 6), pa.uint64(), pa.large_string()]
        )
        try:
            table = table.set_column(i, names[i], table.column(i).cast(kind, safe=False))
        except pa.ArrowException:
            table = table.set_column(i, names[i], pa.array([[1]] * len(table)))
    if rng.random() < 0.2:
        names[-1] = rng.choice(names)
    buffer = io.BytesIO()
    pq.write_table(table.rename_columns(names), buffer, row_group_size=rng.choice([7, 1 << 20]))
    return buffer.getvalue()


def import_mutant(number: int, folder: Path) -> str:
    """Import one mutant beside a good file; say how it fared."""
    rng = random.Random(SEED * 1_000_003 + number)
    form = FORMATS[number % len(FORMATS)]
    lines = form.lines
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        lines = rng.choice(DAMAGE)(rng, lines) or [""]
    packing = rng.choice(PACKED[form.text])
    good, mutant = folder / "SOLUSDT-1m-2024-01-01.csv", folder / "mutant" / f"{form.name}{packing}"
    packed(rng, mutant, lines)
    good.write_text("\n".join(GOOD))
    lake, started = Lake(folder / "lake", env=env()), time.monotonic()
    share = rng.choice([0.001, 1.0])
    first, second = import_paths(
        lake, [mutant, good], venue="binance-usdm", time_zone="UTC", max_bad_share=share, max_revised_share=1.0
    ).files
    assert time.monotonic() - started < LONGEST_S
    assert (second.status, second.stored) == ("imported", N), second
    if first.status in ("failed", "skipped"):
        assert mutant.name in first.error, first.error
        return first.status
    assert first.uncounted == 0, first
    kept = first.stored + first.duplicates + first.revisions + first.conflicts
    if first.unit == "lines":
        others = first.quarantined + first.forming + first.blank + first.header + first.left_out
        assert first.lines == kept + others, first
        # of polls the last before a settlement is taken, however often a line comes
        spared = first.left_out if form.lines is POLLED else refused_of(form, folder)
        assert kept + spared >= whole_lines(form, mutant), first
    return first.status


def refused_of(form: Format, folder: Path) -> int:
    """How many lines of a format make no row though nobody damaged them: orders not filled, polls of a coming rate."""
    path = folder / "whole" / f"{form.name}{form.text}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(form.lines))
    lake = Lake(folder / "whole" / "lake", env=env())
    (report,) = import_paths(lake, path, venue="binance-usdm", time_zone="UTC", max_bad_share=1.0).files
    return report.quarantined + report.left_out


def whole_lines(form: Format, mutant: Path) -> int:
    """How many lines of a plain CSV are as they were, under the header they had; 0 of other files."""
    text = mutant.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    headed = not form.header or text[0].lstrip("\ufeff") == form.lines[0]
    right = set(form.lines[form.header :])
    return sum(line in right for line in text) if mutant.suffix == ".csv" and headed else 0


@pytest.mark.parametrize("batch", range(10))
def test_of_damaged_files_no_error_escapes_and_no_line_is_lost(batch, tmp_path):
    found = [
        import_mutant(number, tmp_path / str(number)) for number in range(batch, MUTANTS, 10) if fresh(tmp_path, number)
    ]
    assert "imported" in found


def fresh(folder: Path, number: int) -> bool:
    (folder / str(number)).mkdir()
    return True
