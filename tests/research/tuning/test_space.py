"""Whatever the point, what it means can be: weights on the simplex, thresholds in order, parameters in their ranges."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from virtuoso.config import Settings
from virtuoso.demo.ideas import EmaCross
from virtuoso.errors import ConfigError
from virtuoso.prism.component import Component, Int
from virtuoso.prism.prism import Prism
from virtuoso.prism.registry import prism_from
from virtuoso.prism.scale import Linear
from virtuoso.research.sweep.grid import Configurations, in_force
from virtuoso.research.tuning.space import UNWEIGHTED, Space
from virtuoso.research.tuning.study import Study
from virtuoso.signals.settings import SignalSettings

SIGNALS = SignalSettings()
EVERYTHING = {
    "weights": True, "thresholds": True, "levels": True,
    "components": {"technical.rsi.period": [7, 28], "technical.cci": None},
}  # fmt: skip


class OwnIdea(Component):
    """A private component, as users write them."""

    title, source = "Own idea", "me"
    length = Int(10, low=3, high=30)
    scale = Linear(-1.0, 1.0)
    bands = {0: "low", 50: "high"}

    def value(self, close):
        return np.sign(np.diff(close, prepend=np.nan))


def study_of(search, **other) -> Study:
    return Study.of({"name": "s", "market": {"symbols": "BTCUSDT"}, "search": search, **other})


def space_of(search, prism=None, signals=SIGNALS, **how) -> Space:
    return Space.of(study_of(search), prism or Prism.standard(), signals, **how)


def points(space, n, seed=0):
    return space.low + (space.high - space.low) * np.random.default_rng(seed).random((n, len(space)))


class TestWeights:
    def test_components_are_those_of_every_face(self):
        faces = [face.name for face in Prism.standard().faces]
        assert space_of({"weights": ["components"]}).names == space_of({"weights": faces}).names
        assert space_of({"weights": ["faces", "components"]}).names == space_of({"weights": True}).names

    def test_the_prior_is_what_is_in_force_bit_for_bit(self):
        space = space_of(EVERYTHING)
        found, now = space.decode(space.prior[None]), in_force(space.prism, SIGNALS)
        assert {name: float(values[0]) for name, values in found.columns.items()} == {n: now[n] for n in found.columns}
        assert space.distance(space.prior[None]) == 0.0
        assert found.parameters[0] == {"technical.rsi.period": 14.0, "technical.cci.period": 20.0}

    @given(st.integers(0, 2**32 - 1))
    @settings(max_examples=20)
    def test_any_point_is_a_configuration_that_a_file_could_hold(self, seed):
        space = space_of(EVERYTHING)
        drawn = points(space, 20, seed)
        drawn[0], drawn[1] = space.low, space.high
        found = space.decode(drawn)
        Configurations.of(space.prism, SIGNALS, found.columns)  # refuses what could not be
        for group in space.groups:
            total = sum(found.columns[name] for name in group.members)
            assert total == pytest.approx(sum(group.weights), rel=1e-12)
            assert all((found.columns[name] > 0.0).all() for name in group.members)

    def test_what_is_common_to_a_group_changes_nothing_and_costs_nothing(self):
        space = space_of({"weights": ["faces"]})
        one, other = points(space, 5) * 0.4, points(space, 5) * 0.4 + 0.7
        for name, values in space.decode(one).columns.items():
            np.testing.assert_allclose(values, space.decode(other).columns[name], rtol=1e-12)
        np.testing.assert_allclose(space.distance(one), space.distance(other), rtol=1e-12)
        assert (space.distance(one) > 0.0).all()

    def test_distance_is_the_mean_square_of_the_log_ratios(self):
        space = space_of({"weights": ["technical"]})
        point = points(space, 1)
        weights = np.array([space.decode(point).columns[name][0] for name in space.groups[0].members])
        ratio = np.log(weights / np.array(space.groups[0].weights))
        assert space.distance(point)[0] == pytest.approx(np.mean((ratio - ratio.mean()) ** 2), rel=1e-12)

    def test_a_member_without_weight_stays_out_unless_it_is_named(self):
        now = {name: weight for name, _, weight in Prism.standard()}
        own = {"technical.rsi": 0.0, "technical.ao": now["technical.ao"] + now["technical.rsi"]}
        prism = Prism.standard().reweighted(components=own)
        left_out = space_of({"weights": ["technical"]}, prism)
        assert "weights.technical.rsi" not in left_out.names
        named = space_of({"weights": ["technical", "technical.rsi"]}, prism)
        found = named.decode(named.prior[None]).columns
        assert found["technical.rsi"][0] == pytest.approx(UNWEIGHTED)
        assert sum(found[name][0] for name in named.groups[0].members) == pytest.approx(1.0)

    def test_what_the_data_does_not_know_is_left_alone(self):
        known = [name for name, _, _ in Prism.standard() if name.startswith(("technical.", "volume."))]
        space = space_of({"weights": True}, known=known)
        assert {group.name: len(group.members) for group in space.groups}["faces"] == 2
        found = space.decode(points(space, 3)).columns
        now = in_force(space.prism, SIGNALS)
        assert found["technical"] + found["volume"] == pytest.approx(now["technical"] + now["volume"])
        assert "orderbook" not in found

    def test_timeframes_only_where_they_are_named(self):
        assert not any("timeframes" in name for name in space_of({"weights": True}).names)
        space = space_of({"weights": ["timeframes"]})
        found = space.decode(points(space, 4)).timeframes
        assert sum(found.values()) == pytest.approx(np.ones(4))
        assert set(space.overlay(points(space, 1)[0])["prism"]["timeframes"]) == set(space.prism.timeframes)


class TestRegimes:
    SEARCH = {"weights": ["faces", "technical"], "by_regime": ["calm trend", "volatile range"]}

    def test_at_zero_weights_are_the_same_in_every_regime(self):
        space = space_of(self.SEARCH)
        plain = space.without_regimes(points(space, 5))
        found = space.decode(plain).columns
        for regime in self.SEARCH["by_regime"]:
            for name in ("technical", "volume", "technical.rsi"):
                np.testing.assert_array_equal(found[f"{regime}.{name}"], found[name])
        assert space.has_regimes
        assert not space_of({"weights": True}).has_regimes

    def test_what_a_regime_adds_shrinks_towards_what_is_elsewhere(self):
        space = space_of(self.SEARCH)
        anywhere = points(space, 5)
        apart, alike = space.distance(anywhere), space.distance(space.without_regimes(anywhere))
        assert (apart > alike).all()
        Configurations.of(space.prism, SIGNALS, space.decode(anywhere).columns)

    def test_all_of_them_by_true_and_unknown_ones_by_the_nearest(self):
        assert len(space_of({"weights": ["faces"], "by_regime": True}).groups) == 5
        with pytest.raises(ConfigError, match="Did you mean 'calm trend'"):
            study_of({"weights": True, "by_regime": ["calm trnd"]})
        with pytest.raises(ConfigError, match="name them"):
            study_of({"thresholds": True, "by_regime": True})


class TestThresholds:
    @given(st.integers(0, 2**32 - 1), st.sampled_from([["enter", "leave"], ["enter"], ["leave"], ["bull_leave"], True]))
    @settings(max_examples=30)
    def test_they_are_in_order_whatever_the_point(self, seed, names):
        space = space_of({"thresholds": names})
        drawn = np.vstack((points(space, 30, seed), space.low, space.high))
        now = in_force(space.prism, SIGNALS)
        found = {name: np.full(len(drawn), value) for name, value in now.items()} | space.decode(drawn).columns
        for k in range(len(drawn)):
            order = [found[name][k] for name in ("bear_enter", "bear_leave", "bull_leave", "bull_enter")]
            assert 0.0 <= order[0] < order[1] <= 50.0 <= order[2] < order[3] <= 100.0

    def test_both_sides_alike_mirror_each_other(self):
        space = space_of({"thresholds": ["enter", "leave"]})
        found = space.decode(points(space, 9)).columns
        np.testing.assert_allclose(found["bull_enter"] - 50.0, 50.0 - found["bear_enter"], rtol=1e-12)
        np.testing.assert_allclose(found["bull_leave"] - 50.0, 50.0 - found["bear_leave"], rtol=1e-12)


class TestDeclarations:
    def test_whole_numbers_stay_whole_and_ranges_are_those_declared(self):
        space = space_of({"components": ["technical.rsi"]})
        (axis,) = space.axes
        assert (axis.name, axis.low, axis.high, axis.whole) == ("components.technical.rsi.period", 2.0, 100.0, True)
        assert space.decode(np.array([[9.4]])).parameters[0] == {"technical.rsi.period": 9.0}
        assert type(space.distributions[axis.name]).__name__ == "IntDistribution"

    def test_what_is_in_force_is_clipped_into_a_narrower_range(self):
        space = space_of({"components": {"technical.rsi.period": [20, 40]}})
        assert space.prior.tolist() == [20.0]

    def test_an_own_component_is_tuned_like_any_other(self):
        prism = Prism.standard().joined("technical", {OwnIdea(): 0.2})
        space = space_of({"weights": ["technical"], "components": {"technical.own_idea.length": [5, 20]}}, prism)
        assert {"weights.technical.own_idea", "components.technical.own_idea.length"} <= set(space.names)
        made = space.prism_of({"technical.own_idea.length": 7.0})
        assert made["technical.own_idea"].length == 7

    def test_an_own_strategy_is_tuned_by_what_it_declares(self):
        study = study_of({"parameters": {"fast": [6, 30]}}, strategy="virtuoso.demo.ideas:EmaCross")
        space = Space.of(study, Prism.standard(), SIGNALS, EmaCross())
        assert space.names == ("parameters.fast",)
        assert space.strategy_of(np.array([7.0])).fast == 7
        overlay = space.overlay(np.array([7.0]))
        assert overlay["strategy"] == "virtuoso.demo.ideas:EmaCross"
        assert overlay["parameters"]["fast"] == 7

    @pytest.mark.parametrize(
        ("search", "said"),
        [
            ({"weights": ["technicl"]}, "Did you mean 'technical'"),
            ({"weights": ["technical.rsy"]}, "Did you mean 'technical.rsi'"),
            ({"thresholds": ["bul_enter"]}, "Did you mean 'bull_enter'"),
            ({"components": ["technical.rsi.perid"]}, "Did you mean 'technical.rsi.period'"),
            ({"components": ["rsi.period"]}, "Did you mean 'technical.rsi.period'"),
            ({"components": {"technical.rsi": [7, 28]}}, "one of its parameters: technical.rsi.period"),
            ({"levels": ["stop_bufer"]}, "Did you mean 'stop_buffer'"),
            ({"levels": ["atr_period"]}, "run a study of each"),
            ({"components": {"technical.rsi.period": [1, 28]}}, "never widens"),
            ({"levels": {"stop_max": [1, 99]}}, "never widens"),
            ({"thresholds": {"bull_enter": [40, 70]}}, "never widens"),
            ({"components": {"technical.rsi.period": [7.2, 7.8]}}, "no whole number"),
            ({"thresholds": ["enter", "bull_enter"]}, "Keep one or the other"),
        ],
    )
    def test_what_there_is_not_is_refused_with_the_nearest(self, search, said):
        with pytest.raises(ConfigError) as refused:
            space_of(search)
        assert said in str(refused.value)
        assert "the study" in str(refused.value)

    def test_an_own_strategy_refuses_what_it_does_not_declare(self):
        study = study_of({"parameters": ["fsat"]}, strategy="virtuoso.demo.ideas:EmaCross")
        with pytest.raises(ConfigError, match="Did you mean 'fast'"):
            Space.of(study, Prism.standard(), SIGNALS, EmaCross())


class TestOverlay:
    def test_laid_over_settings_it_is_the_configuration(self, working_folder):
        prism = prism_from(Settings.load(env={}).prism)
        space = space_of({**EVERYTHING, "weights": ["*", "timeframes"]}, prism)
        point = points(space, 1, 3)[0]
        file = working_folder / "winner.yaml"
        file.write_text(yaml.safe_dump(space.overlay(point)), encoding="utf-8")
        loaded = Settings.load(file, env={})
        found = space.decode(point[None])
        clocks = {name: values[0] for name, values in found.timeframes.items()}
        made = space.prism_of(found.parameters[0], clocks)
        tried = Configurations.of(made, SIGNALS, found.columns)
        assert prism_from(loaded.prism).fingerprint == tried.prism(0).fingerprint
        assert loaded.signals.model_copy(update={"reports": SIGNALS.reports}) == tried.signal_settings(0)


class TestPoints:
    def test_what_lies_outside_is_refused_by_name(self):
        space = space_of({"thresholds": ["enter"]})
        with pytest.raises(ConfigError, match=r"thresholds\.enter of point 1 is 99"):
            space.decode(np.array([[10.0], [99.0]]))
        with pytest.raises(ConfigError, match="outside"):
            space.decode(np.array([[np.nan]]))
        with pytest.raises(ConfigError, match="1 coordinates"):
            space.decode(np.zeros((1, 2)))

    def test_the_digest_knows_ranges_and_what_is_in_force(self):
        base = space_of({"components": {"technical.rsi.period": [7, 28]}})
        same = space_of({"components": {"technical.rsi.period": [7, 28]}})
        narrower = space_of({"components": {"technical.rsi.period": [7, 27]}})
        now = Prism.standard().face_weights
        moved = {"technical": now["technical"] + 0.01, "volume": now["volume"] - 0.01}
        weights = Prism.standard().reweighted(face_weights=moved)
        other = space_of({"components": {"technical.rsi.period": [7, 28]}}, weights)
        assert base.digest == same.digest
        assert len({base.digest, narrower.digest, other.digest}) == 3
