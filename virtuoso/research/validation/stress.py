"""Stress: does a result survive what reality adds to it? Each question is a small table.

1. `costs`       fees and slippage times 0, 1, 2, 3.
2. `delay`       every intent acts some bars later; its levels stay where they were.
3. `plateau`     neighbours of the chosen parameters: a peak among losses was fitted, a plateau may be real.
4. `paths`       the whole strategy on histories put together from blocks of the real one.

All of them run the portfolio that is judged (portfolio.py), or the caller's own function that does. What else the same
trades and days might have come to is in fans.py, and runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import metrics
from virtuoso.account import records as r
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Env
from virtuoso.errors import ConfigError, DataError
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BREAK, TRADED, UNKNOWN, is_published
from virtuoso.market.schema.columns import COLUMNS
from virtuoso.reports.format import number, percent, whole
from virtuoso.research.backtest.engine import Account, PortfolioRun, run
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.research.validation.overfitting import NAN
from virtuoso.research.validation.robustness import annual_sharpe
from virtuoso.types import Array

FACTORS = (0.0, 1.0, 2.0, 3.0)
DELAYS = (0, 1, 2)

Intents = Mapping[Instrument, np.ndarray]
Parameters = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Case:
    """What became of a strategy under one assumption.

    Attributes
    ----------
    name : str
    net : float
        Total return after all costs.
    sharpe : float, a year
    drawdown : float, 0 or negative
    entries : int
    """

    name: str
    net: float
    sharpe: float
    drawdown: float
    entries: int

    @classmethod
    def of(cls, name: str, done: PortfolioRun) -> Case:
        """Measure a run."""
        cash = done.account.cash
        return cls(
            name,
            metrics.total_return(done.equity, cash),
            annual_sharpe(daily_returns(done)),
            metrics.max_drawdown(done.equity, cash),
            int((done.events["kind"] == r.ENTERED).sum()),
        )

    def __str__(self) -> str:
        return (
            f"{self.name:<28} {percent(self.net, signed=True):>10} {number(self.sharpe):>8} "
            f"{percent(self.drawdown):>9} {whole(self.entries):>8}"
        )


def daily_returns(done: PortfolioRun) -> Array:
    """Return of each whole day of a portfolio, shape (n_days,)."""
    opened = done.panel.open_times
    start = int(opened[0]) if len(opened) else 0
    return metrics.daily_returns(opened + done.panel.timeframe.ms, done.equity, done.account.cash, start)


def costs(panel: SimulationPanel, intents: Intents, account: Account, factors: Sequence[float] = FACTORS) -> list[Case]:
    """Trade with fees and slippage times each factor; liquidation fees and funding are the market's and stay."""
    cases = []
    for factor in factors:
        dearer = replace(account, maker=account.maker * factor, taker=account.taker * factor)
        cases.append(Case.of(f"costs x {factor:g}", run(panel.dearer(factor), intents, dearer)))
    return cases


def delay(panel: SimulationPanel, intents: Intents, account: Account, bars: Sequence[int] = DELAYS) -> list[Case]:
    """Act so many bars later than decided; stop and targets stay those of the decision."""
    return [Case.of(f"{late} bars late", run(panel, delayed(intents, late), account)) for late in bars]


def delayed(intents: Intents, late: int) -> dict[Instrument, np.ndarray]:
    """Give the same intents, so many bars later."""
    moved = {name: made.copy() for name, made in intents.items()}
    for made in moved.values():
        made["number"] += late
        made["expires"] += late
    return moved


@dataclass(frozen=True)
class Plateau:
    """What the neighbours of the chosen parameters earn.

    Attributes
    ----------
    chosen : Case
    neighbours : list of Case
        Each with one parameter a step lower or higher.
    """

    chosen: Case
    neighbours: list[Case]

    @property
    def kept(self) -> float:
        """Share of the chosen one's return that the median neighbour keeps; NaN where there is none to keep."""
        if not self.chosen.net > metrics.ROUNDING or not self.neighbours:
            return NAN
        return float(np.median([case.net for case in self.neighbours])) / self.chosen.net

    @property
    def gaining(self) -> float:
        """Share of the neighbours that gain."""
        return float(np.mean([case.net > 0.0 for case in self.neighbours])) if self.neighbours else NAN


def neighbours(parameters: Parameters, steps: Parameters) -> dict[str, dict[str, float]]:
    """Every set of parameters that is one step of one parameter away, by its name.

    Raises
    ------
    ConfigError
        If a step is of no parameter, or is 0.
    """
    unknown = [name for name, step in steps.items() if name not in parameters or step == 0.0]
    if unknown:
        raise ConfigError(f"A step is a number other than 0 of a parameter; {unknown[0]!r} has none. "
                          f"Parameters: {', '.join(sorted(parameters))}.")  # fmt: skip
    return {
        f"{name} {parameters[name] + sign * step:g}": {**parameters, name: parameters[name] + sign * step}
        for name, step in steps.items()
        for sign in (-1.0, 1.0)
    }


