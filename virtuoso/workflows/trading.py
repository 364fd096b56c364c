"""Trading the past: a backtest, and a sweep of many configurations.

Each of them looks at returns, so each is written into the ledger of the project's trials before it gives anything back;
see `virtuoso.research.tracking.recording`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Env, Timeframe
from virtuoso.config import Settings
from virtuoso.errors import ConfigError, NoDataError, did_you_mean
from virtuoso.lake.lake import Lake
from virtuoso.lake.read import finer_frames
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.result.scores import Scores
from virtuoso.project import project
from virtuoso.research.backtest.account import account_from, funding_terms, rules_at, tiers_at
from virtuoso.research.backtest.backtest import backtest as run_backtest
from virtuoso.research.backtest.judgement import account_facts
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.research.backtest.result import PortfolioResult
from virtuoso.research.sweep.grid import Configurations
from virtuoso.research.sweep.result import FILLS, SweepResult, ranking
from virtuoso.research.sweep.sweep import sweep as run_sweep
from virtuoso.research.tracking.recording import NOTHING_YET, said_if_stopped
from virtuoso.research.tracking.run import Run
from virtuoso.signals.strategy import Decider, RuleStrategy
from virtuoso.types import Progress
from virtuoso.workflows.data import find
from virtuoso.workflows.paths import lake, settings_of
from virtuoso.workflows.runs import config_of_run, provenance_of_run

USUAL_FUNDING = "0.0001"
"""Rate per eight hours at which venues begin: what the next command suggests where none is recorded."""

log = logging.getLogger(__name__)


def backtest(
    scores: Scores | Sequence[Scores],
    *,
    strategy: Decider | None = None,
    settings: Settings | None = None,
    data: str | Path | None = None,
    seed: int = 0,
    slippage: float = 0.0002,
    assume_funding: float | None = None,
    mark: str | None = None,
    inside: str | None = None,
    explained: str = "",
    record: bool = True,
    cash: float = 10_000.0,
    risk: float | None = None,
    fees: float | None = None,
    maker: float | None = None,
    taker: float | None = None,
    leverage: float | None = None,
    margin: str = "isolated",
    trail: float = 0.0,
    halt: bool = False,
    reset_halt: int = 0,
    **unknown: Any,
) -> PortfolioResult:
    """Trade what a strategy decides on one or many instruments with one wallet: filled at the next open, not before.

    Parameters
    ----------
    scores : Scores or sequence of Scores
        One an instrument, on one clock.
    strategy : Decider, optional
        What decides on their frames; the shipped rule and levels, as `settings` has them, if absent.
    settings : Settings, optional
    data : str or Path, optional
        The data root whose lake holds funding and instrument rules. If absent, the lake that the frames are of;
        configuration says it where they are of none.
    seed : int
        Of the bootstraps behind intervals, and of random entries.
    slippage : float
        Of the price of each market fill, at least; half the recorded spread where the book is known.
    assume_funding : float, optional
        Rate per eight hours where funding is not known; without it such a run is refused.
    mark : str, optional
        `last` lets the last price stand for mark prices that are not known; without it such a run is refused.
    inside : str, optional
        Clock of finer bars that tell the order of prices inside a bar, or `none`; if absent, those that are stored of
        the most instruments, of these the finest.
    explained : str
        Why a result that no market pays is right all the same; kept with the run, and shown in its verdict.
    record : bool
        Whether it is counted among the tries of the project before it is given back. What is not can never ship.
    cash, risk, fees, maker, taker, leverage, margin, trail, halt, reset_halt
        Terms of the account: see `virtuoso.research.backtest.account.account_from`. A halt is reported, and enforced
        with `halt=True`.

    Returns
    -------
    PortfolioResult

    Raises
    ------
    NoDataError
        Funding or mark prices of a perpetual are not known, and nothing says what to assume.
    ConfigError
        The root of the project belongs to another user, or a term is not one.
    """
    _reject_unknown("vt.backtest", backtest, unknown)
    if record:
        project()  # of another user: rejected before anything is worked out
    chosen = settings_of(settings)
    many = _scores("vt.backtest", scores)
    home = _home(many, data, chosen)
    terms: dict[str, Any] = {
        "cash": cash, "risk": risk, "fees": fees, "maker": maker, "taker": taker, "leverage": leverage,
        "margin": margin, "trail": trail, "halt": halt, "reset_halt": reset_halt,
    }  # fmt: skip
    funding = {one.frame.instrument: home.events("funding", one.frame.instrument) for one in many}
    with said_if_stopped(NOTHING_YET):
        result = run_backtest(
            many,
            account_from(chosen.trading, chosen.risk, funding, **_of_venue(home, many), **terms),
            strategy=strategy or RuleStrategy.of(many, chosen.signals),
            slippage=slippage,
            funding=funding,
            funding_terms=funding_terms(assume_funding, mark),
            inside=_inside(home, many, inside),
            config=config_of_run(chosen),
            provenance=provenance_of_run(many[0].prism, chosen, seed),
            env=Env(seed=seed),
            explained=explained,
        )
    _record(result, record)
    traded = ", ".join(str(one) for one in result.instruments)
    log.info("backtested", extra={"instrument": traded, "trades": len(result.trade_records)})
    return result


def _reject_unknown(said: str, function: Callable[..., Any], unknown: Mapping[str, Any]) -> None:
    """Refuse an argument that a function does not have, with the one that it may mean."""
    if unknown:
        name = next(iter(unknown))
        known = [one.name for one in signature(function).parameters.values() if one.kind is one.KEYWORD_ONLY]
        raise TypeError(f"{said} has no argument {name!r}. {did_you_mean(name, known)}")


def _scores(said: str, given: object) -> list[Scores]:
    """Return the scores that are given, one or several; refuse anything else in the caller's words."""
    many: list[Scores] = []
    for one in given if isinstance(given, list | tuple) else [given]:
        if not isinstance(one, Scores):
            scored = "frame" if isinstance(one, MarketFrame) else "vt.load('BTCUSDT')"
            raise TypeError(f"{said} trades scores, was given a {type(one).__name__}. Try {said}(vt.score({scored})).")
        many.append(one)
    if not many:
        raise TypeError(f"{said} trades scores of at least one instrument, was given none.")
    return many


