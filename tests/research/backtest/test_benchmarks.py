"""What a portfolio is compared with: holding, chance, each face alone, its own opposite."""

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import START
from tests.research.scenes import bars, flat, intents, market, random_intents, scored, unscored, walk
from virtuoso.account.instrument import Instrument
from virtuoso.account.risk import Limits
from virtuoso.clock import Env
from virtuoso.market.events import events_of
from virtuoso.market.schema.kinds import KINDS
from virtuoso.prism.engine.score import score
from virtuoso.research.backtest import engine
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.benchmarks import buy_and_hold, face_alone, inverted, known_faces, random_entries
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel
from virtuoso.research.backtest.round_trips import LIFE, lives
from virtuoso.signals.settings import SignalSettings
from virtuoso.signals.strategy import RuleStrategy

HOUR = 3_600_000
NO_FUNDING = FundingTerms(assume=0.0, mark_is_last=True)
FREE = Account(maker=0.0, taker=0.0, limits=Limits(max_drawdown=0.99))


def stage_of(*frames, terms=NO_FUNDING, funding=None):
    return SimulationPanel.of(frames, slippage=0.0, terms=terms, funding=funding)


def funded(frame, hours, rates, mark=100.0):
    """Settlements so many hours after the start of a market."""
    times = (START * 60_000 + np.array(hours) * HOUR).astype(np.int64)
    columns = {"rate": np.array(rates), "hours": np.full(len(rates), 8.0), "mark": np.full(len(rates), mark)}
    return {frame.instrument: events_of(KINDS["funding"], times, columns)}


class TestBuyingAndHolding:
    """Price return less fee and funding, to 1e-9."""

    RISING = bars((100, 100, 100, 100), (100, 110, 100, 110), (110, 121, 110, 121))

    def test_is_the_price_return(self):
        assert buy_and_hold(stage_of(self.RISING), FREE, 0.0) == pytest.approx([10_000.0, 11_000.0, 12_100.0], abs=1e-9)

    def test_pays_the_fee_and_slippage_once(self):
        held = buy_and_hold(stage_of(self.RISING), replace(FREE, taker=0.001), 0.002)
        units = 10_000.0 / (100.0 * 1.002 * 1.001)
        assert held[-1] == pytest.approx(units * 121.0, abs=1e-9)

    def test_pays_funding_on_what_it_holds_and_none_before(self):
        frame = flat(n=60 * 20)
        events = funded(frame, [0, 8, 16], [0.01, 0.001, -0.002])
        held = buy_and_hold(stage_of(frame, funding=events), FREE, 0.0)
        assert held[-1] == pytest.approx(10_000.0 * (1 - 0.001 + 0.002), abs=1e-9)

    def test_who_enters_at_a_settlement_pays_it_and_never_receives_it(self):
        for rate, expected in ((0.001, -0.001), (-0.001, 0.0)):
            late = bars(*[(100, 100, 100, 100)] * (60 * 9), missing=tuple(range(1, 480)))
            held = buy_and_hold(stage_of(late, funding=funded(late, [0, 8], [0.0, rate])), FREE, 0.0)
            assert held[-1] == pytest.approx(10_000.0 * (1 + expected), abs=1e-9)

    def test_is_what_the_contract_makes_of_the_same_purchase(self):
        frame = walk(4, 2_000)
        events = funded(frame, [8, 16, 24, 32], [0.001, -0.0005, 0.002, 0.0001])
        panel = stage_of(frame, funding=events)
        limits = Limits(base_size=1.0, least_scale=1.0, max_leverage=1.0, heat=1.0, max_drawdown=0.99)
        account = replace(FREE, limits=limits, leverage=1.0, isolated=False)
        made = intents(frame, (0, 1, 0.01, 1e9))
        run = engine.run(panel, {frame.instrument: made}, account)
        held = buy_and_hold(panel, account, 0.0)
        units = run.events["size"][0]
        bought = 10_000.0 / panel.bars[1, 0, 0]
        np.testing.assert_allclose((run.equity - 10_000.0) / units, (held - 10_000.0) / bought, atol=1e-9)

    def test_equal_shares_of_the_cash_go_into_each_instrument(self):
        other = bars((50, 50, 50, 50), (50, 50, 25, 25), (25, 25, 25, 25))
        other = replace(other, instrument=Instrument("binance-usdm", "ETHUSDT"))
        held = buy_and_hold(stage_of(self.RISING, other), FREE, 0.0)
        assert held[-1] == pytest.approx(5_000 * 1.21 + 5_000 * 0.5)

    def test_carries_the_last_price_over_what_is_not_known(self):
        frame = bars(*[(p, p, p, p) for p in (100, 100, 110, 1, 120)], missing=(3,))
        assert buy_and_hold(stage_of(frame), FREE, 0.0)[2:] == pytest.approx([11_000.0, 11_000.0, 12_000.0])


