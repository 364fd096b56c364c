"""The sweep: thousands of configurations over the component scores of one market, nothing of it materialised.

1. `scores.py` lays out component scores once. A batch of configurations then passes the bars together, stretch by
   stretch, so that what all of them look at stays in the processor's cache:
2. `decisions.py` finds where the state of each one's rule changes, with the decisions of the full path bit for bit.
3. Charts are read at the bars at which any of them decides; each draws its own plans into them (plans.py).
4. Each one's account is walked from event to event (skip.py), with the events of `backtest.engine.run` (accounts.py).

What is found is a table with a row a configuration (result.py). What the sweep cannot express (trailing stops,
cross margin, several instruments with one wallet) is refused: choose here, then run the chosen ones in full.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import state as s
from virtuoso.account.metrics import DAY_MS
from virtuoso.account.risk import Rules
from virtuoso.account.state import Books, room_for
from virtuoso.errors import ConfigError, DataError, NoDataError, check_room
from virtuoso.market.gaps import BREAK
from virtuoso.prism.engine.score import assemble
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores
from virtuoso.prism.words import REGIMES
from virtuoso.research.backtest.engine import PLAIN_TIERS, Account
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.research.sweep.accounts import Accounts, AccountTerms, walk_accounts
from virtuoso.research.sweep.decisions import Candidates, Changes, Inputs, Sides, decide, error_bound
from virtuoso.research.sweep.grid import Configurations
from virtuoso.research.sweep.plans import Found, LevelTable, Market, Rule, undrawn
from virtuoso.research.sweep.result import SweepResult
from virtuoso.research.sweep.scores import BLOCK, Rows, ScoreMatrix, Steps
from virtuoso.research.sweep.skip import BarSummaries, summaries_of
from virtuoso.signals.levels import DEPTH, level_snapshot
from virtuoso.signals.rule import memory
from virtuoso.signals.settings import SignalSettings
from virtuoso.types import Array

BATCH = 64
"""Configurations that pass the market together, at most."""
STRETCH = 32
"""Blocks of bars that are decided, then traded while they still lie in the processor's cache."""
THREADS = 2

Progress = Callable[[int, int], None]


def sweep(
    scores: Scores,
    configurations: Configurations,
    *,
    panel: SimulationPanel | None = None,
    account: Account | None = None,
    pessimistic: bool = True,
    threads: int = THREADS,
    progress: Progress | None = None,
    config: Mapping[str, object] | None = None,
    provenance: Mapping[str, str] | None = None,
) -> SweepResult:
    """Trade every configuration on the scores of one market.

    Parameters
    ----------
    scores : Scores
        Of any weights: what is used are the scores of their components.
    configurations : Configurations
    panel : Stage, optional
        The bars of the market alone; made from the scores if absent, and refused where funding is not known.
    account : Account, optional
        The default one if absent.
    pessimistic : bool
        What the account assumes of the order of prices inside a bar.
    threads : int
        The result is the same for any number.
    progress : callable, optional
        Told how many configurations are done and how many there are.
    config : mapping, optional
        Terms and settings in force, kept with the result.
    provenance : mapping of str to str, optional
        Digests of configuration and code, kept with the result.

    Returns
    -------
    SweepResult

    Raises
    ------
    ConfigError
        The account trails stops or has cross margin, or the configurations are of another prism.
    DataError
        The stage is not of these scores.
    NoDataError
        If not two bars in a row of what was scored are known.

    Examples
    --------
    >>> tried = Configurations.around(scores.prism, settings, 1_000, Env(seed=7))  # doctest: +SKIP
    >>> sweep(scores, tried).best(5)                                               # doctest: +SKIP
    """
    result = Sweep(scores, configurations, panel, account, pessimistic).run(threads, progress)
    return replace(result, config=dict(config or {}), given_provenance=dict(provenance or {}))


class Charts:
    """Charts of a market, each read once, by whoever asks for it first."""

    def __init__(self, scores: Scores, settings: SignalSettings, computing: threading.RLock) -> None:
        self._scores, self._settings, self._read, self._computing = scores, settings.levels, 0, computing
        rows = np.full(len(scores), -1, dtype=np.int32)
        self._levels = LevelTable(np.empty((0, 2 + 2 * DEPTH)), rows)

    def at(self, changes: Changes) -> LevelTable:
        """Return the charts of the bars at which something is decided, and of all that were read before."""
        with self._computing:
            new = np.unique(undrawn(changes, self._levels.row_of))
            if len(new):
                scores = self._scores
                read = level_snapshot(scores.prism, scores.workspace, new + scores.start, self._settings)
                table, known, end = self._levels.table, self._read, self._read + len(new)
                if end > len(table):
                    table = np.concatenate((table[:known], np.empty((2 * end - known, table.shape[1]))))
                table[known:end] = np.column_stack((read.price, read.atr, read.supports, read.resistances))
                self._levels.row_of[new] = np.arange(known, end)
                self._levels, self._read = self._levels._replace(table=table), end
            return self._levels


