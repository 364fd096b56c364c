"""Misprints and breaks in the lake: kept as published, the same in any order of import, known when they are shown."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from tests.archives import MINUTE, env, flat_bars, lines, minutes, write
from tests.happenings import START as FIRST
from tests.happenings import funding, open_interest, trades
from virtuoso import workflows
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import DataError, NoDataError
from virtuoso.ingest.importer import import_paths
from virtuoso.lake.lake import Lake
from virtuoso.lake.law import examine
from virtuoso.lake.writing.transaction import Batch
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import BREAK, CUT, TRADED, UNKNOWN, policy_for
from virtuoso.market.live import LiveFrame
from virtuoso.market.schema.columns import BAR_COLUMNS

JANUARY_END = 1_706_745_600_000  # 2024-02-01T00:00Z
START = JANUARY_END - 300 * MINUTE
N, MISPRINT = 600, 298
CASES = Path(__file__).parents[3] / "shared" / "cases"
PERP = Instrument("binance-usdm", "BTCUSDT")
HOUR, DAY = Timeframe("1h"), Timeframe("1d")


def market(closes=None, start=START, step=MINUTE, **wicks):
    """Lines of flat bars; wicks as `high_298=1e9`."""
    made = flat_bars([100.0] * N if closes is None else closes)
    made = {name: values.copy() for name, values in made.items()}
    for key, value in wicks.items():
        name, _, at = key.partition("_")
        made[name][int(at)] = value
    return lines(minutes(len(made["close"]), start, step), made, step=step)


MINUTES = market(**{f"high_{MISPRINT}": 1e9})


def take(lake, folder, rows, name="BTCUSDT-1m-2024-01.csv", venue="binance-usdm", **options):
    return import_paths(lake, write(folder / name, rows), venue=venue, **options)


def with_events(lake, *parts):
    with lake.writing() as writer:
        for part in parts:
            writer.add(Batch(PERP, part))
        writer.commit()


def marks(frame, mark):
    return np.flatnonzero(frame.base.state == mark).tolist()


class TestAMisprint:
    @pytest.fixture
    def lake(self, tmp_path):
        lake = Lake(tmp_path / "lake", env=env())
        take(lake, tmp_path, MINUTES)
        return lake

    def test_is_stored_as_published_and_told(self, lake):
        (coverage,), (check,) = lake.coverage(), lake.check()
        assert (coverage.bars, coverage.quarantined) == (N, 0)
        assert check.misprints == ((START + MISPRINT * MINUTE, START + (MISPRINT + 4) * MINUTE),)
        assert json.loads(json.dumps(check.to_dict()))["misprints"][0]["open_time"] == START + MISPRINT * MINUTE
        assert lake.sql("select max(high) m from bars")["m"].tolist() == [1e9]

    def test_cuts_at_the_bar_that_shows_it_across_the_edge_of_a_month(self, lake):
        frame = lake.frame("BTCUSDT", "1m")
        assert marks(frame, CUT) == [MISPRINT + 3]
        assert frame.base.columns["high"][MISPRINT] == 1e9

    @pytest.mark.parametrize("after", range(5))
    def test_as_of_a_moment_before_it_is_seen_as_it_was_published(self, lake, after):
        frame = lake.frame("BTCUSDT", "1m", as_of=START + (MISPRINT + 1 + after) * MINUTE)
        assert len(frame.base) == MISPRINT + 1 + after
        assert frame.base.columns["high"][MISPRINT] == 1e9
        assert marks(frame, CUT) == ([MISPRINT + 3] if after >= 3 else [])

    def test_slow_clocks_are_clean_after_it(self, lake):
        for frame in (lake.frame("BTCUSDT", "1h"), lake.frame("BTCUSDT", "1m")):
            hours = frame.bars(HOUR)
            assert hours.columns["high"][4] == 1e9  # it and what shows it lie in two hours
            assert hours.state[5] in (UNKNOWN, CUT)
            assert np.nanmax(hours.columns["high"][5:]) == 100.0

    def test_reading_obeys_its_law(self, lake):
        for clock in ("1m", "5m", "1h"):
            assert all(found.holds for found in examine(lake, PERP, Timeframe(clock)))

    def test_a_slower_series_that_knows_better_answers(self, lake, tmp_path):
        take(lake, tmp_path, market([100.0] * 12, START, HOUR.ms), "BTCUSDT-1h-2024-01.csv")
        frame = lake.frame("BTCUSDT", "1h")
        assert (frame.base.state == TRADED).all()
        assert frame.base.columns["high"].max() == 100.0


@pytest.mark.parametrize("edge", range(MISPRINT - 1, MISPRINT + 5))
def test_files_that_meet_at_it_make_one_history_in_any_order(tmp_path, edge):
    parts = {"a": MINUTES[: edge - 20], "b": MINUTES[edge - 40 : edge], "c": MINUTES[edge:]}
    prints = set()
    for k, order in enumerate(itertools.permutations(parts)):
        lake = Lake(tmp_path / str(k), env=env())
        for part in order:
            take(lake, tmp_path, parts[part], f"BTCUSDT-1m-{part}.csv", symbol="BTCUSDT", timeframe="1m")
        frame = lake.frame("BTCUSDT", "1m")
        assert marks(frame, CUT) == [MISPRINT + 3]
        prints.add(frame.fingerprint)
    assert len(prints) == 1


def test_live_goes_on_as_the_lake_reads(tmp_path):
    lake = Lake(tmp_path / "lake", env=env())
    take(lake, tmp_path, MINUTES)
    whole = lake.frame("BTCUSDT", "1m")
    policy = policy_for(PERP.venue, MINUTE)
    for begun in (MISPRINT - 2, MISPRINT + 1, MISPRINT + 3):
        history = lake.frame("BTCUSDT", "1m", end=START + begun * MINUTE)
        live = LiveFrame(MarketFrame(PERP, history.base), [HOUR], policy)
        for number in range(whole.base.first + begun, whole.base.end):
            at = number - whole.base.first
            live.close(number, {name: float(values[at]) for name, values in whole.base.columns.items()})
        assert live.frame.base.fingerprint() == whole.base.fingerprint()
        assert live.frame.bars(HOUR).fingerprint() == whole.bars(HOUR).fingerprint()


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
def test_the_days_in_which_luna_fell_are_all_there(tmp_path):
    lake = Lake(tmp_path / "lake", env=env())
    report = import_paths(lake, CASES / "LUNAUSDT-1d-crash.csv", venue="binance-spot")
    assert (report.total("stored"), report.total("quarantined")) == (50, 0)
    frame, (check,) = lake.frame("LUNAUSDT", "1d"), lake.check()
    assert (frame.base.state == TRADED).all()
    assert (check.breaks, check.misprints) == ((), ())
    assert frame.base.columns["close"].min() == 0.00005


class TestALaunch:
    """The old one falls to nothing; eighteen days later the name means another one."""

    OLD, NEW = [100.0] * 20 + [31.0, 17.5, 1.07, 0.0054, 0.0017, 0.0017], [9.0] * 20

    @pytest.fixture
    def lake(self, tmp_path):
        lake = Lake(tmp_path / "lake", env=env())
        first = START // DAY.ms * DAY.ms - 100 * DAY.ms
        rows = market(self.OLD, first, DAY.ms) + market(self.NEW, first + (len(self.OLD) + 18) * DAY.ms, DAY.ms)
        report = take(lake, tmp_path, rows, "LUNAUSDT-1d-2022.csv", "binance-spot")
        assert report.total("stored") == len(rows)
        return lake

    def test_is_a_break_that_nobody_has_to_tell(self, lake):
        frame, (check,) = lake.frame("LUNAUSDT", "1d"), lake.check()
        assert marks(frame, BREAK) == [len(self.OLD) + 18]
        assert [made for _, made in check.breaks] == ["found"]
        assert frame.base.columns["close"][len(self.OLD) + 18] == 9.0

    def test_holding_made_no_fortune(self, lake):
        from virtuoso.research.backtest.benchmarks import buy_and_hold
        from virtuoso.research.backtest.engine import Account
        from virtuoso.research.backtest.panel import SimulationPanel

        panel = SimulationPanel.of([lake.frame("LUNAUSDT", "1d")])
        assert buy_and_hold(panel, Account(cash=10_000.0), 0.0)[-1] == pytest.approx(10_000.0 * 0.0017 / 100, rel=0.01)

    def test_on_a_slower_clock_it_is_where_the_finer_bars_say(self, tmp_path):
        lake = Lake(tmp_path / "fine", env=env())
        closes = [100.0] * 500
        gone = 1_500 * MINUTE  # of minutes a day and more, of hours a gap, of days none
        rows = market(closes) + market([0.1] * 500, START + len(closes) * MINUTE + gone)
        take(lake, tmp_path, rows)
        for clock in ("1m", "5m", "1h", "4h"):
            frame = lake.frame("BTCUSDT", clock)
            at = marks(frame, BREAK)
            assert len(at) == 1, clock
            assert np.nanmin(frame.base.columns["close"][: at[0]]) == 100.0
            assert np.nanmax(frame.base.columns["close"][at[0] :]) == 0.1
            assert all(found.holds for found in examine(lake, PERP, Timeframe(clock)))

    def test_a_series_that_was_there_all_the_time_knows_of_none(self, tmp_path):
        lake = Lake(tmp_path / "both", env=env())
        first = START // DAY.ms * DAY.ms
        falls = [100.0, 60.0, 25.0, 9.0, 4.0, 2.0, 1.0, 1.0]
        take(lake, tmp_path, market(falls, first, DAY.ms), "BTCUSDT-1d-2024.csv")
        hours = market([100.0] * 20, first, HOUR.ms) + market([1.0] * 20, first + 6 * DAY.ms, HOUR.ms)
        take(lake, tmp_path, hours, "BTCUSDT-1h-2024.csv")
        assert marks(lake.frame("BTCUSDT", "1d"), BREAK) == []
        assert len(marks(lake.frame("BTCUSDT", "1h"), BREAK)) == 1


class TestASaidBreak:
    AT = START + 250 * MINUTE

    @pytest.fixture
    def lake(self, tmp_path):
        lake = Lake(tmp_path / "lake", env=env(JANUARY_END + 30 * DAY.ms))
        take(lake, tmp_path, market())
        return lake

    def test_is_kept_in_the_ledger_until_it_is_taken_back(self, lake):
        before = lake.fingerprint("BTCUSDT", "1m")
        assert lake.add_break("BTCUSDT", self.AT)
        assert not lake.add_break("BTCUSDT", self.AT)
        again = Lake(lake.path)
        assert again.breaks() == [(PERP, self.AT)]
        assert again.check()[0].breaks == ((self.AT, "said"),)
        assert marks(again.frame("BTCUSDT", "1m"), BREAK) == [250]
        assert again.fingerprint("BTCUSDT", "1m") != before
        again.remove_break("BTCUSDT", self.AT)
        assert lake.breaks() == []
        assert marks(lake.frame("BTCUSDT", "1m"), BREAK) == []
        assert lake.fingerprint("BTCUSDT", "1m") == before

    def test_is_seen_from_when_it_was_said(self, lake):
        lake.add_break("BTCUSDT", self.AT)
        said_at = lake.env.now_ms()
        assert marks(lake.frame("BTCUSDT", "1m", as_of=said_at - 1), BREAK) == []
        assert marks(lake.frame("BTCUSDT", "1m", as_of=said_at), BREAK) == [250]

    def test_outlives_imports_verification_and_a_rebuilt_manifest(self, lake, tmp_path):
        lake.add_break("BTCUSDT", self.AT)
        take(lake, tmp_path, market(start=START + N * MINUTE), "BTCUSDT-1m-2024-02.csv")
        assert lake.verify().ok
        lake.rebuild()
        assert marks(Lake(lake.path).frame("BTCUSDT", "1m"), BREAK) == [250]

    @pytest.mark.parametrize("at", [START, START - 1, START + N * MINUTE, 0])
    def test_must_divide_what_is_stored(self, lake, at):
        with pytest.raises(DataError, match="does not divide it"):
            lake.add_break("BTCUSDT", at)

    def test_that_was_never_said_is_not_taken_back(self, lake):
        with pytest.raises(NoDataError, match="none was said"):
            lake.remove_break("BTCUSDT", self.AT)
        lake.add_break("BTCUSDT", self.AT)
        with pytest.raises(NoDataError, match="said are 2024-01-31"):
            lake.remove_break("BTCUSDT", self.AT + 1)
        with pytest.raises(NoDataError, match="Did you mean"):
            lake.add_break("BTCUSTD", self.AT)

    def test_a_workflow_says_and_takes_it_back(self, lake):
        root = lake.path.parent
        said = workflows.set_break("BTC/USDT:USDT", "2024-01-31T23:10", data=root)
        assert said == (PERP, START + 250 * MINUTE, True)
        assert workflows.load("BTCUSDT", "1m", data=root).breaks == (self.AT,)
        assert workflows.set_break("BTCUSDT", self.AT, remove=True, data=root)[2]

    @pytest.mark.parametrize("clock", ["1m", "15m", "1h"])
    @pytest.mark.parametrize("inside", [0, 7])
    def test_reading_obeys_its_law(self, lake, clock, inside):
        lake.add_break("BTCUSDT", self.AT + inside)
        assert all(found.holds for found in examine(lake, PERP, Timeframe(clock)))
        frame = lake.frame("BTCUSDT", clock)
        assert len(marks(frame, BREAK)) == 1


class TestEvents:
    """What was held, folded or remembered of events does not reach over a break either."""

    DAY = 86_400_000

    @pytest.mark.parametrize("at", [600, 1_440, 2_000])
    def test_columns_are_those_of_events_after_it(self, tmp_path, at):
        events = [trades(n=20_000, span=2 * self.DAY), open_interest(), funding(n=8)]
        whole, late = (Lake(tmp_path / name, env=env()) for name in ("whole", "late"))
        moment = FIRST + at * MINUTE
        with_events(whole, *events)
        with_events(late, *(some.take(some.available_at > moment) for some in events))
        bars = flat_bars([100.0] * 2_880)
        for lake in (whole, late):
            take(
                lake,
                tmp_path,
                lines(minutes(2_880, FIRST), bars),
                f"BTCUSDT-1m-{lake.path.name}.csv",
                symbol="BTCUSDT",
                timeframe="1m",
            )
        whole.add_break("BTCUSDT", moment)
        for _ in range(2):  # folded, then from the cache
            ours, theirs = (lake.frame("BTCUSDT", "1m").base for lake in (whole, late))
            known = 0
            for name, values in ours.columns.items():
                mine, other = values[at:], theirs.columns[name][at:]
                same = (mine == other) | (np.isnan(mine) & np.isnan(other))
                assert same.all(), (name, int(np.argmax(~same)) + at)
                known += int(np.isfinite(mine).sum()) if name not in bars else 0
            assert known > 1_000

    def test_bars_of_trades_alone_break_where_the_user_says(self, tmp_path):
        lake = Lake(tmp_path / "trades", env=env())
        with_events(lake, trades(n=20_000))
        moment = FIRST + 600 * MINUTE
        assert lake.add_break("BTCUSDT", moment)
        base = lake.frame("BTCUSDT", "1m").base
        at = base.first + int(np.flatnonzero(base.state == BREAK)[0])
        assert moment <= at * MINUTE < moment + HOUR.ms
        assert np.isnan(base.columns["close"][moment // MINUTE - base.first : at - base.first]).all()
        assert all(found.holds for found in examine(lake, PERP, Timeframe("1m")))

    def test_live_begins_anew_with_it(self, tmp_path):
        lake, at = Lake(tmp_path / "lake", env=env()), 700
        events = {
            "trades": trades(n=20_000, span=2 * self.DAY),
            "open_interest": open_interest(),
            "funding": funding(n=8),
        }
        with_events(lake, *events.values())
        take(lake, tmp_path, lines(minutes(1_440, FIRST), flat_bars([100.0] * 1_440)))
        moment = FIRST + at * MINUTE
        lake.add_break("BTCUSDT", moment)
        whole = lake.frame("BTCUSDT", "1m").base
        for begun in (at - 20, at + 50):
            history = lake.frame("BTCUSDT", "1m", end=FIRST + begun * MINUTE)
            live = LiveFrame(
                MarketFrame(PERP, history.base), [], policy_for(PERP.venue, MINUTE), list(events), [moment]
            )
            opened = FIRST + begun * MINUTE
            live.remember({kind: some.between(0, opened) for kind, some in events.items()})
            for i in range(begun, at + 100):
                arrived = {
                    kind: some.between(FIRST + i * MINUTE, FIRST + (i + 1) * MINUTE) for kind, some in events.items()
                }
                bar = {name: float(whole.columns[name][i]) for name in whole.columns.keys() & BAR_COLUMNS.keys()}
                grown = live.close(whole.first + i, bar, arrived).base
            for name, values in grown.columns.items():
                mine, other = values[begun : at + 100], whole.columns[name][begun : at + 100]
                same = (mine == other) | (np.isnan(mine) & np.isnan(other))
                assert same.all(), (begun, name, int(np.argmax(~same)) + begun)
