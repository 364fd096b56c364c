"""A simulated market as files, in the shapes of public archives: Binance USD-M, and tardis.dev for the order book.

So the demo takes the road that recorded data takes: zip, checksum, header, milliseconds, importer. The same market
gives the same bytes (with the same zlib). The files lie in a folder named `simulated`, and each zip says what it is in
its comment, each gzip in its header, since a file may be moved.

| kind | files |
|---|---|
| bars | BTCUSDT-1m-2025-01.zip |
| mark, index | markPriceKlines/BTCUSDT-1m-2025-01.zip, indexPriceKlines/…: their closes |
| trades | aggTrades/BTCUSDT-aggTrades-2025-01.zip: a row an order and price |
| book | incremental_book_L2/simulated_incremental_book_L2_2025-01-31_BTCUSDT.csv.gz: hourly all of it, and changes |
| open interest, ratios | metrics/BTCUSDT-metrics-2025-01.zip: stamped at the interval's end |
| funding | fundingRate/BTCUSDT-fundingRate-2025-01.zip |
| liquidations | liquidationSnapshot/BTCUSDT-liquidationSnapshot-2025-01.zip |
| rules | exchangeInfo.json: as of the start |

Binance publishes metrics and liquidations a day a file; here it is a month, which is fewer files.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.venues.simulator.coin_profiles import Coin, coin
from virtuoso.venues.simulator.market import MINUTE, VENUE, Recording, SimulatedBars
from virtuoso.venues.simulator.state import FUNDING_HOURS

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
TRADES_HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
BOOK_HEADER = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
METRICS_HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
FUNDING_HEADER = "calc_time,funding_interval_hours,last_funding_rate"
LIQUIDATIONS_HEADER = (
    "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,"
    "accumulated_fill_quantity"
)
COMMENT = b"simulated by Virtuoso, not a recording"
CHECKSUM = ".CHECKSUM"


def write_archive(folder: str | Path, market: Mapping[str, SimulatedBars] | Mapping[str, Recording]) -> list[Path]:
    """Write a simulated market as archive files, such as `simulated/BTCUSDT-1m-2025-01.zip`, for `vt.import_files`.

    Parameters
    ----------
    folder : str or Path
        Where the folder `simulated` is made; files of the same name in it are replaced.
    market : mapping of str to SimulatedBars, or to Recording
        As `simulate` or `record` made it: one zip with its checksum per coin and month of bars; of a recording
        everything else too, see `write_recordings`.

    Returns
    -------
    list of Path
        The files; each zip has its `.CHECKSUM` beside it.
    """
    recorded = {symbol: one for symbol, one in market.items() if isinstance(one, Recording)}
    if recorded:
        return write_recordings(folder, recorded)
    home = Path(folder) / VENUE
    written = []
    for symbol, bars in market.items():
        assert not isinstance(bars, Recording)
        for month, inside in _by(bars["open_time"], "M8[M]"):
            text = _klines(symbol, {name: values[inside] for name, values in bars.items()})
            written.append(_save_zip(home / f"{symbol}-{MINUTE}-{month}.zip", text.encode()))
    return written


def write_recordings(folder: str | Path, market: Mapping[str, Recording]) -> list[Path]:
    """Write everything that was recorded, as the table above says.

    Parameters
    ----------
    folder : str or Path
        Where the folder `simulated` is made; files of the same name in it are replaced.
    market : mapping of str to Recording
        As `record` made it.

    Returns
    -------
    list of Path
        The files, bars first; each zip has its `.CHECKSUM` beside it.
    """
    home = Path(folder) / VENUE
    written = write_archive(folder, {symbol: recording.bars for symbol, recording in market.items()})
    for symbol, recording in market.items():
        for name, header, times, columns in tables(symbol, recording):
            for month, inside in _by(times - 1, "M8[M]"):  # what is stamped at midnight ends the day before
                stem = f"{symbol}-{MINUTE if name.endswith('Klines') else name}-{month}"
                text = csv_text(header, [column[inside] for column in columns])
                written.append(_save_zip(home / name / f"{stem}.zip", text))
        for day, inside in _by(recording.book[:, 0], "M8[D]"):
            kind = "incremental_book_L2"
            path = home / kind / f"{VENUE}_{kind}_{day}_{symbol}.csv.gz"
            _save(path, _gzip(_book(symbol, recording.coin, recording.book[inside])))
            written.append(path)
    _save(home / "exchangeInfo.json", _rules(market))
    return [*written, home / "exchangeInfo.json"]


def _by(times: NDArray[Any], unit: str) -> Iterator[tuple[Any, slice]]:
    """Months or days in the order of the rows, with their rows; times are ms, in order."""
    periods = times.astype(np.int64).astype("M8[ms]").astype(unit)
    edges = [0, *(np.flatnonzero(periods[1:] != periods[:-1]) + 1).tolist(), len(periods)]
    for begin, end in itertools.pairwise(edges):
        if end > begin:
            yield periods[begin], slice(begin, end)


def tables(symbol: str, of: Recording) -> Iterator[tuple[str, str, NDArray[Any], list[NDArray[Any]]]]:
    """Folder, header, times and columns of what is written as zips of CSV."""
    tick, lot = 10**of.coin.tick_decimals, 10**of.coin.lot_decimals
    ends, none = of.prices[:, 0].astype(np.int64), np.zeros(len(of.prices), dtype=np.int64)
    for name, column in (("markPriceKlines", 1), ("indexPriceKlines", 2)):
        price = np.round(of.prices[:, column] / tick, of.coin.tick_decimals + 2)
        first = np.concatenate((price[:1], price[:-1]))
        columns = [ends - MINUTE.ms, first, np.maximum(first, price), np.minimum(first, price), price, none, ends - 1]
        yield name, HEADER, ends, [*columns, none, none, none, none, none]
    time, ids, price, size, side = of.trades.T
    yield "aggTrades", TRADES_HEADER, time, [ids, price / tick, size / lot, ids, ids, time, side < 0]
    time, interest, mark, accounts, large, positions, takers = of.metrics.T
    lots = np.rint(interest) / lot
    yield "metrics", METRICS_HEADER, time, [
        np.char.replace(np.datetime_as_string(time.astype(np.int64).astype("M8[ms]"), unit="s"), "T", " "),
        np.full(len(time), symbol), lots, np.round(lots * (mark / tick), 8),
        *(np.round(ratio, 8) for ratio in (large, positions, accounts, takers)),
    ]  # fmt: skip
    time = of.funding[:, 0].astype(np.int64)
    yield "fundingRate", FUNDING_HEADER, time, [
        time, np.full(len(time), FUNDING_HOURS, dtype=np.int64), np.round(of.funding[:, 1], 8),
    ]  # fmt: skip
    time, side, limit, average, size = of.liquidations.T
    words = [np.full(len(time), word) for word in ("LIMIT", "IOC", "FILLED")]
    yield "liquidationSnapshot", LIQUIDATIONS_HEADER, time, [
        time, np.where(side < 0, "SELL", "BUY"), words[0], words[1], size / lot, limit / tick, average / tick, words[2],
        size / lot, size / lot,
    ]  # fmt: skip


def _klines(symbol: str, bars: SimulatedBars) -> str:
    """Rows as Binance prints them: fixed decimals, the close time one millisecond before the next bar."""
    price, lot = coin(symbol).tick_decimals, coin(symbol).lot_decimals
    prices, base, quote = f"%.{price}f", f"%.{lot}f", f"%.{price + lot}f"
    row = f"%d,{prices},{prices},{prices},{prices},{base},%d,{quote},%d,{base},{quote},0"
    columns = [
        bars["open_time"], bars["open"], bars["high"], bars["low"], bars["close"], bars["volume"],
        bars["open_time"] + (MINUTE.ms - 1), bars["quote_volume"], bars["trades"],
        bars["taker_buy_volume"], bars["taker_buy_quote_volume"],
    ]  # fmt: skip
    lines = map(row.__mod__, zip(*(column.tolist() for column in columns), strict=True))
    return "\n".join([HEADER, *lines, ""])


def _book(symbol: str, listed: Coin, rows: NDArray[np.int64]) -> bytes:
    """Rows as tardis.dev prints them, in microseconds; received when they happened."""
    time, snapshot, side, price, size = rows.T
    columns = [
        np.full(len(rows), VENUE), np.full(len(rows), symbol), time * 1_000, time * 1_000, snapshot > 0,
        np.where(side > 0, "bid", "ask"), price / 10**listed.tick_decimals, size / 10**listed.lot_decimals,
    ]  # fmt: skip
    return csv_text(BOOK_HEADER, columns)


def _rules(market: Mapping[str, Recording]) -> bytes:
    """Steps of price and size, as `exchangeInfo` answers."""
    symbols = []
    for symbol, recording in market.items():
        tick, lot = f"{0.1**recording.coin.tick_decimals:.8g}", f"{0.1**recording.coin.lot_decimals:.8g}"
        filters = [
            {"filterType": "PRICE_FILTER", "tickSize": tick, "minPrice": tick},
            {"filterType": "LOT_SIZE", "stepSize": lot, "minQty": lot},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
        ]
        symbols.append({"symbol": symbol, "contractType": "PERPETUAL", "status": "TRADING", "filters": filters})
    start = min((int(recording.bars["open_time"][0]) for recording in market.values()), default=0)
    answer = {"timezone": "UTC", "serverTime": start, "rateLimits": [], "exchangeFilters": [], "symbols": symbols}
    return (json.dumps({"comment": COMMENT.decode(), **answer}, indent=1) + "\n").encode()


def csv_text(header: str, columns: list[NDArray[Any]]) -> bytes:
    """Text of a table; a number is written with the fewest digits that give it back, nothing where it is not known."""
    import pyarrow as pa
    from pyarrow import csv

    arrays = [pa.array(column, from_pandas=True) for column in columns]
    text = io.BytesIO(f"{header}\n".encode())
    text.seek(0, io.SEEK_END)
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    csv.write_csv(pa.table(arrays, names=header.split(",")), text, options)
    return text.getvalue()


def _save(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _save_zip(path: Path, text: bytes) -> Path:
    """Write a zip of one CSV, and its checksum beside it."""
    content = zipped(f"{path.stem}.csv", text)
    _save(path, content)
    path.with_name(f"{path.name}{CHECKSUM}").write_text(f"{hashlib.sha256(content).hexdigest()}  {path.name}\n")
    return path


def zipped(name: str, content: bytes) -> bytes:
    """Give a zip of one file, the same bytes wherever and whenever it is made."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))  # the earliest a zip can say: no wall clock
    entry.create_system, entry.external_attr = 3, 0o644 << 16  # the same on every platform
    entry.compress_type = zipfile.ZIP_DEFLATED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = COMMENT
        archive.writestr(entry, content, compresslevel=1)
    return buffer.getvalue()


def _gzip(content: bytes) -> bytes:
    """Pack bytes with a comment in the header (RFC 1952), without a name or a time."""
    header = b"\x1f\x8b\x08\x10" + bytes(4) + b"\x00\xff" + COMMENT + b"\x00"
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    tail = zlib.crc32(content).to_bytes(4, "little") + (len(content) & 0xFFFFFFFF).to_bytes(4, "little")
    return header + deflate.compress(content) + deflate.flush() + tail
