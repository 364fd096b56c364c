"""Which bars answer: importing more never makes a known bar unknown or other; the range that is asked never matters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.archives import JANUARY, MINUTE, bars, env, minutes
from tests.lake.test_enrich import PERP
from tests.lake.test_enrich import put as with_events
from tests.lake.test_lake import SPOT, only, put
from tests.tape import START, tape
from virtuoso.clock import Timeframe
from virtuoso.errors import DataError, NoDataError
from virtuoso.lake import law, resolve
from virtuoso.lake.lake import Lake
from virtuoso.lake.law import examine
from virtuoso.lake.read import finer_frames
from virtuoso.lake.writing.transaction import Batch
from virtuoso.market.bars import Bars
from virtuoso.market.features.trades import bars_from_trades
from virtuoso.market.gaps import NO_TRADE, TRADED, GapPolicy
from virtuoso.market.resample import fold_bars
from virtuoso.market.rows import Rows
from virtuoso.market.schema.columns import BAR_COLUMNS, REQUIRED
from virtuoso.market.splice import LEAST_BARS
from virtuoso.prism.engine.score import score
from virtuoso.workflows.scoring import prism_of

DAY = 1440
TRUTH = bars(2 * DAY)
TAPE = tape(orders=20_000, mean_gap_ms=300.0, latency_ms=400)
CLOCKS = {name: Timeframe(name) for name in ("1m", "5m", "15m", "1h")}
COLUMN_SETS = (tuple(BAR_COLUMNS), REQUIRED, (*REQUIRED, "quote_volume", "trades"), (*REQUIRED, "taker_buy_volume"))


def folded(clock: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Whole bars of the true market on a clock."""
    base = Bars.from_rows(CLOCKS["1m"], minutes(2 * DAY), TRUTH, GapPolicy("cut", 0))
    of = base if clock == "1m" else fold_bars(base, CLOCKS[clock])
    return of.open_times, dict(of.columns)


MARKET = {clock: folded(clock) for clock in CLOCKS}


