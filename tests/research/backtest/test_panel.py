"""The stage: each instrument at its own bars, marks and spreads as they were known, funding at its own times."""

from dataclasses import replace

import numpy as np
import pytest

from tests.research.scenes import bars, flat, intents, market
from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.account.instrument import Instrument
from virtuoso.account.risk import Limits
from virtuoso.account.state import room_for
from virtuoso.clock import UNIT_MS
from virtuoso.errors import ConfigError, NoDataError
from virtuoso.market.events import events_of
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BRIDGED, NO_TRADE, TRADED, UNKNOWN
from virtuoso.market.schema.kinds import KINDS
from virtuoso.research.backtest.engine import Account, run
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel

HOUR = UNIT_MS["h"]
FREE = FundingTerms(assume=0.0, mark_is_last=True)
RISING = [(100.0 + k, 102.0 + k, 99.0 + k, 101.0 + k) for k in range(20)]
FRAME = market(4, bars=3_000, gaps=True, venue="binance-usdm")
START = FRAME.start * 60_000
EIGHT = 8 * 3_600_000
PAID = np.array([0.0001, 0.0002, 0.0003, 0.0004, 0.0005, 0.0006, 0.0007])


def settled(times, rates, marks=None):
    marks = np.full(len(times), np.nan) if marks is None else marks
    columns = {"rate": rates, "hours": np.full(len(times), 8.0), "mark": marks}
    return {FRAME.instrument: events_of(KINDS["funding"], np.asarray(times), columns)}


def staged(funding, assume=None):
    return SimulationPanel.of([FRAME], funding=funding, terms=FundingTerms(assume, True))


def named(symbol, frame):
    return MarketFrame(Instrument("binance-usdm", symbol), frame.base, frame.window)


def late(frame, by):
    """The same bars, listed some bars later."""
    return MarketFrame(frame.instrument, replace(frame.base, first=frame.base.first + by))


class TestPlaces:
    """Every instrument stands at its own bars' numbers, and nothing is filled where a bar is not known."""

    def test_different_listings_stand_on_one_clock(self):
        early, later = named("BBB", bars(*RISING[:6])), named("AAA", late(bars(*RISING[:8]), 4))
        panel = SimulationPanel.of([early, later], terms=FREE)
        assert [name.symbol for name in panel.instruments] == ["AAA", "BBB"]
        assert (panel.first, len(panel)) == (early.start, 12)
        assert np.flatnonzero(np.isfinite(panel.closes[:, 0])).tolist() == list(range(4, 12))
        assert np.flatnonzero(np.isfinite(panel.closes[:, 1])).tolist() == list(range(6))
        assert panel.last.tolist() == [11, 5]
        assert panel.bars[4, 0, s.OPEN : s.CLOSE + 1].tolist() == [100.0, 102.0, 99.0, 101.0]
        assert panel.bars[5, 1, s.OPEN : s.CLOSE + 1].tolist() == [105.0, 107.0, 104.0, 106.0]
        assert panel.open_times.tolist() == [(early.start + k) * 60_000 for k in range(12)]

    def test_the_order_of_frames_changes_nothing(self):
        frames = [named("BBB", bars(*RISING[:6])), named("AAA", late(bars(*RISING[:8]), 4))]
        one, other = SimulationPanel.of(frames, terms=FREE), SimulationPanel.of(frames[::-1], terms=FREE)
        assert one.instruments == other.instruments
        assert one.bars.tobytes() == other.bars.tobytes()

    def test_bridged_and_unknown_bars_hold_nothing_at_all(self):
        frame = bars(*RISING, missing=range(3, 11), meaning="bridge")
        assert frame.base.state[3:11].tolist() == [BRIDGED] * 5 + [UNKNOWN] * 3
        panel = SimulationPanel.of([frame], terms=FREE)
        assert np.isnan(panel.bars[3:11]).all()
        assert np.isfinite(panel.bars[:3]).all()
        assert np.isfinite(panel.bars[11:]).all()
        assert panel.last.tolist() == [19]

    def test_a_bar_without_trades_is_a_bar(self):
        frame = bars(*RISING, missing=(3, 4), meaning="no_trade")
        assert frame.base.state[2:5].tolist() == [TRADED, NO_TRADE, NO_TRADE]
        panel = SimulationPanel.of([frame], terms=FREE)
        assert panel.bars[3, 0, s.OPEN : s.CLOSE + 1].tolist() == [103.0] * 4
        assert not panel.repaired.any()

    def test_what_is_bridged_or_follows_a_gap_is_repaired(self):
        panel = SimulationPanel.of([bars(*RISING, missing=(3, 4, 12), meaning="bridge")], terms=FREE)
        assert np.flatnonzero(panel.repaired[:, 0]).tolist() == [3, 4, 5, 12, 13]

    def test_a_window_is_what_is_traded_and_the_bars_before_it_are_remembered(self):
        frame = bars(*RISING, missing=(5,), meaning="bridge")
        frame.base.columns["spread"] = np.full(20, 2.0)
        window = frame.within((frame.start + 6) * 60_000, (frame.start + 9) * 60_000)
        panel = SimulationPanel.of([window], slippage=0.0, terms=FREE)
        assert (panel.first, len(panel), panel.last.tolist()) == (frame.start + 6, 3, [2])
        assert panel.repaired[:, 0].tolist() == [True, False, False]
        assert panel.bars[:, 0, s.SLIPPAGE].tolist() == [1.0 / 105.0, 1.0 / 107.0, 1.0 / 108.0]

    def test_an_instrument_that_is_never_known_has_no_last_bar(self):
        nothing = bars(*RISING[:4])
        nothing.base.state[:] = UNKNOWN
        panel = SimulationPanel.of([named("AAA", bars(*RISING[:4])), named("BBB", nothing)], terms=FREE)
        assert panel.last.tolist() == [3, -1]

    def test_other_clocks_and_the_same_instrument_twice_are_refused(self):
        with pytest.raises(ConfigError, match="trades on one timeframe, was given 1h, 1m"):
            SimulationPanel.of([named("AAA", flat()), named("BBB", flat(timeframe="1h"))], terms=FREE)
        with pytest.raises(ConfigError, match="holds each instrument once"):
            SimulationPanel.of([flat(), flat()], terms=FREE)


