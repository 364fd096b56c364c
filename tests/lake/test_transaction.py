"""The writer takes all batches of a file or none, and merges each of them once."""

import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tests.archives import MINUTE, env, flat_bars, minutes
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import DataError, StoreError
from virtuoso.files.atomic import Disk
from virtuoso.lake.lake import Lake
from virtuoso.lake.writing import pieces, staged, transaction
from virtuoso.lake.writing.files import RejectedRows
from virtuoso.lake.writing.transaction import Batch
from virtuoso.market.events import Events, events_of
from virtuoso.market.rows import Rows, traded_rows
from virtuoso.market.schema.kinds import KINDS

M1 = Timeframe("1m")
BTC, ETH = (Instrument("binance-usdm", f"{coin}USDT") for coin in ("BTC", "ETH"))
REJECTED = RejectedRows(rows=[7], reasons=["not_finite"], open_times=[None], raw=["x"])


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake", env=env())


def bars(price: float, n: int = 50) -> Rows:
    return traded_rows(minutes(n), flat_bars([price] * n), MINUTE)


def interest(value: float, n: int = 50) -> Events:
    kind = KINDS["open_interest"]
    return events_of(kind, minutes(n), dict.fromkeys(kind.columns, np.full(n, value)))


def files_of(lake: Lake) -> dict[str, bytes]:
    return {
        str(p.relative_to(lake.path)): p.read_bytes() for p in lake.path.rglob("*") if p.is_file() and p.name != "lock"
    }


def refuse(instrument: Instrument, kind: str):
    """A check that refuses one batch."""

    def check(batch: Batch, counts, partitions) -> None:
        if (batch.instrument, batch.series.kind) == (instrument, kind):
            raise DataError("no")

    return check


BATCHES = (
    Batch(BTC, bars(1.0), M1, refused=REJECTED, source=("a.csv", "0" * 64, 51)),
    Batch(BTC, interest(1.0), source=("a.csv", "0" * 64, 50)),
    Batch(ETH, bars(1.0), M1, source=("a.csv", "0" * 64, 51)),
)


class TestBatchesOfAFile:
    """Are taken together or not at all."""

    @pytest.mark.parametrize(("instrument", "kind"), [(BTC, "bars"), (BTC, "open_interest"), (ETH, "bars")])
    def test_none_is_taken_where_one_is_refused(self, lake, instrument, kind):
        with lake.writing() as writer, pytest.raises(DataError):
            writer.add(*BATCHES, check=refuse(instrument, kind))
        with lake.writing() as writer:
            assert writer.pending_rows == 0
            with pytest.raises(DataError):
                writer.add(*BATCHES, check=refuse(instrument, kind))
            assert writer.pending_rows == 0
            writer.commit()
        assert files_of(lake) == {}

    def test_what_was_added_before_a_refusal_stays(self, lake, tmp_path):
        with lake.writing() as writer:
            writer.add(BATCHES[0])
            with pytest.raises(DataError):
                writer.add(Batch(BTC, bars(2.0), M1), BATCHES[1], check=refuse(BTC, "open_interest"))
            writer.commit()
        alone = Lake(tmp_path / "alone", env=env())
        with alone.writing() as writer:
            writer.add(BATCHES[0])
            writer.commit()
        assert files_of(lake) == files_of(alone)

    def test_all_are_taken_else_and_the_check_sees_each_with_its_counts(self, lake):
        seen = []
        with lake.writing() as writer:
            found = writer.add(*BATCHES, check=lambda batch, counts, days: seen.append((batch, counts, [*days])))
            writer.commit()
        assert [batch for batch, _, _ in seen] == list(BATCHES)
        assert [counts for _, counts, _ in seen] == found
        assert [days for _, _, days in seen] == [[], ["2024-01"], []]
        assert [counts.stored for counts in found] == [50, 50, 50]

    def test_a_second_batch_of_a_series_is_merged_into_the_first(self, lake):
        with lake.writing() as writer:
            first, second = writer.add(Batch(BTC, bars(1.0), M1), Batch(BTC, bars(1.0, 60), M1))
            writer.commit()
        assert (first.stored, second.stored, second.duplicates) == (50, 10, 50)
        (series,) = lake.manifest().readable()
        assert len(lake.read(series)) == 60

    def test_each_is_merged_once(self, lake, monkeypatch):
        merged = []
        for name in ("merge", "merge_events"):
            real = getattr(staged, name)
            monkeypatch.setattr(staged, name, lambda *given, real=real: merged.append(real) or real(*given))
        with lake.writing() as writer:
            writer.add(*BATCHES, check=lambda *_: None)
        assert len(merged) == len(BATCHES)


