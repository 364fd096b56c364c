"""Own signals and weights against an independent account, over random worlds.

Some hundred of them by default; OWN_WORLDS=10000 runs ten thousand.
"""

from __future__ import annotations

import os
from collections import Counter

import numpy as np
import pytest

from tests.account.event_lists import as_table
from tests.account.slow_account import Bar, Terms
from tests.builders import START
from tests.research.own_account import Given, OwnAccount, Venue
from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.account.instrument import Instrument
from virtuoso.account.margin import Tiers
from virtuoso.account.risk import Rules
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.research.backtest.engine import Account, run
from virtuoso.research.backtest.panel import SimulationPanel
from virtuoso.research.backtest.round_trips import lives
from virtuoso.signals.given import intents_of_position, intents_of_signals

WORLDS = int(os.environ.get("OWN_WORLDS", "400"))
HOUR, FIRST = Timeframe("1h"), START // 60
NAN = float("nan")
TIERS = (((0.0, 0.005),), ((0.0, 0.004), (8_000.0, 0.05), (30_000.0, 0.2)))


def bars_of(random: np.random.Generator, n: int, length: int, *, spot: bool) -> np.ndarray:
    """Bars of instruments with holes, marks apart from prices, and funding; shape (n_bars, n, BAR_COLUMNS)."""
    shape = (length, n)
    wild = random.choice([0.004, 0.02, 0.05])
    close = 100.0 * np.exp(np.cumsum(wild * random.standard_normal(shape), axis=0))
    opened = np.vstack((np.full((1, n), 100.0), close[:-1])) * np.exp(0.2 * wild * random.standard_normal(shape))
    reach = 0.6 * wild * np.abs(random.standard_normal((2, *shape)))
    bars = np.zeros((*shape, s.BAR_COLUMNS))
    bars[..., s.OPEN], bars[..., s.CLOSE] = opened, close
    bars[..., s.HIGH], bars[..., s.LOW] = (
        np.maximum(opened, close) * (1 + reach[0]),
        np.minimum(opened, close) / (1 + reach[1]),
    )
    premium = 1.0 + (0.0 if spot else 0.001) * random.standard_normal((length, n, 1)).clip(-3, 3)
    bars[..., s.MARK_OPEN : s.MARK_CLOSE + 1] = bars[..., s.OPEN : s.CLOSE + 1] * premium
    bars[..., s.SLIPPAGE] = random.choice([0.0, 0.0002, 0.002])
    if not spot:
        for column in (s.FUNDING_OPEN, s.FUNDING_INSIDE):
            settles = random.random(shape) < 0.15
            bars[..., column] = np.where(settles, 0.002 * random.standard_normal(shape) * opened, 0.0)
    holes = random.random(shape) < random.choice([0.0, 0.1])
    holes[[0, -1]] = False
    bars[holes] = NAN
    return bars


def frame_of(name: Instrument, bars: np.ndarray) -> MarketFrame:
    known = np.flatnonzero(np.isfinite(bars[:, s.OPEN]))
    columns = {of: bars[known, k] for k, of in enumerate(("open", "high", "low", "close"))}
    times = (FIRST + known) * HOUR.ms
    return MarketFrame(
        name, Bars.from_rows(HOUR, times, {**columns, "volume": np.ones(len(known))}, GapPolicy("cut", 0))
    )


def weights_of(random: np.random.Generator, frame: MarketFrame, most: float, *, spot: bool):
    """Target weights that are held for a while, and what both sides are given of them."""
    n = len(frame)
    low = 0.0 if spot and random.random() < 0.7 else -most
    drawn = random.uniform(low, most, n)
    drawn[random.random(n) < 0.2] = 0.0
    drawn[random.random(n) < 0.1] = most
    held = np.maximum.accumulate(np.where(random.random(n) < random.choice([0.1, 0.5]), np.arange(n), 0))
    weights = drawn[held]
    weights[random.random(n) < 0.05] = NAN
    rebalance = str(random.choice(["change", "bar", "4h"]))
    intents = intents_of_position(frame, weights, rebalance).intents
    traded = None
    if rebalance == "bar":
        traded = [True] * n
    elif rebalance == "4h":
        traded, seen = [], None
        known = np.isfinite(frame.base.columns["close"])
        for t in range(n):
            period = (frame.start + t + 1) // 4
            first = bool(known[t]) and np.isfinite(weights[t]) and period != seen
            traded.append(first)
            seen = period if first else seen
    return intents, Given(weights=weights.tolist(), traded=traded)


def signals_of(random: np.random.Generator, frame: MarketFrame, most: float):
    """Entries and exits of either kind, some with levels, and what both sides are given of them."""
    n = len(frame)
    close = frame.base.columns["close"]
    often = random.choice([0.05, 0.3, 0.9])
    sides = [random.random(n) < often * share for share in (0.5, 0.5, 0.5, 0.5)]
    if random.random() < 0.3:
        sides[2] = np.zeros(n, dtype=bool)
    if random.random() < 0.3:
        sides[1] = np.zeros(n, dtype=bool)
    how, told = {}, {}
    if random.random() < 0.5:
        size = random.uniform(0.1, most, n)
        size[random.random(n) < 0.05] = NAN
        how["size"], told["size"] = size, size.tolist()
    else:
        how["size"] = float(random.uniform(0.1, most))
        told["size"] = [how["size"]] * n
    kind = random.integers(0, 5)
    if kind in (1, 3):
        share = float(random.uniform(0.005, 0.05))
        how["stop"], told["stop"] = share, [(c * (1.0 - share), c * (1.0 + share)) for c in close]
    elif kind == 2:
        prices = close * (1.0 + random.normal(0.0, 0.03, n))
        prices[random.random(n) < 0.05] = NAN
        how["stop"], told["stop"] = prices, [(p, p) for p in prices]
    if kind in (3, 4):
        share = float(random.uniform(0.005, 0.05))
        how["trail"], told["trail"] = share, [c * share for c in close]
    if random.random() < 0.4:
        reach = ([0.01], [0.01, 0.03], [0.005, 0.02, 0.04])[random.integers(0, 3)]
        how["target"] = reach
        told["targets"] = [([(c * (1.0 + one), c * (1.0 - one)) for c in close], 1.0 / len(reach)) for one in reach]
    intents = intents_of_signals(frame, *sides, **how).intents
    long, leave, short, cover = (of.tolist() for of in sides)
    return intents, Given(long=long, leave=leave, short=short, cover=cover, **told)