class TestSlippage:
    """Half the spread that was known when the bar opened, and never less than the configured share."""

    def slipped(self, spread, least):
        frame = bars(*RISING[: len(spread)])
        frame.base.columns["spread"] = np.array(spread)
        return SimulationPanel.of([frame], slippage=least, terms=FREE).bars[:, 0, s.SLIPPAGE].tolist()

    def test_is_that_of_the_bar_before(self):
        found = self.slipped([1.0, 2.0, 4.0, 8.0], 0.0001)
        assert found == [0.0001, 0.5 / 101.0, 1.0 / 102.0, 2.0 / 103.0]

    def test_is_at_least_the_configured_share(self):
        assert self.slipped([1.0, 4.0, 1.0, 8.0], 0.008) == [0.008, 0.008, 2.0 / 102.0, 0.008]

    def test_is_the_configured_share_where_the_book_was_not_known(self):
        assert self.slipped([2.0, np.nan, 2.0, 2.0], 0.003) == [0.003, 1.0 / 101.0, 0.003, 1.0 / 103.0]

    def test_a_dearer_stage_differs_in_nothing_else(self):
        panel = SimulationPanel.of([bars(*RISING)], slippage=0.003, terms=FREE)
        dearer = panel.dearer(2.0)
        assert (dearer.bars[:, :, s.SLIPPAGE] == 0.006).all()
        assert (panel.bars[:, :, s.SLIPPAGE] == 0.003).all()
        rest = [column for column in range(panel.bars.shape[2]) if column != s.SLIPPAGE]
        assert dearer.bars[:, :, rest].tobytes() == panel.bars[:, :, rest].tobytes()


