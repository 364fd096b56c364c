"""What is stored and what is missing, series by series: plain values to print, to compare and to write as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from virtuoso.clock import iso
from virtuoso.lake.manifest import Series

Defects = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is stored of one instrument on one timeframe.

    Attributes
    ----------
    venue, symbol, timeframe : str
    start, end : int, ms
        Open time of the first bar, close time of the last.
    bars, no_trade, missing : int
        Bars stored; flat ones among them; bars that are not there.
    gaps, revisions, quarantined, late : int
        Stretches of missing bars; superseded versions kept; rows refused; bars known only after their close.
    files, bytes : int
    """

    venue: str
    symbol: str
    timeframe: str
    start: int
    end: int
    bars: int
    no_trade: int
    missing: int
    gaps: int
    revisions: int
    quarantined: int
    late: int
    files: int
    bytes: int

    @property
    def share(self) -> float:
        """Share of the bars between start and end that are there."""
        return self.bars / (self.bars + self.missing)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {**values, "share": self.share, "start_utc": iso(self.start), "end_utc": iso(self.end)}


@dataclass(frozen=True, slots=True)
class SeriesCheck:
    """The gaps and defects of one series.

    Attributes
    ----------
    coverage : Coverage
    gaps : tuple of (int, int, int, str)
        Open time of the first missing bar, of the next one that is there, how many are missing, and the status.
    refused : dict of str to int
        Rows in quarantine, by rule.
    """

    coverage: Coverage
    gaps: tuple[tuple[int, int, int, str], ...]
    refused: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        gaps = [
            {"start": a, "end": b, "bars": n, "status": status, "start_utc": iso(a), "end_utc": iso(b)}
            for a, b, n, status in self.gaps
        ]
        return {**self.coverage.to_dict(), "gaps": gaps, "refused": self.refused}


def coverage_of(series: Series) -> Coverage:
    """Say what is stored of a series."""
    step = series.clock.ms
    return Coverage(
        venue=series.venue,
        symbol=series.symbol,
        timeframe=series.timeframe,
        start=series.first,
        end=series.last + step,
        bars=series.rows,
        no_trade=sum(file.no_trade for file in series.files),
        missing=sum((gap.end - gap.start) // step for gap in series.gaps),
        gaps=len(series.gaps),
        revisions=sum(file.rows for file in series.revisions),
        quarantined=sum(entry.rows for entry in series.quarantine),
        late=sum(file.late for file in series.files),
        files=len(series.files),
        bytes=sum(file.bytes for file in series.files),
    )


def check_of(series: Series) -> SeriesCheck:
    """Say what is missing or wrong in a series, from the ledger."""
    step = series.clock.ms
    gaps = tuple((gap.start, gap.end, (gap.end - gap.start) // step, gap.status) for gap in series.gaps)
    return SeriesCheck(coverage_of(series), gaps, _refused(series))


def _refused(series: Series) -> dict[str, int]:
    """Rows in quarantine, by rule."""
    refused: dict[str, int] = {}
    for entry in series.quarantine:
        for rule, count in entry.reasons.items():
            refused[rule] = refused.get(rule, 0) + count
    return refused


@dataclass(frozen=True, slots=True)
class EventCoverage:
    """What is stored of one kind of event of one instrument.

    Attributes
    ----------
    kind, venue, symbol : str
    start, end : int, ms
        Time of the first and of the last event.
    rows : int
    partitions : int
        Days or months that hold some.
    gaps : dict of str to int
        Gaps by status: silent, sequence, short day, damaged (event_gaps.py).
    revisions, quarantined, late : int
        Superseded versions kept; rows refused; rows that came into stored history later.
    files, bytes : int
    """

    kind: str
    venue: str
    symbol: str
    start: int
    end: int
    rows: int
    partitions: int
    gaps: dict[str, int]
    revisions: int
    quarantined: int
    late: int
    files: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {**values, "start_utc": iso(self.start), "end_utc": iso(self.end)}


@dataclass(frozen=True, slots=True)
class EventCheck:
    """The gaps and defects of one kind of event of one instrument.

    Attributes
    ----------
    coverage : EventCoverage
    gaps : tuple of (int, int, str)
        Time of the last event before and of the first one after, ms, and the status.
    refused : dict of str to int
        Rows in quarantine, by rule.
    """

    coverage: EventCoverage
    gaps: Defects
    refused: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        ledger = [
            {"start": a, "end": b, "status": status, "start_utc": iso(a), "end_utc": iso(b)}
            for a, b, status in self.gaps
        ]
        return {**self.coverage.to_dict(), "ledger": ledger, "refused": self.refused}


def event_coverage_of(series: Series) -> EventCoverage:
    """Say what is stored of a series of events; of one that holds refused rows only, nothing from 0 to 0."""
    gaps: dict[str, int] = {}
    for gap in series.gaps:
        gaps[gap.status] = gaps.get(gap.status, 0) + 1
    return EventCoverage(
        kind=series.kind,
        venue=series.venue,
        symbol=series.symbol,
        start=series.first if series.files else 0,
        end=series.last if series.files else 0,
        rows=series.rows,
        partitions=len({file.month for file in series.files}),
        gaps=gaps,
        revisions=sum(file.rows for file in series.revisions),
        quarantined=sum(entry.rows for entry in series.quarantine),
        late=sum(file.late for file in series.files),
        files=len(series.files),
        bytes=sum(file.bytes for file in series.files),
    )


def event_check_of(series: Series) -> EventCheck:
    """Say what is missing or wrong in a series of events, from the ledger."""
    gaps = tuple((gap.start, gap.end, gap.status) for gap in series.gaps)
    return EventCheck(event_coverage_of(series), gaps, _refused(series))
