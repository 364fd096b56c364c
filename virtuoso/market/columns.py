"""The data dictionary: every column of a bar, with its unit, its fold, its mirror and its source.

Components name columns; what a column means stands here and nowhere else. Units are exponents, so that the laws
can scale a market (prices x 8, volumes x 4) and mirror it (p -> 2c - p, buying <-> selling) without knowing more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.errors import MissingColumnError, did_you_mean

Array = NDArray[np.float64]
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
        How bars of this column make a slower bar: first, max, min, last or sum.
    silence : str
        Its value in a bar in which nothing traded: the last close, or zero.
    mirror : callable
        The column in the mirrored market, from all columns and the pivot price c (prices become 2c - p).
    source : str
        What it is, in a sentence.
    lag_ms, hold_ms : int, milliseconds
        How long after the event it can be known, and how long it stays valid. A bar column is known at the bar's
        close and holds for that bar.
    """

    name: str
    unit: Unit
    fold: Literal["first", "max", "min", "last", "sum"]
    silence: Literal["close", "zero"]
    mirror: Callable[[Columns, float], Array]
    source: str
    lag_ms: int = 0
    hold_ms: int = 0


def _reflected(name: str) -> Callable[[Columns, float], Array]:
    return lambda columns, c: 2.0 * c - columns[name]


def _same(name: str) -> Callable[[Columns, float], Array]:
    return lambda columns, c: columns[name]


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
        return BAR_COLUMNS[name]
    except KeyError:
        raise MissingColumnError(f"There is no column {name!r}. {did_you_mean(name, BAR_COLUMNS)}") from None


def scaled(columns: Columns, price: float, base: float) -> dict[str, Array]:
    """The same market with prices and volumes in other units."""
    return {name: values * BAR_COLUMNS[name].unit.factor(price, base) for name, values in columns.items()}


def mirrored(columns: Columns, pivot: float) -> dict[str, Array]:
    """The market seen from the other side: prices 2c - p, highs and lows exchanged, buying and selling exchanged."""
    return {name: BAR_COLUMNS[name].mirror(columns, pivot) for name in columns}
