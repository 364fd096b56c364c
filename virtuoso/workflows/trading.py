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
from virtuoso.account.settings import TradingSettings
from virtuoso.clock import Env, Timeframe
from virtuoso.config import Settings
from virtuoso.errors import ConfigError, NoDataError, did_you_mean
from virtuoso.lake.lake import Lake
from virtuoso.lake.read import finer_frames
from virtuoso.lake.seal import refuse_reading
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.score import score
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores
from virtuoso.project import project
from virtuoso.research.backtest.account import account_from, funding_terms, rules_at, tiers_at
from virtuoso.research.backtest.backtest import backtest as run_backtest
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.judgement import account_facts
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.research.backtest.result import PortfolioResult
from virtuoso.research.sweep.grid import Configurations
from virtuoso.research.sweep.parameters import ParameterGrid
from virtuoso.research.sweep.result import FILLS, SweepResult, ranking
from virtuoso.research.sweep.strategies import sweep_strategy
from virtuoso.research.sweep.sweep import sweep as run_sweep
from virtuoso.research.tracking.recording import NOTHING_YET, said_if_stopped
from virtuoso.research.tracking.run import Run
from virtuoso.signals.declared import Strategy, strategy_of
from virtuoso.signals.given import CHANGE
from virtuoso.signals.settings import CostSettings, SignalSettings
from virtuoso.signals.strategy import Decider, RuleStrategy
from virtuoso.types import Progress
from virtuoso.workflows.data import find
from virtuoso.workflows.own_signals import own_signals
from virtuoso.workflows.paths import lake, settings_of
from virtuoso.workflows.runs import config_of_run, provenance_of_run, provenance_of_strategy, save_run
from virtuoso.workflows.runs import track as track_run

USUAL_FUNDING = "0.0001"
"""Rate per eight hours at which venues begin: what the next command suggests where none is recorded."""

log = logging.getLogger(__name__)


