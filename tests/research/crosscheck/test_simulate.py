"""Intents through vectorbt: decided at the close, filled at the next open, on stated terms."""

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import START
from tests.research import slow_twin
from tests.research.scenes import bars, flat, intents, market, random_intents, scored, unscored, walk
from virtuoso.account.instrument import Instrument
from virtuoso.account.metrics import r_multiples
from virtuoso.account.records import OPEN, SIGNAL, STOP, TARGET
from virtuoso.clock import Timeframe
from virtuoso.errors import ConfigError, DataError, NoDataError
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BRIDGED, NO_TRADE, UNKNOWN, policy_for
from virtuoso.market.schema.columns import REQUIRED
from virtuoso.research.crosscheck import orders
from virtuoso.research.crosscheck.orders import KnownBars, Terms
from virtuoso.research.crosscheck.simulate import simulate
from virtuoso.research.crosscheck.vectorbt import fill_orders
from virtuoso.signals import strategy
from virtuoso.signals.settings import SignalSettings

FREE = {"fees": 0.0, "slippage": 0.0}
COSTLY = {"fees": 0.0005, "slippage": 0.0002}


def recorded(file, bars=40_000):
    """The first recorded bars of BTC in a file of the data pack."""
    import pandas as pd

    table = pd.read_parquet(file)
    table = table[table["symbol"].str.startswith("BTCUSD")].sort_values("open_time_ms").iloc[:bars]
    clock = Timeframe("5m" if "_5m_" in file.name else "1m")
    instrument = Instrument("bitfinex-spot" if "bitfinex" in file.name else "binance-usdm", "BTCUSDT")
    columns = {name: table[name].to_numpy(np.float64, copy=True) for name in REQUIRED}
    times = table["open_time_ms"].to_numpy(np.int64)
    return MarketFrame(instrument, Bars.from_rows(clock, times, columns, policy_for(instrument.venue, clock.ms)))


def run(frame, *made, **terms):
    rows = made[0] if made and isinstance(made[0], np.ndarray) else intents(frame, *made)
    return simulate(unscored(frame), rows, **(FREE | {"risk": 1.0} | terms))


class TestDecideAtTheCloseActAtTheNextOpen:
    """One line, one place, and these tests."""

    FRAME = bars((10, 11, 9, 10), (20, 21, 19, 20), (30, 31, 29, 30), (40, 41, 39, 40), (50, 51, 49, 50))

    def test_an_entry_fills_at_the_open_after_the_decision(self):
        trade = run(self.FRAME, (1, 1)).trades[0]
        assert trade["entry_number"] == START + 2
        assert trade["entry_price"] == 30.0

    def test_an_exit_fills_at_the_open_after_the_decision(self):
        trade = run(self.FRAME, (0, 1), (2, 0)).trades[0]
        assert (trade["entry_price"], trade["exit_price"]) == (20.0, 40.0)
        assert trade["reason"] == SIGNAL

    def test_an_unshifted_fill_would_be_noticed(self, monkeypatch):
        monkeypatch.setattr(orders, "NEXT_OPEN", 0)
        assert run(self.FRAME, (1, 1)).trades[0]["entry_price"] == 20.0  # the open before the decision: seen too early

    def test_nothing_after_the_next_open_decides_what_is_ordered(self):
        frame = market(3, bars=1_500)
        made = random_intents(frame, 3, 60)
        tape = KnownBars.of(frame.base, frame.start, frame.stop)
        whole = orders.plan_orders(made, tape, Terms()).orders
        k = 40
        cut = int(made["number"][k]) + 2
        base = frame.base
        columns = {name: values.copy() for name, values in base.columns.items()}
        for name in ("high", "low", "close"):
            columns[name][cut - 1 - base.first :] = 7_777.0
        columns["open"][cut - base.first :] = 7_777.0
        other = KnownBars.of(replace(base, columns=columns), frame.start, frame.stop)
        garbage = orders.plan_orders(made, other, Terms()).orders
        assert whole[: k + 1].tobytes() == garbage[: k + 1].tobytes()

    def test_a_decision_at_the_last_bar_has_no_open_to_act_at(self):
        result = run(self.FRAME, (4, 1))
        assert len(result.trades) == 0
        assert result.counts["dropped: decided at the last bar"] == 1

    def test_what_the_bar_itself_did_is_worth_nothing_unless_it_is_filled_too_early(self, monkeypatch):
        """Prices without memory: only who buys at the open of the bar that he has already seen gets rich."""
        frame = walk(1, 3_000)
        rose = frame.base.columns["close"] >= frame.base.columns["open"]
        made = intents(frame, *[(k, 1 if up else -1) for k, up in enumerate(rose)])
        honest = run(frame, made).closed
        gross = honest["pnl"] / (honest["size"] * honest["entry_price"])
        assert abs(gross.mean() / (gross.std(ddof=1) / np.sqrt(len(gross)))) < 3.0
        monkeypatch.setattr(orders, "NEXT_OPEN", 0)
        assert run(frame, made).metrics["total_return"] > 2.0


