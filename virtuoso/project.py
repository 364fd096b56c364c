"""The root of a project: the one folder under which what was tried is counted, from wherever in it one works.

1. `VIRTUOSO_PROJECT` names it, if it is set.
2. Else it is the nearest folder, from the working folder upwards, that holds `virtuoso.toml`; else the nearest root of
   a git checkout that holds `configs/`.
3. Else it is the working folder itself, which is no project: whoever works in another folder tomorrow has another
   ledger, and every result says so.

A root that somebody else owns is refused unless it was named: settings below it name private components, and their code
would run as us.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from virtuoso.errors import ConfigError

MARK = "virtuoso.toml"
"""File that makes a folder the root of a project; it may be empty."""
VARIABLE = "VIRTUOSO_PROJECT"
NO_PROJECT = (
    f"no project here: neither this folder nor one above it holds {MARK} or is a git root with configs/, so that tries "
    "made in other folders are not counted"
)
"""What a result says that was counted in a working folder alone."""


@dataclass(frozen=True, slots=True)
class Project:
    """Where the project is.

    Attributes
    ----------
    root : Path
        Absolute.
    is_marked : bool
        Whether something says that it is one; else it is the working folder, for want of a better one.
    """

    root: Path
    is_marked: bool


def project(working: Path | None = None, env: Mapping[str, str] | None = None) -> Project:
    """Find the project.

    Parameters
    ----------
    working : Path, optional
        The working folder of the process if absent.
    env : mapping of str to str, optional
        `os.environ` if absent.

    Raises
    ------
    ConfigError
        Its root belongs to another user, or VIRTUOSO_PROJECT names no folder.
    """
    named = (os.environ if env is None else env).get(VARIABLE)
    if named:
        root = Path(named).absolute()
        if not root.is_dir():
            raise ConfigError(f"{VARIABLE} names {named}, which is no folder. Make it, or unset the variable.")
        return Project(root, True)
    here = (Path.cwd() if working is None else working).absolute()
    for root, mark in _marked(here):
        _refuse_foreign(root, mark)
        return Project(root, True)
    _refuse_foreign(here)
    return Project(here, False)


def roots_around(lake: Path) -> tuple[Path, ...]:
    """Return the roots of the projects that a lake is read in: that of the working folder, and the one it lies in.

    Whose they are does not matter here: what is read of them may forbid something, and runs no code.

    Parameters
    ----------
    lake : Path
    """
    named = os.environ.get(VARIABLE)
    here = Path.cwd()
    working = Path(named).absolute() if named else next((root for root, _ in _marked(here)), here)
    inside = next((root for root, _ in _marked(lake.absolute())), working)
    return (working,) if inside == working else (working, inside)


def _marked(here: Path) -> Iterator[tuple[Path, Path]]:
    """Folders that say that they are a project, with what says so; those that say it by name first."""
    above = (here, *here.parents)
    yield from ((folder, folder / MARK) for folder in above if (folder / MARK).is_file())
    yield from (
        (folder, folder / "configs") for folder in above if (folder / ".git").exists() and (folder / "configs").is_dir()
    )


def _refuse_foreign(root: Path, *marks: Path) -> None:
    """Refuse what another user owns."""
    if not hasattr(os, "geteuid"):  # no such owners on Windows
        return
    for path in (root, *marks):
        owner = path.stat().st_uid
        if owner != os.geteuid():
            raise ConfigError(
                f"The project root {root} is refused: {path} belongs to the user with id {owner}, not to you "
                f"({os.geteuid()}), and code that its settings name would run as you. Work in a folder of your own; if "
                f"you trust this one, set {VARIABLE}={root}."
            )
