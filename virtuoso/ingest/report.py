"""What an import did, file by file: plain values to print, to compare and to write as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["imported", "unchanged", "skipped", "failed"]
MOST_SHOWN = 10
"""Files that failed or were skipped that are named when a report is printed."""


@dataclass(slots=True)
class FileReport:
    """What became of one file.

    Attributes
    ----------
    path : str
    status : str
        'imported'; 'unchanged' if the lake held it all; 'skipped' if it holds nothing that is known; 'failed'.
    instruments : list of str
    kinds : list of str
        What it holds: bars, or kinds of events.
    timeframe : str
        Of bars.
    lines, blank, header : int
        Lines of the file, or of JSON its messages; those in which nothing stands, and those that are no rows by their
        place, such as the names of the columns.
    rows_read : int
    unit : str
        'lines' where each of the other lines is a row, else 'events': a line may be several of them.
    stored, duplicates, revisions, conflicts, quarantined, forming, late, flat : int
        Bars or events added; those that agree with what is stored; those that took the place of others; those that
        contradict what holds, and were kept beside it; rows rejected; bars that had not closed; rows that count from
        now because they lie inside stored history; flat bars written for minutes without a trade.
    left_out : int
        Rows of another symbol than the wanted one, and those in which nothing is known.
    refused : dict of str to int
        Refused rows, by rule.
    notes : list of str
        How it was read, and what is worth knowing.
    error : str
        Why it failed or was skipped.
    """

    path: str
    status: Status = "unchanged"
    instruments: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    timeframe: str = ""
    lines: int = 0
    blank: int = 0
    header: int = 0
    rows_read: int = 0
    unit: Literal["lines", "events"] = "lines"
    stored: int = 0
    duplicates: int = 0
    revisions: int = 0
    conflicts: int = 0
    quarantined: int = 0
    forming: int = 0
    late: int = 0
    flat: int = 0
    left_out: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    error: str = ""

    def refuse(self, status: Status, why: str) -> None:
        """Say that nothing of the file was stored; what was read of it stays in the report."""
        self.status, self.error = status, why
        for name in ("stored", "duplicates", "revisions", "conflicts", "quarantined", "late", "flat"):
            setattr(self, name, 0)

    @property
    def uncounted(self) -> int:
        """Return how many of the rows read are not among those that were stored, refused or left out; 0 if all are."""
        kept = self.stored + self.duplicates + self.revisions + self.conflicts
        return self.rows_read - kept - self.quarantined - self.forming - self.left_out

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes
    ----------
    files : tuple of FileReport
    generation : int
        Of the lake's bars, afterwards.
    bytes_written : int
    seconds : float
    """

    files: tuple[FileReport, ...]
    generation: int
    bytes_written: int
    seconds: float

    def __repr__(self) -> str:
        counts = ("stored", "duplicates", "revisions", "conflicts", "quarantined")
        told = ", ".join(f"{self.total(what):,} {what}" for what in counts if self.total(what) or what == "stored")
        files = f"{len(self.files):,} file{'s' * (len(self.files) != 1)}"
        head = f"<Import of {files}: {self.total('rows_read'):,} rows; {told}>"
        problems = [f"  {file.status}: {file.path}: {file.error}" for file in self.files if file.error]
        more = len(problems) - MOST_SHOWN
        return "\n".join(
            [head, *problems[:MOST_SHOWN], *([f"  and {more:,} more: .failed, .files"] if more > 0 else [])]
        )

    @property
    def ok(self) -> bool:
        """Whether no file failed and at least one holds bars or events."""
        return all(file.status != "failed" for file in self.files) and any(
            file.status in ("imported", "unchanged") for file in self.files
        )

    @property
    def failed(self) -> list[FileReport]:
        """The files that failed."""
        return [file for file in self.files if file.status == "failed"]

    def total(self, what: str) -> int:
        """Sum of a count over all files, such as 'stored'."""
        return sum(int(getattr(file, what)) for file in self.files)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        counts = (
            "lines", "blank", "header", "rows_read", "stored", "duplicates", "revisions", "conflicts", "quarantined",
            "forming", "late", "flat", "left_out",
        )  # fmt: skip
        return {
            "ok": self.ok,
            "generation": self.generation,
            "bytes_written": self.bytes_written,
            "seconds": self.seconds,
            "total": {what: self.total(what) for what in counts},
            "files": [file.to_dict() for file in self.files],
        }
