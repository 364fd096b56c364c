"""Files that disagree about rows: how many, which files, and the command that settles it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from virtuoso.cli.terminal.console import heading, table
from virtuoso.reports.format import plural, whole

if TYPE_CHECKING:
    from rich.console import RenderableType

    from virtuoso.lake.manifest import Conflict

NAMED = 3


def disagreeing(name: str, venue: str, conflicts: Sequence[Conflict], shown: int | None) -> Iterator[RenderableType]:
    """The partitions in which versions of rows disagree, and what to do about it."""
    if not conflicts:
        return
    yield heading(f"{name}: versions of {plural(sum(one.rows for one in conflicts), 'row')} disagree")
    most = sorted(conflicts, key=lambda one: (-one.rows, one.partition))[:shown]
    cells = ((one.partition, whole(one.rows), _named(one.sources)) for one in most)
    yield table(("IN", "ROWS", "BETWEEN"), cells, left={0, 2})
    if len(most) < len(conflicts):
        yield f"... and {whole(len(conflicts) - len(most))} with fewer"
    yield "The source of the higher rank holds, of equal ranks the digest of the values decides. To make a file right:"
    yield f"  virtuoso data import FILE --venue {venue} --prefer"


def _named(sources: Sequence[str]) -> str:
    rest = f" and {len(sources) - NAMED} more" if len(sources) > NAMED else ""
    return ", ".join(sources[:NAMED]) + rest
