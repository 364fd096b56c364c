"""SQL over an explicit list of files: in memory, read-only, and nothing else of the machine in reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from virtuoso.errors import CorruptFileError, DataError
from virtuoso.market.manifest import BARS

if TYPE_CHECKING:
    import pandas as pd

SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",  # extensions would be downloaded
    "autoload_known_extensions": "false",
}


def run(query: str, files: Mapping[str, Sequence[Path]], folders: Sequence[Path]) -> pd.DataFrame:
    """Run one SELECT on a view a kind: `bars`, `trades`, `depth` and so on.

    Parameters
    ----------
    query : str
    files : mapping of str to sequence of Path
        The Parquet files of each kind; one without files has no view.
    folders : sequence of Path
        All that DuckDB may open.

    Raises
    ------
    DataError
        It is no single SELECT, or DuckDB refuses it.
    FileNotFoundError
        A file is gone.
    """
    import duckdb

    _refuse_all_but_select(query)
    with duckdb.connect(config=SETTINGS) as connection:
        try:
            connection.execute("set TimeZone = 'UTC'")
            for kind, parts in files.items():
                if parts:
                    connection.execute(_view(kind, parts))
            connection.execute(f"set allowed_directories = [{', '.join(_quoted(folder) for folder in folders)}]")
            connection.execute("set enable_external_access = false")
            connection.execute("set lock_configuration = true")
            return connection.execute(query).df()
        except duckdb.IOException as error:
            gone = next((file for parts in files.values() for file in parts if not file.exists()), None)
            if gone is not None:
                raise FileNotFoundError(2, "No such file", str(gone)) from None
            raise CorruptFileError(f"DuckDB cannot read the lake: {error}. Run `virtuoso data verify`.") from None
        except duckdb.Error as error:
            complaint = str(error).partition("\n\n")[0].replace("\n", " ")  # without the echo of the query
            there = ", ".join(kind for kind, parts in files.items() if parts)
            hint = f" Views: {there}." if "does not exist" in complaint else ""
            raise DataError(f"DuckDB refuses the query: {complaint}{hint}") from None


def _view(kind: str, files: Sequence[Path]) -> str:
    """Write the statement that shows the files of a kind as a view."""
    moment = "open_time" if kind == BARS else "event_time"
    return (
        f"create view {kind} as select make_timestamp({moment} * 1000) as time, * from read_parquet("
        f"[{', '.join(_quoted(file) for file in files)}], hive_partitioning = true, "
        "hive_types_autocast = false, union_by_name = true)"
    )


def _refuse_all_but_select(query: str) -> None:
    import duckdb

    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise DataError(f"The query is not SQL: {error}") from None
    reading = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
    kinds = [statement.type for statement in statements]
    if len(kinds) != 1 or kinds[0] not in reading:
        listed = ", ".join(kind.name for kind in kinds) or "nothing"
        raise DataError(f"Only a single SELECT on the views of the lake is allowed, this is {listed}.")


def _quoted(path: Path) -> str:
    text = str(path.resolve()).replace("'", "''")
    return f"'{text}'"
