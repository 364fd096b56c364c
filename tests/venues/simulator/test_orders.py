"""The order-driven market behind the bars: a valid book, trades that are its fills, positions that balance, files."""

import csv
import gzip
import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

from virtuoso.clock import parse_time
from virtuoso.venues.simulator import (
    Recording,
    book_every,
    coin,
    order_facts,
    order_signs,
    outages,
    record,
    simulate,
    write_recordings,
)
from virtuoso.venues.simulator.levels import quote
from virtuoso.venues.simulator.orders import liquidate
from virtuoso.venues.simulator.state import (
    ACCOUNTS,
    ASK,
    BID,
    COUNT,
    FORCED,
    HELD,
    PRICE,
    PRICES,
    ROOM,
    SIZE,
    UNIT,
    new_tape,
    opened,
)

MINUTE_MS, DAYS, SEED = 60_000, 3, 4
SMALL = "PEBBLEUSDT"


@pytest.fixture(scope="module")
def market() -> dict[str, Recording]:
    return record(("SOLUSDT", SMALL), days=DAYS, seed=SEED)


@pytest.fixture(scope="module")
def sol(market) -> Recording:
    return market["SOLUSDT"]


def digest(of: Recording) -> str:
    parts = (of.trades, of.book, of.metrics, of.funding, of.prices, of.liquidations, *of.bars.values())
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


class TestOneSeedIsOneMarket:
    """What is recorded, of whom and for how long changes nothing of what happens."""

    def test_the_same_seed_gives_the_same_rows(self, sol):
        assert digest(record(["SOLUSDT"], days=DAYS, seed=SEED)["SOLUSDT"]) == digest(sol)

    def test_more_days_only_add_to_the_end(self, sol):
        short = record(["SOLUSDT"], days=DAYS - 1, seed=SEED)["SOLUSDT"]
        for name in ("trades", "book", "funding", "prices", "liquidations", "metrics"):
            few, many = getattr(short, name), getattr(sol, name)
            assert 0 < len(few) < len(many), name
            assert np.array_equal(few, many[: len(few)], equal_nan=True), name

    def test_the_bars_are_the_same_whoever_listens(self, sol):
        alone = simulate(["SOLUSDT"], days=DAYS, seed=SEED)["SOLUSDT"]
        assert all(np.array_equal(values, sol.bars[name]) for name, values in alone.items())

    def test_streams_of_the_last_days_are_the_end_of_all_of_them(self, sol):
        late = record(["SOLUSDT"], days=DAYS, seed=SEED, trade_days=2, book_days=1)["SOLUSDT"]
        assert len(late.trades) > 0
        assert np.array_equal(late.trades, sol.trades[-len(late.trades) :])
        assert np.array_equal(late.book, sol.book[-len(late.book) :])
        assert late.trades[0, 0] >= parse_time("2025-01-02") > sol.trades[-len(late.trades) - 1, 0]
        assert late.book[0, 0] == parse_time("2025-01-03")


class TestTrades:
    """The bars are the bars of these very trades."""

    @pytest.mark.parametrize("symbol", ["SOLUSDT", SMALL])
    def test_folded_by_the_minute_they_are_the_bars(self, market, symbol):
        of = market[symbol]
        minute, price, size, side = of.trades[:, 0] // MINUTE_MS, of.trades[:, 2], of.trades[:, 3], of.trades[:, 4]
        begins = np.flatnonzero(np.r_[True, np.diff(minute) > 0])
        ends = np.r_[begins[1:], len(minute)] - 1
        tick, lot = 10**of.coin.tick_decimals, 10**of.coin.lot_decimals
        at = np.searchsorted(of.bars["open_time"], minute[begins] * MINUTE_MS)
        bought = np.where(side > 0, size, 0)
        for name, values in (
            ("open", price[begins] / tick),
            ("high", np.maximum.reduceat(price, begins) / tick),
            ("low", np.minimum.reduceat(price, begins) / tick),
            ("close", price[ends] / tick),
            ("volume", np.add.reduceat(size, begins) / lot),
            ("quote_volume", np.add.reduceat(price * size, begins) / (tick * lot)),
            ("trades", np.diff(np.r_[begins, len(minute)])),
            ("taker_buy_volume", np.add.reduceat(bought, begins) / lot),
            ("taker_buy_quote_volume", np.add.reduceat(price * bought, begins) / (tick * lot)),
        ):
            assert np.array_equal(of.bars[name][at], values), name
        assert of.bars["trades"].sum() == len(of.trades)

    def test_come_in_order_with_ids_that_only_an_outage_interrupts(self, sol):
        assert (np.diff(sol.trades[:, 0]) >= 0).all()
        ((begin, end),) = outages(DAYS, seed=SEED)
        (gap,) = np.flatnonzero(np.diff(sol.trades[:, 1]) != 1)
        assert sol.trades[gap, 0] < begin < end <= sol.trades[gap + 1, 0]

    def test_nothing_is_recorded_while_the_venue_is_down(self, market):
        ((begin, end),) = outages(DAYS, seed=SEED)
        for of in market.values():
            for rows in (of.trades, of.book, of.liquidations):
                assert not ((rows[:, 0] >= begin) & (rows[:, 0] < end)).any()
            for rows in (of.metrics, of.prices):
                assert not ((rows[:, 0] > begin) & (rows[:, 0] <= end)).any()


