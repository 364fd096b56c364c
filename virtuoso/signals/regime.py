"""The regime in which positions are entered: `signals.regimes` names it (prism/features/regime.py says what it is).

Where the regime is not known and not all are named, no position is entered.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from virtuoso.prism.engine.regimes import UNKNOWN_REGIME, Codes, regime_timeframe, regimes_at
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.features.regime import Regime, RegimeState
from virtuoso.prism.prism import Prism
from virtuoso.prism.words import REGIMES, RegimeName

__all__ = (
    "REGIMES", "UNKNOWN_REGIME", "Codes", "Regime", "RegimeName", "RegimeState", "admits", "regime_name",
    "regime_timeframe", "regimes", "regimes_at",
)  # fmt: skip


def regimes(prism: Prism, workspace: Workspace, start: int, stop: int, regime: Regime | None = None) -> Codes:
    """Regime at the close of each base bar numbered [start, stop); see `regimes_at`."""
    return regimes_at(prism, workspace, np.arange(start, stop, dtype=np.int64), regime)


def regime_name(code: int) -> str:
    """Name of a regime; empty where it is not known."""
    return "" if code == UNKNOWN_REGIME else REGIMES[code]


def admits(names: Sequence[RegimeName], code: Codes) -> NDArray[np.bool_]:
    """Whether positions are entered, array of the shape of `code`: where the regime is named, or all of them are."""
    if set(names) == set(REGIMES):
        return np.ones(len(code), dtype=bool)
    named: NDArray[np.bool_] = np.isin(code, [REGIMES.index(name) for name in names])
    return named