class TestStopsAndTargets:
    """The intents' own prices, measured from the fill; the stop first where both are possible."""

    def test_the_stop_fills_at_its_price(self):
        frame = bars((100, 100, 100, 100), (100, 101, 99.5, 100), (100, 101, 97, 99), (99, 99, 99, 99))
        trade = run(frame, (0, 1, 98.0, 110.0)).trades[0]
        assert trade["reason"] == STOP
        assert trade["exit_price"] == pytest.approx(98.0, rel=1e-12)
        assert trade["exit_number"] == START + 2

    def test_the_target_fills_at_its_price(self):
        frame = bars((100, 100, 100, 100), (100, 101, 99.5, 100), (100, 106, 99, 104), (99, 99, 99, 99))
        trade = run(frame, (0, 1, 98.0, 105.0)).trades[0]
        assert trade["reason"] == TARGET
        assert trade["exit_price"] == pytest.approx(105.0, rel=1e-12)

    def test_a_short_mirrors_it(self):
        frame = bars((100, 100, 100, 100), (100, 101, 99.5, 100), (100, 101, 94, 95), (95, 95, 95, 95))
        trade = run(frame, (0, -1, 102.0, 96.0)).trades[0]
        assert trade["side"] == -1
        assert trade["reason"] == TARGET
        assert trade["pnl"] == pytest.approx(4.0 * trade["size"])

    @pytest.mark.parametrize("slippage", [0.0, 0.0002, 0.0013])
    @pytest.mark.parametrize(
        ("side", "stop", "target", "low", "high", "reason"),
        [
            (1, 98.37, 110.0, 98.37, 101.0, STOP),
            (1, 90.0, 104.03, 99.0, 104.03, TARGET),
            (-1, 101.63, 90.0, 99.0, 101.63, STOP),
            (-1, 110.0, 96.59, 96.59, 101.0, TARGET),
        ],
    )
    def test_a_touch_to_the_tick_counts(self, side, stop, target, low, high, reason, slippage):
        frame = bars(
            (100, 100, 100, 100), (100.01, 100.01, 100.01, 100.01), (100, high, low, 100), (100, 100, 100, 100)
        )
        trade = run(frame, (0, side, stop, target), slippage=slippage).trades[0]
        assert (trade["reason"], trade["exit_number"]) == (reason, START + 2)

    def test_one_tick_short_of_the_stop_is_not_a_touch(self):
        frame = bars((100, 100, 100, 100), (100, 100, 100, 100), (100, 101, 98.38, 100), (100, 100, 100, 100))
        assert run(frame, (0, 1, 98.37, 110.0)).trades[0]["reason"] == OPEN

    def test_a_position_left_at_the_open_is_no_longer_there_to_be_stopped(self):
        frame = bars((100, 100, 100, 100), (100, 100, 100, 100), (100, 100, 90, 95), (95, 95, 95, 95))
        trade = run(frame, (0, 1, 98.0, 110.0), (1, 0)).trades[0]
        assert (trade["reason"], trade["exit_price"]) == (SIGNAL, 100.0)

    def test_slippage_is_paid_at_stops_and_targets_too(self):
        frame = bars((100, 100, 100, 100), (100, 101, 99.5, 100), (100, 106, 99, 104), (99, 99, 99, 99))
        trade = run(frame, (0, 1, 98.0, 105.0), slippage=0.001).trades[0]
        assert trade["exit_price"] == pytest.approx(105.0 * 0.999)
        assert trade["slippage"] == pytest.approx(trade["size"] * (0.1 + 0.105))

    @pytest.mark.parametrize(
        ("levels", "why"), [((99.0, 130.0), "opened beyond its stop"), ((50.0, 99.5), "filled beyond its target")]
    )
    def test_a_fill_already_beyond_a_level_is_dropped_and_counted(self, levels, why):
        opened = 98.0 if why.endswith("stop") else 100.0
        frame = bars((100, 100, 100, 100), (opened, opened, opened, opened), (100, 100, 100, 100))
        result = run(frame, (0, 1, *levels))
        assert len(result.trades) == 0
        assert result.counts[f"dropped: {why}"] == 1

    def test_slippage_does_not_lift_a_fill_over_the_stop_that_the_market_has_passed(self):
        """The open lies beyond the stop, the slipped fill does not: seen on real bars."""
        frame = bars((100, 100, 100, 100), (98.99, 99.5, 98.9, 99.0), (99, 99, 99, 99))
        result = run(frame, (0, 1, 99.0, 130.0), slippage=0.001)
        assert result.counts["dropped: opened beyond its stop"] == 1

    def test_what_is_not_expressed_is_counted(self):
        frame = flat(n=20)
        made = intents(frame, (0, 1, 90.0, 110.0), (5, 0), (8, 1, 90.0, 110.0))
        made["target"][0, 1] = 120.0
        made["entry"][2] = 99.0
        result = run(frame, made)
        assert result.counts["trades with more than one target"] == 1
        assert result.counts["limit entries taken at the market"] == 1