@pytest.fixture
def little_memory(monkeypatch):
    """Pieces of seven rows, of which twenty may stay in memory."""
    monkeypatch.setattr(pieces, "PIECE_ROWS", 7)
    monkeypatch.setattr(transaction, "HELD_ROWS", 20)


def chunks(batch: Batch, size: int) -> list[Batch]:
    """A batch in chunks, each with as many rows as it holds."""
    name, sha256, _ = batch.source
    edges = range(0, len(batch.rows), size)
    return [
        replace(batch, rows=part, refused=None, source=(name, sha256, len(part)))
        for part in (batch.rows.take(slice(a, a + size)) for a in edges)
    ]


def told(lake: Lake) -> dict[str, object]:
    """What a reader and the ledger see, however it lies in files."""
    seen: dict[str, object] = {}
    for kind in lake.kinds():
        for key, series in lake.manifest(kind).series.items():
            read = lake.read(series) if kind == "bars" else lake.read_events(series, None, None, None).events()
            seen[f"{kind} {key}"] = (read.digest(), series.gaps, series.sources, series.rows)
            seen[f"{kind} {key} refused"] = [entry.sha256 for entry in series.quarantine]
    return seen


def trades(n: int, start: int = 0) -> Events:
    """Trades two of which always share their millisecond, half a minute apart, with a silence in the middle."""
    kind, ids = KINDS["trades"], np.arange(start, start + n)
    times = minutes(1)[0] + ids // 2 * 30_000 + (ids > n // 2) * 600_000
    columns = {"id": ids, "price": 100.0 + ids % 5, "size": np.ones(n), "side": np.ones(n), "count": np.ones(n)}
    return events_of(kind, times, columns)


