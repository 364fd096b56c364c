"""What the names of files say: their contract, their market, the length of their bars."""

from pathlib import Path

import pytest

from virtuoso.account.symbols import DATED, INVERSE, OPTION
from virtuoso.venues.naming import is_other_exchange, lengths_in, read_name, symbol_of

DAY = 86_400_000


class TestTheContract:
    """Is read as the source's scheme writes it, what stands behind the pair included."""

    @pytest.mark.parametrize(
        ("name", "symbol", "market"),
        [
            ("BTCUSDT-1m-2020-12.zip", "BTCUSDT", None),
            ("BTCUSDC-1h-2024-01-01.csv", "BTCUSDC", None),
            ("1000PEPEUSDT-aggTrades-2024-01-01.zip", "1000PEPEUSDT", None),
            ("TUSDT-1m-2024-01.zip", "TUSDT", None),
            ("BTCUSDT-fundingRate-2024-01.zip", "BTCUSDT", "linear"),
            ("BTCUSDT-metrics-2024-01-01.csv", "BTCUSDT", "linear"),
            ("data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip", "BTCUSDT", "linear"),
            ("data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-01.zip", "BTCUSDT", "spot"),
            ("BTCUSDT2023-01-01.csv.gz", "BTCUSDT", None),
            ("BTCPERP2023-01-01.csv.gz", "BTCUSDC", "linear"),
            ("BTC-USDT-1H.csv", "BTCUSDT", None),
            ("BTC-USDT-SWAP-1H.csv", "BTCUSDT", "linear"),
            ("BTC-USDT-SWAP-trades-2024-01-01.zip", "BTCUSDT", "linear"),
            ("BTC-USD.csv", "BTCUSD", None),
            ("BTC_USDC-PERPETUAL.csv", "BTCUSDC", "linear"),
            ("XBTUSD_1.csv", "XBTUSD", None),
            ("PF_XBTUSD_60.csv", "XBTUSD", "linear"),
            ("tBTCUSD_1m.csv", "BTCUSD", "spot"),
            ("tBTCF0_USTF0-1m.csv", "BTCUSDT", "linear"),
            ("BTC_USDT-1h.feather", "BTCUSDT", "spot"),
            ("BTC_USDT-5m.json.gz", "BTCUSDT", "spot"),
            ("BTC_USDT_USDT-1h-futures.feather", "BTCUSDT", "linear"),
            ("BTC_USDT_USDT-8h-funding_rate.feather", "BTCUSDT", "linear"),
            ("BTC_USDT_USDT-1h-mark.feather", "BTCUSDT", "linear"),
            ("BINANCE_BTCUSDT, 60.csv", "BTCUSDT", "spot"),
            ("BINANCE_BTCUSDT.P, 1D_ab12c.csv", "BTCUSDT", "linear"),
            ("Binance_BTCUSDT_1h.csv", "BTCUSDT", None),
            ("Bitstamp_BTCUSD_2023_minute.csv", "BTCUSD", None),
            ("BTCUSD_M1_202401010000_202401312359.csv", "BTCUSD", None),
            ("EURUSD_H1.csv", "EURUSD", None),
            ("binance-futures_trades_2020-02-22_BTCUSDT.csv.gz", "BTCUSDT", "linear"),
            ("binance_1m_SOLUSDT_2024.csv", "SOLUSDT", None),
            ("BTCUSDT_202412.csv", "BTCUSDT", None),
            ("BTCUSDT_20240628.csv", "BTCUSDT", None),
            ("BTCUSDT.parquet", "BTCUSDT", None),
            ("BTC_USDT.csv", "BTCUSDT", None),
            ("ETH_USDC_1m_2024.csv", "ETHUSDC", None),
            ("my BTCUSDTPERP bars.csv", "BTCUSDT", "linear"),
        ],
    )
    def test_of_a_name(self, name, symbol, market):
        (contract,) = read_name(Path(name)).contracts
        assert contract == (symbol, market, "")
        assert symbol_of(Path(name)) == symbol

    @pytest.mark.parametrize(
        ("name", "venue", "what"),
        [
            ("BTCUSDT_240628-1h-2024-05.csv", "", DATED),
            ("BTCUSD_PERP-1h-2023-10.csv", "", INVERSE),
            ("ETHUSD_241227-1m-2024-10.zip", "", DATED),
            ("BTCUSDT_240628.csv", "", DATED),
            ("prices BTCUSD_PERP.csv", "", INVERSE),
            ("BTCUSDT_QUARTER_1h.csv", "", DATED),
            ("BTC_USDT_240628_1h.csv", "", DATED),
            ("data/futures/cm/daily/klines/BTCUSD/1m/BTCUSD-1m-2024-01-01.zip", "", INVERSE),
            ("BTCUSD2023-01-01.csv.gz", "", INVERSE),
            ("BTCUSD2023-01-01.csv.gz", "bybit-linear", INVERSE),
            ("BTC-27JUN252025-01-01.csv.gz", "", DATED),
            ("BTCUSDM252025-01-01.csv.gz", "", DATED),
            ("BTC-USD-SWAP-1H.csv", "", INVERSE),
            ("BTC-USD-240628-1H.csv", "", DATED),
            ("BTC-USDT-240628.csv", "", DATED),
            ("BTC-27JUN25.csv", "", DATED),
            ("BTC-27JUN25-60000-C.csv", "", OPTION),
            ("BTC-PERPETUAL_1h.csv", "", INVERSE),
            ("PI_XBTUSD_60.csv", "", INVERSE),
            ("FI_XBTUSD_240628_60.csv", "", DATED),
            ("BTC_USD_BTC-1h-futures.feather", "", INVERSE),
            ("BTC_USDT_USDT-240628-1h-futures.feather", "", DATED),
            ("BYBIT_BTCUSD.P, 60.csv", "", INVERSE),
            ("CME_BTC1!, 1D.csv", "", DATED),
            ("binance-delivery_trades_2023-05-01_BTCUSD_PERP.csv.gz", "", INVERSE),
            ("okex-futures_trades_2023-05-01_BTC-USDT-230630.csv.gz", "", DATED),
            ("bitmex_trades_2023-05-01_XBTUSD.csv.gz", "", INVERSE),
        ],
    )
    def test_that_is_not_linear_is_told(self, name, venue, what):
        (contract,) = read_name(Path(name), venue).contracts
        assert contract.refused == what

    @pytest.mark.parametrize(
        "name",
        [
            "prices.csv",
            "PRICES_USD.csv",
            "BINANCE_USDT.csv",
            "a.csv",
            "notes.txt",
            "btcusdt.csv",
            "klines_6sym_20250704.parquet",
        ],
    )
    def test_of_an_unknown_scheme_is_not_said(self, name):
        assert symbol_of(Path(name)) is None

    def test_of_two_is_not_said(self):
        assert read_name(Path("BTCUSDT_ETHUSDT.csv")).symbols == ["BTCUSDT", "ETHUSDT"]
        assert symbol_of(Path("BTCUSDT_ETHUSDT.csv")) is None