def backtest(
    market: Scores | MarketFrame | Sequence[Scores] | Sequence[MarketFrame],
    strategy: Strategy | type[Strategy] | Decider | str | None = None,
    *,
    entries: Any = None,
    exits: Any = None,
    short_entries: Any = None,
    short_exits: Any = None,
    position: Any = None,
    rebalance: str = CHANGE,
    stop: Any = None,
    target: Any = None,
    trail: Any = None,
    size: Any = None,
    risk: float | None = None,
    limits: bool | None = None,
    settings: Settings | None = None,
    data: str | Path | None = None,
    seed: int = 0,
    slippage: float = 0.0002,
    assume_funding: float | None = None,
    mark: str | None = None,
    inside: str | None = None,
    explained: str = "",
    record: bool = True,
    track: bool = False,
    cash: float = 10_000.0,
    fees: float | None = None,
    maker: float | None = None,
    taker: float | None = None,
    leverage: float | None = None,
    margin: str = "isolated",
    halt: bool = False,
    reset_halt: int = 0,
    **unknown: Any,
) -> PortfolioResult:
    """Trade scores by the shipped rule, a strategy, one's own signals or target weights: filled at the next open.

    Own signals are pandas objects with the index of `frame.df`, or arrays with one value a bar; of several frames a
    DataFrame with one column an instrument. docs/guides/own-signals.md tells what they mean, with an example of each.

    Parameters
    ----------
    market : Scores, MarketFrame or sequence of them
        One an instrument, on one clock. The shipped rule trades scores; beside own signals, scores are only shown.
    strategy : vt.Strategy, its class, or `module:Class`, optional
        What decides on each frame by itself; also any object with `orders(frames)`, which decides on all of them
        together. The shipped rule and levels, as `settings` has them, if nothing else is given.
    entries, exits, short_entries, short_exits : booleans, optional
        Decided at the close of each bar. `exits` leave longs, `short_exits` shorts; an entry of the other side turns a
        position around.
    position : numbers, optional
        Target weights from -leverage to leverage, as shares of the equity; NaN leaves what is held as it is.
    rebalance : str
        When weights are traded: `change` of the given value, every `bar`, or a period such as `1d`, at its first close.
    stop, target : float or prices, optional
        A number is a distance as a share of the close (0.02 is 2 %), a Series one price a bar. Up to three targets in a
        list leave in equal parts; `[(0.02, 0.5), (0.04, 0.5)]` says the parts.
    trail : float or distances, optional
        How far the stop trails the best price: a share of the close, or a Series of distances in price. Of the shipped
        rule: in R, from entry to stop.
    size : float or Series, optional
        Share of the equity that an entry holds; all of it (1.0) if absent.
    risk : float, optional
        Share of the equity that a position risks to its stop, instead of a size; of the shipped rule the base size.
    limits : bool, optional
        Whether the limits of `settings.risk` and `settings.trading` are enforced, the halt too. They are for the
        shipped rule; for own signals they are only reported.
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
    track : bool
        Whether its run folder is written and its run kept in MLflow (`settings.tracking.uri`); `result.tracked` says
        where, or why not.
    cash, fees, maker, taker, leverage, margin, halt, reset_halt
        Terms of the account: see `virtuoso.research.backtest.account.account_from`. A negative maker fee is a rebate.
        A halt is reported, and enforced with `halt=True`.

    Returns
    -------
    PortfolioResult

    Raises
    ------
    NoDataError
        Funding or mark prices of a perpetual are not known, and nothing says what to assume.
    ConfigError
        The root of the project belongs to another user, or an argument is none of its kind.
    DataError
        Labels, columns or values that are not those of the frames.

    Examples
    --------
    >>> fast, slow = (frame.close.ewm(span=n).mean() for n in (20, 50))        # doctest: +SKIP
    >>> vt.backtest(frame, entries=fast > slow, exits=fast < slow, stop=0.02)  # doctest: +SKIP
    >>> vt.backtest(frame, position=(fast > slow) * 1.0)                       # doctest: +SKIP
    >>> vt.backtest(frame, EmaCross(fast=20))                                  # doctest: +SKIP
    """
    _reject_parameters(strategy, unknown)
    _reject_unknown("vt.backtest", backtest, unknown)
    signals = {
        "entries": entries, "exits": exits, "short_entries": short_entries, "short_exits": short_exits,
        "position": position, "stop": stop, "target": target, "size": size,
    }  # fmt: skip
    given = {name: one for name, one in signals.items() if one is not None}
    decider = _decider(strategy, trail, rebalance)
    own_idea = bool(given) or (isinstance(decider, Strategy) and not isinstance(decider, RuleStrategy))
    many = _markets(market, given, decider)
    _refuse_sealed(many)
    if isinstance(decider, RuleStrategy):  # it decides on scores, and they are shown
        many = [one if isinstance(one, Scores) else score(decider.prism, one) for one in many]
    if record:
        project()  # of another user: rejected before anything is worked out
    chosen = settings_of(settings)
    home = _home(many, data, chosen)
    funding = {_instrument(one): home.events("funding", _instrument(one)) for one in many}
    limited = not own_idea if limits is None else limits
    terms: dict[str, Any] = {
        "cash": cash, "risk": risk, "fees": fees, "maker": maker, "taker": taker, "leverage": leverage,
        "margin": margin, "trail": 0.0 if given or trail is None else trail, "limited": limited,
        "halt": halt or (limits is True and own_idea), "reset_halt": reset_halt,
    }  # fmt: skip
    trading = _own_sizes(chosen.trading) if own_idea else chosen.trading
    account = account_from(trading, chosen.risk, funding, **_of_venue(home, many), **terms)
    own: dict[str, Any] = {}
    if given:
        own = _own(many, given if trail is None else {**given, "trail": trail}, rebalance, risk)
    elif decider is None:
        rule = _at_the_costs(chosen.signals, account, slippage, assume_funding)
        decider = RuleStrategy.of([one for one in many if isinstance(one, Scores)], rule)
    with said_if_stopped(NOTHING_YET):
        result = run_backtest(
            many,
            account,
            strategy=decider,
            **own,
            slippage=slippage,
            funding=funding,
            funding_terms=funding_terms(assume_funding, mark),
            inside=_inside(home, many, inside),
            config=config_of_run(chosen),
            provenance=_provenance(many, decider, chosen, seed),
            env=Env(seed=seed),
            explained=explained,
        )
    _record(result, record)
    traded = ", ".join(str(one) for one in result.instruments)
    if track:
        track_run(result, save_run(result, settings=chosen)[0], settings=chosen)
    log.info("backtested", extra={"instrument": traded, "trades": len(result.trade_records)})
    return result


