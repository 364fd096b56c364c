"""What is removed lies in the trash and comes back whole; a kill leaves the lake as it was before or after."""

import json
import os
import shutil

import numpy as np
import pytest

from tests.archives import JANUARY, MINUTE, env, flat_bars, minutes
from tests.faults.lake_writers import KillingDisk
from virtuoso.account.instrument import Instrument
from virtuoso.cli import main
from virtuoso.clock import Timeframe
from virtuoso.errors import ConfigError, DataError, LockedError, NoDataError
from virtuoso.lake.lake import Lake
from virtuoso.lake.writing.files import RejectedRows
from virtuoso.lake.writing.transaction import Batch
from virtuoso.market.events import events_of
from virtuoso.market.rows import traded_rows
from virtuoso.market.schema.kinds import KINDS

M1, M5 = Timeframe("1m"), Timeframe("5m")
BTC, ETH = (Instrument("binance-usdm", f"{coin}USDT") for coin in ("BTC", "ETH"))
START = JANUARY + 31 * 1440 * MINUTE - 50 * MINUTE  # fifty minutes of January, fifty of February
REJECTED = RejectedRows(rows=[7], reasons=["not_finite"], open_times=[None], raw=["x"])
OF_BTC = {"symbol": "BTCUSDT", "venue": "binance-usdm"}


def put(lake: Lake, *batches: Batch) -> None:
    with lake.writing() as writer:
        writer.add(*batches)
        writer.commit()


def bars(close: float, instrument=BTC, clock=M1, name="a.csv", rank: int = 0, n: int = 100) -> Batch:
    times = START // clock.ms * clock.ms + np.arange(n) * clock.ms
    rows = traded_rows(times, flat_bars([close] * n), clock.ms)
    return Batch(instrument, rows, clock, refused=REJECTED, source=(name, "0" * 64, n), rank=rank)


