"""The same intents through vectorbt, as far as it models them: one instrument, cash behind every position.

1. orders.py turns intents into orders at opens and counts what cannot be filled as meant.
2. vectorbt.py fills them; it is the only file that imports vectorbt.
3. trades.py makes trades and equity of the fills.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import metrics
from virtuoso.account.records import OPEN, STOP
from virtuoso.clock import Timeframe
from virtuoso.errors import NoDataError
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.result.scores import Scores
from virtuoso.research.backtest.backtest import check_intents
from virtuoso.research.crosscheck.orders import KnownBars, Plan, Terms, plan_orders
from virtuoso.research.crosscheck.trades import check_solvent, equity_of, held_equity, pair_trades
from virtuoso.research.crosscheck.vectorbt import fill_orders
from virtuoso.types import Array


@dataclass(frozen=True)
class Simulation:
    """What vectorbt made of intents.

    Attributes
    ----------
    intents : array of INTENT
    timeframe : Timeframe
    terms : Terms
    tape : KnownBars
        The known bars that were traded on; `equity`, `position` and `benchmark` have one value a bar of it.
    plan : Plan
        Orders at opens, and the intents that gave none.
    trades : array of TRADE
    equity, benchmark : Array, quote currency, shape (n_bars,)
        At each close; the benchmark buys at the second known open with all the cash and holds.
    position : Array, base currency, shape (n_bars,)
    """

    intents: np.ndarray = field(repr=False)
    timeframe: Timeframe
    terms: Terms
    tape: KnownBars = field(repr=False)
    plan: Plan = field(repr=False)
    trades: np.ndarray = field(repr=False)
    equity: Array = field(repr=False)
    position: Array = field(repr=False)
    benchmark: Array = field(repr=False)

    @property
    def start_ms(self) -> int:
        """Open time of the first known bar."""
        return int(self.tape.numbers[0]) * self.timeframe.ms

    @property
    def close_times(self) -> NDArray[np.int64]:
        """Moments of the marks, ms."""
        return (self.tape.numbers + 1) * self.timeframe.ms

    @property
    def closed(self) -> np.ndarray:
        """The trades that have ended."""
        ended: np.ndarray = self.trades[self.trades["reason"] != OPEN]
        return ended

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Named figures; NaN is *not testable*."""
        traded = float((self.trades["size"] * self.trades["entry_price"]).sum())
        traded += float((self.closed["size"] * self.closed["exit_price"]).sum())
        days = float(self.close_times[-1] - self.start_ms) / metrics.DAY_MS
        return metrics.judged(
            metrics.account_metrics(self.close_times, self.equity, self.terms.cash, self.start_ms)
            | metrics.trade_metrics(self.trades)
            | {
                "exposure": metrics.exposure(self.position != 0.0),
                "turnover": metrics.turnover(traded, self.equity, days),
                "traded": traded,
                "days": days,
            }
        )

    @cached_property
    def counts(self) -> dict[str, int]:
        """How often each thing happened that a reader should know of."""
        trades, orders = self.trades, self.plan.orders
        opening = int((orders["side"] != 0).sum())
        taken = orders[np.isin(self.intents["number"][orders["intent"]], trades["number"]) & (orders["side"] != 0)]
        same_bar = self.closed["exit_number"] == self.closed["entry_number"]
        return {
            "intents": len(self.intents),
            "intents to open": int((self.intents["side"] != 0).sum()),
            "opened": len(trades),
            **{f"dropped: {reason}": n for reason, n in self.plan.dropped.items()},
            "dropped: a position was open": opening - len(trades),
            "exits that waited for a known bar": self.plan.deferred_exits,
            "limit entries taken at the market": int(taken["limit"].sum()),
            "trades with more than one target": int(taken["several"].sum()),
            "positions capped by the cash": int(taken["capped"].sum()),
            "openings in a bar without a trade": int(taken["silent"].sum()),
            "ambiguous trades": int(trades["ambiguous"].sum()),
            "stopped on the bar of the entry": int((same_bar & (self.closed["reason"] == STOP)).sum()),
            "trades across a gap": int(trades["across_gap"].sum()),
        }


def simulate(
    market: Scores | MarketFrame,
    intents: np.ndarray,
    *,
    fees: float = 0.0005,
    slippage: float = 0.0002,
    cash: float = 10_000.0,
    risk: float = 0.01,
) -> Simulation:
    """Trade intents through vectorbt on the bars that were scored.

    Parameters
    ----------
    market : Scores or MarketFrame
        The same bars that the intents were made from.
    intents : array of INTENT
        Decided at the closes of bars, filled at the opens of the next ones.
    fees : float
        Of the notional of each fill.
    slippage : float
        Of the price of each fill, always against us, at stops and targets too.
    cash : float, quote currency
        Equity at the start.
    risk : float, 0..1
        Share of the equity that a position loses at its stop, before costs; it never costs more than the cash.

    Returns
    -------
    Simulation

    Raises
    ------
    NoDataError
        If not two bars in a row of what was scored are known.
    DataError
        If the intents are not of these scores, or a short lost more than the account held.
    """
    frame = market if isinstance(market, MarketFrame) else market.frame
    instrument, timeframe, stop = frame.instrument, frame.timeframe, market.start + len(market)
    terms = Terms(fees, slippage, cash, risk, shorts=not instrument.is_spot)
    tape = KnownBars.of(frame.base, market.start, stop)
    if len(tape) < 2:
        raise NoDataError(f"A backtest of {instrument} needs at least two known bars, found {len(tape)}.")
    check_intents(intents, market.start, stop)
    plan = plan_orders(intents, tape, terms)
    fills = fill_orders(plan.orders, tape, terms, timeframe)
    equity, position = equity_of(fills, tape, terms.cash)
    check_solvent(equity, tape)
    trades = pair_trades(fills, plan.orders, intents, tape, terms)
    return Simulation(intents, timeframe, terms, tape, plan, trades, equity, position, held_equity(tape, terms))