def replayed(of: Recording):
    """After each moment of the book: time, bids and asks."""
    sides: dict[int, dict[int, int]] = {1: {}, -1: {}}
    rows = of.book.tolist()
    for i, (time, snapshot, side, price, size) in enumerate(rows):
        if snapshot and (i == 0 or not rows[i - 1][1] or rows[i - 1][0] != time):
            sides = {1: {}, -1: {}}
        if size:
            sides[side][price] = size
        else:
            sides[side].pop(price, None)
        if i + 1 == len(rows) or rows[i + 1][0] != time:
            yield time, sides[1], sides[-1]


class TestTheBook:
    """Prices with sizes on both sides, never crossed, changed by what is told and by nothing else."""

    @pytest.mark.parametrize("symbol", ["SOLUSDT", SMALL])
    def test_is_never_crossed_nor_empty(self, market, symbol):
        for time, bids, asks in replayed(market[symbol]):
            assert max(bids) < min(asks), time
            assert min(bids.values()) > 0
            assert min(asks.values()) > 0

    def test_an_hour_and_the_end_of_an_outage_begin_with_a_snapshot(self, sol):
        ((_, end),) = outages(DAYS, seed=SEED)
        begins = np.unique(sol.book[sol.book[:, 1] == 1, 0])
        hours = parse_time("2025-01-01") + 3_600_000 * np.arange(24 * DAYS)
        assert sorted([*hours, end]) == list(begins)

    def test_reaches_beyond_five_percent_so_that_every_band_of_depth_is_known(self, market):
        for of in market.values():
            reach = [
                min(1 - bids[-1, 0] / bids[0, 0], asks[-1, 0] / asks[0, 0] - 1)
                for bids, asks in book_every(of, MINUTE_MS)
            ]
            assert np.mean(np.array(reach) > 0.05) > 0.9

    def test_a_snapshot_is_what_the_changes_had_led_to(self, sol):
        books = {}
        day = parse_time("2025-01-03")
        for time, bids, asks in replayed(sol):
            if time < day:
                books["before"] = (dict(bids), dict(asks))
            elif time == day:
                books["then"] = (dict(bids), dict(asks))
                break
        assert books["before"] == books["then"]

    def test_an_order_that_would_meet_the_other_side_lies_down_before_it(self):
        market, tape = opened(coin("SOLUSDT"), 15_000.0, 1), new_tape(1, 8)
        quote(market, tape, 0, ASK, 15_002, 5)
        quote(market, tape, 0, BID, 15_010, 7)
        assert (market.book[PRICE, BID, 0], market.book[SIZE, BID, 0]) == (15_001, 7)

    def test_prices_are_kept_best_first_and_orders_at_one_price_added_up(self):
        market, tape = opened(coin("SOLUSDT"), 15_000.0, 1), new_tape(1, 8)
        for price in (14_990, 14_995, 14_980, 14_995):
            quote(market, tape, 0, BID, price, 3)
        assert market.book[PRICE, BID, :3].tolist() == [14_995, 14_990, 14_980]
        assert market.book[SIZE, BID, :3].tolist() == [6, 3, 3]

    def test_no_price_holds_without_end(self):
        market, tape = opened(coin("SOLUSDT"), 15_000.0, 1), new_tape(1, 8)
        for _ in range(200):
            quote(market, tape, 0, BID, 14_990, int(market.x[UNIT]))
        assert market.book[SIZE, BID, 0] <= 80 * market.x[UNIT]

    def test_where_it_is_full_the_best_and_the_farthest_stay(self):
        market, tape = opened(coin("SOLUSDT"), 15_000.0, 1), new_tape(1, 8)
        for k in range(ROOM + 10):
            quote(market, tape, 0, ASK, 15_100 + 10 * ((7 * k) % (ROOM + 10)), 1)
        quote(market, tape, 0, ASK, 15_099, 1)
        prices = market.book[PRICE, ASK, : market.book[COUNT, ASK, 0]]
        assert len(prices) == ROOM
        assert (np.diff(prices) > 0).all()
        assert prices[0] == 15_099
        assert prices[-1] > 15_600

    def test_no_level_is_told_of_twice_in_one_moment(self, sol):
        keys = np.unique(sol.book[:, :4], axis=0)
        assert len(keys) == len(sol.book)

    def test_every_trade_takes_what_the_book_then_lacks(self, sol):
        """A fill of the best level shows as a change of that level, in the same millisecond."""
        told = {(time, -side, price) for time, _, side, price, _ in sol.book.tolist()}
        assert all((time, side, price) in told for time, _, price, _, side in sol.trades.tolist())