Market = Scores | MarketFrame


def _at_the_costs(
    signals: SignalSettings, account: Account, slippage: float, assume_funding: float | None
) -> SignalSettings:
    """Signal settings whose expected moves are measured in what this account pays, where those decide."""
    if signals.min_edge == 0.0:
        return signals
    funding = signals.costs.funding if assume_funding is None else assume_funding
    costs = CostSettings(taker=account.taker, slippage=slippage, funding=funding)
    return signals.model_copy(update={"costs": costs})


def _own_sizes(trading: TradingSettings) -> TradingSettings:
    """The same without sizes by volatility, which are for the shipped rule: an idea of one's own says its own."""
    return trading.model_copy(update={"size_by": "risk"})


def _decider(given: object, trail: object, rebalance: str) -> Decider | None:
    """Return what decides: a strategy that is declared, made of its class or its name, or any other decider."""
    if given is None or (callable(getattr(given, "orders", None)) and not isinstance(given, type | Strategy)):
        return given  # type: ignore[return-value]
    strategy = strategy_of(given)  # type: ignore[arg-type]
    if isinstance(strategy, RuleStrategy):
        return strategy  # whose trail is that of the account
    if trail is not None:
        raise ConfigError(
            f"trail= was given beside {strategy!r}. Its decide gives it: {{'entries': ..., 'trail': ...}}."
        )
    if rebalance != CHANGE:
        raise ConfigError(f"rebalance= was given beside {strategy!r}. It is an attribute of its class.")
    return strategy


def _markets(given: object, signals: Mapping[str, Any], strategy: Decider | None) -> list[Market]:
    """Return scores or frames that are to be traded; say what is missing where nothing says what to trade."""
    many: list[Market] = []
    for one in given if isinstance(given, list | tuple) else [given]:
        if not isinstance(one, Scores | MarketFrame):
            beside = "A signal goes beside its frame: vt.backtest(frame, entries=..., exits=...)."
            raise TypeError(
                f"vt.backtest trades scores, was given a {type(one).__name__}. Try "
                f"vt.backtest(vt.score(vt.load('BTCUSDT'))). {beside}"
            )
        if isinstance(one, MarketFrame) and not signals and strategy is None:
            raise TypeError(
                "vt.backtest trades scores or signals, was given a MarketFrame. Try vt.backtest(vt.score(frame)) for "
                "the shipped rule, or one's own: vt.backtest(frame, entries=..., exits=...) with booleans, "
                "vt.backtest(frame, position=...) with target weights, vt.backtest(frame, EmaCross) with a vt.Strategy."
            )
        many.append(one)
    if not many:
        raise TypeError("vt.backtest trades scores or frames of at least one instrument, was given none.")
    if signals and strategy is not None:
        raise ConfigError(f"{next(iter(signals))}= and strategy= were both given: only one of them can decide.")
    return many


def _frame(market: Market) -> MarketFrame:
    """Return the bars that are traded: of scores, those that were scored."""
    if isinstance(market, MarketFrame):
        return market
    ms = market.frame.timeframe.ms
    return market.frame.within(market.start * ms, (market.start + len(market)) * ms)


def _refuse_sealed(many: Sequence[Market]) -> None:
    """Refuse bars that a hold-out seals before anything is worked out."""
    for one in many:
        ms = _frame(one).timeframe.ms
        refuse_reading(_instrument(one), one.start * ms, (one.start + len(one)) * ms)


def _instrument(market: Market) -> Instrument:
    return (market if isinstance(market, MarketFrame) else market.frame).instrument


def _prism(many: Sequence[Market]) -> Prism | None:
    return many[0].prism if isinstance(many[0], Scores) else None


def _provenance(many: Sequence[Market], decider: Decider | None, settings: Settings, seed: int) -> dict[str, str]:
    """What a run was made of, the code of the user's own strategy among it."""
    made = provenance_of_run(_prism(many), settings, seed)
    if isinstance(decider, RuleStrategy) or not isinstance(decider, Strategy):
        return made
    return made | provenance_of_strategy(decider, seed)


