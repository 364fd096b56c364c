"""Lanes: many configurations in step trade as each of them does alone in `backtest.engine`, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest

from virtuoso.account import state as s
from virtuoso.account.instrument import Instrument
from virtuoso.account.margin import Tiers
from virtuoso.account.records import LIQUIDATED
from virtuoso.account.risk import Limits, Rules
from virtuoso.clock import Timeframe
from virtuoso.research.backtest.engine import PLAIN_TIERS, Account, run
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.research.sweep.measured import measured
from virtuoso.research.sweep.plans import DRAWDOWN, FLOWS, Found
from virtuoso.research.sweep.strategies import LaneMarket, MarketOrders

PERPETUAL, SPOT = Instrument("binance-usdm", "BTCUSDT"), Instrument("binance-spot", "BTCUSDT")
HOURS = Timeframe("1h")
ULPS = 1e-15
"""Of the max drawdown: the product by which a low is found rounds once more than the quotient that is kept."""


def panel(random, n=700, spot=False, spread=0.01, holes=True, funding=True):
    """A random market: gaps, misquoted marks, funding at opens and inside bars, breaks, an early end."""
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, spread, n)))
    opened = np.concatenate(([100.0], close[:-1])) * np.exp(random.normal(0.0, spread / 5.0, n))
    bars = np.zeros((n, 1, s.BAR_COLUMNS))
    bars[:, 0, s.OPEN], bars[:, 0, s.CLOSE] = opened, close
    bars[:, 0, s.HIGH] = np.maximum(opened, close) * (1.0 + np.abs(random.normal(0.0, spread / 3.0, n)))
    bars[:, 0, s.LOW] = np.minimum(opened, close) * (1.0 - np.abs(random.normal(0.0, spread / 3.0, n)))
    bars[:, 0, s.MARK_OPEN : s.MARK_CLOSE + 1] = bars[:, 0, : s.CLOSE + 1] * (1.0 + random.normal(0.0, 1e-4, (n, 1)))
    bars[:, 0, s.SLIPPAGE] = random.uniform(0.0, 5e-4, n)
    if funding and not spot:
        for column, share in ((s.FUNDING_OPEN, 0.1), (s.FUNDING_INSIDE, 0.03)):
            settles = random.random(n) < share
            bars[settles, 0, column] = random.normal(0.0, 0.03, settles.sum())
    breaks = ()
    if holes:
        for _ in range(random.integers(0, 7)):
            at = random.integers(1, n)
            bars[at : at + random.integers(1, 6)] = np.nan
        bars[n - random.integers(1, 40) :] = np.nan
        known = np.flatnonzero(np.isfinite(bars[1:, 0, s.OPEN])) + 1
        breaks = tuple((int(at), 0) for at in known[random.random(len(known)) < 0.004])
    last = np.array([np.flatnonzero(np.isfinite(bars[:, 0, s.OPEN]))[-1]])
    return SimulationPanel(
        (SPOT if spot else PERPETUAL,), HOURS, 400_000, bars, np.zeros((n, 1), bool), last, breaks=breaks
    )


def decided(random, stage, kind, leverage):
    """Random decisions of one configuration: positions in the list, and signed shares of the equity."""
    n = len(stage)
    at = np.sort(random.choice(n, random.integers(0, n // random.choice([2, 5, 40])), replace=False))
    if kind == "position":
        weight = random.uniform(-leverage, leverage, len(at)) * (random.random(len(at)) > 0.2)
    else:
        weight = random.choice([-1.0, 0.0, 1.0], len(at)) * random.choice([0.3, 1.0, leverage])
    kept = np.isfinite(stage.bars[at, 0, s.CLOSE])  # what is not known decides nothing
    return at[kept].astype(np.int32), weight[kept]


def orders_of(stage, row, at, weight, adjust):
    return MarketOrders(row, at, weight, stage.bars[at, 0, s.CLOSE], adjust)


def in_lanes(market, orders):
    """Walk configurations in lanes alone; figures, daily equity, and which the engine must be asked about."""
    asked = []
    found = Found.none(len(orders), len(market.days), flows=True)
    own = replace(market)
    object.__setattr__(own, "simulate", lambda row, *_: asked.append(row))
    own.walk(orders, found)
    return found, asked


def in_full(market, made, account):
    """What the engine makes of one configuration, bar after bar."""
    flows = np.zeros((len(market.days), len(FLOWS)))
    done = run(market.panel, {market.panel.instruments[0]: made}, account)
    return done, Found(*measured(done, market.days, flows), flows)


def alike(found, row, wanted):
    assert np.delete(found.figures[row], DRAWDOWN).tobytes() == np.delete(wanted.figures, DRAWDOWN).tobytes(), row
    assert found.figures[row, DRAWDOWN] == pytest.approx(wanted.figures[DRAWDOWN], abs=ULPS)
    assert found.daily[row].tobytes() == wanted.daily.tobytes()
    assert found.flows[row].tobytes() == wanted.flows.tobytes()
    assert len(wanted.flows) > 0


def account_of(random, **other):
    tiers = [PLAIN_TIERS, Tiers.of([0.0, 5_000.0, 20_000.0], [0.004, 0.01, 0.05])][random.integers(2)]
    rules = [Rules(), Rules(0.001, 0.001, 5.0), Rules(1.0, 1.0, 100.0)][random.integers(3)]
    return Account(
        taker=random.choice([0.0, 0.0005, 0.002]), leverage=float(random.choice([1.0, 3.0, 10.0, 30.0])),
        limits=Limits(max_drawdown=random.choice([0.02, 0.15, 0.9])), tiers={PERPETUAL: tiers},
        rules={PERPETUAL: rules, SPOT: rules}, limited=False, **other,
    )  # fmt: skip


@pytest.mark.parametrize("world", range(60))
def test_every_lane_is_the_engine(world):
    random = np.random.default_rng(world)
    spot, kind = bool(world % 3 == 0), ("position", "signals")[world % 2]
    stage, account = panel(random, spot=spot, spread=random.choice([0.002, 0.01, 0.03])), account_of(random)
    most = 1.0 if spot else account.leverage
    market, adjust = LaneMarket.of(stage, account), kind == "position"
    orders = [
        orders_of(stage, row, *decided(random, stage, kind, random.choice([1.0, most])), adjust)
        for row in range(int(random.integers(1, 41)))
    ]
    found, asked = in_lanes(market, orders)
    for row, one in enumerate(orders):
        if row in asked:
            continue
        alone, wanted = in_full(market, one.intents(stage.first), account)
        assert not (alone.events["kind"] == LIQUIDATED).any()
        alike(found, row, wanted)


def test_what_comes_near_liquidation_is_asked_of_the_engine():
    random = np.random.default_rng(5)
    stage = panel(random, spread=0.03)
    account = replace(account_of(random), leverage=30.0)
    market = LaneMarket.of(stage, account)
    orders = [orders_of(stage, row, *decided(random, stage, "position", 30.0), True) for row in range(20)]
    _, asked = in_lanes(market, orders)
    assert asked
    found = Found.none(20, len(market.days), flows=True)
    market.walk(orders, found)
    liquidated = 0
    for row, one in enumerate(orders):
        alone, wanted = in_full(market, one.intents(stage.first), account)
        alike(found, row, wanted)
        liquidated += int((alone.events["kind"] == LIQUIDATED).sum())
    assert liquidated > 0


@pytest.mark.parametrize("world", range(60))
def test_stops_and_targets_are_walked_as_the_engine_steps(world):
    random = np.random.default_rng(1_000 + world)
    spot = bool(world % 3 == 0)
    stage, account = panel(random, spot=spot, spread=random.choice([0.002, 0.01, 0.03])), account_of(random)
    market = LaneMarket.of(stage, account)
    for _ in range(5):
        made = bracketed(
            random, orders_of(stage, 0, *decided(random, stage, "signals", account.leverage), False), stage
        )
        found = Found.none(1, len(market.days), flows=True)
        market.trade(0, made, found)
        alike(found, 0, in_full(market, made, account)[1])


def bracketed(random, orders, stage):
    """Intents with stops and up to three targets, some sized by what they risk."""
    made, n = orders.intents(stage.first), len(orders.at)
    toward, price = made["side"].astype(np.float64), made["price"]
    made["stop"] = np.where(random.random(n) < 0.8, price * (1.0 - toward * random.uniform(0.002, 0.05, n)), np.nan)
    for k in range(random.integers(0, 4)):
        made["target"][:, k] = price * (1.0 + toward * random.uniform(0.001, 0.05, n) * (k + 1))
        made["size"][:, k] = random.choice([0.2, 1.0 / 3.0])
    made["weight"][(random.random(n) < 0.3) & np.isfinite(made["stop"])] = np.nan
    out = made["side"] == 0
    for name in ("stop", "target", "weight"):
        made[name][out] = np.nan
    made["size"][out] = 0.0
    return made
