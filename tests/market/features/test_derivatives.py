"""The fold of positioning: what traders hold, pay and lose, as columns of bars."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from virtuoso.clock import Timeframe
from virtuoso.ingest.validate_events import validate_events
from virtuoso.market.events import Events, concat_events, events_of
from virtuoso.market.features.derivatives import DerivativesFeatures
from virtuoso.market.schema.columns import POSITIONING_COLUMNS
from virtuoso.market.schema.kinds import KINDS
from virtuoso.venues.files.derivatives import read_derivatives

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
FIRST = 28_000_800  # number of a 1m bar at a midnight
START = FIRST * MINUTE
M1, M5 = Timeframe("1m"), Timeframe("5m")
NOW = 1_780_000_000_000


def made(kind: str, minutes, available=None, **columns) -> Events:
    """Events at minutes after START; columns that are not given are not known."""
    times = START + (np.asarray(minutes, dtype=np.float64) * MINUTE).astype(np.int64)
    unknown = {name: np.full(len(times), np.nan) for name in KINDS[kind].columns}
    received = None if available is None else START + (np.asarray(available) * MINUTE).astype(np.int64)
    return events_of(KINDS[kind], times, {**unknown, **columns}, received)


def folded(events, n: int, name: str, timeframe: Timeframe = M1) -> list[float]:
    first = START // timeframe.ms
    given = {event.kind.name: event for event in events}
    return DerivativesFeatures(timeframe).bars(given, first, first + n)[name].tolist()


def seen(events, n: int, name: str, timeframe: Timeframe = M1) -> list[int]:
    """Bars in which a column is known."""
    return np.flatnonzero(~np.isnan(folded(events, n, name, timeframe))).tolist()


def recorded(seed: int, minutes: int) -> dict[str, Events]:
    """A day or so of a perpetual: stragglers, outages, a changing interval, liquidations in waves."""
    random = np.random.default_rng(seed)
    span = minutes * MINUTE
    five = START + np.arange(0, span, 5 * MINUTE)
    outage = (five > START + span // 3) & (five < START + span // 3 + HOUR)
    kept = five[(random.random(len(five)) > 0.05) & ~outage]
    late = np.where(random.random(len(kept)) < 0.1, random.integers(0, 12 * MINUTE, len(kept)), 0)

    def ratio():
        return np.where(random.random(len(kept)) < 0.1, np.nan, np.exp(random.standard_normal(len(kept))))

    settled = START + np.cumsum(random.choice([1, 4, 8], 40)) * HOUR
    settled = settled[settled < START + span]
    ticks = START + np.sort(random.integers(0, span, minutes // 4))
    hits = START + np.cumsum(random.exponential(2.0, minutes // 2) ** 3 * MINUTE).astype(np.int64)
    hits = hits[hits < START + span]
    return {
        "open_interest": events_of(
            KINDS["open_interest"], kept,
            {"open_interest": 5e4 + random.random(len(kept)), "open_interest_value": 5e9 * random.random(len(kept))},
            kept + MINUTE + late,
        ),
        "ratios": events_of(KINDS["ratios"], kept, {name: ratio() for name in KINDS["ratios"].columns}),
        "funding": events_of(
            KINDS["funding"], settled,
            {
                "rate": 1e-4 * random.standard_normal(len(settled)),
                "hours": np.where(random.random(len(settled)) < 0.3, 8.0, np.nan),
                "mark": np.full(len(settled), np.nan),
            },
        ),
        "prices": events_of(
            KINDS["prices"], ticks, {"mark": 100 + random.random(len(ticks)), "index": 100 + random.random(len(ticks))}
        ),
        "liquidations": events_of(
            KINDS["liquidations"], hits,
            {
                "side": random.choice([-1, 0, 1], len(hits)), "price": 100 + random.random(len(hits)),
                "size": random.random(len(hits)),
            },
        ),
    }  # fmt: skip


def in_pieces(events: dict[str, Events], cuts: list[int]) -> dict[str, np.ndarray]:
    """Columns folded piece by piece, from one cut (a bar after the first) to the next."""
    fold, parts = DerivativesFeatures(M1), []
    for a, b in pairwise(cuts):
        after = START + a * MINUTE if a else 0
        given = {kind: event.between(after, START + b * MINUTE) for kind, event in events.items()}
        parts.append(fold.bars({kind: event for kind, event in given.items() if len(event)}, FIRST + a, FIRST + b))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class TestAHistoryInPieces:
    """Folded whole, bar by bar or in random pieces, it gives the same bits."""

    BARS = 2_000

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_differs_in_no_bit(self, seed):
        events = recorded(seed, self.BARS)
        whole = in_pieces(events, [0, self.BARS])
        random = np.random.default_rng(seed)
        for cuts in (
            list(range(self.BARS + 1)),
            [0, *sorted(random.choice(np.arange(1, self.BARS), 30, replace=False).tolist()), self.BARS],
        ):
            pieces = in_pieces(events, cuts)
            for name, values in whole.items():
                assert values.tobytes() == pieces[name].tobytes(), name

    def test_says_something_in_every_column(self):
        whole = in_pieces(recorded(1, self.BARS), [0, self.BARS])
        assert list(whole) == list(POSITIONING_COLUMNS)
        for name, values in whole.items():
            assert 0.3 < np.isfinite(values).mean() < 1.0, name

    def test_is_the_same_in_other_units(self):
        """Prices x 8 and sizes x 4 give columns that are exactly so much larger."""
        events = recorded(4, self.BARS)
        scales = {
            "open_interest": {"open_interest": 4, "open_interest_value": 32},
            "prices": {"mark": 8, "index": 8},
            "liquidations": {"price": 8, "size": 4},
        }
        larger = {
            kind: Events(e.kind, e.event_time, e.available_at, {
                name: values * scales.get(kind, {}).get(name, 1) for name, values in e.columns.items()
            })
            for kind, e in events.items()
        }  # fmt: skip
        plain, scaled = (in_pieces(given, [0, self.BARS]) for given in (events, larger))
        for name, values in plain.items():
            np.testing.assert_array_equal(values * POSITIONING_COLUMNS[name].unit.factor(8, 4), scaled[name])


class TestWhatArrivesLater:
    """Does not matter before it arrives."""

    def test_changes_nothing_at_or_before_the_close(self):
        events = recorded(5, 600)
        cut = 300
        moment = START + cut * MINUTE
        garbage = {}
        for kind, e in events.items():
            late = e.available_at > moment
            columns = {n: np.where(late, 77, v).astype(v.dtype) for n, v in e.columns.items()}
            garbage[kind] = Events(e.kind, e.event_time, e.available_at, columns)
        plain, changed = (in_pieces(given, [0, 600]) for given in (events, garbage))
        for name, values in plain.items():
            assert values[:cut].tobytes() == changed[name][:cut].tobytes(), name
        assert any(plain[name].tobytes() != changed[name].tobytes() for name in plain)

    def test_a_row_stamped_at_the_close_is_not_seen_before_it_is_published(self):
        """The row of the bar's end arrives a minute later: the bar that closes with it does not know it."""
        oi = made("open_interest", [5], open_interest=[10.0])
        assert seen([oi], 10, "open_interest") == [5, 6, 7, 8, 9]
        assert seen([oi], 3, "open_interest", M5) == [1, 2]

    def test_counts_in_the_bar_at_whose_close_it_arrives(self):
        oi = made("open_interest", [0, 1], available=[2, 3 + 1 / MINUTE], open_interest=[10.0, 11.0])
        assert folded([oi], 5, "open_interest")[1:] == [10, 10, 11, 11]


