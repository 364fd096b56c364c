"""The certificate: the laws on someone's own data and components, and what could not be tested."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.builders import market
from tests.laws.leaks import LongOnly, Momentum, NextClose, OneIn8192, Writing
from virtuoso.errors import LawBrokenError
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import UNKNOWN
from virtuoso.prism.component import Component, Int
from virtuoso.prism.face import Face
from virtuoso.prism.faces.orderbook import MPI
from virtuoso.prism.faces.technical import RSI
from virtuoso.prism.features.volatility import ATR
from virtuoso.prism.laws.certificate import Certificate, bar_by_bar, certify
from virtuoso.prism.prism import Prism
from virtuoso.prism.scale import Squash, ratio

FRAME = market(seed=11, bars=5_000)


def alone(component: Component) -> Prism:
    return Prism((Face("mine", "Mine", {component: 1.0}),), {"mine": 1.0}, {"1m": 1.0})


def typed_in_a_notebook() -> Component:
    """A component whose class no other process could import."""

    class Tilt(Component):
        title, source, scale, bands = "Tilt", "a test", Squash(half=3.0), {0: "{value:.1f} ranges"}
        atr = ATR()
        period: int = Int(24, low=2, high=200)

        def memory(self, timeframe):
            return self.period + 1

        def value(self, close, atr):
            moved = np.full(len(close), np.nan)
            moved[self.period :] = close[self.period :] - close[: -self.period]
            return ratio(moved, atr)

    return Tilt()


class TestACertificateOfAnHonestComponent:
    """It holds, says on what, and how the bars were compared."""

    def test_holds_and_compares_bar_by_bar_in_another_process(self):
        certificate = certify(alone(RSI()), FRAME, live_bars=40)
        assert certificate.holds
        assert certificate.broken == []
        live = certificate.findings[-1]
        assert (live.law, live.known, live.compared) == ("live", 1.0, 40 * 15)
        assert "in another process" in live.detail
        assert certificate.untested == []
        assert str(certificate).startswith(f"{FRAME.instrument} 1m 2020-01-03 00:00:00Z to ")
        assert "every law holds" in str(certificate)
        assert certificate.to_dict()["rarest"] == {"1m": 334}
        assert "a leak on one bar in 334 on 1m is caught with 95 %" in str(certificate)

    def test_of_a_class_that_no_other_process_could_import_says_so(self):
        certificate = certify(alone(typed_in_a_notebook()), FRAME, live_bars=40)
        assert certificate.holds
        assert "in this process" in certificate.findings[-1].detail
        assert certificate.untested == ["another process: it could not import Tilt: write it into a module of its own"]

    def test_becomes_json(self):
        certificate = certify(alone(typed_in_a_notebook()), FRAME, live_bars=10)
        assert json.loads(json.dumps(certificate.to_dict()))["holds"] is True

    def test_names_what_the_data_cannot_test(self):
        certificate = certify(alone(RSI()), market(seed=11, bars=900), live_bars=0)
        assert certificate.findings == []
        assert certificate.untested == ["mine.rsi on 1m: 900 bars are fewer than the 2246 it takes"]


@pytest.fixture(scope="module")
def broken() -> Certificate:
    return certify(alone(NextClose()), FRAME, live_bars=40)


class TestACertificateOfALeakingComponent:
    """It is broken, and names the first offending bar."""

    def test_does_not_hold(self, broken):
        assert not broken.holds
        assert {"cutting", "future", "live"} <= {finding.law for finding in broken.broken}

    def test_names_the_first_offending_bar(self, broken):
        first = broken.broken[0]
        assert FRAME.timeframe.close_time(FRAME.base.first) < first.at < FRAME.timeframe.close_time(FRAME.base.end)
        assert f"BROKEN for {NextClose()!r} 1m first at " in str(broken)

    def test_is_an_error_for_who_insists(self, broken):
        with pytest.raises(LawBrokenError, match="BROKEN"):
            broken.broken[0].insist()


def test_bars_of_which_nothing_is_known_certify_nothing():
    gone = market(seed=11, bars=5_000)
    for values in gone.base.columns.values():
        values[-300:] = np.nan
    live = certify(alone(RSI()), gone, live_bars=200).findings[-1]
    assert live.verdict == "not tested"
    assert live.detail.startswith("proves nothing, only 0% of the bars have a confluence")


def test_a_script_without_a_main_guard_gets_its_certificate_from_another_process_too():
    program = (
        "from tests.prism.laws.test_certificate import FRAME, RSI, alone, certify\n"
        "certificate = certify(alone(RSI()), FRAME, live_bars=10)\n"
        "print(certificate.holds, certificate.untested)\n"
    )
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=True)
    assert done.stdout == "True []\n"  # the other process never runs the script


def test_bar_by_bar_is_the_whole_across_an_outage_where_only_trades_are_published():
    """Minutes without a trade are not handed to the replay: it must tell fact from hole by itself."""
    frame = market(seed=11, bars=5_000, meaning="no_trade", venue="bitfinex-spot")
    outage = frame.gaps()[-1][0] // 60_000
    assert frame.stop - 1_000 < outage
    finding, _ = bar_by_bar(Prism.classic(), frame, 1_000)
    assert finding.holds, str(finding)


class TestAComponentThatIsHardlyKnown:
    """Is not tested, and named with the share that is known: what proves nothing neither accuses nor acquits."""

    def test_is_listed_with_its_share(self):
        frame = market(seed=5, bars=4_000, lit=True, gaps=False)
        lean = frame.base.columns["micro_lean"].copy()
        lean[: len(lean) * 2 // 3] = np.nan
        columns = {**frame.base.columns, "micro_lean": lean}
        dark = MarketFrame(frame.instrument, replace(frame.base, columns=columns))
        prism = Prism((Face("book", "Book", {MPI(): 1.0}),), {"book": 1.0}, {"1m": 1.0})
        found = certify(prism, dark, live_bars=0)
        assert any("known on only 3" in reason for reason in found.untested)
        assert found.holds


def together(*components: Component) -> Prism:
    weights = {component: 1.0 / len(components) for component in components}
    return Prism((Face("mine", "Mine", weights),), {"mine": 1.0}, {"1m": 1.0})


@pytest.fixture(scope="module")
def several() -> Certificate:
    return certify(together(Writing(), LongOnly(), Momentum()), FRAME, live_bars=0)


class TestACertificateOfSeveral:
    """One writes to its input, one is long-only: only the first is broken, and the third is not accused for it."""

    def test_what_writes_to_its_input_accuses_nobody_else(self, several):
        assert {finding.node for finding in several.broken} == {"Writing()"}

    def test_what_is_no_look_ahead_is_noted(self, several):
        (noted,) = [finding for finding in several.noted if finding.node == "LongOnly()"]
        assert noted.law == "mirror"
        assert "mirror noted for LongOnly() 1m first at" in str(several)
        noted.insist()
        with pytest.raises(LawBrokenError, match="by itself no look-ahead"):
            noted.insist(strictly=True)


def test_a_long_halt_is_no_fault_of_a_component():
    """What is compared is known where there are bars; where most of them are missing, nothing is broken either."""
    whole = market(seed=11, bars=6_000, gaps=False)
    base = whole.base
    state, columns = base.state.copy(), {name: values.copy() for name, values in base.columns.items()}
    state[1_800:5_700] = UNKNOWN
    for values in columns.values():
        values[1_800:5_700] = np.nan
    halted = MarketFrame(whole.instrument, replace(base, state=state, columns=columns))
    certificate = certify(alone(RSI()), halted, live_bars=1_000)
    assert certificate.holds, str(certificate)
    assert "not tested" in {finding.verdict for finding in certificate.findings}  # the last 1,000 bars are silent
    assert {finding.verdict for finding in certificate.findings if finding.law == "cutting"} == {"holds"}


class TestHowRareALeakMayBe:
    """Cut at every bar, none is too rare."""

    def test_cut_at_every_bar_none_is(self):
        told: list[tuple[str, int, int]] = []
        prism = together(OneIn8192(), RSI(), typed_in_a_notebook())
        short = market(seed=11, bars=2_500)
        certificate = certify(prism, short, live_bars=0, exhaustive=True, progress=lambda *step: told.append(step))
        every = [finding for finding in certificate.findings if finding.detail.endswith("cut at every bar")]
        assert {finding.node for finding in every} >= {"OneIn8192()", "RSI()", "Tilt()", "ATR()"}
        assert {finding.node for finding in every if finding.broken} == {"OneIn8192()"}
        assert certificate.rarest == {"1m": 1}
        assert "no leak of a component is too rare" in str(certificate)
        assert any(what.startswith("cut at every bar") for what, _, _ in told)