class TestTheExchange:
    """Is told by some schemes, so that the wrong venue shows."""

    @pytest.mark.parametrize(
        ("name", "venue", "other"),
        [
            ("BYBIT_BTCUSDT.P, 60.csv", "binance-usdm", True),
            ("BYBIT_BTCUSDT.P, 60.csv", "bybit-linear", False),
            ("Bitstamp_BTCUSD_1h.csv", "kraken-spot", True),
            ("okex-swap_trades_2023-05-01_BTC-USDT-SWAP.csv.gz", "okx-linear", False),
            ("okex-swap_trades_2023-05-01_BTC-USDT-SWAP.csv.gz", "binance-usdm", True),
            ("tBTCUSD_1m.csv", "binance-spot", True),
            ("BTCUSDT-1m-2024-01.zip", "bybit-linear", False),
            ("BYBIT_BTCUSDT.P, 60.csv", "simulated", False),
        ],
    )
    def test_of_a_name(self, name, venue, other):
        assert is_other_exchange(read_name(Path(name), venue).exchange, venue) is other


class TestTheLengthOfBars:
    """Stands in most names, in each scheme its own way."""

    @pytest.mark.parametrize(
        ("name", "lengths"),
        [
            ("BTCUSDT-1m-2020-12.zip", {60_000}),
            ("BTC-USDT-SWAP-1H.csv", {3_600_000}),
            ("BTCUSDT-1w-2022.csv", {7 * DAY}),
            ("BTCUSDT-1mo-2022.csv", {30 * DAY}),
            ("BTCUSDT-1M-2022.csv", {30 * DAY}),
            ("BTCUSDT-3d-2022.csv", {3 * DAY}),
            ("BINANCE_BTCUSDT, 60.csv", {3_600_000}),
            ("BINANCE_BTCUSDT, 1W.csv", {7 * DAY}),
            ("BTCUSD_M15_202401010000_202401312359.csv", {900_000}),
            ("BTCUSD_MN1.csv", {30 * DAY}),
            ("Bitstamp_BTCUSD_2023_minute.csv", {60_000}),
            ("BTCUSDT.csv", set()),
        ],
    )
    def test_of_a_name(self, name, lengths):
        assert lengths_in(Path(name)) == lengths
