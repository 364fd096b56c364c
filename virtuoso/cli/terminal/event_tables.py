"""Tables of stored events: what there is, what is missing, what was refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from virtuoso.cli.terminal.conflicts import disagreeing
from virtuoso.cli.terminal.console import day, heading, moment, size, table
from virtuoso.reports.format import plural, whole

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.lake.lake import EventCheck, EventCoverage

SHOWN_SYMBOLS = 20


CONFLICTS, REFUSED, ODD, GAPS = range(4)
"""What calls for action first."""


class LedgerPart(NamedTuple):
    """A part of the ledger of defects: how soon it calls for action, and what is printed."""

    rank: int
    lines: list[RenderableType]


def more(count: int, shown: int | None, what: str = "") -> Iterator[str]:
    """Say how many lines the first screen leaves out."""
    if shown is not None and count > shown:
        yield f"... and {whole(count - shown)} more{' ' if what else ''}{what}: -v"


def events_table(events: list[EventCoverage], most: int | None) -> Iterator[RenderableType]:
    """One line an instrument and kind; of kinds that hundreds of instruments have, a line a kind and venue.

    Parameters
    ----------
    events : list of EventCoverage
    most : int, optional
        Lines; all of them if None.
    """
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
        for symbol, kind, venue, part in lines[:most]
    )
    yield table(("SYMBOL", "VENUE", "KIND", "FROM", "TO", "EVENTS", "GAPS", "SIZE"), rows, left=5)
    yield from more(len(lines), most)


def checked_events(events: list[EventCheck], most: int | None) -> Iterator[RenderableType]:
    """Coverage of each kind of event; all of it if `most` is None."""
    headers = ("EVENTS", "ROWS", "PARTS", "SILENT", "LOST", "SHORT", "REVISED", "LATE", "REFUSED")
    rows = (
        (
            f"{c.symbol} {c.venue} {c.kind}",
            *(whole(count) for count in (c.rows, c.partitions)),
            *(whole(c.gaps.get(status, 0)) for status in ("silent", "sequence", "short day")),
            *(whole(count) for count in (c.revisions, c.late, c.quarantined)),
        )
        for c in (check.coverage for check in events[:most])
    )
    yield table(headers, rows)
    yield from more(len(events), most)
    yield ""
    yield "SILENT: longer without an event than its kind allows. LOST: messages of the book, by their numbers."
    yield "SHORT: days with too few rows. LATE: stored later than the history around them."


def event_ledger(check: EventCheck, shown: int | None) -> Iterator[LedgerPart]:
    """The longest gaps of a kind of event, what was refused of it, and files that disagree."""
    c = check.coverage
    name = f"{c.symbol} {c.venue} {c.kind}"
    longest = sorted(check.gaps, key=lambda gap: (gap[0] - gap[1], gap[0]))[:shown]
    if longest:
        cells = ((moment(a), moment(b), status) for a, b, status in longest)
        title = heading(f"{name}: {plural(len(check.gaps), 'gap')}, the longest first")
        yield LedgerPart(GAPS, [title, table(("FROM", "TO", "STATUS"), cells, left=3), *more(len(check.gaps), shown)])
    if check.refused:
        listed = ", ".join(f"{count:,} {rule}" for rule, count in sorted(check.refused.items()))
        yield LedgerPart(REFUSED, [heading(f"{name}: refused rows, stored in quarantine"), listed])
    if check.conflicts:
        yield LedgerPart(CONFLICTS, list(disagreeing(name, c.venue, check.conflicts, shown)))
