"""The portfolio backtest: many instruments, one wallet, the rules of risk, the contract bar by bar.

1. At each instant the contract lets the bars act on orders and positions (account/contract.py).
2. At its close equity is marked, and the halt is latched where it has fallen too far from its peak.
3. Then, once and for all instruments together, the intents decided at this close are gathered, ranked by reliability
   and then by symbol, sized and admitted (account/risk.py); they act at the next open.

`bounds` runs it twice, pessimistic and optimistic about the order of prices inside bars; what lies between them is not
known. The same inputs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from virtuoso.account import contract
from virtuoso.account.contract import (
    CLOSED,
    EVENT,
    EXPIRES,
    LIMIT,
    ORDER_SHARE,
    ORDER_STOP,
    ORDER_TARGET,
    ORDER_TRAIL,
    OUT,
    QUANTITY,
    SIZE,
    no_orders,
    no_positions,
    step,
)
from virtuoso.account.instrument import Instrument
from virtuoso.account.intent import INTENT, NEXT_OPEN
from virtuoso.account.margin import Tiers
from virtuoso.account.risk import LIMITS, Limits, Rules, admitted
from virtuoso.errors import DataError
from virtuoso.market.columns import Array
from virtuoso.research.stage import Stage

CORRELATION_BARS = 500
"""Bars of returns behind the correlation of two instruments, up to the decision."""
PLAIN_TIERS = Tiers.of([0.0], [0.005])
"""Maintenance margin where the venue's tiers are not known: half a percent."""

ORDERED = np.dtype([("number", np.int64), ("instrument", np.int64), ("row", np.int64)])


@dataclass(frozen=True)
class Account:
    """On what terms a portfolio is traded.

    Attributes
    ----------
    cash : float, quote currency
    maker, taker : float
        Fees, of the notional of a fill.
    liquidation_fee : float
        Of the notional that is liquidated.
    leverage : float
        At which positions are opened; what a position is backed by is its notional over this.
    isolated : bool
        Margin mode; else cross.
    limits : Limits
    tiers : mapping of Instrument to Tiers
        Maintenance tiers; half a percent throughout where there are none.
    rules : mapping of Instrument to Rules
        Steps and least sizes; none where the venue's are not known.
    trail : float
        Distance in R at which stops trail the best price; 0 leaves them where they are.
    reset_halt : int
        Days after which a halt is lifted; 0 never.
    """

    cash: float = 10_000.0
    maker: float = 0.0002
    taker: float = 0.0005
    liquidation_fee: float = 0.0125
    leverage: float = 3.0
    isolated: bool = True
    limits: Limits = field(default_factory=Limits)
    tiers: Mapping[Instrument, Tiers] = field(default_factory=dict)
    rules: Mapping[Instrument, Rules] = field(default_factory=dict)
    trail: float = 0.0
    reset_halt: int = 0


@dataclass(frozen=True)
class PortfolioRun:
    """What became of a portfolio.

    Attributes
    ----------
    stage : Stage
    intents : array of INTENT, shape (n_intents,)
        All of them, in the order in which they were decided upon.
    instrument_of : array of int64, shape (n_intents,)
        Position of each intent's instrument.
    events : array of EVENT
    intent_of : array of int64, shape (n_events,)
        Intent behind each event; -1 where there is none.
    equity : Array, quote currency, shape (n_bars,)
        At each close.
    exposure : Array, quote currency, shape (n_bars,)
        Notional of all positions at each close.
    refused, cut : dict of str to int
        How often each limit refused or cut an order.
    halts : array of int64
        Numbers of the bars at whose close the halt was latched.
    pessimistic : bool
    """

    stage: Stage
    intents: np.ndarray
    instrument_of: NDArray[np.int64]
    events: np.ndarray
    intent_of: NDArray[np.int64]
    equity: Array
    exposure: Array
    refused: dict[str, int]
    cut: dict[str, int]
    halts: NDArray[np.int64]
    account: Account
    pessimistic: bool = True


