"""Terms: configuration, command line and venue's rules as one account."""

import numpy as np
import pytest

from virtuoso.account.instrument import Instrument
from virtuoso.account.risk import Rules
from virtuoso.account.settings import RiskSettings, TradingSettings
from virtuoso.errors import ConfigError
from virtuoso.market.events import events_of, no_events
from virtuoso.market.schema.kinds import KINDS
from virtuoso.research.backtest.account import MARGIN_ROOM, account_from, funding_terms, rules_at, tiers_at

PERPETUAL, SPOT = Instrument("binance-usdm", "BTCUSDT"), Instrument("binance-spot", "BTCUSDT")


def account(*instruments, **told):
    return account_from(TradingSettings(), RiskSettings(), instruments or (PERPETUAL,), **told)


class TestAccount:
    """What is not said is what configuration says."""

    def test_takes_the_settings(self):
        made = account()
        assert (made.limits.base_size, made.limits.max_positions) == (0.01, 10)
        assert (made.limits.heat, made.limits.correlation, made.limits.max_drawdown) == (0.25, 0.7, 0.15)

    def test_what_is_said_wins(self):
        made = account(risk=0.02, cash=500.0, leverage=2.0, margin="cross", trail=1.5, halt=True,
                       reset_halt=7)  # fmt: skip
        assert (made.limits.base_size, made.cash, made.leverage, made.isolated) == (0.02, 500.0, 2.0, False)
        assert (made.trail, made.reset_halt) == (1.5, 7)

    def test_one_fee_stands_for_both_unless_one_is_said(self):
        both = account(fees=0.001)
        assert (both.maker, both.taker) == (0.001, 0.001)
        one = account(fees=0.001, maker=0.0)
        assert (one.maker, one.taker) == (0.0, 0.001)

    def test_fees_and_the_next_open_fit_beside_what_backs_positions(self):
        assert account(leverage=2.0).limits.max_leverage == 2.0 * MARGIN_ROOM
        assert account(leverage=20.0).limits.max_leverage == TradingSettings().max_leverage

    def test_spot_alone_knows_no_leverage(self):
        made = account(SPOT, leverage=5.0)
        assert made.leverage == 1.0
        assert made.limits.max_leverage == MARGIN_ROOM
        assert account(SPOT, PERPETUAL, leverage=5.0).leverage == 5.0

    def test_a_margin_mode_that_there_is_not(self):
        with pytest.raises(ConfigError, match="Did you mean 'isolated'"):
            account(margin="isolate")


class TestFunding:
    """What may stand for what is not known."""

    def test_nothing_is_assumed_unless_it_is_said(self):
        terms = funding_terms(None, None)
        assert terms.assume is None
        assert not terms.mark_is_last

    def test_only_the_last_price_stands_for_the_mark(self):
        assert funding_terms(0.0001, "last").mark_is_last
        with pytest.raises(ConfigError, match="--mark last"):
            funding_terms(0.0001, "index")

    def test_a_rate_in_percent_is_refused(self):
        with pytest.raises(ConfigError, match="for one basis point"):
            funding_terms(1.0, None)


class TestRules:
    """Steps and least sizes as they were in force."""

    def events(self):
        columns = {name: np.full(3, 0.0) for name in KINDS["instruments"].columns}
        columns["size_step"] = np.array([0.1, 0.01, np.nan])
        columns["min_notional"] = np.array([5.0, 10.0, 20.0])
        return events_of(KINDS["instruments"], np.array([1_000, 2_000, 3_000]), columns)

    @pytest.mark.parametrize(
        ("at", "expected"),
        [(500, Rules(0.1, 0.0, 5.0)), (1_000, Rules(0.1, 0.0, 5.0)), (2_500, Rules(0.01, 0.0, 10.0)),
         (9_000, Rules(0.0, 0.0, 20.0))],
    )  # fmt: skip
    def test_are_the_last_known_then_or_the_first_ever(self, at, expected):
        assert rules_at(self.events(), at) == expected

    def test_are_none_where_the_venue_is_silent(self):
        assert rules_at(no_events(KINDS["instruments"]), 0) is None


class TestTiers:
    """Maintenance tiers as they were in force: a table is replaced as a whole."""

    def events(self):
        columns = {"floor": [50.0, 0.0, 80.0, 0.0], "rate": [0.01, 0.005, 0.02, 0.01], "leverage": [50.0] * 4}
        times = np.array([1_000, 1_000, 2_000, 2_000])
        return events_of(KINDS["tiers"], times, {name: np.array(values) for name, values in columns.items()})

    @pytest.mark.parametrize(
        ("at", "floors", "rates"),
        [(500, [0.0, 50.0], [0.005, 0.01]), (1_999, [0.0, 50.0], [0.005, 0.01]), (2_000, [0.0, 80.0], [0.01, 0.02])],
    )
    def test_are_those_of_the_last_answer_then_or_of_the_first_ever(self, at, floors, rates):
        found = tiers_at(self.events(), at)
        assert (found.floor.tolist(), found.rate.tolist()) == (floors, rates)

    def test_are_none_where_the_venue_is_silent(self):
        assert tiers_at(no_events(KINDS["tiers"]), 0) is None
