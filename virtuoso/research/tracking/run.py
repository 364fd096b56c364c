"""What every run can do, a backtest as a sweep: be recorded in the ledger of trials, then written as a folder.

The run is in the ledger before anything of it is written (recording.py); runs/write.py writes the folder.
"""

from __future__ import annotations

import textwrap
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtuoso.research.tracking.experiments import Trial
from virtuoso.research.tracking.recording import RecordedTrial, record
from virtuoso.runs.schema import RESULT_HASH
from virtuoso.runs.write import Finish, write_run

if TYPE_CHECKING:
    from virtuoso.research.tracking.mlflow import TrackedRun

WIDTH = 100


class Run(ABC):
    """What a run found, and what its folder is made from."""

    @property
    @abstractmethod
    def provenance(self) -> dict[str, str]:
        """Where every number came from."""

    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """Return terms and settings in force; says whether a market was simulated, as every file of a run does."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """Return the contents of the files of the run folder that the same inputs repeat, by name."""

    @property
    @abstractmethod
    def result_hash(self) -> str:
        """Hash of what it came to, whatever led there: SHA-256, 64 hexadecimal digits."""

    @property
    def tracked(self) -> TrackedRun | None:
        """Where it is in MLflow, or why it is not; None where nobody asked."""
        return self.__dict__.get("_tracked")

    def closing_lines(self) -> list[str]:
        """Return what is said last with every result: its hash, and where it is tracked."""
        return [f"{RESULT_HASH}: {self.result_hash}", *([] if self.tracked is None else [self.tracked.line])]

    @property
    @abstractmethod
    def names(self) -> frozenset[str]:
        """Names of all files of a whole run folder, judged ones included."""

    @abstractmethod
    def trial(self) -> Trial:
        """Return its entry in the ledger of trials."""

    @abstractmethod
    def judge(self, folder: Path) -> None:
        """Write what depends on what else was tried into a run folder, unless it stands there as it is now."""

    def record(self, wanted: bool = True) -> RecordedTrial:
        """Write it down in the ledger of trials, if that was not done yet, and count what was tried until now.

        Parameters
        ----------
        wanted : bool
            Whether it is to be recorded. The first call decides; later ones count again.
        """
        known: RecordedTrial | None = self.__dict__.get("_recording")
        found = record(self.trial(), wanted=wanted) if known is None else known.renewed()
        self.__dict__["_recording"] = found  # as cached properties keep their values; `replace` forgets it
        return found

    @property
    def recording(self) -> RecordedTrial | None:
        """Whether it is in the ledger, and what was tried until now; None where nobody has recorded it yet."""
        return self.record() if "_recording" in self.__dict__ else None

    def recorded_lines(self) -> list[str]:
        """Return what is said of it with every result, at most 100 columns wide; nothing before it is recorded."""
        found = self.recording
        said = [] if found is None else found.lines()
        return [line for words in said for line in textwrap.wrap(words, WIDTH)]

    def save(self, folder: Path | str, *, replace: bool = False, finish: Finish | None = None) -> Path:
        """Write a run folder with everything needed to repeat this, whole or not at all.

        Parameters
        ----------
        folder : Path or str
        replace : bool
            Whether a run folder that is already there may be replaced.
        finish : callable, optional
            Called with the folder before it is moved to its place.

        Raises
        ------
        ConfigError
            If the folder exists and may not be replaced.
        """
        target = Path(folder)
        self.record()
        write_run(self, target, replace=replace, finish=finish)
        return target
