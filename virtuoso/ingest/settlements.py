"""Whether rates of funding are settlements: at least an hour apart, and on whole hours.

What comes more often is a poll of a rate that is still to be settled; paid at each poll, minutes would cost what hours
do.
"""

from __future__ import annotations

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.clock import UNIT_MS, iso
from virtuoso.errors import AmbiguousError
from virtuoso.types import Times

MOST_WRONG = 0.01
_NEAR_MS = UNIT_MS["m"]
_HOUR_MS = UNIT_MS["h"]


class Settlements:
    """Judges the rates of a file; `see` them part by part, then `conclude`."""

    def __init__(self) -> None:
        self._seen = 0
        self._wrong = 0
        self._example = 0
        self._last: dict[Instrument, int] = {}

    def see(self, instrument: Instrument, times: Times) -> None:
        """Take the times of an instrument's settlements in a part of the file, in order, ms."""
        if not len(times):
            return
        before = self._last.get(instrument)
        step = np.diff(times, prepend=times[0] - _HOUR_MS if before is None else before)
        rest = times % _HOUR_MS
        off = np.minimum(rest, _HOUR_MS - rest) > _NEAR_MS
        wrong = (np.abs(step) < _HOUR_MS - 2 * _NEAR_MS) | off
        self._last[instrument] = int(times[-1])
        self._seen += len(times)
        if wrong.any() and not self._wrong:
            self._example = int(times[np.argmax(wrong)])
        self._wrong += int(wrong.sum())

    def conclude(self, name: str) -> None:
        """Refuse the file if its rates are no settlements.

        Parameters
        ----------
        name : str
            Of the file.

        Raises
        ------
        AmbiguousError
        """
        if self._wrong > MOST_WRONG * self._seen:
            raise AmbiguousError(
                f"{name}: {self._wrong:,} of {self._seen:,} rates, such as that of {iso(self._example)}, come less "
                "than an hour after another or off the whole hour: they are polls of a coming rate, not settlements, "
                "and each would be paid. Nothing was stored. Import the settled rates, such as Binance's fundingRate "
                "archives, or a table whose column next_funding_time says which settlement each poll is about; if "
                "hours are right and minutes are not, pass the right --time-zone."
            )
