"""The verbs: import, load, score, explain, backtest, verify, and where each of them puts what it made.

Notebooks call them as `vt.load`, `vt.score` and so on; every command of the command line is a thin caller of one.
Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtuoso.clock import UNIT_MS, Env, Timeframe, parse_time, parse_timerange

if TYPE_CHECKING:
    from virtuoso.account.instrument import Instrument
    from virtuoso.config import Settings
    from virtuoso.market.frame import MarketFrame
    from virtuoso.market.ingest import ImportReport
    from virtuoso.market.store import Coverage, EventCheck, EventCoverage, Lake, SeriesCheck
    from virtuoso.prism.certificate import Certificate
    from virtuoso.prism.interest_report import OpenInterest
    from virtuoso.prism.prism import Prism
    from virtuoso.prism.scores import Explanation, Scores
    from virtuoso.research.configurations import Configurations
    from virtuoso.research.portfolio_result import PortfolioResult
    from virtuoso.research.results import BacktestResult
    from virtuoso.research.sweep_result import SweepResult
    from virtuoso.signals.folder import SignalFolder
    from virtuoso.signals.signal import Signal

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many are done, and how many there are."""
RUN_DIGITS = 10
USUAL_FUNDING = "0.0001"
"""Rate per eight hours at which venues begin: what the next command suggests where none is recorded."""
DAY_MS = UNIT_MS["d"]

log = logging.getLogger(__name__)


def lake(data: str | Path | None = None, settings: Settings | None = None) -> Lake:
    """Open the lake under a data root (`data/` or what configuration says)."""
    from virtuoso.market.store import Lake

    return Lake(_root(data, settings) / "lake")


def _root(data: str | Path | None, settings: Settings | None) -> Path:
    if data is not None:
        return Path(data)
    return _settings(settings).data.root


def _settings(settings: Settings | None) -> Settings:
    from virtuoso.config import Settings

    return settings if settings is not None else Settings.load()


def block_cache(data: str | Path | None = None, settings: Settings | None = None) -> Path:
    """Folder of the score cache under a data root; deleting it loses nothing."""
    return _root(data, settings) / "scores" / "blocks"


def scores_file(frame: MarketFrame, data: str | Path | None = None, settings: Settings | None = None) -> Path:
    """Where scores are written if nobody says otherwise: `scores/{venue}_{symbol}_{timeframe}.parquet`."""
    name = f"{frame.instrument.venue}_{frame.instrument.symbol}_{frame.timeframe}.parquet"
    return _root(data, settings) / "scores" / name


def import_files(
    paths: Iterable[str | Path] | str | Path,
    *,
    data: str | Path | None = None,
    settings: Settings | None = None,
    **said: Any,
) -> ImportReport:
    """Import files of bars and events into the lake: archives, tables, recorded streams.

    Parameters
    ----------
    paths : path or paths
        Files, and folders to be walked.
    data : str or Path, optional
        The data root; configuration says it if absent.
    settings : Settings, optional
    **said
        venue, symbol, timeframe, time_unit, time_zone, kind: see `virtuoso.market.ingest.import_paths`.

    Returns
    -------
    ImportReport
        One line a file; a file that failed never loses the others.
    """
    from virtuoso.market.ingest import import_paths

    report = import_paths(lake(data, settings), paths, **said)
    fields = {"files": len(report.files), "stored": report.total("stored"), "failed": len(report.failed)}
    log.info("imported", extra={**fields, "generation": report.generation})
    return report


def checks(
    symbol: str | None = None,
    *,
    venue: str | None = None,
    data: str | Path | None = None,
    settings: Settings | None = None,
) -> list[SeriesCheck]:
    """Gaps, defects and quarantine of every series of bars, or of those of one symbol.

    Raises
    ------
    NoDataError
        Nothing is stored under that name.
    """
    home = lake(data, settings)
    _refuse_unknown(home, symbol, venue)
    return [check for check in home.check() if _is_of(check, symbol, venue)]


def event_checks(
    symbol: str | None = None,
    *,
    venue: str | None = None,
    data: str | Path | None = None,
    settings: Settings | None = None,
) -> list[EventCheck]:
    """Gaps, defects and quarantine of every kind of event, or of those of one symbol.

    Raises
    ------
    NoDataError
        Nothing is stored under that name.
    """
    home = lake(data, settings)
    _refuse_unknown(home, symbol, venue)
    return [check for check in home.event_check() if _is_of(check, symbol, venue)]


