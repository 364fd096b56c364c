"""The lake: years of bars in Parquet, read through a manifest.

    lake/
      bars/venue=binance-spot/symbol=BTCUSDT/timeframe=1m/month=2020-01/part-<first>-<last>-<sha8>.parquet
      manifests/bars/manifest-000012.json     which of these files are the lake (manifest.py)
      revisions/  quarantine/                 earlier versions of bars, and rows that were refused
      retired/  damaged/                      files replaced a moment ago, and files that were not what was written

1. Files never change. An import writes new ones (writer.py) and then the next manifest; until then nobody sees them.
2. A reader opens exactly the files of one generation. Where a writer has replaced one meanwhile, it starts again on
   the newer generation.
3. `bars/` alone is plain hive partitions: `pandas.read_parquet(lake / "bars")` and DuckDB's
   `read_parquet('lake/bars/**/*.parquet')` read it without Virtuoso.
4. SQL selects, kernels compute: `sql` is for looking at bars; what is computed is computed from `frame`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from virtuoso.account.instrument import Instrument, compact
from virtuoso.clock import Env, Timeframe, iso, parse_time
from virtuoso.errors import AmbiguousError, CorruptFileError, ManifestError, NoDataError, StoreError, did_you_mean
from virtuoso.market.coverage import Coverage, SeriesCheck, check_of, coverage_of
from virtuoso.market.disk import Disk
from virtuoso.market.gaps import policy_for
from virtuoso.market.manifest import FileEntry, Generations, Manifest, Series
from virtuoso.market.rows import Rows, Times, decode, joined, parse

if TYPE_CHECKING:
    import pandas as pd

    from virtuoso.market.frame import MarketFrame
    from virtuoso.market.upkeep import Rebuilt, Verified
    from virtuoso.market.writer import Writer

__all__ = ["Coverage", "Lake", "SeriesCheck"]

LONG_GAP_MS = 30 * 86_400_000
"""History before a gap as long as this touches nothing after it: no timeframe's run of known bars spans it."""

T = TypeVar("T")


