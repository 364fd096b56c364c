"""What a record does not show: the day that has not come yet, and marks that do not move as the market does.

1. `Tail`: a day as bad as the worst known one, laid on what was held, through every stop. A record of n days without
   such a day leaves room for it on 3 / n of them (the rule of three, at 95 %), so the gains must outlast three; and one
   on the most that was ever held must leave something of the account.
2. `Marks`: how much of a day's move of the market the marks show on that day. Smoothed marks hide what is lost and make
   days hang together.

Sources: Hanley and Lippman-Hand (1983), If nothing goes wrong, is everything all right?, JAMA 249(13), for the rule of
three; Getmansky, Lo and Makarov (2004), Journal of Financial Economics 74(3), for smoothed marks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from virtuoso.account import metrics
from virtuoso.account.state import MARK_CLOSE
from virtuoso.research.backtest.engine import PortfolioRun
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.research.validation.overfitting import NAN
from virtuoso.research.validation.stress import daily_returns
from virtuoso.types import Array

KNOWN_CRASH = 0.40
"""The least that a worst day is taken for: bitcoin fell by 39 % on 12 March 2020; an instrument's own worst day counts
where it was worse."""
UNSEEN = 3.0
"""Such days that a record without one leaves room for, at 95 %, however long it is."""
LAGS = 5
"""Days over which marks may lag behind."""


@dataclass(frozen=True, slots=True)
class Tail:
    """What days as bad as the worst known one would do to an account.

    Attributes
    ----------
    shock : float
        Move of the price, as a share, against what is held.
    mean, most : float
        Share of the equity that it takes: of what was held in the mean of all bars, flat ones included, and at most.
    gained : float
        Sum of the daily returns.
    """

    shock: float
    mean: float
    most: float
    gained: float

    @property
    def left(self) -> float:
        """What the gains leave after as many such days as the record leaves room for."""
        return self.gained - UNSEEN * self.mean

    @classmethod
    def of(cls, done: PortfolioRun, worst: float = 0.0) -> Tail:
        """Lay the worst known day on what a portfolio held.

        Parameters
        ----------
        done : PortfolioRun
        worst : float
            A worse day that is known of from elsewhere, as a share of the price.
        """
        shock = max(KNOWN_CRASH, worst, worst_day(done.panel))
        alive = done.equity > 0.0
        held = done.exposure[alive] / done.equity[alive]
        lost = held * most_lost(done, shock)
        daily = daily_returns(done)
        gained = float(daily[np.isfinite(daily)].sum())
        return cls(shock, *((float(lost.mean()), float(lost.max())) if len(lost) else (NAN, NAN)), gained)

    @classmethod
    def of_days(cls, daily: Array, exposure: float, shock: float = KNOWN_CRASH) -> Tail:
        """The same of days alone, where a share of the equity is known to have been held throughout."""
        return cls(shock, exposure * shock, exposure * shock, float(daily[np.isfinite(daily)].sum()))


def most_lost(done: PortfolioRun, shock: float) -> float:
    """Share of the notional that a shock takes: isolated margin is lost with its liquidation fee, and no more."""
    account = done.account
    if not account.isolated or any(name.is_spot for name in done.panel.instruments):
        return shock
    return min(shock, 1.0 / account.leverage + account.liquidation_fee)


def worst_day(panel: SimulationPanel) -> float:
    """Largest move of any instrument within a day, up or down, as a share of its price; 0 where none is known."""
    moves = np.abs(daily_moves(panel.closes, panel.timeframe.ms))
    moves = moves[np.isfinite(moves)]
    return float(moves.max()) if len(moves) else 0.0


def daily_moves(prices: Array, step_ms: int) -> Array:
    """Moves of prices over whole days, shape (n_days, n_instruments); of a step where steps are longer than days."""
    a_day = max(metrics.DAY_MS // step_ms, 1)
    sampled = prices[a_day - 1 :: a_day]
    moves = np.full((max(len(sampled) - 1, 0), prices.shape[1]), np.nan)
    if len(moves):
        np.divide(sampled[1:], sampled[:-1], out=moves, where=sampled[:-1] > 0.0)
    return moves - 1.0


@dataclass(frozen=True, slots=True)
class Marks:
    """How marks move beside the market.

    Attributes
    ----------
    follow : float
        Share of a day's move of the closes that the marks show on that day, of the instrument where it is least; 1 for
        marks that move as the market does, NaN where too few days are known.
    """

    follow: float

    @classmethod
    def of(cls, panel: SimulationPanel) -> Marks:
        """Hold marks against closes, day by day, over as many days before as smoothing may reach."""
        step = panel.timeframe.ms
        closes, marks = daily_moves(panel.closes, step), daily_moves(panel.bars[:, :, MARK_CLOSE], step)
        found = [follows(closes[:, i], marks[:, i]) for i in range(closes.shape[1])]
        known = [share for share in found if share == share]
        return cls(min(known) if known else NAN)


def follows(market: Array, marked: Array) -> float:
    """Coefficient of the same day: marked moves regressed on those of the market of that day and of LAGS before.

    Parameters
    ----------
    market, marked : Array, shape (n_days,)

    Returns
    -------
    float
        NaN below LEAST_DAYS days, and where the market does not move.
    """
    if len(market) <= LAGS:
        return NAN
    lagged = np.column_stack([market[LAGS - k : len(market) - k] for k in range(LAGS + 1)])
    known = np.isfinite(lagged).all(axis=1) & np.isfinite(marked[LAGS:])
    if known.sum() < metrics.LEAST_DAYS or metrics.spread_is_rounding(lagged[known, 0]):
        return NAN
    given, asked = lagged[known], marked[LAGS:][known]
    return float(np.linalg.lstsq(given - given.mean(axis=0), asked - asked.mean(), rcond=None)[0][0])
