"""Nothing is held over a break: positions are settled, orders lapse, benchmarks end, forward returns are not known."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.research.scenes import NAN, bars, intents, unscored, walk
from tests.research.test_sweep import NEVER, around, events_in_full, scored, stage_of, tight
from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.account.risk import Limits
from virtuoso.clock import Env
from virtuoso.market.breaks import marked
from virtuoso.market.events import events_of
from virtuoso.market.frame import MarketFrame
from virtuoso.market.schema.kinds import KINDS
from virtuoso.research.backtest import benchmarks
from virtuoso.research.backtest.checks import examine
from virtuoso.research.backtest.engine import Account, run
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel
from virtuoso.research.backtest.round_trips import lives
from virtuoso.research.sweep.sweep import Sweep, sweep
from virtuoso.research.validation.stress import resampled
from virtuoso.signals.moves import forward_returns

FREE = FundingTerms(assume=0.0, mark_is_last=True)
ACCOUNT = Account(cash=10_000.0, limits=Limits(max_drawdown=1.0), leverage=1.0)
OLD, NEW = [(100.0, 101.0, 99.0, 100.0)] * 10, [(9.0, 9.1, 8.9, 9.0)] * 10
GAP = 4


def launched(gap=GAP, old=OLD, new=NEW, venue="binance-usdm"):
    """An instrument that another one follows after a gap; the break is said, since the gap is short."""
    table = [*old, *[(1.0, 1.0, 1.0, 1.0)] * gap, *new]
    frame = bars(*table, missing=range(len(old), len(old) + gap), venue=venue)
    moment = (frame.base.first + len(old) + gap) * 60_000
    return MarketFrame(frame.instrument, marked(frame.base, [moment]), breaks=(moment,))


def traded(frame, *made, account=ACCOUNT, funding=None, terms=FREE, entry=NAN):
    panel = SimulationPanel.of([frame], terms=terms, funding=funding, slippage=0.0)
    wishes = intents(frame, *made)
    wishes["entry"] = entry
    wishes["expires"] = wishes["number"] + 1_000
    return run(panel, {frame.instrument: wishes}, account)


def kinds(done):
    return [r.KINDS[kind] for kind in done.events["kind"]]


@pytest.mark.parametrize("gap", [0, GAP])
@pytest.mark.parametrize(("side", "stop"), [(1, 50.0), (-1, 150.0)])
class TestAPosition:
    def test_is_settled_at_the_last_mark_before_the_break(self, gap, side, stop):
        done = traded(launched(gap), (3, side, stop))
        assert kinds(done) == ["entry", "break"]
        assert done.events["price"].tolist() == [100.0, 100.0]
        assert done.events["instant"][1] == done.panel.first + 10 + gap
        assert lives(done)["reason"].tolist() == [r.BROKEN]
        assert done.equity[-1] == pytest.approx(10_000.0 - done.events["fee"].sum())
        assert not done.exposure[10 + gap :].any()

    def test_is_entered_anew_only_on_what_is_decided_afterwards(self, gap, side, stop):
        done = traded(launched(gap), (3, side, stop), (13 + gap, side, 9.0 - side * 4.0))
        assert kinds(done) == ["entry", "break", "entry"]


class TestWhatWaits:
    @pytest.mark.parametrize("gap", [0, GAP])
    def test_a_limit_lapses(self, gap):
        done = traded(launched(gap), (3, 1, 5.0), entry=50.0)
        assert kinds(done) == ["lapsed"]

    def test_a_market_order_of_the_last_close_enters_nothing(self):
        done = traded(launched(0), (9, 1, 5.0))
        assert kinds(done) == ["lapsed"]

    def test_an_exit_of_the_last_close_is_the_settlement(self):
        done = traded(launched(0), (3, 1, 5.0), (9, 0))
        assert kinds(done) == ["entry", "break"]

    @pytest.mark.parametrize("trail", [0.0, 1.0])
    def test_neither_stop_nor_target_nor_trailing_stop_is_met_on_the_other_side(self, trail):
        account = replace(ACCOUNT, trail=trail)
        assert kinds(traded(launched(), (3, 1, 50.0, 130.0), account=account)) == ["entry", "break"]
        up = launched(new=[(1e6, 1e6, 1e6, 1e6)] * 10)
        assert kinds(traded(up, (3, 1, 50.0, 130.0), account=account)) == ["entry", "break"]
        assert kinds(traded(up, (3, -1, 150.0, 20.0), account=account)) == ["entry", "break"]

    @pytest.mark.parametrize("isolated", [True, False])
    def test_nobody_is_liquidated_by_another_instrument(self, isolated):
        account = replace(ACCOUNT, leverage=20.0, isolated=isolated)
        assert kinds(traded(launched(), (3, 1, 50.0), account=account)) == ["entry", "break"]


class TestFunding:
    def events(self, frame, *at):
        start = frame.start * 60_000
        columns = {"rate": np.full(len(at), 0.01), "hours": np.full(len(at), 8.0), "mark": np.full(len(at), NAN)}
        return {frame.instrument: events_of(KINDS["funding"], start + 60_000 * np.array(at), columns)}

    def test_between_two_instruments_is_nobodys(self):
        frame = launched()
        held = traded(frame, (3, 1, 50.0), funding=self.events(frame, 5, 12))
        assert kinds(held) == ["entry", "funding", "break"]
        late = traded(frame, (15, 1, 1.0), funding=self.events(frame, 5, 12))
        assert kinds(late) == ["entry"]
        assert late.panel.bars[14, 0, s.FUNDING_OPEN] == 0.0  # who enters by lot at that bar owes nothing either

    def test_at_the_open_of_the_new_one_is_not_paid_by_the_old_one(self):
        frame = launched()
        assert kinds(traded(frame, (3, 1, 50.0), funding=self.events(frame, 14))) == ["entry", "break"]

    def test_a_gap_of_days_before_a_break_is_no_hole(self):
        frame = launched(gap=3_000)
        at = [*range(0, 10, 5), 3_010, 3_015]
        panel = SimulationPanel.of([frame], terms=replace(FREE, assume=None), funding=self.events(frame, *at))
        assert np.count_nonzero(np.nan_to_num(panel.bars[:, 0, s.FUNDING_OPEN])) == 4


class TestBenchmarks:
    @pytest.mark.parametrize(("old", "new"), [(OLD, NEW), (NEW, OLD)])
    def test_holding_ends_with_the_instrument(self, old, new):
        frame = launched(old=old, new=new, venue="binance-spot")
        panel = SimulationPanel.of([frame], slippage=0.0)
        assert "BTCUSDT is another instrument from" in panel.assumptions[0]
        equity = benchmarks.buy_and_hold(panel, ACCOUNT, 0.0)
        assert equity[-1] == equity[10 + GAP]
        assert equity[-1] == pytest.approx(10_000.0 * (1.0 - 2.0 * ACCOUNT.taker), rel=1e-6)

    def test_random_entries_end_with_it(self):
        frame = launched(venue="binance-spot")
        done = traded(frame, (2, 1, 50.0), (6, 0), (7, 1, 50.0), (9, 0), account=ACCOUNT)
        panel = SimulationPanel.of([frame], slippage=0.0)
        found = benchmarks.random_entries(panel, lives(done), draws=200)
        assert found.high <= 0.0
        assert found.low > -200.0

    def test_two_instruments_of_which_one_breaks_are_not_alike(self):
        panel = SimulationPanel.of([launched(gap=0)], terms=FREE)
        returns = np.diff(np.log(panel.closes[:, 0]))
        assert np.nanmax(np.abs(returns)) == 0.0

    def test_the_canaries_hold(self):
        frame = walk(3, 800, venue="binance-usdm")
        frame = MarketFrame(frame.instrument, marked(frame.base, [(frame.start + 400) * 60_000]))
        panel = SimulationPanel.of([frame], terms=FREE)
        made = {frame.instrument: intents(frame, (5, 1, 50.0), (12, -1, 150.0), (600, 1, 5.0))}
        for found in examine(panel, made, ACCOUNT):
            assert found.holds, str(found)


def test_a_misprint_and_the_bar_that_shows_it_are_not_to_be_relied_on():
    table = [(100.0, 100.0, 100.0, 100.0)] * 12
    table[5] = (100.0, 1e6, 100.0, 100.0)
    frame = bars(*table)
    panel = SimulationPanel.of([MarketFrame(frame.instrument, marked(frame.base))], terms=FREE)
    assert np.flatnonzero(panel.repaired[:, 0]).tolist() == [5, 6, 8, 9]
    assert panel.bars[5, 0, s.HIGH] == 1e6  # whoever was there saw it


class TestStatistics:
    def test_no_forward_return_crosses_it(self):
        frame = launched(gap=0)
        gained = forward_returns(frame.base, frame.start, 20, 3)
        assert np.isnan(gained[7:10]).all()
        assert np.isfinite(gained[[*range(7), *range(10, 17)]]).all()
        assert np.nanmax(np.abs(gained)) == 0.0

    def test_no_drawn_history_holds_the_jump(self):
        frame = launched()
        for seed in range(5):
            (drawn,) = resampled([frame], 3, Env(seed=seed))
            close = drawn.base.columns["close"]
            close = close[np.isfinite(close)]
            assert np.ptp(close) < 1e-6
            assert set(drawn.base.state.tolist()) <= {0, 3}


class TestASweep:
    @pytest.mark.parametrize("entry", ["market", "retest"])
    def test_has_the_events_of_the_account(self, entry):
        scores, panel = scored(), stage_of()
        settings = around(scores, 1).settings
        levels = settings.levels.model_copy(update={"entry": entry})
        settings = settings.model_copy(update={"levels": levels})
        known = np.flatnonzero(np.isfinite(panel.closes[:, 0]))
        breaks = tuple((int(known[k]), 0) for k in range(200, len(known), 97))
        broken, account = replace(panel, breaks=breaks), Account(limits=NEVER)
        tried = tight(around(scores, 8, settings=settings))
        swept, found = Sweep(scores, tried, broken, account), Counter()
        result = sweep(scores, tried, panel=broken, account=account)
        for row in range(len(tried)):
            full = events_in_full(scores, tried, row, broken, account)
            assert swept.events(row).tobytes() == full.events.tobytes()
            assert result.column("equity")[row] == full.equity[-1]
            assert result.column("trades")[row] == (lives(full)["reason"] >= 0).sum()
            found.update(r.KINDS[kind] for kind in full.events["kind"])
        assert found["break"] > 8
        assert found["lapsed"] > 0

    def test_takes_the_breaks_of_its_frame(self):
        frame = launched(old=OLD * 6, new=NEW * 6, venue="binance-spot")
        of_frame = unscored(frame)
        assert np.flatnonzero(of_frame.frame.base.state == 5).tolist() == [64]
        assert SimulationPanel.of([frame], slippage=0.0).breaks == ((64, 0),)
