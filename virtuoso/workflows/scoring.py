"""Scores and what they say: score, explain, signals issued, and the examination of a prism by every law."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from virtuoso.config import Settings
from virtuoso.errors import ConfigError, NoDataError
from virtuoso.executor import executor as open_executor
from virtuoso.files.atomic import Disk
from virtuoso.labels import Moment
from virtuoso.lake.lake import Lake
from virtuoso.lake.law import examine
from virtuoso.lake.seal import refuse_reading
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.score import score as score_frame
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.laws.certificate import Certificate, certify
from virtuoso.prism.laws.findings import Finding, Verdict
from virtuoso.prism.laws.node_certificate import certify_node
from virtuoso.prism.open_interest.analysis import analyse
from virtuoso.prism.open_interest.report import OpenInterest
from virtuoso.prism.prism import Prism
from virtuoso.prism.registry import prism_from
from virtuoso.prism.result.explanation import Explanation
from virtuoso.prism.result.scores import Scores
from virtuoso.project import project
from virtuoso.runs.write import as_json
from virtuoso.signals.decision import decide
from virtuoso.signals.declared import Strategy, strategy_of
from virtuoso.signals.message.build import build_signal
from virtuoso.signals.message.signal import Signal
from virtuoso.signals.message.store import SignalFolder
from virtuoso.types import Progress
from virtuoso.workflows.data import frame_at, load
from virtuoso.workflows.paths import NAME_DIGITS, block_cache, scores_file, settings_of

DOOR_BARS = 300
"""Bars that are scored from their own range and from all of history."""
DOOR_TOLERANCE = 1e-6
"""Points."""

log = logging.getLogger(__name__)


def score(
    frame: MarketFrame,
    prism: Prism | None = None,
    *,
    settings: Settings | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Score every bar of a frame's window.

    Parameters
    ----------
    frame : MarketFrame
    prism : Prism, optional
        The one that settings describe if absent.
    settings : Settings, optional
    cache : str or Path, optional
        Folder that keeps finished blocks between runs.
    progress : callable, optional

    Returns
    -------
    Scores

    Raises
    ------
    SealedError
        The window reaches into a hold-out.
    """
    _refuse_sealed(frame)
    chosen = prism if prism is not None else prism_of(settings)
    told = None if progress is None else lambda done, total: progress("bars", done, total)
    scores = score_frame(chosen, frame, cache_folder=Path(cache) if cache is not None else None, progress=told)
    fields = {"instrument": str(frame.instrument), "timeframe": frame.timeframe.name, "bars": len(scores)}
    log.info("scored", extra=fields)
    return scores


def _refuse_sealed(frame: MarketFrame) -> None:
    clock = frame.timeframe
    refuse_reading(frame.instrument, clock.open_time(frame.start), clock.open_time(frame.stop))


def score_many(
    symbols: Sequence[str],
    timeframe: str | None = None,
    *,
    timerange: str | None = None,
    venue: str | None = None,
    settings: Settings | None = None,
    jobs: int | None = None,
    executor: str | None = None,
    cache: bool = True,
    progress: Progress | None = None,
) -> list[Path]:
    """Score many instruments and write the scores of each to Parquet, where `scores_file` says.

    Parameters
    ----------
    symbols : sequence of str
    timeframe, timerange, venue, settings
        As for `load`.
    jobs : int, optional
        Instruments at once; every core if absent.
    executor : str, optional
        `threads`, `processes`, `dask://HOST:PORT` or `tls://HOST:PORT`.
    cache : bool
        Whether finished blocks are kept between runs.
    progress : callable, optional

    Returns
    -------
    list of Path
        A file an instrument, in the order of the symbols; the same bytes wherever they were scored.

    Raises
    ------
    TaskError
        One of them cannot be scored.
    """
    chosen = settings_of(settings)
    root = chosen.data.root.absolute()
    masked = chosen.masked()  # secrets by name, and none is needed
    masked["data"]["root"] = str(root)
    asked = {"timeframe": timeframe, "timerange": timerange, "venue": venue, "cache": cache, "settings": masked}
    with open_executor(jobs, executor, [project().root, root]) as pool:
        found = pool.map(f"{__name__}:score_task", [{"symbol": symbol, **asked} for symbol in symbols], progress)
    return [Path(file) for file in found]


def score_task(ids: Mapping[str, Any]) -> str:
    """Score one instrument: a task of `score_many`.

    Parameters
    ----------
    ids : mapping
        symbol, timeframe, timerange, venue, cache, and the settings with the data root.

    Returns
    -------
    str
        Path of the scores.
    """
    chosen = Settings.model_validate(ids["settings"])
    frame = load(ids["symbol"], ids["timeframe"], timerange=ids["timerange"], venue=ids["venue"], settings=chosen)
    scores = score(frame, settings=chosen, cache=block_cache(settings=chosen) if ids["cache"] else None)
    return str(scores.to_parquet(scores_file(frame, settings=chosen)))


