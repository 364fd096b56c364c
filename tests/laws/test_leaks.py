"""The laws are themselves tested: every seeded leak is caught, no clean component is accused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.builders import market, rows
from tests.laws import leaks
from tests.laws.leaks import CLEAN, HIDING, HONEST, LEAKS, TELLING, Component, Momentum, OneIn8192
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.market import gaps
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.laws import laws
from virtuoso.prism.laws.findings import Finding, rarest

MINUTE = Timeframe("1m")
FRAME = market(seed=3, bars=2_000)
LONG = market(seed=7, bars=9_000)
ALL = {**LEAKS, **HIDING}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[laws.FreshValues]:
    """One fresh process for all of them: a process each would take a minute."""
    with laws.FreshValues([(node, MINUTE) for node in (*ALL, *CLEAN, *HONEST)], FRAME, 64) as there:
        yield there


@pytest.fixture(autouse=True)
def a_file(working_folder: Path) -> None:
    """Something that lies in the working folder, and in no other process's."""
    (working_folder / "here.txt").touch()


def examined(node: Component, elsewhere: laws.FreshValues) -> list[Finding]:
    """What `laws.examine` finds."""
    frame = market(seed=3, bars=2_000)  # its own: some of them write to their input
    findings = laws.within(node, frame, MINUTE, block=64)
    return [*findings, laws.purity_elsewhere(node, frame, MINUTE, elsewhere, block=64)]


def test_there_are_enough_leaks():
    assert len(LEAKS) >= 13
    assert len(HIDING) + len(TELLING) >= 12


@pytest.mark.parametrize(("leak", "law"), ALL.items(), ids=map(repr, ALL))
def test_every_leak_is_caught(leak, law, elsewhere):
    findings = examined(leak, elsewhere)
    assert law in [finding.law for finding in findings if not finding.holds and finding.verdict != "not tested"]
    assert any(finding.broken for finding in findings) or law in ("memory", "units", "mirror")


def test_what_needs_more_memory_than_the_default_is_told_to_declare_it():
    finding = laws.memory(leaks.Undeclared(), FRAME, MINUTE, block=64)
    assert not finding.holds
    assert "declare memory(timeframe) if it looks at more than the 21 bars of the default" in finding.detail
    assert "declare memory" not in laws.memory(leaks.LongAverage(), FRAME, MINUTE, block=64).detail  # it did


@pytest.mark.parametrize("component", CLEAN, ids=repr)
def test_no_clean_component_is_accused(component, elsewhere):
    for finding in examined(component, elsewhere):
        assert finding.holds, str(finding)


@pytest.mark.parametrize(("component", "said"), HONEST.items(), ids=map(repr, HONEST))
def test_what_knows_only_the_past_is_not_broken(component, said, elsewhere):
    findings = examined(component, elsewhere)
    assert [str(finding) for finding in findings if finding.broken] == []
    assert said in [(finding.law, finding.verdict) for finding in findings]
    noted = [finding for finding in findings if finding.verdict == "noted"]
    assert all("by itself no look-ahead" in finding.detail for finding in noted)


class TestTheRareLeak:
    """On a few bars: where a leak would love it, the default finds it; anywhere else, cutting at every bar does."""

    @pytest.mark.parametrize("leak", TELLING, ids=repr)
    def test_is_caught_at_the_bars_that_a_leak_would_love(self, leak, monkeypatch):
        monkeypatch.setattr(laws, "RANDOM", 10)  # cuts at random alone would miss it
        seen = LONG.base.columns
        places = leak.where(seen["close"], seen["high"], seen["low"], seen["volume"], LONG.base.first)
        assert 1 <= np.count_nonzero(places) <= 50
        assert laws.cutting(leak, LONG, MINUTE).broken

    def test_is_caught_by_cutting_at_every_bar(self):
        finding = laws.cutting(OneIn8192(), FRAME, MINUTE, exhaustive=True)
        assert (finding.broken, finding.rarest) == (True, 1)
        assert laws.cutting(Momentum(), FRAME, MINUTE, exhaustive=True).holds

    def test_may_escape_otherwise_and_how_rare_it_is_then_is_told(self):
        finding = laws.cutting(OneIn8192(), FRAME, MINUTE)
        assert (finding.holds, finding.rarest) == (True, rarest(1_000, 2_000))
        assert rarest(1_000, 2_000) == 334

    def test_escapes_as_often_as_is_told(self):
        random, bars = np.random.default_rng(5), 20_000
        cuts = laws.scattered(np.arange(bars), 1_000)
        leaking = [random.choice(bars, bars // 334, replace=False) for _ in range(2_000)]
        assert np.mean([np.isin(at, cuts).any() for at in leaking]) >= 0.94


def test_one_component_is_examined_with_a_fresh_process_of_its_own():
    accused = [f for f in laws.examine(leaks.OrderOfASet(period=22), FRAME, MINUTE, block=64) if f.broken]
    assert [finding.law for finding in accused] == ["purity"]
    assert "fresh process with another hash seed" in accused[0].detail


def test_a_class_that_no_other_process_finds_is_not_tested_there():
    class Here(Momentum):
        """Written in a function."""

    (last,) = [f for f in laws.examine(Here(), FRAME, MINUTE, block=64) if f.verdict == "not tested"]
    assert (last.law, "it could not import Here" in last.detail) == ("purity", True)


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
