"""What the script of a run's page is given: bars, scores and trades, packed, and nothing that the page says already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.metrics import drawdown
from virtuoso.clock import Timeframe
from virtuoso.market.schema.columns import PRICES as PRICE_COLUMNS
from virtuoso.reports.charts.base import thinned
from virtuoso.reports.scripts import decimals, packed, scaled
from virtuoso.runs.read import RunData, RunTable
from virtuoso.runs.schema import EQUITY, PANES, POSITION, PRICES, TRADES
from virtuoso.types import Array

SCRIPTS = ("early.js", "vendor/lightweight-charts.standalone.production.js", "charts.js", "page.js")
Name = tuple[str, str]
VIEWS = ("whole", "near")
MOST_IN_VIEW = 10_000
"""Bars that a view shows at once."""
MIDDLE = 50.0
SCORE_DIGITS, POSITION_DIGITS, R_DIGITS, SHARE_DIGITS = 1, 3, 3, 5
CURVES = {"strategy": "equity", "buy and hold": "buy_and_hold"}


def payload(run: RunData) -> dict[str, Any]:
    """Return bars, panes, trades and curves of a run, as page.js takes them.

    Parameters
    ----------
    run : RunData
    """
    return market_payload(run) | {"equity": _equity(run)}


def outline(run: RunData) -> dict[str, Any]:
    """Return it without trades and without the bars around them: what stands above the pages of the instruments."""
    whole = run.table(PRICES).get("view", np.empty(0, dtype=object)) == "whole"
    prices = {name: of[whole] for name, of in run.table(PRICES).items()}
    return payload(replace(run, tables={**run.tables, PRICES: prices, PANES: {}, TRADES: {}}))


def instruments(run: RunData) -> list[Name]:
    """Return symbol and venue of each instrument, in the order of its bars."""
    return list(dict.fromkeys([*_places(run.table(PRICES)), *_places(run.table(TRADES))]))


def only(run: RunData, name: Name) -> RunData:
    """Return a run with the bars and trades of one instrument."""
    tables = dict(run.tables)
    for file, like in ((PANES, PRICES), (PRICES, PRICES), (TRADES, TRADES)):
        rows = _places(run.table(like)).get(name, np.empty(0, dtype=np.int64))
        tables[file] = {column: of[rows] for column, of in run.table(file).items()}
    return replace(run, tables=tables)


def market_payload(run: RunData) -> dict[str, Any]:
    """Return what of it is drawn on prices: of a run, only these tables and the moments of its equity are needed."""
    prices, trades, names = _places(run.table(PRICES)), _places(run.table(TRADES)), instruments(run)
    markets = [_market(run, name, prices.get(name)) for name in names]
    return {
        "most": MOST_IN_VIEW,
        "bar": run.bar_ms // 1_000,
        "instruments": markets,
        "trades": _trades(run, trades, [market["digits"] for market in markets], names),
    }


def _places(table: RunTable) -> dict[Name, NDArray[np.int64]]:
    """Rows of each instrument, in the order of their first ones; one without a name where the table says none."""
    n = len(next(iter(table.values()), ()))
    if "symbol" not in table:
        return {("", ""): np.arange(n)} if n else {}
    pairs = list(zip(table["symbol"].tolist(), table["venue"].tolist(), strict=True))
    names = {name: k for k, name in enumerate(dict.fromkeys(pairs))}
    of = np.fromiter((names[pair] for pair in pairs), np.int64, n)
    return {name: np.flatnonzero(of == k) for name, k in names.items()}


def _market(run: RunData, name: Name, mine: NDArray[np.int64] | None) -> dict[str, Any]:
    """Bars of an instrument, by view."""
    prices, panes = run.table(PRICES), run.table(PANES)
    rows: dict[str, NDArray[np.int64]] = {}
    if mine is not None:
        rows = {view: of for view in VIEWS if len(of := mine[prices["view"][mine] == view])}
    digits = decimals(*(prices[column][of] for of in rows.values() for column in PRICE_COLUMNS))
    views = {view: _bars(prices, of, digits) | {"panes": _panes(panes, of)} for view, of in rows.items()}
    return {"symbol": name[0] or "Price", "venue": name[1], "digits": digits, "views": views}


def _bars(prices: RunTable, rows: NDArray[np.int64], digits: int) -> dict[str, Any]:
    """Bars as whole numbers: opens as steps from the close before, highs and lows as what lies beyond the body."""
    clock = Timeframe(str(prices["timeframe"][rows[0]]))
    open_, high, low, close = (scaled(prices[column][rows], digits) for column in PRICE_COLUMNS)
    before = np.concatenate(([0], close[:-1]))
    volume = prices["volume"][rows]
    most = float(np.nanmax(volume)) if np.isfinite(volume).any() else 0.0
    shares = np.round(np.nan_to_num(volume) / (most or 1.0) * 1_000.0)
    return {
        "clock": clock.name,
        "seconds": clock.ms // 1_000,
        "volume": most,
        "t": packed(prices["open_time"][rows] // clock.ms),
        "o": packed(open_ - before),
        "h": packed(high - np.maximum(open_, close)),
        "l": packed(np.minimum(open_, close) - low),
        "c": packed(close),
        "v": packed(shares),
    }


def _panes(panes: RunTable, rows: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """Scores, around their middle of 50, or what was held, at the closes of bars: those that are known anywhere."""
    found = {name: values[rows].astype(np.float64) for name, values in panes.items()}
    known = {name: of for name, of in found.items() if np.isfinite(of).any()}
    digits = {name: 0 if k else SCORE_DIGITS for k, name in enumerate(known)}  # whole points of what stands behind
    if POSITION in known:
        digits[POSITION] = POSITION_DIGITS
    return {
        name: {
            "digits": digits[name],
            "middle": 0.0 if name == POSITION else MIDDLE,
            "values": packed(scaled(of, digits[name])),
        }
        for name, of in known.items()
    }


def _trades(
    run: RunData, places: Mapping[Name, NDArray[np.int64]], digits: list[int], names: list[Name]
) -> dict[str, Any]:
    """Columns of the trades, in the order of the folder."""
    table = run.table(TRADES)
    n = len(table.get("entry_time", ()))
    if not n:
        return {"n": 0}
    of = np.zeros(n, dtype=np.int64)
    for name, rows in places.items():
        of[rows] = names.index(name)
    steps = 10.0 ** np.array(digits, dtype=np.float64)[of]
    priced = {
        name: packed(scaled(table[name] * steps, 0))
        for name in ("entry_price", "exit_price", "stop", "target")
        if name in table
    }
    reasons, reason = _coded(table["reason"])
    return {
        "n": n,
        "instrument": packed(of),
        "side": packed(np.where(table["side"] == "long", 1, -1)),
        "entry": packed(table["entry_time"] // run.bar_ms),
        "exit": packed(table["exit_bar_time"] // run.bar_ms),
        **priced,
        "reasons": reasons,
        "reason": packed(reason),
        "ambiguous": packed(table["ambiguous"].astype(np.int64)) if "ambiguous" in table else None,
        "floats": {name: packed(_bits(table[name])) for name in ("size", "pnl", "fees", "funding") if name in table},
        "r": packed(scaled(table["r"], R_DIGITS)),
        "shares": {name: packed(scaled(of_each, SHARE_DIGITS)) for name, of_each in _shares(table).items()},
    }


def _shares(table: RunTable) -> Mapping[str, Array]:
    """What trades made and how far prices went meanwhile, as shares of what was entered."""
    found: dict[str, Array] = {name: table[name] for name in ("mae", "mfe") if name in table}
    if "size" in table:
        with np.errstate(divide="ignore", invalid="ignore"):
            found["gain"] = table["pnl"] / (table["size"] * table["entry_price"])
    return found


def _coded(words: NDArray[Any]) -> tuple[list[str], NDArray[np.int64]]:
    """Give distinct words a number each."""
    known = {word: k for k, word in enumerate(dict.fromkeys(map(str, words.tolist())))}
    return list(known), np.array([known[str(word)] for word in words.tolist()], dtype=np.int64)


def _bits(values: Array) -> NDArray[np.int64]:
    """Numbers of 32 bits, as the whole numbers that their bits are."""
    return values.astype(np.float32).view(np.int32).astype(np.int64)


def _equity(run: RunData) -> dict[str, Any]:
    """Curves of the equity over the cash, thinned to what a screen shows, and the drawdown at its deepest."""
    own, cash = run.table(EQUITY)["equity"], run.cash
    bins = thinned(len(own))
    last = np.append(bins[1:], len(own)) - 1
    curves = {name: run.curve(column) for name, column in CURVES.items()}
    return {
        "t": packed(run.close_times[last] // run.bar_ms),
        "curves": {
            name: packed(scaled(np.maximum(of[last] / cash, 1e-4), 5)) for name, of in curves.items() if of is not None
        },
        "drawdown": packed(scaled(np.minimum.reduceat(drawdown(own, cash), bins), SHARE_DIGITS)),
    }
