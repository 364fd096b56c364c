"""Scales: from a raw value to a score of 0 (most bearish) to 100 (most bullish), 50 neutral.

Every scale is Lipschitz (a small change of the value is a small change of the score), unit-free (the value must be)
and made of + - x / sqrt and comparisons, which give the same bits on every CPU; exp and tanh do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Protocol

import numpy as np

from virtuoso.errors import ParameterError
from virtuoso.jit.kernel import kernel
from virtuoso.types import Array

NOT_KNOWN = np.array(np.nan)
"""NaN as NumPy holds it: handed a Python float, `np.where` finds out its type anew, which takes as long as the rest."""


class Scale(Protocol):
    """Anything that maps raw values to scores elementwise, NaN to NaN."""

    def __call__(self, value: Array) -> Array:
        """Score of each value, 0..100, shape (n_bars,)."""
        ...

    @property
    def slope(self) -> float:
        """Largest change of the score per unit of value: its Lipschitz constant."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """A straight line between two anchors, flat outside: `Linear(zero=30, hundred=70)`.

    Attributes
    ----------
    zero, hundred : float, unit of the value
        Values that score 0 and 100; zero may be the larger one.
    """

    zero: float
    hundred: float

    def __post_init__(self) -> None:
        if self.zero == self.hundred:
            raise ParameterError(f"Linear needs two different anchors, were {self.zero} and {self.hundred}.")

    def __call__(self, value: Array) -> Array:
        """Score of each value."""
        score: Array = np.clip((value - self.zero) * (100.0 / (self.hundred - self.zero)), 0.0, 100.0)
        return score

    def of(self, value: float) -> float:
        """Score of one value; NaN to NaN."""
        score = (value - self.zero) * (100.0 / (self.hundred - self.zero))
        return 0.0 if score < 0.0 else 100.0 if score > 100.0 else score

    @property
    def slope(self) -> float:
        """Largest change of the score per unit of value."""
        return abs(100.0 / (self.hundred - self.zero))


@dataclass(frozen=True, slots=True)
class Squash:
    """A smooth S around a centre, never quite 0 or 100: 50 + 50 x / sqrt(s^2 + x^2), x = value - centre.

    Attributes
    ----------
    half : float, unit of the value
        Distance from the centre that scores 85.4 (or 14.6); its sign turns the scale around.
    centre : float, unit of the value
        The value that scores 50.
    """

    half: float
    centre: float = 0.0

    def __post_init__(self) -> None:
        if self.half == 0:
            raise ParameterError("Squash needs a half-width other than 0.")

    def __call__(self, value: Array) -> Array:
        """Score of each value."""
        score = np.empty(len(value))
        _squash(np.ascontiguousarray(value), self.centre, self.half, score)
        return score

    def of(self, value: float) -> float:
        """Score of one value; NaN to NaN. IEEE arithmetic and root: the bits are those of the array."""
        x = (value - self.centre) / self.half
        return 50.0 + 50.0 * x / sqrt(1.0 + x * x)

    @property
    def slope(self) -> float:
        """Largest change of the score per unit of value, at the centre."""
        return abs(50.0 / self.half)


@kernel
def _squash(value: Array, centre: float, half: float, out: Array) -> None:
    """Write what `Squash.of` gives of each value: one pass instead of seven over arrays that lie in between."""
    for t in range(len(value)):
        x = (value[t] - centre) / half
        out[t] = 50.0 + 50.0 * x / np.sqrt(1.0 + x * x)


def ratio(a: Array, b: Array) -> Array:
    """Divide: a / b, and NaN where b is 0: not known, never infinite and never a default.

    Parameters
    ----------
    a, b : Array, shape (n_bars,)

    Returns
    -------
    Array, shape (n_bars,)
    """
    whole = np.count_nonzero(b) == len(b)  # a sixth of what b.all() takes
    quotient: Array = a / b if whole else a / np.where(b != 0.0, b, NOT_KNOWN)
    return quotient