def events(name: str, received: int | None = None) -> Batch:
    kind, times = KINDS[name], minutes(100, START)
    columns = {column: np.ones(100) for column in kind.columns}
    return Batch(BTC, events_of(kind, times, columns, None if received is None else times + received))


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Bars of two instruments and timeframes with a revision and a conflict, and two kinds of events."""
    made = Lake(tmp_path / "data" / "lake", env=env())
    put(made, bars(1.0), bars(5.0, clock=M5), bars(3.0, ETH), events("trades"), events("funding"))
    put(made, bars(2.0, name="b.csv", rank=1, n=20), bars(4.0, name="c.csv", n=10))
    return made


def told(lake: Lake) -> dict[str, object]:
    """All that readers and the ledger see."""
    seen: dict[str, object] = {}
    for kind in lake.kinds():
        for series in lake.manifest(kind).series.values():
            old = [rows.digest() for rows, _ in lake.revisions(series)] if kind == "bars" else []
            now = lake.read(series) if kind == "bars" else lake.read_events(series, None, None, None).events()
            quarantine = [(entry.path, entry.rows, (lake.path / entry.path).exists()) for entry in series.quarantine]
            seen[series.home] = (now.digest(), old, quarantine, series.gaps, series.conflicts, series.sources)
    return seen


class TestARemoval:
    """Takes the rows with all that belongs to them."""

    def test_of_a_symbol_leaves_nothing_of_it(self, lake):
        before = told(lake)
        removal = lake.remove(**OF_BTC)
        assert set(told(lake)) == {home for home in before if "ETHUSDT" in home}
        assert (removal.rows, removal.kinds) == (400, ("bars", "trades", "funding"))
        assert [one.id for one in lake.trash()] == [removal.id]
        assert lake.instruments() == [ETH]
        assert lake.verify().ok

    def test_comes_back_whole(self, lake):
        before = told(lake)
        removal = lake.remove(**OF_BTC)
        assert lake.undo_remove().id == removal.id
        assert told(lake) == before
        assert lake.trash() == []
        assert lake.verify().ok

    @pytest.mark.parametrize(
        ("what", "homes"),
        [
            ({"kind": "trades"}, 1),
            ({"kind": "bars"}, 2),
            ({"timeframe": "5m"}, 1),
            ({"kind": "bars", "timeframe": "1m"}, 1),
        ],
    )
    def test_of_a_kind_or_timeframe_leaves_the_others(self, lake, what, homes):
        before = told(lake)
        lake.remove(**OF_BTC, **what)
        left = told(lake)
        assert len(before) - len(left) == homes
        assert left == {home: before[home] for home in left}
        lake.undo_remove()
        assert told(lake) == before

    @pytest.mark.parametrize(("first", "last"), [(10, 60), (0, 5), (60, 100), (5, 6)])
    @pytest.mark.parametrize("kind", ["bars", "trades"])
    def test_of_a_range_cuts_files_and_joins_them_again(self, lake, kind, first, last):
        before = told(lake)
        since, until = START + first * MINUTE, START + last * MINUTE
        timeframe = "1m" if kind == "bars" else None
        removal = lake.remove(**OF_BTC, kind=kind, timeframe=timeframe, since=since, until=until)
        assert removal.rows == last - first
        key = "venue=binance-usdm/symbol=BTCUSDT" + ("/timeframe=1m" if kind == "bars" else "")
        series = lake.manifest(kind).series[key]
        if kind == "bars":
            assert len(lake.read(series)) == 100 - (last - first)
            assert len(lake.read(series, as_of=JANUARY + 400 * 1440 * MINUTE)) == 100 - (last - first)
            revised = sum(len(rows) for rows, _ in lake.revisions(series))
            assert revised == max(20 - last, 0) + min(first, 20) + max(10 - last, 0) + min(first, 10)
        else:
            assert len(lake.events(kind, BTC)) == 100 - (last - first)
        lake.undo_remove()
        after = told(lake)
        assert {home: (seen[0], seen[3:5]) for home, seen in after.items()} == {
            home: (seen[0], seen[3:5]) for home, seen in before.items()
        }
        assert lake.verify().ok
        put(lake, bars(1.0))
        assert told(lake) == after

    def test_forgets_the_caches_made_of_it(self, lake):
        kept = lake.path / "derived" / "bars" / "venue=binance-usdm"
        for name in ("BTCUSDT", "ETHUSDT"):
            (kept / f"symbol={name}" / "timeframe=1m").mkdir(parents=True)
        lake.remove(**OF_BTC)
        assert [path.name for path in kept.iterdir()] == ["symbol=ETHUSDT"]

    def test_of_nothing_is_an_error_that_names_the_nearest(self, lake):
        with pytest.raises(NoDataError, match="Did you mean 'BTCUSDT'"):
            lake.remove("BTCUSD", venue="binance-usdm")
        with pytest.raises(NoDataError, match="holds no trades of ETHUSDT"):
            lake.remove("ETHUSDT", venue="binance-usdm", kind="trades")
        with pytest.raises(ConfigError, match="Did you mean 'trades'"):
            lake.remove(**OF_BTC, kind="trade")
        with pytest.raises(NoDataError, match="in that range"):
            lake.remove(**OF_BTC, until=START - 1)
        assert not (lake.path / "trash").exists()

    def test_is_refused_under_a_writer(self, lake):
        with lake.writing(), pytest.raises(LockedError):
            Lake(lake.path, env=env()).remove(**OF_BTC)

    @pytest.mark.parametrize(("name", "received"), [("ticker", None), ("trades", 5), ("prices", 1), ("depth", None)])
    def test_of_a_recording_must_be_said(self, lake, name, received):
        put(lake, events(name, received))
        before = told(lake)
        with pytest.raises(DataError, match=rf"{name} \(\d+ rows\).*nobody can fetch it again.*--recorded"):
            lake.remove(**OF_BTC)
        assert told(lake) == before
        lake.remove(**OF_BTC, recorded=True)
        assert lake.instruments() == [ETH]


class TestBringingBack:
    """Is refused where something newer stands, and says what."""

    def test_is_refused_where_something_newer_is_stored(self, lake):
        first = lake.remove(**OF_BTC)
        put(lake, bars(9.0, name="newer.csv"))
        before = told(lake)
        with pytest.raises(DataError, match=r"newer than .*newer.csv.*virtuoso data remove BTCUSDT"):
            lake.undo_remove(first.id)
        assert told(lake) == before
        lake.remove(**OF_BTC, kind="bars")
        lake.undo_remove(first.id)
        assert len(lake.trash()) == 1

    def test_of_an_unknown_removal_lists_them(self, lake):
        with pytest.raises(NoDataError, match="It is empty"):
            lake.undo_remove()
        removal = lake.remove(**OF_BTC)
        with pytest.raises(NoDataError, match=f"There are: {removal.id}"):
            lake.undo_remove("yesterday")

    def test_of_two_removals_takes_the_newest_first(self, lake):
        before = told(lake)
        ids = [lake.remove(**OF_BTC, kind=kind).id for kind in ("trades", "funding")]
        assert len(set(ids)) == 2
        assert [lake.undo_remove().id for _ in ids] == ids[::-1]
        assert told(lake) == before


class TestAKill:
    """At any step leaves the lake as it was before, or after; the next writer clears up."""

    @pytest.mark.parametrize("undone", [False, True])
    @pytest.mark.parametrize(
        "what",
        [{"kind": "bars", "timeframe": "1m"}, {"kind": "bars", "timeframe": "1m", "since": START + 5 * MINUTE}, {}],
        ids=["a series", "a range", "a symbol"],
    )
    def test_leaves_before_or_after(self, lake, tmp_path, what, undone):
        before = told(lake)
        if undone:
            lake.remove(**OF_BTC, **what)
        start = told(lake)
        ends, steps = set(), 0
        for at in range(1, 400):
            here = tmp_path / str(at)
            shutil.copytree(lake.path, here)
            child = os.fork()
            if child == 0:
                try:
                    killed = Lake(here, env=env(), disk=KillingDisk(at, tmp_path / "step"))
                    killed.undo_remove() if undone else killed.remove(**OF_BTC, **what)
                finally:
                    os._exit(0)
            _, status = os.waitpid(child, 0)
            with Lake(here, env=env()).writing():
                pass
            after = Lake(here, env=env())
            seen = {home: (values[0], values[3]) for home, values in told(after).items()}
            assert after.verify().ok
            ends.add(json.dumps({home: str(values) for home, values in sorted(seen.items())}))
            steps += 1
            if undone:
                assert {k: v[0] for k, v in told(after).items()} in (
                    {k: v[0] for k, v in start.items()},
                    {k: v[0] for k, v in before.items()},
                )
            elif seen == {home: (values[0], values[3]) for home, values in before.items()}:
                assert after.trash() == []
            else:
                assert len(after.trash()) == 1
            shutil.rmtree(here)
            if os.WIFEXITED(status):
                break
        assert steps >= 10
        assert len(ends) == 2


class TestTheCommand:
    """Asks, or is told not to; says what to do next."""

    def run(self, lake, *said: str) -> int:
        return main(["data", *said, "--data", str(lake.path.parent)])

    def test_removes_lists_and_brings_back(self, lake, capsys):
        before = told(lake)
        assert self.run(lake, "remove", "BTCUSDT", "--venue", "binance-usdm", "--yes", "--kind", "trades") == 0
        assert "moved 100 rows of BTCUSDT binance-usdm (trades;" in capsys.readouterr().out
        (removal,) = lake.trash()
        assert self.run(lake, "list") == 0
        assert f"in the trash: {removal.id}" in capsys.readouterr().out
        assert self.run(lake, "remove", "--undo", removal.id, "--json") == 0
        assert json.loads(capsys.readouterr().out)["restored"]["id"] == removal.id
        assert told(Lake(lake.path, env=env())) == before

    def test_without_a_terminal_needs_yes(self, lake, capsys):
        assert self.run(lake, "remove", "BTCUSDT", "--venue", "binance-usdm") != 0
        assert "--yes" in capsys.readouterr().err
        assert lake.trash() == []

    def test_needs_a_symbol_and_a_venue(self, lake, capsys):
        assert self.run(lake, "remove", "BTCUSDT", "--yes") != 0
        assert "virtuoso data remove SYMBOL --venue VENUE" in capsys.readouterr().err
