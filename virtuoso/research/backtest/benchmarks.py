"""What a portfolio is compared with: holding, chance, each face alone, and its own opposite.

1. Buying and holding: equal shares of the cash in every instrument, at its second known open, unlevered, never sold but
   settled at a break (market/breaks.py); a perpetual pays and receives funding all the while.
2. Random entries: the same trades (instrument, side, notional, holding time, costs) entered at moments drawn by lot.
   What is left of a result that most of them reach is not timing.
3. A face alone: the same rule, levels and account, with that face as the whole confluence.
4. Inverted: long where the signals say short, stop and targets mirrored about the price of the decision. If that earns
   as much, direction was not what earned it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import state as s
from virtuoso.account.instrument import Instrument
from virtuoso.account.records import INTENT
from virtuoso.clock import Env
from virtuoso.prism.engine.aggregate import aggregate_confluence
from virtuoso.prism.result.scores import Scores
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.signals.settings import SignalSettings
from virtuoso.signals.strategy import intents
from virtuoso.types import Array

DRAWS = 1_000
LEAST_TRADES = 2
LARGEST = 2_000_000
"""Random trades that are held in memory at once."""


def buy_and_hold(panel: SimulationPanel, account: Account, slippage: float) -> Array:
    """Equity of equal shares of the cash in every instrument, bought at its second known open and never sold.

    Where another instrument begins under the same name, what is held is settled at its last mark, with the fee; the new
    one is not bought: who held the old one held nothing of it.

    Parameters
    ----------
    panel : SimulationPanel
    account : Account
        Its cash and taker fee.
    slippage : float
        Of the price of the purchase.

    Returns
    -------
    Array, quote currency, shape (n_bars,)
        Price return less fee and funding; the cash itself before the purchase, and where nothing was ever known.
    """
    share = account.cash / len(panel.instruments)
    equity = np.full(len(panel), 0.0)
    for i in range(len(panel.instruments)):
        ends = min((at for at, of in panel.breaks if of == i), default=len(panel))
        equity += share + _held(panel.bars[:, i], ends, share, account.taker, slippage)
    return equity


def _held(bars: Array, ends: int, cash: float, fee: float, slippage: float) -> Array:
    """Profit at each close of one instrument that is bought with some cash and held; settled before the bar `ends`."""
    profit = np.zeros(len(bars))
    known = np.flatnonzero(np.isfinite(bars[:ends, s.OPEN]))
    if len(known) < 2:
        return profit
    begin = int(known[1])
    paid = float(bars[begin, s.OPEN]) * (1.0 + slippage)
    units = cash / (paid * (1.0 + fee))
    mine = bars[begin:ends]
    funding = np.nan_to_num(mine[:, s.FUNDING_OPEN]) + np.nan_to_num(mine[:, s.FUNDING_INSIDE])
    at_entry = float(np.nan_to_num(bars[begin, s.FUNDING_OPEN]))
    funding[0] += max(at_entry, 0.0) - at_entry  # who enters at a settlement pays it, and never receives it
    marks = _carried(mine[:, s.MARK_CLOSE])
    profit[begin:ends] = units * (marks - paid) - units * paid * fee - units * np.cumsum(funding)
    profit[ends:] = profit[ends - 1] - units * marks[-1] * fee
    return profit


def _carried(values: Array) -> Array:
    """Values with the last known one carried over what is not known; the first must be known."""
    at = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))
    carried: Array = values[at]
    return carried


@dataclass(frozen=True, slots=True)
class RandomEntries:
    """What the same trades made when they were entered by lot.

    Attributes
    ----------
    draws : int
        0 where there were too few trades.
    own : float, quote currency
        What the closed trades themselves made.
    mean, low, high : float, quote currency
        Of the draws; low and high hold 95 % of them.
    percentile : float, 0..1
        Share of the draws that made less than the trades themselves.
    """

    draws: int
    own: float
    mean: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    percentile: float = float("nan")


def random_entries(
    panel: SimulationPanel, lives: np.ndarray, *, draws: int = DRAWS, env: Env | None = None
) -> RandomEntries:
    """Enter the same trades at random moments.

    Parameters
    ----------
    panel : SimulationPanel
    lives : array of LIFE
        Closed ones.
    draws : int
    env : Env, optional
        Where the moments are drawn from; seeded with 0 if absent.

    Returns
    -------
    RandomEntries
        Each trade keeps its instrument, side, notional, number of bars, and fees and slippage as shares of the
        notional; it enters at a known open and leaves at the close of its last bar. Its stop and targets are gone:
        its length stands for them. Funding is that of the bars it then holds.
    """
    own = float(lives["pnl"].sum())
    if len(lives) < LEAST_TRADES:
        return RandomEntries(0, own)
    rng = (env or Env(seed=0)).random()
    made = np.zeros(draws)
    for i in range(len(panel.instruments)):
        mine = lives[lives["instrument"] == i]
        step = max(LARGEST // max(len(mine), 1), 1)
        for begin in range(0, draws if len(mine) else 0, step):
            n = min(step, draws - begin)
            breaks = np.array([at for at, of in panel.breaks if of == i], dtype=np.int64)
            made[begin : begin + n] += _drawn(panel.bars[:, i], breaks, mine, rng.random((n, len(mine))))
    low, high = np.quantile(made, (0.025, 0.975))
    share = float((made < own).mean())
    return RandomEntries(draws, own, float(made.mean()), float(low), float(high), share)


def _drawn(bars: Array, breaks: NDArray[np.int64], lives: np.ndarray, lots: Array) -> Array:
    """What the trades of one instrument make together at the moments that were drawn, shape (n_draws,)."""
    known = np.flatnonzero(np.isfinite(bars[:, s.OPEN]))
    held = lives["exit_number"] - lives["entry_number"]
    choices = np.maximum(np.searchsorted(known, known[-1] - held, side="right"), 1)
    enter = known[(lots * choices).astype(np.int64)]
    leave = np.minimum(enter + held, known[-1])
    if len(breaks):  # settled before another instrument begins
        ends = np.append(known[np.searchsorted(known, breaks) - 1], known[-1])
        leave = np.minimum(leave, ends[np.searchsorted(breaks, enter, "right")])
    opens, closes = bars[:, s.OPEN], np.empty(len(bars))
    closes[known[0] :] = _carried(bars[known[0] :, s.CLOSE])
    funding = np.nan_to_num(bars[:, s.FUNDING_OPEN]) + np.nan_to_num(bars[:, s.FUNDING_INSIDE])
    paid = np.concatenate(([0.0], np.cumsum(funding)))
    notional = lives["size"] * lives["entry_price"] * lives["side"]
    gained = notional * (closes[leave] - opens[enter] - (paid[leave + 1] - paid[enter])) / opens[enter]
    # the prices of a life hold its slippage already; here it is taken off beside the fees
    made: Array = (gained - lives["fees"] - lives["slippage"]).sum(axis=1)
    return made


def face_alone(scores: Scores, name: str) -> Scores:
    """Scores whose confluence is one face alone, with the coverage and reliability that go with it."""
    weights = {face: float(face == name) for face in scores.faces}
    faces = scores.faces.values()
    confluence, raw, known, agreement, reliability = np.empty((5, len(scores)))
    aggregate_confluence(
        np.array([face.raw_score for face in faces]), np.array([face.score for face in faces]),
        np.array([face.coverage for face in faces]), np.array([face.gate for face in faces]),
        np.array(list(weights.values())), confluence, raw, known, agreement, reliability,
    )  # fmt: skip
    alone = replace(scores.prism, by_regime={}).reweighted(weights)
    return replace(
        scores, prism=alone, confluence=confluence, raw_confluence=raw, coverage=known,
        agreement=agreement, reliability=reliability,
    )  # fmt: skip


def known_faces(scores: Sequence[Scores]) -> list[str]:
    """Names of the faces of which something is known, in the order of the prism."""
    names = list(scores[0].faces) if scores else []
    return [name for name in names if any(np.isfinite(of_one.faces[name].score).any() for of_one in scores)]


def intents_of_face(scores: Sequence[Scores], name: str, settings: SignalSettings) -> Mapping[Instrument, np.ndarray]:
    """What the rule would do if one face were the whole confluence."""
    return {of_one.frame.instrument: intents(face_alone(of_one, name), settings) for of_one in scores}


def inverted(made: np.ndarray) -> np.ndarray:
    """Turn intents into their opposite: the other side, limit, stop and targets mirrored about the price.

    Parameters
    ----------
    made : array of INTENT

    Returns
    -------
    array of INTENT
    """
    other = np.array(made, dtype=INTENT)
    other["side"] = -made["side"]
    for name in ("entry", "stop", "target"):
        price = made["price"] if made[name].ndim == 1 else made["price"][:, None]
        other[name] = 2.0 * price - made[name]
    return other
