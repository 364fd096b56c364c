"""Edge: the move that is expected of a hold, what it costs, and which side of the market that permits.

1. The score is standardised: by the mean and deviation that its weights declare, else by those of its history.
2. The move of a hold, in deviations known at its bar and clipped, is fitted as a straight line of the standardised
   score, on the bars of the history whose hold had ended (history.py). The line is fitted anew every hold, at bars
   whose number is a multiple of it. What the market did whatever the score was is not in it: only the slope counts.
3. A slope is shrunk by t^2 / (1 + t^2), t over its error by blocks of three holds: what is mostly noise is mostly 0.
4. Expected of bar t: slope x standardised score x deviation of a hold. Net of it is what funding takes from that side;
   a position is entered where the net move exceeds `signals.min_edge` round trips, spread and slippage included, and
   left where the expected move turns its sign, is not known, or one hold after it last was enough.

Market conditions therefore move permission: wide spreads and dear funding stop entries, wide moves allow them.

Source: James and Stein's positive part in its smooth form for the shrinkage (Efron and Morris, 1973, JASA 68).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from virtuoso.errors import NoDataError
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores
from virtuoso.signals.history import BLOCK_HOLDS, LEAST_BLOCKS, SHARED, Past, hold_of
from virtuoso.signals.moves import CLIP, period_of_hold, scaled
from virtuoso.signals.settings import SignalSettings
from virtuoso.types import Array


class Edges(NamedTuple):
    """What is expected of a hold, at each bar; every array has shape (n_bars,).

    Attributes
    ----------
    move : Array, bp
        Expected move of the price over the hold, above 0 upwards; NaN where nothing is known.
    cost : Array, bp
        A round trip as a taker.
    funding : Array, bp
        What a long pays over the hold.
    horizon : str
    """

    move: Array
    cost: Array
    funding: Array
    horizon: str

    def net(self, side: float) -> Array:
        """Expected gain of a side in bp, after what funding takes from it; what it would give is not counted on."""
        gain: Array = side * self.move - np.maximum(side * self.funding, 0.0)
        return gain

    def part(self, here: slice) -> Edges:
        """Return what is expected at some of the bars."""
        return Edges(self.move[here], self.cost[here], self.funding[here], self.horizon)


def edges_of(scores: Scores, settings: SignalSettings, back: int) -> Edges:
    """Return what is expected at every scored bar, and at `back` bars before them as far as there are.

    Raises
    ------
    NotLoadedError
        If bars that a history reaches back to exist but were not loaded.
    NoDataError
        If the funding of a perpetual is neither recorded nor declared.
    """
    timeframe = scores.frame.timeframe
    hold = timeframe.bars(hold_of(scores.prism, settings))
    past = Past.of(scores, settings, back + hold)  # a line may have been fitted a hold ago
    scores.workspace.require_loaded(timeframe, past.first - period_of_hold(hold))
    begin = max(scores.start - back, past.first)
    n = scores.start + len(scores) - begin
    cost, funding = past.prices(begin, n)
    if np.isnan(funding).all() and n:
        raise NoDataError(
            "signals.min_edge weighs an expected move against its costs, and funding is not known. Import it, or say "
            "what to assume: signals.costs.funding in the configuration, such as 0.0001 per eight hours; in a backtest "
            "also --assume-funding 0.0001."
        )
    return Edges(_moves(past, scores.prism, begin, n), cost, funding, past.horizon.text)


def _moves(past: Past, prism: Prism, begin: int, n: int) -> Array:
    """Expected move of the bars numbered [begin, begin + n), in bp."""
    declared = None if prism.usual is None else (prism.usual.mean, prism.usual.sd)
    numbers = np.arange(begin, begin + n)
    expected, score = np.full(n, np.nan), past.confluence[begin - past.first :]
    known = past.deviation(past.first, len(past.confluence))
    money = scaled(past.moves, known)
    for fitted in np.unique(numbers // past.hold) * past.hold:
        line = _line(past, money, declared, int(fitted))
        if line is None:
            continue
        mean, sd, slope = line
        here = slice(max(int(fitted), begin) - begin, int(fitted) + past.hold - begin)
        same = past.began[begin - past.first :][here] <= fitted
        z = np.clip((score[here] - mean) / sd, -CLIP, CLIP)
        expected[here] = np.where(same, slope * z * known[begin - past.first :][here], np.nan)
    return expected


def _line(
    past: Past, money: Array, declared: tuple[float, float] | None, number: int
) -> tuple[float, float, float] | None:
    """Mean and deviation of the score, and the shrunk slope, as known at the close of a bar; None where unknown."""
    if number < past.first:
        return None
    here = past.span(number)
    scores, moves = past.confluence[here], money[here]
    at = np.flatnonzero(np.isfinite(scores) & np.isfinite(moves))
    block = (past.first + here.start + at) // (BLOCK_HOLDS * past.hold)
    blocks = len(np.unique(block))
    if blocks < LEAST_BLOCKS:
        return None
    scores, moves = scores[at], moves[at]
    mean, sd = declared or (float(scores.mean()), float(scores.std()))
    if not sd > 0.0:
        return None
    x, y = (scores - scores.mean()) / sd, moves - moves.mean()
    spread = float((x * x).sum())
    if not spread > 0.0:
        return None
    slope = float((x * y).sum()) / spread
    place = np.unique(block, return_inverse=True)[1]
    strays = np.bincount(place, weights=x * (y - slope * x), minlength=blocks)
    variance = SHARED * float((strays * strays).sum()) * blocks / (blocks - 1) / (spread * spread)
    if not variance > 0.0:
        return mean, sd, slope
    told = slope * slope / variance
    return mean, sd, slope * told / (1.0 + told)
