"""The sweep of a user's own strategy: many parameters on the bars of one instrument.

1. Each configuration decides by the strategy's own function, evaluated as `vt.backtest` evaluates it; features that
   several of them share are computed once. What it decided is kept as its orders, never as a value a bar, and a batch
   at a time.
2. Configurations that only give market orders by weight walk the bars together (lanes.py), those with stops and
   targets from event to event (brackets.py), both with the figures of `backtest.engine.run` bit for bit. Those that
   trail, and those whose margin comes near its end, are run by `backtest.engine.run` itself.
3. What is found is a table with a row a configuration (result.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from virtuoso.account import state as s
from virtuoso.account.metrics import DAY_MS
from virtuoso.account.records import NEXT_OPEN, blank_intents
from virtuoso.errors import NoDataError
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.research.backtest.engine import Account, run
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.research.sweep.brackets import market_of, terms_of, walk
from virtuoso.research.sweep.lanes import LANES, Decisions, LaneBars, Lanes, LaneTerms, walk_lanes
from virtuoso.research.sweep.measured import measured
from virtuoso.research.sweep.parameters import ParameterGrid
from virtuoso.research.sweep.plans import Found, Market
from virtuoso.research.sweep.result import SweepResult
from virtuoso.research.sweep.scores import Rows, Steps
from virtuoso.research.sweep.sweep import THREADS, Progress
from virtuoso.signals.declared import Strategy
from virtuoso.types import Array

FEATURE_ROOM = 256 * 2**20
"""Bytes that features may take before they are forgotten: what is asked for once more is computed once more."""


def sweep_strategy(
    frame: MarketFrame,
    configurations: ParameterGrid,
    *,
    panel: SimulationPanel | None = None,
    account: Account | None = None,
    threads: int = THREADS,
    progress: Progress | None = None,
    config: Mapping[str, object] | None = None,
    provenance: Mapping[str, str] | None = None,
) -> SweepResult:
    """Trade every configuration of a strategy on one market.

    Parameters
    ----------
    frame : MarketFrame
    configurations : ParameterGrid
    panel : SimulationPanel, optional
        The bars of the market alone; made from the frame if absent, and refused where funding is not known.
    account : Account, optional
        The default one, whose limits are reported and not enforced, if absent.
    threads : int
        The result is the same for any number.
    progress : callable, optional
        Told how many configurations are done and how many there are.
    config, provenance : mapping, optional
        Kept with the result.

    Returns
    -------
    SweepResult

    Raises
    ------
    NoDataError
        If not two bars in a row are known.
    """
    market = LaneMarket.of(panel or SimulationPanel.of([frame]), account or Account(limited=False))
    found = trade_all(market, Workspace(frame), configurations, threads=threads, progress=progress)
    return SweepResult(
        frame, configurations, market.account.cash, found.figures, found.daily, config=dict(config or {}),
        given_provenance=dict(provenance or {}), halt=market.account.halt,
    )  # fmt: skip


def trade_all(
    market: LaneMarket,
    workspace: Workspace,
    configurations: ParameterGrid,
    *,
    flows: bool = False,
    threads: int = THREADS,
    progress: Progress | None = None,
) -> Found:
    """Trade every configuration of a strategy on a market that is ready.

    Parameters
    ----------
    market : LaneMarket
    workspace : Workspace
        Of the same frame; features that configurations share are computed once.
    configurations : ParameterGrid
    flows : bool
        Whether figures are kept day by day.
    threads, progress
        As for `sweep_strategy`.
    """
    frame, n, done = workspace.frame, len(configurations), 0
    found = Found.none(n, len(market.days), flows)
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        waiting: list[tuple[int, Future[None]]] = []
        for first in range(0, n, LANES):
            together: dict[bool, list[MarketOrders]] = {True: [], False: []}
            for row in range(first, min(first + LANES, n)):
                made = _decided(frame, workspace, configurations[row])
                if market.in_lanes(made):
                    orders = MarketOrders.of(row, made, market.panel.first)
                    together[orders.adjust].append(orders)
                else:
                    waiting.append((1, pool.submit(market.trade, row, made, found)))
                    done = _keep_up(waiting, 2 * threads, done, n, progress)
            workspace.forget(FEATURE_ROOM)
            for part in filter(None, together.values()):
                waiting.append((len(part), pool.submit(market.walk, part, found)))
                done = _keep_up(waiting, 2 * threads, done, n, progress)
        _keep_up(waiting, 0, done, n, progress)
    return found


class MarketOrders(NamedTuple):
    """What one configuration decides, where that is market orders by weight alone.

    Attributes
    ----------
    row : int
        Of the configuration.
    at : array of int32, shape (n_orders,)
        Positions of the bars at whose close they are decided.
    weight, price : Array, shape (n_orders,)
        Signed share of the equity, 0 to be out; close of the bar.
    adjust : bool
        Whether what is held is brought to the weight.
    """

    row: int
    at: Steps
    weight: Array
    price: Array
    adjust: bool

    @classmethod
    def of(cls, row: int, made: np.ndarray, first: int) -> MarketOrders:
        """Take what matters of intents; `first` is the number of the first bar."""
        weight = np.where(made["side"] == 0, 0.0, made["side"] * made["weight"])
        adjust = bool(len(made) and made["adjust"][0])
        return cls(row, (made["number"] - first).astype(np.int32), weight, made["price"].copy(), adjust)

    def intents(self, first: int) -> np.ndarray:
        """Return them as intents again."""
        made = blank_intents(len(self.at))
        made["number"], made["price"] = first + self.at, self.price
        made["side"], made["weight"], made["adjust"] = np.sign(self.weight), np.abs(self.weight), self.adjust
        made["expires"] = made["number"] + NEXT_OPEN
        return made


@dataclass(frozen=True)
class LaneMarket:
    """What every configuration trades on."""

    panel: SimulationPanel
    account: Account
    days: Rows
    bars: LaneBars
    terms: LaneTerms

    @classmethod
    def of(cls, panel: SimulationPanel, account: Account) -> LaneMarket:
        """Make a panel of one instrument ready.

        Raises
        ------
        NoDataError
            If not two bars are known.
        """
        known = int(np.count_nonzero(np.isfinite(panel.bars[:, 0, s.OPEN])))
        if known < 2:
            raise NoDataError(f"A sweep of {panel.instruments[0]} needs at least two known bars, found {known}.")
        ms = panel.timeframe.ms
        days = np.arange(1, len(panel) * ms // DAY_MS + 1) * DAY_MS // ms - 1
        bars = LaneBars.of(panel.bars[:, 0], panel.begins()[:, 0], int(panel.last[0]), days)
        return cls(panel, account, days, bars, LaneTerms.of(account, panel.instruments[0]))

    def in_lanes(self, made: np.ndarray) -> bool:
        """Whether lanes can express intents: market orders by weight alone, on isolated margin, with no limits."""
        account = self.account
        if account.limited or account.halt or account.trail > 0.0 or not account.isolated:
            return False
        levels = np.isfinite(made["entry"]) | np.isfinite(made["stop"]) | np.isfinite(made["trail"])
        levels |= (made["size"] > 0.0).any(axis=1)
        by_risk = (made["side"] != 0) & ~(made["weight"] > 0.0)
        mixed = made["adjust"] != made["adjust"][:1]
        return not (levels.any() or by_risk.any() or mixed.any())

    def walk(self, part: Sequence[MarketOrders], found: Found) -> None:
        """Find what becomes of some configurations, in lanes and where need be by the engine; writes their rows."""
        rows = [orders.row for orders in part]
        decisions = Decisions(
            np.concatenate([orders.at for orders in part]), np.concatenate([orders.weight for orders in part]),
            np.concatenate([orders.price for orders in part]), np.cumsum([0, *(len(orders.at) for orders in part)]),
            part[0].adjust,
        )  # fmt: skip
        lanes = Lanes.opened(len(part), self.account.cash)
        own = Found.none(len(part), len(self.days), found.flows.shape[1] > 0)
        walk_lanes(self.bars, self.terms, decisions, lanes, own.figures, own.daily, own.flows)
        found.figures[rows], found.daily[rows], found.flows[rows] = own
        for k in np.flatnonzero(lanes.doubtful[: len(part)]).tolist():
            self.simulate(rows[k], part[k].intents(self.panel.first), found)

    def trade(self, row: int, made: np.ndarray, found: Found) -> None:
        """Find what becomes of one configuration by itself; writes its row."""
        instrument = self.panel.instruments[0]
        if self._walks(made):
            market, terms = self._bracket_market, terms_of(self.account, instrument)
            days = found.daily[row], found.flows[row]
            found.figures[row] = walk(market, terms, self.account, instrument, made, *days)
        else:
            self.simulate(row, made, found)

    def simulate(self, row: int, made: np.ndarray, found: Found) -> None:
        """Run one configuration by the engine, bar after bar; writes its row."""
        done = run(self.panel, {self.panel.instruments[0]: made}, self.account)
        found.figures[row], found.daily[row] = measured(done, self.days, found.flows[row])

    @cached_property
    def _bracket_market(self) -> Market:
        return market_of(self.panel, self.days)

    def _walks(self, made: np.ndarray) -> bool:
        """Whether intents may be walked from event to event: nothing trails, adds or reduces, or is enforced."""
        account = self.account
        enforced = account.limited or account.halt or account.trail > 0.0 or not account.isolated
        return not (enforced or made["adjust"].any() or np.isfinite(made["trail"]).any())


def _decided(frame: MarketFrame, workspace: Workspace, strategy: Strategy) -> np.ndarray:
    """Intents of one configuration; what it decided bar by bar is dropped, what it builds on stays."""
    made = strategy.decisions(frame, workspace).intents
    workspace.buffers(frame.timeframe).by_node.pop(strategy, None)
    return made


def _keep_up(waiting: list[tuple[int, Future[None]]], most: int, done: int, n: int, progress: Progress | None) -> int:
    """Wait until no more than so many parts are on their way; returns how many configurations are done."""
    while len(waiting) > most:
        count, future = waiting.pop(0)
        future.result()
        done += count
        if progress is not None:
            progress(done, n)
    return done
