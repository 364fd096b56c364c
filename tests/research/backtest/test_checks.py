"""Canaries: what must always hold of a backtest, and that each of them can die."""

from dataclasses import replace

import numpy as np
import pytest

from tests.research.scenes import bars, intents, random_intents, walk
from virtuoso.account import state as s
from virtuoso.account.instrument import Instrument
from virtuoso.account.records import INTENT
from virtuoso.account.risk import Rules
from virtuoso.errors import LawBrokenError
from virtuoso.research.backtest import checks
from virtuoso.research.backtest.engine import Account, run
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel

TERMS = FundingTerms(assume=0.0003, mark_is_last=True)
NAMES = ("AAAUSDT", "BBBUSDT", "CCCUSDT")


def frames(n=1_500, count=2, venue="simulated", step=0.002):
    return [replace(walk(k + 1, n, step=step), instrument=Instrument(venue, NAMES[k])) for k in range(count)]


def panel(*given, **how):
    return SimulationPanel.of(given or frames(**how), terms=TERMS)


def strategy(on, seed=5):
    """Random intents with stops and targets, of distinct reliability."""
    random = np.random.default_rng(seed)
    made = dict(checks.random_intents(on, random, 60))
    for one in made.values():
        one["stop"] = one["price"] * (1.0 - 0.02 * one["side"])
        one["target"][:, 0], one["size"][:, 0] = one["price"] * (1.0 + 0.03 * one["side"]), 1.0
        one["reliability"] = random.random(len(one))
    return made


def breakout(frame) -> np.ndarray:
    """Go with closes beyond those of the last ten bars: knows the past alone."""
    close = frame.base.columns["close"]
    before = np.lib.stride_tricks.sliding_window_view(close, 11)
    side = np.where(close[10:] >= before.max(axis=1), 1, np.where(close[10:] <= before.min(axis=1), -1, 0))
    return intents(frame, *[(bar + 10, int(s)) for bar, s in enumerate(side) if s])


def prophecy(frame) -> np.ndarray:
    """Go where the next bar goes."""
    close = frame.base.columns["close"]
    made = breakout(frame)
    at = made["number"] - frame.base.first
    following = close[np.minimum(at + 1, len(close) - 1)]
    made["side"] = np.where(following > close[at], 1, -1)
    return made


class TestAllOfThem:
    """The engine as it is keeps every canary alive."""

    @pytest.mark.parametrize("count", [1, 3])
    def test_on_perpetuals(self, count):
        on = panel(count=count)
        found = checks.examine(on, strategy(on), Account())
        assert {canary.name for canary in found} >= {"idle", "luckless", "held", "fees", "inverted"}
        assert ("renamed" in {canary.name for canary in found}) == (count > 1)
        for canary in found:
            canary.insist()

    def test_on_spot(self):
        on = panel(venue="binance-spot")
        found = checks.examine(on, strategy(on), Account())
        assert {canary.name for canary in found} == {"idle", "held", "fees", "renamed"}
        for canary in found:
            canary.insist()

    def test_a_dead_one_raises(self):
        with pytest.raises(LawBrokenError, match="fees BROKEN: dearer"):
            checks.SanityCheck("fees", False, "dearer").insist()


class TestForesight:
    """Perfect foresight is flagged; knowing the past is not."""

    def test_an_honest_strategy_is_clean(self):
        assert checks.foresight(walk(1, 800), breakout).holds

    def test_a_prophet_is_flagged_on_every_cut(self):
        found = checks.foresight(walk(1, 800), prophecy)
        assert not found.holds
        assert "know of later bars" in found.detail

    def test_it_earns_what_nobody_earns(self):
        frame = walk(1, 800)
        gained = run(panel(frame), {frame.instrument: _with_stops(prophecy(frame))}, Account(maker=0.0, taker=0.0))
        past = run(panel(frame), {frame.instrument: _with_stops(breakout(frame))}, Account(maker=0.0, taker=0.0))
        assert gained.equity[-1] > past.equity[-1]

    def test_a_scale_over_the_whole_history_is_flagged(self):
        def standardised(frame):
            close = frame.base.columns["close"]
            made = breakout(frame)
            made["score"] = (close[made["number"] - frame.base.first] - close.mean()) / close.std()
            return made

        assert not checks.foresight(walk(1, 800), standardised).holds

    def test_a_closure_of_one_frame_that_remembers_is_flagged(self):
        seen = []

        def remembering(frame):
            seen.append(frame.base.columns["close"].copy())
            close, n = seen[0], min(len(frame.base), len(seen[0]))
            at = np.arange(10, n - 1, 7)
            return intents(frame, *[(int(k), 1 if close[min(k + 1, n - 1)] > close[k] else -1) for k in at])

        assert not checks.foresight(walk(1, 800), remembering).holds

    def test_many_frames_on_a_mapping(self):
        def both(given):
            return {name: breakout(frame) for name, frame in given.items()}

        assert checks.foresight(frames(n=600), both, count=30).holds
        assert checks.foresight({f.instrument: f for f in frames(n=600)}, both, count=30).holds

    def test_cuts_of_ones_own(self):
        frame = walk(1, 800)
        assert not checks.foresight(frame, prophecy, [int(prophecy(frame)["number"][40]) + 1]).holds
        assert checks.foresight(frame, breakout, [frame.start + 400]).holds

    def test_a_strategy_that_orders_nothing_proves_nothing(self):
        found = checks.foresight(walk(1, 800), lambda frame: np.empty(0, INTENT))
        assert not found.holds
        assert "proves nothing" in found.detail


