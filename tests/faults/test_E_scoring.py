"""Faults of scoring, named by their number in the reference list of faults: the technical and the volume face."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import START, columns
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.prism.component import Node
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.faces import technical, volume

HOUR = Timeframe("1h")
BARS = 1_500
TECHNICAL = [*technical.FACE.components, *technical.FACE.gates]
VOLUME = list(volume.FACE.components)
every_component = pytest.mark.parametrize("component", [*TECHNICAL, *VOLUME], ids=lambda c: c.name)


def market(bars: int = BARS) -> dict[str, np.ndarray]:
    return columns(seed=8, bars=bars, flats=False)


def frame_of(made: dict[str, np.ndarray]) -> MarketFrame:
    times = (np.arange(len(made["close"]), dtype=np.int64) + START // 60) * HOUR.ms
    rows = Bars.from_rows(HOUR, times, made, GapPolicy("cut", 0))
    return MarketFrame(Instrument("simulated", "BTCUSDT"), rows)


def scores(component, made: dict[str, np.ndarray]) -> np.ndarray:
    frame = frame_of(made)
    return component.score(Workspace(frame, 256).values(component, HOUR, frame.base.first, frame.base.end)[0])


def bars_needed(node: Node) -> int:
    """Bars from the start of history to the first answer; where holes are looked past, features start alongside."""
    sources = [getattr(node, name, None) for name in node.arguments]
    features = [bars_needed(source) for source in sources if isinstance(source, Node)]
    alongside = 1 if node.holes else max(features, default=1)
    return alongside - 1 + node.warmup(HOUR)


@every_component
class TestE27NaNInsideAWindow:
    """Not known there, never silently 0 or 50, and known again afterwards."""

    HOLE = 1_000

    def holed(self, component) -> np.ndarray:
        made = market()
        for values in made.values():
            values[self.HOLE] = np.nan
        return scores(component, made)

    def test_E27_the_bar_itself_is_not_known(self, component):
        assert np.isnan(self.holed(component)[self.HOLE])

    def test_E27_no_window_that_holds_it_is_known(self, component):
        window = component.period if component.holes else component.warmup(HOUR)
        assert np.isnan(self.holed(component)[self.HOLE : self.HOLE + window]).all()

    def test_E27_it_is_known_again_afterwards_and_nothing_is_invented(self, component):
        found, clean = self.holed(component), scores(component, market())
        later = slice(self.HOLE + bars_needed(component) + 15, None)
        if component.name == "vwap":
            later = slice(self.HOLE + 24, None)
        if component.name == "relative_volume":
            later = slice(self.HOLE + 20, None)
        assert np.isfinite(found[later]).all()
        assert np.abs(found[later] - clean[later]).max() < 25.0
        assert not np.isin(found[np.isfinite(found)], (0.0, 50.0, 100.0)).any()


@every_component
class TestE28ZeroVolume:
    """Without volume the volume face is not known; it is never infinite, and the technical face does not care."""

    def test_E28_a_market_without_volume(self, component):
        made = market()
        for name in ("volume", "taker_buy_volume"):
            made[name][:] = 0.0
        found = scores(component, made)
        assert not np.isinf(found).any()
        if component in VOLUME:
            assert np.isnan(found).all()
        else:
            assert np.array_equal(found, scores(component, market()), equal_nan=True)

    def test_E28_a_stretch_without_volume(self, component):
        made = market()
        for name in ("volume", "taker_buy_volume"):
            made[name][1_100:1_140] = 0.0
        found = scores(component, made)
        assert not np.isinf(found).any()
        assert np.isfinite(found[-100:]).all()


@every_component
class TestE29FlatPrice:
    """A market that does not move is not balanced: it says nothing."""

    def test_E29_from_the_beginning(self, component):
        made = market()
        for name in ("open", "high", "low", "close"):
            made[name][:] = 0.1
        made["taker_buy_volume"] = 0.5 * made["volume"]
        assert np.isnan(scores(component, made)).all()

    def test_E29_after_it_has_moved(self, component):
        if component.name in ("volume_delta", "volume_profile"):
            pytest.skip("what takers do, and where price stands in what was traded, is known in a flat market too")
        made = market()
        for name in ("open", "high", "low", "close"):
            made[name][1_100:] = made["close"][1_099]
        found = scores(component, made)
        assert np.isfinite(found[1_050:1_100]).all()
        if component.name == "adl":  # its history still moves: it fades, and is silent once that is flat as well
            assert np.isnan(found[1_099 + component.memory(HOUR) + 1 :]).all()
        else:
            window = {"ao": 34, "macd": 26}.get(component.name, 20)
            assert np.isnan(found[1_099 + window :]).all()


@every_component
class TestE30FewerBarsThanTheWarmup:
    def test_E30_one_bar_less_is_no_score_and_one_more_is_one(self, component):
        if component.name in ("vwap", "volume_profile"):
            pytest.skip("they wait for a session start and for slow bars; see their own tests")
        needed = bars_needed(component)
        made = market()
        assert np.isnan(scores(component, {name: values[: needed - 1] for name, values in made.items()})).all()
        assert np.isfinite(scores(component, {name: values[:needed] for name, values in made.items()})[-1])

    def test_E30_a_single_bar_is_no_score(self, component):
        found = scores(component, {name: values[:1] for name, values in market().items()})
        assert len(found) == 1
        if component.name != "vwap":  # the first bar of a session is its own average, but ranges are not known yet
            assert np.isnan(found).all()

    def test_E30_two_bars_are_no_score(self, component):
        assert np.isnan(scores(component, {name: values[:2] for name, values in market().items()})).all()

    def test_E30_no_bar_is_refused(self, component):
        with pytest.raises(DataError, match="not one"):
            frame_of({name: values[:0] for name, values in market().items()})


@every_component
class TestE34HugeAndTinyNumbers:
    """Price 1e12 and 1e-9, quantity 1e15: the same scores."""

    @pytest.mark.parametrize(
        ("price", "quantity"), [(1e10, 1.0), (1e-11, 1.0), (1.0, 1e14), (1e10, 1e14), (1e-11, 1e-9)]
    )
    def test_E34_scores_are_those_of_the_market_in_other_units(self, component, price, quantity):
        made = market()
        found = scores(component, made)
        scaled = {name: values.copy() for name, values in made.items()}
        for name in ("open", "high", "low", "close"):
            scaled[name] *= price
        for name in ("volume", "taker_buy_volume"):
            scaled[name] *= quantity
        np.testing.assert_allclose(scores(component, scaled), found, atol=1e-8)
        assert np.isfinite(found).sum() > 100

    def test_E34_powers_of_two_keep_every_bit(self, component):
        made = market()
        scaled = {name: values.copy() for name, values in made.items()}
        for name in ("open", "high", "low", "close"):
            scaled[name] *= 2.0**-37
        for name in ("volume", "taker_buy_volume"):
            scaled[name] *= 2.0**47
        assert np.array_equal(scores(component, scaled), scores(component, made), equal_nan=True)
