"""The gate of promotion: each question refuses what it asks about, and nothing that was not tested passes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.research.promotion.studies import BEGIN, END, GUIDE, KINDS, TABLE, World, made, study, written
from virtuoso.errors import ConfigError
from virtuoso.research.promotion.evidence import EQUAL, HOLD, PAST, UNTUNED, Claim, HoldOut
from virtuoso.research.promotion.gate import OF_BACKTEST, judge, neighbourhood, ships
from virtuoso.research.validation.overfitting import paired_luck
from virtuoso.research.validation.verdict import Decision, Hurdle

CI_STUDIES, CI_MOST = 100, 4


@pytest.fixture(scope="module")
def good():
    """A study with a planted edge that passes everything."""
    return next(one for one in made(World(skill=4.0), 30, 5) if ships(one))


def answer(evidence, name):
    return next(gate for gate in judge(evidence).gates if gate.name == name)


def refused_for(evidence, name):
    """Whether it is refused, and for that question alone."""
    verdict = judge(evidence)
    against = [gate.name for gate in verdict.gates if gate.needed and not gate.passed]
    return verdict.decision is not Decision.SHIP and against == [name]


class TestAStudyThatPasses:
    """A planted edge goes through; everything is asked of it."""

    def test_is_promoted(self, good):
        verdict = judge(good)
        assert verdict.decision is Decision.SHIP, verdict
        assert all(gate.passed for gate in verdict.gates if gate.needed)

    def test_was_asked_everything(self, good):
        names = {gate.name for gate in judge(good).gates}
        assert names >= {
            "gain", "deflated", "p-value", "recorded", "decay", "stretches", "turnover", "windows", "hold-out",
            "scenarios", "regimes", "outsiders", "plateau", "overfitting", "superior", *OF_BACKTEST,
            f"better than {EQUAL}", f"better than {HOLD}", f"better than {PAST}", f"better than {UNTUNED}",
        }  # fmt: skip

    def test_the_quick_answer_is_the_same(self):
        for evidence in made(World(skill=3.0, trials=8), 25, 2):
            assert ships(evidence) == (judge(evidence).decision is Decision.SHIP)


class TestEachQuestionRefuses:
    """One thing is wrong, and that is what is said."""

    def test_many_tries_elsewhere(self, good):
        many = replace(good.tried, configurations=10**6, effective=10.0**6)
        assert answer(replace(good, tried=many), "deflated").passed is False

    def test_a_run_that_nobody_recorded(self, good):
        assert refused_for(replace(good, tried=replace(good.tried, recorded=False, reason="full disk")), "recorded")

    def test_a_winner_that_keeps_little_out_of_sample(self, good):
        assert refused_for(replace(good, inside=good.inside * 10.0), "decay")

    def test_an_edge_that_has_ended(self, good):
        walk = good.walk.copy()
        last = np.array_split(np.arange(len(walk)), 3)[2]
        walk[last] -= walk[last].mean() + 1e-5
        assert answer(replace(good, walk=walk), "stretches").passed is False

    def test_the_first_stretch_may_lose(self, good):
        walk = good.walk.copy()
        first = np.array_split(np.arange(len(walk)), 3)[0]
        walk[first] -= walk[first].mean() + 1e-5
        assert answer(replace(good, walk=walk), "stretches").passed is True

    def test_a_unit_of_turnover_that_earns_less_than_twice_its_cost(self, good):
        gross = good.costs * 1.9 + (good.gross - good.gross.mean())
        assert answer(replace(good, gross=gross), "turnover").passed is False
        assert answer(replace(good, gross=gross + 0.2 * good.costs), "turnover").passed is True

    @pytest.mark.parametrize("name", [EQUAL, HOLD, PAST])
    def test_something_simpler_that_is_as_good(self, good, name):
        assert refused_for(replace(good, rivals={**good.rivals, name: good.walk}), f"better than {name}")

    @pytest.mark.parametrize("name", [EQUAL, HOLD, PAST])
    def test_something_simpler_that_nobody_measured(self, good, name):
        rivals = {key: daily for key, daily in good.rivals.items() if key != name}
        assert refused_for(replace(good, rivals=rivals), f"better than {name}")

    def test_a_rival_that_never_trades_is_beaten_by_a_gain(self, good):
        idle = np.zeros(len(good.walk))
        assert answer(replace(good, rivals={**good.rivals, EQUAL: idle}), f"better than {EQUAL}").passed is True

    @pytest.mark.parametrize(
        ("claim", "passed"),
        [
            (Claim(0.05, 1_600.0, 0.02), True),
            (Claim(0.05, 1_599.0, 0.02), False),  # (2 / IC)^2 = 1,600
            (Claim(0.05, 1_600.0, 0.026), False),  # less than twice what costs eat
            (Claim(-0.05, 1e9, 0.001), False),
            (Claim(float("nan"), 0.0, 0.0), None),
        ],
    )
    def test_a_claim_beyond_its_windows(self, good, claim, passed):
        assert answer(replace(good, claim=claim), "windows").passed is passed

    @pytest.mark.parametrize(("nets", "passed"), [({"A": -0.1}, False), ({"A": 0.1, "B": -0.1}, False),
                                                  ({"A": 0.1, "B": 0.2, "C": -0.1}, True), ({}, None)])  # fmt: skip
    def test_symbols_outside_that_disagree(self, good, nets, passed):
        assert answer(replace(good, outsiders=nets), "outsiders").passed is passed

    def test_a_hold_out_that_is_sealed(self, good):
        assert refused_for(replace(good, holdout=HoldOut(False)), "hold-out")

    def test_a_hold_out_that_loses_is_damning(self, good):
        assert judge(replace(good, holdout=HoldOut(True, -0.02, 1))).decision is Decision.DISCARD

    def test_a_hold_out_that_gains(self, good):
        assert judge(replace(good, holdout=HoldOut(True, 0.02, 1))).decision is Decision.SHIP

    def test_a_scenario_that_loses(self, good):
        assert refused_for(replace(good, scenarios={"a": good.walk, "b": -good.walk}), "scenarios")

    def test_a_profit_of_one_state_of_the_market(self, good):
        assert refused_for(replace(good, regimes={"calm": 0.5, "wild": -0.1}), "regimes")
        assert judge(replace(good, regimes={"calm": 0.5, "wild": 0.1})).decision is Decision.SHIP

    @pytest.mark.parametrize("name", OF_BACKTEST)
    def test_what_the_winners_backtest_failed(self, good, name):
        asked = tuple(replace(one, passed=False) if one.name == name else one for one in good.asked)
        assert refused_for(replace(good, asked=asked), name)

    @pytest.mark.parametrize("name", OF_BACKTEST)
    def test_what_the_winners_backtest_was_not_asked(self, good, name):
        asked = tuple(one for one in good.asked if one.name != name)
        assert refused_for(replace(good, asked=asked), name)

    def test_a_search_that_is_not_there(self, good):
        verdict = judge(replace(good, search=np.empty((len(good.search), 0)), space=None))
        assert verdict.decision is not Decision.SHIP
        assert {"overfitting", "superior"} <= {gate.name for gate in verdict.gates if gate.needed and not gate.passed}


class TestPlateauOrSpike:
    """The trials nearest to the winner."""

    def values(self, good, beside):
        points = np.vstack((np.zeros((1, 2)), np.full((6, 2), 0.05), np.ones((5, 2))))
        return replace(good, space=replace(good.space, points=points, values=np.r_[1.0, beside, np.full(5, -9.0)],
                                           chosen=0), search=good.search[:, :12],
                       search_trades=good.search_trades[:12])  # fmt: skip

    def test_a_spike_is_refused(self, good):
        near, kept = neighbourhood(self.values(good, np.full(6, 0.49)))
        assert (near, kept) == ([1, 2, 3, 4, 5, 6], pytest.approx(0.49))
        assert answer(self.values(good, np.full(6, 0.49)), "plateau").passed is False

    def test_a_plateau_passes(self, good):
        assert answer(self.values(good, np.full(6, 0.51)), "plateau").passed is True

    def test_where_nothing_lies_near_the_backtest_answers(self, good):
        alone = self.values(good, np.full(6, np.nan))
        kept = tuple(one for one in alone.asked if one.name != "plateau")
        assert answer(replace(alone, asked=(*kept, Hurdle("plateau", True, "steps"))), "plateau").passed is True
        assert answer(replace(alone, asked=kept), "plateau").passed is None


class TestTooLittle:
    """Nothing is said of what is too short."""

    def test_few_trades(self, good):
        verdict = judge(replace(good, trades=29))
        assert not verdict.testable
        assert verdict.decision is Decision.ITERATE

    def test_days_that_do_not_match(self, good):
        with pytest.raises(ConfigError, match="days out of sample"):
            replace(good, gross=good.gross[1:])


class TestPairedLuck:
    """A paired bootstrap of two Sharpe ratios."""

    def test_is_level_where_neither_is_better(self):
        random = np.random.default_rng(0)
        found = []
        for _ in range(200):
            shared, own, other = random.standard_normal((3, 300))
            found.append(paired_luck(shared + own, shared + other, resamples=200))
        assert 0.05 <= np.mean(np.array(found) <= 0.10) <= 0.16

    def test_finds_what_is_better(self):
        random = np.random.default_rng(1)
        shared, own, other = random.standard_normal((3, 600))
        assert paired_luck(shared + 0.3 * own + 0.1, shared + 0.3 * other) < 0.01

    def test_scale_does_not_matter(self):
        random = np.random.default_rng(2)
        own, other = random.standard_normal((2, 300)) + 0.05
        assert paired_luck(own, other) == pytest.approx(paired_luck(7.0 * own, 0.1 * other), abs=0.01)

    def test_a_copy_is_never_better(self):
        own = np.random.default_rng(3).standard_normal(300)
        assert paired_luck(own, own) == 1.0
        assert np.isnan(paired_luck(own, np.zeros(300)))
        assert np.isnan(paired_luck(own[:20], own[:20]))


class TestNoise:
    """Studies without skill are refused; the page has the figures of a thousand of each kind."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_hundred_studies(self, kind):
        passed = sum(ships(one) for one in made(World(kind=kind, trials=16), CI_STUDIES, 77))
        assert passed <= CI_MOST

    def test_a_planted_edge_is_found(self):
        found = [(ships(one), one.tried.effective) for one in made(World(skill=3.0), 40, 78)]
        share, effective = np.mean(np.array(found, dtype=float), axis=0)
        assert effective <= 25.0
        assert share >= 0.55  # 70 % and more of many; 40 studies scatter by 7 %


def test_a_study_is_the_same_from_the_same_seed():
    one, other = (study(World(), np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.walk, other.walk)
    assert one.tried == other.tried


class TestThePage:
    """Nobody typed its figures, and they are within what is promised."""

    TABLE = json.loads(TABLE.read_text(encoding="utf-8"))

    def test_shows_the_stored_table(self):
        shown = GUIDE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
        assert shown.strip() == written(self.TABLE).strip()

    def test_every_kind_of_noise_is_refused(self):
        assert self.TABLE["studies"] >= 1_000
        assert {row["kind"] for row in self.TABLE["noise"]} == set(KINDS)
        assert all(row["shipped"] <= 0.015 for row in self.TABLE["noise"])

    def test_a_true_ratio_of_three_over_two_years_is_found(self):
        found = [row for row in self.TABLE["skill"] if row["skill"] == 3.0 and row["kind"] == "independent"]
        few = [row["shipped"] for row in found if row["tries"] <= 25.0]
        assert len(few) >= 4
        assert min(few) >= 0.70
