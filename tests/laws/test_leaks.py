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


class TestAGapJudgedByItsTotalLength:
    """At minute 5 of a silence nobody knows how long it will last: the length rule is a leak of the border."""

    @staticmethod
    def by_total_length(present, policy):
        state = np.zeros(len(present), dtype=np.int8)
        edges = np.flatnonzero(np.diff(np.concatenate(([1], present.astype(np.int8), [1]))))
        for a, b in edges.reshape(-1, 2):
            state[a:b] = gaps.BRIDGED if b - a <= 60 else gaps.UNKNOWN
        return state

    @staticmethod
    def states_differ(times, columns, cut):
        policy = gaps.GapPolicy("bridge", 5)
        whole = Bars.from_rows(MINUTE, times, columns, policy)
        early = times <= cut
        part = Bars.from_rows(MINUTE, times[early], {k: v[early] for k, v in columns.items()}, policy)
        grid = min(len(whole), int(cut // 60_000 - whole.first) + 1)
        present = np.zeros(grid, dtype=bool)
        present[(times[early] // 60_000 - whole.first).astype(int)] = True
        cut_states = gaps_in_use(present, policy)
        return bool((cut_states != whole.state[:grid]).any()) or len(part) > grid

    @pytest.mark.parametrize(("rule", "leaks"), [("causal", False), ("length", True)])
    def test_is_found_by_cutting_the_raw_rows(self, rule, leaks, monkeypatch):
        global gaps_in_use
        gaps_in_use = gaps.classify if rule == "causal" else self.by_total_length
        monkeypatch.setattr("virtuoso.market.bars.classify", gaps_in_use)
        times, columns = rows(seed=3, bars=2_000)
        outage = times[np.argmax(np.diff(times) > 60_000 * 100)]
        cuts = [outage + 60_000 * k for k in (3, 10, 40, 80)]
        assert any(self.states_differ(times, columns, cut) for cut in cuts) == leaks


gaps_in_use = gaps.classify


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