def plateau(parameters: Parameters, steps: Parameters, trade: Callable[[Parameters], PortfolioRun]) -> Plateau:
    """Trade the neighbours of the chosen parameters.

    Parameters
    ----------
    parameters : mapping of str to float
        Thresholds, weights, widths: what was chosen.
    steps : mapping of str to float
        How far a neighbour is from it.
    trade : callable
        Runs the portfolio with such parameters.
    """
    cases = [Case.of(name, trade(beside)) for name, beside in neighbours(parameters, steps).items()]
    return Plateau(Case.of("chosen", trade(parameters)), cases)


def resampled(frames: Sequence[MarketFrame], block: int, env: Env | None = None) -> list[MarketFrame]:
    """Put histories together from blocks of the real ones, the same blocks for all instruments.

    Parameters
    ----------
    frames : sequence of MarketFrame
        On one clock. What is not known in any of them is not drawn and stays unknown in all.
    block : int
        Mean length of a block, in bars (stationary bootstrap); 1 leaves no order at all.
    env : Env, optional
        Seeded with 0 if absent.

    Returns
    -------
    list of MarketFrame
        A drawn bar is moved as a whole, flow and book included, and scaled so that it follows the bar before it with
        the change of price that it really had.

    Raises
    ------
    DataError
        If the frames do not share known bars.
    """
    first, stop = max(f.base.first for f in frames), min(f.base.end for f in frames)
    known = np.ones(max(stop - first, 0), dtype=bool)
    for frame in frames:
        here = slice(first - frame.base.first, stop - frame.base.first)
        known &= is_published(frame.base.state[here]) & (frame.base.columns["close"][here] > 0.0)
    rows = np.flatnonzero(known)
    if len(rows) < 2:
        raise DataError("There are not two bars that all instruments know, so that no history can be drawn from them.")
    picks = picked(len(rows), block, (env or Env(seed=0)).random())
    return [_redrawn(frame, rows + first - frame.base.first, picks) for frame in frames]


def picked(n: int, block: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Positions of the stationary bootstrap: go on from the last one, or begin anew anywhere."""
    begins = random.random(n) < 1.0 / max(block, 1)
    begins[0] = True
    at = np.flatnonzero(begins)[np.cumsum(begins) - 1]
    picks: NDArray[np.int64] = (random.integers(0, n, n)[at] + np.arange(n) - at) % n
    return picks


def _redrawn(frame: MarketFrame, rows: NDArray[np.int64], picks: NDArray[np.int64]) -> MarketFrame:
    base = frame.base
    close = base.columns["close"][rows]
    before = np.concatenate((base.columns["open"][rows[:1]], close[:-1]))
    begins = base.state[rows] == BREAK  # what happened between two instruments is no change of price
    before[begins] = base.columns["open"][rows[begins]]
    path = before[0] * np.cumprod((close / before)[picks])
    factor = np.concatenate((before[:1], path[:-1])) / before[picks]
    columns = {}
    for name, values in base.columns.items():
        unit = COLUMNS[name].unit
        columns[name] = np.full(len(base), np.nan)
        columns[name][rows] = values[rows[picks]] * factor ** (unit.price + unit.quote)
    state = np.full(len(base), UNKNOWN, dtype=np.int8)
    drawn = base.state[rows[picks]]
    state[rows] = np.where(drawn > UNKNOWN, TRADED, drawn)
    share = np.zeros(len(base))
    share[rows] = 1.0
    return MarketFrame(frame.instrument, replace(base, columns=columns, state=state, share=share), frame.window)


def paths(
    frames: Sequence[MarketFrame],
    trade: Callable[[Sequence[MarketFrame]], PortfolioRun],
    block: int,
    draws: int = 20,
    env: Env | None = None,
) -> list[Case]:
    """Score, decide and trade on drawn histories; the first case is the real one.

    Parameters
    ----------
    frames : sequence of MarketFrame
    trade : callable
        Does everything from frames to the portfolio, as for the real one.
    block : int
        Mean length of a block, in bars: what an edge needs of the past must fit into it.
    draws : int
    env : Env, optional
        Seeded with 0 if absent.
    """
    random = (env or Env(seed=0)).random()
    cases = [Case.of("real", trade(frames))]
    for k in range(draws):
        drawn = resampled(frames, block, Env(seed=int(random.integers(2**62))))
        cases.append(Case.of(f"path {k + 1}", trade(drawn)))
    return cases


def table(cases: Sequence[Case]) -> str:
    """Cases below each other, for people."""
    head = f"{'':<28} {'net':>10} {'Sharpe':>8} {'drawdown':>9} {'entries':>8}"
    return "\n".join([head, *map(str, cases)])
