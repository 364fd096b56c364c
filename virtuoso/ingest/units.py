"""What volumes count, judged over a file: quote volume over volume is the mean price of a bar.

So it lies within its low and high. Where it does not, to the digits that are printed, in more than one bar in a
hundred, the volume counts something else: contracts, lots, quote currency. Bars without a trade say nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.errors import AmbiguousError
from virtuoso.market.rows import Rows
from virtuoso.types import Array, Mask

MOST_OUTSIDE = 0.01
_SLACK = 1e-6  # of the price, for what is stored in single precision
_MOST_DECIMALS = 9
_SAME_RATIO = 0.02
_PAIRS = (("volume", "quote_volume"), ("taker_buy_volume", "taker_buy_quote_volume"))


class _Outside(NamedTuple):
    """A bar whose mean price is none: the ratio of its volumes, and its close."""

    ratio: float
    close: float


class Units:
    """Judges the volumes of a file; `see` its bars part by part, then `conclude`.

    Attributes
    ----------
    judged, outside : int
        Bars with both volumes, and those of them whose mean price lies outside low and high.
    """

    def __init__(self) -> None:
        self.judged = 0
        self.outside = 0
        self._examples: list[_Outside] = []

    def see(self, rows: Rows) -> None:
        """Take bars of one instrument."""
        known, wrong = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
        for base, quote in _PAIRS:
            if base in rows.columns and quote in rows.columns:
                there, off = self._judge(rows, rows.columns[base], rows.columns[quote])
                known, wrong = known | there, wrong | off
        self.judged += int(known.sum())
        self.outside += int(wrong.sum())

    def _judge(self, rows: Rows, volume: Array, quote: Array) -> tuple[Mask, Mask]:
        """Return which bars have both volumes, and in which of those they contradict the prices."""
        known = (volume > 0) & (quote > 0)
        wrong = known & ~within(rows, volume, quote)
        for i in np.flatnonzero(wrong)[: max(0, 1_000 - len(self._examples))]:
            self._examples.append(_Outside(float(quote[i] / volume[i]), float(rows.columns["close"][i])))
        return known, wrong

    def conclude(self, name: str) -> None:
        """Refuse the file if its volumes are in another unit.

        Parameters
        ----------
        name : str
            Of the file.

        Raises
        ------
        AmbiguousError
        """
        if self.outside > MOST_OUTSIDE * self.judged:
            raise AmbiguousError(
                f"{name}: in {self.outside:,} of {self.judged:,} bars quote volume over volume lies outside low and "
                f"high, so one of them counts something else: {self._unit()}. Nothing was stored. Say which columns "
                'count coins and quote currency, such as --columns volume="…",quote_volume="…"; --no-volume stores the '
                "prices alone."
            )

    def _unit(self) -> str:
        """Name the unit that explains most of the bars."""
        ratio, close = (np.array(values) for values in zip(*self._examples, strict=True))
        unit, values = min(
            (("size", ratio / close), ("quote", ratio), ("inverse", ratio * close)), key=lambda one: _spread(one[1])
        )
        middle = float(np.median(values))
        if _spread(values) > 2 * _SAME_RATIO:
            return f"bars cost {_round(float(np.median(ratio / close)))} times their close"
        if unit == "quote" and abs(middle - 1) < _SAME_RATIO:
            return "the volume seems to be in quote currency"
        if unit == "inverse" and abs(middle - 1) < _SAME_RATIO:
            return "volume and quote volume seem to be exchanged"
        if unit == "inverse":
            return f"the volume seems to count inverse contracts of {_round(middle)} in quote currency"
        what = "lots" if middle > 1 else "contracts"
        return f"the volume seems to count {what} of {_round(middle)} coins"


def within(rows: Rows, volume: Array, quote: Array) -> Mask:
    """Return in which bars quote volume over volume lies within low and high, to the digits that are printed."""
    off_volume, off_quote, off_price = (_half_digit(values) for values in (volume, quote, rows.columns["close"]))
    low = rows.columns["low"] * (1 - _SLACK) - off_price
    high = rows.columns["high"] * (1 + _SLACK) + off_price
    with np.errstate(invalid="ignore", over="ignore"):
        answer: Mask = (quote + off_quote >= low * np.maximum(volume - off_volume, 0)) & (
            quote - off_quote <= high * (volume + off_volume)
        )
    return answer


def _half_digit(values: Array) -> float:
    """Half of the last decimal place in which some numbers are written."""
    known = values[np.isfinite(values)][:10_000]
    for decimals in range(_MOST_DECIMALS):
        scaled = known * 10.0**decimals
        if (np.abs(scaled - np.round(scaled)) <= 1e-9 * np.maximum(1.0, np.abs(scaled))).all():
            return float(0.5 * 10.0**-decimals)
    return float(0.5 * 10.0**-_MOST_DECIMALS)


def _spread(values: Array) -> float:
    """Distance of the lower and the upper fifth of some ratios, in units of the middle one."""
    low, middle, high = np.percentile(values, (20, 50, 80))
    return float((high - low) / middle)


def _round(value: float) -> str:
    """Return a number as a contract's size is written: to two digits, and whole powers of ten as such."""
    power = 10.0 ** round(float(np.log10(value)))
    exact = power if abs(value / power - 1) < _SAME_RATIO else value
    return np.format_float_positional(exact, precision=2, fractional=False, trim="-")
