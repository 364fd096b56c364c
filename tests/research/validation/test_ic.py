"""Information: correlations of scores with what prices did next, the money by bucket, and the cost beside them."""

import numpy as np
import pytest

from tests.research.scenes import bars, market, walk, with_confluence
from virtuoso.clock import Env
from virtuoso.errors import ConfigError
from virtuoso.research.validation.ic import BEYOND_ONE, information, windows_to_see
from virtuoso.signals.moves import forward_returns

FRAME = market(4, bars=6_000)


def of(found, name, horizon="15m"):
    return found.rows[(found.rows["name"] == name) & (found.rows["horizon"] == horizon)][0]


def foresight(frame, share, horizon=15, seed=5):
    """A score that knows a share of the return that follows, which no real one may."""
    gained = forward_returns(frame.base, frame.start, len(frame), horizon)
    noise = np.random.default_rng(seed).normal(0.0, np.nanstd(gained), len(gained))
    known = share * np.nan_to_num(gained) + (1.0 - share) * noise
    return 50.0 + 40.0 * known / np.sqrt(known * known + np.nanstd(gained) ** 2)


class TestTheCoefficient:
    """Spearman's rank correlation with the forward return of the score buckets."""

    def test_is_that_of_scipy(self):
        from scipy.stats import spearmanr

        scores = with_confluence(FRAME, foresight(FRAME, 0.3))
        gained = forward_returns(FRAME.base, FRAME.start, len(FRAME), 15)
        both = np.isfinite(gained) & np.isfinite(scores.confluence)
        expected = spearmanr(scores.confluence[both], gained[both]).statistic
        assert of(information(scores), "confluence")["ic"] == pytest.approx(expected, abs=1e-9)

    def test_foresight_is_found_and_its_opposite_has_the_opposite_sign(self):
        seen = foresight(FRAME, 0.5)
        one, other = (of(information(with_confluence(FRAME, s)), "confluence") for s in (seen, 100.0 - seen))
        assert one["low"] > 0.1
        assert other["ic"] == pytest.approx(-one["ic"], abs=1e-9)

    def test_a_constant_score_knows_nothing_and_says_so(self):
        found = of(information(with_confluence(FRAME, np.full(len(FRAME), 61.0))), "confluence")
        assert np.isnan(found["ic"])
        assert np.isnan(found["low"])


class TestTheInterval:
    """Blocks of time, not bars: returns of neighbouring bars share their path."""

    def test_holds_zero_in_about_nineteen_of_twenty_markets_without_knowledge(self):
        """A slow score and overlapping returns: an interval of independent bars would miss 0 far more often."""
        missed = 0
        for seed in range(40):
            frame = walk(seed, 3_000)
            random = np.random.default_rng([seed, 2])
            slow = np.convolve(random.standard_normal(len(frame) + 59), np.ones(60) / 60.0, "valid")
            row = of(information(with_confluence(frame, 50.0 + 100.0 * slow), ["15m"]), "confluence")
            missed += row["low"] > 0.0 or row["high"] < 0.0
        assert missed <= 6

    def test_is_not_testable_on_few_blocks(self):
        short = market(4, bars=300)
        row = of(information(with_confluence(short, foresight(short, 0.5)), ["1h"]), "confluence", "1h")
        assert np.isnan(row["low"])

    def test_is_the_same_for_the_same_seed(self):
        scores = with_confluence(FRAME, foresight(FRAME, 0.2))
        assert information(scores).rows.tobytes() == information(scores, env=Env(seed=0)).rows.tobytes()


class TestTheTable:
    """Confluence, faces and components, as measured."""

    def test_says_how_many_intervals_chance_alone_would_clear(self):
        found = information(with_confluence(FRAME, foresight(FRAME, 0.5)))
        assert found.by_chance == pytest.approx(0.05 * found.tested)
        assert "chance alone" in repr(found)
        assert found.to_dict()["tested"] == found.tested
        assert list(found.to_pandas().columns) == list(found.rows.dtype.names)

    def test_leaves_out_what_was_never_known(self):
        names = set(information(with_confluence(FRAME, foresight(FRAME, 0.5))).rows["name"])
        assert "confluence" in names
        assert not any(name.startswith("orderbook") for name in names)

    def test_prints_both_coefficients_the_money_and_the_cost_on_one_screen(self):
        found = information(with_confluence(FRAME, foresight(FRAME, 0.5)))
        text = repr(found)
        for words in (
            "Rank IC / linear IC",
            "Mean return in bp after",
            "Cost beside the move",
            "round trip as a taker",
        ):
            assert words in text
            assert words in found._repr_html_()
        assert max(map(len, text.splitlines())) <= 100
        assert len(text.splitlines()) <= 40


