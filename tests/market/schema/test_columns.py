"""The data dictionary: what each column is in other units and in the mirror."""

import numpy as np
import pytest

from tests.builders import market
from virtuoso.market.schema.columns import BOOK_COLUMNS, COLUMNS, FLOW_COLUMNS, POSITIONING_COLUMNS, mirrored, scaled

FRAME = market(lit=True, bars=2_000, gaps=False)
CARRIED = FRAME.base.columns


class TestTheMirror:
    """Turned twice, the market is the same."""

    @pytest.mark.parametrize("name", COLUMNS)
    def test_twice_is_the_column_itself(self, name):
        twice = mirrored(mirrored(CARRIED, 100.0), 100.0)
        np.testing.assert_allclose(twice[name], CARRIED[name], rtol=1e-9)

    def test_exchanges_the_sides(self):
        other = mirrored(CARRIED, 100.0)
        np.testing.assert_array_equal(other["bid_depth_50bp"], CARRIED["ask_depth_50bp"])
        np.testing.assert_array_equal(other["large_buy_volume"], CARRIED["large_sell_volume"])
        np.testing.assert_allclose(other["bid"], 200.0 - CARRIED["ask"])

    def test_of_a_column_whose_other_side_is_not_carried_is_not_known(self):
        """Bars without a count of trades, and trades recorded beside them."""
        some = {name: values for name, values in CARRIED.items() if name not in ("trades", "ask_depth_50bp")}
        other = mirrored(some, 100.0)
        assert np.isnan(other["taker_buy_trades"]).all()
        assert np.isnan(other["bid_depth_50bp"]).all()
        assert other.keys() == some.keys()


class TestUnits:
    """Exponents say by how much a column grows with prices and volumes."""

    @pytest.mark.parametrize(
        ("name", "factor"), [("close", 8.0), ("volume", 4.0), ("ofi_best", 32.0), ("spread", 8.0), ("micro_lean", 1.0),
                             ("open_interest", 4.0), ("funding_rate", 1.0), ("trades", 1.0)],
    )  # fmt: skip
    def test_prices_by_eight_and_volumes_by_four(self, name, factor):
        np.testing.assert_array_equal(scaled(CARRIED, 8.0, 4.0)[name], factor * CARRIED[name])


@pytest.mark.parametrize("family", [FLOW_COLUMNS, BOOK_COLUMNS, POSITIONING_COLUMNS])
def test_every_column_says_what_it_is(family):
    for column in family.values():
        assert column.source.endswith(".")
        assert column.kind != "bars"
