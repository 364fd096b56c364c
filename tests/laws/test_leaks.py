"""The laws are themselves tested: every seeded leak is caught, no clean component is accused."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import market, rows
from tests.laws.leaks import CLEAN, LEAKS
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.market import gaps
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.prism import laws

MINUTE = Timeframe("1m")
FRAME = market(seed=3, bars=2_000)


def test_there_are_enough_leaks():
    assert len(LEAKS) >= 13


@pytest.mark.parametrize(("leak", "law"), LEAKS.items(), ids=map(repr, LEAKS))
def test_every_leak_is_caught(leak, law):
    frame = market(seed=3, bars=2_000)  # its own: one of them writes to its input
    accused = [finding.law for finding in laws.examine(leak, frame, MINUTE, block=64) if not finding.holds]
    assert law in accused


@pytest.mark.parametrize("component", CLEAN, ids=repr)
def test_no_clean_component_is_accused(component):
    for finding in laws.examine(component, FRAME, MINUTE, block=64):
        assert finding.holds, str(finding)


def by_total_length(present: np.ndarray, policy: gaps.GapPolicy) -> np.ndarray:
    """Short gaps are bridged and long ones cut, judged by how long they turned out to be."""
    state = np.zeros(len(present), dtype=np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate(([1], present.astype(np.int8), [1]))))
    for a, b in edges.reshape(-1, 2):
        state[a:b] = gaps.BRIDGED if b - a <= 60 else gaps.UNKNOWN
    return state


class TestAGapJudgedByItsTotalLength:
    """At minute 5 of a silence nobody knows how long it will last: the length rule is a leak of the border."""

    @pytest.mark.parametrize(("rule", "holds"), [(gaps.classify, True), (by_total_length, False)])
    def test_is_found_by_cutting_the_raw_rows(self, rule, holds):
        times, _ = rows(seed=3, bars=2_000)
        present = np.zeros(2_000, dtype=bool)
        present[(times - times[0]) // 60_000] = True
        finding = laws.silence(rule, present, gaps.GapPolicy("bridge", 5), range(1_700, 1_990))
        assert finding.holds == holds, str(finding)


class TestARepairThatArrivesLater:
    """A bar repaired after the decision must not change the decision."""

    def test_is_accused_where_the_reader_ignores_availability(self):
        times, columns = rows(seed=5, bars=1_500, gaps=False, flats=False)
        decisions = [int(times[k]) + 60_000 for k in (800, 1_000, 1_499)]

        def read(repaired: bool, honest: bool):
            def at(moment: int) -> MarketFrame:
                made = {name: values.copy() for name, values in columns.items()}
                if repaired and not honest:
                    made["close"][700:] = made["high"][700:]
                keep = times < moment
                bars = Bars.from_rows(
                    MINUTE, times[keep], {k: v[keep] for k, v in made.items()}, gaps.GapPolicy("cut", 0)
                )
                return MarketFrame(Instrument("simulated", "BTCUSDT"), bars)

            return at

        clean = CLEAN[0]
        assert laws.arrival(clean, read(False, True), read(True, True), MINUTE, decisions, block=64).holds
        assert not laws.arrival(clean, read(False, True), read(True, False), MINUTE, decisions, block=64).holds