class Lake:
    """The bars under one folder.

    Parameters
    ----------
    path : str or Path
        The lake's folder, such as `data/lake`. Reading creates nothing.
    env : Env, optional
        Where the present comes from.
    disk : Disk, optional
        The file system; tests pass one that fails.

    Examples
    --------
    >>> lake = Lake("data/lake")                                   # doctest: +SKIP
    >>> lake.frame("BTCUSDT", "5m", venue="binance-usdm")          # doctest: +SKIP
    >>> lake.sql("select symbol, count(*) from bars group by 1")   # doctest: +SKIP
    """

    def __init__(self, path: str | Path, *, env: Env | None = None, disk: Disk | None = None) -> None:
        self.path = Path(path)
        self.env = env or Env()
        self.disk = disk or Disk()
        self.generations = Generations(self.path / "manifests" / "bars")

    def __repr__(self) -> str:
        return f"Lake({str(self.path)!r})"

    # what there is

    def manifest(self) -> Manifest:
        """Read the newest generation.

        Raises
        ------
        ManifestError
            No generation can be read, though files are there.
        """
        manifest = self.generations.newest()
        if manifest.generation == 0 and any((self.path / "bars").glob("*/*/*/*/part-*.parquet")):
            raise ManifestError(
                f"{self.path} holds bars but no manifest. Run `virtuoso data verify --rebuild` to make one from them."
            )
        return manifest

    def instruments(self) -> list[Instrument]:
        """Everything of which bars are stored."""
        return sorted({series.instrument for series in self.manifest().readable()})

    def timeframes(self, instrument: Instrument) -> list[Timeframe]:
        """Timeframes stored of an instrument, the finest first."""
        return sorted(s.clock for s in self.manifest().readable() if s.instrument == instrument)

    def resolve(self, symbol: str, timeframe: str | Timeframe | None = None, venue: str | None = None) -> Instrument:
        """Find the one instrument that a symbol means.

        Parameters
        ----------
        symbol : str
            `BTCUSDT`, or as ccxt writes it: `BTC/USDT` (spot) and `BTC/USDT:USDT` (perpetual) tell venues apart.
        timeframe : str or Timeframe, optional
            Only instruments whose bars can answer on it.
        venue : str, optional

        Raises
        ------
        NoDataError
            Nothing is stored under that name.
        AmbiguousError
            Several venues have it.
        """
        name = compact(symbol)
        stored = self.manifest().readable()
        if not stored:
            raise NoDataError(f"The lake {self.path} is empty. Try: virtuoso data import PATH --venue binance-spot")
        found = _of_venue([s for s in stored if s.symbol == name], name, venue, stored)
        if timeframe is not None:
            found = _answering(found, _timeframe(timeframe), name)
        instruments = sorted({s.instrument for s in found})
        if len(instruments) > 1 and "/" in symbol:
            instruments = [i for i in instruments if i.is_spot != (":" in symbol)] or instruments
        if len(instruments) > 1:
            listed = ", ".join(i.venue for i in instruments)
            raise AmbiguousError(f"{name} is stored of {len(instruments)} venues: {listed}. Pass --venue, one of them.")
        return instruments[0]

    def coverage(self) -> list[Coverage]:
        """What is stored, one line a series."""
        return [coverage_of(series) for series in self.manifest().readable()]

    def check(self) -> list[SeriesCheck]:
        """Gaps, defects, revisions and quarantine, series by series. Reads the ledger, not the bars."""
        return [check_of(series) for series in self.manifest().readable()]

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
        """Read the bars of an instrument, with all history before them to be remembered.

        Parameters
        ----------
        symbol : str
        timeframe : str or Timeframe
            The base clock of the frame. Where it is not stored, bars are folded from the slowest stored timeframe that
            divides it and covers the range as well as any.
        start, end : int (ms) or str, optional
            Answers are wanted for bars that open from `start` on and before `end`. Nothing after `end` is loaded.
        venue : str, optional
        as_of : int (ms) or str, optional
            Read history as it was known then: without later repairs and revisions.

        Raises
        ------
        NoDataError, AmbiguousError
            As `resolve`; also if no bar lies in the range.
        """
        from virtuoso.market.bars import Bars
        from virtuoso.market.fold import fold_bars
        from virtuoso.market.frame import MarketFrame

        clock = _timeframe(timeframe)
        instrument = self.resolve(symbol, clock, venue)
        since, until, known = _moment(start), _moment(end), _moment(as_of)

        def read(manifest: Manifest) -> tuple[Series, Rows]:
            series = _best_series(manifest, instrument, clock, since, until)
            return series, self.read(series, _memory_start(series, since), until, known)

        series, rows = self._consistently(read)
        if len(rows) == 0:
            raise NoDataError(_nothing_there(series, clock, since, until, known))
        policy = policy_for(instrument.venue, series.clock.ms)
        bars = Bars.from_rows(series.clock, rows.open_time, rows.columns, policy, rows.state)
        if series.clock != clock:
            bars = fold_bars(bars, clock)
        frame = MarketFrame(instrument, bars).within(since, until)
        if len(frame) == 0:
            raise NoDataError(_nothing_there(series, clock, since, until, known))
        return frame

    def read(self, series: Series, start: int | None = None, end: int | None = None, as_of: int | None = None) -> Rows:
        """Read stored rows that open from `start` on and before `end` (ms), as known at `as_of`."""
        files = [
            file
            for file in series.files
            if (start is None or file.max_open_time >= start) and (end is None or file.min_open_time < end)
        ]
        parts = [self.rows_of(file, series.clock) for file in sorted(files, key=lambda f: f.min_open_time)]
        if as_of is not None:
            parts = [part.take(part.available_at <= as_of) for part in parts]
            for versions, superseded_at in self.revisions(series):
                parts.append(versions.take((versions.available_at <= as_of) & (superseded_at > as_of)))
        rows = joined(parts).sorted()
        inside = np.ones(len(rows), dtype=bool)
        if start is not None:
            inside &= rows.open_time >= start
        if end is not None:
            inside &= rows.open_time < end
        return rows if inside.all() else rows.take(inside)

    def revisions(self, series: Series) -> Iterator[tuple[Rows, Times]]:
        """Superseded versions of bars, with the moment each stopped being the truth (ms)."""
        for file in series.revisions:
            table = self._table_of(file)
            yield decode(table, series.clock.ms), np.asarray(table.column("superseded_at").to_numpy())

    def rows_of(self, file: FileEntry, timeframe: Timeframe) -> Rows:
        """Rows of one stored file.

        Raises
        ------
        CorruptFileError
            Its bytes are not those that were written.
        """
        return decode(self._table_of(file), timeframe.ms)

    def locate(self, file: FileEntry) -> Path:
        """Where a file of a generation lies, now; a replaced one waits among the retired."""
        path = self.path / file.path
        return path if path.exists() else self.path / "retired" / file.path

    def fingerprint(
        self,
        symbol: str,
        timeframe: str | Timeframe,
        start: int | str | None = None,
        end: int | str | None = None,
        venue: str | None = None,
        as_of: int | str | None = None,
    ) -> str:
        """Digest of the logical values stored for a range: the same however they are spread over files."""
        clock = _timeframe(timeframe)
        instrument = self.resolve(symbol, clock, venue)
        since, until, known = _moment(start), _moment(end), _moment(as_of)

        def read(manifest: Manifest) -> str:
            series = _best_series(manifest, instrument, clock, since, until)
            rows = self.read(series, since, until, known)
            return hashlib.sha256(f"{series.key} {rows.digest()}".encode()).hexdigest()

        return self._consistently(read)

    def sql(self, query: str) -> pd.DataFrame:
        """Look at the stored bars with SQL: one view `bars`, read-only, on the files of one generation.

        Columns: venue, symbol, timeframe, month, open_time (ms), time (the same as a UTC timestamp), those of the
        data dictionary, state and available_at.

        Raises
        ------
        NoDataError
            The lake is empty.
        DataError
            The query is no single SELECT, or DuckDB refuses it.
        """
        from virtuoso.market.query import run

        def read(manifest: Manifest) -> pd.DataFrame:
            files = [self.locate(file) for series in manifest.readable() for file in series.files]
            if not files:
                raise NoDataError(f"The lake {self.path} is empty. Try: virtuoso data import PATH --venue binance-spot")
            return run(query, files, [self.path / "bars", self.path / "retired" / "bars"])

        return self._consistently(read)

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
        from virtuoso.market.upkeep import opened_for_writing

        with opened_for_writing(self) as writer:
            yield writer

    def verify(self, *, quarantine: bool = True) -> Verified:
        """Compare every file with its checksum; damaged ones are moved to quarantine, so that reading goes on."""
        from virtuoso.market.upkeep import verify

        return verify(self, quarantine=quarantine)

    def rebuild(self) -> Rebuilt:
        """Make a new manifest from the files, after manifests were lost or damaged."""
        from virtuoso.market.upkeep import rebuild

        return rebuild(self)

    # inside

    def _consistently(self, read: Callable[[Manifest], T]) -> T:
        """Read from one generation; from a newer one if a writer has removed its files meanwhile."""
        manifest = self.manifest()
        while True:
            try:
                return read(manifest)
            except (FileNotFoundError, StoreError) as error:
                newer = self.manifest()
                if newer.generation > manifest.generation:
                    manifest = newer
                    continue
                if isinstance(error, StoreError):
                    raise
                raise CorruptFileError(
                    f"{error.filename} is named by generation {manifest.generation} of {self.path} but is not there. "
                    "Run `virtuoso data verify`, then import its source again."
                ) from None

    def _table_of(self, file: FileEntry) -> Any:
        """Open a stored file after comparing its checksum: 7 ms a symbol-year of 1m, so every read does it."""
        path = self.locate(file)
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise CorruptFileError(
                f"{path} differs from its checksum. Run `virtuoso data verify`, then import its source again."
            )
        return parse(data, path)