class TestRandomEntries:
    """The same trades at moments drawn by lot: what is left of a result that most of them reach is not timing."""

    def traded(self, frame, made, account=FREE):
        panel = stage_of(frame)
        run = engine.run(panel, {frame.instrument: made}, account)
        return panel, lives(run)

    def test_hindsight_lies_above_all_of_them_and_its_opposite_below(self):
        frame = walk(5, 4_000)
        close = frame.base.columns["close"]
        chosen = np.arange(50, 3_900, 60)
        ahead = np.sign(close[chosen + 30] - close[chosen]).astype(int)
        for sign, percentile in ((1, 1.0), (-1, 0.0)):
            made = []
            for k, side in zip(chosen.tolist(), (sign * ahead).tolist(), strict=True):
                made += [(k, side, close[k] * (1 - 0.5 * side)), (k + 30, 0)]
            panel, table = self.traded(frame, intents(frame, *made))
            found = random_entries(panel, table)
            assert found.percentile == percentile
            assert found.draws == 1_000

    def test_chance_lies_among_them(self):
        percentiles = []
        for seed in range(8):
            frame = walk(seed, 3_000)
            panel, table = self.traded(frame, random_intents(frame, seed, 150))
            percentiles.append(random_entries(panel, table, draws=200).percentile)
        assert 0.15 < np.mean(percentiles) < 0.85
        assert np.ptp(percentiles) > 0.2

    def test_keeps_costs_sides_and_lengths(self):
        frame = flat(n=600)
        account = replace(FREE, taker=0.001)
        panel, table = self.traded(frame, intents(frame, (10, 1, 90.0), (30, 0), (50, -1, 110.0), (90, 0)), account)
        found = random_entries(panel, table, draws=50)
        assert found.low == found.high == pytest.approx(-table["fees"].sum())

    def test_pays_the_funding_of_the_bars_that_it_then_holds(self):
        frame = flat(n=60 * 24)
        panel = stage_of(frame, funding=funded(frame, [0, 8, 16], [0.0, 0.001, 0.001]))
        run = engine.run(
            panel, {frame.instrument: intents(frame, (10, 1, 90.0), (11, 0), (20, 1, 90.0), (1_430, 0))}, FREE
        )
        table = lives(run)
        found = random_entries(panel, table[1:].repeat(2), draws=50)
        assert found.mean == pytest.approx(-2 * 0.002 * table["size"][1] * 100.0)

    def test_the_same_seed_gives_the_same_draws(self):
        frame = walk(2, 2_000)
        panel, table = self.traded(frame, random_intents(frame, 2, 100))
        here, there, other = (random_entries(panel, table, env=Env(seed=s)) for s in (3, 3, 4))
        assert here == there != other

    @pytest.mark.parametrize("n", [0, 1])
    def test_E48_too_few_trades_are_not_testable(self, n):
        found = random_entries(stage_of(flat()), np.zeros(n, dtype=LIFE))
        assert found.draws == 0
        assert np.isnan(found.percentile)


class TestInverted:
    """The same moments, the other side, levels mirrored about the price."""

    def test_twice_inverted_is_what_it_was(self):
        made = random_intents(market(3, bars=1_000), 3, 50)
        again = inverted(inverted(made))
        for name in made.dtype.names:
            np.testing.assert_allclose(again[name], made[name], rtol=1e-12)

    def test_a_stop_stays_on_the_losing_side_and_a_target_on_the_other(self):
        frame = flat(n=12)
        found = inverted(intents(frame, (2, 1, 98.0, 105.0)))[0]
        assert (found["side"], found["stop"], found["target"][0]) == (-1, 102.0, 95.0)

    def test_on_a_mirrored_path_it_earns_what_ours_earned(self):
        up = bars(*[(100 + k, 100 + k, 100 + k, 100 + k) for k in range(6)])
        down = bars(*[(100 - k, 100 - k, 100 - k, 100 - k) for k in range(6)])
        made = intents(up, (0, 1, 90.0, 200.0), (4, 0))
        ours = engine.run(stage_of(up), {up.instrument: made}, FREE)
        theirs = engine.run(stage_of(down), {up.instrument: inverted(made)}, FREE)
        assert theirs.equity == pytest.approx(ours.equity)


class TestAFaceAlone:
    """The same rule and account with one face as the whole confluence."""

    @pytest.fixture(scope="class")
    @classmethod
    def scores(cls):
        return scored(market(7, bars=6_000))

    def test_is_what_a_prism_of_that_face_alone_scores(self, scores):
        alone = face_alone(scores, "technical")
        again = score(scores.prism.reweighted({"technical": 1.0, "orderbook": 0.0}), scores.frame)
        for name in ("confluence", "coverage", "reliability", "agreement"):
            assert getattr(alone, name).tobytes() == getattr(again, name).tobytes(), name

    def test_is_run_for_every_face_of_which_something_is_known(self, scores):
        settings = SignalSettings(min_coverage=0.05)
        result = backtest([scores], FREE, strategy=RuleStrategy.of([scores], settings), funding_terms=NO_FUNDING)
        assert list(result.faces_alone) == known_faces([scores])
        assert all(found["trades"] > 0 for found in result.faces_alone.values())

    def test_is_left_out_where_the_intents_were_handed_in(self):
        frame = flat()
        result = backtest(
            [unscored(frame)], FREE, intents_of={frame.instrument: intents(frame)}, funding_terms=NO_FUNDING
        )
        assert result.faces_alone == {}
