"""The engine obeys the law of the components: what is done by a moment does not depend on what comes after it.

Random markets are traded whose instruments share a factor, so that the correlation limit binds often. Their spread
varies from bar to bar, their marks differ from the last price, and their funding settles at odd times. Then the rest of
history is taken away, or exchanged for another one, and what was done before must be the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from tests.builders import START, rows
from tests.research.scenes import PRISM
from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.account.instrument import Instrument
from virtuoso.account.records import INTENT
from virtuoso.account.risk import Limits, Rules
from virtuoso.clock import Env, Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.breaks import marked
from virtuoso.market.events import Events, events_of
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.market.schema.kinds import KINDS as EVENT_KINDS
from virtuoso.prism.engine.score import score
from virtuoso.research.backtest.engine import Account, PortfolioRun, run
from virtuoso.research.backtest.panel import FundingTerms, SimulationPanel
from virtuoso.research.backtest.round_trips import lives
from virtuoso.research.sweep.grid import Configurations
from virtuoso.research.sweep.sweep import Sweep
from virtuoso.signals.settings import SignalSettings

WORLDS, CUTS = 48, 8
HOUR, QUARTER = Timeframe("1h"), Timeframe("15m")
EVERY = HOUR.ratio(QUARTER)
BARS = 240
FIRST = START * 60_000 // HOUR.ms
LEAST_SLIPPAGE = 0.0003
TERMS = FundingTerms(assume=0.0002, mark_is_last=True)
NAN = float("nan")


class History(NamedTuple):
    """Everything that is drawn of a world's bars, funding and wishes, so that its rest can be another's.

    Attributes
    ----------
    gap, step, up, down, spread, premium : array, shape (n_finer_bars, n_instruments)
        From the close before to the open, from open to close, beyond both; half a spread and the mark's premium, as
        shares of the close.
    settlements : array, shape (n, 5)
        Instrument, when it settles and how it is stamped (ms), rate, mark price or NaN.
    wishes : array, shape (n_bars, n_instruments, 5)
        Side or NaN for none, distances of stop, target and limit (NaN: at market), reliability.
    """

    gap: np.ndarray
    step: np.ndarray
    up: np.ndarray
    down: np.ndarray
    spread: np.ndarray
    premium: np.ndarray
    settlements: np.ndarray
    wishes: np.ndarray

    @classmethod
    def drawn(cls, random: np.random.Generator, n: int, wild: float = 1.0) -> History:
        """Draw one; a wild one moves so much that correlations, spreads, marks and funding are others at once."""
        shape = (BARS * EVERY, n)
        sign = np.ones(n) if wild == 1.0 else random.choice([-1.0, 1.0], n)
        loading = sign * random.uniform(1.0, 2.0)
        common, own = random.standard_t(4, (shape[0], 1)), random.standard_t(4, shape)
        step = np.clip(0.002 * wild * (loading * common + own), -0.3, 0.3)
        spread = 0.0001 * wild * random.gamma(1.0, 4.0, shape)
        spread[random.random(shape) < 0.05] = NAN
        count = 40 * n
        when = random.integers(0, BARS, count) * HOUR.ms
        late = np.where(random.random(count) < 0.5, random.integers(0, 60_001, count), 0)
        odd = random.random(count) < 0.5
        when[odd] += random.integers(60_001, HOUR.ms, int(odd.sum()))
        late[odd] = 0
        crowd = random.random(count) < 0.3  # in one bar with another
        when[crowd] = when[crowd] // HOUR.ms * HOUR.ms + HOUR.ms // 2
        late[crowd] = 0
        settles = FIRST * HOUR.ms + when
        marks = np.where(random.random(count) < 0.5, NAN, 100.0 * random.uniform(0.9, 1.1, count))
        rates = 0.001 * wild * random.standard_normal(count)
        settlements = np.column_stack((random.integers(0, n, count), settles, settles + late, rates, marks))
        sides = np.where(random.random((BARS, n)) < 0.25, random.choice([-1.0, 0.0, 1.0, 1.0], (BARS, n)), NAN)
        stop, target = random.uniform(0.004, 0.08, (BARS, n)), random.uniform(0.004, 0.08, (BARS, n))
        limit = np.where(random.random((BARS, n)) < 0.25, random.uniform(0.0, 0.004, (BARS, n)), NAN)
        wishes = np.stack((sides, stop, target, limit, random.random((BARS, n))), axis=2)
        return cls(
            0.0002 * random.standard_normal(shape), step, *(0.001 * np.abs(random.standard_normal((2, *shape)))),
            spread, 0.001 * wild * random.standard_normal(shape), settlements, wishes,
        )  # fmt: skip

    def until_open(self, bar: int, rest: History) -> History:
        """This one up to the open of a bar, what settles at that very moment included, then the rest of another."""
        f, moment = bar * EVERY, (FIRST + bar) * HOUR.ms

        def joined(own: np.ndarray, other: np.ndarray, at: int) -> np.ndarray:
            return np.concatenate((own[:at], other[at:]))

        mine, others = self.settlements[:, 1] <= moment, rest.settlements[:, 1] > moment
        return History(
            joined(self.gap, rest.gap, f + 1), *(joined(a, b, f) for a, b in zip(self[1:6], rest[1:6], strict=True)),
            np.concatenate((self.settlements[mine], rest.settlements[others])), joined(self.wishes, rest.wishes, bar),
        )  # fmt: skip


class World(NamedTuple):
    """A market, and the account that trades it.

    Attributes
    ----------
    published : array of bool, shape (n_finer_bars, n_instruments)
    marked : array of bool, shape (n_instruments,)
        Which ones have recorded marks.
    finer : tuple of int
        Instruments of which finer bars are given.
    breaks : tuple of (int, ...)
        Bars from which on each name means another instrument.
    """

    names: tuple[Instrument, ...]
    published: np.ndarray
    marked: np.ndarray
    finer: tuple[int, ...]
    account: Account
    pessimistic: bool
    history: History
    breaks: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, seed: int) -> World:
        random = np.random.default_rng(seed)
        n = int(random.integers(3, 6))
        published = np.ones((BARS * EVERY, n), dtype=bool)
        for _ in range(int(random.integers(0, 6))):  # outages of hours
            a, i = int(random.integers(20, BARS - 30)), int(random.integers(n))
            published[a * EVERY : (a + int(random.integers(1, 9))) * EVERY, i] = False
        holes = random.random((BARS * EVERY, n)) < 0.002  # and single quarters, but never the first of an hour
        holes[::EVERY] = False
        published &= ~holes
        if random.random() < 0.5:
            published[int(random.integers(100, 180)) * EVERY :, 0] = False  # delisted
        if random.random() < 0.5:
            published[: int(random.integers(20, 60)) * EVERY, n - 1] = False  # listed late
        limits = Limits(
            base_size=float(random.choice([0.01, 0.03])), max_positions=int(random.integers(2, n + 1)),
            max_leverage=float(random.choice([1.5, 3.0])), heat=float(random.choice([0.04, 0.25])),
            correlation=float(random.choice([0.5, 0.6, 0.7])), max_drawdown=float(random.choice([0.05, 0.2])),
        )  # fmt: skip
        names = tuple(Instrument("binance-usdm", f"C{i}USDT") for i in range(n))
        halt = bool(random.random() < 0.5)
        account = Account(
            leverage=float(random.choice([3.0, 20.0])), isolated=bool(random.random() < 0.6), limits=limits,
            rules={name: Rules(0.01, 0.01, 100.0) for name in names[:2]}, trail=float(random.choice([0.0, 0.0, 1.0])),
            halt=halt, reset_halt=int(random.integers(0, 3)) if halt else 0,
        )  # fmt: skip
        finer = tuple(np.flatnonzero(random.random(n) < 0.7)) if random.random() < 0.5 else ()
        return cls(
            names, published, random.random(n) < 0.7, finer, account, bool(random.random() < 0.7),
            History.drawn(random, n), cls.broken(np.random.default_rng([seed, 9]), n),
        )  # fmt: skip

    @staticmethod
    def broken(random: np.random.Generator, n: int) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(sorted(random.integers(30, BARS - 10, int(random.integers(0, 3))))) for _ in range(n))

    @property
    def gone(self) -> int:
        """Last bar of the instrument that is delisted; the last bar of all if none is."""
        return int(np.flatnonzero(self.published[:, 0])[-1]) // EVERY

    def quarters(self, history: History) -> list[MarketFrame]:
        """Bars of all instruments on the finer clock."""
        close = 100.0 * np.cumprod((1.0 + history.gap) * np.exp(history.step), axis=0)
        open_ = np.concatenate((np.full((1, close.shape[1]), 100.0), close[:-1])) * (1.0 + history.gap)
        high, low = np.maximum(open_, close) * (1.0 + history.up), np.minimum(open_, close) * (1.0 - history.down)
        made = {
            "open": open_, "high": high, "low": low, "close": close, "volume": np.ones_like(close),
            "spread": 2.0 * history.spread * close, "mark": close * (1.0 + history.premium),
        }  # fmt: skip
        frames = []
        for i, name in enumerate(self.names):
            at = np.flatnonzero(self.published[:, i])
            columns = {key: of[at, i] for key, of in made.items() if key != "mark" or self.marked[i]}
            times = (FIRST * EVERY + at) * QUARTER.ms
            bars = Bars.from_rows(QUARTER, times, columns, GapPolicy("cut", 0))
            frames.append(MarketFrame(name, marked(bars, [(FIRST + bar) * HOUR.ms for bar in self.breaks[i]])))
        return frames

    def trade(self, history: History, bars: int = BARS) -> PortfolioRun:
        """Trade the first bars of a history, as if they were all there are."""
        end = (FIRST + bars) * HOUR.ms
        # the one that is listed late is the last, so that the others keep their places where it is not there yet
        begun = [frame.until(end) for frame in self.quarters(history) if frame.start * QUARTER.ms < end]
        hours = [MarketFrame(frame.instrument, frame.bars(HOUR)) for frame in begun]
        funding = {name: self.funding(history, i, end) for i, name in enumerate(self.names)}
        finer = {begun[i].instrument: begun[i] for i in self.finer if i < len(begun)}
        panel = SimulationPanel.of(hours, slippage=LEAST_SLIPPAGE, funding=funding, terms=TERMS, inside=finer)
        return run(panel, self.intents(history, panel), self.account, pessimistic=self.pessimistic)

    def funding(self, history: History, i: int, end: int) -> Events:
        rows = history.settlements
        rows = rows[(rows[:, 0] == i) & (rows[:, 1] < end)]
        columns = {"rate": rows[:, 3], "hours": np.full(len(rows), 8.0), "mark": rows[:, 4]}
        return events_of(EVENT_KINDS["funding"], rows[:, 2].astype(np.int64), columns)

    def intents(self, history: History, panel: SimulationPanel) -> dict[Instrument, np.ndarray]:
        """What is wished for at the closes that are known."""
        found = {}
        for i, name in enumerate(panel.instruments):
            close = panel.closes[:, i]
            side, stop, target, limit, reliability = history.wishes[: len(panel), i].T
            rows = np.flatnonzero(np.isfinite(side) & np.isfinite(close))
            made = np.zeros(len(rows), dtype=INTENT)
            side, price = side[rows], close[rows]
            enters = np.where(side == 0.0, NAN, 1.0)
            made["number"], made["side"], made["price"] = panel.first + rows, side, price
            made["entry"] = enters * price * (1.0 - side * limit[rows])
            made["expires"] = made["number"] + 6
            made["stop"] = enters * price * (1.0 - side * stop[rows])
            made["target"] = NAN
            made["target"][:, 0], made["size"][:, 0] = enters * price * (1.0 + side * target[rows]), 1.0
            made["reliability"] = reliability[rows]
            found[name] = made
        return found

    def moments(self, random: np.random.Generator, done: PortfolioRun) -> Iterator[int]:
        """Bars to cut at: some near what was done, some near what was asked for, some anywhere."""
        near = (done.events["instant"], done.intents["number"] + 1, done.panel.first + np.arange(len(done.panel)))
        for k in range(CUTS):
            yield int(np.clip(random.choice(near[k % 3]) - done.panel.first, 1, BARS - 1))


class OwnWorld(World):
    """The same markets, traded by own signals: shares of the equity, some of them weights that add and reduce."""

    @classmethod
    def of(cls, seed: int) -> World:
        world = super().of(seed)
        return world._replace(account=replace(world.account, limited=seed % 3 == 0))

    def intents(self, history: History, panel: SimulationPanel) -> dict[Instrument, np.ndarray]:
        """Of some instruments weights, of the others entries with levels; by what is drawn for other wishes."""
        found = super().intents(history, panel)
        for i, made in enumerate(found.values()):
            made["entry"], made["expires"] = NAN, made["number"] + 1
            made["weight"], made["reliability"] = 1.2 * made["reliability"], NAN
            if i % 2:
                made["adjust"], made["stop"], made["target"] = True, NAN, NAN
            else:
                wide = np.abs(made["target"][:, 0] / made["price"] - 1.0)
                made["trail"] = np.where(wide > 0.05, 0.02 * made["price"], NAN)
        return found


def filled_by_the_open(events: np.ndarray, entry: np.ndarray, number: int) -> tuple[int, int]:
    """How many events are over when a bar has opened, and how many of them filled at that open.

    What enters at market (its `entry` is NaN), and what was decided to leave, fills at the open; whatever is written
    before it was earlier still.
    """
    at_open = (events["kind"] == r.CLOSED) | ((events["kind"] == r.ENTERED) & np.isnan(entry[events["order"]]))
    there = np.flatnonzero((events["instant"] == number) & at_open)
    if len(there):
        return int(there[-1]) + 1, len(there)
    return int(np.searchsorted(events["instant"], number)), 0


@pytest.fixture(scope="module")
def worlds() -> list[tuple[World, PortfolioRun]]:
    made = [World.of(seed) for seed in range(WORLDS)]
    return [(world, world.trade(world.history)) for world in made]


@pytest.fixture(scope="module")
def own_worlds() -> list[tuple[World, PortfolioRun]]:
    made = [OwnWorld.of(seed) for seed in range(WORLDS)]
    return [(world, world.trade(world.history)) for world in made]


@pytest.fixture(scope="module")
def counts(worlds) -> Counter:
    counts: Counter = Counter()
    for world, done in worlds:
        bars, events = done.panel.bars, done.events
        counts.update(f"refused: {name}" for name, n in done.refused.items() for _ in range(n))
        counts.update(f"cut: {name}" for name, n in done.cut.items() for _ in range(n))
        counts.update(r.KINDS[kind] for kind in events["kind"])
        filled = ~np.isin(events["kind"], (*r.UNFILLED, r.FUNDED))
        slipped = bars[events["instant"] - done.panel.first, events["instrument"], s.SLIPPAGE]
        counts["filled at the recorded spread"] += int((slipped[filled] > LEAST_SLIPPAGE).sum())
        counts["marks apart from the last price"] += int(
            (np.abs(bars[:, :, s.MARK_CLOSE] - bars[:, :, s.CLOSE]) > 0.0).sum()
        )
        counts["settlements inside a bar"] += np.count_nonzero(np.nan_to_num(bars[:, :, s.FUNDING_INSIDE]))
        counts["settlements at an open"] += np.count_nonzero(np.nan_to_num(bars[:, :, s.FUNDING_OPEN]))
        settled = world.history.settlements[:, :2] // [1, HOUR.ms]
        counts["bars with several settlements"] += int((np.unique(settled, axis=0, return_counts=True)[1] > 1).sum())
        counts["correlation unknown"] += done.correlation_unknown
        counts["halts"] += len(done.halts)
        counts["enforced halts"] += len(done.halts) if world.account.halt else 0
        counts["cross margin"] += not world.account.isolated
        counts["delisted while held"] += int(
            ((events["kind"] == r.CLOSED) & (events["instrument"] == 0) & (events["slippage"] == 0.0)).sum()
        )
        counts["told bars"] += 0 if done.panel.inside is None else int(done.panel.inside.told.sum())
        counts["unknown bars"] += int(np.isnan(done.panel.closes).sum())
    return counts


OFTEN = {
    "refused: correlation": 1_500, "refused: halted": 200, "refused: positions": 100, "refused: heat": 25,
    "refused: leverage": 10, "cut: heat": 100, "cut: leverage": 150, "correlation unknown": 300, "entry": 2_000,
    "signal": 1_200, "stop": 300, "target": 300, "liquidation": 20, "lapsed": 30, "rejected": 8, "funding": 1_500,
    "filled at the recorded spread": 2_000, "marks apart from the last price": 20_000, "settlements at an open": 2_000,
    "settlements inside a bar": 2_000, "bars with several settlements": 300, "halts": 12, "enforced halts": 6,
    "cross margin": 12, "delisted while held": 4, "told bars": 7_000, "unknown bars": 2_000,
    "break": 20,
}  # fmt: skip
"""What the worlds must hold at least, all together."""


class TestWhatTheyAre:
    """The law says nothing about what never happens: every branch that it is about is taken often."""

    @pytest.mark.parametrize(("what", "least"), OFTEN.items(), ids=OFTEN)
    def test_happens_often(self, counts, what, least):
        assert counts[what] >= least

    def test_no_amount_is_lost(self, worlds):
        for _, done in worlds:
            assert np.isfinite(done.equity).all()
            assert np.isfinite(done.events["wallet"]).all()


class TestTheRestIsTakenAway:
    """A run over the first bars is the beginning of the run over all of them."""

    def test_events_before_the_cut_are_the_same_bytes(self, worlds):
        compared: Counter = Counter()
        for seed, (world, done) in enumerate(worlds):
            for cut in world.moments(np.random.default_rng([seed, 1]), done):
                dark = np.isnan(done.panel.bars[cut - 1, :, s.CLOSE])
                if (dark & (done.panel.last >= cut)).any() or cut == world.gone + 1:
                    compared["would look delisted"] += 1  # an instrument whose next bar is missing has left the stage
                    continue
                short = world.trade(world.history, cut)
                before = done.events[done.events["instant"] < done.panel.first + cut]
                assert short.events.tobytes() == before.tobytes(), (seed, cut)
                assert short.equity.tobytes() == done.equity[:cut].tobytes()
                assert short.exposure.tobytes() == done.exposure[:cut].tobytes()
                assert short.halts.tolist() == done.halts[done.halts < done.panel.first + cut].tolist()
                compared["cuts"] += 1
                compared["events"] += len(before)
        assert compared["cuts"] >= 300
        assert compared["events"] >= 25_000


class TestTheRestIsAnother:
    """What fills at the open of a bar, and all that came before, is the same whatever the bar then does."""

    differently = 0.95

    def test_events_until_the_open_are_the_same_bytes(self, worlds):
        compared: Counter = Counter()
        for seed, (world, done) in enumerate(worlds):
            random = np.random.default_rng([seed, 2])
            for bar in world.moments(random, done):
                if bar == world.gone:
                    continue  # what is delisted is settled at the close of its last bar
                rest = History.drawn(random, len(world.names), wild=8.0)
                other = world.trade(world.history.until_open(bar, rest))
                n, filled = filled_by_the_open(done.events, done.intents["entry"], done.panel.first + bar)
                found = filled_by_the_open(other.events, other.intents["entry"], done.panel.first + bar)
                assert found == (n, filled), (seed, bar)
                assert other.events[:n].tobytes() == done.events[:n].tobytes(), (seed, bar)
                assert other.equity[:bar].tobytes() == done.equity[:bar].tobytes()
                assert other.exposure[:bar].tobytes() == done.exposure[:bar].tobytes()
                early = [one.halts[one.halts < done.panel.first + bar].tolist() for one in (other, done)]
                assert early[0] == early[1]
                compared.update({"bars": 1, "events": n, "filled at the open": filled})
                compared["went on differently"] += done.events.tobytes() != other.events.tobytes()
        assert compared["bars"] >= 350
        assert compared["events"] >= 25_000
        assert compared["filled at the open"] >= 200
        assert compared["went on differently"] >= self.differently * compared["bars"]


class TestOwnSignals:
    """The same law for what is sized by a share of the equity, added to and reduced."""

    def test_they_are_cut_reduced_and_reported(self, own_worlds):
        seen: Counter = Counter()
        for _, done in own_worlds:
            events, adjusts = done.events, done.intents["adjust"]
            seen.update(r.KINDS[kind] for kind in events["kind"])
            exits = events["kind"] == r.CLOSED
            seen["of weights"] += int(adjusts[events["order"]].sum())
            seen["reductions"] += int(exits.sum()) - int((lives(done)["reason"] == r.CLOSED).sum())
            seen["would have been"] += sum(done.would_refuse.values()) + sum(done.would_cut.values())
        least = {
            "entry": 2_000, "signal": 1_500, "stop": 100, "target": 100, "liquidation": 10, "withdrawn": 60,
            "rejected": 5, "funding": 1_500, "of weights": 1_500, "reductions": 300, "would have been": 500,
        }  # fmt: skip
        assert {what: seen[what] for what, n in least.items() if seen[what] < n} == {}

    def test_the_rest_is_taken_away(self, own_worlds):
        TestTheRestIsTakenAway().test_events_before_the_cut_are_the_same_bytes(own_worlds)

    def test_the_rest_is_another(self, own_worlds):
        law = TestTheRestIsAnother()
        law.differently = 0.9  # a wild future ruins more of these accounts, and a ruined one does nothing any more
        law.test_events_until_the_open_are_the_same_bytes(own_worlds)


class TestTheAccountsOfASweep:
    """They walk from event to event, and look ahead no more than the account that goes from bar to bar."""

    BARS, ROWS = 4_000, 3
    MINUTE = Timeframe("1m")
    ACCOUNT = Account(leverage=20.0, limits=Limits(base_size=0.02, max_drawdown=0.6), halt=True)
    SETTINGS = SignalSettings(
        min_coverage=0.1, max_age="2h", bull_enter=62.0, bull_leave=53.0, bear_leave=47.0, bear_enter=38.0
    )

    def history(self, seed: int, wild: float = 1.0) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
        """Open times, columns with spread and mark, and settlements at odd times: when they are, and their rates."""
        random = np.random.default_rng(seed)
        times, columns = rows(seed, self.BARS)
        n = len(times)
        columns = {name: columns[name] for name in ("open", "high", "low", "close", "volume")}
        for name in ("open", "high", "low", "close"):
            columns[name] = 100.0 * (columns[name] / 100.0) ** wild
        columns["spread"] = 0.0002 * wild * random.gamma(1.0, 4.0, n) * columns["close"]
        columns["mark"] = columns["close"] * (1.0 + 0.001 * wild * random.standard_normal(n))
        when = START * 60_000 + np.sort(random.integers(0, self.BARS * 60_000, 400))
        when[::4] -= when[::4] % 60_000
        return times, columns, np.column_stack((when, 0.001 * wild * random.standard_normal(400)))

    def until_open(self, own, rest, number: int):
        """A history up to the open of a bar, then the rest of another."""
        times, moment = own[0], number * 60_000
        k = int(np.searchsorted(times, moment))
        level = own[1]["close"][k - 1] / rest[1]["close"][k - 1]
        columns = {
            name: np.concatenate((of[:k], rest[1][name][k:] * (1.0 if name == "volume" else level)))
            for name, of in own[1].items()
        }
        if times[k] == moment:
            first = columns["open"][k] = own[1]["open"][k]
            columns["high"][k], columns["low"][k] = max(columns["high"][k], first), min(columns["low"][k], first)
        return times, columns, np.concatenate((own[2][own[2][:, 0] <= moment], rest[2][rest[2][:, 0] > moment]))

    def swept(self, history, end: int = START + BARS) -> Sweep:
        times, columns, settlements = history
        bars = Bars.from_rows(self.MINUTE, times, columns, GapPolicy("bridge", 5)).until(end)
        frame = MarketFrame(Instrument("binance-usdm", "BTCUSDT"), bars)
        paid = settlements[settlements[:, 0] < end * 60_000]
        columns = {"rate": paid[:, 1], "hours": np.full(len(paid), 8.0), "mark": np.full(len(paid), NAN)}
        funding = {frame.instrument: events_of(EVENT_KINDS["funding"], paid[:, 0].astype(np.int64), columns)}
        panel = SimulationPanel.of([frame], slippage=LEAST_SLIPPAGE, funding=funding, terms=TERMS)
        tried = Configurations.around(PRISM, self.SETTINGS, self.ROWS, Env(seed=3), points=12.0)
        return Sweep(score(PRISM, frame), tried, panel=panel, account=self.ACCOUNT)

    @pytest.mark.parametrize("seed", [7, 8])
    def test_events_by_a_moment_are_the_same_bytes(self, seed):
        random, own = np.random.default_rng(seed), self.history(seed)
        whole = self.swept(own)
        events, market = [whole.events(row) for row in range(self.ROWS)], np.full(self.BARS, NAN)
        compared: Counter = Counter(r.KINDS[kind] for kind in np.concatenate(events)["kind"])
        near = np.concatenate([of["instant"][np.isin(of["kind"], (r.ENTERED, r.CLOSED))] for of in events])
        for number in (*random.choice(near, 24, replace=False), *(START + random.integers(500, self.BARS, 6))):
            if np.isnan(whole.market.bars[number - 1 - START, 0, s.CLOSE]):
                continue  # a market without a last bar looks delisted
            short = self.swept(own, int(number))
            other = self.swept(self.until_open(own, self.history(seed + 100, wild=4.0), int(number)))
            for row, of in enumerate(events):
                before = of[of["instant"] < number]
                assert short.events(row).tobytes() == before.tobytes(), (number, row)
                n, filled = filled_by_the_open(of, market, number)
                again = other.events(row)
                assert filled_by_the_open(again, market, number) == (n, filled), (number, row)
                assert again[:n].tobytes() == of[:n].tobytes(), (number, row)
                compared.update({"cuts": 1, "events": n, "filled at the open": filled})
                compared["went on differently"] += of.tobytes() != again.tobytes()
        least = {"cuts": 75, "events": 12_000, "filled at the open": 30, "entry": 250, "stop": 150, "target": 120,
                 "signal": 75, "funding": 120}  # fmt: skip
        assert {what: compared[what] for what, n in least.items() if compared[what] < n} == {}
        assert compared["went on differently"] >= 0.8 * compared["cuts"]