def store(lake: Lake, clock: str, first: int, stop: int, columns=tuple(BAR_COLUMNS)) -> None:
    """Import the true bars that open and close in a stretch of minutes."""
    times, values = MARKET[clock]
    minute = (times - JANUARY) // MINUTE
    inside = (minute >= first) & (minute + CLOCKS[clock].ms // MINUTE <= stop)
    if inside.any():
        put(lake, times[inside], {name: values[name][inside] for name in columns}, timeframe=CLOCKS[clock])


def by_number(frame) -> dict[str, pd.Series]:
    """Columns of the window of a frame by the numbers of its bars, NaN where the bar is not known; state and share."""
    base, window = frame.base, slice(frame.start - frame.base.first, frame.stop - frame.base.first)
    index = np.arange(frame.start, frame.stop)
    known = base.state[window] <= NO_TRADE
    found = {name: pd.Series(np.where(known, values[window], np.nan), index) for name, values in base.columns.items()}
    return {**found, "#share": pd.Series(base.share[window], index)}


def assert_nothing_lost(before: dict[str, pd.Series], after: dict[str, pd.Series]) -> None:
    """What was known is known; and it is the same where the bar was whole. A few bars before a hole may go."""
    begins = after["close"].index[0]
    assert before["close"].loc[: begins - 1].count() < LEAST_BARS
    for name, values in before.items():
        known = values.loc[begins:].dropna() if name != "#share" else values.iloc[:0]
        if len(known) == 0:
            continue
        now = after[name].reindex(known.index)
        assert not now.isna().any(), f"{name} is not known any more"
        whole = before["#share"].reindex(known.index) == 1.0
        assert np.allclose(now[whole], known[whole], rtol=1e-9, atol=0), f"{name} is another"


starts, lengths = st.integers(0, 2 * DAY - 1), st.integers(1, 2 * DAY)
pieces = st.lists(
    st.tuples(st.sampled_from(sorted(CLOCKS)), starts, lengths, st.sampled_from(COLUMN_SETS)), min_size=2, max_size=5
)


class TestImportingMore:
    """Never makes what was known unknown or other."""

    @given(pieces, st.sampled_from(["1m", "5m", "15m", "1h"]))
    def test_of_any_clock_range_and_columns_in_any_order(self, tmp_path_factory, pieces, asked):
        lake = Lake(tmp_path_factory.mktemp("lake"), env=env())
        before = {}
        for clock, first, length, columns in pieces:
            store(lake, clock, first, first + length, columns)
            try:
                after = by_number(lake.frame("BTCUSDT", asked))
            except NoDataError:
                assert not before
                continue
            if before:
                assert_nothing_lost(before, after)
            before = after

    @given(pieces, st.sampled_from(["5m", "1h"]), st.integers(0, 2 * DAY), st.integers(1, 2 * DAY))
    def test_nor_does_it_matter_which_range_is_asked(self, tmp_path_factory, pieces, asked, first, length):
        lake = Lake(tmp_path_factory.mktemp("lake"), env=env())
        for piece, start, long, columns in pieces:
            store(lake, piece, start, start + long, columns)
        ms = CLOCKS[asked].ms
        since, until = (JANUARY + k * MINUTE // ms * ms for k in (first, first + length))
        try:
            whole = by_number(lake.frame("BTCUSDT", asked))
        except NoDataError:
            return
        wanted = {name: values.loc[since // ms : until // ms - 1] for name, values in whole.items()}
        try:
            part = by_number(lake.frame("BTCUSDT", asked, since, until))
        except NoDataError:
            assert all(values.isna().all() for name, values in wanted.items() if name != "#share")
            return
        for name, values in wanted.items():
            if name != "#share":
                now = part[name] if name in part else pd.Series(dtype=float)
                assert np.array_equal(now.reindex(values.index), values, equal_nan=True), name

    def test_of_a_few_minutes_beside_five_thousand_bars_changes_not_one_score(self, tmp_path):
        """The case of issue 10: 99.7 % known fell to 0."""
        lake, n, ms = Lake(tmp_path / "lake", env=env()), 5_000, CLOCKS["5m"].ms
        put(lake, minutes(n, step=ms), bars(n), timeframe=CLOCKS["5m"])
        prism = prism_of(None)
        before = score(prism, lake.frame("BTCUSDT", "5m"))
        for start in (JANUARY - 60 * MINUTE, JANUARY + 40 * MINUTE, JANUARY + n * ms):
            put(lake, minutes(10, start), only(bars(n), slice(0, 10)))
        frame = lake.frame("BTCUSDT", "5m")
        after = score(prism, frame)
        at = (before.start - after.start) + np.arange(len(before))
        assert np.isfinite(before.confluence).mean() > 0.9
        assert np.array_equal(after.confluence[at], before.confluence, equal_nan=True)
        assert np.isfinite(after.confluence).mean() > 0.9
        assert list(frame.sources) == ["5m stored", "folded from 1m"]
        assert "5m stored 100.0 %, folded from 1m 0.0 %" in repr(frame)
        part = score(prism, lake.frame("BTCUSDT", "5m", JANUARY + 4_000 * ms, JANUARY + 4_500 * ms))
        same = slice(part.start - after.start, part.start - after.start + len(part))
        assert np.array_equal(part.confluence, after.confluence[same], equal_nan=True)


class TestTrades:
    """Answer where no bars do, and tell what bars do not; bars beside them never silence them."""

    @pytest.fixture
    def lake(self, tmp_path) -> Lake:
        """Some hours of trades."""
        lake = Lake(tmp_path / "lake", env=env())
        with lake.writing() as writer:
            writer.add(Batch(SPOT, TAPE))
            writer.commit()
        return lake

    def minutes_of(self, which: slice, columns=tuple(BAR_COLUMNS)):
        rows = bars_from_trades(TAPE, CLOCKS["1m"]).take(which)
        return rows.open_time, {name: rows.columns[name] for name in columns}

    @pytest.mark.parametrize("asked", ["1m", "5m"])
    @pytest.mark.parametrize("columns", [tuple(BAR_COLUMNS), REQUIRED])
    @pytest.mark.parametrize("which", [slice(30, 31), slice(30, 90), slice(None)])
    def test_are_not_silenced_by_bars(self, lake, asked, columns, which):
        before = by_number(lake.frame("BTCUSDT", asked))
        put(lake, *self.minutes_of(which, columns))
        frame = lake.frame("BTCUSDT", asked)
        assert_nothing_lost(before, by_number(frame))
        assert ("folded from trades" in frame.sources) == (which != slice(None))

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["1m", "5m"]), st.integers(0, 90), st.integers(1, 90), st.sampled_from(COLUMN_SETS)
            ),
            min_size=1,
            max_size=3,
        ),
        st.integers(0, 3),
        st.sampled_from(["1m", "5m"]),
        st.integers(0, 90),
        st.integers(1, 90),
    )
    @settings(max_examples=max(settings().max_examples // 3, 1))
    def test_and_bars_in_any_order_and_any_range(self, tmp_path_factory, pieces, when, asked, first, length):
        lake, before, ms = Lake(tmp_path_factory.mktemp("lake"), env=env()), {}, CLOCKS[asked].ms
        for place, piece in enumerate([*pieces[:when], None, *pieces[when:]]):
            with lake.writing() as writer:
                if piece is None:
                    writer.add(Batch(SPOT, TAPE))
                else:
                    clock, start, long, columns = piece
                    rows = bars_from_trades(TAPE, CLOCKS[clock])
                    minute = (rows.open_time - START) // MINUTE
                    rows = rows.take((minute >= start) & (minute < start + long))
                    kept = {name: rows.columns[name] for name in columns}
                    writer.add(Batch(SPOT, Rows(rows.open_time, kept, rows.state, rows.available_at), CLOCKS[clock]))
                writer.commit()
            try:
                after = by_number(lake.frame("BTCUSDT", asked))
            except NoDataError:
                assert not before, place
                continue
            if before:
                assert_nothing_lost(before, after)
            before = after
        since, until = (START // ms * ms + k * MINUTE // ms * ms for k in (first, first + length))
        try:
            part = by_number(lake.frame("BTCUSDT", asked, since, until))
        except NoDataError:
            part = {}
        for name, values in before.items():
            wanted = values.loc[since // ms : until // ms - 1]
            if name in BAR_COLUMNS:
                now = part.get(name, pd.Series(dtype=float)).reindex(wanted.index)
                assert np.array_equal(now, wanted, equal_nan=True), name

    def test_that_arrive_after_the_close_are_of_their_bar_whatever_range_is_asked(self, lake):
        whole = by_number(lake.frame("BTCUSDT", "1m"))
        for minute in range(20, 26):
            part = by_number(lake.frame("BTCUSDT", "1m", end=START + minute * MINUTE))
            last = part["volume"].index[-1]
            assert part["volume"][last] == whole["volume"][last]

    def test_go_on_where_bars_end(self, lake):
        put(lake, *self.minutes_of(slice(0, 30)))
        frame = lake.frame("BTCUSDT", "1m")
        assert np.isfinite(frame.base.columns["close"]).sum() > 60
        assert frame.base.state[-1] <= NO_TRADE

    def test_take_nothing_from_bars(self, tmp_path, lake):
        alone = Lake(tmp_path / "alone", env=env())
        for one in (alone, lake):
            put(one, *self.minutes_of(slice(0, 40), REQUIRED))
        known, more = alone.frame("BTCUSDT", "1m").base, lake.frame("BTCUSDT", "1m").base
        at = slice(known.first - more.first, known.end - more.first)
        for name in REQUIRED:
            assert np.array_equal(known.columns[name], more.columns[name][at], equal_nan=True)

    def test_do_not_lend_volumes_that_cannot_be_of_the_bar(self, lake):
        """Bars of another market under the same name: a tenth of the volume, so more bought than was traded."""
        times, columns = self.minutes_of(slice(30, 31), REQUIRED)
        put(lake, times, {**columns, "volume": columns["volume"] * 0.01})
        base = lake.frame("BTCUSDT", "1m").base
        at = int(times[0] // MINUTE - base.first)
        assert base.columns["volume"][at] == columns["volume"][0] * 0.01
        assert np.isnan(base.columns["taker_buy_volume"][at])


class TestScraps:
    """Stretch no history, decide no clock, and tell nothing inside of bars."""

    @pytest.fixture
    def lake(self, tmp_path) -> Lake:
        """A month of five minutes, and single minutes around it and inside of it."""
        lake, n = Lake(tmp_path / "lake", env=env()), 31 * 288
        put(lake, minutes(n, step=5 * MINUTE), bars(n), timeframe=CLOCKS["5m"])
        for day in (-400, 3, 100):
            put(lake, minutes(1, JANUARY + day * DAY * MINUTE), only(bars(1), slice(0, 1)))
        return lake

    def test_that_fill_no_bar_are_left_out(self, lake):
        frame = lake.frame("BTCUSDT", "5m")
        assert len(frame) == 31 * 288
        assert list(frame.sources) == ["5m stored"]

    def test_are_not_the_clock_that_is_meant(self, lake):
        assert lake.usual_timeframe(SPOT) == CLOCKS["5m"]
        assert lake.timeframes(SPOT)[0] == CLOCKS["1m"]

    def test_are_not_the_bars_inside(self, lake):
        span = {SPOT: (JANUARY, JANUARY + 31 * DAY * MINUTE)}
        (inside,) = finer_frames(lake, span, CLOCKS["1h"]).values()
        assert inside.timeframe == CLOCKS["5m"]

    def test_far_away_do_not_fill_the_memory(self, tmp_path):
        lake, second = Lake(tmp_path / "lake", env=env()), Timeframe("1s")
        put(lake, minutes(300, JANUARY, 1_000), bars(300), timeframe=second)
        with lake.writing() as writer:
            writer.add(Batch(SPOT, TAPE))
            writer.commit()
        with pytest.raises(DataError, match="of which little is stored"):
            lake.frame("BTCUSDT", "1s")
        assert len(lake.frame("BTCUSDT", "1s", START + 60 * MINUTE)) > 0


class TestTheEndOfARange:
    """A bar that is missing there is missing, whether or not one asked for later ones."""

    def test_a_slow_bar_is_known_by_what_is_known_at_its_close(self, tmp_path):
        lake, times = Lake(tmp_path / "lake", env=env()), np.delete(minutes(180), [58, 59])
        put(lake, times, only(bars(180), np.delete(np.arange(180), [58, 59])))
        hour = JANUARY + 60 * MINUTE
        whole, part = lake.frame("BTCUSDT", "1h"), lake.frame("BTCUSDT", "1h", end=hour)
        assert len(part) == 1
        assert part.base.state[0] == whole.base.state[0] == TRADED
        assert part.base.columns["close"][0] == whole.base.columns["close"][0]

    def test_a_range_in_a_gap_holds_no_bar(self, tmp_path):
        lake = Lake(tmp_path / "lake", env=env())
        for day in (0, 10):
            put(lake, minutes(100, JANUARY + day * DAY * MINUTE), bars(100))
        day = JANUARY + 4 * DAY * MINUTE
        with pytest.raises(NoDataError, match="No closed 1m bar"):
            lake.frame("BTCUSDT", "1m", day, day + DAY * MINUTE)


class TestTheLawOfTheDoor:
    """As `virtuoso verify` examines it on a lake."""

    @pytest.fixture
    def lake(self, tmp_path) -> Lake:
        lake = Lake(tmp_path / "lake", env=env())
        store(lake, "1m", 0, 2_000)
        store(lake, "5m", 500, 2_880, REQUIRED)
        return lake

    def test_holds_where_series_agree(self, lake):
        found = examine(lake, SPOT, CLOCKS["5m"])
        assert [one.what for one in found] == ["the range that is asked", "bars 5m stored", "bars folded from 1m"]
        assert all(one.holds and one.compared > 1_000 and one.known > 0.5 for one in found)

    def test_holds_for_the_columns_of_events_too(self, tmp_path):
        lake = with_events(Lake(tmp_path / "events", env=env()))
        ranges, *more = examine(lake, PERP, CLOCKS["5m"])
        assert ranges.holds
        assert ranges.compared > 30_000
        assert {one.what for one in more} == {"bars 5m stored", "bars folded from trades"}
        assert all(one.holds for one in more)

    def test_counts_where_they_contradict_each_other(self, lake):
        times, values = MARKET["5m"]
        told = {n: values[n][200:203] * 1.001 for n in REQUIRED}
        put(lake, times[200:203], told, timeframe=CLOCKS["5m"], rank=1)
        (said,) = [one for one in examine(lake, SPOT, CLOCKS["5m"]) if one.contradiction]
        assert said.offending == 3
        assert (
            "3 of 400 bars contradict those of the other series, first the one of 2024-01-01 16:40:00Z" in said.detail
        )

    def test_is_broken_by_a_choice_of_one_series(self, lake, monkeypatch):
        """As it was: the series that reaches furthest answers alone."""
        monkeypatch.setattr(
            resolve, "answering", lambda manifest, *_: [s for s in manifest.readable() if s.timeframe == "5m"]
        )
        whole = lake.frame("BTCUSDT", "5m").base
        monkeypatch.undo()
        (series,) = [s for s in lake.manifest().readable() if s.timeframe == "5m"]
        broken = law._without(lake, SPOT, CLOCKS["5m"], series, whole)
        assert not broken[0].holds
        assert broken[0].at == JANUARY + 5 * MINUTE