class TestAValueThatHolds:
    """Open interest, ratios and prices are shown until they are too old, then nothing is known."""

    def test_is_known_for_fifteen_minutes_after_its_event(self):
        oi = made("open_interest", [0], open_interest=[10.0])
        assert seen([oi], 30, "open_interest") == list(range(15))

    def test_is_counted_from_its_event_not_from_its_arrival(self):
        late = made("open_interest", [0], available=[12], open_interest=[10.0])
        assert seen([late], 30, "open_interest") == [11, 12, 13, 14]

    def test_of_a_price_is_known_for_five_minutes(self):
        assert seen([made("prices", [0.5], mark=[10.0])], 30, "mark") == [0, 1, 2, 3, 4]

    def test_gives_way_to_a_newer_one(self):
        oi = made("open_interest", [0, 5], open_interest=[10.0, 11.0])
        assert folded([oi], 8, "open_interest") == [10, 10, 10, 10, 10, 11, 11, 11]

    def test_does_not_give_way_to_a_straggler(self):
        oi = made("open_interest", [5, 2], available=[6, 7], open_interest=[11.0, 10.0])
        assert folded([oi], 8, "open_interest")[5:] == [11, 11, 11]

    def test_gives_way_to_its_own_revision(self):
        oi = made("open_interest", [5, 5], available=[6, 7], open_interest=[11.0, 10.0])
        assert folded([oi], 8, "open_interest")[5:] == [11, 10, 10]

    def test_is_known_column_by_column(self):
        """A row that lacks one ratio does not hide the older one, which is still fresh."""
        ratios = made("ratios", [0, 5], accounts_ratio=[2.0, np.nan], taker_ratio=[1.0, 3.0])
        assert folded([ratios], 7, "accounts_ratio") == [2] * 7
        assert folded([ratios], 7, "taker_ratio") == [1, 1, 1, 1, 1, 3, 3]

    def test_of_nothing_is_not_known(self):
        assert all(np.isnan(folded([], 3, name)).all() for name in POSITIONING_COLUMNS)


