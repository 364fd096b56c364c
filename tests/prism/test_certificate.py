"""The certificate: the laws on someone's own data and components, and what could not be tested."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.builders import market
from tests.laws.leaks import NextClose
from virtuoso.errors import LawBrokenError
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.certificate import Certificate, bar_by_bar, certify
from virtuoso.prism.component import Component, Int
from virtuoso.prism.face import Face
from virtuoso.prism.features.volatility import ATR
from virtuoso.prism.orderbook import MPI
from virtuoso.prism.prism import Prism
from virtuoso.prism.scale import Squash, ratio
from virtuoso.prism.technical import RSI

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
    assert not live.holds
    assert live.detail.startswith("proves nothing, only 0% of the bars have a confluence")


def test_a_script_that_no_second_process_can_run_gets_its_certificate_all_the_same():
    program = (
        "from tests.prism.test_certificate import FRAME, RSI, alone, certify\n"
        "certificate = certify(alone(RSI()), FRAME, live_bars=10)\n"
        "print(certificate.holds, certificate.untested)\n"
    )
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=True)
    assert done.stdout.startswith('True ["another process: it ended early')


def test_bar_by_bar_is_the_whole_across_an_outage_where_only_trades_are_published():
    """Minutes without a trade are not handed to the replay: it must tell fact from hole by itself."""
    frame = market(seed=11, bars=5_000, meaning="no_trade", venue="bitfinex-spot")
    outage = frame.gaps()[-1][0] // 60_000
    assert frame.stop - 1_000 < outage
    finding, _ = bar_by_bar(Prism.standard(), frame, 1_000)
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
