"""Where history begins anew: misprints that later bars show, breaks that a gap and another level show, said ones."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.breaks import breaks_of, marked, misprints_of
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BREAK, CUT, NO_TRADE, TRADED, UNKNOWN, GapPolicy, policy_for
from virtuoso.market.live import LiveFrame

MINUTE, HOUR, DAY = Timeframe("1m"), Timeframe("1h"), Timeframe("1d")
FIRST = 20_000 * 1_440
"""Number of the first minute: a midnight."""
COIN = Instrument("binance-usdm", "BTCUSDT")
CASES = Path(__file__).parents[3] / "shared" / "cases"


def rows(closes, timeframe=MINUTE, first=None, wicks=None):
    """Bars that open at the close before; None is a bar that is missing. Wicks: position -> (high, low)."""
    first = FIRST * MINUTE.ms // timeframe.ms if first is None else first
    known = [i for i, close in enumerate(closes) if close is not None]
    close = np.array([closes[i] for i in known], dtype=float)
    opened = np.concatenate((close[:1], close[:-1]))
    after_hole = np.concatenate(([False], np.diff(known) > 1))
    opened[after_hole] = close[after_hole]
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    for at, (top, bottom) in (wicks or {}).items():
        high[known.index(at)], low[known.index(at)] = top, bottom
    times = (first + np.array(known)) * timeframe.ms
    return times, {"open": opened, "high": high, "low": low, "close": close, "volume": np.ones(len(close))}


def bars_of(closes, timeframe=MINUTE, said=(), wicks=None, policy=None):
    times, columns = rows(closes, timeframe, wicks=wicks)
    return marked(Bars.from_rows(timeframe, times, columns, policy or GapPolicy("cut", 0)), said)


def marks(bars, mark):
    return np.flatnonzero(bars.state == mark).tolist()


CALM = [100.0] * 12


class TestAMisprint:
    @pytest.mark.parametrize("wick", [(1e12, 100.0), (5_001.0, 100.0), (100.0, 1e-9), (100.0, 1.99)])
    def test_is_shown_by_the_third_close_after_it_and_kept(self, wick):
        bars = bars_of(CALM, wicks={5: wick})
        assert marks(bars, CUT) == [8]
        assert (bars.columns["high"][5], bars.columns["low"][5]) == wick
        assert bars.state[5] == TRADED
        assert misprints_of(bars) == [((FIRST + 5) * MINUTE.ms, (FIRST + 8) * MINUTE.ms)]

    @pytest.mark.parametrize("wick", [(5_000.0, 100.0), (100.0, 2.0), (4_000.0, 2.1)])
    def test_is_none_within_fifty_times(self, wick):
        assert marks(bars_of(CALM, wicks={5: wick}), CUT) == []

    @pytest.mark.parametrize("at", [0, 1, 2, 3])
    def test_at_the_beginning_is_judged_by_what_there_is(self, at):
        assert marks(bars_of(CALM, wicks={at: (1e12, 100.0)}), CUT) == [at + 3]

    @pytest.mark.parametrize("at", [9, 10, 11])
    def test_at_the_end_nobody_can_tell_yet(self, at):
        assert marks(bars_of(CALM, wicks={at: (1e12, 100.0)}), CUT) == []

    @pytest.mark.parametrize(("many", "shown"), [(1, [8, 9]), (2, [8, 9]), (3, [9]), (4, []), (5, [])])
    def test_several_in_a_row_are_believed_from_four_on(self, many, shown):
        closes = [100.0] * 5 + [1e6] * many + [100.0] * 8
        assert marks(bars_of(closes), CUT) == shown

    def test_of_a_day_is_not_judged_by_whoever_sees_less(self):
        whole = bars_of(CALM, wicks={5: (1e12, 100.0)})
        times, columns = rows(CALM, wicks={5: (1e12, 100.0)})
        for n in range(1, 13):
            part = Bars.from_rows(MINUTE, times[:n], {k: v[:n] for k, v in columns.items()}, GapPolicy("cut", 0))
            assert np.array_equal(marked(part).state, whole.state[:n])

    def test_flat_bars_without_a_trade_confirm_nothing(self):
        times, columns = rows([100.0] * 5 + [1e6] * 5 + [100.0] * 6)
        state = np.zeros(16, dtype=np.int8)
        state[6:10] = NO_TRADE  # what the lake writes after the last trade
        bars = marked(Bars.from_rows(MINUTE, times, columns, GapPolicy("no_trade", 5), state))
        assert marks(bars, CUT) == [12, 13]  # the bar that comes back opens at the misprint

    def test_that_is_not_loaded_is_not_told(self):
        bars = bars_of(CALM, wicks={5: (1e12, 100.0)})
        assert misprints_of(bars.since(FIRST + 6)) == []
        assert len(misprints_of(bars.since(FIRST + 5))) == 1

    def test_before_a_gap_is_judged_after_it(self):
        closes = [100.0] * 6 + [None] * 20 + [101.0] * 6
        assert marks(bars_of(closes, wicks={5: (1e9, 100.0)}), CUT) == [28]


class TestATrueMove:
    @pytest.mark.parametrize(
        "closes",
        [
            [100.0] * 6 + [100.0 / 60_000] * 8,
            [100.0] * 6 + [10_000.0] * 8,
            [100.0] * 6 + [50.0, 1.0, 0.01, 0.0005] + [0.0004] * 8,
            [100.0] * 6 + [1.0] * 5 + [100.0] * 8,
        ],
        ids=["crash", "rise", "collapse", "crash and recovery"],
    )
    def test_is_kept_and_marked_nowhere(self, closes):
        bars = bars_of(closes)
        assert (bars.state == TRADED).all()

    @pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
    def test_the_collapse_of_luna(self):
        with (CASES / "LUNAUSDT-1d-crash.csv").open() as file:
            lines = list(csv.DictReader(file))
        names = ("open", "high", "low", "close", "volume")
        columns = {name: np.array([float(line[name]) for line in lines]) for name in names}
        times = np.array([int(line["open_time"]) for line in lines])
        assert (marked(Bars.from_rows(DAY, times, columns, GapPolicy("cut", 0))).state == TRADED).all()


class TestABreak:
    @pytest.mark.parametrize(
        ("timeframe", "gap"), [(DAY, 3), (DAY, 18), (HOUR, 24), (MINUTE, 1_440), (MINUTE, 20_000)], ids=str
    )
    @pytest.mark.parametrize("factor", [1e-3, 1e-2, 20.0, 1e5])
    def test_is_a_gap_and_another_level(self, timeframe, gap, factor):
        bars = bars_of([*CALM, *[None] * gap, *[100.0 * factor] * 6], timeframe)
        assert marks(bars, BREAK) == [12 + gap]
        assert bars.columns["close"][12 + gap] == 100.0 * factor
        open_ms = (bars.first + 12 + gap) * timeframe.ms
        assert breaks_of(bars) == [((bars.first + 12) * timeframe.ms, open_ms)]

    @pytest.mark.parametrize(
        ("timeframe", "gap", "factor"),
        [
            (DAY, 2, 1e3),  # two days are no halt
            (HOUR, 23, 1e3),
            (MINUTE, 1_439, 1e3),
            (DAY, 4, 9.9),  # a theft
            (DAY, 4, 0.11),
            (DAY, 730, 100.0),  # years that were not imported
            (MINUTE, 730 * 1_440, 100.0),
        ],
    )
    def test_is_none_of_shorter_gaps_lesser_levels_and_holes_of_years(self, timeframe, gap, factor):
        assert marks(bars_of([*CALM, *[None] * gap, *[100.0 * factor] * 6], timeframe), BREAK) == []

    def test_two_of_them(self):
        closes = [*CALM, *[None] * 30, *[0.1] * 5, *[None] * 40, *[50.0] * 5]
        assert marks(bars_of(closes, HOUR), BREAK) == [42, 87]

    def test_no_misprint_is_judged_across_it(self):
        closes = [*CALM, *[None] * 30, *[0.1] * 2]
        assert marks(bars_of([*closes, *[0.1] * 6], HOUR, wicks={10: (1e7, 100.0)}), CUT) == []


class TestASaidBreak:
    @staticmethod
    def at(i, ms=0, timeframe=HOUR):
        return (FIRST * MINUTE.ms // timeframe.ms + i) * timeframe.ms + ms

    def test_needs_neither_gap_nor_level(self):
        bars = bars_of(CALM, HOUR, [self.at(5)])
        assert marks(bars, BREAK) == [5]
        assert marks(bars, UNKNOWN) == []

    def test_inside_a_bar_leaves_nothing_of_it(self):
        bars = bars_of(CALM, HOUR, [self.at(5, 1)])
        assert (marks(bars, UNKNOWN), marks(bars, BREAK)) == ([5], [6])
        assert np.isnan(bars.columns["close"][5])

    def test_inside_a_gap_lies_at_the_first_bar_after_it(self):
        closes = [*CALM[:5], *[None] * 4, *CALM[:5]]
        bars = bars_of(closes, HOUR, [self.at(6)], policy=GapPolicy("bridge", 5))
        assert marks(bars, BREAK) == [9]
        assert marks(bars, UNKNOWN) == [6, 7, 8]  # the bridge of the old one ends where it ends

    def test_before_the_first_and_after_the_last_bar_marks_nothing(self):
        assert (bars_of(CALM, HOUR, [self.at(0), self.at(-3), self.at(50)]).state == TRADED).all()

    def test_at_the_last_bar(self):
        assert marks(bars_of(CALM, HOUR, [self.at(11)]), BREAK) == [11]


class TestSlowBars:
    def test_a_misprint_and_what_shows_it_in_one_slow_bar_make_it_unknown(self):
        hours = MarketFrame(COIN, bars_of([100.0] * 300, wicks={70: (1e9, 100.0)})).bars(HOUR)
        assert hours.state.tolist() == [TRADED, UNKNOWN, TRADED, TRADED, TRADED]
        assert np.isnan(hours.columns["high"][1])

    def test_in_two_the_first_stands_and_the_second_cuts(self):
        hours = MarketFrame(COIN, bars_of([100.0] * 300, wicks={118: (1e9, 100.0)})).bars(HOUR)
        assert hours.state.tolist() == [TRADED, TRADED, UNKNOWN, TRADED, TRADED]
        assert hours.columns["high"][1] == 1e9

    def test_one_that_begins_with_the_bar_that_shows_it_is_whole(self):
        hours = MarketFrame(COIN, bars_of([100.0] * 300, wicks={117: (1e9, 100.0)})).bars(HOUR)
        assert hours.state.tolist() == [TRADED, TRADED, CUT, TRADED, TRADED]
        assert hours.columns["high"][2] == 100.0

    @pytest.mark.parametrize(("inside", "state"), [(0, BREAK), (30, UNKNOWN)])
    def test_a_break_inside_one_leaves_nothing_of_it(self, inside, state):
        moment = (FIRST + 120 + inside) * MINUTE.ms
        hours = MarketFrame(COIN, bars_of([100.0] * 300, said=[moment])).bars(HOUR)
        assert hours.state.tolist() == [TRADED, TRADED, state, TRADED, TRADED]

    def test_more_minutes_than_are_folded_at_once(self):
        closes = [100.0] * 9_000
        bars = bars_of(closes, wicks={6_035: (1e9, 100.0)})
        hours = MarketFrame(COIN, bars).bars(HOUR)
        assert marks(hours, UNKNOWN) == [100]
        assert np.nanmax(hours.columns["high"]) == 100.0


HISTORIES = {
    "misprints": ([100.0] * 40, {3: (1e9, 99.0), 20: (100.0, 1e-7), 36: (1e9, 99.0)}, []),
    "in a row": ([100.0] * 10 + [1e6] * 2 + [100.0] * 8 + [1e6] * 3 + [100.0] * 8 + [1e6] * 4 + [100.0] * 8, {}, []),
    "a launch": ([100.0] * 20 + [None] * 1_500 + [0.01] * 20, {1_525: (10.0, 0.01)}, []),
    "said": ([100.0] * 40, {}, [30_000, 10 * 60_000, 25 * 60_000 + 1]),
    "said in a gap": ([100.0] * 10 + [None] * 9 + [90.0] * 20, {}, [12 * 60_000]),
    "holes": ([100.0] * 10 + [None] * 9 + [90.0] * 6 + [None] * 2 + [90.0] * 20, {5: (1e8, 90.0), 24: (1e8, 1.0)}, []),
}


@pytest.mark.parametrize("name", HISTORIES)
@pytest.mark.parametrize("meaning", ["cut", "bridge", "no_trade"])
def test_live_says_it_bar_by_bar(name, meaning):
    closes, wicks, said = HISTORIES[name]
    policy = GapPolicy(meaning, 0 if meaning == "cut" else 5)
    said = [FIRST * MINUTE.ms + moment for moment in said]
    times, columns = rows(closes, wicks=wicks)
    whole = MarketFrame(COIN, marked(Bars.from_rows(MINUTE, times, columns, policy), said))
    published = {int(t) // MINUTE.ms: i for i, t in enumerate(times)}
    for begun in (1, 5, 12):
        history = MarketFrame(whole.instrument, whole.base.until(whole.base.first + begun))
        live = LiveFrame(history, [Timeframe("5m"), HOUR], policy, breaks=said)
        for number in range(whole.base.first + begun, whole.base.end):
            i = published.get(number)
            live.close(number, None if i is None else {key: float(values[i]) for key, values in columns.items()})
        for timeframe in (MINUTE, Timeframe("5m"), HOUR):
            assert live.frame.bars(timeframe).fingerprint() == whole.bars(timeframe).fingerprint(), (begun, timeframe)


def test_a_frame_of_a_table_is_marked():
    import pandas as pd

    times, columns = rows(CALM, wicks={5: (1e12, 100.0)})
    table = pd.DataFrame(columns, index=pd.to_datetime(times, unit="ms", utc=True))
    assert marks(MarketFrame.from_pandas(table, "1m").base, CUT) == [8]
    assert marks(MarketFrame.from_pandas(table, "1m", breaks=[int(times[4])]).base, BREAK) == [4]


def test_a_gap_of_minutes_bridged_is_a_gap():
    policy = policy_for("binance-usdm", MINUTE.ms)
    assert marks(bars_of([*CALM, *[None] * 1_440, *[0.01] * 5], policy=policy), BREAK) == [1_452]


def test_no_real_series_holds_a_mark(real_data):
    import pyarrow.parquet as pq

    clocks = {"binance_um_5m": "5m", "binance_um_1h": "1h", "binance_um_4h": "4h", "bitfinex_1m": "1m"}
    seen = 0
    for name, clock in clocks.items():
        for path in (real_data / "ohlcv").glob(f"{name}_*.parquet"):
            table = pq.read_table(path).to_pandas()
            opened = next(column for column in table.columns if "open_time" in column)
            for _, part in table.groupby("symbol") if "symbol" in table.columns else [("", table)]:
                part = part.sort_values(opened).drop_duplicates(opened)
                columns = {key: part[key].to_numpy(dtype=float) for key in ("open", "high", "low", "close", "volume")}
                times = part[opened].to_numpy(dtype=np.int64)
                base = marked(Bars.from_rows(Timeframe(clock), times, columns, GapPolicy("cut", 0)))
                assert not (base.state > UNKNOWN).any(), (path.name, clock)
                seen += len(base)
    assert seen > 800_000
