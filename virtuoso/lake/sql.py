"""SQL over an explicit list of files: checked bytes, in memory, bounded, and nothing else of the machine in reach.

1. DuckDB opens no file at all: its file system is switched off, for reading and for writing, and its configuration is
   locked. It is handed Arrow datasets.
2. A dataset reads a file whole and compares its bytes with the checksum of the manifest; what is decoded are these
   same bytes. Only files that the query needs are read, by the thread that wants their rows.
3. Only a single SELECT is run. That is the second door, not the first: the connection could not write if it were not.
4. Time, memory and the size of the answer are bounded; nothing is spilled to disk.
5. Rows that a hold-out seals are left out where they are read; a query that names their time is refused (reach.py).
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from virtuoso.clock import Timeframe, iso
from virtuoso.errors import CorruptFileError, DataError, SealedError
from virtuoso.lake.manifest import BARS
from virtuoso.lake.parquet import read_checked
from virtuoso.lake.reach import Stretch, reached
from virtuoso.lake.seal import LATE_MS, Seal
from virtuoso.market.schema.columns import BAR_COLUMNS
from virtuoso.market.schema.kinds import KINDS

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

MOST_SECONDS = 60.0
MOST_MEMORY_MB = 2_048
LONGEST_QUERY = 100_000
"""Characters."""
SHOWN_OF_A_COMPLAINT = 400
"""Characters of what DuckDB says: it likes to repeat the query."""
VECTORS = 100
"""Vectors of 2,048 rows that are fetched at a time."""
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",  # extensions would be downloaded
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",  # variables of the program would be tables
    "temp_directory": "",  # nothing is spilled
}
log = logging.getLogger(__name__)
_EXPLAINED = re.compile(r"\s*explain(\s+analyze)?\s+", re.IGNORECASE)


class StoredFile(NamedTuple):
    """A file that a query may read.

    Attributes
    ----------
    path : Path
        Where it lies now.
    inside : str
        Its path below the lake's folder, which says venue, symbol and so on.
    sha256 : str
        Of its bytes.
    seals : tuple of Seal
        What closes history of its instrument.
    first, last : int, ms
        Times of its first and last row.
    """

    path: Path
    inside: str
    sha256: str
    seals: tuple[Seal, ...] = ()
    first: int = 0
    last: int = 0

    def read(self) -> bytes:
        """Read the bytes that were written, or none.

        Raises
        ------
        CorruptFileError
            They are others.
        FileNotFoundError
            The file is gone.
        """
        return read_checked(self.path, self.sha256)


def run(
    query: str,
    files: Mapping[str, Sequence[StoredFile]],
    *,
    seconds: float = MOST_SECONDS,
    memory_mb: int = MOST_MEMORY_MB,
) -> pd.DataFrame:
    """Run one SELECT on a view a kind: `bars`, `trades`, `depth` and so on.

    Parameters
    ----------
    query : str
    files : mapping of str to sequence of StoredFile
        The Parquet files of each kind; one without files has no view.
    seconds : float, s
        How long it may take.
    memory_mb : int, MB
        How much memory DuckDB may take, and how large the answer may be.

    Raises
    ------
    DataError
        It is no single SELECT, DuckDB refuses it, or it takes more than it may.
    CorruptFileError
        A file that it needs is not what was written.
    FileNotFoundError
        A file that it needs is gone.
    SealedError
        It names a stretch that a hold-out seals.
    """
    _refuse_all_but_select(query)
    _refuse_sealed(query, files, memory_mb)
    checked = _Checked(files)
    found = _asked(checked, query, seconds, memory_mb)
    # raised here, where no frame holds a connection that an error would keep alive
    if checked.failure is not None:  # DuckDB and Arrow only say that reading failed
        raise checked.failure.with_traceback(None)
    if isinstance(found, Exception):
        raise found.with_traceback(None)
    return found


def _refuse_sealed(query: str, files: Mapping[str, Sequence[StoredFile]], memory_mb: int) -> None:
    """Refuse a query that names a sealed stretch; say of one that asks for everything what it does not get."""
    import duckdb

    found: dict[tuple[str, str, Seal], Stretch] = {}
    closed = ((kind, file, one) for kind, some in files.items() for file in some for one in file.seals)
    for kind, file, one in closed:
        places = {name: text for name, text in _places(file.inside).items() if name not in ("month", "day")}
        step = Timeframe(places["timeframe"]).ms if kind == BARS else LATE_MS
        start, end = max(one.start, file.first), min(one.end, file.last + step)
        key = kind, str(places), one
        if start < end:
            low, high = (found[key].start, found[key].end) if key in found else (start, end)
            found[key] = Stretch(kind, places, min(low, start), max(high, end), step)
    if not found:
        return
    try:
        with closed_connection(memory_mb) as connection:
            reaches, names = reached(connection, query, list(found.values()))
    except duckdb.Error:
        return  # the query itself will say what is wrong with it
    if not reaches:
        return
    said = sorted({f"{places['symbol']} from {one}" for (_, _, one), (_, places, *_) in found.items()})
    if names:
        first = min(one.start for _, _, one in found)
        raise SealedError(
            f"The query reaches into what is sealed: {'; '.join(said)}. End it before that, as with "
            f"`where time < '{iso(first)[:-1]}'`, or name symbols that are not sealed."
        )
    log.warning("the answer is without what is sealed: %s", "; ".join(said))


def _asked(checked: _Checked, query: str, seconds: float, memory_mb: int) -> pd.DataFrame | Exception:
    """Run a query on views of checked files: the answer, or why there is none."""
    import duckdb

    try:
        with closed_connection(memory_mb) as connection:
            for kind, dataset in checked.datasets.items():
                connection.register(f"_{kind}", dataset)
                moment = "open_time" if kind == BARS else "event_time"
                seen = f"select make_timestamp({moment} * 1000) as time, * from _{kind}"
                connection.execute(f"create view {kind} as {seen}")
            connection.execute("set lock_configuration = true")
            return _answer(connection, query, seconds, memory_mb)
    except duckdb.Error as error:
        return _explained(error, list(checked.datasets), seconds, memory_mb)
    except Exception as error:
        return error


@contextmanager
def closed_connection(memory_mb: int = MOST_MEMORY_MB) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB in memory that reaches no file, neither to read nor to write."""
    import duckdb

    with duckdb.connect(config={**SETTINGS, "memory_limit": f"{memory_mb}MB"}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set disabled_filesystems = 'LocalFileSystem'")
        connection.execute("set enable_external_access = false")
        yield connection


def _answer(connection: duckdb.DuckDBPyConnection, query: str, seconds: float, memory_mb: int) -> pd.DataFrame:
    """Fetch an answer piece by piece, until it is whole, too large or too late."""
    import pandas as pd

    alarm = threading.Timer(seconds, connection.interrupt)
    alarm.daemon = True
    alarm.start()
    try:
        connection.execute(query)
        parts: list[pd.DataFrame] = []
        taken = 0
        while True:
            part = connection.fetch_df_chunk(VECTORS)
            if len(part) == 0 and parts:
                break
            parts.append(part)
            taken += int(part.memory_usage(deep=True).sum())
            if taken > memory_mb * 1_000_000:
                raise DataError(
                    f"The answer is larger than {memory_mb:,} MB. Ask for less, as with `limit`, or raise --memory."
                )
            if len(part) == 0:
                break
    finally:
        alarm.cancel()
    return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def _explained(error: duckdb.Error, views: Sequence[str], seconds: float, memory_mb: int) -> DataError:
    """Return why DuckDB gave up, without the echo of the query."""
    import duckdb

    if isinstance(error, duckdb.InterruptException):
        return DataError(f"The query took longer than {seconds:g} s. Ask for less, or raise --timeout.")
    if isinstance(error, duckdb.OutOfMemoryException):
        return DataError(f"The query takes more than {memory_mb:,} MB of memory. Ask for less, or raise --memory.")
    complaint = str(error).partition("\n\n")[0].replace("\n", " ")
    if len(complaint) > SHOWN_OF_A_COMPLAINT:
        complaint = complaint[:SHOWN_OF_A_COMPLAINT] + " ..."
    if isinstance(error, duckdb.PermissionException):
        complaint = "it reaches for files; only the views of the lake can be read, and nothing can be written"
    hint = f" Views: {', '.join(views)}." if "does not exist" in complaint else ""
    return DataError(f"DuckDB refuses the query: {complaint}{hint}")


class _Checked:
    """Stored files as Arrow datasets, one a kind, whose bytes are compared with their checksums when they are read.

    Attributes
    ----------
    datasets : dict of str to pyarrow.dataset.Dataset
    failure : Exception or None
        Why a file could not be given.
    """

    def __init__(self, files: Mapping[str, Sequence[StoredFile]]) -> None:
        self.failure: Exception | None = None
        self._files = {file.inside: file for some in files.values() for file in some}
        self.datasets = {kind: _dataset(self, kind, some) for kind, some in files.items() if some}

    def read(self, inside: str) -> bytes:
        """Read the checked bytes of a file, and remember what goes wrong: DuckDB only says that reading failed."""
        if self.failure is not None:
            raise self.failure
        try:
            return self._files[inside].read()
        except (OSError, CorruptFileError) as error:
            self.failure = error
            raise

    def unsealed(self, inside: str, wanted: Any) -> Any:
        """Return the condition on rows of a file that are wanted and not sealed; None where there is none."""
        file = self._files[inside]
        for one in file.seals:
            allowed = ~_is_sealed(file, one)
            wanted = allowed if wanted is None else wanted & allowed
        return wanted


def _is_sealed(file: StoredFile, one: Seal) -> Any:
    """The condition that a row of a file is sealed, as `bars_outside` and `events_outside` of seal.py have it."""
    import pyarrow.dataset as ds

    timeframe = _places(file.inside).get("timeframe")
    if timeframe is not None:
        return (ds.field("open_time") > one.start - Timeframe(timeframe).ms) & (ds.field("open_time") < one.end)
    event_time, known_at = ds.field("event_time"), ds.field("available_at")
    known = (known_at > one.start + LATE_MS) & (known_at <= one.end)
    return known | ((event_time >= one.start) & (event_time < one.end) & (known_at > one.start))


def _dataset(checked: _Checked, kind: str, files: Sequence[StoredFile]) -> Any:
    """Make a dataset of the files of a kind that DuckDB can scan, file after file.

    Arrow's own scan opens files on its threads. Where a file is opened by Python, such a thread waits for the
    interpreter's lock while it holds a lock of Arrow's that the thread with the interpreter's lock may wait for: both
    wait for ever. Here the files that a query needs are chosen by Arrow, and read by the thread that asks for rows.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyarrow.fs import LocalFileSystem

    form, home = ds.ParquetFileFormat(), LocalFileSystem()

    class Checked(ds.FileSystemDataset):  # type: ignore[misc]  # pyarrow tells no types
        def scanner(self, columns: list[str] | None = None, filter: Any = None, **_: Any) -> Any:
            return _Scan(self, columns, filter)

        def batches(self, columns: list[str] | None, wanted: Any) -> Iterator[Any]:
            for fragment in self.get_fragments(wanted):
                told = fragment.partition_expression
                data = form.make_fragment(pa.BufferReader(checked.read(fragment.path)), partition_expression=told)
                asked = checked.unsealed(fragment.path, wanted)
                yield from data.scanner(self.schema, columns=columns, filter=asked, use_threads=False).to_batches()

    fragments = [form.make_fragment(file.inside, home, _told_by_the_path(file.inside)) for file in files]
    return Checked(fragments, _schema(kind, list(_places(files[0].inside))), form, home)


class _Scan(NamedTuple):
    """One scan of a dataset, as DuckDB asks for it."""

    dataset: Any
    columns: list[str] | None
    filter: Any

    def to_reader(self) -> Any:
        """Return the reader of the rows: nothing is read before the first of them is wanted."""
        import pyarrow as pa

        schema = self.dataset.schema
        if self.columns is not None:
            schema = pa.schema([schema.field(name) for name in self.columns])
        return pa.RecordBatchReader.from_batches(schema, self.dataset.batches(self.columns, self.filter))


def _places(inside: str) -> dict[str, str]:
    """What the folders of a file say: venue, symbol, timeframe, and month or day."""
    return dict(folder.split("=", 1) for folder in inside.split("/") if "=" in folder)


def _told_by_the_path(inside: str) -> Any:
    import pyarrow.dataset as ds

    told = None
    for name, value in _places(inside).items():
        one = ds.field(name) == value
        told = one if told is None else told & one
    return told


def _schema(kind: str, places: Sequence[str]) -> Any:
    """Columns of a kind as they are stored, then those that the folders tell."""
    import pyarrow as pa

    if kind == BARS:
        stored = {
            "open_time": "int64",
            **dict.fromkeys(BAR_COLUMNS, "float64"),
            "state": "int8",
            "available_at": "int64",
        }
    else:
        columns = {name: dtype.__name__ for name, dtype in KINDS[kind].columns.items()}
        stored = {"event_time": "int64", "available_at": "int64", **columns, "rank": "int64", "stored_at": "int64"}
    fields = [(name, pa.type_for_alias(dtype)) for name, dtype in stored.items()]
    return pa.schema([*fields, *((name, pa.string()) for name in places)])


def _refuse_all_but_select(query: str) -> None:
    """Refuse what is no single SELECT, nor the plan of one."""
    if len(query) > LONGEST_QUERY:
        raise DataError(f"The query has {len(query):,} characters; {LONGEST_QUERY:,} are the most. Shorten it.")
    explained = _EXPLAINED.match(query)
    kinds = _statements(query)
    if kinds == ["EXPLAIN"]:
        kinds = ["EXPLAIN", *(_statements(query[explained.end() :]) if explained else ["?"])]
        if kinds == ["EXPLAIN", "SELECT"]:
            return
    if kinds != ["SELECT"]:
        listed = ", ".join(kinds) or "nothing"
        raise DataError(f"Only a single SELECT on the views of the lake is allowed, this is {listed}.")


def _statements(query: str) -> list[str]:
    """What the statements of a query are."""
    import duckdb

    try:
        return [statement.type.name for statement in duckdb.extract_statements(query)]
    except duckdb.Error as error:
        complaint = str(error).partition("\n\n")[0].replace("\n", " ")[:SHOWN_OF_A_COMPLAINT]
        raise DataError(f"The query is not SQL: {complaint}") from None
