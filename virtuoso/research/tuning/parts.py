"""Parts of a study: one instrument in one scenario, made ready once and traded by every trial.

1. A part is loaded as a backtest loads it: bars in the window, older ones to be remembered, funding, the venue's rules.
   Its window begins and ends at midnight, UTC, so that its days are those of everything beside it.
2. The shipped rule goes through the sweep: one score matrix and one set of charts for all trials. Trials that have
   other parameters of components share what does not differ, and what they computed is dropped after them.
3. An own strategy goes through its own sweep, and features that trials share are computed once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from virtuoso.account import metrics
from virtuoso.account.instrument import Instrument
from virtuoso.account.settings import RiskSettings, TradingSettings
from virtuoso.clock import UNIT_MS, Timeframe, iso
from virtuoso.errors import ConfigError, NoDataError, VirtuosoError
from virtuoso.jit.kernel import kernel
from virtuoso.lake.lake import Lake
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.score import score
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.prism import Prism
from virtuoso.prism.settings import PrismSettings
from virtuoso.research.backtest.account import account_from, funding_terms, rules_at, tiers_at
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.research.sweep.grid import Configurations
from virtuoso.research.sweep.parameters import ParameterGrid, numbers
from virtuoso.research.sweep.plans import FLOWS, Found
from virtuoso.research.sweep.scores import Rows, Single
from virtuoso.research.sweep.strategies import LaneMarket, trade_all
from virtuoso.research.sweep.sweep import Sweep
from virtuoso.research.tuning.objective import SUMS
from virtuoso.research.tuning.space import Decoded, Space
from virtuoso.research.tuning.study import MarketSettings, Study
from virtuoso.signals.declared import Strategy
from virtuoso.signals.settings import SignalSettings
from virtuoso.types import Array

DAY_MS = UNIT_MS["d"]
PLANES = 4
"""What is kept of every day of a trial: its net return, trades closed, fills over equity, costs over equity."""
CLIP = 3.0
"""Standard deviations at which returns are clipped for the linear coefficient."""
SPREADS = 20
"""Horizons of the past by which a return is scaled."""
A_HORIZON = 8
"""Bars of a horizon that the linear coefficient looks at, about."""
SLIPPAGE = 0.0002


class InForce(Protocol):
    """The settings that a study starts from: `virtuoso.config.Settings`, or what a worker read of them."""

    @property
    def prism(self) -> PrismSettings:
        """What is weighed."""
        ...

    @property
    def signals(self) -> SignalSettings:
        """Thresholds and levels."""
        ...

    @property
    def trading(self) -> TradingSettings:
        """What is traded with."""
        ...

    @property
    def risk(self) -> RiskSettings:
        """Limits."""
        ...


class Place(NamedTuple):
    """Where a part is: its scenario, its instrument, and its days on the scenario's: the first, and how many."""

    scenario: str
    instrument: Instrument
    offset: int
    days: int


class Planes(NamedTuple):
    """What trials did on the days of one part.

    Attributes
    ----------
    values : Array, shape (PLANES or PLANES + SUMS, n_days, n)
        Net return, trades, fills and costs; then the sums of the linear coefficient where it is asked for.
    failed : tuple of str
        Why a trial could not be evaluated; empty where it could.
    """

    values: Array
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Loaded:
    """The market of one part."""

    scenario: str
    frame: MarketFrame
    panel: SimulationPanel
    account: Account

    @property
    def first_day(self) -> int:
        """Number of its first whole day since the epoch."""
        return self.frame.start * self.frame.timeframe.ms // DAY_MS

    @property
    def n_days(self) -> int:
        """How many whole days it has."""
        return len(self.frame) * self.frame.timeframe.ms // DAY_MS

    @property
    def stretch(self) -> tuple[int, int]:
        """First moment, and first one after it, ms: the window of a backtest of the same."""
        ms = self.frame.timeframe.ms
        return self.frame.start * ms, self.frame.stop * ms