def prism_of(settings: Settings | None) -> Prism:
    """The prism that settings describe."""
    return prism_from(settings_of(settings).prism)


def known_shares(scores: Scores) -> dict[str, dict[str, float]]:
    """Share of the scored bars on which each component is known, on each timeframe of the ladder.

    Returns
    -------
    dict of dotted name to dict of timeframe to float
        NaN where the stretch holds no bar of the timeframe; empty for a component whose data is not there.
    """
    frame, found = scores.frame, {}
    for face in scores.faces.values():
        for name, part in face.components.items():
            shares: dict[str, float] = {}
            for timeframe, _ in () if part.missing else scores.prism.ladder(frame.timeframe):
                bars, ratio = frame.bars(timeframe), timeframe.ratio(frame.timeframe)
                first = max(-(-scores.start // ratio), bars.first)
                end = min((scores.start + len(scores)) // ratio, bars.end)
                values = scores.workspace.values(part.component, timeframe, first, max(first, end))[0]
                shares[timeframe.name] = float(np.isfinite(values).mean()) if len(values) else float("nan")
            found[f"{face.name}.{name}"] = shares
    return found


def explain(
    symbol: str,
    timeframe: str | None = None,
    at: Moment | None = None,
    *,
    venue: str | None = None,
    data: str | Path | None = None,
    settings: Settings | None = None,
) -> Explanation:
    """Explain one moment from the lake: the last bar closed by then is scored, and nothing else.

    Parameters
    ----------
    symbol, timeframe, venue, data, settings
        As for `load`.
    at : int (ms), str or timestamp, optional
        The newest bar if absent.

    Returns
    -------
    Explanation
    """
    chosen = settings_of(settings)
    frame, moment = frame_at(symbol, timeframe, at, venue=venue, data=data, settings=chosen)
    clock, number = frame.timeframe, frame.number_at(moment)
    one = frame.within(clock.open_time(number), clock.close_time(number))
    return score(one, settings=chosen).explain(moment)


def open_interest(
    symbol: str,
    timeframe: str | None = None,
    at: Moment | None = None,
    *,
    venue: str | None = None,
    data: str | Path | None = None,
    settings: Settings | None = None,
) -> OpenInterest:
    """Explain what open interest says at one moment, from the lake.

    Parameters
    ----------
    symbol, timeframe, venue, data, settings
        As for `load`.
    at : int (ms), str or timestamp, optional
        The newest bar if absent.

    Returns
    -------
    OpenInterest
        `to_dict` gives the keys of the API and the reports.
    """
    frame, moment = frame_at(symbol, timeframe, at, venue=venue, data=data, settings=settings_of(settings))
    return analyse(frame, moment)


def issued(scores: Scores, *, settings: Settings | None = None, last: int | None = None) -> list[Signal]:
    """Every signal that was issued over the scored bars, oldest first.

    Parameters
    ----------
    scores : Scores
    settings : Settings, optional
    last : int, optional
        Only as many as these, counted from the end.

    Raises
    ------
    SealedError
        The scored bars reach into a hold-out.
    """
    clock = scores.frame.timeframe
    refuse_reading(scores.frame.instrument, scores.start * clock.ms, (scores.start + len(scores)) * clock.ms)
    chosen = settings_of(settings)
    decided = decide(scores, chosen.signals)
    first = 0 if last is None else max(len(decided) - last, 0)
    made = [build_signal(decided, j) for j in range(first, len(decided))]
    log.info("issued", extra={"instrument": str(scores.frame.instrument), "signals": len(made)})
    return made


def verify(
    frame: MarketFrame,
    prism: Prism | Strategy | type[Strategy] | str | None = None,
    *,
    strategy: Strategy | type[Strategy] | str | None = None,
    settings: Settings | None = None,
    live_bars: int = 3_000,
    exhaustive: bool = False,
    progress: Progress | None = None,
) -> Certificate:
    """Examine a prism, or a strategy, by every law on a market: parity of batch and live, no look-ahead, and the rest.

    Parameters
    ----------
    frame : MarketFrame
        Where it is asked about a window, history is taken to begin with it.
    prism : Prism, optional
        What is examined, by its place also a strategy; the prism that settings describe if neither is given.
    strategy : Strategy, its class, or `module:Class`, optional
        What is examined instead of a prism.
    settings : Settings, optional
    live_bars : int
        Bars at the end that another process scores one by one.
    exhaustive : bool
        Whether to cut every component at every bar, so that no leak is too rare to be met.
    progress : callable, optional
        Called with what is examined, how many are done and how many there are.

    Returns
    -------
    Certificate
        `certificate.holds`, `certificate.broken`, `certificate.noted` (what is no look-ahead), `certificate.untested`
        and `certificate.rarest`; prints with the first offending bars.
    """
    _refuse_sealed(frame)
    alone = _alone(frame)
    if strategy is not None and prism is not None:
        raise ConfigError("vt.verify examines one thing: a prism or a strategy, and both were given.")
    asked = prism if strategy is None else strategy
    if asked is not None and not isinstance(asked, Prism):
        examined = strategy_of(asked).shaped_on(Workspace(alone))
        return certify_node(examined, alone, live_bars=live_bars, exhaustive=exhaustive, progress=progress)
    chosen = asked or prism_of(settings)
    found = certify(chosen, alone, live_bars=live_bars, exhaustive=exhaustive, progress=progress)
    if frame.origin is None:
        return found
    at_the_door, untested = _door(frame, chosen)
    return replace(found, findings=[*found.findings, *at_the_door], untested=[*found.untested, *untested])


def _door(frame: MarketFrame, prism: Prism) -> tuple[list[Finding], list[str]]:
    """Examine what the lake answers of the instrument and timeframe of a frame, and how the last bars score."""
    assert frame.origin is not None
    home, clock = Lake(frame.origin.lake), frame.timeframe
    found, untested = [], []
    for one in examine(home, frame.instrument, clock):
        if one.contradiction:
            untested.append(f"door of {one.what} on {clock}: {one.detail}")
            continue
        verdict: Verdict = "holds" if one.holds else "BROKEN"
        told = (one.compared, one.known, float(one.offending), one.at, one.detail)
        found.append(Finding("door", one.what, clock.name, verdict, *told))
    try:
        found.append(_scored_alike(home, frame, prism))
    except NoDataError as nothing:
        untested.append(f"door of the whole prism on {clock}: {nothing}")
    return found, untested


def _scored_alike(home: Lake, frame: MarketFrame, prism: Prism) -> Finding:
    """Score the last bars of a frame as asked for alone, and with all of history loaded."""
    clock, venue = frame.timeframe, frame.instrument.venue
    first = max(frame.stop - DOOR_BARS, frame.start)
    since, until = clock.open_time(first), clock.open_time(frame.stop)
    whole = score_frame(prism, home.frame(frame.instrument.symbol, clock, venue=venue).within(since, until)).confluence
    alone = score_frame(prism, home.frame(frame.instrument.symbol, clock, since, until, venue)).confluence
    n = min(len(whole), len(alone))
    apart = np.abs(alone[:n] - whole[:n])
    wrong = (np.isnan(alone[:n]) != np.isnan(whole[:n])) | (apart > DOOR_TOLERANCE)
    at = clock.close_time(first + int(np.argmax(wrong))) if wrong.any() else None
    known = float(np.isfinite(whole).mean()) if len(whole) else 0.0
    detail = f"the last {n:,} bars scored from their own range and from the whole history"
    if known == 0.0:
        detail += ": none of them is known"
    verdict: Verdict = "holds" if known > 0.0 else "not tested"
    if wrong.any() or len(whole) != len(alone):
        verdict = "BROKEN"
    return Finding("door", "the whole prism", clock.name, verdict, n, known, float(wrong.sum()), at, detail)


def _alone(frame: MarketFrame) -> MarketFrame:
    """The window of a frame as a market of its own."""
    if frame.window is None:
        return frame
    base = frame.base.since(frame.start).until(frame.stop)
    return MarketFrame(frame.instrument, replace(base, complete=True), breaks=frame.breaks)


def save_certificate(certificate: Certificate, folder: str | Path) -> list[Path]:
    """Write a certificate as JSON and as text; the file names say instrument, timeframe and what was examined.

    Returns
    -------
    list of Path
    """
    examined = hashlib.sha256("|".join((certificate.data, certificate.prism, certificate.code)).encode()).hexdigest()
    symbol, venue = certificate.instrument.split()
    name = f"{venue}_{symbol}_{certificate.timeframe}_{examined[:NAME_DIGITS]}_certificate"
    disk, home = Disk(), Path(folder)
    disk.make_folder(home)
    written = []
    for suffix, data in (
        ("json", as_json(certificate.to_dict())),
        ("txt", f"{certificate}\n".encode()),
    ):
        disk.write(home / f"{name}.{suffix}", data)
        written.append(home / f"{name}.{suffix}")
    return written


def signal_folder(settings: Settings | None = None) -> SignalFolder:
    """Open the folder of signals on file, below `signals.reports`."""
    return SignalFolder(settings_of(settings).signals.reports)