def run(
    stage: Stage, intents: Mapping[Instrument, np.ndarray], account: Account, *, pessimistic: bool = True
) -> PortfolioRun:
    """Trade the intents of many instruments with one wallet.

    Parameters
    ----------
    stage : Stage
    intents : mapping of Instrument to array of INTENT
        Decided at closes of bars of the stage's clock.
    account : Account
    pessimistic : bool
        What is assumed of the order of prices inside a bar.

    Returns
    -------
    PortfolioRun

    Raises
    ------
    DataError
        Intents of an instrument that is not on the stage, or not of the dtype INTENT.
    """
    gathered, owner = _gather(stage, intents)
    n = len(stage.instruments)
    names = stage.instruments
    tiers = _tier_tables([account.tiers.get(name, PLAIN_TIERS) for name in names])
    rules = np.array([account.rules.get(name, Rules()) for name in names], dtype=np.float64)
    spot = np.array([name.is_spot for name in names])
    terms = np.tile([account.maker, account.taker, account.liquidation_fee, account.leverage], (n, 1))
    terms[spot, contract.LEVERAGE] = 1.0
    settlements = np.count_nonzero(np.nan_to_num(stage.bars[:, :, contract.FUNDING_OPEN :]))
    events = np.zeros(8 * len(gathered) + 3 * settlements + 2 * n + 64, dtype=EVENT)
    intent_of = np.full(len(events), -1, dtype=np.int64)
    equity, exposure = np.empty(len(stage)), np.empty(len(stage))
    refused, cut = np.zeros(len(LIMITS), np.int64), np.zeros(len(LIMITS), np.int64)
    halts = np.zeros(len(stage), dtype=bool)
    reset = account.reset_halt * 86_400_000 // stage.timeframe.ms
    happened = _run(
        stage.bars, stage.first, stage.last, gathered, owner, spot, terms, tiers, rules, account.limits, account.cash,
        account.isolated, pessimistic, account.trail, reset, events, intent_of, equity, exposure, refused, cut, halts,
    )  # fmt: skip
    return PortfolioRun(
        stage, gathered, owner, events[:happened], intent_of[:happened], equity, exposure,
        dict(zip(LIMITS, refused.tolist(), strict=True)), dict(zip(LIMITS, cut.tolist(), strict=True)),
        stage.first + np.flatnonzero(halts), account, pessimistic,
    )  # fmt: skip


def bounds(
    stage: Stage, intents: Mapping[Instrument, np.ndarray], account: Account
) -> tuple[PortfolioRun, PortfolioRun]:
    """Run it pessimistic and optimistic about the order of prices inside bars."""
    return run(stage, intents, account), run(stage, intents, account, pessimistic=False)


def _gather(stage: Stage, intents: Mapping[Instrument, np.ndarray]) -> tuple[np.ndarray, NDArray[np.int64]]:
    """All intents in the order in which they are decided upon: by close, reliability and symbol."""
    for name, made in intents.items():
        if name not in stage.instruments:
            raise DataError(f"There are intents of {name}, which is not among the instruments that are traded.")
        if made.dtype != INTENT:
            raise DataError(f"A portfolio trades arrays of INTENT (virtuoso.account.intent), was {made.dtype}.")
    parts = [intents.get(name, np.empty(0, INTENT)) for name in stage.instruments]
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    gathered = np.concatenate(parts) if parts else np.empty(0, INTENT)
    trusted = np.nan_to_num(gathered["reliability"], nan=-1.0)
    order = np.lexsort((owner, -trusted, gathered["number"]))
    return gathered[order], owner[order].astype(np.int64)


def _tier_tables(tiers: list[Tiers]) -> Array:
    """Tables of equal width: a last tier that nothing reaches fills up, shape (n_instruments, 3, n_tiers)."""
    width = max(len(one.floor) for one in tiers)
    tables = np.empty((len(tiers), 3, width))
    for table, one in zip(tables, tiers, strict=True):
        table[:, : len(one.floor)] = one.table
        table[:, len(one.floor) :] = np.array([[np.inf], [one.rate[-1]], [one.deduction[-1]]])
    return tables


