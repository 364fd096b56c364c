"""Where stored history begins anew: breaks that a user says or that bars show, and misprints (market/breaks.py).

What bars show is found when they are read, from the bars alone, so it depends neither on the order of imports nor on
the files they came in. What a user says stands in the manifest of bars, with the moment at which it was said.
"""

from __future__ import annotations

from dataclasses import replace

from virtuoso.account.instrument import Instrument
from virtuoso.clock import iso
from virtuoso.errors import DataError, NoDataError, StoreError
from virtuoso.lake.cache import bars_until
from virtuoso.lake.catalog import Catalog
from virtuoso.lake.coverage import SeriesCheck, check_of
from virtuoso.lake.manifest import BARS, Break, Manifest, Series
from virtuoso.lake.writing import maintenance
from virtuoso.market.breaks import breaks_of, marked, misprints_of


def checked(catalog: Catalog, manifest: Manifest, series: Series) -> SeriesCheck:
    """Return what is missing or wrong in a series of bars, and where it begins anew.

    Of bars that are damaged only what was said is told.
    """
    said, found = manifest.breaks_of(series.instrument), check_of(series)
    breaks = [(at, "said") for at in said]
    try:
        bars = bars_until(catalog, series, None)
    except (StoreError, FileNotFoundError):
        bars = None
    if bars is None:
        return replace(found, breaks=tuple(breaks))
    bars = marked(bars, said)
    for before, at in breaks_of(bars):
        if not any(before <= moment <= at for moment in said):
            breaks.append((at, "found"))
    shown = tuple((at, judged + series.clock.ms) for at, judged in misprints_of(bars))
    return replace(found, breaks=tuple(sorted(breaks)), misprints=shown)


def add_break(catalog: Catalog, instrument: Instrument, at: int) -> bool:
    """Say that from a moment on a name means another instrument; whether that is new.

    Raises
    ------
    DataError
        Nothing is stored before the moment, or nothing from it on.
    """
    stored = _stored(catalog, instrument)
    first, end = min(s.first for s in stored), max(s.last for s in stored)
    if not first < at <= end:
        raise DataError(
            f"A break lies between what was before and what came after: of {instrument} there is {iso(first)} to "
            f"{iso(end)}, and {iso(at)} does not divide it. Name the first moment of the new instrument."
        )
    with maintenance.opened_for_writing(catalog) as writer:
        transaction = writer.of_kind(BARS)
        manifest = transaction.manifest
        if at in manifest.breaks_of(instrument):
            return False
        one = Break(instrument.venue, instrument.symbol, at, catalog.env.now_ms())
        transaction.begin()
        transaction.publish(replace(manifest, breaks=(*manifest.breaks, one)))
    return True


def remove_break(catalog: Catalog, instrument: Instrument, at: int) -> None:
    """Take back that from a moment on a name means another instrument.

    Raises
    ------
    NoDataError
        Nobody said so.
    """
    with maintenance.opened_for_writing(catalog) as writer:
        transaction = writer.of_kind(BARS)
        said = transaction.manifest.breaks_of(instrument)
        if at not in said:
            listed = f"said are {', '.join(map(iso, said))}" if said else "none was said"
            raise NoDataError(f"No break of {instrument} was said at {iso(at)}: {listed}.")
        kept = tuple(
            one for one in transaction.manifest.breaks
            if (one.venue, one.symbol, one.at) != (instrument.venue, instrument.symbol, at)
        )  # fmt: skip
        transaction.publish(replace(transaction.manifest, breaks=kept))


def _stored(catalog: Catalog, instrument: Instrument) -> list[Series]:
    """Everything that is stored of an instrument."""
    return [s for kind in catalog.kinds() for s in catalog.manifest(kind).readable() if s.instrument == instrument]
