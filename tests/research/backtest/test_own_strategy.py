"""A strategy of one's own: the same backtest, account, ledger and check for look-ahead as the shipped one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.research.scenes import market, scored, unscored
from tests.research.strategies import Breakout
from tests.research.strategies import market as hourly
from virtuoso import workflows
from virtuoso.account.records import INTENT
from virtuoso.account.risk import Limits
from virtuoso.prism.engine.score import score
from virtuoso.prism.prism import Prism
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.judgement import honesty_facts, trial_of
from virtuoso.research.backtest.panel import FundingTerms
from virtuoso.research.tracking.experiments import FOLDER, TrialLedger
from virtuoso.research.validation import foresight
from virtuoso.signals.settings import SignalSettings
from virtuoso.signals.strategy import Decider, RuleStrategy

ACCOUNT = Account(limits=Limits(max_drawdown=0.99))
TERMS = FundingTerms(0.0001, mark_is_last=True)
RULE = SignalSettings(min_coverage=0.1, bull_enter=60.0, bear_enter=40.0)


@pytest.fixture(scope="module")
def frames():
    return hourly(1_500, count=2)


@pytest.fixture(scope="module")
def scores(frames):
    return [unscored(frame) for frame in frames.values()]


def traded(scores, strategy: Decider | None, **how):
    return backtest(scores, ACCOUNT, strategy=strategy, funding_terms=TERMS, **how)


class TestTheShippedOne:
    """Rule and levels are one strategy among others."""

    @pytest.fixture(scope="class")
    @classmethod
    def known(cls):
        return [scored(market(7, bars=3_000)), scored(market(8, bars=3_000, symbol="ETHUSDT"))]

    def test_scores_frames_to_the_bytes_of_the_scores_at_hand(self, known):
        at_hand, alone = RuleStrategy.of(known, RULE), RuleStrategy(known[0].prism, RULE)
        results = [traded(known, strategy) for strategy in (at_hand, alone)]
        assert len(results[0].run.events) > 50
        assert results[0].run.events.tobytes() == results[1].run.events.tobytes()
        assert results[0].rule == results[1].rule == RULE

    def test_scores_at_hand_stand_for_their_very_frame_alone(self, known):
        (one, _), strategy = known, RuleStrategy.of(known, RULE)
        ms, name = one.frame.timeframe.ms, one.frame.instrument
        cut = one.frame.within(one.start * ms, (one.start + 2_000) * ms)
        short, whole = strategy.orders({name: cut})[name], strategy.orders({name: one.frame})[name]
        assert 0 < len(short) < len(whole)
        assert short.tobytes() == whole[: len(short)].tobytes()

    def test_is_what_decides_where_nothing_is_handed_in(self, known):
        result = traded(known, None)
        assert isinstance(result.strategy, RuleStrategy)
        assert result.rule == SignalSettings()
        assert result.run.events.tobytes() == traded(known, RuleStrategy.of(known)).run.events.tobytes()


class TestATinyOne:
    """A breakout of closes, in twenty lines of a test."""

    def test_is_traded_by_the_same_account(self, frames, scores):
        result, handed_in = traded(scores, Breakout()), traded(scores, None, intents_of=Breakout().orders(frames))
        assert result.run.events.tobytes() == handed_in.run.events.tobytes()
        events = result.run.events
        paid = events["realised"].sum() + events["funding"].sum() - events["fee"].sum()
        assert events["wallet"][-1] == pytest.approx(ACCOUNT.cash + paid, rel=1e-12)
        assert len(result.trades) > 20
        assert (result.rule, result.faces_alone) == (None, {})

    def test_decides_on_every_frame_in_the_bars_of_its_instrument(self, frames):
        made = Breakout().orders(frames)
        assert set(made) == set(frames)
        for name, rows in made.items():
            assert rows.dtype == INTENT
            assert (np.diff(rows["number"]) > 0).all()
            assert frames[name].start <= rows["number"][0] <= rows["number"][-1] < frames[name].stop

    def test_every_parameter_is_a_try_of_its_own(self, scores):
        once, again, other = (trial_of(traded(scores, Breakout(bars))) for bars in (12, 12, 24))
        assert once == again
        assert once.config != other.config

    def test_is_counted_in_the_ledger_of_the_shipped_one(self, frames, working_folder):
        (working_folder / "virtuoso.toml").touch()
        one = score(Prism.classic(), next(iter(frames.values())))
        how = {"assume_funding": 0.0001, "mark": "last", "data": "data"}
        for tries, strategy in enumerate((None, Breakout(12), Breakout(24)), start=1):
            result = workflows.backtest(one, strategy=strategy, **how)
            assert result.recording.recorded
            assert result.recording.tried.configurations == tries
        assert sum(trial.configurations for trial in TrialLedger(working_folder / FOLDER).trials()) == 3


class TestForesight:
    """Whether it knows of later bars is tested in a fresh process, and a run is judged by it."""

    def test_the_honest_one_passes(self, frames, scores):
        found = foresight.check(frames, Breakout().orders, count=20)
        assert found.holds is True, found.detail
        told = {gate["name"]: gate for gate in honesty_facts(traded(scores, Breakout()))["gates"]}
        assert told["foresight"]["passed"] is True

    def test_the_one_that_peeks_is_found_out(self, frames, scores):
        peeking = replace(Breakout(), peeks=1)
        found = foresight.check(frames, peeking.orders, count=20)
        assert (found.holds, found.damning) == (False, True), found.detail
        told = honesty_facts(traded(scores, peeking))
        assert {gate["name"]: gate["passed"] for gate in told["gates"]}["foresight"] is False
        assert told["decision"] == "discard"

    def test_the_shipped_one_is_checked_like_any_other(self):
        one = scored(market(7, bars=2_000))
        decide = RuleStrategy(one.prism, RULE).orders
        found = foresight.check({one.frame.instrument: one.frame}, decide, count=8)
        assert found.holds is True, found.detail