class TestFundingRates:
    """Are shown per eight hours, over the interval at whose end they were settled."""

    def rates(self, hours, rate=0.0001, stated=np.nan):
        n = len(hours)
        return made("funding", np.array(hours) * 60, rate=np.full(n, rate), hours=np.full(n, stated))

    def at(self, events, hours, after: float = 0.5) -> list[float]:
        """Rate half an hour after some hours."""
        column = folded([events], 60 * (max(hours) + 1), "funding_rate")
        return [column[int((hour + after) * 60)] for hour in hours]

    def test_of_eight_hours_are_as_they_are(self):
        assert self.at(self.rates([0, 8, 16], stated=8.0), [0, 8, 16]) == [0.0001] * 3

    def test_of_one_and_four_hours_are_multiplied(self):
        assert self.at(self.rates([0, 4, 8], stated=4.0), [4, 8]) == [0.0002, 0.0002]
        assert self.at(self.rates([0, 1, 2], stated=1.0), [1, 2]) == [0.0008, 0.0008]

    def test_without_a_stated_interval_take_the_distance_to_the_one_before(self):
        found = self.at(self.rates([0, 4, 8]), [0, 4, 8])
        assert np.isnan(found[0])
        assert found[1:] == [0.0002, 0.0002]

    def test_follow_an_interval_that_becomes_shorter_at_once(self):
        found = self.at(self.rates([0, 8, 16, 20, 24, 25]), [8, 16, 20, 24, 25])
        assert found == [0.0001, 0.0001, 0.0002, 0.0002, 0.0008]

    def test_follow_one_that_becomes_longer_when_it_comes_twice(self):
        """One distance of eight hours could be a settlement of four hours that is missing."""
        found = self.at(self.rates([0, 4, 12, 20, 28]), [4, 12, 20, 28])
        assert found[:1] + found[2:] == [0.0002, 0.0001, 0.0001]
        assert np.isnan(found[1])

    def test_are_not_known_after_a_missing_settlement(self):
        found = self.at(self.rates([0, 8, 24, 32]), [8, 24, 32])
        assert np.isnan(found[1])
        assert found[::2] == [0.0001, 0.0001]

    def test_hold_for_nine_eighths_of_their_interval(self):
        assert seen([self.rates([0], stated=8.0)], 24 * 60, "funding_rate") == list(range(9 * 60))
        assert seen([self.rates([0], stated=4.0)], 24 * 60, "funding_rate") == list(range(270))
        assert seen([self.rates([0], stated=1.0)], 24 * 60, "funding_rate") == list(range(67))

    def test_that_jitter_by_milliseconds_are_of_the_same_interval(self):
        jitter = made(
            "funding", [0, 480 + 9 / MINUTE, 960 - 2 / MINUTE], rate=np.full(3, 1e-4), hours=np.full(3, np.nan)
        )
        assert self.at(jitter, [8, 16]) == [0.0001, 0.0001]

    def test_are_shown_only_once_settled(self):
        assert seen([self.rates([1], stated=8.0)], 90, "funding_rate") == list(range(60, 90))


