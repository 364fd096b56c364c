"""The lake: years of bars and events in Parquet, read through a manifest.

    lake/
      bars/venue=binance-spot/symbol=BTCUSDT/timeframe=1m/month=2020-01/part-<first>-<last>-<sha8>.parquet
      trades/venue=binance-usdm/symbol=BTCUSDT/day=2024-08-08/part-<first>-<last>-<sha8>.parquet
      depth/ open_interest/ ...           every kind of event of market/schema/kinds.py, by day or by month
      manifests/bars/manifest-000012.json which of these files are the lake, a folder a kind (manifest.py)
      revisions/  quarantine/             earlier versions of rows, and rows that validation rejected
      trash/                              what `remove` has taken out (writing/trash.py)
      retired/  damaged/                  files replaced a moment ago, and files that are not what was written
      derived/                            columns made of events and bars ready to be mapped (cache.py); deleting it
                                          loses nothing

1. Files never change. An import writes new ones (writing/transaction.py) and then the next manifest; until then nobody
   sees them.
2. A reader opens exactly the files of one generation. Where a writer has replaced one meanwhile, it starts again on
   the newer generation.
3. `bars/` alone is plain hive partitions: `pandas.read_parquet(lake / "bars")` and DuckDB's
   `read_parquet('lake/bars/**/*.parquet')` read it without Virtuoso.
4. SQL selects, kernels compute: `sql` is for looking at rows; what is computed is computed from `frame`.
5. A frame carries the columns of all events that are stored of its instrument (enrich.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from virtuoso.account.instrument import Instrument, compact
from virtuoso.caller import at_the_door
from virtuoso.clock import Timeframe, parse_time
from virtuoso.errors import NoDataError
from virtuoso.lake import marks, resolve
from virtuoso.lake.catalog import Catalog
from virtuoso.lake.coverage import (
    Coverage,
    EventCheck,
    EventCoverage,
    SeriesCheck,
    coverage_of,
    event_check_of,
    event_coverage_of,
)
from virtuoso.lake.manifest import BARS, Manifest, Series
from virtuoso.lake.seal import window
from virtuoso.lake.sql import MOST_MEMORY_MB, MOST_SECONDS, StoredFile, run
from virtuoso.lake.writing import maintenance, trash
from virtuoso.lake.writing.maintenance import Rebuilt, Verified
from virtuoso.lake.writing.transaction import Writer
from virtuoso.lake.writing.trash import Removal
from virtuoso.market.events import Events, no_events
from virtuoso.market.schema.kinds import Kind, kind_of

if TYPE_CHECKING:
    import pandas as pd

    from virtuoso.market.frame import MarketFrame

__all__ = ["Coverage", "EventCheck", "EventCoverage", "Lake", "SeriesCheck"]


class Lake(Catalog):
    """The bars and events under one folder.

    Parameters
    ----------
    path : str or Path
        The lake's folder, such as `data/lake`. Reading creates nothing but what `derived/` keeps.
    env : Env, optional
        Where the present comes from.
    disk : Disk, optional
        The file system; tests pass one that fails.

    Examples
    --------
    >>> lake = Lake("data/lake")                                   # doctest: +SKIP
    >>> lake.frame("BTCUSDT", "5m", venue="binance-usdm")          # doctest: +SKIP
    >>> lake.events("trades", Instrument("binance-usdm", "BTCUSDT"))  # doctest: +SKIP
    >>> lake.sql("select symbol, count(*) from bars group by 1")   # doctest: +SKIP
    """

    # what there is

    def instruments(self) -> list[Instrument]:
        """Return everything of which bars are stored, or trades that bars can be made of."""
        return sorted({series.instrument for series in self._answering()})

    def timeframes(self, instrument: Instrument) -> list[Timeframe]:
        """Return the timeframes stored of an instrument, the finest first; of trades only, some that can be made."""
        return sorted(s.clock for s in self._bars_of(instrument)) or list(resolve.FOLDED_FROM_TRADES)

    def usual_timeframe(self, instrument: Instrument) -> Timeframe:
        """Return the timeframe that is meant where none is named: the finest of which more than a scrap is stored."""
        stored = self._bars_of(instrument)
        return resolve.usual_clock(stored) if stored else resolve.FOLDED_FROM_TRADES[0]

    def _bars_of(self, instrument: Instrument) -> list[Series]:
        return [series for series in self.manifest().readable() if series.instrument == instrument]

    def resolve(self, symbol: str, timeframe: str | Timeframe | None = None, venue: str | None = None) -> Instrument:
        """Find the one instrument that a symbol means.

        Parameters
        ----------
        symbol : str
            `BTCUSDT`, or as ccxt writes it: `BTC/USDT` (spot) and `BTC/USDT:USDT` (perpetual) tell venues apart.
        timeframe : str or Timeframe, optional
            Only instruments whose bars or trades can answer on it.
        venue : str, optional

        Raises
        ------
        NoDataError
            Nothing is stored under that name.
        AmbiguousError
            Several venues have it.
        """
        clock = None if timeframe is None else _timeframe(timeframe)
        return resolve.resolve_instrument(symbol, clock, venue, self._answering(), self.path)

    def coverage(self) -> list[Coverage]:
        """Return what bars are stored, one line a series."""
        return [coverage_of(series) for series in self.manifest().readable()]

    def check(self) -> list[SeriesCheck]:
        """Return gaps, defects, revisions, quarantine, breaks and misprints of bars, series by series."""
        manifest = self.manifest()
        return [marks.checked(self, manifest, series) for series in manifest.readable()]

    def breaks(self) -> list[tuple[Instrument, int]]:
        """Return the moments (ms) from which on, as a user said, a name means another instrument."""
        return sorted((Instrument(one.venue, one.symbol), one.at) for one in self.manifest().breaks)

    def event_coverage(self) -> list[EventCoverage]:
        """Return what events are stored, one line a kind and instrument."""
        return [event_coverage_of(series) for kind in self.kinds()[1:] for series in self.manifest(kind).readable()]

    def event_check(self) -> list[EventCheck]:
        """Return gaps, defects, revisions and quarantine of events. Reads the ledger, not the events."""
        return [
            event_check_of(series)
            for kind in self.kinds()[1:]
            for _, series in sorted(self.manifest(kind).series.items())
        ]

    def _answering(self) -> list[Series]:
        """Series that bars can be read from or made of."""
        return [*self.manifest().readable(), *(self.manifest("trades").readable() if "trades" in self.kinds() else ())]

    # reading

    def frame(
        self,
        symbol: str,
        timeframe: str | Timeframe,
        start: int | str | None = None,
        end: int | str | None = None,
        venue: str | None = None,
        as_of: int | str | None = None,
    ) -> MarketFrame:
        """Read the bars of an instrument, with all history before them to be remembered, and the columns of its events.

        Parameters
        ----------
        symbol : str
        timeframe : str or Timeframe
            The base timeframe of the frame. Where a bar of it is not stored, it is folded from the slowest stored one
            that divides it and knows the bar; where none does, from trades (splice.py).
        start, end : int (ms) or str, optional
            Answers are wanted for bars that open from `start` on and before `end`. Nothing after `end` is loaded.
        venue : str, optional
        as_of : int (ms) or str, optional
            Read history as it was known then: without later repairs and revisions.

        Raises
        ------
        NoDataError, AmbiguousError
            As `resolve`; also if no bar lies in the range.
        SealedError
            The range reaches into a hold-out. Without an end it ends before one, which is logged.
        """
        from virtuoso.lake.read import load_frame  # brings numba, for which looking at a lake need not wait

        clock = _timeframe(timeframe)
        instrument = self.resolve(symbol, clock, venue)
        return load_frame(self, instrument, clock, _moment(start), _moment(end), _moment(as_of))

    def events(
        self,
        kind: str | Kind,
        instrument: Instrument,
        start: int | str | None = None,
        end: int | str | None = None,
        as_of: int | str | None = None,
    ) -> Events:
        """Read events of an instrument, in order of arrival.

        Parameters
        ----------
        kind : str or Kind
            A name of market/schema/kinds.py.
        instrument : Instrument
        start, end : int (ms) or str, optional
            Events that could be known after `start`, up to and at `end`, as a bar counts them.
        as_of : int (ms) or str, optional
            What was known then: nothing that became available or was stored into history later.

        Returns
        -------
        Events
            None, if nothing is stored. Without an end, those that no hold-out seals.

        Raises
        ------
        SealedError
            The range has an end and reaches into a hold-out, or begins in one.
        """
        named = kind_of(kind) if isinstance(kind, str) else kind
        after, until, known = _moment(start), _moment(end), _moment(as_of)
        stored = self.event_series(named.name, instrument)
        if stored is None:
            return no_events(named)
        if until is not None or after is not None:
            window(self.seals_of(instrument), instrument, after, until, (stored.first, stored.last))

        def read(manifest: Manifest) -> Events:
            series = Series(instrument.venue, instrument.symbol, "", kind=named.name)
            return self.read_events(manifest.series.get(series.key, series), after, until, known).events()

        return self.consistently(read, named.name)

    def fingerprint(
        self,
        symbol: str,
        timeframe: str | Timeframe,
        start: int | str | None = None,
        end: int | str | None = None,
        venue: str | None = None,
        as_of: int | str | None = None,
    ) -> str:
        """Return the digest of the logical values stored for a range: the same however they are spread over files.

        Raises
        ------
        SealedError
            As `frame`.
        """
        from virtuoso.lake.read import unsealed

        clock = _timeframe(timeframe)
        instrument = self.resolve(symbol, clock, venue)
        since, known = _moment(start), _moment(as_of)
        until = unsealed(self, instrument, clock, since, _moment(end))

        def read(manifest: Manifest) -> str:
            digests = []
            for series in resolve.answering(manifest, instrument, clock):
                rows = self.read(series, since, until, known)
                digests += [f"{series.key} {rows.digest()}"] if len(rows) else []
            digests += [f"break {at}" for at in manifest.breaks_of(instrument, known)]
            return hashlib.sha256("\n".join(digests).encode()).hexdigest()

        return self.consistently(read)

    @at_the_door
    def sql(self, query: str, *, seconds: float | None = None, memory_mb: int | None = None) -> pd.DataFrame:
        """Look at what is stored with SQL: a read-only view a kind, on the files of one generation.

        Columns of `bars`: time (UTC timestamp), open_time (ms), those of klines in the data dictionary, state,
        available_at, venue, symbol, timeframe and month. Of events: time, event_time (ms), available_at, those of their
        kind, rank and stored_at where rows came into stored history, venue, symbol, and day or month.

        Every file that the query needs is compared with its checksum first. Nothing else of the machine is in reach,
        and nothing can be written.

        Parameters
        ----------
        query : str
            A single SELECT.
        seconds : float, s, optional
            How long it may take; a minute if absent.
        memory_mb : int, MB, optional
            How much memory it may take; 2,048 if absent.

        Raises
        ------
        NoDataError
            The lake is empty.
        CorruptFileError
            A file that the query needs is not what was written.
        DataError
            The query is no single SELECT, DuckDB refuses it, or it takes more than it may.
        SealedError
            It names a stretch that a hold-out seals. One that asks for everything is answered without, which is logged.
        """
        longest, most = seconds or MOST_SECONDS, memory_mb or MOST_MEMORY_MB

        def read(manifest: Manifest) -> pd.DataFrame:
            manifests = {kind: manifest if kind == BARS else self.manifest(kind) for kind in self.kinds()}
            files = {
                kind: [file for series in one.readable() for file in self._files_for_sql(series)]
                for kind, one in manifests.items()
            }
            if not any(files.values()):
                raise NoDataError(f"The lake {self.path} is empty. Try: virtuoso data import PATH --venue binance-spot")
            return run(query, files, seconds=longest, memory_mb=most)

        return self.consistently(read)

    def _files_for_sql(self, series: Series) -> list[StoredFile]:
        """The files of a series, each with what closes some of it."""
        seals = self.seals_of(series.instrument)
        return [
            StoredFile(
                self.locate(f), f.path, f.sha256, seals, f.min_open_time, max(f.max_open_time, f.max_available_at)
            )
            for f in series.files
        ]

    # writing

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Be the one writer. What was not committed when the block ends is forgotten.

        Raises
        ------
        LockedError
            Another process writes.
        ManifestError
            The newest generation is damaged; rebuild first.
        """
        with maintenance.opened_for_writing(self) as writer:
            yield writer

    def add_break(self, symbol: str, at: int | str, venue: str | None = None) -> bool:
        """Say that from a moment on a name means another instrument: nothing is remembered or held over it.

        Parameters
        ----------
        symbol : str
        at : int (ms) or str
            The first moment of the new instrument.
        venue : str, optional

        Returns
        -------
        bool
            Whether that is new.

        Raises
        ------
        NoDataError, AmbiguousError
            As `resolve`.
        DataError
            What is stored does not lie on both sides of the moment.
        LockedError
            Another process writes.
        """
        moment = parse_time(at) if isinstance(at, str) else at
        return marks.add_break(self, self.resolve(symbol, None, venue), moment)

    def remove_break(self, symbol: str, at: int | str, venue: str | None = None) -> None:
        """Take back what `add_break` said.

        Raises
        ------
        NoDataError
            Nobody said it; or as `resolve`.
        """
        moment = parse_time(at) if isinstance(at, str) else at
        marks.remove_break(self, self.resolve(symbol, None, venue), moment)

    def remove(
        self,
        symbol: str,
        *,
        venue: str,
        kind: str | None = None,
        timeframe: str | Timeframe | None = None,
        since: int | str | None = None,
        until: int | str | None = None,
        recorded: bool = False,
    ) -> Removal:
        """Take rows out of the lake, into its trash.

        Parameters
        ----------
        symbol, venue : str
        kind : str, optional
            'bars' or a name of market/schema/kinds.py; all that is stored if absent.
        timeframe : str or Timeframe, optional
            Of bars; all of them if absent.
        since, until : int (ms) or str, optional
            From inclusive, to exclusive.
        recorded : bool
            Recordings too, which nobody can fetch again.

        Returns
        -------
        Removal
            Its `id` brings the rows back: `undo_remove`.

        Raises
        ------
        NoDataError
            Nothing of it is stored.
        DataError
            It was recorded, and `recorded` is not said.
        LockedError
            Another process writes.
        """
        wanted = trash.Wanted(
            venue=venue,
            symbol=compact(symbol),
            kind=None if kind is None else BARS if kind == BARS else kind_of(kind).name,
            timeframe=None if timeframe is None else str(_timeframe(timeframe)),
            since=_moment(since),
            until=_moment(until),
            recorded=recorded,
        )
        with self.writing() as writer:
            return trash.remove(writer, wanted)

    def undo_remove(self, name: str | None = None) -> Removal:
        """Bring back what was removed; the newest removal if none is named.

        Raises
        ------
        NoDataError
            There is no such removal.
        DataError
            Something newer is stored where its rows belong.
        LockedError
            Another process writes.
        """
        with self.writing() as writer:
            return trash.undo(writer, name)

    def trash(self) -> list[Removal]:
        """Return what was removed and can be brought back, the newest last."""
        return trash.in_trash(self)

    def verify(self, *, quarantine: bool = True) -> Verified:
        """Compare every file with its checksum; damaged ones are moved to quarantine, so that reading goes on."""
        return maintenance.verify(self, quarantine=quarantine)

    def rebuild(self) -> Rebuilt:
        """Make a new manifest from the files, after manifests were lost or damaged."""
        return maintenance.rebuild(self)


def _timeframe(timeframe: str | Timeframe) -> Timeframe:
    return Timeframe(timeframe) if isinstance(timeframe, str) else timeframe


def _moment(time: int | str | None) -> int | None:
    return parse_time(time) if isinstance(time, str) else time
