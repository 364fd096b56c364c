"""Make the lake of commit d698bd1, and write down what is read of it.

    PYTHONPATH=CHECKOUT_OF_d698bd1 python tests/data/make_old_lake.py make lake_d698bd1.tar.gz lake_d698bd1.json
    PYTHONPATH=CHECKOUT_OF_f4f5f9e python tests/data/make_old_lake.py add lake_d698bd1.tar.gz lake_d698bd1.json

Each was run once. Made by later code, the lake would prove nothing: `tests/lake/test_old_lake.py` proves that today's
code reads what the code of that day wrote. `stored` in the JSON is what d698bd1 itself read. `derived` is of f4f5f9e,
the last commit before the packages were moved, since between the two scoring changed, and frames and fingerprints
learned to fill bars that are not stored from faster ones and from trades.

What the lake holds, all of it made up:

- bars of a linear perpetual (1m and 5m), of a spot market whose silences are flat bars, and of a simulated coin, with
  gaps, bars without a trade, late bars, generations of revisions, refused rows and lines;
- every kind of event that the commit knew, of the perpetual, and simulated trades, with the same defects.

It was written by four imports, each at a moment of its own (`IMPORTS`): a first version with holes; the same files
whole, with changes and damage; the same once more with other changes; and the first version again, which changes
nothing, beside files that are refused.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

MINUTE, HOUR = 60_000, 3_600_000
MIDNIGHT = 1_706_745_600_000  # 2024-02-01T00:00Z, a change of month
FIRST = MIDNIGHT - 36 * HOUR  # of the bars of 5m
SECONDS = MIDNIGHT - 90 * MINUTE  # from then on events are many
IMPORTS = (MIDNIGHT + 4 * HOUR, MIDNIGHT + 8 * HOUR + 30 * MINUTE, MIDNIGHT + 48 * HOUR, MIDNIGHT + 72 * HOUR)
"""When the lake was written, ms."""
AS_OF = (
    MIDNIGHT + 15 * MINUTE,
    *(moment for at in IMPORTS[:3] for moment in (at - 1, at)),
    IMPORTS[3],
    None,
)
"""Moments as of which it is read, ms."""
SIMULATED = b"simulated by a script, not a recording"
TICK = 0.25

_ASKED = ("symbol", "timeframe", "venue")

Arrays = dict[str, Any]


# what is asked of the lake, by the code of that day and by today's


def digest(*arrays: Any) -> str:
    """Digest of the bits and types of arrays."""
    sums = hashlib.sha256()
    for array in arrays:
        values = np.ascontiguousarray(array)
        sums.update(f"{values.dtype.str} {values.shape} ".encode() + values.tobytes())
    return sums.hexdigest()[:16]


def stored(lake: Any) -> dict[str, Any]:
    """What is stored, as digests of bits and as plain values."""
    return {
        "bars": {
            f"{series.instrument} {series.timeframe}": {
                str(moment): _of_rows(lake.read(series, as_of=moment)) for moment in AS_OF
            }
            for series in lake.manifest().readable()
        },
        "frames": {name: _of_frame(lake.frame(**wanted)) for name, wanted in _frames(lake)},
        "events": {
            f"{kind} {instrument}": {
                str(moment): _of_events(lake.events(kind, instrument, as_of=moment)) for moment in AS_OF
            }
            for kind in lake.kinds()[1:]
            for instrument in lake.instruments()
            if len(lake.events(kind, instrument))
        },
        "check": [series.to_dict() for series in lake.check()],
        "event_check": [series.to_dict() for series in lake.event_check()],
        "quarantine": {
            path.relative_to(lake.path).as_posix(): [json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted((lake.path / "quarantine").rglob("*.jsonl"))
        },
    }


def derived(lake: Any, score: Callable[[Any], Any]) -> dict[str, Any]:
    """What is made of it: frames and fingerprints as of every moment, and scores of the newest frames."""
    return {
        "frames": {
            name: {str(moment): _of_frame(lake.frame(**wanted, as_of=moment)) for moment in AS_OF}
            for name, wanted in _frames(lake)
        },
        "fingerprints": {
            name: {str(moment): lake.fingerprint(**wanted, as_of=moment) for moment in AS_OF}
            for name, wanted in _frames(lake)
        },
        "scores": {name: _of_scores(score(lake.frame(**wanted))) for name, wanted in _frames(lake)},
    }


def _frames(lake: Any) -> list[tuple[str, dict[str, str]]]:
    """Every series of bars by name, and how its frame is asked for."""
    return [
        (f"{one.symbol} {one.venue} {one.timeframe}", {name: getattr(one, name) for name in _ASKED})
        for one in lake.coverage()
    ]


def _of_rows(rows: Any) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "times": digest(rows.open_time, rows.available_at),
        "state": digest(rows.state),
        **_of_columns({name: rows.columns[name] for name in sorted(rows.columns)}),
    }


def _of_frame(frame: Any) -> dict[str, Any]:
    base = frame.base
    columns = {name: base.columns[name] for name in sorted(base.columns)}
    return {"first": base.first, "bars": len(base), "state": digest(base.state), **_of_columns(columns)}


def _of_events(events: Any) -> dict[str, Any]:
    columns = {name: events[name] for name in events.columns}
    return {"rows": len(events), "times": digest(events.event_time, events.available_at), **_of_columns(columns)}


def _of_columns(columns: Arrays) -> dict[str, Any]:
    """How many columns there are, and their bits under their names."""
    return {"columns": len(columns), "values": digest(*chain.from_iterable((name, columns[name]) for name in columns))}


def _of_scores(scores: Any) -> dict[str, str]:
    """Digests of the bits of all arrays of scores: of the confluence, of each face and of each component."""
    parts: dict[str, list[Any]] = {}
    for name, values in scores.arrays().items():
        parts.setdefault(".".join(name.split(".")[:2]), []).append(values)
    return {name: digest(*arrays) for name, arrays in parts.items()}


# the files that were imported


class Files:
    """Files of one version: 1 with holes, 2 whole and with changes and damage, 3 with other changes.

    Parameters
    ----------
    folder : Path
        Where they are written.
    version : int
    """

    def __init__(self, folder: Path, version: int) -> None:
        self.folder = folder
        self.version = version
        self.until = MIDNIGHT + 210 * MINUTE if version == 1 else MIDNIGHT + 8 * HOUR

    def write(self, name: str, data: str | bytes, *, simulated: bool = False) -> None:
        """Write a file as its name says."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = data.encode() if isinstance(data, str) else data
        if name.endswith(".zip"):
            sink = io.BytesIO()
            with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(zipfile.ZipInfo(path.stem + ".csv"), raw)
                archive.comment = SIMULATED if simulated else b""
            raw = sink.getvalue()
        elif name.endswith(".gz"):
            raw = gzip.compress(raw, mtime=0)
        path.write_bytes(raw)

    def holds(self, k: int, every: int) -> bool:
        """Whether a row is in this version: some come with the second one, late."""
        return self.version > 1 or k % every != every // 3

    def change(self, k: int, *rows: int) -> int:
        """By how much a row of this version differs from that of the first."""
        return self.version - 1 if k in rows else 0

    def damaged(self, lines: list[str], *bad: str) -> str:
        """Text of a file; the second version has lines that are refused."""
        if self.version == 2:
            lines = [*lines[: len(lines) // 2], *bad, *lines[len(lines) // 2 :]]
        return "\n".join(lines) + "\n"


def walk(seed: int, n: int, start: float, tick: float) -> Arrays:
    """Bars of a made-up market; every number is a multiple of a power of two, which packs well."""
    random = np.random.default_rng(seed)
    wave = start * 0.02 * np.sin(np.arange(n) / 97.0) * np.sin(np.arange(n) / 31.0)
    noise = np.cumsum(random.standard_t(4, n)) % 64.0
    close = start + tick * np.round((wave + start * 3e-4 * np.minimum(noise, 64.0 - noise)) / tick)
    opened = np.concatenate((close[:1], close[:-1]))
    reach = tick * random.integers(0, 9, (2, n))
    volume = random.integers(1, 512, n) / 4.0
    bought = np.floor(volume * random.uniform(0.1, 0.9, n) * 4.0) / 4.0
    return {
        "open": opened, "high": np.maximum(opened, close) + reach[0], "low": np.minimum(opened, close) - reach[1],
        "close": close, "volume": volume, "quote_volume": np.rint(volume * close), "trades": np.floor(volume) + 1.0,
        "taker_buy_volume": bought, "taker_buy_quote_volume": np.floor(bought * close),
    }  # fmt: skip


def slower(made: Arrays, ratio: int) -> Arrays:
    """Bars of a slower timeframe."""
    rules = {"open": lambda x: x[:, 0], "high": lambda x: x.max(1), "low": lambda x: x.min(1)}
    rules["close"] = lambda x: x[:, -1]
    return {name: rules.get(name, lambda x: x.sum(1))(values.reshape(-1, ratio)) for name, values in made.items()}


PERP = walk(1, 44 * 60, 2_400.0, TICK)
"""One-minute bars of the perpetual, of which files hold the last twelve hours only."""
SPOT = walk(2, 7 * 60, 310.0, 0.01)
COIN = walk(3, 150, 24.0, TICK)


def price(ms: int) -> float:
    """Last close of the perpetual at a moment."""
    return float(PERP["close"][(ms - FIRST) // MINUTE])


def klines(times: Iterable[int], made: Arrays, step: int, change: Callable[[int], int]) -> list[str]:
    """Bars as Binance writes them; a changed one has another volume."""
    lines = []
    for k, time in enumerate(times):
        bar = {name: float(values[k]) for name, values in made.items()}
        bar["volume"] += 0.5 * change(k)
        prices = ",".join(f"{bar[name]!r}" for name in ("open", "high", "low", "close", "volume"))
        rest = ",".join(f"{bar[name]!r}" for name in ("taker_buy_volume", "taker_buy_quote_volume"))
        lines.append(f"{time},{prices},{time + step - 1},{bar['quote_volume']!r},{int(bar['trades'])},{rest},0")
    return lines


def bars(files: Files) -> None:
    """Bars of all markets."""
    at = FIRST + np.arange(len(PERP["close"])) * MINUTE
    quiet = np.arange(2_300, 2_304)  # no trade, and the venue says so
    made = {name: values.copy() for name, values in PERP.items()}
    for name in ("open", "high", "low", "close"):
        made[name][quiet] = made["close"][quiet[0] - 1]
    for name in ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume"):
        made[name][quiet] = 0.0
    minute = at >= MIDNIGHT - 4 * HOUR
    january = (1_990, 1_991, 1_992) if files.version < 3 else ()
    changed = (*january, 2_210, 2_236, 2_350)
    lines = klines(at, made, MINUTE, lambda k: files.change(k, *changed))
    missing = {*range(2_060, 2_063), *range(2_220, 2_250), 2_420} - {2_236}
    kept = [
        line
        for k, line in enumerate(lines)
        if minute[k] and at[k] < files.until and k not in missing and files.holds(k, 101)
    ]
    last = f"{MIDNIGHT + 70 * MINUTE},"
    bad = (f"{last}5,4,5,5,1,0,1,1,0,0,0", f"{last}nonsense,4,5,5,1,0,1,1,0,0,0", f"{last}1,2")
    files.write("BTCUSDT-1m-2024-02-01.zip", files.damaged(kept, *bad))
    five = slower(PERP, 5)
    keep = [k for k in range(len(five["close"])) if at[5 * k] < files.until - 4 * MINUTE and k not in range(100, 120)]
    lines = klines(
        at[::5], five, 5 * MINUTE, lambda k: files.change(k, 40, 300, *((440,) if files.version < 3 else ()))
    )
    files.write("BTCUSDT-5m-2024-02.csv.gz", "\n".join(lines[k] for k in keep if files.holds(k, 151)) + "\n")


def spot(files: Files) -> None:
    """Bars of a venue that publishes only those in which something traded."""
    silent = {*range(50, 53), *range(100, 109), *range(200, 204), 320}
    late = {*range(201, 203)}
    header = "timestamp,open,close,high,low,volume"
    lines = [header]
    for k in range(len(SPOT["close"])):
        time = MIDNIGHT - 4 * HOUR + k * MINUTE
        if time >= files.until or (k in silent and not (files.version > 1 and k in late)):
            continue
        o, c, h, low = (round(float(SPOT[name][k]), 2) for name in ("open", "close", "high", "low"))
        lines.append(
            f"{time},{o},{c},{h},{low},{round(float(SPOT['volume'][k]) / 7 + files.change(k, 199, 10, 300), 5)}"
        )
    files.write("ETHUSD-1m.csv", files.damaged(lines, f"{MIDNIGHT},-1,5,5,5,1"))


def _word(said: bool) -> str:
    return "true" if said else "false"


def coin(files: Files) -> None:
    """Bars and trades of a simulated coin."""
    at = MIDNIGHT - 2 * HOUR + np.arange(150) * MINUTE
    lines = [x for k, x in enumerate(klines(at, COIN, MINUTE, lambda k: files.change(k, 7))) if files.holds(k, 41)]
    files.write("BTCUSDT-1m-2024-01-31.zip", "\n".join(lines) + "\n", simulated=True)
    rows = [
        f"{k},{COIN['close'][k % 150]},{k % 7 + 1}.5,{k},{k},{MIDNIGHT - HOUR + 10_000 * k},{_word(k % 3 > 0)},true"
        for k in range(250)
        if files.holds(k, 31)
    ]
    files.write("BTCUSDT-aggTrades-2024-02-01.zip", "\n".join(rows) + "\n", simulated=True)


def trades(files: Files) -> None:
    """Aggregated trades on both sides of midnight; a changed one stands for more single trades."""
    random = np.random.default_rng(5)
    steps = np.cumsum(random.integers(1, 16_000, 1_000))
    sizes, sides = random.integers(1, 64, 1_000), random.integers(0, 2, 1_000)
    for day, name in ((0, "2024-01-31"), (1, "2024-02-01")):
        lines = []
        for k, (step, size, side) in enumerate(zip(steps.tolist(), sizes.tolist(), sides.tolist(), strict=True)):
            time = SECONDS + step
            if (time >= MIDNIGHT) != bool(day) or not files.holds(k, 211):
                continue
            last = 3 * k + files.change(k, 100, 101, 900)
            paid = price(time) + TICK * (k % 5 - 2)
            lines.append(f"{9_000 + k},{paid},{size / 16},{3 * k},{last},{time},{_word(side > 0)}")
        bad = (f"8999,{price(MIDNIGHT)},-1,1,1,{MIDNIGHT},true", "8998,1,2") if day else ()
        files.write(f"BTCUSDT-aggTrades-{name}.csv", files.damaged(lines, *bad))


def recording(files: Files) -> None:
    """A recording of streams: the book with a lost message, best quotes, liquidations."""
    random = np.random.default_rng(6)
    begin = MIDNIGHT - 45 * MINUTE
    bid = round(price(begin) / TICK)
    lines: list[tuple[int, dict[str, Any]]] = []
    levels = [[f"{TICK * (bid - k)}", f"{random.integers(1, 400) / 16}"] for k in range(40)]
    asks = [[f"{TICK * (bid + 1 + k)}", f"{random.integers(1, 400) / 16}"] for k in range(40)]
    lines.append((begin + 40, {"lastUpdateId": 1_000, "E": begin, "T": begin, "bids": levels, "asks": asks}))
    for k in range(420):
        sent, number = begin + 8_000 * (k + 1), 1_001 + 2 * k
        step = int(np.sign(round(price(sent) / TICK) - bid)) if k % 2 else int(random.integers(-1, 2))
        bids, asks = [], []
        if step > 0:
            asks.append([f"{TICK * (bid + 1)}", "0"])
        if step < 0:
            bids.append([f"{TICK * bid}", "0"])
        bid += step
        level, size = int(random.integers(1, 12)), int(random.integers(1, 400)) / 16
        bids.append([f"{TICK * (bid - level)}", f"{size + files.change(k, 333, 334)}"])
        asks.append([f"{TICK * (bid + 1 + level)}", f"{size}"])
        bids.append([f"{TICK * bid}", "7.5"])
        asks.append([f"{TICK * (bid + 1)}", "6.25"])
        if k in range(340, 343):
            continue  # never received
        change = {"e": "depthUpdate", "E": sent, "T": sent, "s": "BTCUSDT", "U": number, "u": number + 1}
        if files.holds(k, 250):
            lines.append((sent + 60, {**change, "pu": number - 1, "b": _each_once(bids), "a": _each_once(asks)}))
    for k in range(400):
        sent = SECONDS + 20_000 * k
        quote = price(sent)
        best = {"e": "bookTicker", "E": sent, "T": sent, "s": "BTCUSDT", "u": 50_000 + k, "b": f"{quote - TICK}"}
        best |= {"B": f"{k % 19 + 1 + files.change(k, 5, 300)}", "a": f"{quote + TICK}", "A": f"{k % 23 + 1}"}
        if files.holds(k, 67):
            lines.append((sent + 35, best))
    for k in range(60):
        sent = MIDNIGHT - HOUR + 97_000 * k
        order: dict[str, Any] = {
            "s": "BTCUSDT",
            "S": "SELL" if k % 3 else "BUY",
            "o": "LIMIT",
            "f": "IOC",
            "q": "1",
            "X": "FILLED",
        }
        order |= {"p": f"{price(sent)}", "ap": f"{price(sent) - TICK}", "z": f"{(k % 9 + 1) / 8}", "T": sent}
        if files.holds(k, 13):
            lines.append((sent + 20, {"e": "forceOrder", "E": sent, "o": order}))
    lines.sort(key=lambda line: line[0])
    text = [f"{received * 1_000_000} {json.dumps(message)}" for received, message in lines]
    middle = f"{(MIDNIGHT + 5) * 1_000_000} "
    short = {"e": "bookTicker", "E": MIDNIGHT, "T": MIDNIGHT, "s": "BTCUSDT", "u": 1}
    crossed = {**short, "b": "9", "B": "1", "a": "8", "A": "1"}
    bad = (json.dumps(short), json.dumps(short)[:20], json.dumps(crossed))
    files.write("btcusdt_20240131.gz", files.damaged(text, *(middle + line for line in bad)))


def _each_once(levels: list[list[str]]) -> list[list[str]]:
    """The levels of a message, the last word on each price."""
    return [[at, size] for at, size in dict(levels).items()]


def bands(files: Files) -> None:
    """Depth within percentages of the middle price, for longer than the book."""
    lines = ["timestamp,percentage,depth,notional"]
    for k in range(150):
        time = MIDNIGHT - 2 * HOUR + k * MINUTE
        if not files.holds(k, 59):
            continue
        for percentage in (-5, -1, 1, 5):
            depth = 128 * abs(percentage) + k % 31 + (percentage > 0) + files.change(k, 60, 130)
            stamp = str(np.datetime64(time, "ms").astype("M8[s]")).replace("T", " ")
            lines.append(f"{stamp},{percentage},{depth},{depth * price(time)}")
    bad = ("2024-02-01 00:00:30,1,-5,5", "2024-02-01 00:00:40,1,none,5")
    files.write("BTCUSDT-bookDepth-2024-01-31.csv", files.damaged(lines, *bad))


def metrics(files: Files) -> None:
    """Open interest and ratios, every five minutes; with an outage."""
    head = "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    head += "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
    lines = [head]
    for k in range(1, 528):
        time = FIRST + 5 * k * MINUTE
        if time > files.until or not files.holds(k, 83) or k in range(220, 226):
            continue
        held = 0 if files.version == 2 and k == 460 else 8_000 + 16 * (k % 37) + k // 3 + 4 * files.change(k, 30, 500)
        stamp = str(np.datetime64(time, "ms").astype("M8[s]")).replace("T", " ")
        ratios = f"1.{k % 89:02d},{0.5 + k % 64 / 64},{1.0 + k % 16 / 16 + files.change(k, 31)},0.{k % 71 + 10}"
        lines.append(f"{stamp},BTCUSDT,{held},{held * price(time)},{ratios}")
    bad = (lines[40].replace(",1.", ",one.", 1), "2024-02-01 00:00:00,BTCUSDT,5")
    files.write("BTCUSDT-metrics-2024-02-01.zip", files.damaged(lines, *bad))


def funding(files: Files) -> None:
    """Settled rates; the second version says more of them, the third otherwise."""
    lines = ["calc_time,funding_interval_hours,last_funding_rate"]
    for k in range(-60, 2):
        time = MIDNIGHT + 8 * k * HOUR + k % 3
        if files.holds(k, 29):
            lines.append(f"{time},8,{round(1e-4 + 1e-6 * (k % 17) + 1e-5 * files.change(k, -5, 0), 8)}")
    files.write("BTCUSDT-fundingRate-2024-02.csv", files.damaged(lines, f"{MIDNIGHT - HOUR},8,3.5"))


def prices(files: Files) -> None:
    """Mark and index prices at the ends of intervals of five minutes."""
    for name, off in (("markPriceKlines", 0.5), ("indexPriceKlines", -0.25)):
        lines = []
        for k in range(130):
            time = MIDNIGHT - 3 * HOUR + 5 * k * MINUTE
            if time + 5 * MINUTE > files.until or not files.holds(k, 47):
                continue
            close = price(time + 4 * MINUTE) + off + files.change(k, 20)
            lines.append(f"{time},{close},{close},{close},{close},0,{time + 5 * MINUTE - 1},0,5,0,0,0")
        bad = (f"{MIDNIGHT},1,1,1,-1,0,{MIDNIGHT + 7 * MINUTE - 1},0,5,0,0,0",)
        files.write(f"BTCUSDT-{name}-5m-2024-02-01.csv", files.damaged(lines, *bad))


def rules(files: Files) -> None:
    """Rules and tiers of instruments, as a venue answers."""
    for day, step in ((10, 0.5), (20, TICK)):
        if day == 10 and files.version == 1:
            continue
        filters = [
            {"filterType": "PRICE_FILTER", "tickSize": f"{step}"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "stepSize": "0.001"},
            {"filterType": "MIN_NOTIONAL", "notional": f"{5 + files.change(day, 20)}"},
        ]
        symbols = [{"symbol": "BTCUSDT", "contractType": "PERPETUAL", "filters": filters}]
        given = MIDNIGHT - (31 - day) * 24 * HOUR
        body = {"exchangeFilters": [], "rateLimits": [], "serverTime": given, "symbols": symbols}
        files.write(f"exchangeInfo-{day}.json", json.dumps(body))
        tiers = [
            {"initialLeverage": f"{100 // (k + 1)}", "notionalFloor": f"{50_000 * k}", "notionalCap": "0", "cum": "0"}
            | {"maintMarginRatio": f"{0.004 * (k + 1) + 0.001 * files.change(day, 20)}"}
            for k in range(5)
        ]
        answer = [{"symbol": "BTCUSDT", "brackets": tiers}]
        if files.version == 2:
            answer.append({"symbol": "BTCUSDT", "brackets": [{**tiers[0], "notionalFloor": "none"}]})
        files.write(f"leverageBracket-2024-01-{day}.json", json.dumps(answer))


def refused(folder: Path) -> None:
    """Files that are refused whole: of another market, cut short, and simulated where they claim not to be."""
    files = Files(folder, 3)
    at = MIDNIGHT - 2 * HOUR + np.arange(150) * MINUTE
    files.write("BTCUSDT-1m-2024-01-30.csv", "\n".join(klines(at, COIN, MINUTE, lambda k: 0)) + "\n")
    files.write("BTCUSDT-1m-2024-01-29.zip", "\n".join(klines(at, COIN, MINUTE, lambda k: 0)) + "\n", simulated=True)
    files.write("BTCUSDT-aggTrades-2024-01-29.csv.gz", "1,2,3,4,5,6,true\n" * 500)
    cut = folder / "BTCUSDT-aggTrades-2024-01-29.csv.gz"
    cut.write_bytes(cut.read_bytes()[:-9])


WRITTEN = {
    "binance-usdm": (bars, trades, recording, bands, metrics, funding, prices, rules),
    "bitfinex-spot": (spot,),
    "simulated": (coin,),
}
"""What is written and imported of each venue."""


def make(folder: Path) -> Path:
    """Write and import all files, with the code of that day; the lake."""
    of_that_day = "virtuoso.market"  # its modules have since moved
    import_paths = import_module(f"{of_that_day}.ingest").import_paths
    lake_of = import_module(f"{of_that_day}.store").Lake
    env = import_module("virtuoso.clock").Env
    for number, (moment, version) in enumerate(zip(IMPORTS, (1, 2, 3, 1), strict=True)):
        lake = lake_of(folder / "lake", env=env(now_ms=moment))
        for venue, writers in WRITTEN.items():
            home = folder / f"{number}" / venue
            for write in writers:
                write(Files(home, version))
            if number == 3 and venue == "binance-usdm":
                refused(home)
            symbol = None if venue != "bitfinex-spot" else "ETHUSD"
            for file in import_paths(lake, home, venue=venue, symbol=symbol, max_bad_share=0.05).files:
                told = (file.status, file.stored, file.revisions, file.late, file.quarantined)
                print(number + 1, Path(file.path).name, *told, file.error or "", file=sys.stderr)
    return folder / "lake"


def packed(lake: Path, path: Path) -> None:
    """Write a lake as an archive whose bytes depend on what is stored alone; its lock names a process."""
    inside = [file.relative_to(lake).as_posix() for file in lake.rglob("*.*") if file.is_file()]
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        # versions of a file lie side by side, so that gzip finds what they share
        for name in sorted(inside, key=lambda name: (name.removeprefix("retired/"), name)):
            data = (lake / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    path.write_bytes(gzip.compress(sink.getvalue(), 9, mtime=0))


def unpacked(archive: Path, folder: Path) -> Path:
    """Unpack the lake into a folder; the lake."""
    with tarfile.open(archive) as packed_files:
        packed_files.extractall(folder, filter="data")
    return folder


def main(what: str, archive: Path, answers: Path) -> None:
    """Make the lake and write down what is stored, or add what is made of it."""
    with tempfile.TemporaryDirectory() as home:
        virtuoso = import_module("virtuoso")
        if what == "make":
            packed(make(Path(home) / "made"), archive)
        lake = virtuoso.Lake(unpacked(archive, Path(home) / "lake"))
        if what == "make":
            told = {"stored": stored(lake)}
        else:
            told = {**json.loads(answers.read_text()), "derived": derived(lake, virtuoso.score)}
        answers.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