class TestLiquidations:
    """Are sums over the bar in which they arrived, known while the recording is known to run."""

    def forced(self, minutes, side=-1, **options):
        n = len(minutes)
        return made(
            "liquidations", minutes, side=np.full(n, side), price=np.full(n, 100.0), size=np.full(n, 2.0), **options
        )

    def test_of_longs_are_those_in_which_the_order_sold(self):
        sold, bought = (self.forced([0.5, 1.5, 1.6], side) for side in (-1, 1))
        assert folded([sold], 3, "long_liquidations")[1:] == [400, 0]
        assert folded([sold], 3, "short_liquidations")[1:] == [0, 0]
        assert folded([bought], 3, "short_liquidations")[1:] == [400, 0]

    def test_are_not_known_in_the_bar_in_which_the_recording_begins(self):
        assert seen([self.forced([2.5, 3.5])], 5, "long_liquidations") == [3, 4]

    def test_are_zero_while_the_last_one_is_at_most_an_hour_old(self):
        column = folded([self.forced([0.5])], 100, "long_liquidations")
        assert column[1:60] == [0] * 59
        assert np.isnan(column[60:]).all()

    def test_are_not_known_in_a_bar_that_was_not_recorded_throughout(self):
        """After a silence of more than an hour the first bar is known in part only."""
        events = self.forced([0.5, 90.5, 91.5])
        assert seen([events], 95, "long_liquidations") == [*range(1, 60), 91, 92, 93, 94]
        assert folded([events], 95, "long_liquidations")[91] == 200

    def test_count_when_they_arrive(self):
        events = self.forced([0.5, 1.5], available=[0.5, 3.5])
        assert folded([events], 5, "long_liquidations")[1:] == [0, 0, 200, 0]


@pytest.fixture(scope="module")
def recorded_metrics(real_data):
    path = real_data / "derivatives/binance_um_metrics_5m_4sym_20250704_20251031.parquet"
    return list(read_derivatives(path, now_ms=NOW))


@pytest.fixture(scope="module")
def recorded_bars(real_data):
    return pd.read_parquet(real_data / "ohlcv/binance_um_5m_6sym_20250704_20251031.parquet")


@pytest.mark.real_data
class TestRecordedMetrics:
    """Open interest joined to the bars of its market: notional over contracts is the price when it was counted."""

    SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "LINKUSDT")

    @pytest.mark.parametrize("symbol", SYMBOLS)
    def test_show_the_close_of_the_bar_before(self, recorded_metrics, recorded_bars, symbol):
        """A row about the close T is published after T, so the bar that closes at T + 5m is the first to know it."""
        ours = recorded_bars[recorded_bars["symbol"] == symbol].sort_values("open_time_ms")
        close, first = ours["close"].to_numpy(), int(ours["open_time_ms"].iloc[0]) // M5.ms
        parts = [
            validate_events(r, NOW).accepted for r in recorded_metrics if r.symbol == symbol
        ]  # a file comes in parts
        kinds = {part.kind.name: part.kind for part in parts}
        events = {name: concat_events([part for part in parts if part.kind == of], of) for name, of in kinds.items()}
        columns = DerivativesFeatures(M5).bars(events, first, first + len(close))
        price = columns["open_interest_value"] / columns["open_interest"]
        off = {lag: np.nanmedian(np.abs(price[5:-5] / np.roll(close, lag)[5:-5] - 1.0)) for lag in (-1, 0, 1, 2)}
        assert off[1] < 1.5e-4
        assert min(off[0], off[2]) > 10 * off[1]
        known = {name: np.isfinite(values).mean() for name, values in columns.items()}
        assert min(known[name] for name in ("open_interest", "accounts_ratio", "taker_ratio")) > 0.999
        assert known["top_accounts_ratio"] > 0.998
