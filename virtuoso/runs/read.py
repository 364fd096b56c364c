"""A run read back: the tear sheet and the summary are made from its facts and tables, and from nothing else.

schema.py says what they are. Older runs lack some of them: what is not there is said to be absent and never made up; a
file that is there and cannot be read is an error. A figure that was called otherwise in an older run is given its name
of today.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from virtuoso.errors import NoDataError, UnreadableFileError
from virtuoso.runs.schema import (
    BESIDE,
    BREAKDOWNS,
    CONFIG,
    EQUITY,
    FIGURES,
    HONESTY,
    OF_SCORES,
    OF_STUDY,
    OF_SWEEP,
    PARTS,
    REQUIRED,
    RESULT_HASH,
    SUMMARY,
    TRIALS,
    WALK_FORWARD,
)
from virtuoso.types import Array

RENAMED = {"hit_rate": "win_rate"}
"""Figures of older run folders by the name that they have today."""

Facts = Mapping[str, Any]
RunTable = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class RunData:
    """The facts and tables of a run, as its folder holds them; one that is absent is empty.

    Attributes
    ----------
    name : str
        Of the folder; empty before it is written.
    facts : dict of str to mapping
        The JSON files, by name.
    tables : dict of str to mapping of str to array
        The Parquet files, by name: columns by name.
    summary : str
        `summary.txt` as it was written.
    """

    name: str
    facts: dict[str, Facts] = field(repr=False)
    tables: dict[str, RunTable] = field(repr=False)
    summary: str = field(default="", repr=False)

    def fact(self, file: str) -> Facts:
        """Content of a JSON file; empty if it is absent."""
        return self.facts.get(file, {})

    def table(self, file: str) -> RunTable:
        """RunTable of a Parquet file; empty if it is absent."""
        return self.tables.get(file, {})

    @property
    def absent(self) -> list[str]:
        """Files that are not there, of those that such a run has."""
        wanted = [name for name in PARTS if self.has_scores or name not in OF_SCORES]
        return [name for name in wanted if name not in self.facts and name not in self.tables]

    @property
    def has_scores(self) -> bool:
        """Whether anything is known of scores; signals of one's own need none."""
        return any(name in self.facts or name in self.tables for name in OF_SCORES)

    @property
    def is_simulated(self) -> bool:
        """Whether any of the markets was made by the simulator."""
        return bool(self.figures.get("simulated"))

    @property
    def figures(self) -> Facts:
        """Figures of the strategy and of what it is compared with."""
        return self.fact(FIGURES)

    @property
    def result_hash(self) -> str:
        """Hash of what the run came to; empty in folders that were written before there was one."""
        return str(self.figures.get(RESULT_HASH) or "")

    def figures_of(self, name: str) -> dict[str, float]:
        """Figures by name, such as those of `strategy`; null is NaN."""
        return {
            key: float("nan") if value is None else float(value)
            for key, value in (self.figures.get(name) or {}).items()
            if value is None or isinstance(value, int | float)
        }

    @property
    def close_times(self) -> NDArray[np.int64]:
        """Moments of the equity, ms."""
        times: NDArray[np.int64] = self.table(EQUITY)["close_time"]
        return times

    def curve(self, name: str) -> Array | None:
        """A column of `equity.parquet`, None if it is not there."""
        return self.table(EQUITY).get(name)

    @property
    def cash(self) -> float:
        """What the account began with; the first equity where the terms are not there."""
        told = self.fact(CONFIG).get("terms", {}).get("cash")
        return float(told) if told else float(self.table(EQUITY)["equity"][0])

    @property
    def bar_ms(self) -> int:
        """Length of a bar, ms: the least step of the equity."""
        return int(np.diff(self.close_times).min()) if len(self.close_times) > 1 else 60_000


