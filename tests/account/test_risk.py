"""Risk: every limit binds, none is stepped over, and a halt that is enforced stays until it is lifted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import START
from virtuoso.account import state as s
from virtuoso.account.instrument import Instrument
from virtuoso.account.records import ENTERED, INTENT, LAPSED, UNFILLED, WITHDRAWN
from virtuoso.account.risk import LIMITS, Limits, Rules, admitted, correlation
from virtuoso.account.state import Books
from virtuoso.clock import Timeframe
from virtuoso.errors import ConfigError
from virtuoso.research.backtest.engine import Account, run
from virtuoso.research.backtest.intrabar import Intrabar
from virtuoso.research.backtest.panel import SimulationPanel

WORLDS, BARS, HOLEY = 300, 160, 100
NAN = float("nan")


def stage_of(closes, names, reach=0.0) -> SimulationPanel:
    """A stage of closes, shape (n_bars, n_instruments): each bar opens where the last one closed."""
    bars = np.zeros((*closes.shape, s.BAR_COLUMNS))
    bars[:, :, s.CLOSE] = closes
    bars[:, :, s.OPEN] = np.concatenate((closes[:1], closes[:-1]))
    bars[:, :, s.HIGH] = np.maximum(bars[:, :, s.OPEN], closes) * (1.0 + reach)
    bars[:, :, s.LOW] = np.minimum(bars[:, :, s.OPEN], closes) * (1.0 - reach)
    bars[:, :, s.MARK_OPEN : s.MARK_CLOSE + 1] = bars[:, :, s.OPEN : s.CLOSE + 1]
    bars[:, :, s.SLIPPAGE] = 0.0002
    bars[:, :, [s.FUNDING_OPEN, s.FUNDING_INSIDE]] = 0.0
    instruments = tuple(Instrument("simulated", name) for name in names)
    n = closes.shape[1]
    return SimulationPanel(
        instruments, Timeframe("1h"), START // 60, bars, np.zeros(closes.shape, bool), np.full(n, len(closes) - 1)
    )


def asks(panel, i, rows):
    """Intents of one instrument as (bar, side, distance to the stop as a share of price, reliability)."""
    made = np.zeros(len(rows), dtype=INTENT)
    made["entry"], made["target"] = NAN, NAN
    for one, (bar, side, wide, reliability) in zip(made, rows, strict=True):
        close = panel.bars[bar, i, s.CLOSE]
        one["number"], one["side"], one["price"] = panel.first + bar, side, close
        one["stop"], one["reliability"] = close * (1.0 - side * wide), reliability
    return made


def world(seed):
    """Up to six instruments that share a factor, traded at random on an account with limits drawn at random."""
    random = np.random.default_rng(seed)
    n = int(random.integers(2, 7))
    common, own = random.normal(0.0, 0.01, (BARS, 1)), random.normal(0.0, 0.01, (BARS, n))
    loading = random.uniform(0.0, 2.0)
    closes = 100.0 * np.cumprod(1.0 + 0.6 * (loading * common + own), axis=0)
    panel = stage_of(closes, [f"C{k}USDT" for k in range(n)], reach=0.002)
    made = {}
    for i, name in enumerate(panel.instruments):
        when = np.sort(random.choice(np.arange(40, BARS - 1), size=12, replace=False))
        rows = [(int(t), int(random.choice([-1, 0, 1])), random.uniform(0.004, 0.05), random.uniform()) for t in when]
        made[name] = asks(panel, i, rows)
        made[name]["stop"][random.random(12) < 0.03] = NAN
    limits = Limits(
        base_size=float(random.choice([0.005, 0.02])),
        max_positions=int(random.integers(1, n + 1)),
        max_leverage=float(random.choice([1.0, 3.0])),
        heat=float(random.choice([0.02, 0.25])),
        correlation=float(random.choice([0.3, 0.7])),
        max_drawdown=float(random.choice([0.03, 0.15])),
    )
    rules = {name: Rules(0.1, 0.1, float(random.choice([0.0, 500.0]))) for name in panel.instruments}
    return panel, made, Account(cash=float(random.choice([1_000.0, 10_000.0])), limits=limits, rules=rules, halt=True)


def holey(seed):
    """Two to five instruments that hardly move and often have no bar, with market and limit entries and few places."""
    random = np.random.default_rng(seed)
    n = int(random.integers(2, 6))
    closes = 100.0 * np.cumprod(1.0 + random.normal(0.0, 0.0008, (BARS, n)), axis=0)
    panel = stage_of(closes, [f"C{k}USDT" for k in range(n)], reach=0.001)
    missing = random.random((BARS, n)) < random.choice([0.1, 0.4])
    missing[[0, -1]] = False
    panel.bars[missing] = NAN
    made = {}
    for i, name in enumerate(panel.instruments):
        when = np.sort(random.choice(np.flatnonzero(~missing[:-1, i]), size=40, replace=False))
        rows = [(int(t), int(random.choice([-1, 0, 1])), random.uniform(0.004, 0.05), random.uniform()) for t in when]
        made[name] = mine = asks(panel, i, rows)
        waits = (random.random(len(mine)) < 0.4) & (mine["side"] != 0)
        mine["entry"][waits] = (mine["price"] * (1.0 - 0.001 * mine["side"]))[waits]
        mine["expires"] = mine["number"] + random.integers(1, 12, len(mine))
    limits = Limits(
        base_size=float(random.choice([0.005, 0.03])), max_positions=int(random.integers(1, n + 1)),
        max_leverage=float(random.choice([1.0, 3.0])), heat=float(random.choice([0.02, 1.0])), correlation=2.0,
        max_drawdown=0.9,
    )  # fmt: skip
    return panel, made, Account(leverage=20.0, limits=limits)


def held_of(panel, result):
    """Size and stop of what is held at each close, shape (n_bars, n_instruments)."""
    held, stops = np.zeros((2, len(panel), len(panel.instruments)))
    for event in result.events[~np.isin(result.events["kind"], UNFILLED)]:
        t, i = event["instant"] - panel.first, event["instrument"]
        held[t:, i] += event["size"]
        if event["kind"] == ENTERED:
            stops[t:, i] = result.intents["stop"][event["order"]]
    return np.where(np.abs(held) > 1e-9, held, 0.0), stops


@pytest.fixture(scope="module")
def worlds():
    made = [world(seed) for seed in range(WORLDS)]
    return [(*one, run(*one)) for one in made]


class TestRandomWorlds:
    """What never binds is not tested; what binds, holds."""

    @pytest.mark.parametrize("name", LIMITS)
    def test_each_limit_binds_in_at_least_one_world_in_a_hundred(self, worlds, name):
        bound = sum(result.refused[name] + result.cut[name] > 0 for *_, result in worlds)
        assert bound >= 0.01 * WORLDS, f"{name} bound in {bound} of {WORLDS} worlds"

    def test_no_position_is_entered_beyond_a_limit(self, worlds):
        entries = 0
        for panel, _, account, result in worlds:
            held, _ = held_of(panel, result)
            counted = (held != 0.0).sum(axis=1)
            assert counted.max() <= account.limits.max_positions
            opened = result.events[result.events["kind"] == ENTERED]
            entries += len(opened)
            for t in np.unique(opened["instant"] - panel.first):
                notional = np.abs(held[t] * panel.bars[t, :, s.OPEN]).sum()
                assert notional <= account.limits.max_leverage * result.equity[t - 1] * 1.05  # the mark has moved
            steps = np.abs(opened["size"]) / 0.1
            np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
        assert entries > WORLDS

    def test_no_limit_is_exceeded_where_bars_are_missing(self):
        """What is to leave and has no bar still takes its place: seen were leverage of 6 where 3 is allowed."""
        entries = withdrawn = 0
        for seed in range(HOLEY):
            panel, made, account = holey(seed)
            result, limits = run(panel, made, account), account.limits
            held, stops = held_of(panel, result)
            assert (held != 0.0).sum(axis=1).max() <= limits.max_positions, seed
            opened = result.events[result.events["kind"] == ENTERED]
            entries, withdrawn = entries + len(opened), withdrawn + (result.events["kind"] == WITHDRAWN).sum()
            price = panel.closes[0]
            for t in range(1, len(panel)):
                price = np.where(np.isnan(panel.closes[t]), price, panel.closes[t])
                if t + panel.first not in opened["instant"]:
                    continue
                slack = 1.15 * result.equity[t - 1]  # prices have moved since the decision
                assert np.abs(held[t] * price).sum() <= limits.max_leverage * slack, seed
                risked = (held[t] * (price - stops[t])).clip(0.0).sum()
                assert risked <= limits.heat * slack + 0.004 * np.abs(held[t] * price).sum(), seed
        assert entries > 5 * HOLEY
        assert withdrawn > 0.1 * HOLEY

    def test_after_a_halt_nothing_is_entered(self, worlds):
        halted = 0
        for panel, _, account, result in worlds:
            if not len(result.halts):
                continue
            halted += 1
            entries = result.events[result.events["kind"] == ENTERED]["instant"]
            assert (entries <= result.halts[0]).all()
            before = result.equity[: result.halts[0] - panel.first + 1]
            assert before[-1] <= (1.0 - account.limits.max_drawdown) * max(account.cash, before.max())
            assert len(result.halts) == 1
        assert halted > 10

    def test_the_same_world_gives_the_same_bytes(self, worlds):
        panel, made, account, result = worlds[0]
        again = run(panel, made, account)
        assert again.events.tobytes() == result.events.tobytes()
        assert again.equity.tobytes() == result.equity.tobytes()

    def test_other_names_change_nothing(self, worlds):
        """Turned round, the symbols stand in another order; only equal reliabilities would notice."""
        for panel, made, account, result in worlds[:60]:
            names = [str(name.symbol) for name in panel.instruments]
            turned = stage_of(panel.closes[:, ::-1], names, reach=0.002)
            pairs = list(zip(turned.instruments, panel.instruments[::-1], strict=True))
            given = {name: made[other] for name, other in pairs}
            rules = {name: account.rules[other] for name, other in pairs}
            mirrored = run(turned, given, replace(account, rules=rules))
            np.testing.assert_allclose(mirrored.equity, result.equity, rtol=1e-9)
            assert mirrored.refused == result.refused


class TestWhatIsCalledOff:
    """An exit that still waits is called off by a signal to be there: its place is taken, its turn forgotten."""

    def scene(self, *rows, missing, limit=None):
        panel = stage_of(np.full((80, 2), 100.0), ["AAAUSDT", "BBBUSDT"], reach=0.001)
        panel.bars[missing, 0] = NAN
        made = [asks(panel, i, [row[1:] for row in rows if row[0] == i]) for i in range(2)]
        if limit is not None:
            made[0]["entry"][1], made[0]["expires"][1] = limit, panel.first + 79
        panel.bars[70:, :, [s.OPEN, s.CLOSE]] = 101.0
        panel.bars[70:, :, [s.HIGH, s.LOW]] = 101.2, 100.9
        limits = Limits(max_positions=1, correlation=2.0)
        result = run(panel, dict(zip(panel.instruments, made, strict=True)), Account(limits=limits))
        told = result.events[["instant", "instrument", "kind"]].tolist()
        return [(instant - panel.first, i, kind) for instant, i, kind in told], result

    def test_nothing_enters_in_the_place_of_what_stays(self):
        """Decided at one close, the entry before the signal that calls the exit off."""
        rows = [(0, 40, 1, 0.1, 0.5), (0, 50, 0, 0.1, 0.5), (1, 52, 1, 0.1, 0.9), (0, 52, 1, 0.1, 0.5)]
        found, result = self.scene(*rows, missing=[51, 52, 53])
        assert found == [(41, 0, ENTERED)]
        assert result.refused["positions"] == 1

    def test_the_other_side_enters_no_more(self):
        """A short waits at 101 for the long to leave first; then the signal is long again, and the stop is met."""
        rows = [(0, 40, 1, 0.1, 0.5), (0, 50, -1, 0.1, 0.5), (0, 52, 1, 0.0008, 0.5), (0, 60, 0, 0.1, 0.5)]
        found, _ = self.scene(*rows[:3], missing=[51, 52], limit=100.8)
        assert [kind for *_, kind in found] == [ENTERED]


class TestTheHalt:
    """Latched at the fall that was agreed, until it is lifted."""

    CLOSES = np.concatenate((np.full(60, 100.0), np.linspace(100.0, 60.0, 20), np.full(100, 60.0)))[:, None]

    def trade(self, halt=True, **how):
        panel = stage_of(self.CLOSES, ["AAAUSDT"])
        rows = [(50, 1, 0.5, 1.0), (81, 0, 0.1, 1.0), (85, 1, 0.1, 1.0), (150, 0, 0.1, 1.0), (151, 1, 0.1, 1.0)]
        limits = Limits(base_size=0.5, max_leverage=1.0, heat=1.0, max_drawdown=0.15)
        return panel, run(panel, {panel.instruments[0]: asks(panel, 0, rows)}, Account(limits=limits, halt=halt, **how))

    def test_is_latched_at_the_close_at_which_equity_has_fallen_so_far(self):
        panel, result = self.trade()
        t = int(result.halts[0]) - panel.first
        assert result.equity[t] <= 0.85 * 10_000.0 < result.equity[t - 1]
        assert result.refused["halted"] == 2

    def test_stays_though_prices_stand_still(self):
        _, result = self.trade()
        assert (result.events["kind"] == ENTERED).sum() == 1

    def test_is_reported_and_ends_nothing_unless_it_is_enforced(self):
        panel, stopped = self.trade()
        _, reported = self.trade(halt=False)
        assert reported.halts.tolist() == stopped.halts.tolist()
        assert reported.halt_equity.tolist() == stopped.halt_equity.tolist()
        assert reported.halt_equity[0] == reported.equity[reported.halts[0] - panel.first]
        assert reported.refused["halted"] == 0
        assert (reported.events["kind"] == ENTERED).sum() == 3

    def test_waiting_entries_lapse_where_it_is_enforced(self):
        """Two instruments: one falls, and a limit of the other waits meanwhile; 407.9 units entered after the latch."""
        closes = np.column_stack((self.CLOSES, np.full(len(self.CLOSES), 100.0)))
        closes[100:, 1] = 90.0
        panel = stage_of(closes, ["AAAUSDT", "BBBUSDT"])
        waits = asks(panel, 1, [(55, 1, 0.2, 1.0)])
        waits["entry"], waits["expires"] = 95.0, panel.first + 150
        made = dict(zip(panel.instruments, (asks(panel, 0, [(50, 1, 0.5, 1.0)]), waits), strict=True))
        account = Account(limits=Limits(base_size=0.25, max_leverage=1.0, heat=1.0, max_drawdown=0.1))
        for halt, entered in ((False, 2), (True, 1)):
            result = run(panel, made, replace(account, halt=halt))
            assert len(result.halts) == 1
            assert (result.events["kind"] == ENTERED).sum() == entered
            lapsed = result.events[result.events["kind"] == LAPSED]
            assert lapsed["instant"].tolist() == (result.halts.tolist() if halt else [])

    def test_only_one_that_is_enforced_is_lifted(self):
        with pytest.raises(ConfigError, match="Enforce it with --halt"):
            Account(reset_halt=2)

    def test_is_lifted_after_the_days_that_were_asked_for(self):
        _, result = self.trade(reset_halt=2)
        assert result.refused["halted"] == 1
        assert (result.events["kind"] == ENTERED).sum() == 2


class TestSizes:
    """Base currency: equity x share x scale over the distance to the stop, rounded down to the step."""

    def size(self, *, price=100.0, stop=95.0, reliability=1.0, limits=None, rules=(0.0, 0.0, 0.0), books=None,
             closes=None, stays=False):  # fmt: skip
        equity = 10_000.0
        books = books or Books.opened(2, equity, 1)
        self.refused, self.cut = np.zeros(len(LIMITS), np.int64), np.zeros(len(LIMITS), np.int64)
        self.unknown = np.zeros(1, np.int64)
        return admitted(
            0, 1.0 if price > stop else -1.0, price, stop, reliability, equity, False,
            np.full((40, 2), NAN) if closes is None else closes, np.array([price, 100.0]), books.orders,
            books.positions, limits or Limits(), np.array([rules] * 2), stays, self.refused, self.cut, self.unknown,
        )  # fmt: skip

    @pytest.mark.parametrize(("reliability", "scale"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0), (7.0, 1.0)])
    def test_what_is_lost_at_the_stop_is_the_share_of_equity(self, reliability, scale):
        size = self.size(reliability=reliability)
        assert size * (100.0 - 95.0) == pytest.approx(10_000.0 * 0.01 * scale)

    @pytest.mark.parametrize("least", [0.0, 0.2, 1.0])
    def test_reliability_leads_from_the_least_scale_to_the_whole(self, least):
        sizes = [self.size(reliability=trusted, limits=Limits(least_scale=least)) for trusted in (0.0, 0.25, 1.0)]
        assert sizes == pytest.approx([20.0 * least, 20.0 * (least + 0.25 * (1.0 - least)), 20.0])

    def test_shorts_are_negative(self):
        assert self.size(stop=105.0) == pytest.approx(-20.0)

    def test_prices_in_another_unit_give_the_size_in_that_unit(self):
        assert self.size(price=0.1, stop=0.095) == pytest.approx(1_000.0 * self.size())

    def test_leverage_cuts_the_notional(self):
        assert self.size(stop=99.9, limits=Limits(max_leverage=2.0)) * 100.0 == pytest.approx(20_000.0)
        assert self.cut[LIMITS.index("leverage")] == 1

    @pytest.mark.parametrize(("rules", "expected"), [((0.3, 0.0, 0.0), 19.8), ((0.1, 0.0, 0.0), 20.0)])
    def test_rounds_down_to_the_step(self, rules, expected):
        assert self.size(rules=rules) == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("rules", "limit"),
        [((0.0, 21.0, 0.0), "size_step"), ((30.0, 0.0, 0.0), "size_step"), ((0.0, 0.0, 2_001.0), "min_notional")],
    )
    def test_refuses_what_the_venue_would(self, rules, limit):
        assert self.size(rules=rules) == 0.0
        assert self.refused[LIMITS.index(limit)] == 1

    def test_what_leaves_at_the_next_open_takes_no_place(self):
        books = Books.opened(2, 10_000.0, 1)
        books.positions[1, s.SIZE] = 5.0
        one = Limits(max_positions=1)
        assert self.size(limits=one, books=books) == 0.0
        books.orders[1, s.CLOSE_FIRST] = 1.0
        assert self.size(limits=one, books=books) > 0.0
        books.orders[1, s.QUANTITY] = -5.0  # it turns round, and is there again
        assert self.size(limits=one, books=books) == 0.0

    def test_what_may_not_leave_after_all_takes_its_place(self):
        """Place, notional, heat and correlation, each by itself; and of what turns round the worse of both sides."""
        books = Books.opened(2, 10_000.0, 1)
        books.positions[1, [s.SIZE, s.STOP]] = 190.0, 99.0
        books.orders[1, s.CLOSE_FIRST] = 1.0
        alike = 100.0 * np.cumprod(1.0 + np.random.default_rng(1).normal(0.0, 0.01, (200, 1)), axis=0) * np.ones(2)
        for changed, closes, limit in (
            ({"max_positions": 1}, None, "positions"),
            ({"max_leverage": 2.0}, None, "leverage"),
            ({"heat": 0.02}, None, "heat"),
            ({}, alike, "correlation"),
        ):
            limits = Limits()._replace(**changed)
            free = self.size(limits=limits, books=books, closes=closes)
            stays = self.size(limits=limits, books=books, closes=closes, stays=True)
            assert free == pytest.approx(20.0)
            assert stays < free
            assert (self.refused + self.cut)[LIMITS.index(limit)] == 1
        books.orders[1, s.QUANTITY] = -199.0
        assert self.size(limits=Limits(max_leverage=2.0), books=books, stays=True) == pytest.approx(1.0)
        books.positions[1, s.SIZE], books.orders[1, s.QUANTITY] = 195.0, -1.0
        assert self.size(limits=Limits(max_leverage=2.0), books=books, stays=True) == pytest.approx(5.0)

    def test_a_correlation_that_is_not_known_is_counted(self):
        books = Books.opened(2, 10_000.0, 1)
        assert self.size(books=books) > 0.0
        assert self.unknown[0] == 0
        books.positions[1, s.SIZE] = 1.0
        assert self.size(books=books) > 0.0
        assert self.unknown[0] == 1
        assert self.size(books=books, limits=Limits(max_positions=1)) == 0.0
        assert self.unknown[0] == 0  # only what was let through


class TestCorrelation:
    """Of returns that both instruments have, over bars up to the decision."""

    def test_agrees_with_numpy(self):
        closes = 100.0 * np.cumprod(1.0 + np.random.default_rng(1).normal(0.0, 0.01, (200, 2)), axis=0)
        returns = closes[1:] / closes[:-1] - 1.0
        assert correlation(closes, 0, 1) == pytest.approx(np.corrcoef(returns.T)[0, 1])

    @pytest.mark.parametrize("finer", [1, 4])
    @pytest.mark.parametrize("bar", [100, 499, 500, 501, 690])
    def test_an_order_is_judged_by_the_last_500_closes_up_to_its_decision(self, bar, finer):
        """A hair above numpy's correlation of their returns it is let in, a hair below it is refused."""
        random = np.random.default_rng(bar)
        moves = 0.002 * (random.standard_t(4, (700, 1)) + random.standard_t(4, (700, 2)))
        closes = 100.0 * np.cumprod(1.0 + moves, axis=0)
        panel = stage_of(closes, ("AUSDT", "BUSDT"))
        if finer > 1:  # which tell nothing: the slow bar stands in the first of its finer places
            bars = np.full((700 * finer, *panel.bars.shape[1:]), NAN)
            bars[::finer] = panel.bars
            panel = replace(panel, inside=Intrabar(Timeframe("15m"), bars, np.zeros((700, 2), bool)))
        made = {
            name: asks(panel, i, [(when, 1, 0.9, 1.0)])
            for i, (name, when) in enumerate(zip(panel.instruments, (40, bar), strict=True))
        }
        seen = closes[max(bar - 499, 0) : bar + 1]
        assert len(seen) == min(500, bar + 1)
        expected = np.corrcoef((seen[1:] / seen[:-1] - 1.0).T)[0, 1]
        for hair, refused in ((1e-9, 0), (-1e-9, 1)):
            limits = Limits(correlation=expected + hair, max_drawdown=0.99)
            assert run(panel, made, Account(limits=limits)).refused["correlation"] == refused

    def test_is_not_known_over_few_shared_bars_or_without_movement(self):
        closes = np.full((200, 2), 100.0)
        assert np.isnan(correlation(closes, 0, 1))
        assert np.isnan(correlation(closes[:20], 0, 1))

    @pytest.mark.parametrize("rate", [1e-7, 0.0003, 0.01, -0.004])
    def test_is_not_known_of_what_moves_by_one_rate(self, rate):
        """Spread of rounding is no spread."""
        moves = np.random.default_rng(1).normal(0.0, 0.01, 500)
        closes = 0.0371 * np.cumprod(np.column_stack((np.full(500, 1.0 + rate), 1.0 + moves)), axis=0)
        assert np.isnan(correlation(closes, 0, 1))
        assert np.isnan(correlation(closes, 1, 0))
        assert np.isnan(correlation(closes, 0, 0))