class TestSides:
    """Long and short where there is a short side, long only on spot."""

    FRAME = bars(*[(p, p, p, p) for p in (100, 100, 110, 121, 110, 100)])
    SPOT = bars(*[(p, p, p, p) for p in (100, 100, 110, 121, 110, 100)], venue="binance-spot")

    def test_E49_a_reversal_closes_and_opens_at_one_open(self):
        result = run(self.FRAME, (0, 1), (2, -1), (4, 0))
        assert result.trades["side"].tolist() == [1, -1]
        assert result.trades["exit_number"][0] == result.trades["entry_number"][1] == START + 3
        assert result.equity[-1] == pytest.approx(10_000 * 1.21 * (1 + 21 / 121))

    def test_spot_leaves_on_a_bearish_signal_and_does_not_go_short(self):
        result = run(self.SPOT, (0, 1), (2, -1))
        assert result.trades["side"].tolist() == [1]
        assert result.trades["reason"].tolist() == [SIGNAL]
        assert result.counts["dropped: short on spot"] == 1

    def test_what_was_dropped_is_not_counted_as_capped(self):
        result = run(flat(n=20), *[(k, 1, 99.9, 120.0) for k in range(10)], risk=0.01)
        assert result.counts["opened"] == result.counts["positions capped by the cash"] == 1

    def test_a_second_signal_the_same_way_changes_nothing(self):
        result = run(self.FRAME, (0, 1), (1, 1), (2, 1))
        assert len(result.trades) == 1
        assert result.counts["dropped: a position was open"] == 2

    def test_an_open_position_is_marked_to_the_last_close(self):
        trade = run(self.FRAME, (0, -1)).trades[0]
        assert (trade["reason"], trade["exit_price"], trade["exit_number"]) == (OPEN, 100.0, START + 5)

    @pytest.mark.parametrize("path", [(100, 100, 150, 250, 250), (100, 100, 150, 250, 40, 40), (100, 100, 200, 200)])
    def test_a_short_that_loses_the_whole_account_is_refused(self, path):
        frame = bars(*[(p, p, p, p) for p in path])
        with pytest.raises(DataError, match="no liquidation"):
            run(frame, (0, -1), (len(path) - 2, 0))


