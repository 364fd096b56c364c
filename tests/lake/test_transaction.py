"""The writer takes all batches of a file or none, and merges each of them once."""

import numpy as np
import pytest

from tests.archives import MINUTE, env, flat_bars, minutes
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import DataError
from virtuoso.lake.lake import Lake
from virtuoso.lake.writing import staged
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
