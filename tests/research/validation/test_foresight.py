"""Foresight and plausibility: lies that the verdict used to ship, and the honest that must not be accused."""

from dataclasses import replace

import numpy as np
import pytest

from tests.research import private_parts
from tests.research import strategies as made_by
from tests.research.scenes import PRISM, market, scored, unscored
from virtuoso.account.risk import Limits
from virtuoso.errors import ConfigError
from virtuoso.prism.engine.score import score
from virtuoso.prism.face import Face
from virtuoso.prism.faces import orderbook
from virtuoso.prism.laws.fresh_process import SHIFT_S, in_fresh_process
from virtuoso.prism.prism import Prism
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.engine import Account, run
from virtuoso.research.backtest.judgement import honesty_facts as judged_run
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel
from virtuoso.research.backtest.round_trips import STILL_OPEN, lives
from virtuoso.research.validation import foresight
from virtuoso.research.validation.plausibility import fill_depths, oddities
from virtuoso.research.validation.robustness import RunReturns, robustness
from virtuoso.research.validation.stress import daily_returns
from virtuoso.research.validation.verdict import Decision, Stressed, reach_verdict
from virtuoso.signals.settings import SignalSettings
from virtuoso.signals.strategy import intents

LIMITS = Limits(base_size=0.02, least_scale=1.0, max_leverage=2.9, max_drawdown=0.99, correlation=2.0)
ACCOUNT = Account(limits=LIMITS)
TERMS = FundingTerms(assume=0.0, mark_is_last=True)
ASKED: list[int] = []
"""How many markets a strategy was given at each call; of the module, since what it closes over is copied."""
NEW = {"foresight", "plausible"}


def judged(frames, strategy, account=ACCOUNT, slippage=0.0002, found=None, explained=""):
    panel = SimulationPanel.of(list(frames.values()), slippage=slippage, terms=TERMS)
    orders = strategy(frames)
    done = run(panel, orders, account)
    closed = int((lives(done)["reason"] != STILL_OPEN).sum())
    box = robustness(RunReturns(daily_returns(done), closed))
    return reach_verdict(box, Stressed.of(panel, orders, account, None, found, explained))


def check(strategy, frames, **how):
    return foresight.check(frames, strategy, fresh=False, **how)


class TestTheLiesOfTheVerdict:
    """Each passes every other gate."""

    @pytest.mark.parametrize(
        ("strategy", "world"),
        [
            (made_by.once_in_48_alone, {}),
            (made_by.best_of_tomorrow, {"count": 3}),
            (made_by.through_another, {"count": 2, "common": 0.8}),
        ],
    )
    def test_is_found_out_and_discarded(self, strategy, world):
        frames = made_by.market(**world)
        found = check(strategy, frames)
        assert (found.holds, found.damning) == (False, True), found.detail
        verdict = judged(frames, strategy, found=found)
        assert {gate.name for gate in verdict.gates if gate.needed and not gate.passed} <= NEW
        assert verdict.decision is Decision.DISCARD
        assert "know of later bars" in verdict.reasons[0]

    def test_limits_at_the_coming_low(self):
        frames = made_by.market()
        found = check(made_by.at_the_coming_low, frames)
        assert (found.holds, found.damning) == (False, True), found.detail
        verdict = judged(frames, made_by.at_the_coming_low, found=found)
        assert verdict.decision is Decision.DISCARD
        (plausible,) = (gate for gate in verdict.gates if gate.name == "plausible")
        assert "limits and targets were filled at the best price of their bar" in plausible.reason

    def test_no_costs_are_not_plausible(self):
        frames = made_by.market(bounce=0.002)
        free = replace(ACCOUNT, maker=0.0, taker=0.0)
        kind = foresight.Foresight(True, "orders know the past alone")
        verdict = judged(frames, made_by.fading, free, 0.0, kind)
        assert {gate.name for gate in verdict.gates if gate.needed and not gate.passed} == {"plausible"}
        assert verdict.decision is Decision.ITERATE
        assert "took 0.000 basis points" in verdict.reasons[0]

    def test_what_is_explained_is_told(self):
        frames = made_by.market(bounce=0.002)
        free = replace(ACCOUNT, maker=0.0, taker=0.0)
        kind = foresight.Foresight(True, "orders know the past alone")
        verdict = judged(frames, made_by.fading, free, 0.0, kind, "a venue without fees")
        assert verdict.decision is Decision.SHIP
        assert any(reason.endswith("(explained: a venue without fees)") for reason in verdict.reasons)

    def test_an_explanation_is_none_of_foresight(self):
        frames = made_by.market()
        found = check(made_by.once_in_48_alone, frames)
        assert judged(frames, made_by.once_in_48_alone, found=found, explained="I am good").decision is Decision.DISCARD

    def test_what_was_not_tested_is_not_shipped(self):
        verdict = judged(made_by.market(), made_by.once_in_48_alone)
        assert verdict.decision is Decision.ITERATE
        assert any("was not tested" in reason for reason in verdict.reasons)


