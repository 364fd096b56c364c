"""Information coefficients: rank correlation of scores with what prices did next."""

import numpy as np
import pytest

from tests.research.scenes import market, walk, with_confluence
from virtuoso.clock import Env
from virtuoso.research.validation.ic import information
from virtuoso.research.validation.quantiles import forward_returns

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
