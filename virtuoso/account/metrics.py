"""What a history of equity and trades amounts to, for a market that never closes.

1. A year is 365 days of 24 hours; what is annualised is annualised by the calendar, never by a count of bars.
2. Equity begins with the cash, so that a loss on the very first bar counts in the drawdown.
3. NaN means *not testable*: a ratio of nothing, a mean of one trade. It is never written as 0 or as infinity.
4. What differs by rounding alone does not differ: `spread_is_rounding` is what every ratio asks before it divides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.records import OPEN

Array = NDArray[np.float64]
Times = NDArray[np.int64]

DAY_MS = 86_400_000
YEAR_MS = 365 * DAY_MS
DAYS_A_YEAR = 365.0

LEAST_TRADES = 2
"""Closed trades below which no ratio is reported."""
LEAST_DAYS = 30
"""Whole days below which nothing is annualised: a lucky week is not a yearly rate."""

ROUNDING = 1_024 * float(np.finfo(np.float64).eps)
"""Share of what values were computed from, up to which a difference is taken for rounding: 2.3e-13."""
TAIL = 0.05
"""Share of the days that VaR and expected shortfall look at: the worst twentieth, confidence 95 %."""
DEPTH_TAKEN = 0.10
"""Share of the depth within 10 bp of the middle that an entry may take before it moves the price that it wants."""
OF_DAYS = (
    "cagr", "volatility", "sharpe", "sortino", "calmar", "value_at_risk", "expected_shortfall", "omega",
)  # fmt: skip
"""Figures that come from the returns of whole days."""
LARGEST = 1e75
"""Growth from which a return is not known: its fourth power would be no number."""


STEPS = 4.0 * 5e-324
"""A few steps between the smallest numbers that there are, where a share of their size is none."""


def spread_is_rounding(values: Array, scale: float = 1.0) -> NDArray[np.bool_]:
    """Whether the known values of each column differ by no more than rounding; true where fewer than two are known.

    Parameters
    ----------
    values : Array, shape (n,) or (n, n_columns)
        NaN and infinity are not known.
    scale : float
        Size of what they are differences of: 1 for returns, which are quotients less 1, so that the rounding of a
        return of 0.0003 is that of 1.0003; 0 for values that stand for themselves.

    Returns
    -------
    array of bool, shape (n_columns,), or of no dimension
    """
    known = np.isfinite(values)
    if len(values) and known.all():
        low, high = values.min(axis=0), values.max(axis=0)
    else:
        none = ~known.any(axis=0)
        low = np.where(none, 0.0, np.where(known, values, np.inf).min(axis=0, initial=np.inf))
        high = np.where(none, 0.0, np.where(known, values, -np.inf).max(axis=0, initial=-np.inf))
    size = np.maximum(np.maximum(np.abs(low), np.abs(high)), scale)
    least = np.maximum(ROUNDING / 2.0 * size, STEPS)
    rounding: NDArray[np.bool_] = high / 2.0 - low / 2.0 <= least  # halves: no overflow
    return rounding


def returns_of(equity: Array, cash: float) -> Array:
    """Return of each step, the first one from the cash.

    Parameters
    ----------
    equity : Array, quote currency, shape (n,) or (n, n_accounts)
    cash : float, quote currency
        Equity before the first step.

    Returns
    -------
    Array, shape of `equity`
        NaN where nothing was left to gain anything from: of 0 or less there is no return.
    """
    before = np.empty(equity.shape)
    before[:1], before[1:] = cash, equity[:-1]
    told = np.isfinite(before) & np.isfinite(equity) & (before > 0.0)
    gained = np.full(equity.shape, np.nan)
    with np.errstate(over="ignore", under="ignore"):
        np.divide(equity, before, out=gained, where=told)
    gained[~(np.abs(gained) < LARGEST)] = np.nan
    return gained - 1.0


def total_return(equity: Array, cash: float) -> float:
    """What one unit of cash has gained over the whole history; 0 where there is none yet."""
    return float(equity[-1] / cash - 1.0) if len(equity) else 0.0


def cagr(growth: float, years: float) -> float:
    """Yearly growth that compounds to a total return.

    Parameters
    ----------
    growth : float
        Total return; -1 is the loss of everything.
    years : float
        Years of 365 days.
    """
    if not (years > 0.0 and -1.0 <= growth < float("inf")):
        return float("nan")
    with np.errstate(over="ignore", under="ignore"):
        yearly = float(np.float64(1.0 + growth) ** (1.0 / years) - 1.0)
    return yearly if np.isfinite(yearly) else float("nan")


def volatility(returns: Array, periods: float) -> float:
    """Annualised standard deviation (n - 1) of the known returns.

    Parameters
    ----------
    returns : Array, shape (n,)
        NaN where not known.
    periods : float
        Returns a year.
    """
    known = returns[np.isfinite(returns)]
    if len(known) < 2:
        return float("nan")
    return 0.0 if spread_is_rounding(known) else float(known.std(ddof=1) * np.sqrt(periods))


def sharpe(returns: Array, periods: float) -> float:
    """Annualised mean over standard deviation of the known returns; the risk-free rate is taken as 0.

    Source: Sharpe (1994), The Sharpe ratio, Journal of Portfolio Management 21(1), 49-58.
    """
    known = returns[np.isfinite(returns)]
    spread = volatility(known, periods)
    return float(known.mean() * periods / spread) if spread > 0.0 else float("nan")


def sortino(returns: Array, periods: float) -> float:
    """Annualised mean over downside deviation; the downside is the root mean square of the losses over all returns.

    Source: Sortino and Price (1994), Performance measurement in a downside risk framework, Journal of Investing 3(3).
    """
    known = returns[np.isfinite(returns)]
    if len(known) < 2 or spread_is_rounding(np.minimum(known, 0.0)):
        return float("nan")  # the same loss every time is no more testable than none at all
    downside = float(np.sqrt(np.mean(np.minimum(known, 0.0) ** 2) * periods))
    return float(known.mean() * periods / downside)


def drawdown(equity: Array, cash: float) -> Array:
    """Fall from the highest equity so far, the cash at the start included.

    Returns
    -------
    Array, 0 or negative, shape (n,)
        -0.10 is a tenth below the peak. Uses `x[: t + 1]` only.
    """
    peak = np.maximum.accumulate(np.concatenate(([cash], equity)))[1:]
    fallen = np.full(len(equity), np.nan)
    np.divide(equity, peak, out=fallen, where=(peak > 0.0) & np.isfinite(peak) & np.isfinite(equity))
    return fallen - 1.0


def max_drawdown(equity: Array, cash: float) -> float:
    """Max drawdown from a peak: returns of -10 % and then +5 % give -0.10."""
    return float(drawdown(equity, cash).min()) if len(equity) else 0.0  # NaN if any of it is not known


def calmar(yearly: float, deepest: float) -> float:
    """Yearly growth over the max drawdown; not testable where there was none.

    Source: Young (1991), Calmar ratio: a smoother tool, Futures 20(1).
    """
    return yearly / -deepest if deepest < -ROUNDING else float("nan")


def ulcer(equity: Array, cash: float) -> float:
    """Root mean square of the drawdown of every bar, a share: deep and long falls count, short ones hardly.

    Source: Martin and McCann (1989), The Investor's Guide to Fidelity Funds, ch. 6.
    """
    fallen = drawdown(equity, cash)
    return float(np.sqrt(np.mean(fallen * fallen))) if len(fallen) else 0.0


def value_at_risk(returns: Array, tail: float = TAIL) -> float:
    """Return that the worst `tail` of the known returns do not reach: their quantile, negative for a loss.

    Source: historical simulation, Jorion (2006), Value at Risk, 3rd ed., ch. 10; linear between order statistics.
    """
    known = returns[np.isfinite(returns)]
    return float(np.quantile(known, tail)) if len(known) >= 2 else float("nan")


def expected_shortfall(returns: Array, tail: float = TAIL) -> float:
    """Mean of the worst `tail` of the known returns, negative for a loss; CVaR is another name of it.

    Source: Acerbi and Tasche (2002), On the coherence of expected shortfall, Journal of Banking & Finance 26(7).
    """
    known = np.sort(returns[np.isfinite(returns)])
    return float(known[: int((len(known) - 1) * tail) + 1].mean()) if len(known) >= 2 else float("nan")


def omega(returns: Array) -> float:
    """Sum of the gains over the sum of the losses of the known returns; not testable where nothing was lost.

    Source: Keating and Shadwick (2002), A universal performance measure, Journal of Performance Measurement 6(3), at
    a threshold of 0.
    """
    known = returns[np.isfinite(returns)]
    lost, gained = -float(known[known < 0.0].sum()), float(known[known > 0.0].sum())
    return gained / lost if len(known) >= 2 and lost > ROUNDING * max(gained, 1.0) else float("nan")


def payoff(pnl: Array) -> float:
    """Mean gain of the winners over the mean loss of the losers; not testable without either."""
    won, lost = pnl[pnl > 0.0], -pnl[pnl < 0.0]
    if not (len(won) and len(lost)):
        return float("nan")
    gained, given = float(won.mean()), float(lost.mean())
    return gained / given if given > ROUNDING * gained else float("nan")


def longest_streak(won: NDArray[np.bool_]) -> int:
    """Most trues in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], won.astype(np.int8), [0]))))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def win_rate(pnl: Array) -> float:
    """Share of the trades that ended with a gain."""
    return float((pnl > 0.0).mean()) if len(pnl) >= LEAST_TRADES else float("nan")


