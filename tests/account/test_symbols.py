"""Symbols as venues write them: what contract each names, and which of them Virtuoso does not trade."""

import pytest

from virtuoso.account import markets
from virtuoso.account.instrument import Instrument, compact
from virtuoso.account.symbols import DATED, INVERSE, OPTION, QUANTO, read_symbol, refusal
from virtuoso.errors import AmbiguousError


class TestASymbol:
    """Is read in the scheme of its venue: the pair, the market that it tells, and what it is if it is none of ours."""

    @pytest.mark.parametrize(
        ("written", "venue", "symbol", "market"),
        [
            ("BTCUSDT", "binance-usdm", "BTCUSDT", None),
            ("btcusdt", "binance-spot", "BTCUSDT", None),
            ("tusdt", "binance-spot", "TUSDT", None),
            ("fxsusdt", "binance-spot", "FXSUSDT", None),
            ("1000PEPEUSDT", "binance-usdm", "1000PEPEUSDT", None),
            ("BTCUSDC", "binance-usdm", "BTCUSDC", None),
            ("BTCBUSD", "binance-usdm", "BTCBUSD", None),
            ("BTC/USDT", "", "BTCUSDT", None),
            ("BTC/USDT:USDT", "", "BTCUSDT", "linear"),
            ("BTC/USD:USDC", "", "BTCUSD", "linear"),
            ("BTC-USDT", "okx-spot", "BTCUSDT", "spot"),
            ("BTC-USDT", "kucoin-spot", "BTCUSDT", None),
            ("BTC-USDT-SWAP", "okx-linear", "BTCUSDT", "linear"),
            ("BTC-USD", "coinbase-spot", "BTCUSD", "spot"),
            ("BTC-USD", "dydx-perp", "BTCUSD", None),
            ("BTCPERP", "bybit-linear", "BTCUSDC", "linear"),
            ("1000PEPEPERP", "bybit-linear", "1000PEPEUSDC", "linear"),
            ("BTC_USDC-PERPETUAL", "deribit-linear", "BTCUSDC", "linear"),
            ("XBTUSD", "kraken-spot", "XBTUSD", None),
            ("XBTUSD", "kraken-linear", "XBTUSD", None),
            ("PF_XBTUSD", "kraken-linear", "XBTUSD", "linear"),
            ("tBTCUSD", "bitfinex-spot", "BTCUSD", "spot"),
            ("tDUSK:USD", "bitfinex-spot", "DUSKUSD", "spot"),
            ("tBTCF0:USTF0", "bitfinex-linear", "BTCUSDT", "linear"),
            ("BINANCE:BTCUSDT", "binance-spot", "BTCUSDT", None),
            ("BINANCE:BTCUSDT.P", "binance-usdm", "BTCUSDT", "linear"),
            ("BTCUSDTPERP", "binance-usdm", "BTCUSDT", "linear"),
            ("BTCUSDT_PERP.A", "binance-usdm", "BTCUSDT", "linear"),
            ("BTCUSDT Perpetual", "binance-usdm", "BTCUSDT", "linear"),
            ("BTC-USDT Perpetual", "binance-usdm", "BTCUSDT", "linear"),
        ],
    )
    def test_names_a_pair_and_perhaps_a_market(self, written, venue, symbol, market):
        assert read_symbol(written, venue) == (symbol, market, "")

    @pytest.mark.parametrize(
        ("written", "venue", "what"),
        [
            ("BTCUSD_PERP", "binance-usdm", INVERSE),
            ("BTCUSDT", "binance-coinm", INVERSE),
            ("BTCUSD", "bybit-linear", INVERSE),
            ("DOTUSD", "bybit-linear", INVERSE),
            ("XBTUSD", "bitmex-perp", INVERSE),
            ("BTC/USD:BTC", "", INVERSE),
            ("BTC/USD:ETH", "", QUANTO),
            ("BTC-USD-SWAP", "okx-linear", INVERSE),
            ("BTC-PERPETUAL", "deribit-linear", INVERSE),
            ("PI_XBTUSD", "kraken-linear", INVERSE),
            ("BYBIT:BTCUSD.P", "bybit-linear", INVERSE),
            ("BTCUSD CM Perpetual", "binance-usdm", INVERSE),
            ("BTC/USDT:USDT-240628", "", DATED),
            ("BTC/USD:BTC-240628", "", DATED),
            ("BTCUSDT_240628", "binance-usdm", DATED),
            ("ETHUSD_241227", "binance-usdm", DATED),
            ("BTC-USD-240628", "okx-linear", DATED),
            ("BTC-USDT-240628", "okx-linear", DATED),
            ("BTC-27JUN25", "bybit-linear", DATED),
            ("BTC-5JAN24", "deribit-linear", DATED),
            ("BTC_USDC-27JUN25", "deribit-linear", DATED),
            ("BTCUSDT-27JUN25", "bybit-linear", DATED),
            ("BTCUSDM25", "bybit-linear", DATED),
            ("XBTM24", "bitmex-perp", DATED),
            ("BTCUSDT_QUARTER", "binance-usdm", DATED),
            ("BTCUSD_NEXT_QUARTER", "binance-usdm", DATED),
            ("BTCUSDT Quarterly 0628", "binance-usdm", DATED),
            ("FI_XBTUSD_240628", "kraken-linear", DATED),
            ("FF_XBTUSD_240628", "kraken-linear", DATED),
            ("CME:BTC1!", "", DATED),
            ("BTC-27JUN25-60000-C", "deribit-linear", OPTION),
            ("BTC-USD-240628-60000-P", "okx-linear", OPTION),
            ("BTC/USD:BTC-240628-60000-C", "", OPTION),
        ],
    )
    def test_of_a_contract_that_is_not_linear_is_told_by_its_name(self, written, venue, what):
        contract = read_symbol(written, venue)
        assert contract.refused == what
        assert refusal(written, contract, venue).startswith(f"{written} is {what}. ")

    @pytest.mark.parametrize("written", ["", "B", "a b", "BTC|USDT", "ビット", "x" * 31])
    def test_that_is_none_is_an_error(self, written):
        with pytest.raises(AmbiguousError, match="is not a symbol"):
            read_symbol(written)

    def test_of_the_other_market_is_refused(self):
        said = refusal("BTC/USDT:USDT", read_symbol("BTC/USDT:USDT"), "binance-spot")
        assert "is a linear perpetual contract by its name, and binance-spot is not. Pass the --venue" in said
        assert refusal("tBTCUSD", read_symbol("tBTCUSD"), "bitfinex-linear")
        assert not refusal("BTC/USDT:USDT", read_symbol("BTC/USDT:USDT"), "binance-usdm")
        assert not refusal("BTC/USDT:USDT", read_symbol("BTC/USDT:USDT"), "simulated")

    def test_is_written_compactly_and_an_inverse_one_never(self):
        assert compact("BTC/USDT:USDT") == compact("btc-usdt-swap") == compact("BTCUSDT") == "BTCUSDT"
        with pytest.raises(AmbiguousError, match="BTC/USD:BTC is an inverse contract"):
            compact("BTC/USD:BTC")


