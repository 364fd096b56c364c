"""Calibration: learned from the past alone, compared with the base rate, and refused where it tells no more."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from tests.signals import scenes
from virtuoso.clock import parse_time
from virtuoso.config import Settings
from virtuoso.errors import ConfigError, DataError
from virtuoso.research.validation.barriers import OUTCOME, BarrierLabels
from virtuoso.research.validation.calibration import About, Study, as_yaml, calibrate, learn
from virtuoso.research.validation.reliability import Diagram, diagram, reliability_of
from virtuoso.signals.reliability import rule_digest

HOUR, START = 3_600_000, parse_time("2024-01-01")
ABOUT: About = {"timeframe": "1h", "learned_with": "1" * 64, "instruments": ("BTCUSDT simulated",), "data": "2" * 64}


def signals(heuristic, right, apart: int = 6, life: int = 12) -> BarrierLabels:
    """Signals some hours apart, each living some hours."""
    rows = np.zeros(len(heuristic), dtype=OUTCOME)
    rows["decided"] = START + np.arange(len(heuristic)) * apart * HOUR
    rows["ends"] = rows["decided"] + life * HOUR
    rows["heuristic"], rows["right"] = heuristic, right
    return BarrierLabels(rows, {}, life * HOUR)


def drawn(seed: int, n: int = 1_500, slope: float = 0.0, base: float = 0.4) -> BarrierLabels:
    """Signals that are right with probability base + slope x (heuristic - 1/2)."""
    random = np.random.default_rng(seed)
    heuristic = random.uniform(0.0, 1.0, n)
    return signals(heuristic, random.uniform(0.0, 1.0, n) < base + slope * (heuristic - 0.5))


@cache
def telling() -> Study:
    return learn(drawn(5, slope=0.6), ABOUT)


@cache
def empty_talk() -> Study:
    return learn(drawn(6), ABOUT)


class TestWalkForward:
    """Each step knows only signals whose life was over before it tells its first one."""

    def test_a_step_has_learned_from_every_life_that_was_over_and_from_no_other(self):
        rows = telling().outcomes.rows
        for step in telling().calibration.steps:
            over = rows["ends"] < parse_time(step.since)
            assert (step.signals, step.right) == (over.sum(), rows["right"][over].sum())

    def test_lives_that_reach_into_the_next_stretch_are_purged(self):
        rows, step = telling().outcomes.rows, telling().calibration.steps[0]
        decided_before = (rows["decided"] < parse_time(step.since)).sum()
        assert decided_before - step.signals == 2  # six hours apart, twelve to live, and to the same moment

    def test_what_follows_changes_nothing_that_was_told(self):
        known = telling().outcomes
        since = [parse_time(step.since) for step in telling().calibration.steps]
        rows = known.rows.copy()
        rows["right"] ^= rows["ends"] >= since[2]
        other = learn(replace(known, rows=rows), ABOUT)
        assert other.calibration.steps[:3] == telling().calibration.steps[:3]
        assert other.calibration.steps[3] != telling().calibration.steps[3]
        early = rows["decided"] < since[3]
        assert np.array_equal(other.told[early], telling().told[early], equal_nan=True)

    def test_what_was_told_is_what_the_table_tells(self):
        rows = telling().outcomes.rows
        told = telling().calibration.probability(rows["heuristic"], rows["decided"])
        assert np.array_equal(told, telling().told, equal_nan=True)
        assert np.isnan(told).sum() == 250  # the first of six stretches

    def test_the_last_step_is_for_signals_to_come(self):
        rows, last = telling().outcomes.rows, telling().calibration.steps[-1]
        assert last.signals == len(rows)
        assert parse_time(last.since) > rows["ends"].max()


class TestTheCurve:
    """Isotonic: it never falls, and it is sure of nothing."""

    def test_comes_near_what_the_signals_were_drawn_from(self):
        curve, x = telling().calibration.steps[-1], np.linspace(0.1, 0.9, 9)
        assert np.abs(curve.at(x) - (0.4 + 0.6 * (x - 0.5))).max() < 0.08

    def test_a_heuristic_that_is_wrong_way_round_gives_a_flat_curve(self):
        study = learn(drawn(7, slope=-0.6), ABOUT)
        assert np.ptp(study.calibration.steps[-1].probability) < 0.03
        assert not study.is_better

    def test_signals_that_were_always_right_are_not_certain(self):
        rising = np.linspace(0.0, 1.0, 200)
        study = learn(signals(np.random.default_rng(0).permutation(rising), np.ones(200, bool)), ABOUT)
        for step in study.calibration.steps:
            assert 0.9 < max(step.probability) < 1.0

    def test_one_heuristic_for_all_is_the_base_rate(self):
        known = signals(np.full(200, 0.3), np.arange(200) % 4 == 0)
        last = learn(known, ABOUT).calibration.steps[-1]
        assert last.knots == (0.3,)
        assert last.probability == (pytest.approx(0.25, abs=0.01),)

    def test_neighbours_that_fall_are_pooled(self):
        """Four groups of 25 with 5, 15, 10 and 20 right: the middle two become one of 25 in 50."""
        right = np.concatenate([np.arange(25) < k for k in (5, 15, 10, 20)])
        last = learn(signals(np.repeat([0.1, 0.2, 0.3, 0.4], 25), right), ABOUT).calibration.steps[-1]
        shares = (np.array([5.0, 12.5, 12.5, 20.0]) + 2.0 * 51.0 / 102.0) / 27.0
        assert last.at(np.array([0.1, 0.2, 0.3, 0.4])) == pytest.approx(shares, abs=1e-6)


class TestTheVerdict:
    """Better than the base rate, not shown to be, or not testable."""

    def test_a_heuristic_that_tells_is_better(self):
        assert telling().is_better
        assert telling().calibration.brier < telling().calibration.brier_of_base_rate
        assert telling().calibration.verdict.startswith("better than the base rate: Brier score 0.")
        assert "1,250 signals that were not learned from" in telling().calibration.verdict

    def test_one_that_tells_nothing_is_not(self):
        assert not empty_talk().is_better
        assert empty_talk().calibration.verdict.startswith("not shown to be better than the base rate")

    def test_noise_is_rarely_taken_for_knowledge(self):
        assert sum(learn(drawn(100 + seed, n=400), ABOUT).is_better for seed in range(40)) <= 2

    def test_signals_of_few_days_are_not_testable(self):
        known = drawn(8, slope=0.6, n=300)
        known.rows["decided"] = START + np.arange(300) * 60_000
        known.rows["ends"] = known.rows["decided"] + HOUR
        study = learn(replace(known, life=HOUR), ABOUT)
        assert not study.is_better
        assert study.calibration.verdict.startswith("not testable")

    def test_few_signals_teach_nothing(self):
        with pytest.raises(DataError, match=r"^99 signals .* 100 are needed.*--timerange"):
            learn(drawn(9, n=99), ABOUT)

    def test_gains_are_those_of_scikit_learns_brier_scores(self):
        study = telling()
        there = np.isfinite(study.told)
        right = study.outcomes.rows["right"][there]
        mine, base = (brier_score_loss(right, told[there]) for told in (study.told, study.base))
        assert study.gain == pytest.approx(base - mine, abs=1e-12)
        assert study.calibration.brier == pytest.approx(mine, abs=1e-6)
        assert study.low < study.gain < study.high


class TestTheDiagram:
    """What was told against what was right, bin by bin."""

    def test_a_calibrated_table_lies_on_the_diagonal(self):
        bins = telling().diagram.bins
        inside = (bins["low_right"] <= bins["told"]) & (bins["told"] <= bins["high_right"])
        assert len(bins) > 5
        assert inside.mean() >= 0.8
        assert telling().diagram.calibration_error < 0.05

    def test_the_heuristic_does_not(self):
        heuristic = telling().heuristic
        assert heuristic.bins["signals"].sum() == telling().diagram.bins["signals"].sum() == 1_250
        assert heuristic.calibration_error > 2.0 * telling().diagram.calibration_error
        assert heuristic.brier.reliability > 5.0 * telling().diagram.brier.reliability

    @given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 12))
    def test_the_parts_of_the_brier_score_sum_to_it(self, told, bins):
        p, right = (np.array(part) for part in zip(*told, strict=True))
        found = diagram(p.astype(np.float64), signals(p, right), bins=bins)
        parts = found.brier
        assert parts.score == pytest.approx(np.mean((p - right) ** 2), abs=1e-12)
        whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within
        assert whole == pytest.approx(parts.score, abs=1e-12)
        assert found.bins["signals"].sum() == len(p)
        assert found.calibration_error <= 1.0

    def test_by_hand(self):
        """Two bins: 0.2 told twice and right once, 0.8 told twice and right twice."""
        found = diagram(np.array([0.2, 0.2, 0.8, 0.8]), signals(np.zeros(4), [True, False, True, True]), bins=2)
        assert found.bins["told"].tolist() == pytest.approx([0.2, 0.8])
        assert found.bins["right"].tolist() == [0.5, 1.0]
        assert found.calibration_error == pytest.approx(0.5 * 0.3 + 0.5 * 0.2)
        assert found.brier[:4] == pytest.approx((0.19, 0.5 * 0.09 + 0.5 * 0.04, 0.0625, 0.1875))

    def test_of_nothing_is_not_known(self):
        found = diagram(np.full(3, np.nan), signals(np.zeros(3), np.zeros(3, bool)))
        assert len(found.bins) == 0
        assert np.isnan(found.calibration_error)


class TestTheFile:
    """A plain table of YAML, named in `signals.calibration`, kept only where it tells something."""

    def saved(self, study: Study, tmp_path, **how):
        return study.save(tmp_path / "configs" / "calibration" / "mine.yaml", **how)

    def load(self, tmp_path, text="signals: {calibration: calibration/mine.yaml}") -> Settings:
        (tmp_path / "run.yaml").write_text(text)
        return Settings.load(tmp_path / "run.yaml", root=tmp_path, env={})

    def test_what_is_saved_is_what_is_loaded(self, tmp_path):
        self.saved(telling(), tmp_path)
        assert self.load(tmp_path).signals.calibration == telling().calibration
        assert Settings().signals.calibration is None

    def test_it_is_plain(self):
        assert yaml.safe_load(as_yaml(telling().calibration))["signals"] == 1_500
        assert "!!" not in as_yaml(telling().calibration)

    def test_one_that_is_no_better_is_not_saved(self, tmp_path):
        with pytest.raises(DataError, match=r"not saved: not shown to be better than the base rate.*Force"):
            self.saved(empty_talk(), tmp_path)
        assert not (tmp_path / "configs").exists()

    def test_unless_forced_and_then_it_says_so(self, tmp_path):
        self.saved(empty_talk(), tmp_path, force=True)
        self.saved(telling(), tmp_path / "better", force=True)
        assert self.load(tmp_path).signals.calibration.is_forced
        assert "is_forced: false" in (tmp_path / "better/configs/calibration/mine.yaml").read_text()

    def test_settings_that_hold_it_can_be_loaded_again(self, tmp_path):
        self.saved(telling(), tmp_path)
        first = self.load(tmp_path)
        (tmp_path / "again.yaml").write_text(yaml.safe_dump(first.masked()))
        again = Settings.load(tmp_path / "again.yaml", root=tmp_path, env={})
        assert again.fingerprint() == first.fingerprint() != Settings().fingerprint()

    def test_a_missing_file_names_the_nearest(self, tmp_path):
        self.saved(telling(), tmp_path)
        with pytest.raises(ConfigError, match=r"signals\.calibration in run\.yaml, line 1 .*'calibration/mine\.yaml'"):
            self.load(tmp_path, "signals: {calibration: calibration/mien.yaml}")

    def test_a_file_that_is_none_is_refused_by_name(self, tmp_path):
        file = self.saved(telling(), tmp_path)
        file.write_text(file.read_text().replace("verdict:", "verdikt:"))
        with pytest.raises(ConfigError, match=r"signals\.calibration\.verdict.*calibration/mine\.yaml.*required"):
            self.load(tmp_path)


class TestOnAMarket:
    """From scores to a table to signals."""

    RULE = scenes.SETTINGS.model_copy(update={"bull_enter": 55.0, "bear_enter": 45.0})

    def test_the_table_fits_the_rule_it_was_learned_with(self):
        study = calibrate([scenes.scores()], self.RULE)
        table = study.calibration
        assert table.timeframe == "1m"
        assert table.learned_with == rule_digest(scenes.PRISM, self.RULE)
        assert table.instruments == (str(scenes.frame().instrument),)
        assert calibrate([scenes.scores()], self.RULE.model_copy(update={"calibration": table})).calibration == table

    def test_what_signals_carried_is_compared_with_what_became_of_them(self):
        plain = reliability_of([scenes.scores()], self.RULE)
        assert plain.basis == "heuristic"
        assert plain.diagram.bins["signals"].sum() == len(plain.outcomes)
        study = calibrate([scenes.scores()], self.RULE)
        told = reliability_of([scenes.scores()], self.RULE.model_copy(update={"calibration": study.calibration}))
        assert told.basis == "calibrated"
        assert_same(told.diagram, study.diagram)


def assert_same(one: Diagram, other: Diagram) -> None:
    assert one.bins.tobytes() == other.bins.tobytes()
    assert one.brier == other.brier