def _home(many: Sequence[Scores], data: str | Path | None, settings: Settings) -> Lake:
    """The lake that is named, else the one that all frames are of, else that of the configuration."""
    origins = {None if one.frame.origin is None else one.frame.origin.lake for one in many}
    origin = origins.pop() if len(origins) == 1 else None
    return lake(data, settings) if data is not None or origin is None else Lake(origin)


def _of_venue(home: Lake, many: Sequence[Scores]) -> dict[str, Any]:
    """Rules and maintenance tiers of instruments at the start of their scores, where they are known."""
    found: dict[str, dict[Instrument, Any]] = {"rules": {}, "tiers": {}}
    for one in many:
        instrument, start = one.frame.instrument, one.start * one.frame.timeframe.ms
        for name, kind, read in (("rules", "instruments", rules_at), ("tiers", "tiers", tiers_at)):
            known = read(home.events(kind, instrument), start)
            if known is not None:
                found[name][instrument] = known
    return found


def _inside(home: Lake, many: Sequence[Scores], wanted: str | None) -> dict[Instrument, MarketFrame]:
    """Finer bars of what was scored, as far as they are stored."""
    if wanted == "none":
        return {}
    clock = many[0].frame.timeframe
    spans = {one.frame.instrument: (one.start * clock.ms, (one.start + len(one)) * clock.ms) for one in many}
    found = finer_frames(home, spans, clock, None if wanted is None else Timeframe(wanted))
    if wanted is not None and not found:
        raise NoDataError(
            f"No {wanted} bars that divide those of {clock} are stored of {', '.join(map(str, spans))}. Import them, "
            "or leave --inside out."
        )
    return found


