"""Plausible: results that no market pays, whatever the strategy; and the truth about a run, as far as it was asked.

| what | implausible |
|---|---|
| Sharpe ratio | above 6 a year (verdict.py) |
| costs | fees and slippage together below a tenth of a basis point of what was traded |
| trades | of thirty or more, not one in a hundred lost |
| limits, targets | 40 % or more of the fills within 5 % of a bar's range of its best price; 4 to 21 % are by chance |

Each has honest explanations: a rebate, a venue without fees, few trades that were lucky. Nothing is shipped until
somebody has written down which; what was written stays with the run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.records import CLOSED as LEFT
from virtuoso.account.records import ENTERED, LIQUIDATED, STOPPED, TARGETED
from virtuoso.account.state import HIGH, LOW, OPEN
from virtuoso.market.schema.columns import PRICES
from virtuoso.reports.format import number, percent, whole
from virtuoso.research.backtest.engine import PortfolioRun
from virtuoso.research.backtest.round_trips import STILL_OPEN, lives
from virtuoso.research.validation.foresight import Foresight
from virtuoso.types import Array

MOST_SHARPE = 6.0
"""Annual Sharpe ratio above which a result is not believed unexplained."""
LEAST_COST = 1e-5
"""Fees and slippage as a share of what was traded, below which a run was traded for nothing."""
LEAST_TRADES, MOST_WON = 30, 0.99
LEAST_FILLS, EXTREME, MOST_EXTREME = 20, 0.05, 0.4
"""Fills from which on they are judged; how near the best price of the bar one is extreme, as a share of its range; and
the share of such fills up to which that is chance."""
LEAST_TICKS = 20
"""Range of a bar, in ticks, from which on a fill at its best price says something."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of how a result came about.

    Attributes
    ----------
    foresight : Foresight or None
        Whether its orders know of later bars; None was not asked.
    oddities : tuple of str
        What no market pays, in words.
    explained : str
        Why that is right all the same, in the user's words.
    """

    foresight: Foresight | None = None
    oddities: tuple[str, ...] = ()
    explained: str = ""

    @classmethod
    def of(cls, done: PortfolioRun, foresight: Foresight | None = None, explained: str = "") -> Truth:
        """Look at the fills and trades of a run."""
        return cls(foresight, oddities(done), explained.strip())


def oddities(done: PortfolioRun) -> tuple[str, ...]:
    """What no market pays, in words; empty if there is nothing of the kind."""
    return tuple(words for words in (_costs(done), _won(done), _extremes(done)) if words)


def _costs(done: PortfolioRun) -> str:
    events = done.events
    filled = np.isin(events["kind"], (ENTERED, LEFT, STOPPED, TARGETED, LIQUIDATED))
    traded = float(np.abs(events["size"] * events["price"])[filled].sum())
    paid = float((events["fee"] + events["slippage"])[filled].sum())
    if not traded or paid >= LEAST_COST * traded:
        return ""
    return f"fees and slippage took {number(paid / traded * 1e4, 3)} basis points of what was traded"


def _won(done: PortfolioRun) -> str:
    trades = lives(done)
    closed = trades[trades["reason"] != STILL_OPEN]
    won = float((closed["pnl"] > 0.0).mean()) if len(closed) else 0.0
    if len(closed) < LEAST_TRADES or won < MOST_WON:
        return ""
    return f"{percent(won)} of {whole(len(closed))} trades were won"


def _extremes(done: PortfolioRun) -> str:
    depth = fill_depths(done)
    share = float((depth <= EXTREME).mean()) if len(depth) else 0.0
    if len(depth) < LEAST_FILLS or share < MOST_EXTREME:
        return ""
    return f"{percent(share)} of {whole(len(depth))} limits and targets were filled at the best price of their bar"


def fill_depths(done: PortfolioRun) -> Array:
    """How far inside its bar each limit or target was filled: 0 at the best price of the bar, 1 at the worst.

    Returns
    -------
    Array, 0..1, shape (n_fills,)
        Fills at the open, and in bars of a few ticks, say nothing and are left out.
    """
    events = done.events
    limit = (events["kind"] == ENTERED) & np.isfinite(_limits(done))
    rows = np.flatnonzero(limit | (events["kind"] == TARGETED))
    at, which = events["instant"][rows] - done.panel.first, events["instrument"][rows]
    bars, price, bought = done.panel.bars[at, which], events["price"][rows], events["size"][rows] > 0.0
    wide = bars[:, HIGH] - bars[:, LOW]
    with np.errstate(all="ignore"):
        depth = np.where(bought, price - bars[:, LOW], bars[:, HIGH] - price) / wide
        says = (wide >= LEAST_TICKS * _ticks(done)[which]) & (price != bars[:, OPEN]) & np.isfinite(depth)
    kept: Array = np.clip(depth[says], 0.0, 1.0)
    return kept


def _limits(done: PortfolioRun) -> Array:
    """Limit price of the intent behind each event, NaN where it went to the market, shape (n_events,)."""
    intent: NDArray[np.int64] = done.intent_of
    found = np.full(len(done.events), np.nan)
    found[intent >= 0] = done.intents["entry"][intent[intent >= 0]]
    return found


def _ticks(done: PortfolioRun) -> Array:
    """Smallest step between two prices of one bar, of each instrument, shape (n_instruments,)."""
    prices = done.panel.bars[:, :, OPEN : OPEN + len(PRICES)]
    step = np.abs(np.diff(np.sort(prices, axis=2), axis=2))
    step[~(step > 1e-9 * prices[:, :, 1:])] = np.inf  # rounding of floats is no step
    found: Array = step.min(axis=(0, 2), initial=np.inf)
    return found
