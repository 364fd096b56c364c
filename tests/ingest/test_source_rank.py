"""How far a file is believed: what its name and its rows say of its origin."""

from pathlib import Path

import pytest

from virtuoso.ingest.source_rank import ANSWERED, DAILY, MONTHLY, RECORDED, UNKNOWN, rank_of
from virtuoso.lake.writing.versions import PREFERRED


class TestTheRankOfAFile:
    """Comes from its name, unless its caller prefers it or it is a recording."""

    @pytest.mark.parametrize(
        ("name", "rank"),
        [
            ("BTCUSDT-1m-2020-12.zip", MONTHLY),
            ("BTCUSDT-1m-2020-12-21.csv", DAILY),
            ("BTCUSDT-aggTrades-2024-02-04.csv.gz", DAILY),
            ("BTCUSDT-fundingRate-2024-01.csv", MONTHLY),
            ("XRPUSDT-fundingRate-2024-01-right.csv", UNKNOWN),
            ("BTCUSDT2023-01-01.csv.gz", DAILY),
            ("BTC-USDT-SWAP-1H.csv", UNKNOWN),
            ("my bars.parquet", UNKNOWN),
            ("klines.json", ANSWERED),
            ("klines.json.gz", ANSWERED),
        ],
    )
    def test_by_name(self, name, rank):
        assert rank_of(Path(name)) == rank
        assert rank_of(Path(name), prefer=True) == PREFERRED
        assert rank_of(Path(name), received=True) == RECORDED

    def test_order(self):
        assert UNKNOWN < RECORDED < ANSWERED < DAILY < MONTHLY < PREFERRED
