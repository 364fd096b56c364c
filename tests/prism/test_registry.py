"""The registry is a list: six faces, weights that sum to one, and what settings make of it."""

from __future__ import annotations

import copy

import pytest

from virtuoso.config import Settings
from virtuoso.errors import ConfigError
from virtuoso.prism.faces import FACES
from virtuoso.prism.faces.technical import RSI
from virtuoso.prism.prism import Prism
from virtuoso.prism.registry import prism_from
from virtuoso.prism.settings import PrismSettings, shipped_weights


def weights_of(face):
    return {**{c.name: w for c, w in face.components.items()}, **face.unavailable}


def settings(**faces):
    made = shipped_weights()["faces"]
    changed = {name: {**made[name], **faces.get(name, {})} for name in made}
    return PrismSettings(faces=changed)


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)
class TestEveryFace:
    def test_has_weights_that_sum_to_one(self, face):
        assert sum(weights_of(face).values()) == pytest.approx(1.0, abs=1e-12)

    def test_is_declared_with_the_weights_of_the_classic_file(self, face):
        classic = Settings.load(overrides={"prism.weights": "weights/classic.yaml"}).prism.faces
        assert weights_of(face) == dict(classic.by_name()[face.name].components)

    def test_has_equal_weights_in_the_shipped_file(self, face):
        shipped = shipped_weights()["faces"][face.name]["components"]
        assert shipped == dict.fromkeys(weights_of(face), 1 / len(weights_of(face)))


class TestThePrismOfSettings:
    def test_is_the_standard_one_by_default(self):
        assert prism_from(PrismSettings()).fingerprint == Prism.standard().fingerprint

    def test_takes_parameters(self):
        made = prism_from(settings(technical={"parameters": {"rsi": {"period": 21}}}))
        assert made["technical.rsi"] == RSI(period=21)
        assert made.fingerprint != Prism.standard().fingerprint

    def test_refuses_parameters_of_a_component_that_is_not_there(self):
        with pytest.raises(ConfigError, match="rsii"):
            prism_from(settings(technical={"parameters": {"rsii": {"period": 21}}}))

    def test_brings_a_private_component_with_its_weight(self):
        weights = {**shipped_weights()["faces"]["technical"]["components"], "momentum": 0.1}
        weights["rsi"] -= 0.1
        made = shipped_weights()["faces"]
        faces = {**made, "technical": {**made["technical"], "components": weights}}
        own = PrismSettings(faces=faces, components=("tests.laws.leaks:Momentum",))
        assert prism_from(own)["technical.momentum"].name == "momentum"

    def test_refuses_a_private_component_without_a_weight(self):
        with pytest.raises(ConfigError, match="has no weight"):
            prism_from(PrismSettings(components=("tests.laws.leaks:Momentum",)))


class TestThePrism:
    def test_finds_a_component_by_its_dotted_name(self):
        assert Prism.standard()["technical.rsi"] == RSI()
        with pytest.raises(ConfigError, match=r"Did you mean 'technical.rsi'\?"):
            Prism.standard()["technical.rsii"]

    def test_takes_a_component_in_and_makes_room_for_it(self):
        from tests.laws.leaks import Momentum

        face = Prism.standard().joined("technical", {Momentum(): 0.2}).faces[0]
        assert sum(face.components.values()) == pytest.approx(1.0)
        assert face.components[Momentum()] == 0.2

    @pytest.mark.parametrize(
        ("base", "ladder"),
        [
            ("1m", {"1m": 0.4, "5m": 0.3, "30m": 0.2, "4h": 0.1}),
            ("5m", {"5m": 0.5, "30m": 1 / 3, "4h": 1 / 6}),
            ("1h", {"1h": 0.8, "4h": 0.2}),
            ("4h", {"4h": 1.0}),
            ("1s", {"1s": 0.4 / 1.4, "1m": 0.4 / 1.4, "5m": 0.3 / 1.4, "30m": 0.2 / 1.4, "4h": 0.1 / 1.4}),
        ],
    )
    def test_ladder_begins_with_the_base_clock(self, base, ladder):
        from virtuoso.clock import Timeframe

        found = {tf.name: weight for tf, weight in Prism.classic().ladder(Timeframe(base))}
        assert found == pytest.approx(ladder)
        assert next(iter(found)) == base


class TestAPrism:
    @pytest.mark.parametrize("method", ["score", "assemble", "clocks"])
    def test_only_declares_and_names_what_does_its_former_work(self, method):
        with pytest.raises(AttributeError, match=r"only declares .* Use virtuoso\."):
            getattr(Prism.standard(), method)

    def test_names_virtuoso_score(self):
        with pytest.raises(AttributeError, match=r"Use virtuoso\.score\(frame, prism\)"):
            Prism.standard().score("frame")

    def test_has_no_other_attribute_and_can_be_copied(self):
        assert not hasattr(Prism.standard(), "grade")
        assert copy.deepcopy(Prism.standard()).fingerprint == Prism.standard().fingerprint
