"""Every law, over every component of the registry and every feature it builds on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import hours, market
from virtuoso.clock import Timeframe
from virtuoso.prism.component import Component, Node
from virtuoso.prism.engine.graph import total_warmup
from virtuoso.prism.features.divergence import ClassicDivergence
from virtuoso.prism.laws import laws
from virtuoso.prism.prism import Prism

PRISM = Prism.classic()
COMPONENTS = [component for _, component, _ in PRISM]
GATES = [gate for face in PRISM.faces for gate in face.gates]
DIVERGENCES = [ClassicDivergence(oscillator=component) for component in COMPONENTS if component.oscillator]
MINUTES, HOURS = market(seed=7, bars=9_000, lit=True), hours(bars=6_000, lit=True)


def features_of(node: Node) -> set[Node]:
    sources = {getattr(node, name, None) for name in node.arguments}
    own = {source for source in sources if isinstance(source, Node) and not isinstance(source, Component)}
    return own.union(*(features_of(feature) for feature in own)) if own else own


FEATURES = sorted(set().union(*(features_of(node) for node in COMPONENTS + GATES + DIVERGENCES)), key=repr)


def ground(node: Node):
    """A market long enough for a node: minutes, or hours for what looks back over weeks."""
    minute = Timeframe("1m")
    own = node.clock(minute)
    warm = total_warmup(node, own) * own.ms // minute.ms
    return (MINUTES, minute) if warm < 6_000 else (HOURS, Timeframe("1h"))


@pytest.mark.parametrize("node", [*COMPONENTS, *GATES], ids=lambda n: f"{type(n).__module__.split('.')[-1]}.{n!r}")
class TestEveryComponent:
    @pytest.mark.parametrize(
        "law",
        [
            laws.cutting,
            laws.future,
            laws.memory,
            laws.units,
            laws.bounds,
            laws.mirror,
            laws.continuity,
            laws.purity,
            laws.epoch,
        ],
        ids=lambda law: law.__name__,
    )
    def test_obeys(self, node, law):
        frame, timeframe = ground(node)
        finding = law(node, frame, timeframe, block=64)
        assert finding.holds, str(finding)

    def test_obeys_cutting_at_the_standard_block_length(self, node):
        frame, timeframe = ground(node)
        finding = laws.cutting(node, frame, timeframe)
        assert finding.holds, str(finding)


@pytest.mark.parametrize("node", [*FEATURES, *DIVERGENCES], ids=repr)
@pytest.mark.parametrize("law", [laws.cutting, laws.future, laws.purity], ids=lambda law: law.__name__)
def test_every_feature_obeys(node, law):
    frame, timeframe = ground(node)
    own = node.clock(timeframe)
    finding = law(node, frame, own, block=64)
    assert finding.holds, str(finding)


@given(data=st.data())
def test_cutting_anywhere_changes_no_bit(data):
    node = data.draw(st.sampled_from([*COMPONENTS, *GATES, *DIVERGENCES]))
    frame, timeframe = ground(node)
    bars = frame.bars(timeframe)
    cuts = data.draw(
        st.lists(st.integers(bars.first + len(bars) // 2, bars.end - 1), min_size=2, max_size=4, unique=True)
    )
    finding = laws.cutting(node, frame, timeframe, block=data.draw(st.sampled_from([64, 100, 256])), cuts=cuts)
    # a few cuts beside a hole compare mostly unknown values: that they prove little is no fault of the component
    assert finding.worst == 0.0, str(finding)


class TestTheCuts:
    """A cut that crosses nothing proves nothing."""

    def test_cross_a_block_edge_a_gap_and_a_session_start(self):
        cuts = laws.cut_points(MINUTES, Timeframe("1m"), block=64)
        state = MINUTES.base.state
        assert any(cut % 64 == 0 for cut in cuts)
        assert any(cut % 1440 == 0 for cut in cuts)
        assert any(state[cut - MINUTES.base.first] != state[cut - 1 - MINUTES.base.first] for cut in cuts)


@pytest.mark.parametrize("frame", [MINUTES, HOURS], ids=["minutes", "hours"])
def test_another_process_finds_the_same_bits(frame):
    """Everything in the registry, by a fresh interpreter with another hash seed and clock, after other markets."""
    nodes = [node for node in (*COMPONENTS, *GATES, *DIVERGENCES) if ground(node)[0] is frame]
    with laws.FreshValues([(node, ground(node)[1]) for node in nodes], frame, 64) as elsewhere:
        for node in nodes:
            finding = laws.purity_elsewhere(node, frame, ground(node)[1], elsewhere, block=64)
            assert finding.holds, str(finding)