def _record(result: Run, wanted: bool) -> None:
    """Write a try down before anybody sees it; say so where that cannot be."""
    found = result.record(wanted)
    if wanted and not found.recorded:
        log.warning("not recorded", extra={"reason": found.reason})


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


def sweep(
    scores: Scores,
    configurations: int | Configurations | Mapping[str, Any] = 1_000,
    *,
    settings: Settings | None = None,
    data: str | Path | None = None,
    seed: int = 0,
    fills: str = "contract",
    by: str = "sharpe",
    slippage: float = 0.0002,
    assume_funding: float | None = None,
    mark: str | None = None,
    record: bool = True,
    progress: Progress | None = None,
    cash: float = 10_000.0,
    risk: float | None = None,
    fees: float | None = None,
    maker: float | None = None,
    taker: float | None = None,
    leverage: float | None = None,
    halt: bool = False,
    reset_halt: int = 0,
    **unknown: Any,
) -> SweepResult:
    """Trade many weights, thresholds and levels on the component scores of one instrument.

    Parameters
    ----------
    scores : Scores
    configurations : int, Configurations or mapping
        How many to draw around what is in force, itself included; or the ones that are given; or a grid,
        `{"bull_enter": [60, 65, 70]}`: every combination of the values.
    settings : Settings, optional
    data : str or Path, optional
        The data root whose lake holds funding and instrument rules; configuration says it if absent.
    seed : int
        Of the draws.
    fills : str
        contract, the only ones that a sweep knows.
    by : str
        What configurations are ranked by.
    slippage, assume_funding, mark, record
        As for `backtest`; every configuration is a try.
    progress : callable, optional
    cash, risk, fees, maker, taker, leverage, halt, reset_halt
        As for `backtest`, without margin and trail, which a sweep cannot express.
        Whether a halt was reached is a column of the result; `halt=True` enforces it.

    Returns
    -------
    SweepResult

    Raises
    ------
    NoDataError
        Funding or mark prices of a perpetual are not known, and nothing says what to assume.
    ConfigError
        Other fills are asked for.
    """
    _reject_unknown("vt.sweep", sweep, unknown)
    if fills != FILLS:
        raise ConfigError(
            f"A sweep fills orders by the {FILLS} alone, was asked for {fills!r}. Leave fills out; to check against "
            "vectorbt what it chose, run cross_check on it (virtuoso backtest ... --crosscheck)."
        )
    if record:
        project()  # of another user: rejected before anything is worked out
    (scores,) = _scores("vt.sweep", [scores])
    chosen, instrument = settings_of(settings), scores.frame.instrument
    tried = configurations
    if isinstance(tried, int):
        tried = Configurations.around(scores.prism, chosen.signals, tried, Env(seed=seed))
    elif isinstance(tried, Mapping):
        tried = Configurations.grid(scores.prism, chosen.signals, tried)
    told = None if progress is None else lambda done, total: progress("configurations", done, total)
    home = _home([scores], data, chosen)
    panel = SimulationPanel.of(
        [scores.frame],
        slippage=slippage,
        funding={instrument: home.events("funding", instrument)},
        terms=funding_terms(assume_funding, mark),
    )
    terms: dict[str, Any] = {
        "cash": cash, "risk": risk, "fees": fees, "maker": maker, "taker": taker, "leverage": leverage, "halt": halt,
        "reset_halt": reset_halt,
    }  # fmt: skip
    account = account_from(chosen.trading, chosen.risk, [instrument], **_of_venue(home, [scores]), **terms)
    in_force = {"slippage": slippage, "assume_funding": assume_funding, "mark": mark, **account_facts(account)}
    with said_if_stopped(NOTHING_YET):
        result = run_sweep(
            scores,
            tried,
            panel=panel,
            account=account,
            config={"terms": in_force, "settings": config_of_run(chosen)},
            provenance=provenance_of_run(scores.prism, chosen, seed),
            progress=told,
        )
    result = replace(result, ranked_by=ranking(by))
    _record(result, record)
    log.info("swept", extra={"instrument": str(instrument), "configurations": len(result)})
    return result