def _refuse_unknown(home: Lake, symbol: str | None, venue: str | None) -> None:
    """Refuse a symbol of which neither bars nor events are stored."""
    from virtuoso.errors import NoDataError, did_you_mean

    stored: list[Coverage | EventCoverage] = [*home.coverage(), *home.event_coverage()]
    if symbol is not None and not any(_matches(line, symbol, venue) for line in stored):
        of_venue = f" of {venue!r}" if venue else ""
        near = did_you_mean(symbol, {line.symbol for line in stored})
        raise NoDataError(f"Nothing of {symbol} is stored{of_venue}. {near}")


def _is_of(check: SeriesCheck | EventCheck, symbol: str | None, venue: str | None) -> bool:
    return _matches(check.coverage, symbol, venue)


def _matches(stored: Coverage | EventCoverage, symbol: str | None, venue: str | None) -> bool:
    from virtuoso.account.instrument import compact

    return venue in (None, stored.venue) and (symbol is None or compact(symbol) == stored.symbol)


def find(
    symbol: str,
    timeframe: str | None = None,
    *,
    venue: str | None = None,
    data: str | Path | None = None,
    settings: Settings | None = None,
) -> Instrument:
    """Find the one instrument that a symbol means: where several venues have it, the one that is configured.

    Raises
    ------
    NoDataError
        Nothing is stored under that name.
    AmbiguousError
        Several venues have it, and configuration names none of them or several.
    """
    from virtuoso.account.instrument import compact
    from virtuoso.errors import AmbiguousError

    home = lake(data, settings)
    try:
        return home.resolve(symbol, timeframe, venue)
    except AmbiguousError:
        stored = {i.venue for i in home.instruments() if i.symbol == compact(symbol)}
        configured = stored & {exchange.venue for exchange in _settings(settings).exchanges}
        if venue is not None or len(configured) != 1:
            raise
        return home.resolve(symbol, timeframe, configured.pop())


def load(
    symbol: str,
    timeframe: str | None = None,
    *,
    timerange: str | None = None,
    venue: str | None = None,
    data: str | Path | None = None,
    as_of: int | str | None = None,
    settings: Settings | None = None,
) -> MarketFrame:
    """Load an instrument from the lake: its bars, and the columns of all its events.

    Parameters
    ----------
    symbol : str
        `BTCUSDT` or `BTC/USDT:USDT`.
    timeframe : str, optional
        The base clock, from 1s on; folded from finer bars, or from trades, where it is not stored itself. The finest
        that is stored if absent.
    timerange : str, optional
        `20250704-20251031`: bars for which answers are wanted. Older ones are loaded to be remembered.
    venue : str, optional
        Needed where several venues have the symbol and configuration names none of them.
    data : str or Path, optional
        The data root; configuration says it if absent.
    as_of : int (ms) or str, optional
        History as it was known then.
    settings : Settings, optional

    Returns
    -------
    MarketFrame
    """
    start, end = parse_timerange(timerange) if timerange else (None, None)
    home = lake(data, settings)
    instrument = find(symbol, timeframe, venue=venue, data=data, settings=settings)
    clock = timeframe or home.timeframes(instrument)[0].name
    frame = home.frame(instrument.symbol, clock, start, end, instrument.venue, as_of)
    log.info("loaded", extra={"instrument": str(instrument), "timeframe": clock, "bars": len(frame.base)})
    return frame


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
    """
    chosen = prism if prism is not None else _prism_of(settings)
    told = None if progress is None else lambda done, total: progress("bars", done, total)
    scores = chosen.score(frame, cache_folder=Path(cache) if cache is not None else None, progress=told)
    fields = {"instrument": str(frame.instrument), "timeframe": frame.timeframe.name, "bars": len(scores)}
    log.info("scored", extra=fields)
    return scores


def known_shares(scores: Scores) -> dict[str, dict[str, float]]:
    """Share of the scored bars on which each component is known, on each timeframe of the ladder.

    Returns
    -------
    dict of dotted name to dict of timeframe to float
        NaN where the stretch holds no bar of the timeframe; empty for a component whose data is not there.
    """
    import numpy as np

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
    at: int | str | None = None,
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
    at : int (ms) or str, optional
        The newest bar if absent.

    Returns
    -------
    Explanation
    """
    chosen = _settings(settings)
    frame, moment = _frame_at(symbol, timeframe, at, venue=venue, data=data, settings=chosen)
    clock, number = frame.timeframe, frame.number_at(moment)
    one = frame.within(clock.open_time(number), clock.close_time(number))
    return score(one, settings=chosen).explain(moment)