def load_parts(study: Study, settings: InForce, home: Lake) -> Iterator[Loaded]:
    """Load the parts of a study, scenario by scenario.

    Raises
    ------
    NoDataError
        Nothing is stored of an instrument or a stretch, or funding is not known and nothing says what to assume.
    ConfigError
        The stretch of a scenario goes on behind the hold-out, or instruments are on different clocks.
    """
    clock: Timeframe | None = None
    for name, market in study.markets.items():
        end = _end(study, name, market)
        for symbol in market.symbols:
            instrument = home.resolve(symbol, market.timeframe, market.venue)
            own = Timeframe(market.timeframe) if market.timeframe else home.usual_timeframe(instrument)
            if clock is not None and own != clock:
                raise ConfigError(
                    f"{study.where('market')}: {instrument} is on {own}, others on {clock}. Name one timeframe."
                )
            clock = own
            frame = home.frame(instrument.symbol, own, market.start, end, instrument.venue)
            yield loaded_of(study, settings, name, whole_days(frame), home)


def _end(study: Study, name: str, market: MarketSettings) -> int | None:
    """Where a scenario ends: before the hold-out."""
    held = study.holdout
    if held is None or (market.end is not None and market.end <= held.start):
        return market.end
    if market.start is not None and market.start >= held.start:
        raise ConfigError(
            f"The scenario {name} begins {iso(market.start)}, inside or behind the hold-out of "
            f"{study.where('holdout')}, which begins {iso(held.start)}. Let it end before."
        )
    return held.start