class TestMarks:
    """Recorded marks, with the premium of both ends in between; the last price only where somebody says so."""

    BARS = ((100, 104, 98, 102), (103, 106, 100, 104), (105, 108, 101, 106))

    def marked(self, *marks, terms=FundingTerms(0.0, False), frame=None):  # noqa: B008
        frame = frame or bars(*self.BARS)
        frame.base.columns["mark"] = np.array(marks)
        return SimulationPanel.of([frame], terms=terms)

    def test_open_with_the_premium_of_the_close_before_and_close_as_recorded(self):
        found = self.marked(102 * 1.01, 104 * 0.98, 106 * 1.02).bars[:, 0]
        np.testing.assert_allclose(found[:, s.MARK_OPEN], [100 * 1.01, 103 * 1.01, 105 * 0.98])
        assert found[:, s.MARK_CLOSE].tolist() == [102 * 1.01, 104 * 0.98, 106 * 1.02]

    def test_extremes_take_the_worse_premium_of_both_ends(self):
        found = self.marked(102 * 1.01, 104 * 0.98, 106 * 1.02).bars[:, 0]
        np.testing.assert_allclose(found[:, s.MARK_HIGH], [104 * 1.01, 106 * 1.01, 108 * 1.02])
        np.testing.assert_allclose(found[:, s.MARK_LOW], [98 * 1.01, 100 * 0.98, 101 * 0.98])

    def test_after_a_gap_the_open_has_the_last_premium_before_it(self):
        """It once had none, and who held through the gap lost the whole account to a funding of NaN."""
        frame = bars(*[(100, 101, 99, 100)] * 20, missing=range(4, 12), meaning="cut", timeframe="1h")
        frame.base.columns["mark"] = np.where(np.arange(20) < 12, 101.0, 102.0)
        frame.base.columns["mark"][frame.base.state == UNKNOWN] = np.nan
        times = frame.start * HOUR + 8 * HOUR * np.arange(3)
        funding = settled(times, np.full(3, 0.001))
        panel = SimulationPanel.of([frame], funding=funding)
        assert np.isnan(panel.bars[4:12]).all()
        assert panel.bars[12, 0, [s.MARK_OPEN, s.MARK_HIGH, s.MARK_LOW, s.MARK_CLOSE]].tolist() == pytest.approx(
            [101.0, 101.0 * 1.02, 99.0 * 1.01, 102.0]
        )
        assert panel.bars[12, 0, s.FUNDING_OPEN] == 0.001 * panel.bars[12, 0, s.MARK_OPEN]
        done = run(panel, {frame.instrument: intents(frame, (1, 1, 50.0, 300.0))}, Account(limits=Limits()))
        paid = done.events[done.events["kind"] == r.FUNDED]
        assert paid["funding"].tolist() == pytest.approx([-0.001 * 101.0 * done.events["size"][0],
                                                          -0.001 * 102.0 * done.events["size"][0]])  # fmt: skip
        assert np.isfinite(done.equity).all()

    def test_a_mark_that_is_missing_anywhere_is_refused(self):
        with pytest.raises(NoDataError, match=r"not known for 1 of 3 bars.*--mark last"):
            self.marked(101.0, np.nan, 103.0)

    def test_or_the_last_price_stands_for_all_of_them_and_it_is_said_once(self):
        panel = self.marked(150.0, np.nan, 150.0, terms=FREE)
        found = panel.bars[:, 0]
        assert found[:, s.MARK_OPEN : s.MARK_CLOSE + 1].tolist() == found[:, s.OPEN : s.CLOSE + 1].tolist()
        assert panel.assumptions.count("the last price stands for the mark price") == 1

    def test_bars_that_are_not_known_need_no_mark(self):
        frame = bars(*RISING, missing=range(3, 11))
        marks = np.where(frame.base.state == UNKNOWN, np.nan, 105.0)
        assert np.isnan(marks).sum() == 3
        panel = self.marked(*marks, frame=frame)
        assert panel.bars[[2, 11], 0, s.MARK_CLOSE].tolist() == [105.0, 105.0]

    def test_spot_has_the_last_price_for_a_mark_and_pays_no_funding(self):
        frame = bars(*RISING, venue="binance-spot", timeframe="1h")
        frame.base.columns["mark"] = np.full(20, 500.0)
        funding = {frame.instrument: settled([frame.start * HOUR + 8 * HOUR], [0.01])[FRAME.instrument]}
        panel = SimulationPanel.of([frame], funding=funding)
        found = panel.bars[:, 0]
        assert found[:, s.MARK_OPEN : s.MARK_CLOSE + 1].tolist() == found[:, s.OPEN : s.CLOSE + 1].tolist()
        assert not found[:, [s.FUNDING_OPEN, s.FUNDING_INSIDE]].any()
        assert panel.assumptions == ()


