"""What is asked of a file as a whole, while its parts come one after the other.

1. `see` takes a part that was validated, `take` what became of it in the lake.
2. `conclude` refuses the file where too many of its rows are bad, where it contradicts itself or what is stored, or
   where its trades are stored under other ids. Its caller then takes back what was added of it.

3. `count` and `account` see to it that each line of the file is counted once: as a row that was stored, was there, took
   the place of another, contradicts one or was refused, a bar still forming, blank, a header, or left out.

A file that is plainly another thing than it claims is refused before its end, so that its bad rows need not be kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from virtuoso.account.instrument import Instrument
from virtuoso.errors import AmbiguousError
from virtuoso.ingest import event_rules, validate_bars
from virtuoso.ingest.report import FileReport
from virtuoso.ingest.settlements import Settlements
from virtuoso.ingest.units import Units
from virtuoso.ingest.validated import BadRows, Validated
from virtuoso.lake.event_rows import by_partition, rows_of_events
from virtuoso.lake.manifest import BARS
from virtuoso.lake.writing.event_merge import MergedEvents, aggregated_twice
from virtuoso.lake.writing.transaction import Batch
from virtuoso.lake.writing.versions import MergedCounts
from virtuoso.market.events import Events
from virtuoso.market.rows import Rows
from virtuoso.types import Times
from virtuoso.venues.files.bars import RawBars
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.raw_events import NO_LINES, RawEvents

FEW_REVISED = 10
"""Changed rows that do not make a file one of another market."""
MOST_AGGREGATED_TWICE = 0.5
"""Share of trades with the time, price and side of stored ones of other ids, beyond which they are the same trades."""


class UncountedLinesError(RuntimeError):
    """A decoder has lost lines of a file, or told of some twice: an error of ours, not of the file."""


class Verdict:
    """What the parts of a file have shown so far.

    Parameters
    ----------
    path : Path
    options : ImportOptions
    """

    def __init__(self, path: Path, options: ImportOptions) -> None:
        self._path = path
        self._options = options
        self._bad = BadRows(options.max_bad_share)
        self._bars = 0
        self._superseded_bars = 0
        self._units = Units()
        self._settlements = Settlements()
        self._lines = NO_LINES
        self._without_rows = 0
        self._with_rows = 0
        self._rows: list[Times] = []
        self._shared: Counter[tuple[str, Instrument]] = Counter()
        self._contradicted: Counter[tuple[str, Instrument]] = Counter()

    def count(self, raw: RawBars | RawEvents) -> None:
        """Take what a decoder has read, of the next part of the file or more of the same."""
        if raw.lines.read:
            self._close_part()
        self._lines = self._lines.plus(raw.lines)
        self._without_rows += raw.left_out
        rejected = raw.table.broken if isinstance(raw, RawBars) else raw.rejected
        rows = raw.table.rows if isinstance(raw, RawBars) else raw.rows
        self._rows += [rows, np.array([row[0] for row in rejected], dtype=np.int64)]

    def _close_part(self) -> None:
        """Count the lines of which the part before told; several rows may come from one."""
        if self._rows:
            numbers = np.sort(np.concatenate(self._rows))  # nearly in order, which hashing does not use
            self._with_rows += int((np.diff(numbers) != 0).sum()) + (len(numbers) > 0)
            self._rows = []

    def account(self, report: FileReport) -> None:
        """Write the lines of the file into its report.

        Raises
        ------
        UncountedLinesError
            They do not add up.
        """
        self._close_part()
        report.lines, report.blank, report.header = self._lines
        with_rows = report.lines - report.blank - report.header - self._without_rows
        report.unit = "lines" if with_rows + self._without_rows == report.rows_read else "events"
        if with_rows != self._with_rows or report.uncounted:
            raise UncountedLinesError(
                f"{report.lines:,} lines of {self._path} are {self._with_rows:,} with rows, {self._without_rows:,} "
                f"left out, {report.blank:,} blank and {report.header:,} of headers; {report.uncounted:,} of its "
                f"{report.rows_read:,} rows are not counted"
            )

    def see(self, kind: str, found: Validated[Rows] | Validated[Events]) -> None:
        """Take the rows of a part, of one kind and instrument.

        Raises
        ------
        UnreadableFileError
            So many are bad that the rest of the file cannot save it.
        """
        self._bad.see(found, validate_bars.RULES if kind == BARS else event_rules.RULES)
        if kind == BARS:
            self._bars += found.total
            self._superseded_bars += len(found.superseded)
        if isinstance(found.accepted, Rows):
            self._units.see(found.accepted)

    def take(self, batch: Batch, counts: MergedCounts, partitions: Mapping[str, MergedEvents]) -> None:
        """Take what becomes of a part in the lake.

        Raises
        ------
        AmbiguousError
            Its trades are stored under other ids.
        """
        if isinstance(batch.rows, Events) and batch.rows.kind.name == "funding":
            self._settlements.see(batch.instrument, batch.rows.event_time)
        key = (batch.series.kind, batch.instrument)
        self._shared[key] += counts.shared
        self._contradicted[key] += counts.contradicted
        if isinstance(batch.rows, Events) and batch.rows.kind.name == "trades":
            _reject_aggregated_twice(self._path, batch.instrument, batch.rows, partitions)

    def conclude(self) -> None:
        """Say whether the file can be believed.

        Raises
        ------
        UnreadableFileError
            Too many of its rows are bad.
        AmbiguousError
            It holds bars twice with different values, or contradicts what is stored, as one of another market does; or
            its volumes count something else than coins and quote currency.
        """
        self._bad.conclude()
        self._units.conclude(self._path.name)
        self._settlements.conclude(self._path.name)
        most = self._options.max_revised_share
        if self._superseded_bars > FEW_REVISED and self._superseded_bars > most * self._bars:
            raise AmbiguousError(
                f"{self._path.name} holds {self._superseded_bars:,} bars twice with different values; does it mix "
                "markets? Nothing was stored. Write one file a market, or raise --max-revised-share."
            )
        for (kind, instrument), contradicted in self._contradicted.items():
            shared = self._shared[kind, instrument]
            if not self._options.prefer and contradicted > FEW_REVISED and contradicted > most * shared:
                raise AmbiguousError(
                    f"{contradicted:,} of {shared:,} {kind} differ from those stored of {instrument}. Are they of "
                    "another market or in another time zone? Nothing was stored. If this file is right, import it with "
                    f"--prefer; to keep both, raise --max-revised-share above {contradicted / shared:.3g}."
                )


def _reject_aggregated_twice(
    path: Path, instrument: Instrument, trades: Events, partitions: Mapping[str, MergedEvents]
) -> None:
    """Reject single trades where aggregated ones are stored, or the other way round: each would count twice."""
    for day, rows in by_partition(rows_of_events(trades)):
        shared, share = aggregated_twice(rows, partitions[day].rows)
        if shared > FEW_REVISED and share > MOST_AGGREGATED_TWICE:
            raise AmbiguousError(
                f"{share:.0%} of the trades that {path.name} and the lake both have of {instrument} on "
                f"{day} are the same under other ids: one holds single trades, the other aggregated ones, and each "
                "trade would count twice. Nothing was stored. Keep to one of them; of a file of several kinds, --kind "
                "depth takes the book alone."
            )
