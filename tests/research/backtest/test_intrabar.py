"""Finer bars inside those of a stage: where they tell the order of prices they decide it, elsewhere nothing changes."""

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import market
from tests.research.scenes import bars, flat, intents, random_intents
from virtuoso.account import state as s
from virtuoso.account.instrument import Instrument
from virtuoso.account.records import FUNDED, STOPPED, TARGETED
from virtuoso.account.risk import Limits
from virtuoso.clock import Timeframe
from virtuoso.errors import ConfigError
from virtuoso.market.events import events_of
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import UNKNOWN
from virtuoso.market.schema.kinds import KINDS
from virtuoso.research.backtest.engine import Account, bounds, run
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel

FREE = FundingTerms(assume=0.0, mark_is_last=True)
HOUR = Timeframe("1h")
ACCOUNT = Account(limits=Limits(max_drawdown=0.9))


def folded(fine, clock=HOUR):
    return MarketFrame(fine.instrument, fine.bars(clock))


def named(frame, symbol):
    return MarketFrame(Instrument("binance-usdm", symbol), frame.base)


def staged(*frames, inside=(), **how):
    return SimulationPanel.of(frames, terms=FREE, inside={frame.instrument: frame for frame in inside}, **how)


def same(one, other):
    assert one.events.tobytes() == other.events.tobytes()
    assert one.equity.tobytes() == other.equity.tobytes()
    assert one.exposure.tobytes() == other.exposure.tobytes()
    assert (one.refused, one.cut, one.halts.tolist()) == (other.refused, other.cut, other.halts.tolist())


class TestABarThatIsNotTold:
    """Is to the contract as if there were no finer clock."""

    FINE = market(5, bars=20_000, gaps=True, venue="binance-usdm")

    def elsewhere(self):
        """Finer bars of another day, which tell nothing of this one."""
        return MarketFrame(self.FINE.instrument, replace(self.FINE.base, first=self.FINE.base.first + 2**20))

    @pytest.mark.parametrize(
        "account",
        [
            ACCOUNT,
            replace(ACCOUNT, isolated=False, trail=1.0),
            Account(limits=Limits(max_drawdown=0.02), halt=True, reset_halt=1),
        ],
        ids=("isolated", "cross, trailing", "halted"),
    )
    def test_trades_like_a_stage_without_finer_bars(self, account):
        slow = folded(self.FINE)
        made = {slow.instrument: random_intents(slow, 3, 120)}
        panel = staged(slow, inside=[self.elsewhere()])
        assert not panel.inside.told.any()
        for one, other in zip(bounds(panel, made, account), bounds(staged(slow), made, account), strict=True):
            same(one, other)

    def test_is_one_that_lacks_a_finer_bar_or_has_other_prices(self):
        fine = market(6, bars=600, gaps=False, venue="binance-usdm")
        slow = folded(fine)
        high = fine.base.columns["high"].copy()
        high[130] *= 1.5
        state = fine.base.state.copy()
        state[70] = UNKNOWN
        base = replace(fine.base, columns={**fine.base.columns, "high": high}, state=state)
        told = staged(slow, inside=[MarketFrame(fine.instrument, base)]).inside.told[:, 0]
        hours = (fine.base.first + np.array([70, 130])) // 60 - slow.start
        assert np.flatnonzero(~told & np.isfinite(slow.base.columns["close"])).tolist() == hours.tolist()


class TestABarThatIsTold:
    """Its finer bars say what came first."""

    SLOW = bars((100, 100, 100, 100), (100, 104, 97, 101), (101, 101, 101, 101), timeframe="5m")

    def outcome(self, *minutes):
        """What becomes of a long with stop 98 and target 103 that enters at the open of the second bar."""
        fine = bars(*[(100, 100, 100, 100)] * 5, *minutes, *[(101, 101, 101, 101)] * 5)
        made = intents(self.SLOW, (0, 1, 98.0, 103.0))
        made["size"][:, 0] = 1.0
        panel = staged(self.SLOW, inside=[fine], slippage=0.0)
        done = run(panel, {self.SLOW.instrument: made}, ACCOUNT)
        return [(int(e["kind"]), bool(e["ambiguous"]), int(e["instant"] - panel.first)) for e in done.events[1:]]

    def test_the_target_first(self):
        path = ((100, 104, 100, 103), (103, 103, 97, 97), (97, 99, 97, 99), (99, 100, 99, 100), (100, 101, 100, 101))
        assert self.outcome(*path) == [(TARGETED, False, 1)]

    def test_the_stop_first(self):
        path = ((100, 100, 97, 98), (98, 100, 98, 100), (100, 104, 100, 104), (104, 104, 101, 101), (101,) * 4)
        assert self.outcome(*path) == [(STOPPED, False, 1)]

    def test_both_in_one_finer_bar_stay_in_doubt(self):
        path = ((100, 104, 97, 100), (100,) * 4, (100,) * 4, (100,) * 4, (100, 101, 100, 101))
        assert self.outcome(*path) == [(STOPPED, True, 1)]


