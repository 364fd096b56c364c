"""The sweep: what it decides and trades is what the full path decides and trades, whatever it leaves out on the way."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numba import njit

from tests.benchmarks.vectorbt_sweep import VectorbtSweep
from tests.builders import market
from tests.research.scenes import PRISM, bars, with_confluence
from virtuoso import workflows
from virtuoso.account.records import CLOSED, ENTERED, LAPSED
from virtuoso.account.records import OPEN as STILL_OPEN
from virtuoso.account.risk import Limits
from virtuoso.clock import Env
from virtuoso.errors import ConfigError, DataError, NoDataError
from virtuoso.prism.engine.score import assemble, score
from virtuoso.prism.prism import Prism
from virtuoso.research.backtest import engine as portfolio
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.metrics import halted
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel
from virtuoso.research.crosscheck.simulate import simulate as backtest
from virtuoso.research.sweep.decisions import confluence, error_bound, reliability
from virtuoso.research.sweep.grid import Configurations
from virtuoso.research.sweep.measured import measured
from virtuoso.research.sweep.plans import FIGURES, PLAN_COLUMNS, LevelTable, Rule, draw
from virtuoso.research.sweep.scores import ScoreMatrix
from virtuoso.research.sweep.sweep import Sweep, sweep
from virtuoso.signals.decision import decide
from virtuoso.signals.levels import DEPTH, LevelSnapshot, plans
from virtuoso.signals.settings import LevelSettings, SignalSettings
from virtuoso.signals.strategy import intents_of

SETTINGS = SignalSettings(
    min_coverage=0.1, max_age="2h", bull_enter=62.0, bull_leave=53.0, bear_leave=47.0, bear_enter=38.0
)
NEAR = SETTINGS.model_copy(update={"bull_enter": 56.0, "bull_leave": 51.0, "bear_leave": 49.0, "bear_enter": 44.0})
"""Weights of both signs take from each other, and confluence stays nearer to 50."""
ASSUMED = FundingTerms(assume=0.0003, mark_is_last=True)
NEVER = Limits(max_drawdown=0.99)
BARS = 5_000


SIGNED = Prism.classic().reweighted(
    {"technical": 0.17, "volume": -0.12, "price_structure": -0.16},
    {"technical.rsi": -0.2, "volume.obv": -0.15, "price_structure.order_blocks": -0.2, "orderflow.cvd": -0.25},
)
"""A face that counts against, components that do, and one that does so within such a face."""


@cache
def scored(seed=7, lit=False, signed=False):
    return score(SIGNED if signed else Prism.classic(), market(seed, bars=BARS, lit=lit))


@cache
def stage_of(seed=7, lit=False):
    return SimulationPanel.of([scored(seed, lit).frame], terms=ASSUMED)


def around(scores, n, seed=3, settings=SETTINGS, points=12.0):
    return Configurations.around(scores.prism, settings, n, Env(seed=seed), points=points)


def tight(tried, widest=0.5):
    """The same configurations with near stops and targets: more happens."""
    n = len(tried)
    near = {"stop_min": 0.02, "stop_max": widest, "min_target_r": 0.5, "target_gap_r": 0.2, "target1_r": 0.8}
    columns = dict(tried.columns) | {name: np.full(n, value) for name, value in near.items()}
    return Configurations.of(tried.given, tried.settings, columns)


def anything(random, scores, settings, n):
    """Configurations far from each other: thresholds that are reached all the time, and ones that hardly ever are."""
    near = Configurations.around(scores.prism, settings, n, Env(seed=int(random.integers(1 << 30))), concentration=4.0)
    leave, enter = random.uniform(50.0, 58.0, (2, n)), random.uniform(0.5, 20.0, (2, n))
    columns = dict(near.columns) | {
        "bull_leave": leave[0], "bull_enter": leave[0] + enter[0],
        "bear_leave": 100.0 - leave[1], "bear_enter": 100.0 - leave[1] - enter[1],
    }  # fmt: skip
    return Configurations.of(near.given, near.settings, columns)


def decided(scores, tried, row):
    """Decisions of the full path: the prism assembled again with the weights of a row."""
    own = assemble(tried.prism(row), scores.workspace, scores.start, scores.start + len(scores))
    return decide(own, tried.signal_settings(row))


def events_in_full(scores, tried, row, panel, account, pessimistic=True):
    made = intents_of(decided(scores, tried, row))
    return portfolio.run(panel, {scores.frame.instrument: made}, account, pessimistic=pessimistic)


@njit
def summed(points, coverage, face, shares, face_weights):
    return confluence(points, coverage, face, shares, face_weights)


@njit
def trust(points, coverage, gates, face, shares, face_weights):
    return reliability(points, coverage, gates, face, shares, face_weights)


@njit
def drew(drawn, t, side, measures, rule, plan):
    return draw(drawn, t, side, measures, rule, plan)


class TestTheSameDecisions:
    """Weights, coverage, thresholds, hysteresis, age: bit for bit those of prism and rule."""

    @pytest.mark.parametrize(("lit", "signed"), [(False, False), (True, False), (True, True)])
    def test_confluence_and_reliability_have_the_bits_of_the_prism(self, lit, signed):
        scores = scored(7, lit, signed)
        tried, matrix = around(scores, 6), ScoreMatrix.of(scores, SETTINGS)
        shares = np.ascontiguousarray(tried.shares[:, matrix.columns])
        run = np.repeat(np.arange(len(matrix.coverage)), np.diff(matrix.edges))
        compared = 0
        for row in range(len(tried)):
            own = assemble(tried.prism(row), scores.workspace, scores.start, scores.start + len(scores))
            for i in range(0, len(scores), 37):
                t = i + matrix.lead
                args = (matrix.face, shares[row], tried.face_weights[row])
                if not own.coverage[i] > 0.0:
                    assert not matrix.coverage[run[t]].any()
                    continue
                found = summed(matrix.points[t], matrix.coverage[run[t]], *args)
                assert found == (own.confluence[i], own.coverage[i])
                trusted = trust(matrix.points[t], matrix.coverage[run[t]], matrix.gates[t], *args)
                assert trusted == own.reliability[i]
                compared += 1
        assert compared > 600

    @pytest.mark.parametrize(
        ("seed", "lit", "signed"), [(7, False, False), (8, False, False), (7, True, False), (7, False, True)]
    )
    def test_every_change_of_state_is_found_at_its_bar(self, seed, lit, signed):
        scores = scored(seed, lit, signed)
        tried = around(scores, 12, seed, NEAR if signed else SETTINGS)
        swept, changes = Sweep(scores, tried, stage_of(seed, lit)), 0
        for row in range(len(tried)):
            at, to, _ = swept.decisions(row, row + 1)
            full = decided(scores, tried, row)
            np.testing.assert_array_equal(at, full.at)
            np.testing.assert_array_equal(to, full.state)
            changes += len(at)
        assert changes > 300

    def test_many_at_once_decide_as_each_alone(self):
        scores = scored()
        swept = Sweep(scores, around(scores, 20), stage_of())
        at, to, offsets = swept.decisions(0, 20)
        for row in range(20):
            alone = swept.decisions(row, row + 1)
            np.testing.assert_array_equal(at[offsets[row] : offsets[row + 1]], alone[0])
            np.testing.assert_array_equal(to[offsets[row] : offsets[row + 1]], alone[1])

    @pytest.mark.parametrize("signed", [False, True])
    def test_a_threshold_that_a_bar_meets_exactly_is_reached(self, signed):
        """Single precision cannot tell; the bar is decided again."""
        scores = scored(signed=signed)
        least = 56.0 if signed else 60.0
        high = np.sort(scores.confluence[np.isfinite(scores.confluence) & (scores.confluence > least)])
        met = np.unique(high)[:: max(1, len(np.unique(high)) // 40)]
        exact = np.concatenate((met, np.nextafter(met, 100.0)))
        tried = Configurations.of(scores.prism, SETTINGS, {"bull_enter": exact})
        swept = Sweep(scores, tried, stage_of())
        for row in range(len(tried)):
            at, _, _ = swept.decisions(row, row + 1)
            np.testing.assert_array_equal(at, decided(scores, tried, row).at)

    def test_the_guard_is_wider_than_any_error_of_single_precision(self):
        random = np.random.default_rng(5)
        for n in (3, 24, 60):
            weights, points = random.dirichlet(np.ones(n), 400), random.uniform(0.0, 100.0, (n, 400))
            single = np.dot(weights.astype(np.float32), points.astype(np.float32))
            assert np.abs(single - weights @ points).max() < error_bound(n) / 2.0

    def test_a_later_window_remembers_the_bars_before_it(self):
        scores = scored()
        ms = scores.frame.timeframe.ms
        window = scores.frame.within((scores.start + 2_000) * ms, (scores.start + 4_000) * ms)
        part = score(scores.prism, window)
        tried = around(part, 8)
        swept = Sweep(part, tried, SimulationPanel.of([part.frame], terms=ASSUMED))
        assert swept.matrix.lead == 120
        for row in range(len(tried)):
            at, to, _ = swept.decisions(row, row + 1)
            full = decided(part, tried, row)
            np.testing.assert_array_equal(at, full.at)
            np.testing.assert_array_equal(to, full.state)


class TestTheSamePlans:
    """Entry, stop and targets are those of `levels.plans`."""

    @pytest.mark.parametrize("entry", ["market", "retest"])
    def test_random_charts(self, entry):
        random = np.random.default_rng(11)
        n, settings = 600, LevelSettings(entry=entry, min_target_r=0.8, target_gap_r=0.3)
        price = random.uniform(1.0, 100.0, n)
        away = np.sort(random.exponential(0.4, (2, n, DEPTH)), axis=2) * price[:, None] * 0.2
        away[:, random.random((n, DEPTH)) < 0.3] = np.nan
        atr = price * random.uniform(0.01, 0.5, n)
        atr[::29] = np.nan
        chart = LevelSnapshot(None, np.arange(n), price, atr, price[:, None] - away[0], price[:, None] + away[1])
        side = random.choice([-1, 1], n).astype(np.int8)
        full = plans(chart, side, settings, scored().frame.timeframe)
        measures = np.array(
            [settings.stop_buffer, settings.stop_min, settings.stop_max, settings.min_target_r, settings.target_gap_r,
             settings.retest_reach, *settings.target_r]
        )  # fmt: skip
        rule = Rule(np.array(settings.target_sizes), entry == "retest", 60, True)
        table = np.column_stack((price, atr, chart.supports, chart.resistances))
        drawn, plan = LevelTable(table, np.arange(n, dtype=np.int32)), np.empty(PLAN_COLUMNS)
        for i in range(n):
            assert drew(drawn, i, float(side[i]), measures, rule, plan) == full.known[i]
            if full.known[i]:
                own = [full.limit[i], full.stop[i], *full.target[i], *full.size[i]]
                np.testing.assert_array_equal(plan, own)
        assert 0.5 < full.known.mean() < 1.0
        assert np.isfinite(full.limit).any() == (entry == "retest")
        assert np.isnan(full.target[full.known]).any()


class TestTheSameTradesOnTheContract:
    """Events of the sweep are those of the portfolio backtest, byte for byte."""

    CASES = {
        "as it comes": (SETTINGS, Account(limits=Limits(max_drawdown=0.9))),
        "halted": (SETTINGS, Account(limits=Limits(max_drawdown=0.01), halt=True)),
        "reported as halted": (SETTINGS, Account(limits=Limits(max_drawdown=0.01))),
        "halted for a day": (SETTINGS, Account(limits=Limits(max_drawdown=0.01), halt=True, reset_halt=1)),
        "liquidated": (SETTINGS, Account(leverage=100.0, limits=Limits(max_drawdown=0.9, max_leverage=60.0, heat=1.0))),
        "entries wait for a level": (
            SignalSettings(min_coverage=0.1, levels=LevelSettings(entry="retest")),
            Account(limits=Limits(max_drawdown=0.9)),
        ),
    }

    @pytest.mark.parametrize("case", CASES)
    def test_on_a_market_with_holes_and_funding(self, case):
        settings, account = self.CASES[case]
        scores, panel = scored(), stage_of()
        tried = tight(around(scores, 8, settings=settings))
        swept, kinds = Sweep(scores, tried, panel, account), set()
        found = swept.found(flows=True)
        for row in range(len(tried)):
            full = events_in_full(scores, tried, row, panel, account)
            own = swept.events(row)
            assert own.tobytes() == full.events.tobytes()
            flows = np.zeros(found.flows.shape[1:])
            _, daily = measured(full, swept.days, flows)
            np.testing.assert_array_equal(found.flows[row], flows)
            np.testing.assert_array_equal(found.daily[row], daily)
            kinds |= set(own["kind"].tolist())
        wanted = {"liquidated": {4}, "entries wait for a level": {6}, "as it comes": {5}}.get(case, set())
        assert wanted | {0, 1, 2, 3} <= kinds

    def test_others_on_the_same_market_and_only_up_to_a_bar(self):
        scores, panel, (settings, account) = scored(), stage_of(), self.CASES["as it comes"]
        first, tried = (tight(around(scores, 6, seed, settings=settings)) for seed in (3, 4))
        swept = Sweep(scores, first, panel, account)
        found, alone = swept.trying(tried).found(flows=True), Sweep(scores, tried, panel, account).found(flows=True)
        for one, other in zip(found, alone, strict=True):
            np.testing.assert_array_equal(one, other)
        stop = int(swept.days[1]) + 1
        cut = swept.trying(tried).found(flows=True, until=stop)
        np.testing.assert_array_equal(cut.daily[:, :2], alone.daily[:, :2])
        np.testing.assert_array_equal(cut.flows[:, :2], alone.flows[:, :2])
        with pytest.raises(ConfigError, match="of other settings"):
            swept.trying(around(scores, 2, settings=SignalSettings(max_age="2h")))

    def test_optimistic_about_bars(self):
        scores, panel = scored(), stage_of()
        account = Account(limits=Limits(max_drawdown=0.9, max_leverage=2.0))
        tried = tight(around(scores, 6), 0.04)
        swept = Sweep(scores, tried, panel, account, pessimistic=False)
        doubted = 0
        for row in range(6):
            full = events_in_full(scores, tried, row, panel, account, pessimistic=False)
            assert swept.events(row).tobytes() == full.events.tobytes()
            doubted += int(full.events["ambiguous"].sum())
        assert doubted

    def test_of_an_instrument_that_is_delisted_and_one_that_is_spot(self):
        scores, panel = scored(), stage_of()
        tried = around(scores, 8)
        ended = panel.bars.copy()
        ended[-700:] = np.nan
        gone = replace(panel, bars=ended, last=np.array([len(panel) - 701]))
        account = Account(limits=Limits(max_drawdown=0.9))
        swept, settled = Sweep(scores, tried, gone, account), 0
        for row in range(len(tried)):
            full = events_in_full(scores, tried, row, gone, account)
            assert swept.events(row).tobytes() == full.events.tobytes()
            settled += int((full.events["instant"] == panel.first + len(panel) - 701).any())
        assert settled

    @pytest.mark.parametrize("halt", [False, True])
    def test_figures_are_those_of_the_full_run(self, halt):
        scores, panel, account = scored(), stage_of(), Account(limits=Limits(max_drawdown=0.005), halt=halt)
        tried = around(scores, 8)
        result = sweep(scores, tried, panel=panel, account=account)
        for row in range(len(tried)):
            full = events_in_full(scores, tried, row, panel, account)
            peak = np.maximum.accumulate(np.concatenate(([account.cash], full.equity)))[1:]
            assert result.column("equity")[row] == full.equity[-1]
            assert result.column("max_drawdown")[row] == min((full.equity / peak - 1.0).min(), 0.0)
            assert result.column("held")[row] == np.count_nonzero(full.exposure)
            assert result.column("halted")[row] == float(len(full.halts) > 0)
            told = halted(full)
            if told is not None:
                assert result.metrics["halted_at"][row] == told.at
                assert result.column("halted_equity")[row] == told.equity
                assert result.metrics["return_after_halt"][row] == pytest.approx(told.return_after)
            days = np.arange(1, BARS // 1440 + 1) * 1440 - 1
            np.testing.assert_array_equal(result.daily[row], full.equity[days])
            for name, field in (("fees", "fee"), ("funding", "funding"), ("slippage", "slippage")):
                assert result.column(name)[row] == pytest.approx(full.events[field].sum(), rel=1e-12)
            assert result.column("gained")[row] - result.column("lost")[row] == pytest.approx(
                full.equity[-1] - account.cash, abs=50.0 if full.exposure[-1] else 1e-6
            )
        assert result.column("halted").sum() > 0
        assert np.isnan(result.metrics["halted_at"]).sum() == (result.column("halted") == 0.0).sum()
        assert result.configuration()["halt"] is halt

    def test_waiting_entries_lapse_at_the_latch(self):
        """With one instrument: an exit costs enough to halt, and the limit of the other side has begun to wait."""
        scores, panel, lapsed = scored(), stage_of(), 0
        levels = LevelSettings(entry="retest", retest_reach=8.0, retest_expiry="1d")
        turning = {"bull_leave": 50.0, "bull_enter": 50.5, "bear_leave": 50.0, "bear_enter": 49.5}
        near = around(scores, 4, settings=SignalSettings(min_coverage=0.1, levels=levels))
        columns = dict(near.columns) | {name: np.full(4, value) for name, value in turning.items()}
        tried = Configurations.of(near.given, near.settings, columns)
        free = Account(taker=0.003, limits=NEVER)
        for row in range(len(tried)):
            full = events_in_full(scores, tried, row, panel, free)
            fall = 1.0 - full.equity / np.maximum.accumulate(full.equity)
            events, limits = full.events, full.intents[np.isfinite(full.intents["entry"])]
            turned = np.intersect1d(events["instant"][events["kind"] == CLOSED], limits["number"] + 1)
            turned = np.setdiff1d(turned, events["instant"][events["kind"] == ENTERED]) - panel.first
            deepest = turned[fall[turned] >= np.maximum.accumulate(fall)[turned]]
            for t in deepest[:3]:
                how = replace(free, limits=NEVER._replace(max_drawdown=fall[t] - 1e-9), halt=True)
                full, swept = (
                    events_in_full(scores, tried, row, panel, how),
                    Sweep(scores, tried, panel, how),
                )
                assert swept.events(row).tobytes() == full.events.tobytes()
                lapsed += int(((full.events["kind"] == LAPSED) & (full.events["instant"] == full.halts[0])).sum())
        assert lapsed > 0

    def test_a_halt_that_is_reported_ends_nothing(self):
        scores, panel, tried = scored(), stage_of(), tight(around(scored(), 16))
        limits = Limits(max_drawdown=0.003)
        free, reported, enforced = (
            sweep(scores, tried, panel=panel, account=account)
            for account in (Account(limits=NEVER), Account(limits=limits), Account(limits=limits, halt=True))
        )
        assert reported.daily.tobytes() == free.daily.tobytes()
        halted = reported.column("halted") > 0.0
        assert halted.sum() >= 5
        assert not free.column("halted").any()
        assert (enforced.column("trades") <= reported.column("trades")).all()
        assert enforced.column("trades").sum() < reported.column("trades").sum()
        assert (enforced.column("halted_on") == reported.column("halted_on")).all()
        assert f"{halted.sum()} of 16 configurations reached the halt. It is reported" in reported.halt_words


class TestTheSameTradesAsVectorbt:
    """Bars, sides, reasons and prices of the first backtest."""

    @pytest.mark.parametrize("lit", [False, True])
    def test_on_a_market_with_holes(self, lit):
        scores = scored(7, lit)
        tried = around(scores, 5)
        swept, compared = VectorbtSweep(scores, tried), 0
        figures = swept.run().metrics
        for row in range(len(tried)):
            full = decided(scores, tried, row)
            run = backtest(full.scores, intents_of(full))
            theirs = run.trades[run.trades["reason"] != STILL_OPEN]
            own = swept.trades(row)
            start = scores.start
            for column, name in ((0, "number"), (1, "side"), (2, "entry_number"), (3, "exit_number"), (7, "reason")):
                shift = start if "number" in name else 0
                np.testing.assert_array_equal(own[:, column] + shift, theirs[name])
            for column, name in ((4, "entry_price"), (5, "exit_price"), (6, "size")):
                np.testing.assert_allclose(own[:, column], theirs[name], rtol=1e-9)
            assert figures["net_return"][row] == pytest.approx(run.metrics["total_return"], abs=1e-9)
            assert figures["max_drawdown"][row] == pytest.approx(run.metrics["max_drawdown"], abs=1e-9)
            assert figures["fees"][row] == pytest.approx(run.metrics["fees"])
            assert figures["ambiguous"][row] == theirs["ambiguous"].sum()
            compared += len(own)
        assert compared > 60


class TestWhateverIsTried:
    """Random settings, thresholds and densities: from a trade a week to one every few minutes."""

    @pytest.mark.parametrize("seed", range(5))
    def test_decisions_and_events_are_those_of_the_full_run(self, seed):
        random, scores, panel = np.random.default_rng(seed), scored(7, seed == 3, seed == 4), stage_of(7, seed == 3)
        entry, age = random.choice(["market", "retest"]), random.choice(["5m", "40m", "6h"])
        levels = LevelSettings(entry=entry, retest_expiry=random.choice(["1m", "10m", "2h"]))
        settings = SignalSettings(min_coverage=float(random.uniform(0.0, 0.5)), max_age=age, levels=levels)
        limits = Limits(max_drawdown=random.choice([0.02, 0.5]), max_leverage=random.choice([1.0, 20.0]), heat=0.9)
        reset = int(random.integers(0, 2))
        halt = seed != 1
        account = Account(limits=limits, leverage=random.choice([2.0, 40.0]), halt=halt, reset_halt=reset * halt)
        tried, pessimistic = (
            tight(anything(random, scores, settings, 6), 10.0 ** random.uniform(-1.5, 0.5)),
            seed % 2 == 0,
        )
        swept, traded = Sweep(scores, tried, panel, account, pessimistic=pessimistic), []
        for row in range(len(tried)):
            full = decided(scores, tried, row)
            at, to, _ = swept.decisions(row, row + 1)
            assert (at.tobytes(), to.tobytes()) == (full.at.astype(np.int64).tobytes(), full.state.tobytes())
            whole = events_in_full(scores, tried, row, panel, account, pessimistic)
            assert swept.events(row).tobytes() == whole.events.tobytes()
            traded.append(len(at))
        assert max(traded) > 2 * min(traded)

    @pytest.mark.parametrize("fills", ["contract", "vectorbt"])
    def test_is_the_same_however_it_is_cut(self, fills, monkeypatch):
        scores = scored()
        tried = anything(np.random.default_rng(8), scores, SETTINGS, 19)
        make, how = (Sweep, (stage_of(),)) if fills == "contract" else (VectorbtSweep, ())
        whole = make(scores, tried, *how).run(1)
        assert whole.column("trades").min() < whole.column("trades").max() > 50
        for batch, stretch, threads in ((1, 32, 1), (7, 1, 2), (19, 3, 1)):
            monkeypatch.setattr("virtuoso.research.sweep.sweep.BATCH", batch)
            monkeypatch.setattr("virtuoso.research.sweep.sweep.STRETCH", stretch)
            cut = make(scores, tried, *how).run(threads)
            assert cut.figures.tobytes() == whole.figures.tobytes()
            assert cut.daily.tobytes() == whole.daily.tobytes()


class TestTheResult:
    """A table with a row a configuration, and what luck explains of the best one."""

    def test_is_the_same_for_any_number_of_threads(self):
        scores, panel = scored(), stage_of()
        tried = around(scores, 70)
        first, *others = (sweep(scores, tried, panel=panel, threads=n) for n in (1, 2, 3))
        for other in others:
            assert other.figures.tobytes() == first.figures.tobytes()
            assert other.daily.tobytes() == first.daily.tobytes()

    def test_the_same_seed_draws_the_same_configurations(self):
        scores = scored()
        one, same, other = (around(scores, 5, seed) for seed in (1, 1, 2))
        assert all((one.columns[name] == same.columns[name]).all() for name in one.columns)
        assert any((one.columns[name] != other.columns[name]).any() for name in one.columns)

    def test_row_0_is_what_is_in_force(self):
        scores = scored()
        tried = around(scores, 5)
        assert tried.prism(0).fingerprint == scores.prism.fingerprint
        assert tried.signal_settings(0) == SETTINGS

    def test_ranks_what_is_testable_only(self):
        result = sweep(scored(), around(scored(), 12), panel=stage_of())
        assert len(result.best(5)) == 0  # four days are no year
        rows = result.best(12, "net_return")
        assert (np.diff(result.metrics["net_return"][rows]) <= 0.0).all()
        with pytest.raises(ConfigError, match="Did you mean 'sharpe'"):
            result.best(5, "sharp")

    def test_says_that_so_little_is_not_testable(self):
        result = sweep(scored(), around(scored(), 4), panel=stage_of())
        assert "sharpe" in result.honesty(0).why

    def test_its_table_holds_what_each_was_and_did(self):
        result = sweep(scored(), around(scored(), 4), panel=stage_of())
        table = result.to_pandas()
        assert {"configuration", "technical.rsi", "bull_enter", "stop_max", "net_return", "trades"} <= set(table)
        assert len(table) == 4
        assert len(FIGURES) == result.figures.shape[1]


class TestATableThatIsTooSmall:
    """Of events, wherever they are told: never written beyond its end, never believed."""

    def test_is_refused_in_every_build(self, monkeypatch):
        scores, panel, account = scored(), stage_of(), Account(limits=NEVER)
        tried = tight(around(scores, 1))
        for module in ("sweep.sweep", "backtest.engine"):
            monkeypatch.setattr(f"virtuoso.research.{module}.room_for", lambda orders, bars: 13)
        with pytest.raises(DataError, match="room for 13 events of an account"):
            Sweep(scores, tried, panel, account).events(0)
        with pytest.raises(DataError, match="room for 13 events of an account"):
            events_in_full(scores, tried, 0, panel, account)


class TestWhatIsRefused:
    """What the sweep cannot express is refused, never approximated."""

    def test_trailing_stops_and_cross_margin(self):
        for account, named in ((Account(trail=1.0), "trailing stops"), (Account(isolated=False), "cross margin")):
            with pytest.raises(ConfigError, match=named):
                sweep(scored(), around(scored(), 2), panel=stage_of(), account=account)

    def test_unknown_columns_and_impossible_rows(self):
        prism = scored().prism
        for table, named in (
            ({"bull_entr": [70.0]}, "Did you mean 'bull_enter'"),
            ({"bull_enter": [70.0, 101.0]}, "Configuration 1 .* bull_leave < bull_enter <= 100"),
            ({"technical": [0.5]}, "faces do not sum to 1"),
            ({"stop_min": [9.0]}, "stop_min <= stop_max"),
            ({"target2_r": [0.1]}, "target2_r is nearer"),
            ({"technical.rsi": [-0.1]}, "technical.rsi is not known or below 0"),
            ({"bull_enter": [70.0], "stop_max": [3.0, 4.0]}, "one value a configuration"),
        ):
            with pytest.raises(ConfigError, match=named):
                Configurations.of(prism, SETTINGS, table)

    def test_a_sign_other_than_that_in_force(self):
        with pytest.raises(ConfigError, match=r"technical\.rsi is not known or above 0"):
            Configurations.of(SIGNED, SETTINGS, {"technical.rsi": [0.1]})
        row = Configurations.of(SIGNED, SETTINGS, {"bull_enter": [60.0]})
        assert row.prism(0).fingerprint == SIGNED.fingerprint

    def test_configurations_of_another_prism(self):
        with pytest.raises(ConfigError, match="another prism"):
            sweep(scored(), Configurations.of(PRISM, SETTINGS, {}), panel=stage_of())

    def test_a_stage_of_other_bars_and_none_without_funding(self):
        with pytest.raises(DataError, match="stage must hold"):
            sweep(scored(), around(scored(), 2), panel=SimulationPanel.of([market(7, bars=100)], terms=ASSUMED))
        with pytest.raises(NoDataError, match="--mark last"):
            sweep(scored(), around(scored(), 2))

    @pytest.mark.parametrize("fills", ["vectorbt", "ideal"])
    def test_fills_of_another_engine(self, fills):
        with pytest.raises(ConfigError, match=f"by the contract alone, was asked for '{fills}'.*--crosscheck"):
            workflows.sweep(scored(), around(scored(), 2), fills=fills)

    def test_a_market_of_one_known_bar(self):
        scores = with_confluence(bars((10, 11, 9, 10)), [50.0])
        with pytest.raises(NoDataError, match="at least two known bars"):
            sweep(
                scores,
                Configurations.of(PRISM, SignalSettings(), {}),
                panel=SimulationPanel.of([scores.frame], terms=ASSUMED),
            )