def profit_factor(pnl: Array) -> float:
    """Sum of the gains over the sum of the losses; not testable where nothing was lost."""
    lost, gained = -float(pnl[pnl < 0.0].sum()), float(pnl[pnl > 0.0].sum())
    return gained / lost if len(pnl) >= LEAST_TRADES and lost > ROUNDING * gained else float("nan")


def expectancy(pnl: Array) -> float:
    """Mean gain of a trade, in the unit of `pnl`."""
    return float(pnl.mean()) if len(pnl) >= LEAST_TRADES else float("nan")


def r_multiples(pnl: Array, risk: Array) -> Array:
    """Gain of each trade in units of what it risked; NaN for a trade without a stop.

    Source: Tharp (1998), Trade Your Way to Financial Freedom, ch. 7.
    """
    multiples = np.full(len(pnl), np.nan)
    np.divide(pnl, risk, out=multiples, where=(risk > 0.0) & (risk > ROUNDING * np.abs(pnl)))
    return multiples


def exposure(held: NDArray[np.bool_]) -> float:
    """Share of the bars at whose close a position was held."""
    return float(held.mean()) if len(held) else 0.0


def turnover(traded: float, equity: Array, days: float) -> float:
    """How often the mean equity was traded, a day.

    Parameters
    ----------
    traded : float, quote currency
        Notional of all fills.
    equity : Array, quote currency, shape (n,)
    days : float
    """
    mean = float(equity.mean()) if len(equity) else float("nan")
    return traded / mean / days if days > 0.0 and mean > 0.0 else float("nan")