def read_run(folder: Path | str) -> RunData:
    """Read a run folder.

    Parameters
    ----------
    folder : Path or str

    Raises
    ------
    NoDataError
        There is no such folder, or it is not that of a run.
    UnreadableFileError
        A file of it is not what its name says.
    """
    home = Path(folder)
    if not home.is_dir():
        raise NoDataError(
            f"There is no folder {home}. `virtuoso backtest` writes run folders and prints where they are."
        )
    lacking = [name for name in REQUIRED if not (home / name).is_file()]
    if lacking:
        raise NoDataError(
            f"{home} is not a run folder: it holds no {lacking[0]}. Name one that `virtuoso backtest` wrote."
        )
    names = [name for name in (*REQUIRED, *PARTS, *BESIDE) if (home / name).is_file()]
    summary = home / SUMMARY
    parts = RunData(
        name=home.resolve().name,
        facts={name: _read_json(home / name) for name in names if name.endswith(".json")},
        tables={name: _read_table(home / name) for name in names if name.endswith(".parquet")},
        summary=summary.read_text(encoding="utf-8").rstrip() if summary.is_file() else "",
    )
    parts.facts[FIGURES] = _renamed(parts.facts[FIGURES])
    if BREAKDOWNS in parts.tables:
        parts.tables[BREAKDOWNS] = _renamed_once(parts.tables[BREAKDOWNS])
    if not {"close_time", "equity"} <= set(parts.table(EQUITY)) or not len(parts.close_times):
        raise UnreadableFileError(f"{home / EQUITY} holds no equity. Run the backtest again.")
    return parts


def _renamed(figures: Facts) -> Facts:
    """Figures of the strategy and of all it is compared with, under the names of today."""
    return {
        name: _renamed(_renamed_once(found)) if isinstance(found, dict) else found for name, found in figures.items()
    }


def _renamed_once(found: Mapping[str, Any]) -> dict[str, Any]:
    return {RENAMED.get(name, name): value for name, value in found.items()}


def read_sweep(folder: Path | str) -> RunData:
    """Read the run folder of a sweep.

    Parameters
    ----------
    folder : Path or str

    Raises
    ------
    NoDataError
        There is no such folder, or it is not that of a sweep.
    UnreadableFileError
        A file of it is not what its name says.
    """
    home = Path(folder)
    if not (home / TRIALS).is_file():
        raise NoDataError(
            f"{home} is not the run folder of a sweep: it holds no {TRIALS}. `virtuoso sweep` writes one."
        )
    names = [name for name in OF_SWEEP if (home / name).is_file()]
    summary = home / SUMMARY
    return RunData(
        name=home.resolve().name,
        facts={name: _read_json(home / name) for name in names if name.endswith(".json")},
        tables={TRIALS: _read_table(home / TRIALS)},
        summary=summary.read_text(encoding="utf-8").rstrip() if summary.is_file() else "",
    )


def read_study(folder: Path | str) -> RunData:
    """Read the result of a study.

    Parameters
    ----------
    folder : Path or str
        `result/` below the study's folder.

    Raises
    ------
    NoDataError
        There is no such folder, or it is not that of a study.
    UnreadableFileError
        A file of it is not what its name says.
    """
    home = Path(folder)
    lacking = [name for name in (TRIALS, WALK_FORWARD, HONESTY) if not (home / name).is_file()]
    if lacking:
        raise NoDataError(f"{home} is not the result of a study: it holds no {lacking[0]}. `virtuoso tune` writes one.")
    names = [name for name in OF_STUDY if (home / name).is_file()]
    summary = home / SUMMARY
    return RunData(
        name=home.resolve().parent.name,
        facts={name: _read_json(home / name) for name in names if name.endswith(".json")},
        tables={name: _read_table(home / name) for name in names if name.endswith(".parquet")},
        summary=summary.read_text(encoding="utf-8").rstrip() if summary.is_file() else "",
    )


def _read_json(file: Path) -> Facts:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise UnreadableFileError(f"{file} is not JSON: {fault}. Run the backtest again.") from fault
    if not isinstance(found, dict):
        raise UnreadableFileError(f"{file} holds no object but {type(found).__name__}. Run the backtest again.")
    return found


def _read_table(file: Path) -> RunTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as fault:
        raise UnreadableFileError(f"{file} is not Parquet: {fault}. Run the backtest again.") from fault
    return {name: _values(table.column(name)) for name in table.column_names}


def _values(column: Any) -> NDArray[Any]:
    values: NDArray[Any] = column.combine_chunks().to_numpy(zero_copy_only=False)
    return values
