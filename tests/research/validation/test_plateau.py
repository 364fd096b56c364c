"""The plateau is run with every backtest, and what came out of a search is judged with it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.builders import market
from tests.research.backtest.test_backtest import COSTLY, trade, two
from tests.research.scenes import scored, unscored
from tests.research.strategies import Function, days_that_persist, follow_the_day
from tests.research.test_sweep import ASSUMED, around, stage_of
from tests.research.test_sweep import scored as scored_standard
from virtuoso.account.risk import Limits
from virtuoso.prism.engine.score import score
from virtuoso.prism.prism import Prism
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.judgement import honesty_facts, trial_of
from virtuoso.research.backtest.panel import FundingTerms
from virtuoso.research.sweep.sweep import sweep
from virtuoso.research.tracking.experiments import TrialCount
from virtuoso.research.tracking.recording import RecordedTrial
from virtuoso.research.tracking.searches import search_of
from virtuoso.research.validation import plateau
from virtuoso.research.validation.plateau import LONGER, SHORTER, plateau_of, prism_beside, settings_beside
from virtuoso.research.validation.robustness import NOTHING_CHOSEN
from virtuoso.research.validation.stress import Case, Plateau
from virtuoso.research.validation.verdict import Stressed
from virtuoso.signals.settings import SignalSettings
from virtuoso.signals.strategy import RuleStrategy


@pytest.fixture(scope="module")
def result():
    scores = [scored(market(seed, bars=4_320, symbol=name)) for seed, name in ((7, "BTCUSDT"), (8, "ETHUSDT"))]
    return backtest(scores, COSTLY, funding_terms=FundingTerms(0.0001, True))


class TestNeighbours:
    """One thing a step lower and higher."""

    def test_of_the_settings_change_one_thing_each(self):
        rule = SignalSettings()
        found = dict(settings_beside(rule))
        assert len(found) == 12
        assert found["enter +2"].bull_enter == rule.bull_enter + 2.0
        assert found["enter +2"].bear_enter == rule.bear_enter - 2.0
        assert found["leave -2"].bull_leave == rule.bull_leave - 2.0
        assert found["age x 0.8"].max_age.ms == round(rule.max_age.ms * SHORTER)
        assert found["stops x 1.25"].levels.stop_max == rule.levels.stop_max * LONGER
        assert found["targets x 0.8"].levels.target_r == tuple(r * SHORTER for r in rule.levels.target_r)
        assert found["enter -2"].levels == rule.levels

    def test_what_no_configuration_could_hold_is_left_out(self):
        narrow = SignalSettings(bull_enter=56.0, bull_leave=55.0, bear_leave=45.0, bear_enter=44.0)
        found = dict(settings_beside(narrow))
        assert "enter -2" not in found
        assert "leave +2" not in found
        assert "enter +2" in found

    @pytest.mark.parametrize("factor", [SHORTER, LONGER])
    def test_of_the_prism_stay_within_the_declared_ranges(self, factor):
        given = Prism.classic()
        beside = prism_beside(given, factor)
        assert beside.fingerprint != given.fingerprint
        assert [name for name, _, _ in beside] == [name for name, _, _ in given]
        assert [weight for _, _, weight in beside] == [weight for _, _, weight in given]
        assert beside["technical.rsi"].period == round(given["technical.rsi"].period * factor)


class TestThePlateauIsRun:
    """No verb had made it, so that nothing after a second try could ship."""

    def test_with_thresholds_levels_and_components(self, result):
        found = plateau_of(result)
        names = {case.name for case in found.neighbours}
        assert {"enter +2", "leave -2", "stops x 0.8", "targets x 1.25"} <= names
        assert {"faster components", "slower components"} <= names
        assert found.chosen.net == pytest.approx(result.metrics["total_return"])
        assert len(names) == len(found.neighbours) <= 14

    def test_a_step_that_changes_nothing_is_no_neighbour(self, result):
        assert all(case != replace(result_case(result), name=case.name) for case in plateau_of(result).neighbours)

    def test_of_intents_that_were_handed_in_moves_their_levels(self):
        handed = trade(*two())
        assert {case.name for case in plateau_of(handed).neighbours} == {
            "stops x 0.8", "stops x 1.25", "targets x 0.8", "targets x 1.25",
        }  # fmt: skip

    def test_scoring_anew_is_bounded(self, result, monkeypatch):
        monkeypatch.setattr(plateau, "MOST_SCORED", 10)
        names = {case.name for case in plateau_of(result).neighbours}
        assert "enter +2" in names
        assert "faster components" not in names

    def test_its_figures_lie_in_the_sheet(self, result):
        found = honesty_facts(result)
        assert found["plateau"][0]["name"] == "chosen"
        assert len(found["plateau"]) > 8
        assert [case["name"] for case in found["stress"]] == ["Costs doubled", "One bar late"]

    def test_that_of_no_step_says_so(self):
        lonely = Plateau(Case("chosen", 0.5, 1.0, -0.1, 40), [])
        assert np.isnan(lonely.kept)
        assert Stressed(plateau=lonely).plateau is lonely


def result_case(result):
    return Case.of("chosen", result.run)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    home = tmp_path_factory.mktemp("runs")
    found = sweep(scored_standard(), around(scored_standard(), 12), panel=stage_of(), account=Account())
    found.save(home / "x_sweep_1")
    return found, home


class TestASearchIsJudgedWithItself:
    """The best of a sweep, run in full, is still the best of a sweep."""

    def full(self, swept, row):
        tried = swept[0].configurations
        scores = score(tried.prism(row), scored_standard().frame)
        strategy = RuleStrategy.of([scores], tried.signal_settings(row))
        return backtest([scores], Account(), strategy=strategy, funding_terms=ASSUMED)

    def test_any_of_its_rows_is_recognised(self, swept):
        for row in (0, 7):
            found = search_of(self.full(swept, row), swept[1])
            assert found is not None
            assert np.allclose(found.daily, swept[0].daily_returns, equal_nan=True)
            assert found.trades.tolist() == swept[0].column("trades").tolist()

    def test_what_was_not_in_it_is_not(self, swept, tmp_path):
        given = self.full(swept, 0)
        beside = given.strategy.replace(bull_enter=71.25)
        other = replace(given, strategy=beside)
        assert search_of(other, swept[1]) is None
        assert search_of(given, tmp_path) is None
        assert search_of(replace(given, strategy=None), swept[1]) is None

    def test_other_bars_are_another_search(self, swept):
        told = swept[1] / "x_sweep_1" / "provenance.json"
        before = told.read_bytes()
        told.write_text(json.dumps(json.loads(before) | {"data": "other"}))
        try:
            assert search_of(self.full(swept, 0), swept[1]) is None
            told.write_text("{")
            assert search_of(self.full(swept, 0), swept[1]) is None
        finally:
            told.write_bytes(before)

    def test_the_box_asks_the_questions_of_a_search(self, swept):
        given = self.full(swept, 0)
        with_it = honesty_facts(given, search=search_of(given, swept[1]))
        alone = honesty_facts(given)
        assert not any(row[2] == NOTHING_CHOSEN for row in with_it["rows"])
        assert len(alone["gates"]) <= len(with_it["gates"])


class TestAVerdictThatIsReached:
    """A backtest with an edge is shipped after three tries by what the verbs run; it was "iterate" whatever it did."""

    def judged(self, persistence):
        frames = list(days_that_persist(persistence).values())
        result = backtest(
            [unscored(frame) for frame in frames], Account(limits=Limits(max_drawdown=0.99)),
            strategy=Function(follow_the_day), funding_terms=FundingTerms(0.0, True),
        )  # fmt: skip
        own, noise = trial_of(result), np.random.default_rng(5)
        others = [0.01 * noise.standard_normal(len(result.daily_returns)) for _ in range(2)]
        tried = TrialCount.of([own, *(replace(own, config=str(k)).seen(daily) for k, daily in enumerate(others))])
        return honesty_facts(result, RecordedTrial(own, tried))

    def test_it_is_shipped_and_its_plateau_was_asked(self):
        found = self.judged(0.63)
        assert found["rows"][0][1] == "3"
        assert found["decision"] == "ship"
        assert {"name": "plateau", "passed": True, "needed": True}.items() <= next(
            gate for gate in found["gates"] if gate["name"] == "plateau"
        ).items()

    def test_without_an_edge_it_is_not(self):
        assert self.judged(0.5)["decision"] != "ship"


def test_a_rule_that_asks_for_an_edge_has_other_neighbours():
    """Thresholds and age decide nothing there: a plateau of them would say nothing."""
    rule = SignalSettings(min_edge=3.0, history=300)
    beside = dict(settings_beside(rule))
    assert {"edge x 1.25", "edge x 0.8", "history x 1.25", "history x 0.8"} <= set(beside)
    assert not [name for name in beside if name.startswith(("enter", "leave", "age"))]
    assert "edge x 0.8" not in dict(settings_beside(SignalSettings(min_edge=2.0)))