class TestSize:
    """A share of the equity at risk down to the stop, never more than the cash."""

    def test_the_stop_loses_the_risk(self):
        frame = bars((100, 100, 100, 100), (100, 100, 100, 100), (100, 100, 90, 90), (90, 90, 90, 90))
        result = run(frame, (0, 1, 95.0, 120.0), risk=0.01)
        assert result.trades[0]["pnl"] == pytest.approx(-100.0)
        assert result.equity[-1] == pytest.approx(9_900.0)
        assert r_multiples(result.trades["pnl"], result.trades["risk"])[0] == pytest.approx(-1.0)

    @pytest.mark.parametrize("side", [1, -1])
    def test_a_close_stop_is_limited_by_the_cash_and_counted(self, side):
        result = run(flat(), (0, side, 100.0 - 0.1 * side, 100.0 + 5.0 * side), risk=0.01, **COSTLY)
        trade = result.trades[0]
        assert trade["size"] * trade["entry_price"] + trade["fees"] == pytest.approx(10_000.0)
        assert result.counts["positions capped by the cash"] == 1

    def test_without_a_stop_the_whole_price_is_at_risk(self):
        assert run(flat(), (0, 1), risk=0.25).trades[0]["size"] == pytest.approx(25.0)

    @pytest.mark.parametrize("terms", [{"risk": 0.0}, {"risk": 1.5}, {"fees": -0.1}, {"slippage": 1.0}, {"cash": 0.0}])
    def test_impossible_terms_are_refused(self, terms):
        with pytest.raises(ConfigError, match=next(iter(terms))):
            run(flat(), (0, 1), **terms)


class TestGaps:
    """Only published bars are traded; vectorbt would fill a missing price forward without a word."""

    def test_an_entry_into_an_unknown_bar_is_dropped(self):
        result = run(flat(missing=(3, 4)), (2, 1))
        assert len(result.trades) == 0
        assert result.counts["dropped: next bar not known"] == 1

    def test_an_exit_waits_for_the_next_known_bar(self):
        frame = bars(*[(p, p, p, p) for p in (100, 100, 100, 1, 1, 90, 90)], missing=(3, 4))
        result = run(frame, (0, 1), (2, 0))
        assert (result.trades[0]["exit_number"], result.trades[0]["exit_price"]) == (START + 5, 90.0)
        assert result.counts["exits that waited for a known bar"] == 1
        assert result.counts["trades across a gap"] == 1

    def test_a_stop_in_a_gap_fills_at_the_first_open_after_it(self):
        frame = bars(*[(p, p, p, p) for p in (100, 100, 100, 1, 1, 90, 90)], missing=(3, 4))
        trade = run(frame, (0, 1, 95.0, 120.0)).trades[0]
        assert (trade["reason"], trade["exit_price"]) == (STOP, 90.0)

    def test_a_bridged_bar_is_a_bridge_and_not_a_price(self):
        frame = flat(missing=(3,), meaning="bridge")
        assert frame.base.state[3] == BRIDGED
        assert run(frame, (2, 1)).counts["dropped: next bar not known"] == 1

    def test_a_bar_in_which_nothing_traded_is_known_and_counted(self):
        frame = flat(missing=(3,), meaning="no_trade", venue="bitfinex-spot")
        assert frame.base.state[3] == NO_TRADE
        result = run(frame, (2, 1))
        assert result.trades[0]["entry_price"] == 100.0
        assert result.counts["openings in a bar without a trade"] == 1

    def test_equity_has_a_mark_for_every_known_bar_and_none_between(self):
        frame = market(5, bars=2_000)
        result = run(frame, random_intents(frame, 5, 50))
        known = np.isin(frame.base.state, (BRIDGED, UNKNOWN), invert=True)
        np.testing.assert_array_equal(result.tape.numbers, frame.start + np.flatnonzero(known))
        assert len(result.equity) == len(result.benchmark) == known.sum() < len(frame)


