"""Regimes of base bars: read on the second slowest timeframe of the ladder, and seen from that bar's close on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe
from virtuoso.prism.engine.workspace import Workspace, visible
from virtuoso.prism.features.regime import Regime, RegimeState
from virtuoso.prism.prism import Prism

UNKNOWN_REGIME = -1

Codes = NDArray[np.int8]


def regime_timeframe(prism: Prism, base: Timeframe) -> Timeframe:
    """Timeframe on which the regime is read: the second slowest of the ladder, slow enough to be a state."""
    ladder = [timeframe for timeframe, _ in prism.ladder(base)]
    return ladder[-2] if len(ladder) > 1 else ladder[0]


def regimes_at(prism: Prism, workspace: Workspace, numbers: NDArray[np.int64], regime: Regime | None = None) -> Codes:
    """Regime at the close of some base bars.

    Parameters
    ----------
    prism : Prism
        Whose ladder says which timeframes there are.
    workspace : Workspace
    numbers : array of int64, shape (n,)
        Increasing.
    regime : Regime, optional

    Returns
    -------
    array of int8, shape (n,)
        Codes of REGIMES; UNKNOWN_REGIME where it is not known.

    Raises
    ------
    NotLoadedError
        If bars that it looks at exist but were not loaded.
    """
    base = workspace.frame.timeframe
    own, found = regime_timeframe(prism, base), np.full(len(numbers), UNKNOWN_REGIME, dtype=np.int8)
    bars, seen = workspace.buffers(own).bars, workspace.visible(numbers, base, own)
    there = np.flatnonzero((seen >= bars.first) & (seen < bars.end))
    if len(numbers):
        workspace.require_loaded(own, int(visible(numbers[0], base, own)))
    if len(there):
        low, end = int(seen[there[0]]), int(seen[there[-1]]) + 1
        code = workspace.values(regime or Regime(), own, low, end)[RegimeState._fields.index("code")]
        code = code[seen[there] - low]
        found[there] = np.where(np.isnan(code), UNKNOWN_REGIME, code).astype(np.int8)
    return found