class TestTheLinearCoefficient:
    """Pearson's, with the return in deviations known at the bar, clipped at three."""

    def test_is_that_of_scipy_on_returns_scaled_by_pandas(self):
        import pandas as pd
        from scipy.stats import pearsonr

        scores = with_confluence(FRAME, foresight(FRAME, 0.3))
        closes = pd.Series(FRAME.base.columns["close"][-len(FRAME) :])
        opens = pd.Series(FRAME.base.columns["open"][-len(FRAME) :])
        returns = closes.pct_change(fill_method=None)
        sd = (returns**2).rolling(300, min_periods=225).mean() ** 0.5 * 15**0.5
        sd[:300] = np.nan  # a whole period is needed
        moves = closes.shift(-15) / opens.shift(-1) - 1.0
        money = (moves / sd).clip(-3.0, 3.0)
        both = money.notna() & np.isfinite(scores.confluence)
        row = of(information(scores, ["15m"]), "confluence")
        known = np.isfinite(FRAME.base.columns["close"]).all()
        expected = pearsonr(scores.confluence[both], money[both]).statistic
        assert row["linear"] == pytest.approx(expected, abs=1e-9 if known else 0.01)
        assert row["linear_low"] < row["linear"] < row["linear_high"]

    def test_and_the_rank_coefficient_disagree_where_few_gains_are_large(self):
        """A trend follower: of the moves after a high score four in five are small losses, the rest large gains."""
        random = np.random.default_rng(3)
        score = np.where(random.random(6_000) < 0.5, 80.0, 20.0)
        move = np.where(random.random(6_000) < 0.8, -0.0003, 0.0024) * np.where(score > 50.0, 1.0, -1.0)
        close = 100.0 * np.cumprod(np.concatenate(([1.0], 1.0 + move[:-1])))
        after = np.concatenate((close[1:], close[-1:]))
        table = np.column_stack((close, np.maximum(close, after), np.minimum(close, after), after))
        frame = bars(*table, venue="simulated")
        row = of(information(with_confluence(frame, np.roll(score, -1)), ["1m"]), "confluence", "1m")
        assert row["high"] < 0.0
        assert row["linear_low"] > 0.0
        assert "wrong way round in hits and not in money" in repr(
            information(with_confluence(frame, np.roll(score, -1)), ["1m"])
        )

    def test_an_information_is_drawn_with_both(self):
        import matplotlib as mpl

        mpl.use("agg")
        import virtuoso as vt

        axes = vt.information(with_confluence(FRAME, foresight(FRAME, 0.5))).plot()
        assert [text.get_text() for text in axes.get_legend().get_texts()][:2] == ["rank IC: hits", "linear IC: money"]


class TestTheCostBesideIt:
    """Where trading beyond one deviation, held one horizon, earns a round trip; and how long it takes to see that."""

    @pytest.mark.parametrize(
        ("sd", "cost", "needed", "windows"),
        [
            (58.0, 14.0, 0.158, 160),
            (100.0, 14.0, 0.0918, 475),
            (183.0, 14.0, 0.0502, 1_590),
            (58.0, 4.0, 0.0452, 1_956),
        ],
    )
    def test_is_that_of_the_normal_tail(self, sd, cost, needed, windows):
        from scipy.stats import norm

        assert norm.expect(lambda z: z, lb=1.0, conditional=True) == pytest.approx(BEYOND_ONE, abs=1e-6)
        coefficient = cost / (BEYOND_ONE * sd)
        assert coefficient == pytest.approx(needed, abs=5e-4)
        assert windows_to_see(coefficient) == pytest.approx(windows, rel=0.01)

    def test_is_that_of_the_terms_given(self):
        scores = with_confluence(FRAME, foresight(FRAME, 0.5))
        found = information(scores, ["1h"], taker=0.001, slippage=0.0, assume_funding=0.0002)
        row = found.break_even[0]
        assert row["round_trip_bp"] == pytest.approx(20.0)
        assert row["funding_bp"] == pytest.approx(0.25)
        gained = forward_returns(FRAME.base, FRAME.start, len(FRAME), 60)
        assert row["sd_bp"] == pytest.approx(np.nanstd(gained))
        assert row["needed_ic"] == pytest.approx(20.0 / (BEYOND_ONE * row["sd_bp"]))
        assert row["enough"] == (row["windows"] >= row["needed_windows"])

    def test_funding_that_nobody_recorded_is_not_known_and_spot_pays_none(self):
        scores = with_confluence(market(4, bars=600, venue="binance-usdm"), np.full(600, 60.0))
        assert np.isnan(information(scores, ["15m"]).costs.funding)
        spot = with_confluence(market(4, bars=600, venue="binance-spot"), np.full(600, 60.0))
        assert information(spot, ["15m"]).costs.funding == 0.0

    @pytest.mark.parametrize(
        ("how", "said"),
        [({"taker": 5.0}, "taker is a share"), ({"slippage": -0.1}, "slippage is a share"),
         ({"assume_funding": 3.0}, "rate per eight hours"), ({"horizons": ["1s"]}, "as long as a bar")],
    )  # fmt: skip
    def test_terms_that_are_none_are_refused(self, how, said):
        with pytest.raises(ConfigError, match=said):
            information(with_confluence(FRAME, foresight(FRAME, 0.5)), **how)


class TestTheBuckets:
    """Mean returns by bucket of each score: of the confluence those of the score buckets."""

    def test_of_the_confluence_are_the_score_buckets(self):
        from virtuoso.research.validation.quantiles import score_buckets

        scores = with_confluence(FRAME, foresight(FRAME, 0.3))
        found, alone = information(scores, ["15m"]).buckets["confluence"], score_buckets(scores, ["15m"])
        for name in ("low", "high", "bars", "windows", "mean_bp", "up_share"):
            assert np.array_equal(found[name], alone[name], equal_nan=True), name
        known = np.isfinite(alone["low_bp"])
        assert found["low_bp"][known] == pytest.approx(alone["low_bp"][known], rel=0.15, abs=1.0)