def _timeframe(timeframe: str | Timeframe) -> Timeframe:
    return Timeframe(timeframe) if isinstance(timeframe, str) else timeframe


def _moment(time: int | str | None) -> int | None:
    return parse_time(time) if isinstance(time, str) else time


def _of_venue(found: list[Series], name: str, venue: str | None, stored: list[Series]) -> list[Series]:
    if not found:
        raise NoDataError(f"No bars of {name} are stored. {did_you_mean(name, {s.symbol for s in stored})}")
    if venue is None:
        return found
    of_venue = [s for s in found if s.venue == venue]
    if not of_venue:
        raise NoDataError(f"No bars of {name} are stored of {venue!r}. {did_you_mean(venue, {s.venue for s in found})}")
    return of_venue


def _answering(found: list[Series], clock: Timeframe, name: str) -> list[Series]:
    able = [s for s in found if clock.ms % s.clock.ms == 0]
    if not able:
        listed = ", ".join(sorted({f"{s.timeframe} ({s.venue})" for s in found}))
        raise NoDataError(f"{clock} bars of {name} cannot be made of what is stored: {listed}. Import finer bars.")
    return able


def _best_series(
    manifest: Manifest, instrument: Instrument, clock: Timeframe, since: int | None, until: int | None
) -> Series:
    """Choose the slowest stored timeframe that divides the asked one and covers the range as well as any."""
    able = [s for s in manifest.readable() if s.instrument == instrument and clock.ms % s.clock.ms == 0]
    if not able:
        raise NoDataError(f"No bars of {instrument} that divide {clock} are stored any more. Import them again.")

    def covered(series: Series) -> int:
        first = series.first if since is None else max(series.first, since)
        last = series.last + series.clock.ms
        return max((last if until is None else min(last, until)) - first, 0)

    most = max(covered(series) for series in able)
    return max((s for s in able if covered(s) > most - clock.ms), key=lambda s: s.clock.ms)


def _memory_start(series: Series, since: int | None) -> int | None:
    """Where to begin reading: after the last long gap before the range, else at the beginning of history."""
    if since is None:
        return None
    ends = [gap.end for gap in series.gaps if gap.end <= since and gap.end - gap.start >= LONG_GAP_MS]
    return max(ends, default=None)


def _nothing_there(series: Series, clock: Timeframe, since: int | None, until: int | None, as_of: int | None) -> str:
    span = f"from {iso(series.first)} to {iso(series.last + series.clock.ms)}"
    wanted = " ".join(
        f"{word} {iso(moment)}"
        for word, moment in (("from", since), ("before", until), ("as known at", as_of))
        if moment is not None
    )
    return f"No closed {clock} bar of {series.instrument} {wanted}: {series.timeframe} bars are stored {span}."
