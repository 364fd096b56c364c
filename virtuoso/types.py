"""Types that every package shares: arrays by what they hold, and the callback that follows progress."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Numbers; NaN where one is not known."""
Mask = NDArray[np.bool_]
Times = NDArray[np.int64]
"""UTC milliseconds, or numbers of bars."""
Progress = Callable[[str, int, int], None]
"""`callback(stage, done, total)`."""
