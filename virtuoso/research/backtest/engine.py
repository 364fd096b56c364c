"""The portfolio backtest: many instruments, one wallet, the rules of risk, the contract bar by bar.

1. Where another instrument begins under the same name (market/breaks.py), what is held of the one before is settled at
   its last mark, and what waits lapses. Then, at each instant, the contract lets the bars act on orders and positions
   (account/contract.py): finer bars one after another where they tell what happens inside one.
2. At its close equity is marked, and the halt is latched where it has fallen too far from its peak. Research reports
   it and trades on; where the account enforces it, as paper and live trading do, all waiting entries lapse and none is
   admitted any more.
3. Then, once and for all instruments together, the intents decided at this close are gathered, ranked by reliability
   and then by symbol, sized and admitted (account/risk.py); they act at the next open.

`bounds` runs it twice, pessimistic and optimistic about the order of prices inside bars; what lies between them is not
known. The same inputs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.account.engine import lapse_entries, leave, part_with, step
from virtuoso.account.instrument import Instrument
from virtuoso.account.margin import Tiers
from virtuoso.account.records import INTENT, NEXT_OPEN
from virtuoso.account.risk import LIMITS, Limits, Rules, aim, ordered, risked
from virtuoso.account.state import Books, room_for, unrealised
from virtuoso.errors import ConfigError, DataError
from virtuoso.jit.kernel import kernel
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.types import Array

CORRELATION_BARS = 500
"""Closes whose returns tell the correlation of two instruments, up to that of the decision."""
VOLATILITY = "volatility"
"""Name under which it is counted how often nothing was entered since nobody knew how much the market moves."""
PLAIN_TIERS = Tiers.of([0.0], [0.005])
"""Maintenance margin where the venue's tiers are not known: half a percent."""


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
    halt : bool
        Whether a halt is enforced, as in paper and live trading; else it is only reported.
    reset_halt : int
        Days after which a halt that is enforced is lifted; 0 never.
    limited : bool
        Whether `limits` refuse and cut orders; else it is only counted what they would have refused or cut, and an
        order that the account cannot pay in full is cut to what it can.
    target_volatility : float
        Deviation of a position's day, as a share of the equity at full reliability: what names no weight of its own
        then holds this share over the deviation of its market's day, instead of what it risks to its stop. 0 is off.

    Raises
    ------
    ConfigError
        A halt is to be lifted that is not enforced.
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
    halt: bool = False
    reset_halt: int = 0
    limited: bool = True
    target_volatility: float = 0.0

    def __post_init__(self) -> None:
        if self.reset_halt > 0 and not self.halt:
            raise ConfigError(
                f"reset_halt={self.reset_halt} lifts a halt that is enforced, and this one is only reported. "
                "Enforce it with --halt (halt=True), or leave reset_halt out."
            )


@dataclass(frozen=True)
class PortfolioRun:
    """What became of a portfolio.

    Attributes
    ----------
    panel : SimulationPanel
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
    would_refuse, would_cut : dict of str to int
        How often each limit that is not enforced would have, as the first one.
    halts : array of int64
        Numbers of the bars at whose close the halt was latched. One that is not enforced is latched once.
    halt_equity : Array, quote currency, shape (n_halts,)
        When it was; inside the bar where finer ones tell more.
    correlation_unknown : int
        Entries that were let through beside a position of which it is not known how alike it is.
    pessimistic : bool
    """

    panel: SimulationPanel
    intents: np.ndarray
    instrument_of: NDArray[np.int64]
    events: np.ndarray
    intent_of: NDArray[np.int64]
    equity: Array
    exposure: Array
    refused: dict[str, int]
    cut: dict[str, int]
    would_refuse: dict[str, int]
    would_cut: dict[str, int]
    halts: NDArray[np.int64]
    halt_equity: Array
    correlation_unknown: int
    account: Account
    pessimistic: bool = True