class TestAVenue:
    """Says with the last word of its token which market it is; without one nothing is sold short that may be spot."""

    @pytest.mark.parametrize(
        ("venue", "spot"),
        [
            *((name, True) for name in ("binance-spot", "kraken", "bitfinex", "coinbase", "binance", "newborn")),
            *((name, False) for name in ("binance-usdm", "bybit-linear", "okx-swap", "hyperliquid-perp", "binance-um")),
            *((name, False) for name in ("simulated", "simulated-2", "hyperliquid", "notebook", "binance-coinm")),
        ],
    )
    def test_is_spot_or_not(self, venue, spot):
        assert Instrument(venue, "BTCUSDT").is_spot is spot

    @pytest.mark.parametrize("venue", ["binance-coinm", "bybit-inverse", "okx-option", "binancecoinm", "htx-coin"])
    def test_of_other_contracts_is_known(self, venue):
        assert markets.why_refused(venue)

    @pytest.mark.parametrize(
        ("venue", "meant"),
        [
            ("binance-usdn", "binance-usdm"),
            ("binanec-usdm", "binance-usdm"),
            ("binace-spot", "binance-spot"),
            ("kraken-sopt", "kraken-spot"),
            ("bybitt", "bybit"),
        ],
    )
    def test_that_was_misspelt_is_told(self, venue, meant):
        assert markets.near_miss(venue) == f"Did you mean {meant!r}?"

    @pytest.mark.parametrize("venue", ["kraken", "bitget-linear", "bitso-spot", "myexchange-spot"])
    def test_that_is_right_or_new_is_left_alone(self, venue):
        assert markets.near_miss(venue) == ""
