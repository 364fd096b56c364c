"""The data dictionary: every column of a bar, with its unit, its fold, its mirror and its source.

1. `BAR_COLUMNS`         what a venue's kline says.
2. `FLOW_COLUMNS`        what trades say (flow.py).
3. `BOOK_COLUMNS`        what the order book says (market/features/book/columns.py).
4. `POSITIONING_COLUMNS` open interest, ratios, funding, mark and index prices, liquidations (positioning.py).

Components name columns; what a column means stands here and nowhere else. Units are exponents, so that the laws
can scale a market (prices x 8, volumes x 4) and mirror it (p -> 2c - p, buying <-> selling) without knowing more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from virtuoso.errors import MissingColumnError, did_you_mean
from virtuoso.types import Array

Columns = Mapping[str, Array]


class Unit(NamedTuple):
    """Exponents of a column's unit; quote currency is price times base."""

    price: int = 0
    base: int = 0
    quote: int = 0
    count: int = 0  # type: ignore[assignment]  # the word of the field; tuple.count is not used

    def factor(self, price: float, base: float, count: float = 1.0) -> float:
        """By how much the column grows when prices, volumes and counts are scaled."""
        return float(price ** (self.price + self.quote) * base ** (self.base + self.quote) * count**self.count)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a bar.

    Attributes
    ----------
    name : str
    unit : Unit
    fold : str
        How bars of this column make a slower bar: first, max, min, last, sum or mean.
    in_gaps : str
        Its value in a bar in which nothing traded: the last close, zero, or its own last value.
    mirror : callable
        The column in the mirrored market, from all columns and the pivot price c (prices become 2c - p).
    source : str
        What it is, in a sentence.
    kind : str
        Kind of event it is folded from (kinds.py says when those are known and for how long); `bars` of a kline.
    """

    name: str
    unit: Unit
    fold: Literal["first", "max", "min", "last", "sum", "mean"]
    in_gaps: Literal["close", "zero", "last"]
    mirror: Callable[[Columns, float], Array]
    source: str
    kind: str = "bars"

    def in_gap(self, last: Any, close: Any) -> Any:
        """Return the value in a bar without a row, which functions may look at: a number, or one a bar.

        Parameters
        ----------
        last, close : float or Array
            This column and the close in the last bar that has a row.
        """
        return {"close": close, "zero": 0.0, "last": last}[self.in_gaps]


def _reflected(name: str) -> Callable[[Columns, float], Array]:
    return lambda columns, c: 2.0 * c - columns[name]


def _same(name: str) -> Callable[[Columns, float], Array]:
    return lambda columns, c: columns[name]


def _negated(name: str) -> Callable[[Columns, float], Array]:
    return lambda columns, c: -columns[name]


def _inverted(name: str) -> Callable[[Columns, float], Array]:
    return lambda columns, c: 1.0 / columns[name]


def _in_base(name: str) -> Callable[[Columns, float], Array]:
    """The same contracts at the mirrored price: notional of liquidations that are held against volume."""
    return lambda columns, c: columns[name] * (2.0 * c - columns["close"]) / columns["close"]


BAR_COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column("open", Unit(price=1), "first", "close", _reflected("open"), "First trade price of the bar."),
        Column("high", Unit(price=1), "max", "close", _reflected("low"), "Highest trade price of the bar."),
        Column("low", Unit(price=1), "min", "close", _reflected("high"), "Lowest trade price of the bar."),
        Column("close", Unit(price=1), "last", "close", _reflected("close"), "Last trade price of the bar."),
        Column("volume", Unit(base=1), "sum", "zero", _same("volume"), "Base currency traded."),
        Column(
            "quote_volume",
            Unit(quote=1),
            "sum",
            "zero",
            lambda columns, c: 2.0 * c * columns["volume"] - columns["quote_volume"],
            "Quote currency traded: the sum of price times size.",
        ),
        Column("trades", Unit(count=1), "sum", "zero", _same("trades"), "Number of trades."),
        Column(
            "taker_buy_volume",
            Unit(base=1),
            "sum",
            "zero",
            lambda columns, c: columns["volume"] - columns["taker_buy_volume"],
            "Base currency bought by takers; volume minus this was sold by takers.",
        ),
        Column(
            "taker_buy_quote_volume",
            Unit(quote=1),
            "sum",
            "zero",
            lambda columns, c: (
                2.0 * c * (columns["volume"] - columns["taker_buy_volume"])
                - (columns["quote_volume"] - columns["taker_buy_quote_volume"])
            ),
            "Quote currency paid by takers who bought.",
        ),
    )
}

_SIDES = {"bid": "ask", "ask": "bid", "buy": "sell", "sell": "buy", "long": "short", "short": "long"}
_PAIRS = {
    "trades": (("buy", "takers who buy"), ("sell", "takers who sell")),
    "depth": (("bid", "bids"), ("ask", "asks")),
}
NEUTRAL_FUNDING = 0.0001
"""Interest part of the funding rate over eight hours, which longs pay in a market without an opinion (Binance FAQ)."""
BANDS = {"10bp": 0.001, "50bp": 0.005, "100bp": 0.01, "200bp": 0.02, "500bp": 0.05}
"""Bands of depth around the middle price, as shares of it."""


def _sided(kind: str, pattern: str, unit: Unit, fold: Any, in_gaps: Any, source: str) -> tuple[Column, ...]:
    """A pair of columns, one a side, that change places in the mirror."""
    pair = []
    for side, word in _PAIRS[kind]:
        name, opposite = pattern.format(side=side), pattern.format(side=_SIDES[side])
        pair.append(Column(name, unit, fold, in_gaps, _same(opposite), source.format(side=word), kind))
    return tuple(pair)


FLOW_COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column(
            "taker_buy_trades",
            Unit(count=1),
            "sum",
            "zero",
            lambda columns, c: columns["trades"] - columns["taker_buy_trades"],
            "Number of trades in which the taker bought; of all `trades`.",
            "trades",
        ),
        *_sided(
            "trades", "large_{side}_volume", Unit(base=1), "sum", "zero",
            "Base currency of {side} in trades of the largest tenth of the trades before.",
        ),
        *_sided(
            "trades", "stacked_{side}_volume", Unit(base=1), "sum", "zero",
            "Base currency of {side} at price levels of stacked imbalances of the footprint.",
        ),
        Column(
            "buy_move", Unit(price=1), "sum", "zero", _negated("sell_move"),
            "Change of price over the trades in which the taker bought, summed; usually up.", "trades",
        ),
        Column(
            "sell_move", Unit(price=1), "sum", "zero", _negated("buy_move"),
            "Change of price over the trades in which the taker sold, summed; usually down.", "trades",
        ),
    )
}  # fmt: skip

BOOK_COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column("bid", Unit(price=1), "last", "last", _reflected("ask"), "Best bid at the bar's close.", "depth"),
        Column("ask", Unit(price=1), "last", "last", _reflected("bid"), "Best ask at the bar's close.", "depth"),
        *_sided("depth", "{side}_size", Unit(base=1), "last", "last", "Base currency at the best of the {side}."),
        Column("spread", Unit(price=1), "mean", "last", _same("spread"), "Best ask minus best bid, mean.", "depth"),
        Column("spread_high", Unit(price=1), "max", "last", _same("spread_high"), "Widest spread.", "depth"),
        Column(
            "micro_lean", Unit(), "mean", "last", _negated("micro_lean"),
            "Microprice minus middle price in spreads, -0.5..0.5, mean; above 0 bids outweigh asks.", "depth",
        ),
        Column(
            "book_lean", Unit(), "mean", "last", _negated("book_lean"),
            "Notional of bids minus asks over their sum, weighted by closeness to the middle, -1..1, mean.", "depth",
        ),
        *(
            column
            for band, share in BANDS.items()
            for column in _sided(
                "depth", f"{{side}}_depth_{band}", Unit(quote=1), "mean", "last",
                f"Notional of the {{side}} within {share:.1%} of the middle price, mean.",
            )
        ),
        Column(
            "ofi_best", Unit(quote=1), "sum", "zero", _negated("ofi_best"),
            "Order-flow imbalance of the best level in notional: what bids gained minus what asks gained.", "depth",
        ),
        Column(
            "ofi_deep", Unit(quote=1), "sum", "zero", _negated("ofi_deep"),
            "Order-flow imbalance of the ten best levels in notional, nearer levels weigh more.", "depth",
        ),
        *_sided("depth", "{side}_taken", Unit(quote=1), "sum", "zero", "Notional taken from the best of the {side}."),
        *_sided(
            "depth", "{side}_refill", Unit(quote=1), "sum", "zero",
            "Notional put back at or inside the best of the {side} within seconds of being taken.",
        ),
        *_sided(
            "depth", "{side}_absorbed", Unit(quote=1), "sum", "zero",
            "Notional that takers traded against the {side} without moving their best price away.",
        ),
        *_sided(
            "depth", "{side}_fleeting", Unit(quote=1), "sum", "zero",
            "Notional of large orders among the {side} that left within seconds, untraded.",
        ),
        Column("bid_wall", Unit(price=1), "last", "last", _reflected("ask_wall"), "Lasting large bid: price.", "depth"),
        Column("ask_wall", Unit(price=1), "last", "last", _reflected("bid_wall"), "Lasting large ask: price.", "depth"),
        *_sided("depth", "{side}_wall_size", Unit(quote=1), "last", "last", "Notional of the wall among the {side}."),
        Column("book_updates", Unit(count=1), "sum", "zero", _same("book_updates"), "Messages of the book.", "depth"),
    )
}  # fmt: skip

POSITIONING_COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column(
            "open_interest", Unit(base=1), "last", "last", _same("open_interest"),
            "Base currency in open contracts.", "open_interest",
        ),
        Column(
            "open_interest_value", Unit(quote=1), "last", "last",
            lambda columns, c: 2.0 * c * columns["open_interest"] - columns["open_interest_value"],
            "Notional of open contracts.", "open_interest",
        ),
        *(
            Column(name, Unit(), "last", "last", _inverted(name), source, "ratios")
            for name, source in (
                ("accounts_ratio", "Accounts that are long over accounts that are short."),
                ("top_accounts_ratio", "The same of the accounts with the largest balances."),
                ("top_positions_ratio", "Long over short positions of the accounts with the largest balances."),
                ("taker_ratio", "Volume that takers bought over volume that they sold."),
            )
        ),
        Column(
            "funding_rate", Unit(), "last", "last", lambda columns, c: 2.0 * NEUTRAL_FUNDING - columns["funding_rate"],
            "Last settled funding rate, per eight hours, a share of notional that longs pay to shorts.", "funding",
        ),
        Column("mark", Unit(price=1), "last", "last", _reflected("mark"), "Mark price.", "prices"),
        Column("index", Unit(price=1), "last", "last", _reflected("index"), "Index price.", "prices"),
        *(
            Column(
                f"{side}_liquidations", Unit(quote=1), "sum", "zero", _in_base(f"{_SIDES[side]}_liquidations"),
                f"Notional of {side}s that were liquidated, as far as the venue publishes it: a lower bound.",
                "liquidations",
            )
            for side in ("long", "short")
        ),
    )
}  # fmt: skip

COLUMNS: dict[str, Column] = {**BAR_COLUMNS, **FLOW_COLUMNS, **BOOK_COLUMNS, **POSITIONING_COLUMNS}
"""Every column that a component may name."""

PRICES = ("open", "high", "low", "close")
REQUIRED = (*PRICES, "volume")


def column(name: str) -> Column:
    """Look a column up by name.

    Raises
    ------
    MissingColumnError
        If the dictionary does not hold it.
    """
    try:
        return COLUMNS[name]
    except KeyError:
        raise MissingColumnError(f"There is no column {name!r}. {did_you_mean(name, COLUMNS)}") from None


def scaled(columns: Columns, price: float, base: float) -> dict[str, Array]:
    """Return the same market with prices and volumes in other units."""
    return {name: values * COLUMNS[name].unit.factor(price, base) for name, values in columns.items()}


def mirrored(columns: Columns, pivot: float) -> dict[str, Array]:
    """The market seen from the other side: prices 2c - p, highs and lows exchanged, buying and selling exchanged.

    A column whose other side is not carried is not known there.
    """
    unknown = np.full(len(next(iter(columns.values()), ())), np.nan)
    carried = defaultdict(lambda: unknown, columns)
    return {name: COLUMNS[name].mirror(carried, pivot) for name in columns}