def run(
    panel: SimulationPanel,
    intents: Mapping[Instrument, np.ndarray],
    account: Account,
    *,
    pessimistic: bool = True,
) -> PortfolioRun:
    """Trade the intents of many instruments with one wallet.

    Parameters
    ----------
    panel : SimulationPanel
    intents : mapping of Instrument to array of INTENT
        Decided at closes of bars of the stage's clock.
    account : Account
    pessimistic : bool
        What is assumed of the order of prices inside a bar, or inside a finer one where finer ones tell more.

    Returns
    -------
    PortfolioRun

    Raises
    ------
    DataError
        Intents of an instrument that is not on the stage, or not of the dtype INTENT.
    """
    gathered, owner = _gather(panel, intents)
    bars, every = (panel.bars, 1) if panel.inside is None else (panel.inside.bars, panel.inside.every)
    acts = _at_finer_bars(gathered, every)
    n, names, first = len(panel.instruments), panel.instruments, panel.first * every
    tiers = _tier_tables([account.tiers.get(name, PLAIN_TIERS) for name in names])
    rules = np.array([account.rules.get(name, Rules()) for name in names], dtype=np.float64)
    spot = np.array([name.is_spot for name in names])
    terms = np.tile([account.maker, account.taker, account.liquidation_fee, account.leverage], (n, 1))
    terms[spot, s.LEVERAGE] = 1.0
    books = Books.opened(n, account.cash, room_for(len(gathered), bars))
    price = np.where(np.isnan(gathered["entry"]), gathered["price"], gathered["entry"])
    side, weight, unknown_volatility = _sized(panel, gathered, owner, account)
    wishes = np.column_stack((
        side.astype(np.float64), price, gathered["reliability"], weight, gathered["adjust"],
    ))  # fmt: skip
    decided = np.searchsorted(acts["number"], first + np.arange(len(bars) + 1))
    equity, exposure, halts = np.empty(len(bars)), np.zeros(len(bars)), np.zeros(len(bars), dtype=bool)
    refused, cut, would_refuse, would_cut = np.zeros((4, len(LIMITS)), np.int64)
    unknown = np.zeros(1, np.int64)
    _run(
        bars, panel.closes, first, (panel.last + 1) * every - 1, panel.begins(every), decided, owner, wishes,
        orders_of(acts, account, rules[owner]), spot, terms, tiers, rules, account.limits, books, np.full(n, np.nan),
        account.isolated, pessimistic, account.halt, account.reset_halt * 86_400_000 // panel.timeframe.ms * every,
        account.limited, every, equity, exposure, refused, cut, would_refuse, would_cut, unknown, halts,
    )  # fmt: skip
    events = books.named()
    events["instant"] //= every
    refusals = [dict(zip(LIMITS, of.tolist(), strict=True)) for of in (refused, cut, would_refuse, would_cut)]
    if account.target_volatility > 0.0:
        refusals[0][VOLATILITY] = unknown_volatility
    return PortfolioRun(
        panel, gathered, owner, events, events["order"].copy(), equity[every - 1 :: every],
        exposure[every - 1 :: every],
        refusals[0], refusals[1], refusals[2], refusals[3],
        panel.first + np.flatnonzero(halts) // every, equity[halts], int(unknown[0]), account, pessimistic,
    )  # fmt: skip


def _sized(
    panel: SimulationPanel, gathered: np.ndarray, owner: NDArray[np.int64], account: Account
) -> tuple[NDArray[np.int8], Array, int]:
    """Sides and weights of all intents; where size goes by volatility, one whose market's is not known is to be out.

    Returns
    -------
    tuple of (array of int8, Array, int)
        And how many of them were.
    """
    side, weight = gathered["side"], gathered["weight"]
    if not account.target_volatility > 0.0:
        return side, weight, 0
    if panel.volatility is None:
        raise DataError(
            "Size goes by volatility, which this panel does not hold. Make it of frames: SimulationPanel.of."
        )
    open_ended = ~(weight > 0.0)  # what names none is sized by what it risks
    moves = panel.volatility[gathered["number"] - panel.first, owner]
    weight = np.where(
        open_ended, account.target_volatility * trust(account.limits, gathered["reliability"]) / moves, weight
    )
    gone = open_ended & (side != 0) & ~(weight > 0.0)
    return np.where(gone, 0, side).astype(np.int8), weight, int(gone.sum())


def trust(limits: Limits, reliability: Array) -> Array:
    """What reliability scales a size by: from `least_scale` to 1, and 1 where it is not known."""
    trusted = np.clip(np.where(np.isnan(reliability), 1.0, reliability), 0.0, 1.0)
    scale: Array = limits.least_scale + (1.0 - limits.least_scale) * trusted
    return scale


def _at_finer_bars(gathered: np.ndarray, every: int) -> np.ndarray:
    """The same intents at the finer bars that close with those at which they were decided."""
    acts = gathered.copy()
    for name in ("number", "expires"):
        acts[name] = (gathered[name] + 1) * every - 1
    return acts


def bounds(
    panel: SimulationPanel, intents: Mapping[Instrument, np.ndarray], account: Account
) -> tuple[PortfolioRun, PortfolioRun]:
    """Run it pessimistic and optimistic about the order of prices inside bars."""
    return run(panel, intents, account), run(panel, intents, account, pessimistic=False)


def _gather(panel: SimulationPanel, intents: Mapping[Instrument, np.ndarray]) -> tuple[np.ndarray, NDArray[np.int64]]:
    """All intents in the order in which they are decided upon: by close, reliability and symbol."""
    for name, made in intents.items():
        if name not in panel.instruments:
            raise DataError(f"There are intents of {name}, which is not among the instruments that are traded.")
        if made.dtype != INTENT:
            raise DataError(f"A portfolio trades arrays of INTENT (virtuoso.account.records), was {made.dtype}.")
    parts = [intents.get(name, np.empty(0, INTENT)) for name in panel.instruments]
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


