"""Markets that are made once: copies for tests that write beside what all of them read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

FIXED = frozenset({".parquet", ".zip"})
"""Ends of the names of files that are replaced, never written to, so that copies may share their bytes."""


def copy_market(source: Path, target: Path) -> None:
    """Copy a folder with a market; what is large takes no place, what a writer opens is the copy's own."""

    def copy(file: str, place: str) -> None:
        if Path(file).suffix in FIXED:
            os.link(file, place)
        else:
            shutil.copy2(file, place)

    shutil.copytree(source, target, copy_function=copy, dirs_exist_ok=True)
