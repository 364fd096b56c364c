"""Markets that are made once: copies for tests that write beside what all of them read."""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

from virtuoso.venues.simulator import Recording, record

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


def record_once() -> Callable[..., dict[str, Recording]]:
    """Return `record` as it is, but that it makes no market twice; nobody may write to what it gives."""
    signature = inspect.signature(record)

    @cache
    def recorded(*given: object) -> dict[str, Recording]:
        bound = signature.bind_partial()
        bound.arguments.update(zip(signature.parameters, given, strict=True))
        return record(*bound.args, **bound.kwargs)

    def recording(*args: object, **named: object) -> dict[str, Recording]:
        bound = signature.bind(*args, **named)
        bound.apply_defaults()
        symbols = tuple(bound.arguments.pop("symbols"))
        return recorded(symbols, *bound.arguments.values())

    return recording
