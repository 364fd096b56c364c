"""Score buckets: what prices did after each score, and how sure that is."""

import numpy as np
import pytest

from tests.research.scenes import bars, market, walk, with_confluence
from virtuoso.clock import Env
from virtuoso.errors import ConfigError
from virtuoso.market.gaps import BRIDGED, UNKNOWN
from virtuoso.research.validation.quantiles import intervals, score_buckets
from virtuoso.signals.history import EDGES
from virtuoso.signals.moves import forward_returns


def of(table, low, horizon="15m"):
    return table[(table["horizon"] == horizon) & (table["low"] == low)][0]


def everything(table, horizon="15m"):
    return table[(table["horizon"] == horizon) & (table["high"] - table["low"] == 100.0)][0]


class TestForwardReturns:
    """From the open of the next bar to the close of the bar one horizon later."""

    FRAME = bars((10, 10, 10, 10), (20, 20, 20, 22), (30, 30, 30, 33), (40, 40, 40, 44), (50, 50, 50, 60))

    def test_by_hand(self):
        found = forward_returns(self.FRAME.base, self.FRAME.start, 5, 2)
        np.testing.assert_allclose(found[:3], [1e4 * (33 / 20 - 1), 1e4 * (44 / 30 - 1), 1e4 * (60 / 40 - 1)])
        assert np.isnan(found[3:]).all()

    def test_one_bar_ahead_is_the_next_bar_itself(self):
        assert forward_returns(self.FRAME.base, self.FRAME.start, 5, 1)[0] == pytest.approx(1e4 * (22 / 20 - 1))

    def test_never_looks_beyond_the_stretch(self):
        found = forward_returns(self.FRAME.base, self.FRAME.start, 3, 2)
        assert np.isfinite(found[0])
        assert np.isnan(found[1:]).all()

    def test_unknown_and_bridged_prices_are_not_prices(self):
        frame = market(3, bars=3_000)
        found = forward_returns(frame.base, frame.start, len(frame), 15)
        lost = np.isin(frame.base.state, (BRIDGED, UNKNOWN))
        assert np.isnan(found[:-15][lost[15:]]).all()
        assert np.isnan(found[:-1][lost[1:]]).all()
        known = ~lost[1:-14] & ~lost[15:]
        assert np.isfinite(found[:-15][known]).all()


class TestBuckets:
    """One row a horizon and bucket, against the same in pandas."""

    FRAME = market(4, bars=4_000)
    CONFLUENCE = np.where(
        np.random.default_rng(1).random(4_000) < 0.05,
        np.nan,
        np.clip(np.random.default_rng(2).normal(50, 18, 4_000), 0, 99.9),
    )

    def test_means_counts_and_shares_are_those_of_pandas(self):
        import pandas as pd

        table = score_buckets(with_confluence(self.FRAME, self.CONFLUENCE), ("15m", "1h"))
        for horizon, span in (("15m", 15), ("1h", 60)):
            data = pd.DataFrame(
                {"score": self.CONFLUENCE, "gain": forward_returns(self.FRAME.base, self.FRAME.start, 4_000, span)}
            ).dropna()
            groups = data.groupby(pd.cut(data["score"], EDGES, right=False, include_lowest=True), observed=False)[
                "gain"
            ]
            rows = table[table["horizon"] == horizon][:-1]
            np.testing.assert_array_equal(rows["bars"], groups.size())
            np.testing.assert_allclose(rows["mean_bp"], groups.mean())
            np.testing.assert_allclose(rows["up_share"], groups.agg(lambda gain: (gain > 0).mean()))
            assert everything(table, horizon)["mean_bp"] == pytest.approx(data["gain"].mean())

    def test_a_score_of_100_belongs_to_the_last_bucket_and_an_edge_to_the_upper_one(self):
        confluence = np.full(4_000, 68.0)
        confluence[:1_000] = 100.0
        table = score_buckets(with_confluence(self.FRAME, confluence), ("15m",))
        assert of(table, 75.0)["bars"] > 900
        assert of(table, 68.0)["bars"] > 2_000
        assert of(table, 60.0)["bars"] == 0

    def test_an_empty_bucket_is_not_known(self):
        row = of(score_buckets(with_confluence(self.FRAME, np.full(4_000, 50.0)), ("15m",)), 0.0)
        assert (row["bars"], row["windows"]) == (0, 0)
        assert np.isnan([row["mean_bp"], row["low_bp"], row["high_bp"], row["up_share"]]).all()

    def test_overlapping_returns_are_not_counted_as_independent(self):
        row = everything(score_buckets(with_confluence(self.FRAME, np.full(4_000, 50.0)), ("4h",)), "4h")
        assert row["bars"] > 3_000
        assert row["windows"] <= 4_000 // 240 + 2

    def test_too_few_blocks_give_no_interval(self):
        row = everything(score_buckets(with_confluence(self.FRAME, np.full(4_000, 50.0)), ("1d",)), "1d")
        assert np.isfinite(row["mean_bp"])
        assert np.isnan(row["low_bp"])

    def test_horizons_shorter_than_a_bar_are_left_out(self):
        hourly = bars(*[(p, p, p, p) for p in range(100, 140)], timeframe="1h")
        table = score_buckets(with_confluence(hourly, np.full(40, 50.0)))
        assert set(table["horizon"]) == {"1h", "4h", "1d"}

    def test_nothing_known_gives_an_empty_table_of_the_same_shape(self):
        table = score_buckets(with_confluence(self.FRAME, np.full(4_000, np.nan)))
        assert table["bars"].sum() == 0

    @pytest.mark.parametrize("edges", [(0, 100), (0, 60, 50, 100), (10, 50, 100), (0, 50, 90)])
    def test_impossible_edges_are_refused(self, edges):
        with pytest.raises(ConfigError, match="increase from 0 to 100"):
            score_buckets(with_confluence(self.FRAME, self.CONFLUENCE), edges=edges)