class TestSettlements:
    """Each is paid in its own bar, on its own mark or that of the bar: at the open, or inside."""

    FRAME = bars(*RISING, timeframe="1h")
    ZERO = FRAME.start * HOUR

    def paid(self, times, rates, marks=None, frame=None):
        """What is paid at the open and inside each bar, as two dicts by bar."""
        funding = settled(self.ZERO + np.array(times, dtype=np.int64), np.array(rates), marks)
        found = SimulationPanel.of([frame or self.FRAME], funding=funding, terms=FREE).bars[:, 0]
        return tuple({int(k): float(of[k]) for k in np.flatnonzero(np.nan_to_num(of))} for of in
                     (found[:, s.FUNDING_OPEN], found[:, s.FUNDING_INSIDE]))  # fmt: skip

    def test_at_an_open_by_the_mark_there(self):
        assert self.paid([3 * HOUR], [0.01]) == ({3: 0.01 * 103.0}, {})

    def test_inside_a_bar_by_the_mark_at_its_close(self):
        assert self.paid([3 * HOUR + HOUR // 2], [0.01]) == ({}, {3: 0.01 * 104.0})

    def test_a_recorded_mark_comes_before_both(self):
        found = self.paid([3 * HOUR, 5 * HOUR + HOUR // 2], [0.01, 0.02], np.array([200.0, 300.0]))
        assert found == ({3: 0.01 * 200.0}, {5: 0.02 * 300.0})

    @pytest.mark.parametrize("late", [1, 6, 59_999, 60_000])
    def test_up_to_a_minute_late_it_is_that_of_its_hour(self, late):
        assert self.paid([3 * HOUR + late], [0.01]) == ({3: 0.01 * 103.0}, {})

    def test_later_than_that_it_settles_inside(self):
        assert self.paid([3 * HOUR + 60_001], [0.01]) == ({}, {3: 0.01 * 104.0})

    def test_just_before_an_hour_it_belongs_to_the_bar_that_ends(self):
        assert self.paid([4 * HOUR - 1], [0.01]) == ({}, {3: 0.01 * 104.0})

    def test_several_in_one_bar_add_up(self):
        times = [3 * HOUR, 3 * HOUR + 6, 3 * HOUR + HOUR // 4, 3 * HOUR + HOUR // 2]
        at_open, inside = self.paid(times, [0.01, 0.02, 0.04, -0.08])
        assert at_open == {3: 0.01 * 103.0 + 0.02 * 103.0}
        assert inside == {3: 0.04 * 104.0 - 0.08 * 104.0}

    def test_before_the_first_bar_and_after_the_last_one_nothing_settles(self):
        assert self.paid([-HOUR, -1, 20 * HOUR, 20 * HOUR + 6], [0.01] * 4) == ({}, {})
        assert self.paid([0, 20 * HOUR - 1], [0.01] * 2) == ({0: 0.01 * 100.0}, {19: 0.01 * 120.0})

    def test_in_a_gap_whatever_settles_is_paid_together_at_the_next_open(self):
        frame = bars(*RISING, missing=range(5, 9), meaning="cut", timeframe="1h")
        times = [5 * HOUR, 6 * HOUR + HOUR // 2, 9 * HOUR - 1, 9 * HOUR + HOUR // 2]
        at_open, inside = self.paid(times, [0.01, 0.02, 0.04, 0.08], frame=frame)
        assert at_open == {9: 0.01 * 109.0 + 0.02 * 109.0 + 0.04 * 109.0}
        assert inside == {9: 0.08 * 110.0}

    def test_after_the_last_known_bar_nothing_is_held_any_more(self):
        frame = bars(*RISING, timeframe="1h")
        frame.base.state[17:] = UNKNOWN
        assert self.paid([16 * HOUR, 17 * HOUR, 18 * HOUR + 1], [0.01] * 3, frame=frame) == ({16: 0.01 * 116.0}, {})

    def test_each_instrument_has_its_own_at_its_own_listing(self):
        frames = [named("AAA", self.FRAME), named("BBB", late(self.FRAME, 4))]
        given = settled([self.ZERO + 8 * HOUR], [0.01])[FRAME.instrument]
        both = SimulationPanel.of(frames, funding={frame.instrument: given for frame in frames}, terms=FREE)
        found = both.bars[:, :, s.FUNDING_OPEN]
        assert found[8].tolist() == [0.01 * 108.0, 0.01 * 104.0]
        alone = SimulationPanel.of(frames, funding={frames[1].instrument: given}, terms=FREE)
        assert alone.bars[8, :, s.FUNDING_OPEN].tolist() == [0.0, 0.01 * 104.0]


class TestWhatIsNotRecorded:
    """Is refused with the moment from which it is missing, or assumed and said."""

    FRAME = bars(*RISING, *RISING, timeframe="1h")
    ZERO = FRAME.start * HOUR

    def test_without_any_it_is_missing_from_the_first_bar(self):
        with pytest.raises(NoDataError, match="not known from 2020-01-03 00:00:00Z on"):
            SimulationPanel.of([self.FRAME], terms=FundingTerms(None, True))

    def test_a_silence_of_more_than_eight_hours_is_a_hole(self):
        terms = FundingTerms(None, True)
        whole = self.ZERO + HOUR * np.array([0, 8, 16, 24, 32])
        assert SimulationPanel.of([self.FRAME], funding=settled(whole, np.ones(5)), terms=terms).assumptions[1:] == ()
        late_by_an_hour = self.ZERO + HOUR * np.array([0, 8, 17, 24, 32])
        with pytest.raises(NoDataError, match="not known from 2020-01-03 08:00:00Z on"):
            SimulationPanel.of([self.FRAME], funding=settled(late_by_an_hour, np.ones(5)), terms=terms)

    def test_what_settled_before_the_first_bar_counts_for_the_silence(self):
        times = self.ZERO + HOUR * np.array([-4, 4, 12, 20, 28, 36])
        panel = SimulationPanel.of(
            [self.FRAME], funding=settled(times, np.full(6, 0.01)), terms=FundingTerms(None, True)
        )
        assert np.flatnonzero(panel.bars[:, 0, s.FUNDING_OPEN]).tolist() == [4, 12, 20, 28, 36]

    def test_is_assumed_every_eight_hours_of_the_day_and_said(self):
        panel = SimulationPanel.of([late(self.FRAME, 3)], terms=FundingTerms(0.001, True))
        found = panel.bars[:, 0]
        at = np.flatnonzero(found[:, s.FUNDING_OPEN])
        assert at.tolist() == [5, 13, 21, 29, 37]
        assert found[at, s.FUNDING_OPEN].tolist() == (0.001 * found[at, s.MARK_OPEN]).tolist()
        assert panel.assumptions == (
            "the last price stands for the mark price",
            "funding of 0.1000% every eight hours is assumed where none is recorded",
        )


class TestRoom:
    """There is room for every event that orders and settlements can bring, however often funding settles."""

    def test_grows_with_orders_settlements_and_instruments(self):
        frame = bars(*RISING, timeframe="1h")
        times = frame.start * HOUR + np.array([0, 3 * HOUR, 3 * HOUR + HOUR // 2, 5 * HOUR + 1])
        frames = [frame, named("ETHUSDT", frame)]
        panel = SimulationPanel.of(frames, funding=settled(times, np.full(4, 0.01)), terms=FREE)
        assert room_for(7, panel.bars) == 8 * 7 + 3 * 4 + 12 * 2

    def test_is_enough_where_funding_settles_twice_in_every_bar(self):
        frame = flat(n=400, timeframe="1h")
        times = frame.start * HOUR + HOUR // 2 * np.arange(800)
        panel = SimulationPanel.of([frame], funding=settled(times, np.full(800, 1e-5)), terms=FREE)
        done = run(panel, {frame.instrument: intents(frame, (1, 1, 10.0, 900.0))}, Account())
        assert (done.events["kind"] == r.FUNDED).sum() == 2 * 398
        assert done.events["funding"].sum() == pytest.approx(-2 * 398 * 1e-5 * 100.0 * done.events["size"][0])


class TestASettlementInAGap:
    """Is paid at the open of the next bar that is known, never forgotten."""

    def test_is_moved_to_the_next_known_bar(self):
        times = START + EIGHT * np.arange(7)
        plain = staged(settled(times, PAID)).bars[:, 0]
        lost = int(np.flatnonzero(np.isnan(plain[:, s.OPEN]) & (np.arange(len(plain)) > 490))[3])
        moved = times.copy()
        moved[2] = START + lost * 60_000
        found = staged(settled(np.sort(moved), PAID), assume=0.0).bars[:, 0]
        after = lost + int(np.argmax(np.isfinite(found[lost:, s.OPEN])))
        rate = PAID[int(np.searchsorted(np.sort(moved), moved[2]))]
        assert found[after, s.FUNDING_OPEN] == rate * found[after, s.MARK_OPEN]

    def test_every_settlement_is_paid_somewhere(self):
        bars = staged(settled(START + EIGHT * np.arange(7), PAID)).bars[:, 0]
        assert np.count_nonzero(np.nan_to_num(bars[:, [s.FUNDING_OPEN, s.FUNDING_INSIDE]])) == 7


class TestAHoleInTheRecording:
    """What is assumed fills the hole alone: what was recorded stays as it was."""

    def test_keeps_the_recorded_rates(self):
        recorded = START + EIGHT * np.array([0, 1, 5, 6])
        panel = staged(settled(recorded, np.full(4, 0.002)), assume=0.0001)
        bars = panel.bars[:, 0]
        at = np.flatnonzero(np.nan_to_num(bars[:, s.FUNDING_OPEN]))
        rates = bars[at, s.FUNDING_OPEN] / bars[at, s.MARK_OPEN]
        np.testing.assert_allclose(rates, [0.002, 0.002, 0.0001, 0.0001, 0.0001, 0.002, 0.002])
        assert any("assumed where none is recorded" in words for words in panel.assumptions)