def orders_of(intents: np.ndarray, account: Account, rules: Array) -> Array:
    """What each intent orders, but for its size, shape (n_intents, ORDER_COLUMNS); `rules` of its instrument."""
    orders = np.zeros((len(intents), s.ORDER_COLUMNS))
    market = np.isnan(intents["entry"])
    orders[:, s.LIMIT], orders[:, s.ORDER_STOP] = intents["entry"], intents["stop"]
    orders[:, s.EXPIRES] = np.where(market, intents["number"] + NEXT_OPEN, intents["expires"])
    price = np.where(market, intents["price"], intents["entry"])
    trail = account.trail * np.abs(price - intents["stop"]) if account.trail > 0.0 else np.nan
    orders[:, s.ORDER_TRAIL] = np.where(intents["trail"] > 0.0, intents["trail"], trail)
    orders[:, s.FITTED] = (intents["weight"] > 0.0) | (not account.limited)
    orders[:, s.FITTED_STEP : s.FITTED_NOTIONAL + 1] = rules
    orders[:, s.RANK] = np.arange(len(intents))
    orders[:, s.ORDER_TARGET : s.ORDER_TARGET + 3], orders[:, s.ORDER_SHARE : s.ORDER_SHARE + 3] = (
        intents["target"], intents["size"],
    )  # fmt: skip
    return orders


@kernel
def _run(
    bars: Array, closes: Array, first: int, last: NDArray[np.int64], begins: NDArray[np.bool_],
    decided: NDArray[np.int64], owner: NDArray[np.int64], wishes: Array, wanted: Array, spot: NDArray[np.bool_],
    terms: Array, tiers: Array, rules: Array, limits: Limits, books: Books, prices: Array, isolated: bool,
    pessimistic: bool, enforced: bool, reset: int, limited: bool, every: int, equity: Array, exposure: Array,
    refused: NDArray[np.int64], cut: NDArray[np.int64], would_refuse: NDArray[np.int64],
    would_cut: NDArray[np.int64], unknown: NDArray[np.int64], halts: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Step through all bars; before one that another instrument opens, what is held of the one before is settled.

    The intents decided at the close of bar t are the rows decided[t] to decided[t + 1].

    `closes` are those of the stage, `every` bars apart.
    """
    positions, peak, halted_at = books.positions, books.wallet[0], -1
    limit_refused, limit_cut = (refused, cut) if limited else (would_refuse, would_cut)
    for t in range(len(bars)):
        for i in range(len(prices)):
            if begins[t, i]:
                part_with(first + t, i, prices[i], terms[i, s.TAKER], books, isolated)
        step(first + t, bars[t], terms, tiers, books, isolated, pessimistic)
        for i in range(len(prices)):
            if not np.isnan(bars[t, i, s.MARK_CLOSE]):
                prices[i] = bars[t, i, s.MARK_CLOSE]
            if t == last[i] and t < len(bars) - 1 and positions[i, s.SIZE] != 0.0:  # delisted: settled at its last mark
                leave(first + t, i, float(r.CLOSED), positions[i, s.SIZE], prices[i], 0.0, terms[i, s.TAKER], books,
                      isolated)  # fmt: skip
            exposure[t] += abs(positions[i, s.SIZE]) * positions[i, s.MARK]
        equity[t] = books.wallet[0] + unrealised(positions)
        peak = max(peak, equity[t])
        if halted_at >= 0 and reset > 0 and t - halted_at >= reset:
            halted_at, peak = -1, equity[t]
        if halted_at < 0 and equity[t] <= (1.0 - limits.max_drawdown) * peak:
            halted_at = t
            halts[t] = True
            if enforced:
                lapse_entries(first + t, books)
        for row in range(decided[t], decided[t + 1]):
            i = owner[row]
            if wishes[row, 0] * positions[i, s.SIZE] > 0.0:  # it is there already: what still waited is called off
                books.orders[i, s.CLOSE_FIRST], books.orders[i, s.QUANTITY], books.orders[i, s.LIMIT] = 0.0, 0.0, np.nan
        for row in range(decided[t], decided[t + 1]):
            i, side, order, held = owner[row], wishes[row, 0], wanted[row], positions[owner[row], s.SIZE]
            beside = held if side * held > 0.0 else 0.0
            if beside != 0.0 and wishes[row, 4] == 0.0:
                continue
            books.orders[i, s.QUANTITY] = 0.0
            order[s.CLOSE_FIRST] = 1.0 if held != 0.0 else 0.0
            if side != 0.0 and not (spot[i] and side < 0.0):
                price, stop = wishes[row, 1], order[s.ORDER_STOP]
                size = wishes[row, 3] * equity[t] / price
                if not wishes[row, 3] > 0.0:
                    size = risked(limits, equity[t], wishes[row, 2], price, stop)
                if beside != 0.0:
                    aim(order, held, max(size, 0.0), rules[i, 0])
                seen = closes[max(t // every - CORRELATION_BARS + 1, 0) : t // every + 1]
                if beside == 0.0 or size > abs(held):
                    ordered(
                        i, side, price, stop, size, beside, equity[t], enforced and halted_at >= 0,
                        not enforced and halted_at >= 0, limited, seen, prices, books.orders, positions, limits,
                        rules, refused, cut, limit_refused, limit_cut, unknown, order,
                    )  # fmt: skip
            for k in range(s.ORDER_COLUMNS):
                books.orders[i, k] = order[k]
