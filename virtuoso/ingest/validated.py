"""What validation makes of the rows of a file, bars and events alike, and when so many are bad that the file fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from virtuoso.clock import iso
from virtuoso.errors import UnreadableFileError
from virtuoso.ingest.causes import Example, remedy_for
from virtuoso.market.events import Events
from virtuoso.market.rows import Rows
from virtuoso.venues.files.options import MAX_BAD_SHARE
from virtuoso.venues.files.timestamps import EARLIEST_S

R = TypeVar("R", Rows, Events)

EARLIEST_MS = EARLIEST_S * 1_000
LATEST_MS = 253_402_300_800_000  # the year 10000, which calendars do not write
LARGEST_AMOUNT = 1e30
"""No price, volume or ratio is larger: even counts of the smallest coins are not."""
FEW = 3  # so many bad rows do not fail a small file
MOST_BAD = 200_000
"""Bad rows above which a file that holds little else is refused before its end."""
NO_FAULT = ("outage",)
"""Reasons that show an outage of the venue, not a damaged file."""


class RejectedRow(NamedTuple):
    """A row that goes to quarantine.

    Attributes
    ----------
    number : int
        Of the row in the source, from 1.
    reason : str
        The first rule that it breaks.
    text : str
        As the source has it, or as JSON.
    time : int or None, ms
        Open time of a bar, time of an event.
    """

    number: int
    reason: str
    text: str
    time: int | None


@dataclass(frozen=True, slots=True)
class Validated(Generic[R]):
    """What validation made of the rows of one instrument and kind.

    Attributes
    ----------
    accepted : Rows or Events
        In order, each bar or event once.
    superseded : Rows or Events
        What else the source tells of accepted rows; the lake decides which version holds.
    duplicates, left_out : int
        Repeated rows with equal values; bars that had not closed, or events in which nothing is known.
    rejected : tuple of RejectedRow
    disordered : bool
        Whether the source was out of order.
    notes : tuple of str
        How it was read, and what is worth knowing.
    """

    accepted: R
    superseded: R
    duplicates: int
    left_out: int
    rejected: tuple[RejectedRow, ...]
    disordered: bool
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many rows broke which rule."""
        return dict(Counter(row.reason for row in self.rejected))

    @property
    def total(self) -> int:
        """Number of rows that count where the share of bad ones is asked for; what one row fills in another is none."""
        return len(self.accepted) + len(self.superseded) + self.duplicates + self.left_out + len(self.rejected)


class BadRows:
    """The bad rows of a file, counted part by part.

    Parameters
    ----------
    max_bad_share : float
        Largest share of its rows that may be rejected; outages of the venue do not count.
    """

    def __init__(self, max_bad_share: float = MAX_BAD_SHARE) -> None:
        self._most = max_bad_share
        self._counts: Counter[str] = Counter()
        self._total = 0
        self._first = ""
        self._rules: Counter[str] = Counter()
        self._examples: dict[str, Example] = {}
        self._what = "rows"

    def see(self, found: Validated[Rows] | Validated[Events], rules: Mapping[str, str]) -> None:
        """Take the rows of a part; `rules` says what each rule says.

        Raises
        ------
        UnreadableFileError
            More are bad than are kept of any file, and most of those that came so far.
        """
        self._total += found.total
        self._what = "events" if isinstance(found.accepted, Events) else "rows"
        bad = [row for row in found.rejected if row.reason not in NO_FAULT]
        self._counts.update(rules.get(row.reason, row.reason) for row in bad)
        self._rules.update(row.reason for row in bad)
        for row in bad:
            self._examples.setdefault(row.reason, Example(row.text, row.time))
        self._first = self._first or (_described(bad[0], rules) if bad else "")
        if self._counts.total() > MOST_BAD and 2 * self._counts.total() > self._total:
            self._refuse()

    def conclude(self) -> None:
        """Reject a file with too many bad rows.

        Raises
        ------
        UnreadableFileError
            More are bad, and more than a few, or not one is good.
        """
        bad = self._counts.total()
        good = self._total - bad
        if bad and not (good and (bad <= FEW or bad <= self._most * self._total)):
            self._refuse()

    def _refuse(self) -> None:
        bad = self._counts.total()
        listed = "; ".join(f"{count:,} x {rule}" for rule, count in sorted(self._counts.items()))
        remedy = remedy_for(self._rules, self._examples, bad, self._total)
        raise UnreadableFileError(
            f"{bad:,} of {self._total:,} {self._what} are bad ({listed}), first {self._first}. Nothing was stored. "
            f"{remedy}"
        )


def _described(row: RejectedRow, rules: Mapping[str, str]) -> str:
    """Name a rejected row in an error."""
    moment = ""
    if row.time is not None:  # a time that no calendar writes is shown as the number it is
        moment = f" ({iso(row.time) if EARLIEST_MS <= row.time < LATEST_MS else row.time})"
    return f"in row {row.number}{moment}: {rules.get(row.reason, row.reason)}"