class TestManyInstruments:
    """Each is told by its own finer bars, or not."""

    def test_one_with_finer_bars_leaves_the_other_as_it_was(self):
        fine, other = (
            market(7, bars=12_000, gaps=False, venue="binance-usdm"),
            market(8, bars=12_000, gaps=False, venue="binance-usdm"),
        )
        slow, beside = named(folded(fine), "BTCUSDT"), named(folded(other), "ETHUSDT")
        made = {frame.instrument: random_intents(frame, k, 80) for k, frame in enumerate((slow, beside))}
        panel = staged(slow, beside, inside=[named(fine, "BTCUSDT")])
        assert panel.inside.told.mean(axis=0).tolist() == [1.0, 0.0]
        small = replace(ACCOUNT, limits=Limits(max_drawdown=0.9, base_size=1e-6, correlation=1.0))
        plain, finer = run(staged(slow, beside), made, small), run(panel, made, small)
        for column in ("kind", "instant", "price"):
            mine, again = (done.events[column][done.events["instrument"] == 1] for done in (plain, finer))
            np.testing.assert_array_equal(mine, again)

    def test_all_are_on_one_finer_clock(self):
        fine = market(7, bars=1_200, venue="binance-usdm")
        with pytest.raises(ConfigError, match="intrabar path of bars of 1h"):
            staged(folded(fine), inside=[folded(fine, Timeframe("2h"))])


class TestWhatIsPaid:
    """Funding settles at its own time, and dearer slippage is dearer inside as well."""

    def test_settlements_inside_a_bar_fall_into_their_finer_bar(self):
        fine = folded(market(9, bars=5_000, gaps=False, venue="binance-usdm"), Timeframe("1h"))
        slow = folded(fine, Timeframe("1d"))
        times = fine.start * HOUR.ms + 8 * HOUR.ms * np.arange(9)
        rates = {"rate": np.full(9, 0.001), "hours": np.full(9, 8.0), "mark": np.full(9, np.nan)}
        funding = {fine.instrument: events_of(KINDS["funding"], times, rates)}
        panel = SimulationPanel.of(
            [slow], funding=funding, terms=FundingTerms(0.0, True), inside={fine.instrument: fine}
        )
        assert panel.inside.told.any()
        paid = panel.inside.bars[:, 0, s.FUNDING_OPEN].reshape(-1, 24)[panel.inside.told[:, 0]]
        assert (np.nan_to_num(paid) > 0.0).sum(axis=1).tolist() == [3] * len(paid)
        assert (np.nan_to_num(panel.inside.bars[:, 0, s.FUNDING_INSIDE]) == 0.0).all()

    def test_a_year_of_hourly_settlements_inside_days_is_paid_one_by_one(self):
        """More events than the days alone would bring: they once were written beyond the end of the table."""
        fine = flat(n=24 * 300, timeframe="1h")
        slow = folded(fine, Timeframe("1d"))
        n = len(fine)
        rates = {"rate": np.full(n, 1e-5), "hours": np.ones(n), "mark": np.full(n, np.nan)}
        funding = {fine.instrument: events_of(KINDS["funding"], fine.start * HOUR.ms + HOUR.ms * np.arange(n), rates)}
        terms, made = FundingTerms(None, True), {fine.instrument: intents(slow, (1, 1, 10.0, 900.0))}
        days, hours = (
            run(SimulationPanel.of([slow], funding=funding, terms=terms, inside=inside), made, ACCOUNT)
            for inside in ({}, {fine.instrument: fine})
        )
        held = 298 * 24
        assert (hours.events["kind"] == FUNDED).sum() == held
        assert hours.events["funding"].sum() == pytest.approx(-held * 1e-5 * hours.events["size"][0] * 100.0)
        assert days.events["funding"].sum() == pytest.approx(hours.events["funding"].sum())

    def test_dearer_slippage(self):
        fine = market(9, bars=3_000, venue="binance-usdm")
        slow = folded(fine)
        panel, made = staged(slow, inside=[fine]), {slow.instrument: random_intents(slow, 3, 30)}
        once, twice = (run(panel.dearer(k), made, ACCOUNT) for k in (1.0, 2.0))
        assert twice.events["slippage"].sum() == pytest.approx(2.0 * once.events["slippage"].sum(), rel=0.1)
        same(once, run(panel, made, ACCOUNT))

    def test_closes_of_the_stage_stay_its_own(self):
        fine = market(9, bars=3_000, venue="binance-usdm")
        panel = staged(folded(fine), inside=[fine])
        assert panel.bars[:, 0, s.CLOSE].tobytes() == staged(folded(fine)).bars[:, 0, s.CLOSE].tobytes()
        assert np.isfinite(panel.inside.bars[:, 0, s.OPEN]).sum() > 50 * panel.inside.told.sum()
