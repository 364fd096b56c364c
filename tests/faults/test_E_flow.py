"""Bad trades: what the border refuses, and what the fold makes of extremes (reference/reliability.md, E)."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tape import START, tape
from virtuoso.clock import Timeframe
from virtuoso.errors import AmbiguousError
from virtuoso.ingest.validate_events import validate_events
from virtuoso.market.events import Events, concat_events
from virtuoso.market.features.trades import TradeFeatures, bars_from_trades
from virtuoso.market.schema.columns import COLUMNS
from virtuoso.venues.files.trades import read_trades

HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
NOW = START + 86_400_000


def folded(made: Events) -> dict[str, np.ndarray]:
    first, end = int((made.available_at[0] - 1) // 5_000), int((made.available_at[-1] - 1) // 5_000) + 1
    return TradeFeatures(Timeframe("5s")).bars({"trades": made}, first, end)


@pytest.mark.parametrize(("price", "size"), [(2.0**40, 1.0), (2.0**-30, 2.0**50), (1.0, 2.0**-40)])
def test_E34_prices_and_sizes_of_any_magnitude_are_the_same_market(price, size):
    made = tape(11, orders=600)
    columns = {**made.columns, "price": made["price"] * price, "size": made["size"] * size}
    other = folded(Events(made.kind, made.event_time, made.available_at, columns))
    for name, values in folded(made).items():
        np.testing.assert_array_equal(other[name], values * COLUMNS[name].unit.factor(price, size), err_msg=name)


def test_E37_times_in_two_units_are_refused_row_by_row(tmp_path):
    rows = [f"{i},100,1,{i},{i},{START + i},true" for i in range(2_000)]
    rows[7] = f"7,100,1,7,7,{(START + 7) * 1_000},true"
    path = tmp_path / "BTCUSDT-aggTrades-2024-08-01.csv"
    path.write_text("\n".join([HEADER, *rows]))
    judged = validate_events(next(iter(read_trades(path, now_ms=NOW))), NOW)
    assert judged.counts == {"time_out_of_range": 1}
    assert len(judged.accepted) == 1_999


def test_E37_times_without_a_zone_are_refused_whole(tmp_path):
    path = tmp_path / "trades.csv"
    path.write_text("time,price,size,side\n2024-08-01 00:00:00,100,1,buy\n2024-08-01 00:00:01,100,1,sell\n")
    with pytest.raises(AmbiguousError, match="neither zone nor offset"):
        list(read_trades(path, now_ms=NOW))


def test_E38_the_same_trade_twice_counts_once(tmp_path):
    rows = [f"{i},100,1,{i},{i},{START + i},true" for i in range(50)]
    path = tmp_path / "BTCUSDT-aggTrades-2024-08-01.csv"
    path.write_text("\n".join([HEADER, *rows, *rows[20:30]]))
    judged = validate_events(next(iter(read_trades(path, now_ms=NOW))), NOW)
    assert (len(judged.accepted), judged.duplicates) == (50, 10)


def test_E34_a_price_of_zero_and_a_size_below_it_never_reach_the_fold(tmp_path):
    rows = [f"{i},100,1,{i},{i},{START + i},true" for i in range(50)]
    rows[3], rows[4], rows[5] = rows[3].replace(",100,", ",0,"), rows[4].replace(",1,", ",-1,", 1), "5,nan,1,5,5,0,true"
    path = tmp_path / "BTCUSDT-aggTrades-2024-08-01.csv"
    path.write_text("\n".join([HEADER, *rows]))
    judged = validate_events(next(iter(read_trades(path, now_ms=NOW))), NOW)
    assert len(judged.accepted) == 47


def test_E40_one_absurd_trade_is_forgotten_after_a_thousand_orders():
    """It is stored as published, and not believed."""
    made = tape(12, orders=4_000)
    at = 500
    price = made["price"].copy()
    price[at] = 1e12
    bad = Events(made.kind, made.event_time, made.available_at, {**made.columns, "price": price})
    since = int((made.available_at[at + 2_000] - made.available_at[0]) // 5_000) + 2
    for name, values in folded(made).items():
        np.testing.assert_array_equal(folded(bad)[name][since:], values[since:], err_msg=name)


def test_E30_no_trade_and_one_trade():
    one = tape(1, orders=1).take(slice(0, 1))
    assert all(np.isnan(values).all() for values in folded(one).values())
    assert len(bars_from_trades(one, Timeframe("1m"))) == 0
    none = concat_events([], one.kind)
    out = TradeFeatures(Timeframe("1m")).bars({"trades": none}, 0, 3)
    assert all(np.isnan(values).all() for values in out.values())