class Sweep:
    """A market made ready, and the configurations that are tried on it.

    `run` sweeps it, `events` repeats one configuration, `trying` is the same market with other configurations: it is
    made ready once, whatever number of configurations are tried on it one after another.
    """

    def __init__(
        self,
        scores: Scores,
        configurations: Configurations,
        panel: SimulationPanel | None = None,
        account: Account | None = None,
        pessimistic: bool = True,
    ) -> None:
        _check(scores.prism, configurations)
        if len(scores) == 0:
            raise NoDataError("Nothing was scored, so there is nothing to sweep.")
        self.scores, self.configurations, self.prism = scores, configurations, scores.prism
        self.settings = configurations.settings
        self._plain = ScoreMatrix.of(scores, self.settings)
        self.matrix = self._plain.by_regime(self.prism, scores.workspace)
        self.account = account or Account()
        self.cash = self.account.cash
        bars, self._begins = self._bars(panel), self._broken(panel)
        self.terms = self._terms(pessimistic)
        self.days, summaries, last = self._summaries(bars)
        lead = self.matrix.lead
        run = np.repeat(np.arange(len(self.matrix.coverage)), np.diff(self.matrix.edges))[lead:]
        self.market = Market(
            summaries, bars, scores.start, last, self._begins, self.matrix.points[lead:], self.matrix.coverage,
            self.matrix.gates[lead:], run, self.matrix.face,
        )  # fmt: skip
        levels = self.settings.levels
        self.rule = Rule(
            np.array(levels.target_sizes), levels.entry == "retest", scores.frame.timeframe.bars(levels.retest_expiry),
            not scores.frame.instrument.is_spot,
        )  # fmt: skip
        self.computing = threading.RLock()  # whoever computes on the workspace of the scores holds it
        self._charts = Charts(scores, self.settings, self.computing)
        self._shares = np.ascontiguousarray(configurations.shares[:, self.matrix.columns])

    def trying(self, configurations: Configurations) -> Self:
        """Return the same market with other configurations.

        Raises
        ------
        ConfigError
            They are of another prism or of other settings.
        """
        _check(self.prism, configurations)
        if configurations.settings != self.settings:
            raise ConfigError("The configurations are of other settings than the market that was made ready.")
        other = copy(self)
        other.configurations = configurations
        other._shares = np.ascontiguousarray(configurations.shares[:, self.matrix.columns])
        return other

    def reparameterised(self, prism: Prism) -> Self:
        """Return the same market scored with other parameters of components, or with other weights of timeframes.

        Scores of components that are the same are not computed again; with other weights of timeframes all of them are
        aggregated anew, and so are the gates.
        """
        other, scores = copy(self), self.scores
        other.prism, workspace = prism, scores.workspace
        if dict(prism.timeframes) == dict(self.prism.timeframes):
            other._plain = self._plain.reparameterised(self.prism, prism, workspace)
        else:
            anew = assemble(prism, workspace, scores.start, scores.start + len(scores))
            other._plain = ScoreMatrix.of(anew, self.settings)
            del workspace.aggregators[prism.fingerprint]
        other.matrix = other._plain.by_regime(prism, workspace)
        matrix, lead = other.matrix, other.matrix.lead
        run = np.repeat(np.arange(len(matrix.coverage)), np.diff(matrix.edges))[lead:]
        other.market = self.market._replace(
            points=matrix.points[lead:], coverage=matrix.coverage, gates=matrix.gates[lead:], run=run, face=matrix.face
        )
        return other

    def run(self, threads: int = THREADS, progress: Progress | None = None) -> SweepResult:
        """Sweep every configuration."""
        found = self.found(threads, progress)
        return SweepResult(
            self.scores.frame, self.configurations, self.cash, found.figures, found.daily, halt=self.account.halt,
            scores=self.scores,
        )  # fmt: skip

    def found(
        self, threads: int = THREADS, progress: Progress | None = None, *, flows: bool = False, until: int | None = None
    ) -> Found:
        """Find what becomes of every configuration.

        Parameters
        ----------
        threads, progress
            As for `sweep`.
        flows : bool
            Whether figures are kept day by day.
        until : int, optional
            Bar before which trading may end; what is said of later days is nothing.
        """
        n, done = len(self.configurations), 0
        together = min(BATCH, -(-n // max(threads, 1)))
        found, end = Found.none(n, len(self.days), flows), len(self.scores) if until is None else until

        def batch(a: int) -> int:
            b = min(a + together, n)
            self._book(a, b, found.rows(a, b), end)
            return b - a

        with ThreadPoolExecutor(max(threads, 1)) as pool:
            for part in pool.map(batch, range(0, n, together)):
                done += part
                if progress is not None:
                    progress(done, n)
        return found

    def events(self, row: int) -> np.ndarray:
        """Return the events of one configuration, array of EVENT: those of `backtest.engine.run`."""
        changes = self._changes(row)
        accounts = Accounts.opened(1, self.cash, room_for(int(changes.counts[0]), self.market.bars))
        self._repeat(row, changes, accounts)
        return Books(np.empty((0, 0)), np.empty((0, 0)), np.empty(0), accounts.events, accounts.written).named()

    def decisions(self, a: int, b: int) -> tuple[Rows, Sides, Rows]:
        """Bars at which the state of the configurations a to b changes, the sides, and where each one's begin."""
        parts: list[list[tuple[Steps, Sides]]] = [[] for _ in range(a, b)]
        for changes, _, _ in self._stretches(a, b, len(self.scores)):
            for k, count in enumerate(changes.counts):
                parts[k].append((changes.at[k, :count].copy(), changes.to[k, :count].copy()))
        times = [np.concatenate([at for at, _ in part]).astype(np.int64) for part in parts]
        sides = [np.concatenate([to for _, to in part]) for part in parts]
        return np.concatenate(times), np.concatenate(sides), np.cumsum([0, *(len(when) for when in times)])

    def _book(self, a: int, b: int, found: Found, until: int) -> None:
        """Find what becomes of the configurations a to b."""
        accounts = self._opened(b - a)
        found.daily[:] = self.cash
        for changes, start, stop in self._stretches(a, b, until):
            self._walk(a, b, changes, start, stop, accounts, found)

    def _opened(self, n: int) -> Accounts:
        """Open the accounts of several configurations."""
        return Accounts.opened(n, self.cash)

    def _repeat(self, row: int, changes: Changes, accounts: Accounts) -> Array:
        """Walk one configuration over all bars at once; return its figures."""
        found = Found.none(1, len(self.days))
        self._walk(row, row + 1, changes, 0, len(self.scores), accounts, found)
        own: Array = found.figures[0]
        return own

    def _changes(self, row: int) -> Changes:
        """Decisions of one configuration on all bars."""
        at, to, offsets = self.decisions(row, row + 1)
        return Changes(np.zeros((1, 2), dtype=np.int64), at.astype(np.int32)[None], to[None], offsets[1:])

    def _stretches(self, a: int, b: int, until: int) -> Iterator[tuple[Changes, int, int]]:
        """Decisions of the configurations a to b, stretch by stretch; those of one are overwritten by the next.

        The last stretch is the one that ends at a bar, or not before it.
        """
        matrix = self.matrix
        blocks = min(len(matrix.singles), -(-(until + matrix.lead) // BLOCK))
        inputs = Inputs(matrix.points, matrix.singles, matrix.edges, matrix.coverage, matrix.face)
        changes, tried = Changes.none(b - a, min(STRETCH, blocks) * BLOCK), self._candidates(a, b)
        age, bound = memory(self.settings, self.scores.frame.timeframe), error_bound(len(matrix.names))
        for first in range(0, blocks, STRETCH):
            last = min(first + STRETCH, blocks)
            decide(inputs, tried, age, bound, first, last, matrix.lead, changes)
            check_room("changes of state in a stretch of bars", int(changes.counts.max()), changes.at.shape[1])
            start, stop = max(first * BLOCK - matrix.lead, 0), min(last * BLOCK, len(matrix)) - matrix.lead
            yield changes, start, max(stop, 0)

    def _walk(self, a: int, b: int, changes: Changes, start: int, stop: int, accounts: Accounts, found: Found) -> None:
        """Walk the accounts of the configurations a to b over a stretch of bars."""
        walk_accounts(
            self.market, self.rule, self.terms, self._charts.at(changes), self._candidates(a, b),
            self.configurations.measures[a:b], changes, start, stop, accounts, *found,
        )  # fmt: skip
        check_room("events of an account", int(accounts.written[0]), len(accounts.events))

    def _candidates(self, a: int, b: int) -> Candidates:
        c = self.configurations
        return Candidates(self._shares[a:b], c.face_weights[a:b], c.thresholds[a:b])

    def _broken(self, panel: SimulationPanel | None) -> NDArray[np.bool_]:
        """Return which bars another instrument of the same name opens."""
        if panel is not None:
            return panel.begins()[:, 0]
        base, start = self.scores.frame.base, self.scores.start
        begins: NDArray[np.bool_] = base.state[start - base.first :][: len(self.scores)] == BREAK
        return begins

    def _bars(self, panel: SimulationPanel | None) -> Array:
        """Return the bars that accounts step through; reject what the sweep cannot express."""
        account, instrument = self.account, self.scores.frame.instrument
        if account.trail > 0.0 or not account.isolated or account.target_volatility > 0.0:
            what = "trailing stops" if account.trail > 0.0 else "cross margin"
            what = what if account.target_volatility == 0.0 else "sizes by volatility (trading.size_by)"
            raise ConfigError(f"A sweep cannot express {what}. Sweep without, and run what it chose with them.")
        if set(self.settings.regimes) != set(REGIMES):
            raise ConfigError(
                f"A sweep enters in every regime; signals.regimes names {', '.join(self.settings.regimes)} alone. "
                "Sweep without, and run what it chose with it."
            )
        if self.settings.min_edge > 0.0:
            raise ConfigError(
                f"A sweep enters by thresholds; signals.min_edge={self.settings.min_edge:g} enters by the move that is "
                "expected. Sweep with signals.min_edge=0, and run what it chose with it."
            )
        panel = panel or SimulationPanel.of([self.scores.frame])
        same = panel.instruments == (instrument,) and panel.timeframe == self.scores.frame.timeframe
        if not same or (panel.first, len(panel)) != (self.scores.start, len(self.scores)):
            raise DataError(
                f"The stage must hold the {len(self.scores):,} scored bars of {instrument} and nothing else, holds "
                f"{len(panel):,} of {', '.join(str(one) for one in panel.instruments)}. Make it of the scored frame."
            )
        return panel.bars

    def _terms(self, pessimistic: bool) -> AccountTerms:
        account, instrument = self.account, self.scores.frame.instrument
        leverage = 1.0 if instrument.is_spot else account.leverage
        terms = np.array([[account.maker, account.taker, account.liquidation_fee, leverage]])
        tiers = account.tiers.get(instrument, PLAIN_TIERS).table[None]
        rules = np.array([account.rules.get(instrument, Rules())], dtype=np.float64)
        reset = account.reset_halt * DAY_MS // self.scores.frame.timeframe.ms
        return AccountTerms(account.cash, terms, tiers, rules, account.limits, account.halt, reset, pessimistic)

    def _summaries(self, bars: Array) -> tuple[Rows, BarSummaries, int]:
        """What is walked over, the ends of days, and the position of the last known bar."""
        one, ms = bars[:, 0], self.scores.frame.timeframe.ms
        known = np.flatnonzero(np.isfinite(one[:, s.OPEN]))
        if len(known) < 2:
            instrument = self.scores.frame.instrument
            raise NoDataError(f"A sweep of {instrument} needs at least two known bars, found {len(known)}.")
        last = int(known[-1])
        days = np.arange(1, len(one) * ms // DAY_MS + 1) * DAY_MS // ms - 1
        return days, summaries_of(one, self._begins, last, days), last


def _check(prism: Prism, configurations: Configurations) -> None:
    """Reject what does not belong together."""
    ours = [[repr(c) for c in face.components] for face in prism.faces]
    theirs = [[repr(c) for c in face.components] for face in configurations.given.faces]
    alike = (dict(prism.timeframes), list(prism.by_regime)) == (
        dict(configurations.given.timeframes), list(configurations.given.by_regime),
    )  # fmt: skip
    if ours != theirs or not alike:
        raise ConfigError(
            "The configurations are of another prism than the scores: its components, their parameters, its timeframes "
            "or the regimes that it weighs by differ, and a sweep varies none of them. Make the configurations from "
            "scores.prism."
        )