class TestPositions:
    """For every long there is a short; what is liquidated was open."""

    def test_longs_equal_shorts_from_the_start(self):
        begin = opened(coin("SOLUSDT"), 15_000.0, 1)
        assert begin.x[HELD : HELD + 2].sum() == pytest.approx(begin.x[HELD + 2 : HELD + 4].sum())
        assert (
            begin.at_risk[0].sum()
            == pytest.approx(begin.at_risk[1].sum())
            == pytest.approx(begin.x[HELD : HELD + 2].sum())
        )
        assert (begin.x[ACCOUNTS : ACCOUNTS + 4] > 0).all()
        assert (np.diff(begin.at_risk[PRICES]) > 0).all()
        assert new_tape(3, 2).rows.shape == (3, 2, 5)

    def test_open_interest_goes_on_without_jumps(self, market):
        for of in market.values():
            interest = of.metrics[:, 1]
            assert (interest > 0).all()
            assert np.abs(np.diff(interest) / interest[:-1]).max() < 0.1

    def test_open_interest_moves_by_no_more_than_was_traded(self, sol):
        ends, interest = sol.metrics[:, 0].astype(np.int64), sol.metrics[:, 1]
        first = sol.bars["open_time"][0]
        lots = np.zeros((ends[-1] - first) // MINUTE_MS + 1)
        at = (sol.bars["open_time"] - first) // MINUTE_MS
        lots[at] = sol.bars["volume"] * 10**sol.coin.lot_decimals
        traded = np.r_[0, np.cumsum(lots)][(ends - first) // MINUTE_MS]
        follows = np.diff(ends) == 5 * MINUTE_MS
        assert (np.abs(np.diff(interest)) <= np.diff(traded) * (1 + 1e-9) + 1)[follows].all()

    def test_rows_of_metrics_are_stamped_at_the_end_of_their_interval(self, sol):
        """The taker ratio of a row is that of the five minutes before its time."""
        volume, bought = sol.bars["volume"], sol.bars["taker_buy_volume"]
        for row in sol.metrics[[10, 300, -1]]:
            inside = (sol.bars["open_time"] >= row[0] - 5 * MINUTE_MS) & (sol.bars["open_time"] < row[0])
            assert row[6] == pytest.approx(bought[inside].sum() / (volume[inside] - bought[inside]).sum())

    @pytest.mark.parametrize(("mark", "forced"), [(14_400.0, BID), (15_600.0, ASK)])
    def test_a_fall_reaches_longs_and_a_rise_shorts(self, mark, forced):
        """The book is empty, so that they wait."""
        market, other = opened(coin("SOLUSDT"), 15_000.0, 1), 1 - forced
        liquidate(market, new_tape(1, 8), 0, 0, mark, 1e9)
        reached = market.x[FORCED + forced]
        assert 0.01 < reached / market.x[HELD : HELD + 2].sum() < 0.5
        assert market.x[FORCED + other] == 0.0
        assert reached + market.at_risk[forced].sum() == pytest.approx(market.at_risk[other].sum())

    def test_in_an_hour_that_falls_it_is_longs_that_are_liquidated(self, market):
        for of in market.values():
            ends, mark = of.prices[:, 0], of.prices[:, 1]
            at = np.searchsorted(ends, of.liquidations[:, 0])
            known = (at >= 60) & (at < len(mark))
            moved, lots = (mark[at[known]] / mark[at[known] - 60] - 1.0), of.liquidations[known, 4]
            sold = of.liquidations[known, 1] < 0
            for fell, these in ((True, moved < -0.01), (False, moved > 0.01)):
                assert lots[these & (sold == fell)].sum() > 0.8 * lots[these].sum() > 0

    def test_little_of_the_open_interest_is_liquidated_in_a_day(self, market):
        for of in market.values():
            assert of.liquidations[:, 4].sum() < 0.1 * DAYS * of.metrics[:, 1].mean()

    def test_a_liquidation_is_a_trade_of_its_side(self, sol):
        trades = {(time, side) for time, _, _, _, side in sol.trades.tolist()}
        assert all((time, side) in trades for time, side, *_ in sol.liquidations.tolist())


class TestFunding:
    """Every eight hours, from the premium of the price over the index."""

    def test_is_settled_at_midnight_eight_and_sixteen(self, sol):
        times = sol.funding[:, 0].astype(np.int64)
        assert list(times) == [parse_time("2025-01-01") + k * 8 * 3_600_000 for k in range(1, 3 * DAYS + 1)]

    def test_rises_with_the_premium(self):
        of = record(["SOLUSDT"], days=60, seed=7, trade_days=0, book_days=0)["SOLUSDT"]
        premium = of.prices[:, 1] / of.prices[:, 2] - 1.0
        settled = np.searchsorted(of.prices[:, 0], of.funding[:, 0])
        mean = [premium[max(at - 480, 0) : at].mean() for at in settled]
        moved = np.abs(of.funding[:, 1] - 0.0001) > 1e-6
        assert moved.sum() > 5
        assert np.corrcoef(np.array(mean)[moved], of.funding[moved, 1])[0, 1] > 0.9

    def test_is_one_basis_point_while_the_premium_is_small(self, sol):
        premium = sol.prices[:, 1] / sol.prices[:, 2] - 1.0
        for time, rate, _ in sol.funding:
            before = premium[(sol.prices[:, 0] <= time) & (sol.prices[:, 0] > time - 8 * 3_600_000)]
            if abs(before.mean()) < 0.0003:
                assert rate == pytest.approx(0.0001)


@pytest.fixture(scope="module")
def facts() -> dict[str, float]:
    return order_facts(record(["ETHUSDT"], days=30, seed=SEED, trade_days=14, book_days=2)["ETHUSDT"])


class TestStylisedFacts:
    """What order-driven markets with leverage have in common."""

    def test_buying_follows_buying_for_hundreds_of_orders(self, facts):
        near, middle, far = (facts[f"autocorrelation of signs, lag {lag} orders"] for lag in (1, 10, 100))
        assert 0.05 < near < 0.4
        assert near > middle > far > 0.01

    def test_spreads_are_a_few_basis_points_and_skewed(self, facts):
        usual, wide = facts["spread, basis points, median"], facts["spread, basis points, of 100 the 95th"]
        assert 0.2 < usual < 3.0
        assert wide > 1.8 * usual

    def test_the_book_grows_deeper_with_distance(self, facts):
        near, middle, far = (facts[f"notional within {reach} basis points, thousands"] for reach in (10, 50, 200))
        assert 2 * near < middle < far < 20 * middle

    def test_price_and_open_interest_go_all_four_ways(self, facts):
        shares = [share for name, share in facts.items() if name.startswith("hours: price")]
        assert len(shares) == 4
        assert sum(shares) == pytest.approx(100.0)
        assert min(shares) > 10.0

    def test_liquidations_come_in_clusters_when_the_price_moves(self, facts):
        assert facts["liquidations an hour, variance over mean"] > 10.0  # 1 if they came alone
        assert facts["correlation of liquidations with |return|, hours"] > 0.15

    def test_the_sign_of_an_order_is_counted_once_however_many_levels_it_takes(self, sol):
        signs = order_signs(sol)
        assert set(np.unique(signs)) == {-1.0, 1.0}
        assert len(signs) < len(sol.trades)

    def test_books_are_given_at_equal_distances(self, sol):
        books = list(book_every(sol, 3_600_000))
        assert 24 * DAYS - 2 <= len(books) <= 24 * DAYS
        assert all((np.diff(bids[:, 0]) < 0).all() and (np.diff(asks[:, 0]) > 0).all() for bids, asks in books)
        assert all(bids[0, 0] < asks[0, 0] for bids, asks in books)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, market):
    home = tmp_path_factory.mktemp("raw")
    write_recordings(home, market)
    return home / "simulated"


class TestTheFiles:
    """Shapes of the public archives; every file says that it is simulated wherever it is carried."""

    @staticmethod
    def rows(path):
        if path.suffix == ".gz":
            return list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
        with zipfile.ZipFile(path) as archive:
            return list(csv.DictReader(io.TextIOWrapper(archive.open(archive.namelist()[0]))))

    def test_the_same_market_gives_the_same_bytes(self, folder, market, tmp_path):
        again = write_recordings(tmp_path, market)
        assert len(again) > 15
        assert all(
            path.read_bytes() == (folder / path.relative_to(tmp_path / "simulated")).read_bytes() for path in again
        )

    def test_every_packed_file_says_that_it_is_simulated(self, folder):
        for path in folder.rglob("*.zip"):
            with zipfile.ZipFile(path) as archive:
                assert archive.comment.startswith(b"simulated"), path
        for path in folder.rglob("*.gz"):
            assert path.read_bytes()[10:].startswith(b"simulated"), path
            assert path.name.startswith("simulated"), path
        assert "simulated" in json.loads((folder / "exchangeInfo.json").read_text())["comment"]

    def test_every_zip_has_its_checksum(self, folder):
        for path in folder.rglob("*.zip"):
            said = path.with_name(path.name + ".CHECKSUM").read_text().split()[0]
            assert said == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_trades_come_back_to_the_digit(self, folder, sol):
        rows = self.rows(folder / "aggTrades/SOLUSDT-aggTrades-2025-01.zip")
        got = np.array([
            (int(r["transact_time"]), int(r["agg_trade_id"]), round(float(r["price"]) * 100),
             round(float(r["quantity"]) * 100), -1 if r["is_buyer_maker"] == "true" else 1) for r in rows
        ])  # fmt: skip
        assert np.array_equal(got, sol.trades)

    def test_the_book_comes_back_to_the_digit(self, folder, sol):
        rows = [row for path in sorted((folder / "incremental_book_L2").glob("*SOLUSDT*")) for row in self.rows(path)]
        got = np.array([
            (int(r["timestamp"]) // 1000, r["is_snapshot"] == "true", 1 if r["side"] == "bid" else -1,
             round(float(r["price"]) * 100), round(float(r["amount"]) * 100)) for r in rows
        ])  # fmt: skip
        assert np.array_equal(got, sol.book)
        assert {r["exchange"] for r in rows} == {"simulated"}

    def test_metrics_end_with_the_interval_that_ends_at_midnight(self, folder, sol):
        rows = self.rows(folder / "metrics/SOLUSDT-metrics-2025-01.zip")
        assert (rows[0]["create_time"], rows[-1]["create_time"]) == ("2025-01-01 00:05:00", "2025-01-04 00:00:00")
        assert [float(r["sum_open_interest"]) for r in rows] == [round(v) / 100 for v in sol.metrics[:, 1]]

    def test_a_ratio_that_is_not_known_is_left_empty(self, folder):
        rows = self.rows(folder / "metrics/SOLUSDT-metrics-2025-01.zip")
        empty = [row for row in rows if row["sum_taker_long_short_vol_ratio"] == ""]
        assert 1 <= len(empty) <= 2  # five minutes that the outage cuts
        assert all(row["sum_open_interest"] for row in empty)

    def test_the_close_of_a_price_kline_is_the_price_at_its_end(self, folder, sol):
        rows = self.rows(folder / "markPriceKlines/SOLUSDT-1m-2025-01.zip")
        assert [int(r["close_time"]) + 1 for r in rows] == sol.prices[:, 0].astype(int).tolist()
        assert np.allclose([float(r["close"]) for r in rows], sol.prices[:, 1] / 100, atol=1e-4)

    def test_a_sold_liquidation_was_a_long(self, folder, sol):
        rows = self.rows(folder / "liquidationSnapshot/SOLUSDT-liquidationSnapshot-2025-01.zip")
        assert [r["side"] for r in rows] == ["SELL" if side < 0 else "BUY" for side in sol.liquidations[:, 1]]