class TestTheInterval:
    """A block bootstrap, seeded, that knows overlapping returns for what they are."""

    def test_the_same_seed_gives_the_same_interval_and_another_one_nearly(self):
        scores = with_confluence(walk(1, 6_000), np.random.default_rng(3).uniform(0, 100, 6_000))
        tables = [score_buckets(scores, ("15m",), env=Env(seed=seed)) for seed in (5, 5, 6)]
        assert tables[0].tobytes() == tables[1].tobytes()
        assert tables[0].tobytes() != tables[2].tobytes()
        width = [everything(table)["high_bp"] - everything(table)["low_bp"] for table in tables]
        assert width[0] == pytest.approx(width[2], rel=0.2)

    def test_it_is_as_wide_as_disjoint_returns_are_uncertain(self):
        frame = walk(2, 20_000)
        row = everything(score_buckets(with_confluence(frame, np.full(20_000, 50.0)), ("1h",)), "1h")
        disjoint = forward_returns(frame.base, frame.start, 20_000, 60)[::60]
        disjoint = disjoint[np.isfinite(disjoint)]
        expected = 2 * 1.96 * disjoint.std(ddof=1) / np.sqrt(len(disjoint))
        assert row["high_bp"] - row["low_bp"] == pytest.approx(expected, rel=0.25)
        pretended = expected / np.sqrt(60)  # had 20,000 overlapping returns been taken for independent
        assert row["high_bp"] - row["low_bp"] > 4 * pretended

    @pytest.mark.parametrize(("blocks", "holding", "wider"), [(10, 10, 1.0), (30, 30, 1.0), (60, 20, 1.015)])
    def test_few_blocks_widen_it_as_student_says(self, blocks, holding, wider):
        """By the blocks that hold the bucket. Ten blocks at 1.96 deviations would give an interval of 92 %."""
        from scipy import stats

        random, width, covered = np.random.default_rng(blocks), [], []
        for _ in range(6):  # each draws other blocks for all of its means
            sums, counts = np.zeros((blocks, 400)), np.zeros((blocks, 400), dtype=np.int64)
            sums[:holding], counts[:holding] = random.standard_normal((holding, 400)), 1
            low, high = intervals(sums, counts, random)
            own = sums[:holding]
            deviation = own.std(axis=0, ddof=1) / np.sqrt(holding)
            width.append((high - low) / (2.0 * stats.t.ppf(0.975, holding - 1) * deviation))
            covered.append((low <= 0.0) & (high >= 0.0))
        assert np.mean(width) == pytest.approx(wider, abs=0.015)
        assert np.mean(covered) == pytest.approx(0.95, abs=0.015)

    def test_it_covers_the_truth_about_95_times_in_100(self):
        """Worlds without any relation, with scores that hold on for hours: true mean 0."""
        inside = total = 0
        for seed in range(60):
            random = np.random.default_rng(1_000 + seed)
            confluence = 50.0 + 30.0 * np.sin(np.cumsum(random.normal(0.0, 0.05, 6_000)))
            table = score_buckets(with_confluence(walk(seed, 6_000), confluence), ("1h",), (0, 32, 50, 68, 100))
            rows = table[np.isfinite(table["low_bp"])][:-1]
            inside += int(((rows["low_bp"] <= 0.0) & (rows["high_bp"] >= 0.0)).sum())
            total += len(rows)
        assert total > 150
        assert 0.86 <= inside / total <= 0.99

    def test_a_planted_edge_is_seen(self):
        frame = walk(3, 8_000)
        gained = forward_returns(frame.base, frame.start, 8_000, 15)
        confluence = np.where(np.nan_to_num(gained) > 0.0, 70.0, 30.0)
        table = score_buckets(with_confluence(frame, confluence), ("15m",))
        assert of(table, 68.0)["low_bp"] > 0.0
        assert of(table, 25.0)["high_bp"] < 0.0
        assert of(table, 68.0)["up_share"] == 1.0
