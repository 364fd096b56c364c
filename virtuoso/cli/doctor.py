"""What `virtuoso doctor` looks at. Each check is a small function that finds something or fails with a remedy.

Nothing is sent anywhere: the clock is read, not compared with a venue's.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from virtuoso.cli.terminal.command import HINTS, Call, in_two
from virtuoso.errors import ConfigError, DataError, VirtuosoError

OLDEST, NEWEST = (3, 11), (3, 15)
LITTLE_SPACE = 5_000_000_000
LIBRARIES = ("numpy", "pandas", "pyarrow", "duckdb", "numba", "TA-Lib", "vectorbt", "pydantic", "typer", "rich")
FIRST_SANE_YEAR = 2024


@dataclass(frozen=True, slots=True)
class Check:
    """What one look found.

    Attributes
    ----------
    name : str
    verdict : str
        'good', 'note' where something could be better, or 'fails'.
    found, remedy : str
    exit_code : int
        What the command returns if this is the first that fails.
    """

    name: str
    verdict: Literal["good", "note", "fails"]
    found: str
    remedy: str = ""
    exit_code: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return asdict(self)


def examine(call: Call) -> list[Check]:
    """Run every check; one that fails stops none of the others, but without settings there is nowhere to look."""
    found: list[Check] = []
    for name, look in CHECKS:
        if look in NEED_SETTINGS and any(check.name == "configuration" and check.verdict == "fails" for check in found):
            found.append(Check(name, "note", "not looked at: the configuration comes first"))
            continue
        try:
            found += [replace(check, name=name) for check in look(call)]
        except VirtuosoError as error:
            what, remedy = in_two(str(error))
            found.append(Check(name, "fails", what, remedy or HINTS[error.exit_code], error.exit_code))
        except (OSError, ImportError, ValueError) as error:
            found.append(Check(name, "fails", f"{type(error).__name__}: {error}", "Run it with --debug to see where."))
    return found


Look = Callable[[Call], Iterator[Check]]


def good(found: str) -> Check:
    """Say that something is in order."""
    return Check("", "good", found)


def note(found: str, remedy: str) -> Check:
    """Say that something could be better."""
    return Check("", "note", found, remedy)


def fails(found: str, remedy: str, exit_code: int = 1) -> Check:
    """Say that something does not work."""
    return Check("", "fails", found, remedy, exit_code)


def python(call: Call) -> Iterator[Check]:
    """Whether this Python is one that Virtuoso is tested on."""
    here = f"{platform.python_version()} in {sys.prefix}"
    if OLDEST <= sys.version_info[:2] < NEWEST:
        yield good(here)
    else:
        yield fails(here, f"Use Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1] - 1}.")


def libraries(call: Call) -> Iterator[Check]:
    """Versions; nothing is imported."""
    from importlib.metadata import PackageNotFoundError, version

    found, missing = [], []
    for name in ("virtuoso", *LIBRARIES):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        yield fails(f"missing: {', '.join(missing)}", "Install them: make setup, or pip install -r requirements.txt.")
    else:
        yield good(", ".join(found))


def processor(call: Call) -> Iterator[Check]:
    """What it computes on."""
    from virtuoso.prism.engine.fingerprint import cpu_level

    yield good(f"{os.cpu_count()} cores, {platform.machine()}, {cpu_level()}")


def talib(call: Call) -> Iterator[Check]:
    """Whether the C library behind the indicators answers."""
    import numpy as np
    import talib as library

    last = float(library.SMA(np.arange(10.0), 4)[-1])
    if last == 7.5:
        yield good("the C library answers")
    else:
        yield fails(f"the mean of 6, 7, 8, 9 came out as {last}", "Reinstall it: pip install --force-reinstall TA-Lib.")


def compiled(call: Call) -> Iterator[Check]:
    """Whether compiled code can be kept between runs."""
    from virtuoso.jit.cache import folder

    cache = folder()
    if cache is None:
        yield note("no folder is ours alone", "Set NUMBA_CACHE_DIR to a folder of yours; else every start compiles.")
    elif os.access(cache, os.W_OK):
        yield good(f"kept in {cache}")
    else:
        yield note(f"{cache} cannot be written", "Set NUMBA_CACHE_DIR to a folder of yours; else every start compiles.")
    if sys.dont_write_bytecode:
        yield note("PYTHONDONTWRITEBYTECODE is set", "Unset it; every start parses all libraries anew.")


def settings(call: Call) -> Iterator[Check]:
    """Whether the configuration holds."""
    loaded = call.settings
    yield good(f"{loaded.system.environment}, fingerprint {loaded.fingerprint()[:12]}")


def components(call: Call) -> Iterator[Check]:
    """Whether private components can be imported and have weights."""
    from virtuoso.prism.registry import prism_from

    prism = prism_from(call.settings.prism)
    private = len(call.settings.prism.components)
    yield good(f"{len(list(prism))} components in {len(prism.faces)} faces, {private} of them private")


def folders(call: Call) -> Iterator[Check]:
    """Whether data root and reports can be written, and how much room there is."""
    for folder in (call.root, call.settings.signals.reports):
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        if not os.access(there, os.W_OK):
            yield fails(
                f"{folder} cannot be written", "Name another: --data DIR, or signals.reports.", ConfigError.exit_code
            )
            continue
        free = shutil.disk_usage(there).free
        shown = f"{folder}: {free / 1e9:,.0f} GB free"
        if free < LITTLE_SPACE:
            yield note(shown, "Make room; a symbol-year of minutes with its scores takes about a gigabyte.")
        else:
            yield good(shown)


def lake(call: Call) -> Iterator[Check]:
    """Whether the lake can be read; its bytes are compared by `data verify`."""
    coverage = call.lake.coverage()
    if not coverage:
        yield note(f"{call.lake.path} is empty", "Import bars: virtuoso data import PATH --venue VENUE.")
        return
    damaged = call.lake.generations.damaged
    if damaged:
        yield fails(
            f"manifests damaged: {', '.join(damaged)}", "Run virtuoso data verify --rebuild.", DataError.exit_code
        )
    bars, gaps = sum(c.bars for c in coverage), sum(c.gaps for c in coverage)
    yield good(
        f"{len(coverage)} series, {bars:,} bars, {gaps:,} gaps, {sum(c.quarantined for c in coverage):,} refused"
    )


def clock(call: Call) -> Iterator[Check]:
    """Whether this machine's clock can be right; it is not compared with a venue's."""
    from virtuoso.clock import Env, iso

    now = Env().now_ms()
    if datetime.fromtimestamp(now / 1000, UTC).year < FIRST_SANE_YEAR:
        yield fails(f"it is {iso(now)}", "Set the clock; bars that have not closed by it are refused.")
    else:
        yield good(f"{iso(now)}, not compared with any venue")


CHECKS: tuple[tuple[str, Look], ...] = (
    ("python", python),
    ("libraries", libraries),
    ("processor", processor),
    ("TA-Lib", talib),
    ("compiled code", compiled),
    ("configuration", settings),
    ("components", components),
    ("folders", folders),
    ("lake", lake),
    ("clock", clock),
)
NEED_SETTINGS = (components, folders, lake)