def daily_returns(close_times: Times, equity: Array, cash: float, start_ms: int) -> Array:
    """Return of each whole day of 24 hours since the start.

    Parameters
    ----------
    close_times : array of int64, ms, shape (n,)
        Moments of the marks, increasing.
    equity : Array, quote currency, shape (n,)
    cash : float, quote currency
        Equity at the start.
    start_ms : int
        Open time of the first bar.

    Returns
    -------
    Array, shape (whole days,)
        A day without a mark carries the equity on: its return is 0. What is left of the last day is not counted.
    """
    days = int((close_times[-1] - start_ms) // DAY_MS) if len(close_times) else 0
    ends = start_ms + DAY_MS * np.arange(1, days + 1, dtype=np.int64)
    at = np.searchsorted(close_times, ends, side="right")
    return returns_of(np.concatenate(([cash], equity))[at], cash)


def account_metrics(close_times: Times, equity: Array, cash: float, start_ms: int) -> dict[str, float]:
    """Measure an account by its equity alone.

    The ratios come from returns of whole days of 24 hours and are annualised by 365; below 30 days they are NaN.
    """
    days = float(close_times[-1] - start_ms) / DAY_MS if len(close_times) else 0.0
    daily = daily_returns(close_times, equity, cash, start_ms)
    growth, deepest = total_return(equity, cash), max_drawdown(equity, cash)
    known = {"total_return": growth, "max_drawdown": deepest, "ulcer": ulcer(equity, cash)}
    if len(daily) < LEAST_DAYS:
        return known | dict.fromkeys(OF_DAYS, float("nan"))
    yearly = cagr(growth, days / DAYS_A_YEAR)
    return known | {
        "cagr": yearly,
        "volatility": volatility(daily, DAYS_A_YEAR),
        "sharpe": sharpe(daily, DAYS_A_YEAR),
        "sortino": sortino(daily, DAYS_A_YEAR),
        "calmar": calmar(yearly, deepest),
        "value_at_risk": value_at_risk(daily),
        "expected_shortfall": expected_shortfall(daily),
        "omega": omega(daily),
    }


def trade_metrics(trades: np.ndarray, still_open: int = OPEN) -> dict[str, float]:
    """Measure the closed trades.

    Parameters
    ----------
    trades : array with the fields reason, pnl, risk, fees and slippage, shape (n_trades,)
        An open trade is counted, but judged only when it is closed.
    still_open : int
        Its reason.
    """
    closed = trades[trades["reason"] != still_open]
    multiples = r_multiples(closed["pnl"], closed["risk"])
    multiples = multiples[np.isfinite(multiples)]
    return {
        "trades": float(len(closed)),
        "open_trades": float(len(trades) - len(closed)),
        "win_rate": win_rate(closed["pnl"]),
        "profit_factor": profit_factor(closed["pnl"]),
        "payoff": payoff(closed["pnl"]),
        "expectancy": expectancy(closed["pnl"]),
        "mean_r": expectancy(multiples),
        "fees": float(trades["fees"].sum()),
        "slippage": float(trades["slippage"].sum()),
    }


def judged(metrics: dict[str, float]) -> dict[str, float]:
    """Withhold the ratios of an account that has hardly traded: they would describe chance or nothing."""
    if metrics["trades"] >= LEAST_TRADES:
        return metrics
    return metrics | dict.fromkeys(OF_DAYS, float("nan"))


def drawdown_periods(close_times: Times, equity: Array, cash: float, start_ms: int) -> dict[str, list[float]]:
    """Return each stretch under the peak so far: when it began, was deepest and ended, how deep and how long it was.

    Parameters
    ----------
    close_times : array of int64, ms, shape (n_bars,)
    equity : Array, quote currency, shape (n_bars,)
        At the closes.
    cash : float
        Before the first bar, at `start_ms`.

    Returns
    -------
    dict of str to list
        start, trough, recovery (ms; -1 where it has not recovered), depth (negative share), length (ms, to the
        recovery or the last bar).
    """
    times = np.concatenate(([start_ms], close_times))
    fall = np.concatenate(([0.0], drawdown(equity, cash)))
    under = np.diff(np.concatenate(([0], (fall < 0.0).astype(np.int8), [0])))
    found: dict[str, list[float]] = {name: [] for name in ("start", "trough", "recovery", "depth", "length")}
    for first, after in zip(np.flatnonzero(under == 1), np.flatnonzero(under == -1), strict=True):
        deepest = int(first + np.argmin(fall[first:after]))
        recovered = after < len(times)
        end = int(times[after] if recovered else times[-1])
        row = (times[first - 1], times[deepest], end if recovered else -1, fall[deepest], end - times[first - 1])
        for name, value in zip(found, row, strict=True):
            found[name].append(value)
    return found


def monthly_returns(close_times: Times, equity: Array, cash: float) -> dict[str, float]:
    """Return of each calendar month (UTC) in which equity was marked, as `{'2019-01': 0.03}`.

    A month without a mark is absent; the next one then carries what happened since.
    """
    if not len(close_times):
        return {}
    months = (close_times - 1).astype("M8[ms]").astype("M8[M]")  # a close at midnight belongs to the day before
    last = np.append(np.flatnonzero(months[1:] != months[:-1]), len(months) - 1)
    gained = returns_of(equity[last], cash)
    return {str(month): float(gain) for month, gain in zip(months[last], gained, strict=True)}
