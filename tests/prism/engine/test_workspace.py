"""Anchored blocks: what the function is shown, what counts, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import START, market
from virtuoso.clock import Timeframe
from virtuoso.errors import DeclarationError, MissingColumnError, NotLoadedError
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.component import Component, Feature
from virtuoso.prism.engine.graph import divergence_of
from virtuoso.prism.engine.score import score
from virtuoso.prism.engine.workspace import Workspace, block_length, visible
from virtuoso.prism.features.structure import Structure
from virtuoso.prism.prism import Prism
from virtuoso.prism.scale import Squash

MINUTE = Timeframe("1m")


class Probe(Component):
    """Records what it is shown."""

    title = source = "test"
    scale = Squash(1.0)
    bands = {0: ""}
    seen: list = []

    def memory(self, timeframe):
        return 30

    def warmup(self, timeframe):
        return 10

    def value(self, close, first, wanted):
        self.seen.append((first, wanted, len(close)))
        return np.arange(first, first + len(close), dtype=float)


@pytest.fixture(autouse=True)
def _forget():
    Probe.seen.clear()


def values(frame: MarketFrame, node=None, timeframe=MINUTE, block=64):
    bars = frame.bars(timeframe)
    return Workspace(frame, block).values(node or Probe(), timeframe, bars.first, bars.end)[0]


class TestWhatTheFunctionIsShown:
    def test_is_the_block_and_the_memory_before_it(self):
        frame = market(bars=300, gaps=False)
        values(frame)
        starts = [first for first, _, _ in Probe.seen]
        anchored = [b * 64 - 30 for b in range(START // 64 + 1, (START + 299) // 64 + 1)]
        assert starts[0] == START
        assert starts[1:] == anchored

    def test_starts_at_the_same_bar_when_the_block_is_extended_one_by_one(self):
        frame = market(bars=300, gaps=False)
        workspace = Workspace(frame, 64)
        last = (START + 299) // 64 * 64
        for number in range(last, START + 300):
            workspace.values(Probe(), MINUTE, number, number + 1)
        assert {first for first, _, _ in Probe.seen} == {last - 30}
        assert [wanted for _, wanted, _ in Probe.seen] == list(range(30, 30 + START + 300 - last))

    def test_never_holds_an_unknown_bar(self):
        class Finite(Probe):
            def value(self, close, high):
                assert np.isfinite(close).all()
                return close

        values(market(bars=3_000), Finite())

    def test_is_several_blocks_at_once_where_the_bits_do_not_depend_on_the_start(self):
        class Windowed(Probe):
            windowed = True

        values(market(bars=300, gaps=False), Windowed())
        assert [first for first, _, _ in Probe.seen] == [START]

    def test_is_what_is_missing_where_a_later_block_is_there(self):
        class Windowed(Probe):
            windowed = True

        workspace = Workspace(market(bars=640, gaps=False), 64)
        workspace.values(Windowed(), MINUTE, START + 320, START + 384)
        workspace.values(Windowed(), MINUTE, START, START + 640)
        shown = [(first, first + wanted, first + length) for first, wanted, length in Probe.seen]
        assert [(wanted, end) for _, wanted, end in shown] == [
            (START + 320, START + 384), (START + 9, START + 320), (START + 384, START + 640),
        ]  # fmt: skip

    def test_is_computed_only_once(self):
        workspace = Workspace(market(bars=300, gaps=False), 64)
        workspace.values(Probe(), MINUTE, START, START + 300)
        calls = len(Probe.seen)
        workspace.values(Probe(), MINUTE, START, START + 300)
        assert len(Probe.seen) == calls


class TestWhatCounts:
    def test_is_nothing_before_the_warmup_of_a_run(self):
        frame = market(bars=3_000)
        known = np.isfinite(values(frame))
        state = frame.base.state
        run = 0
        for i, s in enumerate(state):
            run = 0 if s == 3 else run + 1
            assert known[i] == (run >= 10), i

    def test_is_the_value_of_the_bar_itself(self):
        found = values(market(bars=300, gaps=False))
        assert np.array_equal(found[9:], np.arange(START + 9, START + 300))


class TestAFeature:
    """A feature is computed in its own blocks, and its warm-up delays what builds on it."""

    def test_delays_its_consumer_by_its_own_warmup(self):
        class Slow(Feature):
            def memory(self, timeframe):
                return 25

            def value(self, close):
                return close

        class OnTop(Probe):
            slow = Slow()

            def value(self, slow):
                return slow

        found = values(market(bars=300, gaps=False), OnTop())
        assert int(np.argmax(np.isfinite(found))) == 24 + 9

    def test_on_a_slower_clock_is_seen_from_its_close_on(self):
        class Hourly(Feature):
            def memory(self, timeframe):
                return 1

            def clock(self, timeframe):
                return Timeframe("1h")

            def value(self, close, first):
                return np.arange(first, first + len(close), dtype=float)

        class Seen(Probe):
            hourly = Hourly()

            def memory(self, timeframe):
                return 1

            def warmup(self, timeframe):
                return 1

            def value(self, hourly):
                return hourly

        found = values(market(bars=300, gaps=False), Seen())
        hour = START // 60
        assert np.isnan(found[:59]).all()
        assert (found[59:119] == hour).all()
        assert found[119] == hour + 1


class TestWhatIsRefused:
    def test_history_that_exists_but_was_not_loaded(self):
        frame = market(bars=300, gaps=False)
        part = MarketFrame(frame.instrument, frame.base.since(START + 100))
        with pytest.raises(NotLoadedError, match="Load an earlier start"):
            values(part)

    def test_but_not_where_enough_of_it_was_loaded(self):
        frame = market(bars=300, gaps=False)
        part = MarketFrame(frame.instrument, frame.base.since(START + 20))
        workspace = Workspace(part, 64)
        start = (START // 64 + 2) * 64
        assert np.isfinite(workspace.values(Probe(), MINUTE, start, start + 50)[0]).all()

    def test_a_missing_column_by_name(self):
        class Needs(Probe):
            def value(self, taker_buy_volume):
                return taker_buy_volume

        frame = market(bars=300, gaps=False)
        columns = {k: v for k, v in frame.base.columns.items() if not k.startswith("taker")}
        from dataclasses import replace

        with pytest.raises(MissingColumnError, match="taker_buy_volume"):
            values(MarketFrame(frame.instrument, replace(frame.base, columns=columns)), Needs())

    def test_an_answer_of_another_length(self):
        class Short(Probe):
            def value(self, close):
                return close[1:]

        with pytest.raises(DeclarationError, match="must be as long as its inputs"):
            values(market(bars=300, gaps=False), Short())

    def test_a_warmup_longer_than_the_memory(self):
        class Wrong(Probe):
            def warmup(self, timeframe):
                return 31

        with pytest.raises(DeclarationError, match="memory 30 below its warm-up 31"):
            values(market(bars=300, gaps=False), Wrong())


class TestASlowScoreSeenFromAFastClock:
    """A 1h bar becomes visible to 5m bars when its hour has closed, never before."""

    def test_follows_the_close(self):
        five, hour = Timeframe("5m"), Timeframe("1h")
        seen = visible(np.arange(0, 36), five, hour)
        assert list(seen[:11]) == [-1] * 11
        assert list(seen[11:23]) == [0] * 12
        assert list(seen[23:35]) == [1] * 12
        assert seen[35] == 2


def test_blocks_shorten_on_slower_clocks():
    assert [block_length(Timeframe(t)) for t in ("1s", "1m", "5m", "30m", "4h")] == [1024, 1024, 512, 256, 256]


class TestWhatIsForgotten:
    """Of a long history features keep its end alone; components stay, since they are what is asked for."""

    def test_is_computed_once_more_with_the_same_bits(self):
        frame = market(bars=3_000)
        workspace = Workspace(frame, 64)
        whole = [array.copy() for array in workspace.values(Structure(), MINUTE, START, START + 3_000)]
        workspace.evict(START + 3_000, frozenset())
        assert workspace.buffers(MINUTE).by_node[Structure()].first > START
        for a, b in ((2_900, 3_000), (1_000, 1_500), (0, 3_000)):
            again = workspace.values(Structure(), MINUTE, START + a, START + b)
            assert all(np.array_equal(x[a:b], y, equal_nan=True) for x, y in zip(whole, again, strict=True))

    def test_is_not_what_the_next_bars_look_back_at(self):
        class Following(Probe):
            after = Probe()

            def value(self, after, close):
                return after

        frame = market(bars=1_000, gaps=False)
        workspace = Workspace(frame, 64)
        workspace.values(Following(), MINUTE, START, START + 900)
        workspace.evict(START + 900, frozenset())
        Probe.seen.clear()
        workspace.values(Following(), MINUTE, START + 900, START + 1_000)
        assert min(first + wanted for first, wanted, _ in Probe.seen) == START + 900

    def test_takes_room_that_does_not_grow_with_the_history(self, monkeypatch):
        monkeypatch.setattr("virtuoso.prism.engine.assembly.CHUNK", 2_048)
        prism, room = Prism.classic(), []
        for bars in (10_000, 20_000):
            workspace = score(prism, market(bars=bars), block=64).workspace
            series = workspace.buffers(MINUTE).by_node
            rows = {component for _, component, _ in prism} | {gate for face in prism.faces for gate in face.gates}
            kept = rows | {divergence_of(row) for row in rows}
            room.append(sum(found.known.nbytes for node, found in series.items() if node not in kept))
        assert 0 < room[1] <= room[0]