class TestAgainstASlowTwin:
    """The same words in plain Python, bar by bar: the same trades."""

    @pytest.mark.parametrize("venue", ["binance-spot", "simulated"])
    @pytest.mark.parametrize("seed", range(4))
    def test_on_a_market_with_gaps(self, seed, venue):
        frame = market(seed, bars=4_000, venue=venue)
        self.compare(frame, random_intents(frame, seed, 300))

    @pytest.mark.parametrize("venue", ["binance-spot", "simulated"])
    @pytest.mark.parametrize("seed", range(4))
    def test_where_every_bar_can_decide(self, seed, venue):
        frame = walk(seed, 3_000, venue, step=0.003)
        result = self.compare(frame, random_intents(frame, seed, 1_200))
        assert result.counts["ambiguous trades"] > 5
        assert result.counts["stopped on the bar of the entry"] > 5
        assert {STOP, TARGET, SIGNAL} <= set(result.trades["reason"].tolist())

    @pytest.mark.real_data
    @pytest.mark.parametrize("which", ["bitfinex_1m_BTCUSD_2019", "binance_um_5m_6sym_20250704_20251031"])
    def test_the_strategys_own_intents_on_real_bars(self, real_data, which):
        """Missing minutes and outages of 2019; the crash of 2025-10-10."""
        frame = recorded(real_data / "ohlcv" / f"{which}.parquet")
        made = strategy.intents(scored(frame), SignalSettings())
        result = self.compare(frame, made)
        assert len(result.trades) > 50
        assert {STOP, TARGET, SIGNAL} <= set(result.trades["reason"].tolist())

    @staticmethod
    def compare(frame, made):
        terms = COSTLY | {"cash": 10_000.0, "risk": 0.01}
        result = simulate(unscored(frame), made, **terms)
        trades, money, position = slow_twin.trade(frame, made, shorts=not frame.instrument.is_spot, **terms)
        slow_twin.assert_same(result, trades)
        assert (position is not None) == (result.metrics["open_trades"] == 1)
        if position is None:
            assert result.equity[-1] == pytest.approx(money, rel=1e-9)
        return result

    def test_vectorbt_values_the_account_as_we_do(self):
        import pandas as pd
        from vectorbt import Portfolio

        frame = walk(9, 2_000)
        made = random_intents(frame, 9, 200)
        tape, terms = KnownBars.of(frame.base, frame.start, frame.stop), Terms()
        fills = fill_orders(orders.plan_orders(made, tape, terms).orders, tape, terms, Timeframe("1m"))
        size = np.zeros((len(tape), 2))
        price = np.full((len(tape), 2), np.nan)
        for bar in np.unique(fills["bar"]):
            of_bar = fills[fills["bar"] == bar]
            for column, fill in enumerate(of_bar[:2]):
                size[bar, column], price[bar, column] = fill["side"] * fill["size"], fill["price"]
        assert max(np.bincount(fills["bar"])) <= 2
        close = np.column_stack((tape.close, tape.close))
        theirs = Portfolio.from_orders(
            pd.DataFrame(close), size=size, price=price, fees=terms.fees, init_cash=1e9, direction="both"
        )
        ours = simulate(unscored(frame), made)
        both = theirs.value().to_numpy().sum(axis=1) - 2e9
        np.testing.assert_allclose(ours.equity - terms.cash, both, atol=1e-3)