def whole_days(frame: MarketFrame) -> MarketFrame:
    """Return the window of a frame from its first midnight to its last one, UTC.

    Raises
    ------
    NoDataError
        It holds no whole day.
    """
    ms = frame.timeframe.ms
    first, stop = -(-frame.start * ms // DAY_MS) * DAY_MS, frame.stop * ms // DAY_MS * DAY_MS
    if first >= stop:
        raise NoDataError(f"{frame.instrument} {frame.timeframe} holds no whole day. A study needs some months.")
    return frame.within(first, stop)


def loaded_of(study: Study, settings: InForce, scenario: str, frame: MarketFrame, home: Lake | None) -> Loaded:
    """Make the market of one part, on the terms of a backtest of the same."""
    given, instrument = study.terms.given(), frame.instrument
    known = {} if home is None else {instrument: home.events("funding", instrument)}
    panel = SimulationPanel.of(
        [frame], slippage=given.pop("slippage", SLIPPAGE), funding=known,
        terms=funding_terms(given.pop("assume_funding", None), given.pop("mark", None)),
    )  # fmt: skip
    of_venue: dict[str, dict[Instrument, object]] = {"rules": {}, "tiers": {}}
    start = frame.start * frame.timeframe.ms
    for name, kind, read in (("rules", "instruments", rules_at), ("tiers", "tiers", tiers_at)):
        found = None if home is None else read(home.events(kind, instrument), start)
        if found is not None:
            of_venue[name][instrument] = found
    account = account_from(settings.trading, settings.risk, [instrument], **of_venue, **given)  # type: ignore[arg-type]
    return Loaded(scenario, frame, panel, account if study.strategy is None else replace(account, limited=False))


class RulePart:
    """A part that is traded by the shipped rule.

    Parameters
    ----------
    loaded : Loaded
    prism : Prism
        In force.
    signals : SignalSettings
    cache : Path, optional
        Folder in which blocks of scores are kept between runs.
    """

    def __init__(self, loaded: Loaded, prism: Prism, signals: SignalSettings, cache: Path | None = None) -> None:
        self.loaded = loaded
        self._scores = score(prism, loaded.frame, cache_folder=cache)
        configurations = Configurations.of(prism, signals, {})
        self.sweep = Sweep(self._scores, configurations, loaded.panel, loaded.account)
        self._returns: dict[int, tuple[Rows, Array, Rows]] = {}

    @property
    def known(self) -> tuple[str, ...]:
        """Dotted names of the components that this market knows."""
        return self.sweep.matrix.names

    @property
    def nbytes(self) -> int:
        """Memory that what is made ready takes, bytes; close to it."""
        matrix, market, found = self.sweep.matrix, self.sweep.market, self._scores
        held = matrix.points.nbytes + matrix.singles.nbytes + matrix.gates.nbytes + market.bars.nbytes
        held += sum(array.nbytes for array in market.summaries)
        return held + found.workspace.nbytes + bytes_of(self.loaded.frame)

    def planes(self, space: Space, found: Decoded, days: int, horizon: int) -> Planes:
        """Trade some trials up to the end of a day.

        Parameters
        ----------
        space : Space
        found : Decoded
            What the trials are.
        days : int
            How many days.
        horizon : int, bars
            Of the linear coefficient; 0 where nobody asks for it.
        """
        n = len(found.parameters)
        values = np.full((PLANES + (SUMS if horizon else 0), days, n), np.nan)
        failed = [""] * n
        for parameters, clocks, rows in _alike(found):
            columns = {name: own[rows] for name, own in found.columns.items()}
            try:
                sweep = self._scored(space, parameters, clocks)
                sweep = sweep.trying(Configurations.of(sweep.prism, space.signals, columns))
                until = days * DAY_MS // self.loaded.frame.timeframe.ms
                done = sweep.found(1, flows=True, until=until)
                values[:PLANES, :, rows] = planes_of(done, sweep.cash, days)
                if horizon:
                    values[PLANES:, :, rows] = self._sums(sweep, days, horizon)
            except VirtuosoError as refused:  # a component that cannot be with such parameters fails its trials alone
                if not (parameters or clocks):
                    raise
                for row in rows.tolist():
                    failed[row] = str(refused)
        return Planes(values, tuple(failed))

    def _scored(self, space: Space, parameters: Mapping[str, float], clocks: Mapping[str, float]) -> Sweep:
        """Return the market with some parameters; what was computed for them is dropped, what all share stays."""
        if not (parameters or clocks):
            return self.sweep
        with self.sweep.computing:
            workspace = self._scores.workspace
            before = workspace.nodes()
            try:
                return self.sweep.reparameterised(space.prism_of(parameters, clocks))
            finally:
                workspace.keep_only(before)

    def _sums(self, sweep: Sweep, days: int, horizon: int) -> Array:
        """Sums of the linear coefficient by the day on which the return is known, shape (SUMS, days, n)."""
        with self.sweep.computing:
            if horizon not in self._returns:
                self._returns[horizon] = self._forward(horizon)
            at, scaled, day = self._returns[horizon]
        matrix, tried = sweep.matrix, sweep.configurations
        stop = int(np.searchsorted(day, days))  # bars whose return is known by then
        shares = np.ascontiguousarray(tried.shares[:, matrix.columns])
        weights = (shares * tried.face_weights[:, matrix.face]).astype(np.float32)
        run = np.repeat(np.arange(len(matrix.coverage)), np.diff(matrix.edges))[matrix.lead :]
        found = np.zeros((SUMS, days, len(weights)))
        looked_at = at[:stop], scaled[:stop], day[:stop]
        _add_sums(matrix.singles, matrix.lead, weights, matrix.coverage, run, *looked_at, found)
        return found

    def _forward(self, horizon: int) -> tuple[Rows, Array, Rows]:
        """Bars that are looked at, their clipped and scaled returns, and the day on which each is known.

        A return runs from the next open to the close one horizon later, in standard deviations of the moves before the
        bar. What is not known is left out.
        """
        frame = self.loaded.frame
        first, n, ms = frame.start, len(frame), frame.timeframe.ms
        at = np.arange(0, n - horizon, max(1, horizon // A_HORIZON), dtype=np.int64)
        base = frame.base
        close, opened = base.columns["close"], base.columns["open"]
        moves = np.diff(np.log(close), prepend=np.nan) ** 2
        length = SPREADS * horizon
        total = np.cumsum(np.nan_to_num(moves))
        count = np.cumsum(np.isfinite(moves))
        here = at + first - base.first
        back = np.maximum(here - length, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt((total[here] - total[back]) / (count[here] - count[back]) * horizon)
            scaled = np.log(close[here + horizon] / opened[here + 1]) / spread
        ends = ((first + at + horizon + 1) * ms - 1) // DAY_MS - self.loaded.first_day
        good = np.isfinite(scaled) & (count[here] - count[back] >= horizon)
        return at[good], np.clip(scaled[good], -CLIP, CLIP), ends[good]


class StrategyPart:
    """A part that is traded by a user's own strategy."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.market = LaneMarket.of(loaded.panel, loaded.account)
        self._workspace, self._lock = Workspace(loaded.frame), threading.Lock()

    @property
    def known(self) -> tuple[str, ...]:
        """No component: a strategy has no weights to tune."""
        return ()

    @property
    def nbytes(self) -> int:
        """Memory that what is made ready takes, bytes; close to it."""
        arrays = (self.loaded.panel.bars, *(one for one in self.market.bars if isinstance(one, np.ndarray)))
        return sum(array.nbytes for array in arrays) + self._workspace.nbytes + bytes_of(self.loaded.frame)

    def planes(self, space: Space, found: Decoded, days: int, horizon: int) -> Planes:
        """Trade some trials up to the end of a day; see `RulePart.planes`."""
        strategy = space.strategy
        if strategy is None:
            raise ConfigError("This part is of a strategy, the space of the shipped rule.")
        n = len(found.parameters)
        fixed = {name: np.full(n, float(getattr(strategy, name))) for name in numbers(strategy)}
        grid = ParameterGrid(strategy, fixed | dict(found.values))
        with self._lock:  # features that trials share are computed once
            done = trade_all(self.market, self._workspace, grid, flows=True, threads=1)
        return Planes(planes_of(done, self.market.account.cash, days), ("",) * n)


def part_of(
    loaded: Loaded, prism: Prism, signals: SignalSettings, strategy: Strategy | None, cache: Path | None = None
) -> RulePart | StrategyPart:
    """Make a part ready."""
    return RulePart(loaded, prism, signals, cache) if strategy is None else StrategyPart(loaded)


def planes_of(found: Found, cash: float, days: int) -> Array:
    """Turn what was found of some configurations into what is kept of their days, shape (PLANES, days, n)."""
    equity = found.daily[:, :days]
    before = np.column_stack((np.full(len(equity), cash), equity[:, :-1])) if days else equity
    flows = np.diff(found.flows[:, :days], axis=1, prepend=0.0)
    at = {name: flows[:, :, k] for k, name in enumerate(FLOWS)}
    costs = at["fees"] + at["slippage"] - at["funding"]

    def share(values: Array) -> Array:  # of an account with nothing left nothing is a share
        return np.asarray(np.divide(values, before, out=np.zeros_like(values), where=before > 0.0))

    net = metrics.returns_of(np.ascontiguousarray(equity.T), cash)
    return np.stack((net, at["trades"].T, share(at["traded"]).T, share(costs).T))


def bytes_of(frame: MarketFrame) -> int:
    """Memory that the bars of a frame take, bytes."""
    return sum(values.nbytes for values in frame.base.columns.values()) + frame.base.state.nbytes


def _alike(found: Decoded) -> Iterator[tuple[dict[str, float], dict[str, float], Rows]]:
    """Trials that share the parameters of components and the weights of timeframes: those, and their rows."""
    count = range(len(found.parameters))
    clocks = [{name: float(values[row]) for name, values in found.timeframes.items()} for row in count]
    keys = [(tuple(found.parameters[row].items()), tuple(clocks[row].items())) for row in range(len(clocks))]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    for key, rows in groupby(order, key=keys.__getitem__):
        yield dict(key[0]), dict(key[1]), np.array(list(rows), dtype=np.int64)


@kernel
def _add_sums(
    singles: Single, lead: int, weights: Single, coverage: Array, run: Rows, at: Rows, scaled: Array, day: Rows,
    found: Array,
) -> None:  # fmt: skip
    """Add up what the linear coefficient is made of, bar by bar and trial by trial."""
    block, members = singles.shape[2], singles.shape[1]
    for i in range(len(at)):
        number, y, d = at[i] + lead, scaled[i], day[i]
        here, place = number // block, number % block
        for k in range(len(weights)):
            total, whole = 0.0, 0.0
            for c in range(members):
                total += weights[k, c] * singles[here, c, place]
                whole += weights[k, c] * coverage[run[at[i]], c]
            if whole > 0.0:
                x = total / whole - 50.0
                found[0, d, k] += 1.0
                found[1, d, k] += x
                found[2, d, k] += y
                found[3, d, k] += x * x
                found[4, d, k] += y * y
                found[5, d, k] += x * y


def joined(places: Sequence[Place], planes: Sequence[Array], days: int) -> Array:
    """Put the parts of one scenario together: the mean of the instruments that there are on a day.

    Parameters
    ----------
    places : sequence of Place
    planes : sequence of Array, shape (n_planes, days of the part, n)
    days : int
        Of the scenario, so many as are looked at.

    Returns
    -------
    Array, shape (n_planes, days, n)
        Trades and sums are added up, the others are means. A day that no instrument has is 0 throughout.
    """
    shape = planes[0].shape
    total, count = np.zeros((shape[0], days, shape[2])), np.zeros(days)
    for place, own in zip(places, planes, strict=True):
        here = slice(place.offset, place.offset + own.shape[1])
        total[:, here] += own
        count[here] += 1.0
    shared = np.maximum(count, 1.0)[:, None]
    for plane in (0, 2, 3):
        total[plane] /= shared
    return total
