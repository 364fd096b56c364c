"""The fold of trades: against a slow twin, in pieces, in other units, in the mirror, and where nothing was recorded."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.market.features.trades_twin import NAMES, slow_fold
from tests.tape import START, tape, trades
from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.market.events import Events
from virtuoso.market.features.trades import TradeFeatures, bars_from_trades
from virtuoso.market.gaps import NO_TRADE, TRADED
from virtuoso.market.schema.columns import COLUMNS, FLOW_COLUMNS, mirrored

HOLES = ((700, 90_000), (1_900, 3_600_000))


def span(tape: Events, ms: int) -> tuple[int, int]:
    """Numbers of the first bar of a tape and of the one after its last."""
    return int((tape.available_at[0] - 1) // ms), int((tape.available_at[-1] - 1) // ms) + 2


def folded(tape: Events, timeframe: str, cuts: list[int] | None = None, lead: int = 0) -> dict[str, np.ndarray]:
    """The whole tape folded, in pieces that end before the bars `cuts`, counted from the first."""
    frame = Timeframe(timeframe)
    first, end = span(tape, frame.ms)
    edges = [first + lead, *(first + cut for cut in cuts or []), end]
    fold, parts, after = TradeFeatures(frame), [], -1
    for a, b in pairwise(edges):
        parts.append(fold.bars({"trades": tape.between(after, b * frame.ms)}, a, b))
        after = b * frame.ms
    return {name: np.concatenate([part[name] for part in parts]) for name in fold.columns}


def assert_same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], since: int = 0) -> None:
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name][since:], err_msg=name)


def bar(*rows: tuple[int, float, float, int], before: Events | None = None, **more: float) -> dict[str, float]:
    """One bar of one second, the second one after START, that holds these trades; the recording ran before."""
    first = trades((500, 100.0, 1.0, 1)) if before is None else before
    both = joined(first, trades(*((1_000 + ms, *rest) for ms, *rest in rows), **more)) if rows else first
    number = START // 1_000
    fold = TradeFeatures(Timeframe("1s"))
    out = fold.bars({"trades": both}, number + 1, number + 2)
    return {name: float(values[0]) for name, values in out.items()}


def joined(*parts: Events) -> Events:
    from virtuoso.market.events import concat_events as join

    return join(parts, parts[0].kind)


class TestTheSlowTwin:
    """Plain Python, written from the definitions, gives the same bits."""

    @pytest.mark.parametrize("timeframe", ["1s", "15s", "1m", "5m"])
    @pytest.mark.parametrize("seed", [1, 2])
    def test_every_column_of_every_bar(self, timeframe, seed):
        made = tape(seed, silences=HOLES, unsided=True, latency_ms=300)
        ms = Timeframe(timeframe).ms
        ours, theirs = folded(made, timeframe), slow_fold(made, ms, *span(made, ms))
        for name in NAMES:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12, atol=1e-12, err_msg=name)

    def test_a_slow_market_too(self):
        made = tape(3, orders=2_600, mean_gap_ms=20_000.0, silences=((800, 7_200_000), (2_400, 600_000)))
        ours, theirs = folded(made, "1m"), slow_fold(made, 60_000, *span(made, 60_000))
        for name in NAMES:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12, atol=1e-12, err_msg=name)

    def test_the_twin_was_given_something_to_compare(self):
        ours = folded(tape(1, silences=HOLES, unsided=True), "15s")
        for name in NAMES:
            assert np.nanmax(np.abs(ours[name])) > 0, name
            assert 0.1 < np.isnan(ours[name]).mean() < 0.99, name


@pytest.fixture(scope="module")
def made():
    return tape(5, silences=HOLES, unsided=True, latency_ms=1_500)


@pytest.fixture(scope="module")
def rare():
    """A market so slow that its usual time between orders decides what an outage is."""
    return tape(6, orders=1_200, mean_gap_ms=15_000.0, silences=((500, 7_200_000), (900, 200_000)))


class TestTheLaw:
    """A fold fed whole, bar by bar or in any pieces gives the same bits."""

    @pytest.mark.parametrize("timeframe", ["1s", "15s", "1m"])
    def test_bar_by_bar(self, made, timeframe):
        whole = folded(made, timeframe)
        assert_same(folded(made, timeframe, cuts=list(range(1, len(whole["volume"])))), whole)

    @pytest.mark.parametrize("seed", range(8))
    @pytest.mark.parametrize(("market", "timeframe"), [("made", "5s"), ("rare", "1m")])
    def test_in_random_pieces(self, request, market, timeframe, seed):
        tape_ = request.getfixturevalue(market)
        whole = folded(tape_, timeframe)
        cuts = np.unique(np.random.default_rng(seed).integers(1, len(whole["volume"]), 1 + seed)).tolist()
        assert_same(folded(tape_, timeframe, cuts), whole)

    @pytest.mark.parametrize("lead", [1, 17, 40])
    def test_older_trades_in_the_first_call_leave_the_state_that_their_bars_would(self, made, lead):
        assert_same(folded(made, "5s", lead=lead), folded(made, "5s"), since=lead)

    def test_what_arrives_later_does_not_matter(self, made):
        ms, (first, _) = 15_000, span(made, 15_000)
        end = first + 20
        known = made.between(-1, end * ms)
        assert len(known) < len(made)
        fold = TradeFeatures(Timeframe("15s"))
        part = fold.bars({"trades": known}, first, end)
        assert_same(part, {name: values[:20] for name, values in folded(made, "15s").items()})

    def test_starting_later_is_forgotten_after_a_thousand_orders(self, made):
        ms = 5_000
        first, end = span(made, ms)
        start = int(made.available_at[500] // ms)
        late = TradeFeatures(Timeframe("5s")).bars({"trades": made.between(start * ms, end * ms)}, start, end)
        whole = folded(made, "5s")
        since = int(made.available_at[3_000] // ms) + 1
        assert since < end - 100
        for name, values in late.items():
            np.testing.assert_array_equal(values[since - start :], whole[name][since - first :], err_msg=name)


class TestUnitsAndMirror:
    """Prices and sizes in other units, and the market seen from the other side."""

    @pytest.mark.parametrize(("price", "size"), [(8.0, 4.0), (2.0**30, 2.0**-30), (2.0**-30, 2.0**30)])
    def test_powers_of_two_are_exact(self, price, size):
        made = tape(7, unsided=True)
        columns = {**made.columns, "price": made["price"] * price, "size": made["size"] * size}
        scaled = Events(made.kind, made.event_time, made.available_at, columns)
        base, other = folded(made, "5s"), folded(scaled, "5s")
        for name, values in base.items():
            np.testing.assert_array_equal(other[name], values * COLUMNS[name].unit.factor(price, size), err_msg=name)

    def test_the_mirrored_tape_gives_the_mirrored_columns(self):
        made = tape(8, silences=HOLES)
        # far from zero and with fine sizes, since the notional that makes a trade large changes a little in the mirror
        sizes = made["size"] + np.random.default_rng(8).integers(0, 2**14, len(made)) / 2.0**20
        made = Events(
            *(made.kind, made.event_time, made.available_at),
            {**made.columns, "price": made["price"] + 2.0**14, "size": sizes},
        )
        pivot = 2.0**14 + 100.0
        columns = {**made.columns, "price": 2 * pivot - made["price"], "side": -made["side"]}
        ours = folded(Events(made.kind, made.event_time, made.available_at, columns), "5s")
        expected = mirrored(folded(made, "5s"), pivot)
        for name, values in ours.items():
            if "quote" in name:
                np.testing.assert_allclose(values, expected[name], rtol=1e-12)
            else:
                np.testing.assert_array_equal(values, expected[name], err_msg=name)


class TestSides:
    """Who was the aggressor; what nobody says is on no side."""

    def test_buying_and_selling(self):
        got = bar((10, 101.0, 2.0, 1), (20, 100.5, 3.0, -1), (30, 101.5, 4.0, 1))
        assert (got["volume"], got["taker_buy_volume"], got["trades"], got["taker_buy_trades"]) == (9.0, 6.0, 3.0, 2.0)
        assert got["quote_volume"] == 101.0 * 2 + 100.5 * 3 + 101.5 * 4
        assert got["taker_buy_quote_volume"] == 101.0 * 2 + 101.5 * 4

    def test_a_change_of_price_belongs_to_the_trade_that_made_it(self):
        got = bar((10, 101.0, 2.0, 1), (20, 100.5, 3.0, -1), (30, 101.5, 4.0, 1), (40, 101.25, 1.0, 0))
        assert (got["buy_move"], got["sell_move"]) == (1.0 + 1.0, -0.5)

    def test_a_trade_without_a_side_is_volume_and_what_takers_bought_is_not_known(self):
        got = bar((10, 101.0, 2.0, 1), (20, 100.5, 3.0, 0))
        assert got["volume"] == 5.0
        assert all(np.isnan(got[name]) for name in got if name.startswith("taker_buy"))

    def test_aggregated_rows_count_for_the_single_trades_they_stand_for(self):
        assert bar((10, 101.0, 2.0, 1), (20, 100.5, 3.0, -1), count=5.0)["trades"] == 10.0

    def test_where_a_row_does_not_say_how_many_the_number_of_trades_is_not_known(self):
        got = bar((10, 101.0, 2.0, 1), count=np.nan)
        assert np.isnan(got["trades"])
        assert np.isnan(got["taker_buy_trades"])
        assert got["volume"] == 2.0


class TestLargeTrades:
    """Larger than nine tenths of the thousand orders before."""

    @staticmethod
    def orders(n: int, sizes: list[float] | None = None) -> Events:
        sizes = sizes or [1.0 + i % 10 for i in range(n)]
        return trades(*((i, 100.0, sizes[i], 1 if i % 2 else -1) for i in range(n)))

    def test_the_border_is_that_of_the_orders_before_the_bar(self):
        got = bar((10, 100.0, 9.5, 1), (20, 100.0, 9.0, 1), (30, 100.0, 50.0, -1), before=self.orders(400))
        assert (got["large_buy_volume"], got["large_sell_volume"]) == (9.5, 50.0)

    def test_not_known_until_two_hundred_orders_were_seen(self):
        row = (10, 100.0, 50.0, 1)
        assert np.isnan(bar(row, before=self.orders(199))["large_buy_volume"])
        assert bar(row, before=self.orders(200))["large_buy_volume"] == 50.0

    def test_where_all_orders_are_equal_none_is_large(self):
        before = self.orders(400, [2.0] * 400)
        got = bar((10, 100.0, 2.0, 1), (20, 100.0, 2.5, 1), before=before)
        assert got["large_buy_volume"] == 2.5

    def test_fills_of_one_order_are_judged_together(self):
        fills = [(10, 100.0, 4.0, 1), (10, 100.25, 4.0, 1), (10, 100.5, 4.0, 1)]
        before = self.orders(400)
        assert bar(*fills, before=before)["large_buy_volume"] == 12.0
        assert bar(*((10 + i, *fill[1:]) for i, fill in enumerate(fills)), before=before)["large_buy_volume"] == 0.0

    def test_another_side_or_a_better_price_is_another_order(self):
        before = self.orders(400)
        assert bar((10, 100.0, 8.0, 1), (10, 100.0, 8.0, -1), before=before)["large_buy_volume"] == 0.0
        assert bar((10, 100.0, 8.0, 1), (10, 99.5, 8.0, 1), before=before)["large_buy_volume"] == 0.0


class TestWhatWasNotRecorded:
    """Zero is a finding, NaN is not knowing; judged with what is known at the bar."""

    def test_a_bar_in_which_nothing_traded_while_the_source_was_recording_is_zero(self):
        got = bar()
        assert {name for name, value in got.items() if value == 0.0} == set(got) - {
            "large_buy_volume", "large_sell_volume",
        }  # fmt: skip

    def test_before_the_first_trade_and_in_its_bar_nothing_is_known(self):
        got = folded(trades((500, 100.0, 1.0, 1), (1_500, 100.0, 1.0, 1)), "1s", lead=0)
        assert np.isnan(got["volume"][0])
        assert got["volume"][1] == 1.0

    def test_a_silence_is_a_calm_for_a_minute_and_unknown_from_then_until_a_whole_bar(self):
        made = trades((500, 100.0, 1.0, 1), (1_500, 100.0, 1.0, 1), (120_500, 101.0, 1.0, 1), (121_500, 101.0, 2.0, 1))
        volume = folded(made, "1s")["volume"]
        assert (volume[2:61] == 0.0).all()
        assert np.isnan(volume[61:121]).all()
        assert volume[121] == 2.0

    def test_no_change_of_price_is_made_up_across_a_silence(self):
        made = trades((500, 100.0, 1.0, 1), (1_500, 100.0, 1.0, 1), (120_500, 180.0, 1.0, 1), (121_500, 180.5, 2.0, 1))
        assert np.nansum(folded(made, "1s")["buy_move"]) == 0.5

    def test_where_trades_are_rare_a_longer_silence_is_a_calm_as_soon_as_that_is_known(self, rare):
        """Orders come every 15 s: by chance some wait a minute. The outage of two hours is one all the same."""
        known = ~np.isnan(folded(rare, "1m")["volume"])
        outage = int((rare.available_at[np.argmax(np.diff(rare.available_at))] - rare.available_at[0]) // 60_000)
        assert 0.05 < 1.0 - known[1:50].mean() < 0.3
        assert known[60:outage].all()
        assert not known[outage + 10 : outage + 120].any()
        assert known[outage + 130 : -1].all()

    def test_an_outage_does_not_make_the_next_one_pass_for_a_calm(self):
        fast = [(i * 100, 100.0, 1.0, 1) for i in range(400)]
        again = 400 * 100 + 36_000_000
        later = [(again + i * 100, 100.0, 1.0, 1) for i in range(400)]
        last = again + 400 * 100 + 300_000
        volume = folded(trades(*fast, *later, (last, 100.0, 1.0, 1)), "1m")["volume"]
        assert np.isnan(volume[-4:]).all()
        assert not np.isnan(volume[(again + 40_000) // 60_000 + 1])

    def test_a_fold_says_so_when_bars_or_trades_do_not_follow(self):
        fold = TradeFeatures(Timeframe("1s"))
        number = START // 1_000
        fold.bars({}, number, number + 1)
        with pytest.raises(DataError, match=f"number {number + 1}, was {number + 5}"):
            fold.bars({}, number + 5, number + 6)
        with pytest.raises(DataError, match="not known at the close"):
            fold.bars({"trades": trades((5_000, 1.0, 1.0, 1))}, number + 1, number + 2)
        with pytest.raises(DataError, match="folded before"):
            fold.bars({"trades": trades((5, 1.0, 1.0, 1))}, number + 1, number + 2)


class TestBarsFromTrades:
    """Bars by the time of the trade, as the venue publishes them."""

    def test_a_trade_at_the_moment_of_a_close_opens_the_next_bar(self):
        made = trades((0, 99.0, 1.0, 1), (59_999, 100.0, 1.0, 1), (60_000, 101.0, 1.0, 1), (120_000, 102.0, 1.0, 1))
        rows = bars_from_trades(made, Timeframe("1m"), since=START)
        assert rows.open_time.tolist() == [START, START + 60_000]
        assert [rows.columns[name].tolist() for name in ("open", "close", "volume")] == [
            [99.0, 101.0], [100.0, 101.0], [2.0, 1.0],
        ]  # fmt: skip

    def test_equal_to_pandas(self):
        import pandas as pd

        made = tape(9, mean_gap_ms=400.0)
        table = pd.DataFrame(
            {
                **{name: made[name] for name in ("price", "size", "count")},
                "quote": made["price"] * made["size"], "buy": made["size"] * (made["side"] > 0),
                "bar": made.event_time // 15_000 * 15_000,
            }
        ).groupby("bar")  # fmt: skip
        expected = pd.DataFrame(
            {
                "open": table["price"].first(), "high": table["price"].max(), "low": table["price"].min(),
                "close": table["price"].last(), "volume": table["size"].sum(), "quote_volume": table["quote"].sum(),
                "trades": table["count"].sum(), "taker_buy_volume": table["buy"].sum(),
            }
        ).iloc[1:-1]  # fmt: skip
        rows = bars_from_trades(made, Timeframe("15s"))
        assert rows.open_time.tolist() == expected.index.tolist()
        for name in expected:
            np.testing.assert_allclose(rows.columns[name], expected[name], rtol=1e-12, err_msg=name)

    def test_parts_of_bars_at_the_ends_are_left_out_unless_the_recording_is_known_to_cover_them(self):
        made = trades((30_000, 99.0, 1.0, 1), (70_000, 100.0, 1.0, 1), (130_000, 101.0, 1.0, 1))
        assert bars_from_trades(made, Timeframe("1m")).open_time.tolist() == [START + 60_000]
        whole = bars_from_trades(made, Timeframe("1m"), since=START, until=START + 180_000)
        assert whole.open_time.tolist() == [START, START + 60_000, START + 120_000]

    def test_a_calm_is_flat_and_marked_and_an_outage_has_no_row(self):
        made = trades((0, 99.0, 1.0, 1), (30_500, 100.0, 1.0, -1), (200_500, 105.0, 1.0, 1), (202_000, 105.0, 1.0, 1))
        rows = bars_from_trades(made, Timeframe("1s"), since=START)
        seconds = (rows.open_time - START) // 1_000
        assert seconds.tolist() == [*range(90), 201]
        assert rows.state.tolist() == [TRADED, *[NO_TRADE] * 29, TRADED, *[NO_TRADE] * 59, NO_TRADE]
        assert rows.columns["close"][31:90].tolist() == [100.0] * 59
        assert rows.columns["volume"][31:90].tolist() == [0.0] * 59

    def test_trades_that_came_out_of_order_are_put_in_the_order_of_the_venue(self):
        made = tape(9, latency_ms=400)
        shuffled = made.take(np.random.default_rng(1).permutation(len(made)))
        assert bars_from_trades(shuffled, Timeframe("5s")).digest() == bars_from_trades(made, Timeframe("5s")).digest()

    def test_a_bar_is_available_when_the_last_of_its_trades_has_arrived(self):
        made = trades((0, 99.0, 1.0, 1), (900, 99.0, 1.0, 1), (1_900, 99.0, 1.0, 1), (3_000, 99.0, 1.0, 1))
        late = Events(made.kind, made.event_time, made.available_at + np.array([5, 150, 20, 5]), made.columns)
        rows = bars_from_trades(late, Timeframe("1s"), since=START)
        assert (rows.available_at - START).tolist() == [1_050, 2_000, 3_000]

    def test_no_trades_make_no_bars(self):
        rows = bars_from_trades(trades((0, 1.0, 1.0, 1)).take(slice(0, 0)), Timeframe("1m"))
        assert len(rows) == 0

    def test_their_columns_and_those_of_the_fold_agree_where_receipt_is_at_once(self):
        """Both are one pass of one kernel; a trade at the very moment of a close alone falls into another bar."""
        made = tape(10)
        made = made.take(made.event_time % 1_000 != 0)
        rows, fold = bars_from_trades(made, Timeframe("5s")), folded(made, "5s")
        at = rows.open_time // 5_000 - span(made, 5_000)[0]
        for name in ("volume", "quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume"):
            np.testing.assert_array_equal(rows.columns[name], fold[name][at], err_msg=name)


def test_the_fold_gives_what_the_data_dictionary_promises():
    assert set(FLOW_COLUMNS) < set(TradeFeatures.columns) < set(COLUMNS)
