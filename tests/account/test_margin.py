"""Margin: the worked examples that venues publish."""

import numpy as np
import pytest

from virtuoso.account.margin import Tiers, bybit_liquidation_price, liquidation_price
from virtuoso.errors import ConfigError

WALLET = 1_535_443.01
ETH = {"size": 3_683.979, "entry": 1_456.84, "mark": 1_335.18, "rate": 0.10, "deduction": 135_365.0}
BTC = {"size": 109.488, "entry": 32_481.98, "mark": 31_967.27, "rate": 0.025, "deduction": 16_300.0}


def tier(leg):
    """The one tier of the example, whatever the notional."""
    return np.array([[0.0], [leg["rate"]], [leg["deduction"]]])


def others(leg, side=1.0):
    size = side * leg["size"]
    upnl = size * (leg["mark"] - leg["entry"])
    return upnl - (leg["size"] * leg["mark"] * leg["rate"] - leg["deduction"])


class TestBinance:
    """The example of Binance's liquidation FAQ: a wallet with two long positions."""

    @pytest.mark.parametrize(("leg", "expected"), [(ETH, 1_114.78), (BTC, 18_778.73)])
    def test_isolated(self, leg, expected):
        assert liquidation_price(tier(leg), leg["size"], leg["entry"], WALLET, 0.0) == pytest.approx(
            expected, abs=0.005
        )

    @pytest.mark.parametrize(("leg", "other", "expected"), [(ETH, BTC, 1_153.26), (BTC, ETH, 26_316.89)])
    def test_cross(self, leg, other, expected):
        found = liquidation_price(tier(leg), leg["size"], leg["entry"], WALLET, others(other))
        assert found == pytest.approx(expected, abs=0.005)

    def test_maintenance_of_the_other_leg(self):
        assert ETH["size"] * ETH["mark"] * ETH["rate"] - ETH["deduction"] == pytest.approx(356_512.508, abs=0.001)
        assert BTC["size"] * BTC["mark"] * BTC["rate"] - BTC["deduction"] == pytest.approx(71_200.81144, abs=0.00001)

    def test_cross_with_a_short_leg_counts_its_profit_with_its_own_sign(self):
        found = liquidation_price(tier(ETH), ETH["size"], ETH["entry"], WALLET, others(BTC, side=-1.0))
        assert found == pytest.approx(1_119.26, abs=0.005)

    def test_at_the_price_equity_is_the_maintenance(self):
        tiers = Tiers.of([0, 50_000, 250_000, 1_000_000], [0.004, 0.005, 0.01, 0.025])
        for size, entry, wallet in ((2.0, 30_000.0, 4_000.0), (-9.0, 40_000.0, 30_000.0), (40.0, 30_000.0, 90_000.0)):
            price = liquidation_price(tiers.table, size, entry, wallet, 0.0)
            equity = wallet + size * (price - entry)
            assert equity == pytest.approx(tiers.maintenance(abs(size) * price), rel=1e-9)

    def test_a_position_without_leverage_is_never_liquidated(self):
        assert np.isnan(liquidation_price(Tiers.of([0], [0.005]).table, 1.0, 100.0, 100.0, 0.0))
        assert np.isnan(liquidation_price(Tiers.of([0], [0.005]).table, 0.0, 100.0, 100.0, 0.0))


class TestBybit:
    """The example of Bybit's help page: 1 BTC at 20,000 with 50x and a maintenance rate of 0.5 %."""

    TIERS = Tiers.of([0], [0.005]).table

    def test_long_and_short(self):
        assert bybit_liquidation_price(self.TIERS, 1.0, 20_000.0, 50.0, 0.0) == pytest.approx(19_700.0)
        assert bybit_liquidation_price(self.TIERS, -1.0, 20_000.0, 50.0, 0.0) == pytest.approx(20_300.0)

    def test_added_margin_moves_it_away(self):
        assert bybit_liquidation_price(self.TIERS, 1.0, 20_000.0, 50.0, 3_000.0) == pytest.approx(16_700.0)


class TestTiers:
    """Maintenance rises without jumps."""

    TIERS = Tiers.of([0, 50_000, 250_000, 1_000_000], [0.004, 0.005, 0.01, 0.025])

    def test_deductions_follow_from_floors_and_rates(self):
        assert self.TIERS.deduction.tolist() == pytest.approx([0.0, 50.0, 1_300.0, 16_300.0])

    @pytest.mark.parametrize("floor", [50_000.0, 250_000.0, 1_000_000.0])
    def test_is_continuous_at_the_edge_of_a_tier(self, floor):
        assert self.TIERS.maintenance(floor) == pytest.approx(self.TIERS.maintenance(floor - 1e-6), abs=1e-6)

    @pytest.mark.parametrize(
        ("floors", "rates"), [([1], [0.01]), ([0, 10, 5], [0.1, 0.2, 0.3]), ([0, 10], [0.2, 0.1]), ([0], [1.0])]
    )
    def test_refuses_what_is_no_table(self, floors, rates):
        with pytest.raises(ConfigError, match="Maintenance tiers"):
            Tiers.of(floors, rates)
