"""The run folder: everything needed to repeat a run, written whole or not at all.

1. What lies in it is told where the result is: research/crosscheck/result.py, research/backtest/files.py,
   research/sweep/result.py. The same inputs give the same bytes, with the same versions of the libraries: no clock and
   no path is written.
2. What depends on what else was tried (`honesty.json`, the tear sheet) stands beside it and is judged anew whenever the
   run is met again.
3. The run is in the ledger of trials before anything of it is written. Everything is written in a temporary folder
   beside the final place and renamed once; what a killed writer left there is removed by the next one.
"""

from __future__ import annotations

import io
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.errors import ConfigError
from virtuoso.files.atomic import TEMPORARY, Disk
from virtuoso.files.json import to_json

if TYPE_CHECKING:
    import pandas as pd

    from virtuoso.research.tracking.experiments import Trial
    from virtuoso.research.tracking.recording import Recording

WIDTH = 100
SUFFIXES = (".json", ".parquet", ".txt", ".yaml", ".html", ".pdf")
"""Of the files of run folders."""


class Result(ABC):
    """What a run found, and what its folder is made from."""

    @property
    @abstractmethod
    def provenance(self) -> dict[str, str]:
        """Where every number came from."""

    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """Terms of trading and settings in force; says whether a market was simulated, as every file of a run does."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """Contents of the files of the run folder, by name."""

    @property
    @abstractmethod
    def names(self) -> frozenset[str]:
        """Names of all files of a whole run folder, judged ones included."""

    @abstractmethod
    def trial(self) -> Trial:
        """Give its entry in the ledger of trials."""

    @abstractmethod
    def judge(self, folder: Path) -> None:
        """Write what depends on what else was tried into a run folder, unless it stands there as it is now."""

    def record(self, wanted: bool = True) -> Recording:
        """Write it down in the ledger of trials, if that was not done yet, and count what was tried until now.

        Parameters
        ----------
        wanted : bool
            Whether it is to be recorded. The first call decides; later ones count again.
        """
        from virtuoso.research.tracking.recording import record

        known: Recording | None = self.__dict__.get("_recording")
        found = record(self.trial(), wanted=wanted) if known is None else known.renewed()
        self.__dict__["_recording"] = found  # as cached properties keep their values; `replace` forgets it
        return found

    @property
    def recording(self) -> Recording | None:
        """Whether it is in the ledger, and what was tried until now; None where nobody has recorded it yet."""
        return self.record() if "_recording" in self.__dict__ else None

    def recorded_lines(self) -> list[str]:
        """What is said of it with every result, at most 100 columns wide; nothing where nobody has recorded it yet."""
        found = self.recording
        said = [] if found is None else found.lines()
        return [line for words in said for line in textwrap.wrap(words, WIDTH)]

    def save(self, folder: Path | str, *, replace: bool = False, judged: bool = False) -> Path:
        """Write a run folder with everything needed to repeat this, whole or not at all.

        It is recorded in the ledger first, written beside its final place, then moved there in one step.

        Parameters
        ----------
        folder : Path or str
        replace : bool
            Whether a run folder that is already there may be replaced.
        judged : bool
            Whether what depends on what else was tried is written as well.

        Raises
        ------
        ConfigError
            If the folder exists and may not be replaced.
        """
        target = Path(folder)
        self.record()
        if target.exists() and not replace:
            raise ConfigError(
                f"{target} exists already and a run is never overwritten by accident. Name another folder."
            )
        with self._written(target, judged) as fresh:
            Disk().put_in_place(fresh, target)
        return target

    def complete(self, folder: Path) -> None:
        """Write all files of a run folder of this very run anew, since some are missing; others that lie there stay."""
        with self._written(folder, True) as fresh:
            for file in sorted(fresh.iterdir()):
                file.replace(folder / file.name)
        Disk().sync_folder(folder)

    @contextmanager
    def _written(self, target: Path, judged: bool) -> Iterator[Path]:
        """Write everything into a temporary folder beside the final place."""
        disk = Disk()
        with disk.beside(target, _is_run) as fresh:
            for name, data in self.files().items():
                disk.write(fresh / name, data)
            if judged:
                self.judge(fresh)
            yield fresh


def holds_run(folder: Path, result: Result) -> bool:
    """Whether a run folder was made from the same data, configuration, code and terms; it need not be whole."""
    expected = {"config.json": as_json(result.configuration()), "provenance.json": as_json(result.provenance)}
    return all((folder / n).is_file() and (folder / n).read_bytes() == data for n, data in expected.items())


def is_whole(folder: Path, result: Result) -> bool:
    """Whether no file of a run folder is missing or empty."""
    return all((folder / name).is_file() and (folder / name).stat().st_size for name in result.names)


def _is_run(path: Path) -> bool:
    """Whether a folder with a temporary name holds nothing but what runs are made of."""
    return path.is_dir() and all(file.suffix in (*SUFFIXES, TEMPORARY) for file in path.iterdir())


def trades_frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Columns of `trades.parquet` for pandas: one row a trade, times in UTC."""
    import pandas as pd

    table = pd.DataFrame(columns)
    for name in ("decided_at", "entry_time", "exit_bar_time"):
        table[name] = pd.to_datetime(table[name], unit="ms", utc=True)
    return table


def fields_of(table: np.ndarray) -> dict[str, Any]:
    """Columns of an array of records."""
    return {name: table[name] for name in table.dtype.names or ()}


def intents_table(intents: np.ndarray) -> dict[str, Any]:
    """Columns of `intents.parquet`, one row an intent; each target and its size is a column."""
    columns: dict[str, Any] = {}
    for name in intents.dtype.names or ():
        values = intents[name]
        if values.ndim == 1:
            columns[name] = values
        else:
            columns |= {f"{name}{k + 1}": values[:, k] for k in range(values.shape[1])}
    return columns


def as_json(value: object) -> bytes:
    """Return one JSON document as bytes."""
    return to_json(value).encode()


def as_parquet(columns: Mapping[str, Any]) -> bytes:
    """One table, the same bytes for the same values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {}
    for name, values in columns.items():
        text = values.dtype == object or values.dtype.kind == "U"
        arrays[name] = pa.array(values, type=pa.string()) if text else pa.array(np.ascontiguousarray(values))
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays), buffer, compression="zstd")
    return buffer.getvalue()
