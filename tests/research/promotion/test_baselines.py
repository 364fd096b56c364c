"""What a winner is held against: no baseline knows the future, and each pays what it trades."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtuoso.errors import ConfigError
from virtuoso.research.promotion.baselines import held, of_backtest, past_return

CLOSES = 100.0 * np.exp(np.cumsum(0.02 * np.random.default_rng(1).standard_normal((120, 3)), axis=0))


class TestAPlainPastReturn:
    """Long what rose and short what fell over the time that the winner holds, for as long."""

    def test_by_hand(self):
        closes = np.array([[100.0], [110.0], [121.0], [108.9], [98.01]])
        made = past_return(closes, 1.0, 0.001)
        assert np.isnan(made[:2]).all()  # the first direction is known at the end of the second day
        assert made[2:] == pytest.approx([0.10 - 0.001, -0.10, 0.10 - 0.002])  # enters, holds, turns around

    @given(cut=st.integers(10, 110), hold=st.sampled_from([1.0, 2.4, 7.0]))
    def test_knows_nothing_of_later_days(self, cut, hold):
        other = CLOSES.copy()
        other[cut:] *= np.exp(np.random.default_rng(2).standard_normal(other[cut:].shape))
        before, after = (past_return(closes, hold, 0.0007)[:cut] for closes in (CLOSES, other))
        assert np.array_equal(before, after, equal_nan=True)

    def test_holds_as_long(self):
        """Of ten days a tenth of the position is renewed each day, so that it turns over a tenth at most."""
        dear, free = past_return(CLOSES, 10.0, 0.01), past_return(CLOSES, 10.0, 0.0)
        traded = (free - dear)[30:] / 0.01
        assert traded.max() <= 0.2 + 1e-9
        assert traded.min() >= 0.0

    def test_what_is_not_known_is_not_traded(self):
        closes = CLOSES.copy()
        closes[:50, 2] = np.nan
        assert np.isfinite(past_return(closes, 2.0, 0.001)[10:]).all()

    def test_an_unknown_holding_time(self):
        with pytest.raises(ConfigError, match="held as long"):
            past_return(CLOSES, float("nan"), 0.0)


def test_holding_is_the_mean_change():
    made = held(np.array([[100.0, 50.0], [110.0, 50.0], [110.0, np.nan]]))
    assert np.isnan(made[0])
    assert made[1:] == pytest.approx([0.05, 0.0])


def test_comparisons_of_a_backtest():
    figures = {
        "strategy": {"total_return": 0.2, "sharpe": 1.0}, "inverted": {"total_return": -0.3, "sharpe": None},
        "buy_and_hold": {"total_return": 0.5, "sharpe": 0.8}, "faces_alone": {"technical": {"total_return": 0.1}},
        "random_entries": {"draws": 1_000, "mean": -50.0, "percentile": 0.97},
    }  # fmt: skip
    found = {one.name: one for one in of_backtest(figures, 1_000.0)}
    assert list(found) == ["the winner", "inverted", "buy and hold", "technical alone", "random entries"]
    assert np.isnan(found["inverted"].sharpe)
    assert found["random entries"].net == pytest.approx(-0.05)
    assert "beats 97%" in found["random entries"].words
    assert of_backtest({}, 1.0) == ()
