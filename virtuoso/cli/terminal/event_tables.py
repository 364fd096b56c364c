"""Tables of stored events: what there is, what is missing, what was refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from virtuoso.cli.terminal.conflicts import disagreeing
from virtuoso.cli.terminal.console import day, heading, moment, size, table
from virtuoso.reports.format import plural, whole

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.lake.lake import EventCheck, EventCoverage

SHOWN_ROWS = 40
SHOWN_SYMBOLS = 20


def events_table(events: list[EventCoverage]) -> RenderableType:
    """One line an instrument and kind; of kinds that hundreds of instruments have, a line a kind and venue."""
    groups: dict[tuple[str, str], list[EventCoverage]] = {}
    for series in events:
        groups.setdefault((series.kind, series.venue), []).append(series)
    lines = [
        ((one.symbol if len(part) == 1 else plural(len(group), "symbol")), *key, part)
        for key, group in groups.items()
        for part in ([group] if len(group) > SHOWN_SYMBOLS else [[one] for one in group])
        for one in part[:1]
    ]
    rows = (
        (
            symbol,
            venue,
            kind,
            day(min(s.start for s in part)),
            day(max(s.end for s in part)),
            whole(sum(s.rows for s in part)),
            whole(sum(sum(s.gaps.values()) for s in part)),
            size(sum(s.bytes for s in part)),
        )
        for symbol, kind, venue, part in lines
    )
    return table(("SYMBOL", "VENUE", "KIND", "FROM", "TO", "EVENTS", "GAPS", "SIZE"), rows, left=5)


def checked_events(events: list[EventCheck], shown: int | None) -> Iterator[RenderableType]:
    """Coverage of each kind of event, then the ledger: the longest gaps, and what was refused."""
    headers = ("EVENTS", "ROWS", "PARTS", "SILENT", "LOST", "SHORT", "REVISED", "LATE", "REFUSED")
    listed = events if shown is None else events[:SHOWN_ROWS]
    rows = (
        (
            f"{c.symbol} {c.venue} {c.kind}",
            *(whole(count) for count in (c.rows, c.partitions)),
            *(whole(c.gaps.get(status, 0)) for status in ("silent", "sequence", "short day")),
            *(whole(count) for count in (c.revisions, c.late, c.quarantined)),
        )
        for c in (check.coverage for check in listed)
    )
    yield table(headers, rows)
    if len(listed) < len(events):
        yield f"... and {whole(len(events) - len(listed))} more: virtuoso data check SYMBOL"
    yield ""
    yield "SILENT: longer without an event than its kind allows. LOST: messages of the book, by their numbers."
    yield "SHORT: days with too few rows. LATE: stored later than the history around them."
    for check in listed:
        c = check.coverage
        longest = sorted(check.gaps, key=lambda gap: (gap[0] - gap[1], gap[0]))[:shown]
        if longest:
            yield heading(f"{c.symbol} {c.venue} {c.kind}: {plural(len(check.gaps), 'gap')}, the longest first")
            cells = ((moment(a), moment(b), status) for a, b, status in longest)
            yield table(("FROM", "TO", "STATUS"), cells, left=3)
        if check.refused:
            yield heading(f"{c.symbol} {c.venue} {c.kind}: refused rows, kept in quarantine")
            yield ", ".join(f"{count:,} {rule}" for rule, count in sorted(check.refused.items()))
        yield from disagreeing(f"{c.symbol} {c.venue} {c.kind}", c.venue, check.conflicts, shown)
