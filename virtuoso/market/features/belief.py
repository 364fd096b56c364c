"""Which values of a stream are believed: what goes on from event to event does not leap, unless it stays where it is.

A value further off the last believed one than a factor is doubted; the third in a row that stands there is believed,
and so is what follows it. The first value is believed, since there is nothing to doubt it by. Nothing is taken out of
what is stored; that a value was doubted is known when it arrives.
"""

from __future__ import annotations

import numpy as np

from virtuoso.jit.kernel import kernel
from virtuoso.types import Array, Mask

FAR_PRICE = 50.0
FAR_INTEREST = 1_000.0
BELIEVED = 3
"""So many values in a row at another level are believed."""
_LEVEL, _OTHER, _COUNT = range(3)


class Belief:
    """Doubts values of one stream, one after another.

    Parameters
    ----------
    far : float
        How many times off the last believed value another one is doubted.
    """

    def __init__(self, far: float) -> None:
        self.far = far
        self._state = np.array([np.nan, np.nan, 0.0])

    def doubted(self, values: Array) -> Mask:
        """Return which of the next values are doubted; those that are not known are not."""
        doubted = np.zeros(len(values), dtype=bool)
        known = values[values > 0.0]
        if len(known):
            level = self._state[_LEVEL] if self._state[_LEVEL] == self._state[_LEVEL] else known[0]
            low, high = min(level, known.min()), max(level, known.max())
            if high > self.far * low or self._state[_COUNT] > 0.0:
                _doubt(np.require(values, requirements=["C", "W"]), self.far, self._state, doubted)
            else:
                self._state[_LEVEL] = known[-1]
        return doubted


@kernel
def _doubt(values: Array, far: float, state: Array, doubted: Mask) -> None:
    """Say which values are doubted. Uses `values[: i + 1]` only."""
    for i in range(len(values)):
        value = values[i]
        if not value > 0.0:
            continue
        level, other = state[_LEVEL], state[_OTHER]
        if not (value > far * level or level > far * value):  # near, or the first one
            state[_LEVEL], state[_COUNT] = value, 0.0
            continue
        stays = state[_COUNT] > 0.0 and not (value > far * other or other > far * value)
        state[_COUNT] = state[_COUNT] + 1.0 if stays else 1.0
        state[_OTHER] = value
        if state[_COUNT] >= BELIEVED:
            state[_LEVEL], state[_COUNT] = value, 0.0
        else:
            doubted[i] = True