def _with_stops(made):
    made["stop"] = made["price"] * (1.0 - 0.05 * made["side"])
    return made


class TestIdle:
    """Zero trades are not testable."""

    def test_keeps_its_cash(self):
        found = checks.idle(panel(), Account())
        assert found.holds
        assert "not testable: no trade was closed" in found.detail


class TestLuckless:
    """Random signals lose exactly their costs."""

    def test_over_200_seeds(self):
        assert checks.luckless(panel(n=800), Account()).holds

    def test_costs_are_all_that_is_lost(self):
        on = panel(n=800)
        nets, paid = [], []
        for seed in range(100):
            done = run(on, checks.random_intents(on, np.random.default_rng(seed)), checks._small(Account()))
            nets.append(done.equity[-1] - 10_000.0)
            paid.append(checks.price_gain(done) - nets[-1])
        rest = np.array(nets) + np.array(paid)
        assert min(paid) > 0.0
        assert abs(rest.mean()) < 3.0 * rest.std(ddof=1) / np.sqrt(len(rest))

    def test_fills_better_than_the_market_are_found_out(self):
        on = panel(n=800, count=1)
        kind = on.bars.copy()
        kind[:, :, s.SLIPPAGE] = -0.01
        assert not checks.luckless(replace(on, bars=kind), Account()).holds


class TestHeld:
    """Buying and holding is arithmetic."""

    def test_through_funding_and_a_gap(self):
        frame = bars(
            *[(100.0 + k % 7, 108.0, 99.0, 100.0 + k % 5) for k in range(60)], missing=(20, 21), timeframe="4h"
        )
        found = checks.held(panel(frame), Account())
        assert found.holds
        assert "1 held" in found.detail

    @pytest.mark.parametrize("rate", [-0.001, 0.001])
    def test_what_is_entered_at_a_settlement_pays_and_never_receives(self, rate):
        frame = bars(*[(100.0, 101.0, 99.0, 100.0)] * 40, missing=range(7), timeframe="1h")
        settled = SimulationPanel.of([frame], terms=FundingTerms(assume=rate, mark_is_last=True))
        assert settled.bars[1, 0, s.FUNDING_OPEN] == pytest.approx(100.0 * rate)
        assert checks.held(settled, Account()).holds

    def test_a_stage_of_two_bars_holds_nothing(self):
        assert not checks.held(panel(bars(*[(100.0, 101.0, 99.0, 100.0)] * 2)), Account()).holds


class TestInverted:
    """The opposite of every intent gains what it lost, before costs."""

    def test_negated(self):
        on = panel()
        found = checks.inverted(on, strategy(on), Account())
        assert found.holds
        assert int(found.detail.split()[0]) > 50

    def test_a_strategy_without_positions_proves_nothing(self):
        assert not checks.inverted(panel(), {}, Account()).holds


class TestFees:
    """Doubling fees never raises the profit."""

    @pytest.mark.parametrize("seed", range(5))
    def test_of_winners_and_losers(self, seed):
        on = panel(n=800)
        assert checks.fees(on, strategy(on, seed), Account()).holds

    def test_a_rebate_is_found_out(self):
        on = panel(n=800)
        assert not checks.fees(on, strategy(on), Account(maker=-0.0002, taker=-0.0005)).holds


class TestPermuted:
    """An edge lies in the times; at each other's times the same intents earn nothing."""

    def test_permuted_times_destroy_the_edge(self):
        frame = frames(count=1, n=800)[0]
        gained, drawn = checks.permuted(panel(frame), {frame.instrument: prophecy(frame)}, Account(), draws=100)
        assert gained > drawn.max()
        assert abs(drawn.mean()) < 0.05 * gained

    def test_chance_has_no_edge_to_destroy(self):
        frame = frames(count=1, n=800)[0]
        made = random_intents(frame, 3, 100, levels=False)
        gained, drawn = checks.permuted(panel(frame), {frame.instrument: made}, Account(), draws=100)
        assert drawn.min() < gained < drawn.max()


class TestRenamed:
    """Names decide nothing but ties."""

    def test_three_instruments_with_rules_of_their_own(self):
        on = panel(count=3)
        account = Account(rules={on.instruments[0]: Rules(0.5, 0.5, 5.0), on.instruments[2]: Rules(0.1, 0.1, 5.0)})
        made = strategy(on)
        assert checks.renamed(on, made, account).holds
        assert not np.array_equal(run(on, made, account).equity, run(on, made, Account()).equity)

    def test_a_tie_in_reliability_goes_by_name_and_is_seen(self):
        on = panel(count=3)
        made = strategy(on)
        numbers = made[on.instruments[0]]["number"]
        for i, name in enumerate(on.instruments):
            made[name]["number"], made[name]["reliability"] = numbers, 0.5
            made[name]["price"] = on.bars[numbers - on.first, i, s.CLOSE]
            made[name]["stop"] = made[name]["price"] * (1.0 - 0.02 * made[name]["side"])
        crowded = Account(limits=Account().limits._replace(max_positions=1))
        assert not checks.renamed(on, made, crowded).holds
