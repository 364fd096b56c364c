"""Provenance: the digest is of exactly the bars that went in, so batch, live and a later replay agree on it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.builders import hours
from tests.signals import scenes
from virtuoso.clock import Span
from virtuoso.errors import NotLoadedError
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.component import Component, Int
from virtuoso.prism.engine.score import assemble, score
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.face import Face
from virtuoso.prism.faces.technical import MACD, RSI
from virtuoso.prism.prism import Prism
from virtuoso.prism.scale import Squash
from virtuoso.signals.message.provenance import (
    HASHED_BARS,
    commit,
    config_digest,
    data_digest,
    first_needed,
    provenance,
    signal_code_digest,
)
from virtuoso.signals.settings import LevelSettings, SignalSettings
from virtuoso.signals.strategy import intents, signal_at, signals

HOURLY = replace(scenes.PRISM, timeframes={"1h": 0.7, "4h": 0.3})
SMALL = Prism((Face("technical", "Technical", {RSI(): 0.5, MACD(): 0.5}),), {"technical": 1.0}, {"1h": 0.7, "4h": 0.3})
SETTINGS = SignalSettings(min_coverage=0.1, max_age=Span("12h"), bull_enter=66.0, bear_enter=34.0)


@cache
def frame() -> MarketFrame:
    return hours(bars=12_000)


@cache
def workspace() -> Workspace:
    return Workspace(frame(), block=scenes.BLOCK)


def loaded_from(number: int) -> MarketFrame:
    """The market as a store gives it where older bars exist but were not loaded."""
    return MarketFrame(frame().instrument, frame().base.since(number))


class Tilt(Component):
    """A private component, outside the package."""

    title, source, scale = "Tilt", "a test", Squash(half=0.2)
    bands = {0: "tilted {value:.1f}"}
    back: int = Int(1, low=1, high=5_000)

    def memory(self, timeframe):
        return self.back + 1

    def value(self, close):
        return np.concatenate((np.full(self.back, np.nan), close[self.back :] - close[: -self.back]))


def tilted(back: int) -> Prism:
    return Prism((Face("technical", "Technical", {Tilt(back=back): 1.0}),), {"technical": 1.0}, {"1h": 1.0})


FAR_LEVELS = SETTINGS.model_copy(update={"levels": LevelSettings(memory=2_000)})
CASES = {
    "slow clocks reach furthest": (SMALL, SETTINGS),
    "levels reach furthest": (tilted(1), FAR_LEVELS),
    "independent inputs reach furthest": (tilted(3_000), SETTINGS),
}


class TestTheFirstBarThatIsNeeded:
    """Sufficient, and no more than a slow bar too early."""

    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize("after_an_edge", [0, 3, 40])
    def test_is_sufficient_wherever_a_block_begins(self, case, after_an_edge):
        prism, settings = CASES[case]
        complete = Workspace(frame(), block=scenes.BLOCK)
        edge = (frame().base.end - 60) // (4 * scenes.BLOCK) * (4 * scenes.BLOCK)
        number = edge + after_an_edge
        first = first_needed(prism, complete, settings, number)
        assert frame().base.first < first
        part = assemble(prism, Workspace(loaded_from(first), block=scenes.BLOCK), number, number + 1)
        whole = assemble(prism, complete, number, number + 1)
        assert signal_at(part, settings) == signal_at(whole, settings)

    def test_from_there_on_the_same_signal_is_made(self):
        end = frame().base.end
        whole = signals(assemble(SMALL, workspace(), end - 300, end), SETTINGS)
        assert len(whole) > 5
        first = first_needed(SMALL, workspace(), SETTINGS, end - 300)
        assert frame().base.first < first < end - 300
        part = assemble(SMALL, Workspace(loaded_from(first), block=scenes.BLOCK), end - 300, end)
        assert signals(part, SETTINGS) == whole

    def test_from_later_on_it_is_refused(self):
        end = frame().base.end
        first = first_needed(SMALL, workspace(), SETTINGS, end - 1)
        late = Workspace(loaded_from(first + 8), block=scenes.BLOCK)
        with pytest.raises(NotLoadedError):
            signals(assemble(SMALL, late, end - 1, end), SETTINGS)

    def test_it_holds_for_the_whole_prism(self):
        end = frame().base.end
        settings = SETTINGS.model_copy(update={"history": 30})  # which fits the market
        complete = Workspace(frame(), block=scenes.BLOCK)
        first = first_needed(HOURLY, complete, settings, end - 1)
        assert frame().base.first < first < end - 4_000
        part = assemble(HOURLY, Workspace(loaded_from(first), block=scenes.BLOCK), end - 1, end)
        assert signal_at(part, settings) == signal_at(assemble(HOURLY, complete, end - 1, end), settings)

    def test_it_never_goes_back_as_time_goes_on(self):
        numbers = range(frame().base.end - 400, frame().base.end, 7)
        found = [first_needed(SMALL, workspace(), SETTINGS, number) for number in numbers]
        assert found == sorted(found)


class TestTheDigestOfData:
    """Of the logical values of those bars, whatever lies around them."""

    def test_does_not_depend_on_where_the_history_begins_or_ends(self):
        base = frame().base
        a, b = base.first + 700, base.first + 2 * HASHED_BARS + 11
        cut = Workspace(frame().until((b + 5) * 3_600_000))
        late = Workspace(loaded_from(a - 3))
        assert data_digest(workspace(), a, b) == data_digest(cut, a, b) == data_digest(late, a, b)

    def test_does_not_depend_on_what_was_hashed_before(self):
        base, fresh = frame().base, Workspace(frame())
        for stop in (base.first + 50, base.end - 1, base.first + HASHED_BARS + 3):
            data_digest(fresh, base.first, stop)
        assert data_digest(fresh, base.first + 9, base.end) == data_digest(Workspace(frame()), base.first + 9, base.end)

    @pytest.mark.parametrize("offset", [0, HASHED_BARS, 11_299])
    def test_changes_with_every_bar_in_it(self, offset):
        base = frame().base
        a = base.first + 700
        changed = {name: values.copy() for name, values in base.columns.items()}
        changed["close"][700 + offset] = np.nextafter(changed["close"][700 + offset], np.inf)
        other = Workspace(MarketFrame(frame().instrument, replace(base, columns=changed)))
        assert data_digest(other, a, base.end) != data_digest(workspace(), a, base.end)
        assert data_digest(other, a + offset + 1, base.end) == data_digest(workspace(), a + offset + 1, base.end)

    def test_changes_with_the_instrument(self):
        other = Workspace(MarketFrame(replace(frame().instrument, symbol="ETHUSDT"), frame().base))
        a, b = frame().base.first, frame().base.end
        assert data_digest(other, a, b) != data_digest(workspace(), a, b)

    def test_names_its_range(self):
        end = frame().base.end
        traced = provenance(SMALL, workspace(), SETTINGS, end - 1)
        assert traced.data_from == first_needed(SMALL, workspace(), SETTINGS, end - 1) * 3_600_000
        assert traced.data_to == end * 3_600_000
        begun = provenance(SMALL, workspace(), SETTINGS, frame().base.first + 30)
        assert begun.data_from == frame().base.first * 3_600_000


class TestTheDigestOfTheConfiguration:
    """Of all that a signal depends on."""

    def test_changes_with_weights_parameters_and_thresholds(self):
        digests = {
            config_digest(scenes.PRISM, SETTINGS),
            config_digest(scenes.PRISM.reweighted({"technical": 0.18, "volume": 0.11}), SETTINGS),
            config_digest(SMALL, SETTINGS),
            config_digest(scenes.PRISM, SETTINGS.model_copy(update={"bull_enter": 67.0})),
            config_digest(
                scenes.PRISM,
                SETTINGS.model_copy(update={"levels": SETTINGS.levels.model_copy(update={"stop_max": 2.0})}),
            ),
        }
        assert len(digests) == 5

    def test_a_larger_one_may_be_recorded(self):
        assert provenance(SMALL, workspace(), SETTINGS, frame().base.end - 1, config="of everything").config == (
            "of everything"
        )


class TestTheDigestOfTheCode:
    """Of the sources that scoring and signals run through."""

    def test_is_repeated(self):
        assert signal_code_digest(scenes.PRISM) == signal_code_digest(Prism.classic())

    def test_holds_private_components(self):
        private = tilted(1)
        ours = Prism((Face("technical", "Technical", {RSI(): 1.0}),), {"technical": 1.0})
        assert signal_code_digest(private) != signal_code_digest(ours) == signal_code_digest(scenes.PRISM)

    def test_a_private_component_can_be_signalled_on(self):
        scores = score(tilted(1), frame(), block=scenes.BLOCK)
        assert len(intents(scores, SETTINGS)) > 5
        assert signal_at(scores, SETTINGS).components["momentum"].score is None

    def test_names_versions_and_commit(self):
        traced = provenance(SMALL, workspace(), SETTINGS, frame().base.end - 1)
        assert {"numpy", "numba", "TA-Lib", "pandas", "cpu"} <= set(traced.environment)
        assert traced.commit == commit()
        assert traced.model is None
