"""A market frame: windows, cuts, gaps, and moments."""

from __future__ import annotations

import pytest

from tests.builders import START, market
from virtuoso.clock import Timeframe
from virtuoso.errors import NotLoadedError

FRAME = market(seed=2, bars=3_000)


class TestAWindow:
    def test_wants_answers_for_bars_that_open_inside_it(self):
        part = FRAME.within((START + 100) * 60_000, (START + 200) * 60_000)
        assert (part.start, part.stop, len(part)) == (START + 100, START + 200, 100)

    def test_keeps_what_lies_before_to_be_remembered(self):
        part = FRAME.within((START + 100) * 60_000, None)
        assert part.base.first == START

    def test_begins_with_the_first_bar_that_opens_in_it(self):
        assert FRAME.within((START + 100) * 60_000 + 1, None).start == START + 101

    def test_narrows_a_window(self):
        part = FRAME.within((START + 100) * 60_000, (START + 200) * 60_000).within((START + 50) * 60_000, None)
        assert (part.start, part.stop) == (START + 100, START + 200)


class TestACut:
    def test_forgets_every_bar_that_had_not_closed(self):
        assert FRAME.until((START + 100) * 60_000).base.end == START + 100
        assert FRAME.until((START + 100) * 60_000 - 1).base.end == START + 99

    def test_is_another_market_by_its_fingerprint(self):
        assert FRAME.until((START + 100) * 60_000).fingerprint != FRAME.fingerprint


class TestAMoment:
    def test_sees_the_last_bar_that_had_closed(self):
        assert FRAME.number_at((START + 5) * 60_000) == START + 4
        assert FRAME.number_at((START + 6) * 60_000 - 1) == START + 4

    def test_outside_the_frame_is_refused_with_what_there_is(self):
        with pytest.raises(NotLoadedError, match="there are closes from 2020-01-03"):
            FRAME.number_at(START * 60_000)


def test_gaps_are_the_stretches_of_unknown_bars():
    outages = [(end - start) // 60_000 for start, end in FRAME.gaps()]
    assert outages == [30 - 5, 150 - 5]  # the first five minutes of a silence are bridged


def test_prints_what_it_is():
    assert repr(FRAME).startswith("<MarketFrame BTCUSDT simulated 1m 3,000 bars 2020-01-03 00:00:00Z to")
    assert repr(FRAME.within(0, 1)).endswith("empty>")


def test_slow_bars_are_folded_once():
    assert FRAME.bars(Timeframe("5m")) is FRAME.bars(Timeframe("5m"))