def compared(seed: int) -> Counter:
    """Trade one world both ways; what happened in it."""
    random = np.random.default_rng(seed)
    n, length, spot = int(random.integers(1, 4)), int(random.integers(30, 120)), random.random() < 0.3
    bars = bars_of(random, n, length, spot=spot)
    names = tuple(Instrument("x-spot" if spot else "x-usdm", f"C{k}USDT") for k in range(n))
    frames = [frame_of(name, bars[:, i]) for i, name in enumerate(names)]
    leverage = 1.0 if spot else float(random.choice([1.0, 3.0, 20.0]))
    most = leverage * float(random.choice([0.3, 1.0]))
    rules = [Rules(*random.choice([[0.0, 0.0, 0.0], [0.01, 0.01, 5.0], [0.1, 0.2, 50.0]])) for _ in names]
    tiers = [TIERS[random.integers(0, 2)] for _ in names]
    maker, taker = float(random.choice([-0.0002, 0.0, 0.0002])), float(random.choice([0.0, 0.0005, 0.002]))
    account = Account(
        cash=1_000.0, maker=maker, taker=taker, leverage=leverage, isolated=bool(random.random() < 0.6), limited=False,
        rules=dict(zip(names, rules, strict=True)),
        tiers={name: Tiers.of(*zip(*of, strict=True)) for name, of in zip(names, tiers, strict=True)},
    )  # fmt: skip
    by_weight = random.random() < 0.5
    made = [
        weights_of(random, frame, most, spot=spot) if by_weight else signals_of(random, frame, most) for frame in frames
    ]
    panel = SimulationPanel(names, HOUR, FIRST, bars, np.zeros((length, n), dtype=bool), np.full(n, length - 1))
    pessimistic = bool(random.random() < 0.5)
    done = run(panel, {name: of[0] for name, of in zip(names, made, strict=True)}, account, pessimistic=pessimistic)
    slow = OwnAccount(
        1_000.0, [Terms(maker, taker, account.liquidation_fee, leverage, list(of)) for of in tiers],
        [Venue(*of, spot=spot) for of in rules], isolated=account.isolated, pessimistic=pessimistic,
    )  # fmt: skip
    slow.live([[None if np.isnan(of[0]) else Bar(*of) for of in row] for row in bars.tolist()], [of[1] for of in made])
    theirs = as_table(slow.account.events)
    theirs[:, 0] += FIRST
    ours = np.array([list(event) for event in done.events.tolist()], dtype=np.float64).reshape(-1, s.EVENT_COLUMNS)
    ruined = np.flatnonzero(np.array(slow.equity) < 1e-6)  # what is traded with the rounding of a lost account
    ours, theirs = (of[of[:, 0] < FIRST + ruined[0]] if len(ruined) else of for of in (ours, theirs))
    kept = [k for k, name in enumerate(r.EVENT.names) if name != "order"]
    assert ours.shape == theirs.shape, seed
    assert np.allclose(ours[:, kept], theirs[:, kept], rtol=1e-9, atol=1e-9, equal_nan=True), seed
    assert np.allclose(done.equity, slow.equity, rtol=1e-9, atol=1e-9), seed
    trades = lives(done)
    assert trades["pnl"].sum() == pytest.approx(done.equity[-1] - 1_000.0, rel=1e-9, abs=1e-8), seed
    kinds = Counter(r.KINDS[kind] for kind in done.events["kind"])
    kinds["weights" if by_weight else "signals"] += 1
    kinds["trades"] += len(trades)
    kinds["reductions"] += int((done.events["kind"] == r.CLOSED).sum()) - int((trades["reason"] == r.CLOSED).sum())
    kinds["isolated liquidation" if account.isolated else "cross liquidation"] += kinds["liquidation"]
    return kinds


@pytest.fixture(scope="module")
def seen() -> Counter:
    found: Counter = Counter()
    for seed in range(WORLDS):
        found.update(compared(seed))
    return found


LEAST = {
    "weights": 0.4, "signals": 0.4, "entry": 8.0, "signal": 6.0, "reductions": 2.0, "trades": 5.0, "stop": 0.5,
    "target": 0.4, "isolated liquidation": 0.05, "cross liquidation": 0.02, "funding": 3.0, "lapsed": 0.3,
    "withdrawn": 0.3,
}  # fmt: skip
"""What a world holds on average, at least."""


@pytest.mark.parametrize(("what", "least"), LEAST.items(), ids=LEAST)
def test_own_signals_equal_the_account_that_is_written_from_the_guide(seen, what, least):
    assert seen[what] >= least * WORLDS
