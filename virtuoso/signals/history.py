"""History: what prices did after scores like this one, as far as it was known at the close of a bar.

1. The horizon is the hold that the weights declare, else `signals.max_age`. The history of bar t are the bars whose
   hold had ended by its close, at most `signals.history` holds and MOST_BARS back, and none of another instrument that
   had the same name.
2. Scores are alike that lie in the same bucket. Mean move, its interval and the share of moves upwards are of their
   bars; neighbouring bars share most of their path, so the interval goes by blocks of three holds, not by bars.
3. Beside it stands the cost of a round trip as a taker, and the funding that a long pays over the hold.

The history of a bar depends on the bars before it alone, and reaches back a bounded way: cut the future, begin later,
go bar by bar, and it says the same.

Source: Cameron and Miller (2015), Journal of Human Resources 50(2), eq. 10-12, for the interval by blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.costs import FUNDING_MS
from virtuoso.clock import Span, Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import BREAK
from virtuoso.prism.engine.score import assemble
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores
from virtuoso.signals.moves import BP, deviations, forward_returns, period_of_hold
from virtuoso.signals.settings import CostSettings, SignalSettings
from virtuoso.types import Array

EDGES = (0.0, 25.0, 32.0, 40.0, 45.0, 50.0, 55.0, 60.0, 68.0, 75.0, 100.0)
"""Of the buckets of scores: symmetric about 50, with the default thresholds of the rule (32 and 68) among them."""
MOST_BARS = 150_000
"""Bars that a history reaches back, at most: what a process that has just begun can still score in seconds."""
BLOCK_HOLDS = 3
LEAST_BLOCKS = 10
"""Blocks that hold scores like one, below which nothing is known of what followed them."""
SHARED = 9.0 / 8.0
"""Overlapping moves at the ends of a block of three holds share a ninth of their variance with the next block."""
TAIL = 0.025

_KEPT: WeakKeyDictionary[Workspace, dict[str, tuple[int, Array]]] = WeakKeyDictionary()


def hold_of(prism: Prism, settings: SignalSettings) -> Span:
    """Return the horizon of signals: the hold that the weights declare, else the age at which a signal lapses."""
    return prism.horizon or settings.max_age


def life_of(prism: Prism, settings: SignalSettings) -> Span:
    """Return how long a signal lives: a hold where what is expected of one decides, else `signals.max_age`."""
    return hold_of(prism, settings) if settings.min_edge > 0.0 else settings.max_age


def reach(prism: Prism, settings: SignalSettings, timeframe: Timeframe) -> int:
    """How many bars before the one that asks a history looks at, its hold included."""
    hold = timeframe.bars(hold_of(prism, settings))
    return min(settings.history * hold, MOST_BARS) + hold


def looked_back(prism: Prism, settings: SignalSettings, timeframe: Timeframe) -> int:
    """How many bars before a decision its history looks at, and what is expected of it where that decides."""
    hold = timeframe.bars(hold_of(prism, settings))
    by_edge = 2 * hold + period_of_hold(hold) if settings.min_edge > 0.0 else 0
    return reach(prism, settings, timeframe) + by_edge


class AfterScores(NamedTuple):
    """What prices did after scores like one.

    Attributes
    ----------
    horizon : str
        The hold, such as '4h'.
    low, high : float, points
        Scores that are alike; NaN where the score itself is not known.
    bars, windows : int
        Of such scores whose hold had ended, and how many holds of them do not overlap.
    mean, mean_low, mean_high : float, bp
        Move from the next open to the close one hold later, with its 95 % interval. NaN with fewer than LEAST_BLOCKS
        blocks of time.
    up : float, 0..1
        Share of them after which the price stood higher; NaN likewise.
    cost : float, bp
        A round trip as a taker at that moment.
    funding : float, bp
        What a long pays over the hold; NaN where it is not known.
    """

    horizon: str
    low: float
    high: float
    bars: int
    windows: int
    mean: float
    mean_low: float
    mean_high: float
    up: float
    cost: float
    funding: float

    @property
    def is_known(self) -> bool:
        """Whether there were enough of them."""
        return self.mean == self.mean

    def words(self) -> str:
        """Write it as one line.

        Examples
        --------
        >>> AfterScores("4h", 60.0, 68.0, 900, 61, 0.31, -1.2, 1.9, 0.48, 14.0, 1.5).words()
        'after scores like this: mean +0.3 bp (-1, +2), up 48 %, cost 14 bp; 61 windows of 4h after scores of 60 to 68'
        """
        cost = f"cost {self.cost:.0f} bp"
        if self.low != self.low:
            return f"after scores like this: not known, since the score is not; {cost}"
        of = f"{self.windows:,} windows of {self.horizon} after scores of {self.low:g} to {self.high:g}"
        if not self.is_known:
            return f"after scores like this: not known, too few: {of}; {cost}"
        return (
            f"after scores like this: mean {self.mean:+.1f} bp ({self.mean_low:+.0f}, {self.mean_high:+.0f}), "
            f"up {100.0 * self.up:.0f} %, {cost}; {of}"
        )


@dataclass(frozen=True)
class Past:
    """Scores of the bars numbered from `first` on, and what prices did after them; arrays have shape (n_bars,).

    Attributes
    ----------
    bars : Bars
        Of the market.
    horizon : Span
    hold : int, bars
    reach : int, bars
        How far back a history goes.
    first : int
    confluence : Array, points
    moves : Array, bp
        Forward returns of a hold. That of bar u is known from the close of bar u + hold on.
    began : array of int64
        Number of the bar at which the instrument that a bar is of began, as far as these bars tell.
    costs : CostSettings
    spot : bool
    """

    bars: Bars
    horizon: Span
    hold: int
    reach: int
    first: int
    confluence: Array
    moves: Array
    began: NDArray[np.int64]
    costs: CostSettings
    spot: bool

    @classmethod
    def of(cls, scores: Scores, settings: SignalSettings, back: int = 0) -> Past:
        """Gather the history of every scored bar, and of `back` bars before them.

        Raises
        ------
        NotLoadedError
            If bars that a history reaches back to exist but were not loaded.
        """
        timeframe, base = scores.frame.timeframe, scores.frame.base
        horizon, far = hold_of(scores.prism, settings), reach(scores.prism, settings, timeframe)
        hold = timeframe.bars(horizon)
        horizon = max(horizon, Span(timeframe.name), key=lambda span: span.ms)  # nothing is held for less than a bar
        wanted = scores.start - far - back
        scores.workspace.require_loaded(timeframe, wanted)
        first = max(wanted, base.first)
        confluence = _with_lead(scores, first)
        n = len(confluence)
        numbers = np.arange(first, first + n)
        broken = base.state[first - base.first : first - base.first + n] == BREAK
        return cls(
            base, horizon, hold, far, first, confluence, forward_returns(base, first, n, hold),
            np.maximum.accumulate(np.where(broken, numbers, first)), settings.costs,
            scores.frame.instrument.is_spot,
        )  # fmt: skip

    def span(self, number: int) -> slice:
        """Places of the bars whose hold had ended at the close of a bar."""
        stop = number - self.hold + 1 - self.first
        start = max(number - self.reach + 1, int(self.began[number - self.first])) - self.first
        return slice(max(start, 0), max(stop, start, 0))

    def deviation(self, number: int, n: int) -> Array:
        """Deviation of a hold's move in bp, as known at the bars from one on, shape (n,)."""
        sd = deviations(self.bars, number, n, period_of_hold(self.hold))
        of_hold: Array = sd * np.sqrt(float(self.hold))
        return of_hold

    def prices(self, begin: int, n: int) -> tuple[Array, Array]:
        """Round trip as a taker, and funding of a long over the hold, in bp, as known at n bars from one on.

        By the spread and the funding rate that were recorded, else by what is declared.
        """
        here, columns = slice(begin - self.bars.first, begin - self.bars.first + n), self.bars.columns
        slippage, rate = np.full(n, self.costs.slippage), np.full(n, 0.0 if self.spot else _or_nan(self.costs.funding))
        if "spread" in columns:
            slippage = np.fmax(slippage, 0.5 * columns["spread"][here] / columns["close"][here])
        if "funding_rate" in columns and not self.spot:
            recorded = columns["funding_rate"][here]
            rate = np.where(np.isnan(recorded), rate, recorded)
        return 2.0 * BP * (self.costs.taker + slippage), BP * rate * (self.horizon.ms / FUNDING_MS)

    def after(self, number: int) -> AfterScores:
        """What prices did after scores like that of a bar, as known at its close.

        Parameters
        ----------
        number : int
            Of a bar that was asked for. Uses the bars up to it only.
        """
        score, nan = float(self.confluence[number - self.first]), float("nan")
        price = tuple(float(of[0]) for of in self.prices(number, 1))
        if score != score:
            return AfterScores(self.horizon.text, nan, nan, 0, 0, nan, nan, nan, nan, *price)
        k = min(int(np.searchsorted(EDGES, score, side="right")) - 1, len(EDGES) - 2)
        low, high = EDGES[max(k, 0)], EDGES[max(k, 0) + 1]
        here = self.span(number)
        scores, moves = self.confluence[here], self.moves[here]
        alike = (scores >= low) & ((scores < high) | (high == EDGES[-1])) & np.isfinite(moves)
        at = np.flatnonzero(alike)
        numbers, followed = self.first + here.start + at, moves[at]
        windows = len(np.unique(numbers // self.hold))
        found = _mean_by_block(followed, numbers // (BLOCK_HOLDS * self.hold))
        up = float((followed > 0.0).mean()) if found[0] == found[0] else nan
        return AfterScores(self.horizon.text, low, high, len(at), windows, *found, up, *price)


def _with_lead(scores: Scores, first: int) -> Array:
    """Confluence of the scored bars and of those before them from number `first` on.

    It is kept beside its workspace, so that live no bar is assembled twice. That changes no bit: assembling it again
    gives the same.
    """
    kept = _KEPT.setdefault(scores.workspace, {})
    begin, confluence = kept.get(scores.prism.fingerprint, (0, np.empty(0)))
    if not (begin <= first and scores.start <= begin + len(confluence)):
        if begin <= first < begin + len(confluence):  # only what came since is missing
            behind = begin + len(confluence)
            since = assemble(scores.prism, scores.workspace, behind, scores.start).confluence
            confluence = np.concatenate((confluence, since))
        else:
            begin, confluence = first, assemble(scores.prism, scores.workspace, first, scores.start).confluence
    lead = confluence[first - begin : scores.start - begin]
    together = np.concatenate((lead, scores.confluence))
    kept[scores.prism.fingerprint] = (first, together)
    return together


def _mean_by_block(values: Array, block: NDArray[np.int64]) -> tuple[float, float, float]:
    """Mean and its 95 % interval, by how sums of blocks stray from it; NaN with fewer than LEAST_BLOCKS of them."""
    from scipy.special import stdtrit

    place = np.unique(block, return_inverse=True)[1]
    blocks = int(place.max()) + 1 if len(place) else 0
    if blocks < LEAST_BLOCKS:
        return (float("nan"),) * 3
    mean = float(values.sum() / len(values))
    strays = np.bincount(place, weights=values - mean, minlength=blocks)
    error = np.sqrt(SHARED * float((strays * strays).sum()) * blocks / (blocks - 1)) / len(values)
    away = -float(stdtrit(blocks - 1, TAIL)) * float(error)
    return mean, mean - away, mean + away


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