def _own(many: Sequence[Market], given: Mapping[str, Any], rebalance: str, risk: float | None) -> dict[str, Any]:
    """What own signals decide, as arguments of the backtest; each decision shows the score of its bar, if there is."""
    found = own_signals([_frame(one) for one in many], given, rebalance=rebalance, risk=risk)
    for one in many:
        if isinstance(one, Scores):
            made = found.intents[one.frame.instrument]
            made["score"] = one.confluence[made["number"] - one.start]
    return {"intents_of": found.intents, "given_counts": found.counts, "decided_by": found.decided_by}


def _reject_parameters(strategy: object, unknown: Mapping[str, Any]) -> None:
    """Refuse a parameter of a strategy that is given beside it."""
    name, cls = next(iter(unknown), ""), strategy if isinstance(strategy, type) else type(strategy)
    if issubclass(cls, Strategy) and name in cls.parameters:
        raise TypeError(
            f"{name}= is a parameter of {cls.__name__}: vt.backtest(frame, {cls.__name__}({name}={unknown[name]!r}))."
        )


def _reject_unknown(said: str, function: Callable[..., Any], unknown: Mapping[str, Any]) -> None:
    """Refuse an argument that a function does not have, with the one that it may mean."""
    if unknown:
        name = next(iter(unknown))
        known = [one.name for one in signature(function).parameters.values() if one.kind is one.KEYWORD_ONLY]
        raise TypeError(f"{said} has no argument {name!r}. {did_you_mean(name, known)}")


def _home(many: Sequence[Market], data: str | Path | None, settings: Settings) -> Lake:
    """The lake that is named, else the one that all frames are of, else that of the configuration."""
    origins = {None if origin is None else origin.lake for origin in (_frame(one).origin for one in many)}
    origin = origins.pop() if len(origins) == 1 else None
    return lake(data, settings) if data is not None or origin is None else Lake(origin)


def _of_venue(home: Lake, many: Sequence[Market]) -> dict[str, Any]:
    """Rules and maintenance tiers of instruments at the first bar that is traded, where they are known."""
    found: dict[str, dict[Instrument, Any]] = {"rules": {}, "tiers": {}}
    for one in many:
        instrument, start = _instrument(one), one.start * _frame(one).timeframe.ms
        for name, kind, read in (("rules", "instruments", rules_at), ("tiers", "tiers", tiers_at)):
            known = read(home.events(kind, instrument), start)
            if known is not None:
                found[name][instrument] = known
    return found


