"""Import of events from files: find the decoder, identify the instrument, judge, merge.

1. The first decoder that recognises a file by its name and its first bytes reads it (`DECODERS`).
2. Its symbol is what the file says, else what the caller says; the venue is the caller's word alone.
3. The border judges the events (validate_events.py); what it refuses goes to quarantine, or fails the file if it is too
   much.
4. Trades are not taken both one by one and aggregated: what is stored of a time stays, the other is refused.
5. All kinds and instruments of a file are merged, or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from virtuoso.account.instrument import Instrument, compact
from virtuoso.errors import AmbiguousError
from virtuoso.ingest.detect import FEW_REVISED
from virtuoso.ingest.report import FileReport
from virtuoso.lake.writing.files import RejectedRows
from virtuoso.lake.writing.transaction import Writer
from virtuoso.venues.files.options import ImportOptions
from virtuoso.venues.raw_events import RawEvents

if TYPE_CHECKING:
    from virtuoso.ingest.validate_events import InspectedEvents
    from virtuoso.lake.writing.event_merge import MergedEvents

MOST_TOLD_OTHERWISE = 0.5
"""Share of trades with the time, price and side of stored ones of other ids, beyond which they are the same trades."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Events of one kind and instrument of a file, judged."""

    raw: RawEvents
    instrument: Instrument
    judged: InspectedEvents

    @property
    def series(self) -> tuple[str, Instrument]:
        return self.raw.kind, self.instrument


def import_events(
    writer: Writer, path: Path, raws: Sequence[RawEvents], wanted: ImportOptions, now_ms: int, report: FileReport
) -> None:
    """Judge all events of a file, then merge them: all of its kinds and instruments, or none.

    Raises
    ------
    DataError
        The file is not what it claims to be, or of another market; nothing of it is taken.
    """
    from virtuoso.ingest.validate_events import inspect_events, refuse_bad_events

    parts = [_Part(raw, _instrument(raw, wanted), inspect_events(raw, now_ms)) for raw in _of_symbol(raws, wanted)]
    _describe(parts, raws, report)
    refuse_bad_events({str(number): part.judged for number, part in enumerate(parts)}, wanted.max_bad_share)
    for part in parts:
        merged = writer.preview_events(part.instrument, part.judged.events)
        _refuse_another_market(part, merged.values(), wanted)
        _refuse_told_twice(part, merged)
    for part in parts:
        source = (path.name, part.raw.sha256, len(part.raw) + len(part.raw.refused))
        refused = _refused(part.judged)
        counts = writer.add_events(part.instrument, part.judged.events, part.judged.superseded, refused, source)
        report.stored += counts.stored
        report.duplicates += counts.duplicates + part.judged.duplicates
        report.revisions += counts.revised
        report.late += counts.late
        if counts.changed:
            report.status = "imported"


def _of_symbol(raws: Sequence[RawEvents], wanted: ImportOptions) -> list[RawEvents]:
    """Those of the wanted symbol, or all."""
    return [raw for raw in raws if wanted.symbol is None or raw.symbol in (None, wanted.symbol)]


def _instrument(raw: RawEvents, wanted: ImportOptions) -> Instrument:
    """Instrument of events: the symbol that they or the caller say, at the venue that the caller says."""
    symbol = raw.symbol or wanted.symbol
    if symbol is None:
        raise AmbiguousError(
            f"{raw.path.name} does not say of which symbol its {raw.kind} are. Pass --symbol, such as --symbol BTCUSDT."
        )
    instrument = Instrument(wanted.venue, compact(symbol))
    if raw.simulated and not instrument.is_simulated:
        raise AmbiguousError(
            f"{raw.path} was made by the simulator and says so; its events are not of {wanted.venue!r}. "
            "Pass --venue simulated."
        )
    return instrument


def _describe(parts: Sequence[_Part], raws: Sequence[RawEvents], report: FileReport) -> None:
    """Say what a file holds and how it was read."""
    report.instruments = sorted({str(part.instrument) for part in parts})
    report.kinds = list(dict.fromkeys(part.raw.kind for part in parts))
    report.rows_read = sum(len(part.raw) + len(part.raw.refused) for part in parts)
    report.notes = list(dict.fromkeys(note for part in parts for note in part.judged.notes))
    others = {raw.symbol for raw in raws} - {part.raw.symbol for part in parts}
    if others:
        report.notes.append(f"left out {len(others)} other symbols")
    if any(part.judged.disordered for part in parts):
        report.notes.append("rows were out of order and have been sorted")
    for part in parts:
        for reason, count in part.judged.counts.items():
            report.refused[reason] = report.refused.get(reason, 0) + count
    report.quarantined = sum(report.refused.values())


def _refuse_another_market(part: _Part, merged: Iterable[MergedEvents], wanted: ImportOptions) -> None:
    """Refuse events that contradict what is stored so often that they must be of another market."""
    results = list(merged)
    conflicts = sum(result.conflicts for result in results)
    shared = sum(result.duplicates + result.revised for result in results)
    if conflicts > FEW_REVISED and conflicts > wanted.max_revised_share * shared:
        raise AmbiguousError(
            f"{conflicts:,} of {shared:,} {part.raw.kind} differ from those stored of {part.instrument}. Are they of "
            "another market or in another time zone? Nothing was stored. If they are right, raise --max-revised-share."
        )


def _refuse_told_twice(part: _Part, merged: Mapping[str, MergedEvents]) -> None:
    """Refuse single trades where aggregated ones are stored, or the other way round: each would count twice."""
    from virtuoso.lake.event_rows import by_partition, rows_of_events
    from virtuoso.lake.writing.event_merge import aggregated_twice

    if part.raw.kind != "trades":
        return
    for day, rows in by_partition(rows_of_events(part.judged.events)):
        shared, share = aggregated_twice(rows, merged[day].rows)
        if shared > FEW_REVISED and share > MOST_TOLD_OTHERWISE:
            raise AmbiguousError(
                f"{share:.0%} of the trades that {part.raw.path.name} and the lake both have of {part.instrument} on "
                f"{day} are the same under other ids: one holds single trades, the other aggregated ones, and each "
                "trade would count twice. Nothing was stored. Keep to one of them; of a file of several kinds, --kind "
                "depth takes the book alone."
            )


def _refused(judged: InspectedEvents) -> RejectedRows:
    events = judged.refused
    return RejectedRows(
        rows=[event.number for event in events],
        reasons=[event.reason for event in events],
        open_times=[event.event_time for event in events],
        raw=[event.text for event in events],
    )
