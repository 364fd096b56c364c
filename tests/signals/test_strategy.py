"""Scores become intents and signals: the same ones however the history is cut."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.signals import scenes
from virtuoso.account.records import INTENT, NEXT_OPEN
from virtuoso.clock import iso
from virtuoso.errors import NotLoadedError
from virtuoso.market.frame import MarketFrame
from virtuoso.market.schema.columns import mirrored
from virtuoso.prism.engine.score import assemble, score
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.signals.decision import decide
from virtuoso.signals.message.signal import Signal
from virtuoso.signals.strategy import intents, signal_at, signals

CHECKED = ("number", "side", "price", "entry", "expires", "stop", "target", "size", "score", "reliability")


@cache
def whole_intents() -> np.ndarray:
    return intents(scenes.scores(), scenes.SETTINGS)


@cache
def whole_signals() -> list[Signal]:
    return signals(scenes.scores(), scenes.SETTINGS)


def assert_same(part: np.ndarray, whole: np.ndarray) -> None:
    assert len(part) == len(whole)
    for name in CHECKED:
        assert np.array_equal(part[name], whole[name], equal_nan=part[name].dtype.kind == "f"), name


class TestIntents:
    """One record for every change of state, with the levels that belong to it."""

    def test_are_records_of_the_account_in_order(self):
        made = whole_intents()
        assert made.dtype == INTENT
        assert (np.diff(made["number"]) > 0).all()

    def test_there_is_one_for_every_change_of_state(self):
        decided = decide(scenes.scores(), scenes.SETTINGS)
        assert np.array_equal(whole_intents()["number"], decided.at + scenes.scores().start)
        assert len(decided.at) == len(decided.rule.changes())

    def test_the_test_market_holds_every_kind(self):
        made, decided = whole_intents(), decide(scenes.scores(), scenes.SETTINGS)
        assert {(int(s), int(i)) for s, i in zip(decided.state, made["side"], strict=True)} == {
            (1, 1), (-1, -1), (0, 0), (1, 0), (-1, 0),
        }  # fmt: skip

    def test_to_be_in_has_levels_in_order(self):
        made = whole_intents()
        there = made[made["side"] != 0]
        side = there["side"].astype(float)
        ladder = np.column_stack((there["stop"], there["price"], there["target"])) * side[:, None]
        assert (np.diff(ladder, axis=1) > 0).all()
        assert there["size"].sum(axis=1) == pytest.approx(1.0)

    def test_to_be_out_has_none(self):
        made = whole_intents()
        out = made[made["side"] == 0]
        assert len(out) > 20
        assert np.isnan(out["stop"]).all()
        assert np.isnan(out["target"]).all()
        assert np.isnan(out["entry"]).all()
        assert (out["size"] == 0).all()

    def test_nothing_is_in_force_before_the_next_open(self):
        made = whole_intents()
        assert NEXT_OPEN == 1
        assert (made["expires"] >= made["number"] + NEXT_OPEN).all()

    def test_of_the_mirrored_market_are_mirrored(self):
        frame = scenes.frame()
        pivot = float(frame.base.columns["close"][0])
        other = MarketFrame(frame.instrument, replace(frame.base, columns=mirrored(frame.base.columns, pivot)))
        made, reflected = whole_intents(), intents(score(scenes.PRISM, other, block=scenes.BLOCK), scenes.SETTINGS)
        assert np.array_equal(reflected["number"], made["number"])
        assert np.array_equal(reflected["side"], -made["side"])
        assert reflected["stop"] == pytest.approx(2 * pivot - made["stop"], abs=1e-6, nan_ok=True)
        assert reflected["target"] == pytest.approx(2 * pivot - made["target"], abs=1e-6, nan_ok=True)


class TestSignals:
    """Signals say in full what intents say in short."""

    def test_are_one_for_every_intent(self):
        ms = scenes.frame().timeframe.ms
        assert [s.timestamp for s in whole_signals()] == [int(n + 1) * ms for n in whole_intents()["number"]]

    def test_carry_the_levels_of_their_intent(self):
        for signal, intent in zip(whole_signals(), whole_intents(), strict=True):
            if intent["side"] == 0:
                assert signal.entry_price is signal.stop_loss is None
                assert signal.targets == {}
                assert {"entry_price", "stop_loss", "targets"} <= set(signal.unknown)
            else:
                assert signal.stop_loss == intent["stop"]
                assert [t.price for t in signal.targets.values()] == intent["target"].tolist()
                assert [t.size for t in signal.targets.values()] == intent["size"].tolist()

    def test_go_from_state_to_another_state(self):
        states = [s.signal for s in whole_signals()]
        assert all(a != b for a, b in pairwise(states))

    def test_on_request_there_is_one_for_every_bar(self):
        issued = whole_signals()[-1]
        assert signal_at(scenes.scores(), scenes.SETTINGS, iso(issued.timestamp)) == issued
        between = signal_at(scenes.scores(), scenes.SETTINGS, issued.timestamp - scenes.frame().timeframe.ms)
        assert between.signal == whole_signals()[-2].signal
        assert signal_at(scenes.scores(), scenes.SETTINGS).timestamp == int(scenes.scores().close_times[-1])

    def test_a_bar_that_was_not_scored_has_none(self):
        first = scenes.frame().base.first
        part = assemble(scenes.PRISM, scenes.scores().workspace, first + 5_000, first + 5_010)
        with pytest.raises(NotLoadedError, match="was not scored"):
            signal_at(part, scenes.SETTINGS, (first + 4_000) * 60_000)


class TestTheLaw:
    """Cut the end anywhere, ask for a window, go bar by bar: the same list."""

    @settings(max_examples=12)
    @given(st.integers(3_000, 6_999))
    def test_those_of_a_cut_history_are_the_beginning_of_the_whole(self, bars):
        part = score(scenes.PRISM, scenes.until(bars), block=scenes.BLOCK)
        end = scenes.frame().base.first + bars
        made = intents(part, scenes.SETTINGS)
        count = int((whole_intents()["number"] < end).sum())
        assert_same(made, whole_intents()[:count])

    @pytest.mark.parametrize("bars", [4_321, 5_800, 6_999])
    def test_the_signals_of_a_cut_history_are_the_beginning_of_the_whole(self, bars):
        part = signals(score(scenes.PRISM, scenes.until(bars), block=scenes.BLOCK), scenes.SETTINGS)
        assert len(part) > 20
        assert part == whole_signals()[: len(part)]
        later = whole_signals()[len(part) :]
        assert not later or later[0].timestamp > (scenes.frame().base.first + bars) * 60_000

    @given(st.integers(0, 6_800), st.integers(1, 200))
    def test_those_of_a_window_are_a_part_of_the_whole(self, at, length):
        a = scenes.frame().base.first + at
        window = assemble(scenes.PRISM, scenes.scores().workspace, a, a + length)
        whole = whole_intents()
        inside = whole[(whole["number"] >= a) & (whole["number"] < a + length)]
        assert_same(intents(window, scenes.SETTINGS), inside)

    def test_bar_by_bar_on_a_growing_history_the_same_signals_are_issued(self):
        first = scenes.frame().base.first
        at = scenes.busiest(whole_intents()["number"], 150) - first
        workspace = Workspace(scenes.until(at), block=scenes.BLOCK)
        live: list[Signal] = []
        for i in range(at, at + 150):
            workspace.grow(scenes.until(i + 1))
            live += signals(assemble(scenes.PRISM, workspace, first + i, first + i + 1), scenes.SETTINGS)
        expected = [s for s in whole_signals() if first + at < s.timestamp // 60_000 <= first + at + 150]
        assert len(live) > 5
        assert live == expected
