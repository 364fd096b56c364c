"""The run folders of a project: what each of them is, from its small files alone, and how one is named.

A folder that is damaged or of something else is listed with the reason; no table is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from virtuoso.errors import ConfigError, NoDataError, UnreadableFileError, did_you_mean
from virtuoso.runs.schema import CONFIG, EQUITY, FIGURES, HONESTY, PROVENANCE, RESULT_HASH, TRIALS

BEST = "best.json"
"""Figures of the best configurations of a sweep."""
LAST = "last"
"""The name that stands for the newest run."""
DIGITS = re.compile(r"[0-9a-f]{8,}")
NOTHING = float("nan")
SHOWN = 5


@dataclass(frozen=True, slots=True)
class SavedRun:
    """One folder among the runs.

    Attributes
    ----------
    name : str
        Of the folder.
    folder : Path
    time : int, ms
        When it was last run.
    what : str
        'backtest' or 'sweep', with what decided where that is not the shipped rule; empty where it is not known.
    instruments : tuple of str
        Such as 'BTCUSDT binance-usdm'.
    timeframe, start, end : str
        Base timeframe, and from when to when.
    total_return, max_drawdown, sharpe, trades : float
        Of a sweep those of its best configuration; NaN where not known or not testable.
    verdict : str
        ship, iterate or discard; empty where it was not judged.
    result_hash : str
        Hash of what it came to; empty in folders that were written before there was one.
    simulated : bool
        Whether a market was made by the simulator.
    problem : str
        Why it cannot be read; empty where it can.
    """

    name: str
    folder: Path
    time: int
    what: str = ""
    instruments: tuple[str, ...] = ()
    timeframe: str = ""
    start: str = ""
    end: str = ""
    total_return: float = NOTHING
    max_drawdown: float = NOTHING
    sharpe: float = NOTHING
    trades: float = NOTHING
    verdict: str = ""
    result_hash: str = ""
    simulated: bool = False
    problem: str = ""

    @property
    def short_name(self) -> str:
        """The digits at the end of its name, which `find_run` takes; the name where it has none."""
        digits = _digits(self.name)
        return digits if DIGITS.fullmatch(digits) else self.name

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return asdict(self)


def saved_runs(home: Path) -> list[SavedRun]:
    """Return what lies in a folder of runs, the newest last; empty where there is no such folder.

    Parameters
    ----------
    home : Path
        Such as `reports/runs`.
    """
    folders = [path for path in home.glob("[!.]*") if path.is_dir()] if home.is_dir() else []
    return sorted((_saved(folder) for folder in folders), key=lambda run: (run.time, run.name))


def _saved(folder: Path) -> SavedRun:
    """Read one folder; what is wrong with it is part of the answer."""
    try:
        is_sweep = (folder / TRIALS).is_file()
        lacking = [] if is_sweep else [name for name in (FIGURES, EQUITY) if not (folder / name).is_file()]
        if lacking:
            return SavedRun(folder.name, folder, _changed(folder), problem=f"holds no {lacking[0]}: not a whole run")
        source, decided = _json(folder / PROVENANCE), _json(folder / CONFIG).get("decided_by") or {}
        figures = _best(folder) if is_sweep else dict(_json(folder / FIGURES).get("strategy") or {})
        told = _json(folder / (BEST if is_sweep else FIGURES))
        verdict = str(_json(folder / HONESTY).get("decision") or "")
        stamp = folder / CONFIG if (folder / CONFIG).is_file() else folder
        named = str(source.get("instruments") or source.get("instrument") or "")
        return SavedRun(
            folder.name,
            folder,
            _changed(stamp),
            what=_what(is_sweep, str(decided.get("name", ""))),
            instruments=tuple(part.strip() for part in named.split(",") if part.strip()),
            timeframe=str(source.get("timeframe", "")),
            start=str(source.get("from", "")),
            end=str(source.get("to", "")),
            total_return=_number(figures.get("total_return", figures.get("net_return"))),
            max_drawdown=_number(figures.get("max_drawdown")),
            sharpe=_number(figures.get("sharpe")),
            trades=_number(figures.get("trades")),
            verdict=verdict,
            result_hash=str(told.get(RESULT_HASH) or ""),
            simulated=bool(told.get("simulated")),
        )
    except (UnreadableFileError, OSError, ValueError, TypeError, AttributeError) as fault:
        return SavedRun(folder.name, folder, _changed(folder), problem=_reason(fault))


def _what(is_sweep: bool, decided_by: str) -> str:
    kind = "sweep" if is_sweep else "backtest"
    return kind if decided_by in ("", "rule") else f"{kind} {decided_by}"


def _json(file: Path) -> Mapping[str, Any]:
    """Content of a JSON file; nothing where it is absent."""
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise UnreadableFileError(f"{file.name} is not JSON") from fault
    if not isinstance(found, dict):
        raise UnreadableFileError(f"{file.name} holds no object")
    return found


def _best(folder: Path) -> Mapping[str, Any]:
    """Figures of the best configuration of a sweep."""
    best = _json(folder / BEST).get("best") or [{}]
    found: Mapping[str, Any] = best[0]
    return found


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else NOTHING


def _changed(path: Path) -> int:
    try:
        return int(path.stat().st_mtime * 1000)
    except OSError:
        return 0


def _reason(fault: Exception) -> str:
    if isinstance(fault, OSError):
        return f"cannot be read: {fault.strerror}"
    return str(fault) if isinstance(fault, UnreadableFileError) else "its files are not those of a run"


def find_run(home: Path, said: str | Path) -> Path:
    """Return the folder of a run by path, by name, by the beginning of its name or of its digits, or `last`.

    Parameters
    ----------
    home : Path
        The folder of runs.
    said : str or Path
        A folder; `simulated_BTCUSDT_5m_60de2b38a6`, `simulated_BTC` or `60de` where that fits one run; `last`.

    Raises
    ------
    NoDataError
        There is no such run.
    ConfigError
        Several runs begin so.
    """
    text = str(said)
    if Path(said).is_dir() and text != LAST:
        return Path(said)
    runs = saved_runs(home)
    whole = [run for run in runs if not run.problem]
    if text == LAST and whole:
        return whole[-1].folder
    exact = [run for run in runs if run.name == text.rstrip("/")]
    fits = exact or [run for run in runs if text and (run.name.startswith(text) or _digits(run.name).startswith(text))]
    if len(fits) == 1:
        return fits[0].folder
    if fits:
        raise ConfigError(f"{len(fits)} runs begin with {text!r}: {_listed(fits)}. Write more of the name.")
    remedy = (
        did_you_mean(text, [run.name for run in runs]) if runs else "Run `virtuoso backtest`: it writes run folders."
    )
    raise NoDataError(f"There is no run {text}, neither here nor in {home}. {remedy}")


def _digits(name: str) -> str:
    """The digest at the end of a name."""
    return name.rpartition("_")[2]


def _listed(runs: Sequence[SavedRun]) -> str:
    names: Iterable[str] = [run.name for run in runs[-SHOWN:]]
    return ", ".join(names) + (", ..." if len(runs) > SHOWN else "")
