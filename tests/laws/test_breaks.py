"""Where history begins anew nothing is remembered: by no component, on no clock, in batch or live."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import market
from virtuoso import workflows
from virtuoso.clock import Timeframe
from virtuoso.market.breaks import marked
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BREAK, CUT
from virtuoso.prism.engine.score import score
from virtuoso.prism.face import Face
from virtuoso.prism.faces.technical import RSI
from virtuoso.prism.laws import laws
from virtuoso.prism.laws.certificate import replayed
from virtuoso.prism.prism import Prism

PRISM = Prism.classic()
BARS = 9_000
MISPRINT, GAP, LAUNCH = 5_000, 6_000, 7_500
"""Positions of a misprint, of the last bar of the old instrument, and of the first of the new one."""
SAID = 8_437
"""Position at which a user says that another one begins."""


def broken(said: bool = True) -> MarketFrame:
    """A market with a misprint, another instrument after a gap of a day, and a third one that the user tells of."""
    frame = market(seed=7, bars=BARS, lit=True)
    base = frame.base
    columns = {name: values.copy() for name, values in base.columns.items()}
    state, share = base.state.copy(), base.share.copy()
    columns["high"][MISPRINT] = 1e9
    for name in ("open", "high", "low", "close"):
        columns[name][LAUNCH:] *= 1e-3
    for values in columns.values():
        values[GAP + 1 : LAUNCH] = np.nan
    state[[MISPRINT, *range(MISPRINT + 1, MISPRINT + 4), GAP, LAUNCH, SAID - 1, SAID]] = 0
    state[GAP + 1 : LAUNCH], share[GAP + 1 : LAUNCH] = 3, 0.0
    for values in columns.values():  # what the market left out is there at the bars that matter
        for at in (*range(MISPRINT - 3, MISPRINT + 4), GAP, LAUNCH, SAID - 1, SAID):
            if not np.isfinite(values[at]):
                values[at] = values[np.flatnonzero(np.isfinite(values[:at]))[-1]]
    breaks = (int((base.first + SAID) * 60_000),) if said else ()
    bars = replace(base, columns=columns, state=state, share=share)
    return MarketFrame(frame.instrument, marked(bars, breaks), breaks=breaks)


def test_the_market_holds_what_it_is_for():
    base = broken().base
    assert np.flatnonzero(base.state == CUT).tolist() == [MISPRINT + 3]
    assert np.flatnonzero(base.state == BREAK).tolist() == [LAUNCH, SAID]


@pytest.mark.parametrize("at", [MISPRINT + 3, LAUNCH, SAID], ids=["misprint", "launch", "said"])
def test_what_lies_before_changes_no_bit_after(at):
    frame = broken()
    other = {name: values.copy() for name, values in frame.base.columns.items()}
    for values in other.values():
        values[:at] *= 1.0 + 0.5 * np.sin(np.arange(at))
    changed = MarketFrame(frame.instrument, replace(frame.base, columns=other))
    ours, theirs = (score(PRISM, one).arrays() for one in (frame, changed))
    stop = {MISPRINT + 3: GAP, LAUNCH: SAID, SAID: BARS}[at]
    known = 0
    for name, values in ours.items():
        a, b = values[..., at + 1 : stop], theirs[name][..., at + 1 : stop]
        same = (a == b) | ((a != a) & (b != b))
        assert same.all(), f"{name} differs first at {at + 1 + int(np.argmax(~same))}"
        known += int(np.isfinite(a).sum())
    assert known > 10_000


@pytest.mark.parametrize("stop", [MISPRINT + 200, LAUNCH + 300, SAID + 300])
def test_live_is_batch(stop):
    frame = broken()
    part = frame.within(None, (frame.base.first + stop) * 60_000)
    whole = score(PRISM, part).arrays()
    for name, values in replayed(PRISM, part, 400).items():
        there = whole[name][-400:]
        assert ((values == there) | ((values != values) & (there != there))).all(), name


def test_a_market_with_breaks_is_certified():
    prism = Prism((Face("technical", "Technical", {RSI(): 1.0}),), {"technical": 1.0}, {"1m": 1.0})
    certificate = workflows.verify(broken().within(None, None), prism, live_bars=3_000)
    assert not certificate.broken


@pytest.mark.parametrize("node", [component for _, component, _ in PRISM], ids=repr)
@pytest.mark.parametrize("law", [laws.cutting, laws.future], ids=lambda law: law.__name__)
def test_a_component_obeys(node, law):
    finding = law(node, FRAME, Timeframe("1m"), block=64)
    assert not finding.broken, str(finding)


FRAME = broken()