def _inside(home: Lake, many: Sequence[Market], wanted: str | None) -> dict[Instrument, MarketFrame]:
    """Finer bars of what is traded, as far as they are stored."""
    if wanted == "none":
        return {}
    clock = _frame(many[0]).timeframe
    spans = {_instrument(one): (one.start * clock.ms, (one.start + len(one)) * clock.ms) for one in many}
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
    market: Scores | MarketFrame,
    what: int | Configurations | Mapping[str, Any] | Strategy | type[Strategy] | str = 1_000,
    grid: int | Mapping[str, Any] = 1_000,
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
    """Trade many configurations on one instrument: of a strategy of your own, or of the shipped rule.

    Parameters
    ----------
    market : MarketFrame or Scores
        Bars for a strategy; scores for weights, thresholds and levels of the shipped rule.
    what : Strategy class or instance, "module:Class", int, mapping or Configurations
        A strategy, whose parameters `grid` varies; an instance keeps those that are not varied. Of scores: how many
        configurations to draw around what is in force, itself included; a grid such as `{"bull_enter": [60, 65, 70]}`,
        every combination of the values; or the ones that are given.
    grid : int or mapping
        Of a strategy: `{"fast": range(5, 50), "slow": range(20, 200, 5)}`, every combination of the values, or how many
        to draw at random from the ranges that it declares; the first of these is the strategy as it is.
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
        Other fills are asked for, the strategy has no such parameter, or the grid is empty or larger than memory.
    ParameterError
        A value lies outside the range that the strategy declares.

    Examples
    --------
    >>> found = vt.sweep(frame, EmaCross, {"fast": range(5, 50), "slow": range(20, 200, 5)})  # doctest: +SKIP
    >>> vt.backtest(frame, found.strategy())                                                   # doctest: +SKIP
    """
    _reject_unknown("vt.sweep", sweep, unknown)
    if fills != FILLS:
        raise ConfigError(
            f"A sweep fills orders by the {FILLS} alone, was asked for {fills!r}. Leave fills out; to check against "
            "vectorbt what it chose, run cross_check on it (virtuoso backtest ... --crosscheck)."
        )
    if record:
        project()  # of another user: rejected before anything is worked out
    ranking(by)
    chosen, told = settings_of(settings), None if progress is None else _configurations_done(progress)
    tried = _to_try(market, what, grid, chosen, seed)
    frame = market.frame if isinstance(market, Scores) else market
    _refuse_sealed([market])
    home = _home([market], data, chosen)
    panel = SimulationPanel.of(
        [frame],
        slippage=slippage,
        funding={frame.instrument: home.events("funding", frame.instrument)},
        terms=funding_terms(assume_funding, mark),
    )
    terms: dict[str, Any] = {
        "cash": cash, "risk": risk, "fees": fees, "maker": maker, "taker": taker, "leverage": leverage, "halt": halt,
        "reset_halt": reset_halt,
    }  # fmt: skip
    trading = _own_sizes(chosen.trading) if isinstance(tried, ParameterGrid) else chosen.trading
    account = account_from(trading, chosen.risk, [frame.instrument], **_of_venue(home, [market]), **terms)
    in_force = {"slippage": slippage, "assume_funding": assume_funding, "mark": mark, **account_facts(account)}
    with said_if_stopped(NOTHING_YET):
        if isinstance(tried, ParameterGrid):
            result = sweep_strategy(
                frame, tried, panel=panel, account=replace(account, limited=False), progress=told,
                config={"terms": in_force, "strategy": tried.identity},
                provenance=provenance_of_strategy(tried.strategy, seed),
            )  # fmt: skip
        elif isinstance(market, Scores):
            result = run_sweep(
                market, tried, panel=panel, account=account, progress=told,
                config={"terms": in_force, "settings": config_of_run(chosen)},
                provenance=provenance_of_run(market.prism, chosen, seed),
            )  # fmt: skip
    result = replace(result, ranked_by=by)
    _record(result, record)
    log.info("swept", extra={"instrument": str(frame.instrument), "configurations": len(result)})
    return result


def _to_try(
    market: Scores | MarketFrame, what: object, grid: int | Mapping[str, Any], settings: Settings, seed: int
) -> Configurations | ParameterGrid:
    """Return the configurations that are meant; refuse what does not go together in the caller's words."""
    if isinstance(what, str | Strategy) or (isinstance(what, type) and issubclass(what, Strategy)):
        strategy = strategy_of(what)
        if isinstance(grid, Mapping):
            return ParameterGrid.grid(strategy, grid)
        return ParameterGrid.draws(strategy, grid, Env(seed=seed))
    if not isinstance(market, Scores):
        if not isinstance(market, MarketFrame):
            raise TypeError(
                f"vt.sweep tries a strategy on a frame, or the shipped rule on scores; was given a "
                f"{type(market).__name__}. Try vt.sweep(vt.load('BTCUSDT'), MyStrategy, {{'period': [10, 20]}})."
            )
        raise TypeError(
            "vt.sweep of a frame needs a strategy: vt.sweep(frame, MyStrategy, {'period': [10, 20]}). To vary weights "
            "and thresholds of the shipped rule, give its scores: vt.sweep(vt.score(frame), {'bull_enter': [60, 65]})."
        )
    if isinstance(what, int):
        return Configurations.around(market.prism, settings.signals, what, Env(seed=seed))
    if isinstance(what, Mapping):
        return Configurations.grid(market.prism, settings.signals, what)
    if isinstance(what, Configurations):
        return what
    raise TypeError(
        f"vt.sweep tries a strategy, a number of draws, a grid or Configurations; was given a {type(what).__name__}. "
        "A strategy is a class that derives from vt.Strategy: vt.sweep(frame, MyStrategy, {'period': [10, 20]})."
    )


def _configurations_done(progress: Progress) -> Callable[[int, int], None]:
    return lambda done, total: progress("configurations", done, total)
