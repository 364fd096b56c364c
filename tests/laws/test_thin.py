"""The laws on a market that hardly trades, where everything ties, and on starts that overlap."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import thin_market
from virtuoso.market.gaps import UNKNOWN
from virtuoso.prism.features.profile import ValueArea
from virtuoso.prism.laws import laws
from virtuoso.prism.prism import Prism

PRISM = Prism.classic()
NODES = [component for _, component, _ in PRISM] + [gate for face in PRISM.faces for gate in face.gates]
MARKETS = {"minutes": thin_market(), "hours": thin_market(seed=3, bars=4_000, timeframe="1h")}
KNOWN = 0.2
"""Share that must be known on one of the two for the law to say anything; much of such a market is not known."""


def test_the_market_ties():
    for frame in MARKETS.values():
        columns, known = frame.base.columns, frame.base.state != UNKNOWN
        high, volume = columns["high"][known], columns["volume"][known]
        assert len(np.unique(volume)) <= 3
        assert (high[1:] == high[:-1]).mean() > 0.5


@pytest.mark.parametrize("node", NODES, ids=lambda n: f"{type(n).__module__.split('.')[-1]}.{n!r}")
def test_mirror(node):
    findings = [laws.mirror(node, frame, frame.timeframe, block=64) for frame in MARKETS.values()]
    for finding in findings:
        assert finding.worst <= laws.MIRROR_TOLERANCE, str(finding)
    assert max(finding.known for finding in findings) >= KNOWN, str(findings[0])


def test_between_two_places_of_equal_volume_the_point_of_control_takes_neither():
    """Two bars far apart, alike in range and volume: the profile is its own mirror, and so are its levels."""
    low = np.concatenate((np.full(48, 100.0), np.full(48, 104.0)))
    low = np.concatenate((np.full(14, 102.0), low[::2], low[1::2]))
    volume = np.concatenate((np.zeros(14), np.ones(96)))
    control, bottom, top = (x[-1] for x in ValueArea().value(low + 1.0, low, volume, 0, 0))
    assert control == pytest.approx(102.5)
    assert (bottom + top) / 2.0 == pytest.approx(102.5)


def test_between_two_places_of_trade_the_edge_of_value_is_not_drawn_to_the_upper_one():
    """Half of the volume lies below a stretch without any trade: the median price is its middle, in both mirrors."""
    low = np.concatenate((np.full(14, 102.0), np.full(24, 100.0), np.full(48, 103.0), np.full(24, 106.0)))
    volume = np.concatenate((np.zeros(14), np.ones(96)))
    area = ValueArea(share=0.5)
    here = [x[-1] for x in area.value(low + 1.0, low, volume, 0, 0)]
    there = [206.0 + 1.0 - x[-1] for x in area.value(207.0 - low, 206.0 - low, volume, 0, 0)]
    assert here[0] == pytest.approx(there[0])
    assert here[1] == pytest.approx(there[2])
    assert here[2] == pytest.approx(there[1])