@njit(cache=True)
def _run(
    bars: Array, first: int, last: NDArray[np.int64], intents: np.ndarray, owner: NDArray[np.int64],
    spot: NDArray[np.bool_], terms: Array, tiers: Array, rules: Array, limits: Limits, cash: float, isolated: bool,
    pessimistic: bool, trail: float, reset: int, events: np.ndarray, intent_of: NDArray[np.int64], equity: Array,
    exposure: Array, refused: NDArray[np.int64], cut: NDArray[np.int64], halts: NDArray[np.bool_],
) -> int:  # fmt: skip
    """Step through all bars; gives the number of events."""
    n_bars, n = bars.shape[0], bars.shape[1]
    positions, orders = no_positions(n), no_orders(n)
    waiting, held = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    wallet, prices = np.array([cash]), np.full(n, np.nan)
    happened, at, peak, halted_at = 0, 0, cash, -1
    for t in range(n_bars):
        before = happened
        happened = step(
            first + t, bars[t], orders, positions, terms, tiers, wallet, isolated, pessimistic, events, happened
        )
        for i in range(n):
            if not np.isnan(bars[t, i, contract.MARK_CLOSE]):
                prices[i] = bars[t, i, contract.MARK_CLOSE]
            if t == last[i] and t < n_bars - 1 and positions[i, SIZE] != 0.0:  # delisted: settled at its last price
                happened = contract._leave(
                    first + t, i, CLOSED, positions[i, SIZE], bars[t, i, contract.CLOSE], bars[t, i, contract.SLIPPAGE],
                    terms[i, contract.TAKER], positions[i], wallet, False, events, happened,
                )  # fmt: skip
        _attribute(events, before, happened, waiting, held, intent_of)
        equity[t], exposure[t] = _marked(positions, prices, wallet[0])
        peak = max(peak, equity[t])
        if halted_at >= 0 and reset > 0 and t - halted_at >= reset:
            halted_at, peak = -1, equity[t]
        if halted_at < 0 and equity[t] <= (1.0 - limits.max_drawdown) * peak:
            halted_at = t
            halts[t] = True
        while at < len(intents) and intents[at]["number"] <= first + t:
            if intents[at]["number"] == first + t:
                _decide(t, at, bars, intents[at], owner[at], spot, positions, orders, prices, limits, rules, equity[t],
                        halted_at >= 0, trail, refused, cut, waiting)  # fmt: skip
            at += 1
    return happened


@njit(cache=True)
def _decide(
    t: int, row: int, bars: Array, intent: np.ndarray, i: int, spot: NDArray[np.bool_], positions: Array,
    orders: Array, prices: Array, limits: Limits, rules: Array, equity: float, halted: bool, trail: float,
    refused: NDArray[np.int64], cut: NDArray[np.int64], waiting: NDArray[np.int64],
) -> None:  # fmt: skip
    """Turn one intent into an order for the next open, as far as the rules of risk admit it."""
    side, order = float(intent["side"]), orders[i]
    if side * positions[i, SIZE] > 0.0:
        return  # it is there already, with its own stop and targets
    order[:] = 0.0
    order[LIMIT] = np.nan
    order[OUT] = 1.0 if positions[i, SIZE] != 0.0 else 0.0
    if side == 0.0 or (spot[i] and side < 0.0):
        return
    limit = float(intent["entry"])
    price = limit if not np.isnan(limit) else float(intent["price"])
    since = max(0, t + 1 - CORRELATION_BARS)
    size = admitted(
        i, side, price, float(intent["stop"]), float(intent["reliability"]), equity, halted,
        bars[since : t + 1, :, contract.CLOSE], prices, orders, positions, limits, rules, refused, cut,
    )  # fmt: skip
    if size == 0.0:
        return
    order[QUANTITY], order[LIMIT], order[ORDER_STOP] = size, intent["entry"], intent["stop"]
    order[EXPIRES] = intent["expires"] if not np.isnan(intent["entry"]) else intent["number"] + NEXT_OPEN
    order[ORDER_TRAIL] = trail * abs(price - intent["stop"]) if trail > 0.0 else np.nan
    for k in range(3):
        order[ORDER_TARGET + k], order[ORDER_SHARE + k] = intent["target"][k], intent["size"][k]
    waiting[i] = row


@njit(cache=True)
def _marked(positions: Array, prices: Array, wallet: float) -> tuple[float, float]:
    """Equity, and the notional of all positions, at the last known marks."""
    equity, exposure = wallet, 0.0
    for i in range(len(positions)):
        if positions[i, SIZE] != 0.0 and not np.isnan(prices[i]):
            equity += positions[i, SIZE] * (prices[i] - positions[i, contract.ENTRY])
            exposure += abs(positions[i, SIZE]) * prices[i]
    return equity, exposure


@njit(cache=True)
def _attribute(
    events: np.ndarray, before: int, happened: int, waiting: NDArray[np.int64], held: NDArray[np.int64],
    intent_of: NDArray[np.int64],
) -> None:  # fmt: skip
    """Say which intent is behind each new event: what entered took the one that waited."""
    for k in range(before, happened):
        i, kind = events[k]["instrument"], events[k]["kind"]
        if kind == contract.ENTERED:
            held[i] = waiting[i]
        intent_of[k] = waiting[i] if kind in (contract.LAPSED, contract.REJECTED) else held[i]
