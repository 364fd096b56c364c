"""The files that an import was asked for: those named, and those in folders, each once.

What is no file (a named pipe, a device, a socket, a link that leads nowhere) is given as well, so that it has its line
in the report; nothing is opened here. Links to folders are not followed, so that none leads round in a circle.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from virtuoso.errors import NoDataError
from virtuoso.venues.files.file_io import CHECKSUM


def files_of(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files of paths, in order of their names; checksums belong to their files, hidden files to nobody.

    Raises
    ------
    NoDataError
        A path does not exist.
    """
    named = set(paths)
    for path in paths:
        if path.is_dir():
            yield from _inside(path)
        elif not os.path.lexists(path):
            raise NoDataError(f"{path} does not exist.")
        elif not path.name.endswith(CHECKSUM) or path.with_name(path.name.removesuffix(CHECKSUM)) not in named:
            yield path


def _inside(folder: Path) -> Iterator[Path]:
    """Files of a folder and of those in it; a folder that cannot be listed is given itself."""
    found: list[Path] = []

    def refused(error: OSError) -> None:
        found.append(Path(error.filename))

    for place, folders, names in os.walk(folder, onerror=refused):
        found += [Path(place, name) for name in names if not name.startswith(".") and not name.endswith(CHECKSUM)]
        folders[:] = [name for name in folders if not name.startswith(".")]
    yield from sorted(found)
