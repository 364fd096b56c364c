"""Dense bars in memory: published rows on the grid of their timeframe, what is missing classified (gaps.py)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Timeframe, iso
from virtuoso.errors import DataError, MissingColumnError, did_you_mean
from virtuoso.market.gaps import NO_TRADE, TRADED, UNKNOWN, GapPolicy, State, classify
from virtuoso.market.schema.columns import COLUMNS, REQUIRED, Columns
from virtuoso.types import Array


@dataclass(frozen=True)
class Bars:
    """A dense stretch of bars of one timeframe.

    Attributes
    ----------
    timeframe : Timeframe
    first : int
        Absolute number of the first bar (`open_time // timeframe.ms`).
    columns : mapping of str to Array, shape (n_bars,)
        NaN where a value is not known; flat at the last close in bars without a trade and bridged bars.
    state : array of int8, shape (n_bars,)
        TRADED, NO_TRADE, BRIDGED or UNKNOWN, see gaps.py.
    share : Array, shape (n_bars,)
        Share of the base bars behind each bar that is known (1 or 0 for base bars).
    complete : bool
        Whether history begins here. If not, there are older bars that were not loaded.
    """

    timeframe: Timeframe
    first: int
    columns: Mapping[str, Array]
    state: State
    share: Array
    complete: bool = True

    def __len__(self) -> int:
        return len(self.state)

    @property
    def end(self) -> int:
        """Number of the bar after the last one."""
        return self.first + len(self)

    @property
    def open_times(self) -> NDArray[np.int64]:
        """Open time of each bar, ms."""
        return np.arange(self.first, self.end, dtype=np.int64) * self.timeframe.ms

    @property
    def close_times(self) -> NDArray[np.int64]:
        """Moment each bar is known, ms."""
        return self.open_times + self.timeframe.ms

    def until(self, end: int) -> Bars:
        """Return the bars before number `end`, as they were known then."""
        keep = min(max(end - self.first, 0), len(self))
        columns = {name: values[:keep] for name, values in self.columns.items()}
        return replace(self, columns=columns, state=self.state[:keep], share=self.share[:keep])

    def since(self, first: int) -> Bars:
        """Return the bars from number `first` on; what lies before exists but is not loaded."""
        skip = min(max(first - self.first, 0), len(self))
        columns = {name: values[skip:] for name, values in self.columns.items()}
        return replace(
            self,
            first=self.first + skip,
            columns=columns,
            state=self.state[skip:],
            share=self.share[skip:],
            complete=self.complete and skip == 0,
        )

    def fingerprint(self) -> str:
        """Return the digest of the logical values: the same for the same bars wherever they are stored."""
        digest = hashlib.sha256(f"{self.timeframe.name} {self.first} {len(self)}".encode())
        digest.update(np.ascontiguousarray(self.state).tobytes())
        for name in sorted(self.columns):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(self.columns[name]).tobytes())
        return digest.hexdigest()

    @classmethod
    def from_rows(
        cls,
        timeframe: Timeframe,
        open_times: NDArray[np.int64],
        columns: Columns,
        policy: GapPolicy,
        state: State | None = None,
        complete: bool = True,
    ) -> Bars:
        """Put published rows on the grid and classify what is missing.

        Parameters
        ----------
        timeframe : Timeframe
        open_times : array of int64, ms, shape (n_rows,)
            Strictly increasing, on the grid.
        columns : mapping of str to Array, shape (n_rows,)
        policy : GapPolicy
            What a missing row means.
        state : array of int8, shape (n_rows,), optional
            State of the stored rows (the store writes NO_TRADE rows); TRADED if absent.
        complete : bool
            Whether history begins with the first row.

        Raises
        ------
        DataError
            Empty, unsorted, duplicated or off-grid rows.
        MissingColumnError
            A required column is absent, or one is unknown.
        """
        _check_rows(timeframe, open_times, columns)
        numbers = open_times // timeframe.ms
        first, n = int(numbers[0]), int(numbers[-1] - numbers[0]) + 1
        at = (numbers - first).astype(np.int64)
        states: State = np.full(n, TRADED, dtype=np.int8)
        states[at] = TRADED if state is None else state
        if n == len(at):
            dense = {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
        else:
            dense = {name: np.full(n, np.nan) for name in columns}
            for name, values in columns.items():
                dense[name][at] = values
            _fill_gaps(dense, at, states, policy)
        share = np.where((states == TRADED) | (states == NO_TRADE), 1.0, 0.0)
        return cls(timeframe, first, dense, states, share, complete)


def _check_rows(timeframe: Timeframe, open_times: NDArray[np.int64], columns: Columns) -> None:
    for name in REQUIRED:
        if name not in columns:
            raise MissingColumnError(f"Bars need the column {name!r}; these carry {', '.join(columns)}.")
    for name in columns:
        if name not in COLUMNS:
            raise MissingColumnError(f"There is no column {name!r}. {did_you_mean(name, COLUMNS)}")
    if len(open_times) == 0:
        raise DataError(f"There is not one {timeframe.name} bar to work on.")
    if not np.issubdtype(np.asarray(open_times).dtype, np.integer):
        raise DataError(
            f"Open times must be integers in UTC milliseconds, were {np.asarray(open_times).dtype}. "
            "Convert them with index.as_unit('ms').astype('int64')."
        )
    step = np.diff(open_times)
    if (step <= 0).any():
        bad = int(np.argmax(step <= 0)) + 1
        kind = "twice" if step[bad - 1] == 0 else "out of order"
        raise DataError(f"The bar of {iso(int(open_times[bad]))} comes {kind}. Import it through the store.")
    off = open_times % timeframe.ms != 0
    if off.any():
        bad_time = int(open_times[int(np.argmax(off))])
        raise DataError(f"A bar opens at {iso(bad_time)}, which is not on the {timeframe.name} grid.")


def _fill_gaps(columns: dict[str, Array], at: NDArray[np.int64], state: State, policy: GapPolicy) -> None:
    """Classify the bars without a row, and fill those that functions may look at."""
    traded, missing = np.zeros(len(state), dtype=bool), np.ones(len(state), dtype=bool)
    traded[at], missing[at] = state[at] == TRADED, False
    # a gap is counted from the last trade, not from the flat rows that the lake has written into it
    state[missing] = classify(traded, policy)[missing]
    filled = np.flatnonzero(missing & (state != UNKNOWN))
    before = at[np.searchsorted(at, filled) - 1]
    close = columns["close"][before]
    for name, values in columns.items():
        values[filled] = COLUMNS[name].in_gap(values[before], close)