class TestCanaries:
    """What must always be so, whatever the market did."""

    def test_buy_and_hold_is_the_price_return_less_fees(self):
        frame = walk(2, 4_000)
        result = run(frame, (0, 1), fees=0.0005, slippage=0.0002)
        base = frame.base.columns
        expected = base["close"][-1] / (base["open"][1] * 1.0002 * 1.0005) - 1.0
        assert result.metrics["total_return"] == pytest.approx(expected, abs=1e-9)
        np.testing.assert_allclose(result.equity, result.benchmark, rtol=1e-9)

    def test_random_signals_lose_the_costs(self):
        """Mean net return of a trade on prices without memory, against its costs: within three standard errors."""
        costs = 2 * (COSTLY["fees"] + COSTLY["slippage"])
        net = []
        for seed in range(20):
            frame = walk(seed, 4_000)
            result = simulate(unscored(frame), random_intents(frame, 100 + seed, 800, levels=False), risk=0.1, **COSTLY)
            closed = result.closed
            net.append(closed["pnl"] / (closed["size"] * closed["entry_price"]))
        net = np.concatenate(net)
        z = (net.mean() + costs) / (net.std(ddof=1) / np.sqrt(len(net)))
        assert len(net) > 4_000
        assert abs(z) < 3.0
        assert net.mean() < 0.0

    def test_the_inverted_strategy_makes_the_negated_gross_return(self):
        """Without stops, since the stop of one side is not the mirror of the other's."""
        frame = walk(4, 3_000)
        made = random_intents(frame, 4, 300, levels=False)
        inverted = made.copy()
        inverted["side"] = -inverted["side"]
        here, there = run(frame, made, risk=0.1), run(frame, inverted, risk=0.1)
        assert len(here.trades) == len(there.trades) > 100
        gross = [r.trades["pnl"] / (r.trades["size"] * r.trades["entry_price"]) for r in (here, there)]
        np.testing.assert_allclose(gross[0], -gross[1], atol=1e-12)

    @pytest.mark.parametrize("seed", range(5))
    def test_doubling_the_fees_never_raises_the_profit(self, seed):
        frame = market(seed, bars=2_500)
        made = random_intents(frame, seed, 150)
        finals = [
            run(frame, made, fees=fees, slippage=0.0002, risk=0.01).equity[-1] for fees in (0.0, 0.0005, 0.001, 0.002)
        ]
        assert finals == sorted(finals, reverse=True)
        assert finals[0] > finals[-1]

    def test_the_account_adds_up(self):
        frame = market(6, bars=4_000)
        result = simulate(unscored(frame), random_intents(frame, 6, 300))
        assert result.equity[-1] == pytest.approx(10_000.0 + result.trades["pnl"].sum(), abs=1e-6)


class TestWhatItRefuses:
    """Intents of other bars, in another order, of another kind; a market of which nothing is known."""

    def test_another_dtype(self):
        with pytest.raises(DataError, match="array of INTENT"):
            simulate(unscored(flat()), np.zeros(3))

    def test_two_intents_at_one_bar(self):
        with pytest.raises(DataError, match="one a bar"):
            run(flat(), (2, 1), (2, 0))

    def test_intents_of_other_bars(self):
        with pytest.raises(DataError, match="were scored"):
            simulate(unscored(flat(n=5)), intents(flat(n=12), (9, 1)))

    def test_a_market_without_two_known_bars(self):
        with pytest.raises(NoDataError, match="two known bars"):
            run(flat(n=1))


class TestTheDoor:
    """vectorbt and matplotlib wait outside until they are needed."""

    def test_importing_the_room_imports_no_heavy_guest(self):
        import subprocess
        import sys

        heavy = "{'vectorbt', 'matplotlib', 'jinja2'}"
        rooms = "virtuoso.research.crosscheck.compare, virtuoso.research.backtest.result"
        code = f"import sys, {rooms}; assert not {heavy} & set(sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
