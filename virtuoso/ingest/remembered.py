"""Files that were imported before and have not changed since: they are not read again.

1. A file is the same if its bytes, the time of its last change, its number on the disk, and those of its checksum are.
   One that was changed within two seconds of being read is in doubt, and read again.
2. It is read again where anything else differs that may change what becomes of it: the options, the code, or a
   generation of its kinds that this import did not write itself. Whatever takes rows out of the lake (`data remove`,
   a rebuild, a quarantine) publishes such a generation.
3. What may come out otherwise tomorrow is never remembered: bars that were still forming, rows of the future, and
   snapshots, which other files date. Nor is a file that contradicts others, and from then on none of its kinds that was
   read before: what became of them may have changed with it.

The file below `derived/` is disposable: without it everything is read once more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from virtuoso.errors import UnreadableFileError
from virtuoso.files.atomic import Disk
from virtuoso.files.digest import code_digest
from virtuoso.files.json import to_json
from virtuoso.ingest.report import FileReport
from virtuoso.venues.files.file_io import CHECKSUM, check_regular
from virtuoso.venues.files.options import ImportOptions

DOUBT_MS = 2_000
NOTE = "not read again: neither the file nor the lake has changed since it was imported"
_KEPT = ("instruments", "kinds", "timeframe", "lines", "blank", "header", "rows_read", "unit", "left_out", "refused")


@cache
def _code() -> str:
    return code_digest(modules=["virtuoso.ingest.importer"])


class Remembered:
    """What is known of files from imports before.

    Parameters
    ----------
    lake : Path
    options : ImportOptions
    generation_of : callable
        Newest generation of a kind of the lake, which nobody else writes meanwhile.
    """

    def __init__(self, lake: Path, options: ImportOptions, generation_of: Callable[[str], int]) -> None:
        self._path = lake / "derived" / "imported.json"
        self._options = options
        self._generation_of = generation_of
        self._before = _read(self._path)
        self._files = {name: record for name, record in self._before.items() if self._holds(record)}

    def report_of(self, path: Path) -> FileReport | None:
        """Return what became of a file that need not be read again, None if it must be."""
        record = self._files.get(_name(path))
        if record is None or record["is"] != self._identity(path):
            return None
        report = FileReport(str(path), **record["report"])
        report.duplicates = record["kept"]
        report.quarantined = sum(report.refused.values())
        report.notes = [*record["notes"], NOTE]
        return report

    def remember(self, path: Path, report: FileReport, now_ms: int) -> None:
        """Take what became of a file that was read, as of the moment before it was."""
        self._files.pop(_name(path), None)
        passing = report.forming or "time_out_of_range" in report.refused or "snapshot" in path.name.lower()
        identity = self._identity(path)
        if report.status not in ("imported", "unchanged") or passing or identity is None:
            return
        if report.revisions or report.conflicts:
            kept = {name: one for name, one in self._files.items() if not {*one["report"]["kinds"]} & {*report.kinds}}
            self._files = kept
            return
        if identity["changed_ns"] // 1_000_000 + DOUBT_MS > now_ms:
            return
        self._files[_name(path)] = {
            "is": identity,
            "report": {name: getattr(report, name) for name in _KEPT},
            "kept": report.stored + report.duplicates + report.revisions + report.conflicts,
            "notes": report.notes,
        }

    def write(self, disk: Disk) -> None:
        """Keep what is known; records that hold still do for the generations that this import has written."""
        for record in self._files.values():
            record["generations"] = {kind: self._generation_of(kind) for kind in record["report"]["kinds"]}
        if self._files != self._before:
            disk.make_folder(self._path.parent, durable=False)
            disk.write(self._path, to_json(self._files, indent=None).encode(), lasting="nothing")

    def _holds(self, record: Mapping[str, Any]) -> bool:
        """Whether the lake is as this record's import has left it."""
        return all(self._generation_of(kind) == known for kind, known in record["generations"].items())

    def _identity(self, path: Path) -> dict[str, Any] | None:
        """All that what becomes of a file depends on; None of what is no file."""
        try:
            stamp = check_regular(path)
            beside = path.with_name(path.name + CHECKSUM)
            checksum = list(check_regular(beside)) if beside.is_file() else None
        except UnreadableFileError:
            return None
        said = {field.name: getattr(self._options, field.name) for field in fields(self._options)}
        return {
            **stamp._asdict(),
            "checksum": checksum,
            "options": hashlib.sha256(repr(said).encode()).hexdigest(),
            "code": _code(),
        }


def _name(path: Path) -> str:
    return str(path.absolute())


def _read(path: Path) -> dict[str, Any]:
    """Return the records of a file; none of one that is lost, damaged or of another version."""
    try:
        found = json.loads(path.read_bytes())
        sound = isinstance(found, dict) and all(
            set(record) == {"is", "report", "kept", "notes", "generations"} and set(record["report"]) == set(_KEPT)
            for record in found.values()
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return found if sound else {}
