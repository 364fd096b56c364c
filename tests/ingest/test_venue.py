"""The venue of an import: a token that names its market."""

import pytest

from virtuoso.errors import AmbiguousError, ConfigError
from virtuoso.ingest.venue import venue_of


class TestAVenueToken:
    """Names its market, or the caller does once; the lake remembers."""

    @pytest.mark.parametrize(
        "said", ["binance-usdm", "kraken-spot", "okx-swap", "simulated", "hyperliquid", "new-perp"]
    )
    def test_with_a_market_is_taken_as_it_is(self, said):
        assert venue_of(said, None, ()) == (said, "")

    @pytest.mark.parametrize("said", ["kraken", "bitfinex", "binance", "newborn"])
    def test_without_one_needs_it(self, said):
        with pytest.raises(
            AmbiguousError, match=f"'{said}' does not say its market.*Pass --market spot or --market lin"
        ):
            venue_of(said, None, ())

    @pytest.mark.parametrize("market", ["spot", "linear"])
    def test_is_completed_by_what_the_caller_says(self, market):
        assert venue_of("kraken", market, ()) == (f"kraken-{market}", f"stored as kraken-{market}")

    def test_is_completed_by_what_the_lake_holds(self):
        assert venue_of("kraken", None, {"kraken-spot", "binance-usdm"}) == (
            "kraken-spot",
            "stored as kraken-spot, which the lake holds",
        )

    @pytest.mark.parametrize("said", ["binance-futures", "binance-perp", "binance-linear"])
    def test_of_a_market_that_the_lake_calls_otherwise_is_that(self, said):
        assert venue_of(said, None, {"binance-usdm", "binance-spot"})[0] == "binance-usdm"
        assert venue_of(said, None, {"binance-spot"})[0] == said

    def test_that_the_lake_holds_twice_is_ambiguous(self):
        with pytest.raises(AmbiguousError, match="'kraken' may be kraken-perp or kraken-spot"):
            venue_of("kraken", None, {"kraken-spot", "kraken-perp"})

    def test_of_an_older_lake_goes_on(self):
        assert venue_of("bitfinex", None, {"bitfinex", "bitfinex-spot"}) == ("bitfinex", "")

    @pytest.mark.parametrize("said", ["binance-coinm", "bybit-inverse", "deribit-option"])
    def test_of_other_contracts_is_refused_by_name(self, said):
        with pytest.raises(AmbiguousError, match=f"{said} trades "):
            venue_of(said, None, ())

    @pytest.mark.parametrize(("said", "meant"), [("binance-usdn", "binance-usdm"), ("binanse-spot", "binance-spot")])
    def test_that_was_misspelt_is_told(self, said, meant):
        with pytest.raises(AmbiguousError, match=f"Did you mean '{meant}'"):
            venue_of(said, None, ())

    def test_that_looks_misspelt_may_be_right(self):
        assert venue_of("binanse-spot", "spot", ())[0] == "binanse-spot"

    @pytest.mark.parametrize(("said", "market"), [("kraken-spot", "linear"), ("kraken", "inverse")])
    def test_and_market_must_agree(self, said, market):
        with pytest.raises(ConfigError, match="--market"):
            venue_of(said, market, ())
