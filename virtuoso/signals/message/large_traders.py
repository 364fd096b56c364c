"""Participants: what large orders and market makers did over the last hour, or bar if that is longer; for insights.

They have no weight.
Everything is a share or a ratio of sums over closed bars, known only where every column it names is known on at least
half of them. Nothing here is a direction by itself: it says who was there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from virtuoso.clock import Span
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.types import Array

WINDOW = "1h"
"""What is 'now'; a day of such windows before it is 'usual'."""
USUAL_WINDOWS = 24
LEAST_KNOWN = 0.5
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Institutions:
    """Trades of the largest tenth.

    Attributes
    ----------
    share : float, 0..1
        Of all volume; NaN where not known.
    lean : float, -1..1
        Bought minus sold over both.
    over : str
        What 'now' is: 'hour', or 'bar' where a bar is longer.
    """

    share: float = NAN
    lean: float = NAN
    over: str = "hour"


@dataclass(frozen=True, slots=True)
class MarketMakers:
    """How those who quote behave.

    Attributes
    ----------
    spread : float
        Mean spread over its usual.
    depth : float
        Notional within half a percent over its usual: below 1 quotes were withdrawn.
    bid_refill, ask_refill : float
        Notional put back over notional taken, of each side.
    bid_held, ask_held : float, 0..1
        Share of what takers traded against a side without moving it: icebergs and patience.
    """

    spread: float = NAN
    depth: float = NAN
    bid_refill: float = NAN
    ask_refill: float = NAN
    bid_held: float = NAN
    ask_held: float = NAN


def institutions(workspace: Workspace, number: int) -> Institutions:
    """Read the share and the side of large trades at the close of a base bar."""
    now = _Window.of(workspace, number)
    bought, sold, volume = (now.total(name) for name in ("large_buy_volume", "large_sell_volume", "volume"))
    over = "hour" if workspace.frame.timeframe.ms <= Span(WINDOW).ms else "bar"
    return Institutions(_over(bought + sold, volume), _over(bought - sold, bought + sold), over)


def market_makers(workspace: Workspace, number: int) -> MarketMakers:
    """Read what quotes did at the close of a base bar."""
    now, usual = _Window.of(workspace, number), _Window.of(workspace, number, USUAL_WINDOWS)
    depth = [window.mean("bid_depth_50bp") + window.mean("ask_depth_50bp") for window in (now, usual)]
    return MarketMakers(
        spread=_over(now.mean("spread"), usual.mean("spread")),
        depth=_over(*depth),
        bid_refill=_over(now.total("bid_refill"), now.total("bid_taken")),
        ask_refill=_over(now.total("ask_refill"), now.total("ask_taken")),
        bid_held=_over(now.total("bid_absorbed"), now.total("bid_taken")),
        ask_held=_over(now.total("ask_absorbed"), now.total("ask_taken")),
    )


@dataclass(frozen=True, slots=True)
class _Window:
    """The last bars up to a number, column by column."""

    workspace: Workspace
    low: int
    end: int

    @classmethod
    def of(cls, workspace: Workspace, number: int, windows: int = 1) -> _Window:
        base = workspace.frame.base
        bars = windows * base.timeframe.bars(WINDOW)
        workspace.require_loaded(base.timeframe, number - bars + 1)
        return cls(workspace, number - bars + 1, number + 1)

    def known(self, name: str) -> Array:
        """Known values of a column; none where fewer than half of the window's bars are known."""
        base = self.workspace.frame.base
        if name not in base.columns:
            return np.empty(0)
        values = base.columns[name][max(self.low - base.first, 0) : self.end - base.first]
        values = values[np.isfinite(values)]
        return values if len(values) >= LEAST_KNOWN * (self.end - self.low) else np.empty(0)

    def total(self, name: str) -> float:
        """Sum of a column, NaN where it is not known."""
        values = self.known(name)
        return float(np.cumsum(values)[-1]) if len(values) else NAN  # one order of summing, whatever the length

    def mean(self, name: str) -> float:
        """Mean of a column, NaN where it is not known."""
        values = self.known(name)
        return self.total(name) / len(values) if len(values) else NAN


def _over(a: float, b: float) -> float:
    return a / b if b > 0.0 else NAN
