"""Bybit's trades, and sizes that count something else than coins."""

import pytest

from tests.archives import env
from virtuoso.account.instrument import Instrument
from virtuoso.ingest.importer import import_paths
from virtuoso.lake.lake import Lake

START = 1_672_531_200
HEADER = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake", env=env())


def bybit(path, n=20, contract=1.0, symbol="BTCUSDT", same=False):
    """Trades as Bybit archives them; of equal ones only the id differs."""
    lines = [HEADER]
    for i in range(n):
        size, price, at = (0.5, 16500.0, 0.25) if same else (0.1 + i / 10, 16500.0 + i / 2, i * 0.37)
        value = size * contract * price
        lines.append(
            f"{START + at:.4f},{symbol},{'Buy' if i % 2 and not same else 'Sell'},{size},{price},PlusTick,"
            f"{i:08x}-0000-4000-8000-{i:012x},{value * 1e8},{size * contract},{value}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def take(lake, path, **said):
    (report,) = import_paths(lake, path, **({"venue": "bybit-linear"} | said)).files
    return report


class TestTradesOfBybit:
    """Are read with the seconds and the ids that they have."""

    def test_are_imported(self, lake, tmp_path):
        report = take(lake, bybit(tmp_path / "BTCUSDT2023-01-01.csv"))
        assert (report.status, report.kinds, report.stored) == ("imported", ["trades"], 20)
        events = lake.events("trades", Instrument("bybit-linear", "BTCUSDT"))
        assert events.event_time.tolist()[:3] == [START * 1000, START * 1000 + 370, START * 1000 + 740]
        assert events.columns["side"].tolist()[:2] == [-1, 1]

    def test_that_are_equal_but_for_their_id_stay_apart(self, lake, tmp_path):
        path = bybit(tmp_path / "BTCUSDT2023-01-01.csv", same=True)
        assert take(lake, path).stored == 20
        assert take(lake, path).duplicates == 20

    def test_of_an_inverse_contract_are_refused_by_name(self, lake, tmp_path):
        path = bybit(tmp_path / "BTCUSD2023-01-01.csv", contract=0.01, symbol="BTCUSD")
        assert "BTCUSD is an inverse contract" in take(lake, path).error

    def test_in_contracts_are_refused(self, lake, tmp_path):
        path = bybit(tmp_path / "BTCUSDT2023-01-01.csv", contract=0.01)
        assert "the size of a trade counts contracts of 0.01 coins, not coins" in take(lake, path).error


class TestTradesOfOkx:
    """Of swaps count contracts, and no column says how large they are."""

    def path(self, tmp_path, extra=""):
        lines = [f"instrument_name,trade_id,side,price,size,created_time{',quote_qty' if extra else ''}"]
        lines += [
            f"BTC-USDT-SWAP,{i},buy,{16500 + i},{i + 1},{START * 1000 + i}"
            + (f",{(16500 + i) * (i + 1)}" if extra else "")
            for i in range(9)
        ]
        path = tmp_path / "BTC-USDT-SWAP-trades-2023-01-01.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    def test_are_refused(self, lake, tmp_path):
        assert "counts contracts, not coins" in take(lake, self.path(tmp_path), venue="okx-linear").error

    def test_whose_values_show_that_they_are_coins_are_taken(self, lake, tmp_path):
        report = take(lake, self.path(tmp_path, "quote"), venue="okx-linear")
        assert (report.instruments, report.stored) == (["BTCUSDT okx-linear"], 9)