def open_interest(
    symbol: str,
    timeframe: str | None = None,
    at: int | str | None = None,
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
    at : int (ms) or str, optional
        The newest bar if absent.

    Returns
    -------
    OpenInterest
        `to_dict` gives the keys of the API and the reports.
    """
    from virtuoso.prism.open_interest import analyse

    frame, moment = _frame_at(symbol, timeframe, at, venue=venue, data=data, settings=_settings(settings))
    return analyse(frame, moment)


def _frame_at(
    symbol: str, timeframe: str | None, at: int | str | None, *, venue: str | None, data: str | Path | None,
    settings: Settings,
) -> tuple[MarketFrame, int]:  # fmt: skip
    """The frame in which a moment lies, with what is remembered at it, and the moment; the newest close if absent."""
    home = lake(data, settings)
    instrument = find(symbol, timeframe, venue=venue, data=data, settings=settings)
    clock = Timeframe(timeframe) if timeframe else home.timeframes(instrument)[0]
    moment = parse_time(at) if isinstance(at, str) else at
    if moment is None:
        frame = home.frame(instrument.symbol, clock, venue=instrument.venue)
        return frame, clock.close_time(frame.stop - 1)
    # what follows changes nothing, but tells a bar that is missing from one that is not there yet
    opened = clock.open_time(clock.number(moment) - 1)
    return home.frame(instrument.symbol, clock, opened, opened + DAY_MS, instrument.venue), moment


def _prism_of(settings: Settings | None) -> Prism:
    from virtuoso.prism.registry import prism_from

    return prism_from(_settings(settings).prism)


def issued(scores: Scores, *, settings: Settings | None = None, last: int | None = None) -> list[Signal]:
    """Every signal that was issued over the scored bars, oldest first.

    Parameters
    ----------
    scores : Scores
    settings : Settings, optional
    last : int, optional
        Only as many as these, counted from the end.
    """
    from virtuoso.signals.decision import decide
    from virtuoso.signals.issue import issue

    chosen = _settings(settings)
    decided = decide(scores, chosen.signals)
    first = 0 if last is None else max(len(decided) - last, 0)
    made = [issue(decided, j) for j in range(first, len(decided))]
    log.info("issued", extra={"instrument": str(scores.frame.instrument), "signals": len(made)})
    return made


def signal_folder(settings: Settings | None = None) -> SignalFolder:
    """Open the folder of signals on file, below `signals.reports`."""
    from virtuoso.signals.folder import SignalFolder

    return SignalFolder(_settings(settings).signals.reports)


def backtest(
    scores: Scores | Sequence[Scores],
    *,
    settings: Settings | None = None,
    data: str | Path | None = None,
    seed: int = 0,
    slippage: float = 0.0002,
    assume_funding: float | None = None,
    mark: str | None = None,
    **terms: Any,
) -> PortfolioResult:
    """Trade the signals of one or many instruments with one wallet, decided at the close, filled at the next open.

    Parameters
    ----------
    scores : Scores or sequence of Scores
        One an instrument, on one clock.
    settings : Settings, optional
    data : str or Path, optional
        The data root whose lake holds funding and instrument rules; configuration says it if absent.
    seed : int
        Of the bootstraps behind intervals, and of random entries.
    slippage : float
        Of the price of each market fill, at least; half the recorded spread where the book is known.
    assume_funding : float, optional
        Rate per eight hours where funding is not known; without it such a run is refused.
    mark : str, optional
        `last` lets the last price stand for mark prices that are not known; without it such a run is refused.
    **terms
        cash, risk, fees, maker, taker, leverage, margin, trail, reset_halt: see `virtuoso.research.terms.account_from`.

    Returns
    -------
    PortfolioResult

    Raises
    ------
    NoDataError
        Funding or mark prices of a perpetual are not known, and nothing says what to assume.
    """
    from virtuoso.prism.scores import Scores as OneInstrument
    from virtuoso.research.portfolio_backtest import backtest as run
    from virtuoso.research.terms import account_from, funding_terms, rules_at

    chosen = _settings(settings)
    many = [scores] if isinstance(scores, OneInstrument) else list(scores)
    home = lake(data, chosen)
    funding, rules = {}, {}
    for one in many:
        instrument = one.frame.instrument
        funding[instrument] = home.events("funding", instrument)
        known = rules_at(home.events("instruments", instrument), one.start * one.frame.timeframe.ms)
        if known is not None:
            rules[instrument] = known
    result = run(
        many,
        account_from(chosen.trading, chosen.risk, funding, rules=rules, **terms),
        settings=chosen.signals,
        slippage=slippage,
        funding=funding,
        funding_terms=funding_terms(assume_funding, mark),
        config=_config_of_run(chosen),
        provenance=_provenance_of_run(many[0].prism, chosen, seed),
        env=Env(seed=seed),
    )
    traded = ", ".join(str(one) for one in result.instruments)
    log.info("backtested", extra={"instrument": traded, "trades": len(result.trades)})
    return result


def cross_check(scores: Scores, *, settings: Settings | None = None, seed: int = 0, **terms: Any) -> BacktestResult:
    """Trade the signals of one instrument through vectorbt, as far as vectorbt models them.

    Parameters
    ----------
    scores : Scores
    settings : Settings, optional
    seed : int
        Of the bootstrap behind the intervals of the score buckets.
    **terms
        fees, slippage, cash, risk: see `virtuoso.research.backtest.backtest`. Risk is
        `trading.base_position_size` if absent.

    Returns
    -------
    BacktestResult
    """
    from virtuoso.research.backtest import backtest as run
    from virtuoso.signals.strategy import intents

    chosen = _settings(settings)
    provenance = {"data": scores.frame.fingerprint, **_provenance_of_run(scores.prism, chosen, seed)}
    terms.setdefault("risk", chosen.trading.base_position_size)
    given = intents(scores, chosen.signals)
    result = run(
        scores, given, config=_config_of_run(chosen), provenance=provenance, env=Env(seed=seed), **terms
    )  # fmt: skip
    log.info("cross-checked", extra={"instrument": str(scores.frame.instrument), "trades": len(result.trades)})
    return result


def _config_of_run(settings: Settings) -> dict[str, Any]:
    """Settings that a backtest runs by."""
    config = {name: part for name, part in settings.masked().items() if name in ("prism", "signals", "trading", "risk")}
    del config["signals"]["reports"]  # where things are written changes no result
    return config


def _provenance_of_run(prism: Prism, settings: Settings, seed: int) -> dict[str, str]:
    from virtuoso.prism.fingerprint import environment
    from virtuoso.signals.provenance import config_digest

    return {
        "config": config_digest(prism, settings.signals),
        "prism": prism.fingerprint,
        "code": _code_digest(prism),
        "seed": str(seed),
        **{f"version {name}": text for name, text in environment().items()},
    }


def assumptions_needed(
    symbol: str, *, venue: str | None = None, data: str | Path | None = None, settings: Settings | None = None
) -> dict[str, str]:
    """Options without which a backtest of an instrument would be refused: it has no funding, or no mark prices.

    Returns
    -------
    dict of str to str
        Names and values of options; empty where the lake holds both, and for spot.
    """
    home = lake(data, settings)
    instrument = find(symbol, venue=venue, data=data, settings=settings)
    if instrument.is_spot:
        return {}
    wanted = {"funding": ("assume_funding", USUAL_FUNDING), "prices": ("mark", "last")}
    return dict(option for kind, option in wanted.items() if home.event_series(kind, instrument) is None)


def _code_digest(prism: Prism) -> str:
    """Digest of the sources that a backtest runs through, from scoring to the trades."""
    from virtuoso.signals.provenance import code_digest

    digest = hashlib.sha256(code_digest(prism).encode())
    package = Path(__file__).parent
    for file in sorted(file for room in ("account", "research") for file in (package / room).glob("*.py")):
        digest.update(f"{file.relative_to(package).as_posix()}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def run_folder(result: PortfolioResult | BacktestResult, settings: Settings | None = None) -> Path:
    """Where a backtest is written if nobody says otherwise: `runs/` among the reports, named by what went into it.

    The same data, configuration, code and terms give the same name, so that a run never meets another one there.
    """
    from virtuoso.research.run_folder import as_json

    went_in = hashlib.sha256(as_json(result.provenance) + as_json(result.configuration())).hexdigest()
    first, *others = (scores.frame.instrument for scores in _scores_of(result))
    traded = f"{first.venue}_{first.symbol}" + (f"_and_{len(others)}_more" if others else "")
    return _settings(settings).signals.reports / "runs" / f"{traded}_{result.timeframe}_{went_in[:RUN_DIGITS]}"


def _scores_of(result: PortfolioResult | BacktestResult) -> Sequence[Scores]:
    from virtuoso.research.portfolio_result import PortfolioResult

    return result.scores if isinstance(result, PortfolioResult) else (result.scores,)


def save_run(
    result: PortfolioResult | BacktestResult,
    folder: str | Path | None = None,
    *,
    settings: Settings | None = None,
    trials: str | Path | None = None,
) -> tuple[Path, bool]:
    """Write the run folder of a backtest and its tear sheet, unless this very run is there already.

    Parameters
    ----------
    result : PortfolioResult or BacktestResult
        That of vectorbt, a cross-check, gets no tear sheet and is no try.
    folder : str or Path, optional
        See `run_folder` for where it is written if absent.
    settings : Settings, optional
    trials : str or Path, optional
        Folder of the trial ledger: the run is recorded there and judged against all tries; alone if absent.

    Returns
    -------
    tuple of Path and bool
        The folder, and whether it was written now.

    Raises
    ------
    ConfigError
        Another run lies in `folder`; a run is never overwritten.
    """
    from virtuoso.research.portfolio_result import PortfolioResult
    from virtuoso.research.run_folder import holds_run
    from virtuoso.research.sheet_files import write_sheet
    from virtuoso.research.trials import TrialLedger

    target = run_folder(result, settings) if folder is None else Path(folder)
    if holds_run(target, result):
        return target, False
    result.save(target)
    if isinstance(result, PortfolioResult):
        write_sheet(result, target, None if trials is None else TrialLedger(Path(trials)))
    return target, True


def sweep(
    scores: Scores,
    configurations: int | Configurations = 1_000,
    *,
    settings: Settings | None = None,
    data: str | Path | None = None,
    seed: int = 0,
    fills: str = "contract",
    by: str = "sharpe",
    slippage: float = 0.0002,
    assume_funding: float | None = None,
    mark: str | None = None,
    progress: Progress | None = None,
    **terms: Any,
) -> SweepResult:
    """Trade many weights, thresholds and levels on the component scores of one instrument.

    Parameters
    ----------
    scores : Scores
    configurations : int or Configurations
        How many to draw around what is in force, itself included; or the ones that are given.
    settings : Settings, optional
    data : str or Path, optional
        The data root whose lake holds funding and instrument rules; configuration says it if absent.
    seed : int
        Of the draws.
    fills : str
        contract, or vectorbt for the fills of the cross-check.
    by : str
        What configurations are ranked by.
    slippage, assume_funding, mark
        As for `backtest`.
    progress : callable, optional
    **terms
        As for `backtest`, without margin and trail, which a sweep cannot express; of vectorbt cash, risk and fees.

    Returns
    -------
    SweepResult

    Raises
    ------
    NoDataError
        Funding or mark prices of a perpetual are not known, and nothing says what to assume.
    """
    from virtuoso.research.configurations import Configurations
    from virtuoso.research.plan import Terms
    from virtuoso.research.stage import Stage
    from virtuoso.research.sweep import sweep as run
    from virtuoso.research.sweep_result import ranking
    from virtuoso.research.terms import account_from, funding_terms, rules_at

    chosen, instrument = _settings(settings), scores.frame.instrument
    tried = configurations
    if isinstance(tried, int):
        tried = Configurations.around(scores.prism, chosen.signals, tried, Env(seed=seed))
    told = None if progress is None else lambda done, total: progress("configurations", done, total)
    kept = {
        "terms": {"slippage": slippage, "assume_funding": assume_funding, "mark": mark, **terms},
        "settings": _config_of_run(chosen),
    }
    also: dict[str, Any] = {
        "config": kept,
        "provenance": _provenance_of_run(scores.prism, chosen, seed),
        "progress": told,
    }
    if fills == "vectorbt":
        terms.setdefault("risk", chosen.trading.base_position_size)
        return replace(
            run(scores, tried, fills=fills, terms=Terms(slippage=slippage, **terms), **also), ranked_by=ranking(by)
        )
    home = lake(data, chosen)
    known = rules_at(home.events("instruments", instrument), scores.start * scores.frame.timeframe.ms)
    rules = {} if known is None else {instrument: known}
    stage = Stage.of(
        [scores.frame],
        slippage=slippage,
        funding={instrument: home.events("funding", instrument)},
        terms=funding_terms(assume_funding, mark),
    )
    account = account_from(chosen.trading, chosen.risk, [instrument], rules=rules, **terms)
    result = run(scores, tried, fills=fills, stage=stage, account=account, **also)
    log.info("swept", extra={"instrument": str(instrument), "configurations": len(result)})
    return replace(result, ranked_by=ranking(by))


def save_sweep(
    result: SweepResult, folder: str | Path | None = None, *, settings: Settings | None = None
) -> tuple[Path, bool]:
    """Write the run folder of a sweep, unless this very sweep is there already.

    Parameters
    ----------
    result : SweepResult
    folder : str or Path, optional
        Below `runs/` among the reports if absent, named by what went into it.
    settings : Settings, optional

    Returns
    -------
    tuple of Path and bool
        The folder, and whether it was written now.

    Raises
    ------
    ConfigError
        Another run lies in `folder`; a run is never overwritten.
    """
    from virtuoso.research.run_folder import as_json, holds_run

    went_in = hashlib.sha256(as_json(result.provenance) + as_json(result.configuration())).hexdigest()
    instrument = result.scores.frame.instrument
    name = f"{instrument.venue}_{instrument.symbol}_{result.timeframe}_sweep_{went_in[:RUN_DIGITS]}"
    target = Path(folder) if folder is not None else _settings(settings).signals.reports / "runs" / name
    fresh = not holds_run(target, result)
    if fresh:
        result.save(target)
    return target, fresh


def report(run: str | Path, out: str | Path | None = None, *, settings: Settings | None = None) -> list[Path]:
    """Write the tear sheet of a run, as one HTML page and as PDF, from its run folder alone.

    Parameters
    ----------
    run : str or Path
        The run folder, or its name below `runs/` among the reports.
    out : str or Path, optional
        Where to write; into the run folder if absent.
    settings : Settings, optional

    Returns
    -------
    list of Path
        The page and the PDF.

    Raises
    ------
    NoDataError
        There is no such run.
    UnreadableFileError
        A file of the run is not what its name says.
    """
    from virtuoso.errors import NoDataError, did_you_mean
    from virtuoso.reports.tearsheet import write_tearsheet

    home = _settings(settings).signals.reports / "runs"
    folder = Path(run) if Path(run).is_dir() else home / run
    if not folder.is_dir():
        known = sorted(path.name for path in home.glob("[!.]*") if path.is_dir())
        remedy = did_you_mean(str(run), known) if known else "Run `virtuoso backtest`: it writes run folders."
        raise NoDataError(f"There is no run {run}, neither here nor in {home}. {remedy}")
    return write_tearsheet(folder, out)


def verify(
    frame: MarketFrame,
    prism: Prism | None = None,
    *,
    settings: Settings | None = None,
    live_bars: int = 3_000,
    progress: Progress | None = None,
) -> Certificate:
    """Examine a prism by every law on a market: parity of batch and live, no look-ahead, and the rest.

    Parameters
    ----------
    frame : MarketFrame
        Where it is asked about a window, history is taken to begin with it.
    prism : Prism, optional
    settings : Settings, optional
    live_bars : int
        Bars at the end that another process scores one by one.
    progress : callable, optional
        Called with what is examined, how many are done and how many there are.

    Returns
    -------
    Certificate
        `certificate.holds`, `certificate.broken`; prints with the first offending bars.
    """
    from virtuoso.prism.certificate import certify

    return certify(prism or _prism_of(settings), _alone(frame), live_bars=live_bars, progress=progress)


def _alone(frame: MarketFrame) -> MarketFrame:
    """The window of a frame as a market of its own."""
    from virtuoso.market.frame import MarketFrame

    if frame.window is None:
        return frame
    base = frame.base.since(frame.start).until(frame.stop)
    return MarketFrame(frame.instrument, replace(base, complete=True))


def save_certificate(certificate: Certificate, folder: str | Path) -> list[Path]:
    """Write a certificate as JSON and as text; the file names say instrument, timeframe and what was examined.

    Returns
    -------
    list of Path
    """
    from virtuoso.market.disk import Disk
    from virtuoso.research.run_folder import as_json

    found = asdict(certificate)
    examined = hashlib.sha256("|".join((certificate.data, certificate.prism, certificate.code)).encode()).hexdigest()
    symbol, venue = certificate.instrument.split()
    name = f"{venue}_{symbol}_{certificate.timeframe}_{examined[:RUN_DIGITS]}_certificate"
    disk, home = Disk(), Path(folder)
    disk.make_folder(home)
    written = []
    for suffix, data in (
        ("json", as_json({"holds": certificate.holds, **found})),
        ("txt", f"{certificate}\n".encode()),
    ):
        disk.write(home / f"{name}.{suffix}", data)
        written.append(home / f"{name}.{suffix}")
    return written
