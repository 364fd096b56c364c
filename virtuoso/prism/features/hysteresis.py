"""Hysteresis with a bounded memory: on from one condition to another, and never longer than an age."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from virtuoso.types import Mask


def active(enters: Mask, leaves: Mask, age: int) -> Mask:
    """Whether the last entry came after the last leave and less than `age` bars ago."""
    at = np.arange(len(enters))
    entered = _last(enters)
    active: Mask = (entered > _last(leaves)) & (at - entered < age)
    return active


def _last(happened: Mask) -> NDArray[np.int64]:
    """Position of the last bar on which it happened, -1 before the first."""
    return np.maximum.accumulate(np.where(happened, np.arange(len(happened)), -1))