class TestForesight:
    """Every way in which orders can know of later bars."""

    @pytest.mark.parametrize(
        "strategy",
        [
            made_by.once_in_48,
            made_by.stops_beyond_the_coming_low,
            made_by.targets_at_the_coming_high,
            made_by.sized_by_the_outcome,
            made_by.expiring_by_the_outcome,
            made_by.left_out_if_it_loses,
            made_by.only_before_large_moves,
            made_by.at_the_best_hour,
            made_by.scaled_by_all_of_it,
            made_by.fitted_to_all_of_it,
            made_by.told_by_the_last_close,
            made_by.told_by_the_length,
            made_by.dated_ahead,
            made_by.after_the_largest_moves,
            made_by.before_the_best_moves,
            made_by.written_into_the_bars,
        ],
    )
    def test_is_found_out(self, strategy):
        found = check(strategy, made_by.market(1_400))
        assert (found.holds, found.damning) == (False, True), found.detail

    def test_orders_a_day_apart(self):
        found = check(made_by.a_day_apart, made_by.market(288 * 60, timeframe="5m"))
        assert found.holds is False
        assert "59 orders of 59" in found.detail

    @pytest.mark.parametrize("strategy", [made_by.through_another, made_by.through_another_backwards])
    def test_through_another_symbol_it_is_told_which(self, strategy):
        found = check(made_by.through_another, made_by.market(1_000, 2, common=0.8))
        assert "know of later bars" in found.detail
        assert "AAAUSDT" in found.detail

    @pytest.mark.parametrize("strategy", [made_by.left_out_if_it_loses, made_by.only_before_large_moves])
    def test_another_future_finds_who_keeps_what_it_cannot_know(self, strategy):
        frames = made_by.market(1_400)
        orders = strategy(frames)
        places = [place for place in foresight.chosen(frames, orders) if place.ordered]
        wrong = foresight._with_other_futures(frames, strategy, orders, places)
        assert len(wrong) > len(places) // 4

    def test_those_that_it_favours_are_looked_at(self):
        frames = made_by.market(4_000)
        (frame,) = frames.values()
        made = made_by.fading(frames)
        seen = {place.moment // 3_600_000 - 1 for place in foresight.chosen(frames, made)}
        (rows,) = made.values()
        at = rows["number"][:-1] - frame.base.first
        gained = rows["side"][:-1] * (made_by.closes(frame)[at + 1] / made_by.closes(frame)[at] - 1.0)
        best = rows["number"][:-1][np.argsort(-gained)[: foresight.POINTED]]
        assert seen >= set(best.tolist())

    def test_clocks_of_their_own(self):
        (fast,) = made_by.market(1_000).values()
        _, slow = made_by.market(100, 2, timeframe="12h").values()
        frames = {fast.instrument: fast, slow.instrument: slow}
        assert check(made_by.through_another_clock, frames).holds is False
        found = check(made_by.of_another_clock, frames)
        assert found.untold, found.detail

    def test_a_leak_as_rare_as_it_says_is_found(self):
        """Of worlds in which one order in 48 leaks at least 95 % are found: 36 of 40, three standard errors below."""
        frames = made_by.market(1_600)
        (name,) = frames
        caught = 0
        for seed in range(40):
            leaks = np.random.default_rng(seed).random(1_600) < 1.0 / 48

            def strategy(frames, leaks=leaks):
                frame = frames[name]
                close, at = made_by.closes(frame), np.arange(10, len(frame.base))
                ahead = np.where(made_by.later(close, 1)[at] >= close[at], 1, -1)
                return {name: made_by.orders(frame, at, np.where(leaks[at], ahead, made_by.momentum_side(frame, at)))}

            orders = strategy(frames)
            places = foresight.chosen(frames, orders)
            caught += any(leaks[place.moment // 3_600_000 - 1 - frames[name].base.first] for place in places)
        assert caught >= 36

    def test_a_single_leak_is_found_where_every_order_is_cut_at(self):
        def once(frames):
            (frame,) = frames.values()
            close, at = made_by.closes(frame), np.arange(10, len(frame.base))
            side = made_by.momentum_side(frame, at)
            side[300:301] = np.where(made_by.later(close, 1)[at[300:301]] > close[at[300:301]], 1, -1)
            return {frame.instrument: made_by.orders(frame, at, side)}

        frames = made_by.market(600)
        assert check(once, frames, count=1_000_000).holds is False

    def test_the_rarest_leak(self):
        assert foresight.rarest(160, 5_000) == pytest.approx(53.9, abs=0.1)
        assert foresight.rarest(59, 59) == float("inf")
        assert (1.0 - 1.0 / foresight.rarest(20, 100)) ** 20 == pytest.approx(0.05)


class TestAnotherProcess:
    """What is kept from call to call, the clock and the hash seed."""

    def test_what_remembers_the_future_is_found_out(self):
        frames = made_by.market(600)
        found = foresight.check(frames, made_by.remembering, count=20)
        assert (found.holds, found.damning) == (False, True), found.detail

    @pytest.mark.parametrize("strategy", [made_by.Remembering(), made_by.remembering_inside()])
    def test_what_an_object_or_a_closure_remembers_is_found_out_in_this_process(self, strategy):
        frames = made_by.market(600)
        found = check(strategy, frames, count=20)
        assert (found.holds, found.damning) == (False, True), found.detail
        given = made_by.Function(strategy)
        result = backtest([unscored(f) for f in frames.values()], ACCOUNT, funding_terms=TERMS, strategy=given)
        again = check(result.strategy.orders, frames, orders=result.intents_of, count=20)
        assert (again.holds, again.damning) == (False, True), again.detail

    def test_what_an_object_or_a_closure_counts_is_no_offence(self):
        found = check(made_by.counting(), made_by.market(600), count=20)
        assert found.untold, found.detail

    @pytest.mark.parametrize("strategy", [made_by.by_the_clock, made_by.frozen_by_the_first])
    def test_what_depends_on_the_process_is_not_shipped(self, strategy):
        found = foresight.check(made_by.market(600), strategy, count=10)
        assert (found.holds, found.damning) == (False, False), found.detail
        assert "clock or the process" in found.detail

    def test_it_is_another_day_and_hour_with_another_hash_seed_there(self):
        here = made_by.surroundings()
        there, obstacle = in_fresh_process(made_by.surroundings)
        assert obstacle == ""
        assert there["day"] - here["day"] in (SHIFT_S // 86_400, SHIFT_S // 86_400 + 1)
        assert there["date"] - here["date"] == there["dated"] - here["dated"] > 99
        assert there["hour"] != here["hour"]
        assert there["hash"] != here["hash"]

    def test_lots_are_not_testable(self):
        found = foresight.check(made_by.market(600), made_by.by_lot)
        assert found.holds is None
        assert "asked once more on the same bars" in found.detail

    def test_an_honest_one_is_clean_there(self):
        found = foresight.check(made_by.market(600), made_by.crossing, count=20)
        assert found.holds is True, found.detail

    def test_what_no_other_process_can_import_is_not_known(self):
        found = foresight.check(made_by.market(600), lambda frames: made_by.crossing(frames), count=10)
        assert (found.holds, found.untold) == (None, True)
        assert "write it into a module of its own" in found.detail


class TestTheHonest:
    """None of them is accused."""

    @pytest.mark.parametrize(
        ("strategy", "count"),
        [
            (made_by.crossing, 1),
            (made_by.holding, 1),
            (made_by.long_only, 1),
            (made_by.expanding, 1),
            (made_by.convolved, 1),
            (made_by.with_pandas, 1),
            (made_by.by_the_session, 2),
            (made_by.strongest_of_yesterday, 3),
            (made_by.fading, 1),
        ],
    )
    def test_is_clean(self, strategy, count):
        found = check(strategy, made_by.market(1_000, count), count=80)
        assert found.holds or found.untold, found.detail

    def test_what_was_listed_later_is_not_there_before(self):
        frames = made_by.market(1_000, 2)
        late = sorted(frames)[1]
        base = frames[late].base.since(frames[late].base.first + 600)
        frames[late] = replace(frames[late], base=replace(base, complete=True))
        found = check(made_by.holding, frames)
        assert found.untold, found.detail
        ASKED.clear()
        check(lambda given: ASKED.append(len(given)) or made_by.long_only(given), frames, count=20)
        assert set(ASKED) == {1, 2}

    def test_a_strategy_that_refuses_some_made_up_markets_is_clean(self):
        def careful(frames):
            for frame in frames.values():
                if np.abs(np.diff(np.log(made_by.closes(frame)))).max(initial=0.0) > 0.04:
                    raise ValueError("no market moves so far in an hour")
            return made_by.crossing(frames)

        found = check(careful, made_by.market(1_000))
        assert found.untold, found.detail

    def test_a_strategy_that_needs_more_bars_than_there_are_is_not_testable(self):
        def needy(frames):
            (frame,) = frames.values()
            if len(frame.base) < 1_000:
                raise ValueError("too few bars")
            return made_by.crossing(frames)

        found = check(needy, made_by.market(1_000))
        assert found.holds is None
        assert "cannot decide (ValueError: too few bars)" in found.detail


def private(component):
    """A prism of one private component, and what the rule orders by it."""
    prism = Prism(
        (Face("technical", "Technical", {component: 1.0}), orderbook.FACE), {"technical": 0.6, "orderbook": 0.4},
        {"1m": 1.0},
    )  # fmt: skip
    frame, settings = market(7, bars=3_000), SignalSettings()
    return prism, settings, {frame.instrument: frame}, {frame.instrument: intents(score(prism, frame), settings)}


class TestTheStandardRule:
    """Orders of prism and rule, asked at single closes."""

    def test_what_ships_is_clean(self):
        frame, prism, settings = market(7, bars=4_000), Prism.classic(), SignalSettings(bull_enter=60, bear_enter=40)
        orders = {frame.instrument: intents(score(prism, frame), settings)}
        found = foresight.check_rule(prism, settings, {frame.instrument: frame}, orders)
        assert found.holds is True, found.detail
        assert found.detail.endswith("all components ship with Virtuoso")
        assert found.cuts >= 12

    @pytest.mark.parametrize("name", ["side", "stop", "reliability", "expires", "price"])
    def test_orders_that_do_not_follow_from_the_prism_are_found_out(self, name):
        frame, settings = market(7, bars=3_000), SignalSettings()
        made = intents(scored(frame), settings)
        made[name] = made[name] + 1
        found = foresight.check_rule(PRISM, settings, {frame.instrument: frame}, {frame.instrument: made})
        assert found.holds is False
        assert "with what follows cut off" in found.detail

    def test_a_window_and_a_history_longer_than_is_kept(self, monkeypatch):
        monkeypatch.setattr(foresight, "REACH", 64)
        frame, settings = market(7, bars=4_000), SignalSettings()
        frame = frame.within((frame.base.first + 2_000) * 60_000, None)
        made = intents(scored(frame), settings)
        found = foresight.check_rule(PRISM, settings, {frame.instrument: frame}, {frame.instrument: made})
        assert found.holds is True, found.detail

    def test_a_private_component_that_peeks_at_one_bar_in_48(self):
        found = foresight.check_rule(*private(private_parts.Peeking()))
        assert (found.holds, found.damning) == (False, True), found.detail
        assert "a private component says otherwise of BTCUSDT" in found.detail

    def test_a_private_component_that_remembers(self):
        found = foresight.check_rule(*private(private_parts.Remembering()))
        assert (found.holds, found.damning) == (False, True), found.detail

    def test_orders_that_do_not_follow_from_private_components_are_found_out(self):
        class Typed(private_parts.Drift):
            """One that no other process can import."""

            def value(self, close):
                return private_parts.drift(close)

        prism, settings, frames, orders = private(Typed())
        assert foresight.check_rule(prism, settings, frames, orders).untold
        (made,) = orders.values()
        made["stop"] *= 0.999
        assert foresight.check_rule(prism, settings, frames, orders).holds is False

    def test_a_private_component_that_refuses_some_made_up_markets(self):
        class Careful(private_parts.Drift):
            """One that insists on calm prices, and cannot be imported."""

            def value(self, close):
                if np.abs(private_parts.drift(close)).max() > 0.02:
                    raise ValueError("no market moves so far")
                return private_parts.drift(close)

        found = foresight.check_rule(*private(Careful()))
        assert found.untold, found.detail

    def test_a_private_component_that_knows_the_past_alone(self):
        found = foresight.check_rule(*private(private_parts.Drift()))
        assert found.holds is True, found.detail

    @pytest.mark.real_data
    def test_what_ships_is_clean_on_real_bars(self, real_data):
        from tests.research.crosscheck.test_simulate import recorded

        frame = recorded(real_data / "ohlcv" / "binance_um_5m_6sym_20250704_20251031.parquet")
        prism, settings = Prism.classic(), SignalSettings()
        orders = {frame.instrument: intents(score(prism, frame), settings)}
        found = foresight.check_rule(prism, settings, {frame.instrument: frame}, orders)
        assert found.holds is True, found.detail


class TestARunIsJudged:
    """What `judged` writes beside a run has both answers."""

    def gates(self, strategy=None, **how):
        frames = made_by.market(1_000)
        given = {"strategy": made_by.Function(strategy)} if strategy else {"intents_of": made_by.by_the_session(frames)}
        result = backtest([unscored(frame) for frame in frames.values()], ACCOUNT, funding_terms=TERMS, **given, **how)
        told = judged_run(result)
        return result, {gate["name"]: gate for gate in told["gates"]}, told["decision"]

    def test_intents_that_were_handed_in_were_not_tested(self):
        _, gates, decision = self.gates()
        assert gates["foresight"]["passed"] is None
        assert decision != "ship"

    def test_a_function_that_decides_is_asked(self):
        _, gates, decision = self.gates(made_by.targets_at_the_coming_high)
        assert gates["foresight"]["passed"] is False
        assert decision == "discard"

    def test_an_explanation_is_kept_with_the_run(self):
        free = replace(ACCOUNT, maker=0.0, taker=0.0)
        frames = made_by.market(1_000)
        given = {"intents_of": made_by.by_the_session(frames), "funding_terms": TERMS, "slippage": 0.0}
        result = backtest([unscored(f) for f in frames.values()], free, **given, explained=" a venue without fees ")
        gates = {gate["name"]: gate for gate in judged_run(result)["gates"]}
        assert gates["plausible"]["passed"] is True
        assert "explained: a venue without fees" in gates["plausible"]["reason"]
        assert result.configuration()["explained"] == "a venue without fees"
        bare = backtest([unscored(f) for f in frames.values()], free, **given)
        assert "explained" not in bare.configuration()

    def test_both_ways_of_handing_in_are_one_too_many(self):
        with pytest.raises(ConfigError, match="either a strategy or intents_of"):
            self.gates(made_by.crossing, intents_of={})


class TestPlausible:
    """What no market pays, and what any does."""

    def ran(self, strategy, account=ACCOUNT, slippage=0.0002, **world):
        frames = made_by.market(**world)
        return run(SimulationPanel.of(list(frames.values()), slippage=slippage, terms=TERMS), strategy(frames), account)

    @pytest.mark.parametrize("seed", range(3))
    def test_limits_that_know_nothing_are_filled_anywhere(self, seed):
        done = self.ran(made_by.limits_that_know_nothing, seed=seed)
        depth = fill_depths(done)
        assert len(depth) > 300
        assert (depth <= 0.05).mean() < 0.25
        assert oddities(done) == ()

    def test_targets_at_the_coming_high_are_filled_at_the_best_price(self):
        assert "limits and targets" in " ".join(oddities(self.ran(made_by.targets_at_the_coming_high)))

    def test_nothing_but_winners(self):
        assert any("trades were won" in words for words in oddities(self.ran(made_by.once_in_48_winners)))

    @pytest.mark.parametrize(("fee", "slippage"), [(0.0, 0.0), (1e-7, 0.0), (0.0, 1e-6)])
    def test_hardly_any_costs(self, fee, slippage):
        done = self.ran(made_by.crossing, replace(ACCOUNT, maker=fee, taker=fee), slippage)
        assert "basis points of what was traded" in oddities(done)[0]

    def test_slippage_alone_is_a_cost(self):
        assert oddities(self.ran(made_by.crossing, replace(ACCOUNT, maker=0.0, taker=0.0))) == ()

    def test_bars_of_a_few_ticks_say_nothing(self):
        frames = made_by.market(step=0.0002)
        (name,) = frames
        base = frames[name].base
        coarse = {key: np.round(values, 2) if key != "volume" else values for key, values in base.columns.items()}
        frames = {name: replace(frames[name], base=replace(base, columns=coarse))}
        done = run(
            SimulationPanel.of(list(frames.values()), terms=TERMS), made_by.limits_that_know_nothing(frames), ACCOUNT
        )
        assert not any("limits" in words for words in oddities(done))

    def test_a_ratio_above_six_wants_a_reason(self):
        box = robustness(RunReturns(0.01 * (np.random.default_rng(1).standard_normal(400) + 0.4), 300))
        assert box.sharpe > 6.0
        (gate,) = (gate for gate in reach_verdict(box).gates if gate.name == "plausible")
        assert gate.passed is False
        assert "a Sharpe ratio of" in gate.reason
