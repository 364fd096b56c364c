"""From intents to orders at opens: what may be filled, where, and how large.

1. Decide at the close, act at the next open: the shift is made once, in `plan_orders`, and nowhere else.
2. Only bars that are known take part. An exit waits for the next known bar; an entry does not: it is dropped.
3. What cannot be filled as meant is dropped and counted, never bent until it fits.
4. A position risks a share of the equity down to its stop, and costs at most all of the cash.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.records import NEXT_OPEN
from virtuoso.errors import ConfigError
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import has_traded, is_published
from virtuoso.market.schema.columns import PRICES
from virtuoso.types import Array

ORDER = np.dtype(
    [
        ("bar", np.int64),  # index into the known bars at whose open it acts
        ("intent", np.int64),  # index into the intents
        ("side", np.int8),  # +1 or -1 opens a position, 0 only closes one
        ("closes", np.int8),  # +1 closes a long, -1 a short, 2 either
        ("share", np.float64),  # of the equity that it costs
        ("stop", np.float64),  # price, NaN for none
        ("target", np.float64),  # price, NaN for none
        ("capped", np.bool_),  # smaller than the risk allows, since the cash ends
        ("limit", np.bool_),  # wanted a limit entry and gets a market one
        ("several", np.bool_),  # has more than one target and leaves whole at the first
        ("silent", np.bool_),  # acts in a bar in which nothing traded
    ]
)
"""One row an order, in the order in which they act."""

EITHER = 2


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms intents are traded.

    Attributes
    ----------
    fees : float
        Of the notional of each fill.
    slippage : float
        Of the price of each fill, always against us.
    cash : float, quote currency
        Equity at the start.
    risk : float, 0..1
        Share of the equity that a position loses at its stop, before costs. The position never costs more than the
        cash there is; without a stop its whole price is what it risks.
    shorts : bool
        Whether short positions can be held; a spot account cannot.
    """

    fees: float = 0.0005
    slippage: float = 0.0002
    cash: float = 10_000.0
    risk: float = 0.01
    shorts: bool = True

    def __post_init__(self) -> None:
        for name in ("fees", "slippage"):
            value = getattr(self, name)
            if not 0.0 <= value < 0.1:
                raise ConfigError(f"{name} is a share of a fill, from 0 to under 0.1 (0.0005 is 5 bp), was {value!r}.")
        if not 0.0 < self.risk <= 1.0:
            raise ConfigError(f"risk is a share of the equity, above 0 and at most 1 (0.01 is 1 %), was {self.risk!r}.")
        if not 0.0 < self.cash < float("inf"):
            raise ConfigError(f"cash is what the account begins with, above 0, was {self.cash!r}.")


@dataclass(frozen=True, slots=True)
class KnownBars:
    """The known bars of a stretch, in order; what is not known is not among them.

    Attributes
    ----------
    numbers : array of int64, shape (n_bars,)
        Absolute numbers of the bars; they jump where bars are not known.
    open, high, low, close : Array, shape (n_bars,)
    traded : array of bool, shape (n_bars,)
        False in a bar in which nothing traded.
    stop : int
        Number after the last bar of the stretch, known or not.
    """

    numbers: NDArray[np.int64]
    open: Array
    high: Array
    low: Array
    close: Array
    traded: NDArray[np.bool_]
    stop: int

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def of(cls, bars: Bars, start: int, stop: int) -> KnownBars:
        """Take the known bars numbered [start, stop).

        A bridged bar is not known: its price is a bridge for functions, nobody published it.
        """
        start, stop = max(start, bars.first), min(stop, bars.end)
        here = slice(start - bars.first, max(stop, start) - bars.first)
        state = bars.state[here]
        known = is_published(state)
        for name in PRICES:
            known &= bars.columns[name][here] > 0.0
        numbers = np.arange(start, start + len(state), dtype=np.int64)[known]
        open_, high, low, close = (bars.columns[name][here][known] for name in PRICES)
        return cls(numbers, open_, high, low, close, has_traded(state[known]), stop)


@dataclass(frozen=True)
class Plan:
    """Orders at opens, and what became of the intents that gave none.

    Attributes
    ----------
    orders : array of ORDER
    dropped : mapping of str to int
        Reasons and how many intents to open a position they stopped.
    deferred_exits : int
        Exits that had to wait for a bar that is known.
    """

    orders: np.ndarray
    dropped: dict[str, int] = field(default_factory=dict)
    deferred_exits: int = 0


def plan_orders(intents: np.ndarray, tape: KnownBars, terms: Terms) -> Plan:
    """Turn intents into orders at opens.

    Parameters
    ----------
    intents : array of INTENT, shape (n_intents,)
    tape : KnownBars
    terms : Terms

    Returns
    -------
    Plan
        The order of an intent decided at the close of bar t acts at the open of bar t + 1. Nothing but prices of
        bars up to t and the open of t + 1 decides whether it is placed and how large it is.
    """
    act_at = intents["number"] + NEXT_OPEN  # decided at the close, filled at the next open: here and nowhere else
    bar = np.searchsorted(tape.numbers, act_at)
    there = bar < len(tape)
    on_time = there.copy()
    on_time[there] = tape.numbers[bar[there]] == act_at[there]

    side = intents["side"].astype(np.int8)
    opens, dropped = _what_can_open(intents, act_at, tape, terms, bar, on_time)
    orders = np.zeros(len(intents), dtype=ORDER)
    orders["bar"], orders["intent"] = bar, np.arange(len(intents))
    orders["closes"] = np.where(side == 0, EITHER, -side)
    orders["side"] = np.where(opens, side, 0)
    orders["stop"], orders["target"] = intents["stop"], intents["target"][:, 0]
    orders["limit"] = np.isfinite(intents["entry"])
    orders["several"] = np.isfinite(intents["target"]).sum(axis=1) > 1
    orders["silent"][there] = ~tape.traded[bar[there]]
    _size(orders, tape, terms, opens)
    return Plan(orders[there], dropped, deferred_exits=int((there & ~on_time).sum()))


def _what_can_open(
    intents: np.ndarray, act_at: NDArray[np.int64], tape: KnownBars, terms: Terms, bar: NDArray[np.int64],
    on_time: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], dict[str, int]]:  # fmt: skip
    """Which intents open a position, and why the others do not; each is counted under its first reason."""
    side = intents["side"].astype(np.float64)
    wanted = side != 0.0
    market = np.full(len(intents), np.nan)
    market[on_time] = tape.open[bar[on_time]]
    fill = market * (1.0 + terms.slippage * side)
    reasons = {
        "short on spot": (side < 0.0) & (not terms.shorts),
        "decided at the last bar": act_at >= tape.stop,
        "next bar not known": ~on_time,
        "opened beyond its stop": side * (market - intents["stop"]) <= 0.0,
        "filled beyond its target": side * (intents["target"][:, 0] - fill) <= 0.0,
    }
    dropped, left = {}, wanted
    for reason, applies in reasons.items():
        dropped[reason] = int((left & applies).sum())
        left = left & ~applies
    return left, dropped


def _size(orders: np.ndarray, tape: KnownBars, terms: Terms, opens: NDArray[np.bool_]) -> None:
    """Size the orders that open: the risk over the distance to the stop, at most 1."""
    fill = tape.open[orders["bar"][opens]] * (1.0 + terms.slippage * orders["side"][opens])
    distance = np.abs(fill - orders["stop"][opens]) / fill
    share = terms.risk / np.where(np.isnan(distance), 1.0, distance)
    orders["share"][opens] = np.minimum(share, 1.0)
    orders["capped"][opens] = share > 1.0
