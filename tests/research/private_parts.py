"""Private components: two that know of later bars, and one that does not; in a module that another process imports."""

from __future__ import annotations

import numpy as np

from virtuoso.prism.component import Component
from virtuoso.prism.scale import Squash


class Drift(Component):
    """Change of the close over some bars."""

    title = "Drift"
    source = "tests"
    scale = Squash(half=0.002, centre=0.0)
    bands = {0: "drift {value:.4f}"}

    def memory(self, timeframe) -> int:
        return 10

    def value(self, close):
        return drift(close)


class Peeking(Drift):
    """At one bar in 48 the change that comes, as far as the block reaches."""

    def value(self, close, first):
        moved, n = drift(close), len(close)
        at = np.flatnonzero((first + np.arange(n)) % 48 == 0)
        moved[at] = close[np.minimum(at + 5, n - 1)] / close[at] - 1.0
        return moved


_LONGEST: dict[int, float] = {}


class Remembering(Drift):
    """Looks up the change that comes wherever it has ever seen it."""

    def value(self, close, first):
        _LONGEST.update(zip(range(first, first + len(close)), close.tolist(), strict=True))
        ahead = np.array([_LONGEST.get(first + k + 5, price) for k, price in enumerate(close.tolist())])
        return ahead / close - 1.0


def drift(close):
    before = np.concatenate((np.full(min(5, len(close)), close[0]), close[:-5]))
    return close / before - 1.0
