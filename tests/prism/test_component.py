"""A component is declared once; what is wrong with it is said when its class is created."""

from __future__ import annotations

import pytest

from virtuoso.clock import Timeframe
from virtuoso.errors import DeclarationError, ParameterError
from virtuoso.prism.component import Component, Feature, Float, Int
from virtuoso.prism.faces.technical import RSI
from virtuoso.prism.features.volatility import ATR
from virtuoso.prism.scale import Squash


def declare(**body):
    """A component class with everything a component needs, and what the test adds."""
    base = {"title": "T", "source": "S", "scale": Squash(1.0), "bands": {0: "low", 60: "high"}}
    return type("Idea", (Component,), {**base, **body})


class TestADeclaration:
    def test_names_its_inputs_by_the_arguments_of_value(self):
        assert declare(value=lambda self, close, high: close).arguments == ("close", "high")

    def test_may_take_a_feature_of_the_class(self):
        assert declare(atr=ATR(), value=lambda self, close, atr: close / atr).arguments == ("close", "atr")

    def test_with_a_misspelt_input_is_refused_with_the_nearest_name(self):
        with pytest.raises(DeclarationError, match=r"'closee'.*Did you mean 'close'\?"):
            declare(value=lambda self, closee: closee)

    def test_without_an_input_is_refused(self):
        with pytest.raises(DeclarationError, match="names no input"):
            declare(value=lambda self: None)

    def test_whose_bands_do_not_reach_down_to_zero_is_refused(self):
        with pytest.raises(DeclarationError, match="must reach down to 0"):
            declare(bands={20: "x"}, value=lambda self, close: close)

    @pytest.mark.parametrize("missing", ["title", "source", "scale", "bands"])
    def test_that_forgets_something_is_refused(self, missing):
        body = {
            "title": "T",
            "source": "S",
            "scale": Squash(1.0),
            "bands": {0: "x"},
            "value": lambda self, close: close,
        }
        del body[missing]
        with pytest.raises(DeclarationError, match=missing):
            type("Idea", (Component,), body)

    def test_with_the_old_name_of_its_sentence_is_told_the_new_one(self):
        with pytest.raises(DeclarationError, match=r"declares words\(score, value\); its name is explain"):
            declare(value=lambda self, close: close, words=lambda self, score, value: "up")
        with pytest.raises(AttributeError, match=r"RSI has no attribute 'words'\. Its name is explain"):
            RSI().words(85.0, 77.0)

    def test_without_memory_is_fed_the_longest_of_its_parameters_in_bars_and_the_bar_before(self):
        windows = {"fast": Int(3, low=1, high=9), "slow": Int(30, low=1, high=90)}
        others = {"levels": Int(500, low=1, high=900, unit="levels"), "half": Float(800.0, low=0.0, high=900.0)}
        minute = Timeframe("1m")
        idea = declare(**windows, **others, value=lambda self, close: close)
        assert (idea().memory(minute), idea(fast=9, slow=4).memory(minute)) == (31, 10)
        assert idea().warmup(minute) == 31
        assert declare(value=lambda self, close: close)().memory(minute) == 1


class TestParameters:
    def test_outside_their_range_say_the_range(self):
        with pytest.raises(ParameterError, match=r"RSI.period must lie in 2..100 bars, was 1\."):
            RSI(period=1)

    @pytest.mark.parametrize("value", ["14", 14.5, True, None, float("nan")])
    def test_of_the_wrong_type_are_refused(self, value):
        with pytest.raises(ParameterError, match=r"RSI.period must"):
            RSI(period=value)

    def test_that_do_not_exist_are_refused_with_the_nearest_name(self):
        with pytest.raises(ParameterError, match=r"'perod'.*Did you mean 'period'\?"):
            RSI(perod=14)

    def test_may_be_real_numbers(self):
        idea = declare(half=Float(0.5, low=0.0, high=1.0), n=Int(3, low=1, high=9), value=lambda self, close: close)
        assert idea(half=1).half == 1.0
        assert isinstance(idea(half=1).half, float)


class TestAComponentIsAValue:
    def test_equal_if_class_and_parameters_are(self):
        assert RSI() == RSI(period=14) != RSI(period=15)
        assert len({RSI(), RSI(period=14), RSI(period=15)}) == 2
        assert RSI() != ATR()

    def test_its_repr_can_be_pasted_back(self):
        assert repr(RSI()) == "RSI()"
        assert eval(repr(RSI(period=21))) == RSI(period=21)

    def test_cannot_be_changed(self):
        with pytest.raises(AttributeError, match="frozen"):
            RSI().period = 3

    def test_gives_another_with_other_parameters(self):
        assert RSI(period=9).replace(period=21) == RSI(period=21)

    def test_is_named_as_the_field_names_it(self):
        class RelativeVolumeX(Feature):
            def value(self, close):
                return close

        assert RSI().name == "rsi"
        assert RelativeVolumeX.__name__ == "RelativeVolumeX"

    def test_explains_a_score_from_its_raw_value(self):
        assert RSI().explain(85.0, 77.0) == "RSI 77: buyers in full control, stretched"
        assert RSI().explain(float("nan"), float("nan")) == "Relative Strength Index is not known"
