"""SQL over an explicit list of files: checked bytes, in memory, bounded, and nothing else of the machine in reach.

1. DuckDB opens no file at all: its file system is switched off, for reading and for writing, and its configuration is
   locked. It is handed Arrow datasets.
2. A dataset reads a file whole and compares its bytes with the checksum of the manifest; what is decoded are these
   same bytes. Only files that the query needs are read, by the thread that wants their rows.
3. Only a single SELECT is run. That is the second door, not the first: the connection could not write if it were not.
4. Time, memory and the size of the answer are bounded; nothing is spilled to disk.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from virtuoso.errors import CorruptFileError, DataError
from virtuoso.lake.manifest import BARS
from virtuoso.lake.parquet import read_checked
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
    """

    path: Path
    inside: str
    sha256: str

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
    """
    _refuse_all_but_select(query)
    checked = _Checked(files)
    found = _asked(checked, query, seconds, memory_mb)
    # raised here, where no frame holds a connection that an error would keep alive
    if checked.failure is not None:  # DuckDB and Arrow only say that reading failed
        raise checked.failure.with_traceback(None)
    if isinstance(found, Exception):
        raise found.with_traceback(None)
    return found


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
                yield from data.scanner(self.schema, columns=columns, filter=wanted, use_threads=False).to_batches()

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