def depth(n: int) -> Events:
    """Changes of a book with one message lost."""
    kind, ids = KINDS["depth"], np.arange(n) + (np.arange(n) > n // 2)
    columns = {"first_id": ids, "last_id": ids, "prev_id": np.full(n, -1), "snapshot": np.zeros(n), "side": np.ones(n)}
    columns |= {"price": 100.0 + ids % 5, "size": np.ones(n)}
    return events_of(kind, minutes(1)[0] + np.arange(n) * 1_000, columns)


WHOLE = (
    Batch(BTC, bars(1.0), M1, source=("a.csv", "0" * 64, 50)),
    Batch(BTC, trades(200), source=("t.csv", "1" * 64, 200)),
    Batch(BTC, depth(100), source=("d.csv", "2" * 64, 100)),
    Batch(BTC, interest(2.0), source=("i.csv", "3" * 64, 50)),
)


def fail_after(writer: transaction.Writer, *batches: Batch) -> None:
    """Add batches in a savepoint that ends in an error."""

    def fail() -> None:
        with writer.savepoint():
            for batch in batches:
                writer.add(batch)
            raise DataError("no")

    with pytest.raises(DataError):
        fail()


class TestASavepoint:
    """Everything that its block adds is taken, or nothing of it."""

    @pytest.mark.parametrize("size", [1, 3, 50, 200])
    def test_of_a_file_in_chunks_leaves_what_the_whole_file_leaves(self, lake, tmp_path, little_memory, size):
        one = Lake(tmp_path / "one", env=env())
        with one.writing() as writer:
            writer.add(*WHOLE)
            writer.commit()
        with lake.writing() as writer:
            for batch in WHOLE:
                with writer.savepoint():
                    for chunk in chunks(batch, size):
                        writer.add(chunk)
            writer.commit()
        assert told(lake) == told(one)
        assert all(len(s.sources) == 1 for kind in lake.kinds() for s in lake.manifest(kind).series.values())
        assert [gap.status for gap in lake.manifest("depth").readable()[0].gaps] == ["sequence"]
        assert lake.verify().ok

    def test_keeps_the_order_of_events_of_one_millisecond(self, lake):
        """Forced orders carry no number: their place in the file is all that orders them."""
        n, kind = 40, KINDS["liquidations"]
        prices = np.random.default_rng(1).permutation(n) + 1.0
        times = minutes(1)[0] + np.arange(n) // 20
        whole = Batch(
            BTC,
            events_of(kind, times, {"side": np.ones(n), "price": prices, "size": np.ones(n)}),
            source=("l.csv", "6" * 64, n),
        )
        with lake.writing() as writer:
            for chunk in chunks(whole, 7):
                writer.add(chunk)
            writer.commit()
        assert lake.events("liquidations", BTC)["price"].tolist() == prices.tolist()

    @pytest.mark.parametrize("stored_before", [False, True])
    @pytest.mark.parametrize("held", [20, 10_000])
    def test_that_ends_in_an_error_leaves_no_trace(
        self, lake, tmp_path, little_memory, monkeypatch, stored_before, held
    ):
        monkeypatch.setattr(transaction, "HELD_ROWS", held)
        alone = Lake(tmp_path / "alone", env=env())
        for one, fails in ((alone, False), (lake, True)):
            if stored_before:
                with one.writing() as writer:
                    writer.add(Batch(BTC, trades(90), source=("t.csv", "4" * 64, 90)))
                    writer.commit()
            with one.writing() as writer:
                writer.add(WHOLE[0])
                if fails:
                    other = Batch(BTC, bars(2.0), M1, refused=REJECTED, source=("b.csv", "5" * 64, 51))
                    fail_after(writer, other, *chunks(WHOLE[1], 50), *chunks(WHOLE[2], 50))
                    assert writer.pending_rows == 50
                writer.commit()
        assert told(lake) == told(alone)
        assert parts(lake) == named(lake)
        assert not (lake.path / "quarantine").exists()

    def test_may_stand_inside_another(self, lake, tmp_path, little_memory):
        with lake.writing() as writer:
            with writer.savepoint():
                writer.add(WHOLE[0])
                fail_after(writer, *chunks(WHOLE[1], 50))
                writer.add(WHOLE[3])
            writer.commit()
        one = Lake(tmp_path / "one", env=env())
        with one.writing() as writer:
            writer.add(WHOLE[0], WHOLE[3])
            writer.commit()
        assert {k: v for k, v in told(lake).items() if "trades" not in k} == told(one)
        assert parts(lake) == named(lake)

    def test_is_not_committed_from_inside(self, lake):
        with lake.writing() as writer, writer.savepoint(), pytest.raises(ValueError, match="inside a savepoint"):
            writer.commit()


class TestLittleMemory:
    """Rows that do not fit are written early; only a manifest makes them visible."""

    def test_a_day_lies_in_several_files_without_overlap(self, lake, little_memory):
        with lake.writing() as writer:
            for chunk in chunks(WHOLE[1], 11):
                writer.add(chunk)
                assert sum(staged.pieces.rows_in_memory for staged in writer._staged.values()) <= 20
            writer.commit()
        files = lake.manifest("trades").readable()[0].files
        assert len(files) > 20
        assert all(a.max_open_time < b.min_open_time for a, b in pairwise(files))
        assert parts(lake) == named(lake)

    def test_what_is_forgotten_leaves_no_file(self, lake, little_memory):
        with lake.writing() as writer:
            writer.add(WHOLE[1])
        assert parts(lake) == set()
        assert len(lake.events("trades", BTC)) == 0

    def test_what_a_killed_writer_wrote_early_is_swept(self, lake, little_memory, monkeypatch):
        with monkeypatch.context() as killed, lake.writing() as writer:
            killed.setattr(transaction.Writer, "forget", lambda self: None)
            writer.add(WHOLE[1])
        assert len(parts(lake)) > 0
        assert len(lake.events("trades", BTC)) == 0
        with lake.writing() as writer:
            writer.add(WHOLE[0])
            writer.commit()
        assert parts(lake) == named(lake)
        assert len(lake.events("trades", BTC)) == 0

    def test_manifests_are_rebuilt_from_several_files_of_a_day(self, lake, little_memory):
        for batch in (chunks(WHOLE[1], 150)[0], WHOLE[1], WHOLE[0]):
            with lake.writing() as writer:
                writer.add(batch)
                writer.commit()
        before = {name: seen for name, seen in told(lake).items() if "refused" not in name}
        shutil.rmtree(lake.path / "manifests")
        lake.rebuild()
        again = Lake(lake.path, env=env())
        assert {name: told(again)[name][:2] for name in before} == {name: seen[:2] for name, seen in before.items()}

    def test_a_disk_that_refuses_is_an_error_of_the_store(self, tmp_path, little_memory):
        lake = Lake(tmp_path / "full", env=env(), disk=FullDisk())
        with lake.writing() as writer, pytest.raises(StoreError, match=r"No space left.*the lake is as it was"):
            writer.add(WHOLE[1])
        assert parts(lake) == set()


class FullDisk(Disk):
    """Writes three parts, and has no room for a fourth."""

    written = 0

    def step(self, name: str, path) -> None:
        self.written += (wanted := name == "sync" and "part-" in path.name)
        if wanted and self.written > 3:
            raise OSError(28, "No space left on device")


def parts(lake: Lake) -> set[str]:
    """All files of rows that lie where readers look."""
    found = [path for kind in lake.kinds() for path in (lake.path / kind).rglob("part-*")]
    return {path.relative_to(lake.path).as_posix() for path in found}


def named(lake: Lake) -> set[str]:
    return {path for kind in lake.kinds() for path in lake.manifest(kind).paths() if path.startswith(kind)}
