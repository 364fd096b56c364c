"""Faults of the signals room, named by their number in the reference list of faults."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest

from tests.builders import market
from tests.signals import scenes
from virtuoso.clock import Span
from virtuoso.market.gaps import UNKNOWN
from virtuoso.prism.engine.score import assemble, score
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.prism import Prism
from virtuoso.signals.decision import decide
from virtuoso.signals.settings import SignalSettings
from virtuoso.signals.strategy import intents, signal_at, signals


@cache
def issued() -> list:
    return signals(scenes.scores(), scenes.SETTINGS)


class TestE35OneFaceIsMissing:
    """Weights are renormalised over what is known, reliability is lowered, and the signal lists what is missing."""

    def test_E35_weights_are_renormalised(self):
        for signal in issued()[-20:]:
            weights = {name: face.weight for name, face in signal.components.items()}
            assert weights["orderbook"] == 0.0
            assert sum(weights.values()) == pytest.approx(1.0)

    def test_E35_a_missing_face_is_neither_zero_nor_fifty(self):
        for signal in issued()[-20:]:
            assert signal.components["orderbook"].score is None
            assert signal.components["orderbook"].reason == "no data for it in the store"

    def test_E35_the_signal_lists_it(self):
        assert any(line.startswith("Not seen: Orderbook") for line in issued()[-1].insights)

    def test_E35_reliability_is_no_larger_than_coverage(self):
        for signal in issued():
            if signal.reliability is not None:
                assert signal.reliability <= signal.coverage < 0.81

    def test_E35_below_the_least_coverage_the_signal_is_neutral_and_says_why(self):
        demanding = SignalSettings(min_coverage=0.9)
        said = signal_at(scenes.scores(), demanding, issued()[-1].timestamp)
        assert said.signal == "NEUTRAL"
        assert said.reason.startswith("coverage 0.")
        assert said.reason.endswith("below 0.90")
        assert said.reason in said.actionable_insights[0]


class TestE36AllFacesAreMissing:
    """No signal is issued where nothing is known."""

    def test_E36_no_signal(self):
        young = market(seed=3, bars=60, gaps=False, flats=False)
        weights = {face.name: float(face.name == "orderbook") for face in scenes.PRISM.faces}
        blind = score(Prism(scenes.PRISM.faces, weights), young, block=scenes.BLOCK)
        assert np.isnan(blind.confluence).all()
        assert signals(blind, SignalSettings(min_coverage=0.0)) == []
        assert len(intents(blind, SignalSettings(min_coverage=0.0))) == 0

    def test_E36_none_begins_in_a_gap(self):
        decided = decide(scenes.scores(), scenes.SETTINGS)
        state = scenes.frame().base.state[decided.at]
        assert (decided.state[state == UNKNOWN] == 0).all()


class TestE49OverlappingSignalsAndReversals:
    """The list of intents is the same live and in batch, reversals and renewals included."""

    SETTINGS = SignalSettings(
        min_coverage=0.1, max_age=Span("1h"), bull_enter=52.0, bull_leave=50.0, bear_leave=50.0, bear_enter=48.0
    )

    def test_E49_live_is_batch(self):
        whole = intents(scenes.scores(), self.SETTINGS)
        turns = np.flatnonzero(whole["side"][1:] * whole["side"][:-1] == -1) + 1
        assert len(turns) > 10
        first = scenes.frame().base.first
        at = scenes.busiest(whole["number"][turns], 120) - first
        workspace = Workspace(scenes.until(at), block=scenes.BLOCK)
        live = []
        for i in range(at, at + 120):
            workspace.grow(scenes.until(i + 1))
            live.append(intents(assemble(scenes.PRISM, workspace, first + i, first + i + 1), self.SETTINGS))
        made = np.concatenate(live)
        expected = whole[(whole["number"] >= first + at) & (whole["number"] < first + at + 120)]
        assert len(made) > 5
        assert made.tobytes() == expected.tobytes()


class TestE74NanInJson:
    """NaN is never written: null and a reason, and the JSON is valid for every reader."""

    def refuse(self, name: str) -> None:
        raise AssertionError(f"the JSON holds {name}")

    def test_E74_every_signal_is_strict_json(self):
        for signal in issued()[::5]:
            json.loads(signal.to_json(), parse_constant=self.refuse)

    def test_E74_a_signal_of_which_nothing_is_known_is_strict_json(self):
        early = signal_at(scenes.scores(), scenes.SETTINGS, (scenes.frame().base.first + 2) * 60_000)
        written = json.loads(early.to_json(), parse_constant=self.refuse)
        assert written["score"] is None
        assert written["unknown"]["score"] == "no face is known"
