"""When a run is recorded, and what becomes of one that cannot be.

1. A try is written down when it was made, before anything of it is shown: by the verbs, for the command line and for
   Python alike, and by `Result.save` where a result did not come from a verb.
2. There is one ledger a project (project.py), from wherever in it one works.
3. Where it cannot be written, or what it holds cannot be read, the run goes on; it says *not recorded* and can never
   ship. So does one that was made with `record=False`.

Not tries, since nothing is chosen by a return they show: `information` (rank correlations of single scores, which count
their own), `calibrate` (what reliability turned out right), canaries and stress tests (of a run that is recorded).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from virtuoso.account.instrument import Instrument
from virtuoso.errors import ConfigError, DataError
from virtuoso.lake.seal import refuse_result
from virtuoso.project import NO_PROJECT, Project, project
from virtuoso.research.tracking.experiments import FOLDER, Trial, TrialCount, TrialLedger

UNWANTED = "record=False"
NOBODY = "no ledger is kept"
NOTHING_YET = "Nothing of this run was recorded or written."


@dataclass(frozen=True)
class RecordedTrial:
    """Whether a run is in the ledger, and what that counts.

    Attributes
    ----------
    trial : Trial
        What is or would be in the ledger.
    tried : TrialCount
        What was tried on its data and of its family so far, this run included; this run alone where that is not known.
    root : Path or None
        Root of the project whose ledger it is; None where there is none.
    is_project : bool
        Whether the root is marked as one; else it is the working folder, and tries made elsewhere are not counted.
    wanted : bool
        Whether it was to be recorded.
    stamp : tuple of int
        State of the ledger when that was counted.
    """

    trial: Trial = field(repr=False)
    tried: TrialCount
    root: Path | None = None
    is_project: bool = True
    wanted: bool = True
    stamp: tuple[int, int] = field(default=(0, 0), repr=False)

    @property
    def recorded(self) -> bool:
        """Whether it is in the ledger and everything there was counted."""
        return self.tried.recorded

    @property
    def reason(self) -> str:
        """Why it is not recorded; empty where it is."""
        return self.tried.reason

    def lines(self) -> list[str]:
        """What is said with every result."""
        if not self.recorded:
            said = [f"NOT RECORDED ({self.reason}): nobody will know of this try, and it can never ship; {self.tried}"]
        else:
            folder = (self.root or Path.cwd()) / FOLDER
            near = os.path.relpath(folder) if folder.anchor == Path.cwd().anchor else folder
            said = [f"recorded in {Path(near).as_posix()}: {self.tried}"]
        return said if self.is_project else [*said, NO_PROJECT]

    def row(self) -> list[str]:
        """The same as a line of the honesty box: name, figure, what it says. It names no place."""
        said = self.reason or "in the ledger of the project"
        figure = "yes" if self.recorded else "no"
        return ["Recorded", figure, said if self.is_project or self.reason else NO_PROJECT]

    def told(self) -> dict[str, Any]:
        """The same for --json and `honesty.json`."""
        return {
            "recorded": self.recorded,
            "reason": self.reason or None,
            "project": None if self.is_project else NO_PROJECT,
            "runs": self.tried.runs,
            "tries": self.tried.configurations,
            "elsewhere": self.tried.elsewhere,
            "effective": self.tried.effective,
        }

    @classmethod
    def alone(cls, trial: Trial, reason: str = NOBODY) -> RecordedTrial:
        """A run that no ledger knows of."""
        return cls(trial, replace(TrialCount.of([trial]), recorded=False, reason=reason), wanted=False)

    def renewed(self) -> RecordedTrial:
        """Count again: what was tried since counts for this run, too; one that could not be recorded may be by now."""
        if self.root is None or (self.recorded and self.stamp == TrialLedger(self.root / FOLDER).stamp):
            return self
        return record(self.trial, wanted=self.wanted, home=Project(self.root, self.is_project))


def record(trial: Trial, *, wanted: bool = True, home: Project | None = None) -> RecordedTrial:
    """Write a run down and count what was tried.

    Parameters
    ----------
    trial : Trial
    wanted : bool
        Whether it is to be recorded.
    home : Project, optional
        That of the working folder if absent.

    Raises
    ------
    ConfigError
        The root of the project belongs to another user.
    SealedError
        It traded what a hold-out seals: nothing is written, and nothing shown.
    """
    named = [text.split() for text in trial.instruments]
    refuse_result([Instrument(one[1], one[0]) for one in named if len(one) == 2], trial.first, trial.stop)
    reason = "" if wanted else UNWANTED
    try:
        home = home or project()
    except ConfigError:
        if wanted:
            raise
        return RecordedTrial.alone(trial, reason)  # whose ledger it is stops nobody who wants none
    ledger = TrialLedger(home.root / FOLDER)
    try:
        if wanted:
            ledger.record(trial)
    except OSError as refused:
        reason = f"the ledger cannot be written: {refused.strerror or refused}"
    stamp = ledger.stamp  # before it is counted: what is recorded meanwhile is counted next time
    try:
        tried = ledger.tried(trial)
    except (DataError, OSError) as unknown:
        tried = TrialCount.of([trial])
        reason = reason or f"what was tried is not known: {unknown}"
    counted = replace(tried, recorded=not reason, reason=reason)
    return RecordedTrial(trial, counted, home.root, home.is_marked, wanted, stamp)


@contextmanager
def said_if_stopped(words: str) -> Iterator[None]:
    """Tell whoever presses Ctrl-C what is there of a run."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        stopped.add_note(words)
        raise
