"""Features of many snapshots at once."""

import numpy as np
import pytest

from virtuoso.errors import DataError
from virtuoso.market.features.book.snapshots import FEATURES, snapshot_features
from virtuoso.market.schema.columns import BANDS, BOOK_COLUMNS


def books(seed: int = 1, n: int = 300, levels: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Books around a wandering middle, some so deep that every band ends inside."""
    random = np.random.default_rng(seed)
    middle = 100.0 + np.cumsum(0.001 * random.standard_normal(n))
    steps = np.cumsum(random.gamma(1.0, 0.3, (n, 2, levels)), axis=2) + 0.001
    return middle[:, None, None] + np.array([-1.0, 1.0])[:, None] * steps, random.gamma(2.0, 1.0, (n, 2, levels))


def numpy_features(prices, sizes) -> dict[str, np.ndarray]:
    """The same, an array at a time."""
    bid, ask, bids, asks = prices[:, 0, 0], prices[:, 1, 0], sizes[:, 0, 0], sizes[:, 1, 0]
    middle, notional = (bid + ask) / 2.0, prices * sizes
    away = np.abs(prices - middle[:, None, None])
    reach = 0.001 * middle + (ask - bid)
    near = (notional * np.maximum(1.0 - away / reach[:, None, None], 0.0)).sum(axis=2)
    made = {
        "spread": ask - bid,
        "micro_lean": (bids - asks) / (bids + asks) / 2.0,
        "book_lean": (near[:, 0] - near[:, 1]) / (near[:, 0] + near[:, 1]),
    }
    for band, share in BANDS.items():
        inside = np.where(away <= (share * middle)[:, None, None], notional, 0.0).sum(axis=2)
        made[f"bid_depth_{band}"], made[f"ask_depth_{band}"] = inside.T
    return made


class TestFeatures:
    """Are those of the fold, by the same names."""

    @pytest.mark.parametrize("levels", [1, 6, 20, 45], ids="{} levels".format)
    def test_agree_with_numpy(self, levels):
        prices, sizes = books(levels=levels)
        found = snapshot_features(prices, sizes)
        for name, expected in numpy_features(prices, sizes).items():
            assert found[name] == pytest.approx(expected, rel=1e-12, abs=1e-12), name

    def test_have_names_of_the_data_dictionary(self):
        assert set(FEATURES) <= set(BOOK_COLUMNS)

    def test_do_not_change_when_books_are_read_alone(self):
        prices, sizes = books(n=20)
        alone = [snapshot_features(prices[i : i + 1], sizes[i : i + 1]) for i in range(20)]
        together = snapshot_features(prices, sizes)
        assert all((together[name] == np.concatenate([one[name] for one in alone])).all() for name in FEATURES)

    def test_do_not_change_when_books_are_cut_deeper(self):
        """Levels that are not there are the same as no levels, whether they are added a row or five at a time."""
        prices, sizes = books(levels=17)
        padded = [np.pad(array, ((0, 0), (0, 0), (0, 8)), constant_values=np.nan) for array in (prices, sizes)]
        short, deep = snapshot_features(prices, sizes), snapshot_features(*padded)
        assert all((short[name] == deep[name]).all() for name in FEATURES)

    def test_are_not_known_of_a_crossed_or_one_sided_book(self):
        prices, sizes = books(n=4)
        prices[0] = prices[0, ::-1]
        prices[1, 0], prices[2, 1, 5:] = np.nan, np.nan
        found = snapshot_features(prices, sizes)
        assert np.isfinite(np.stack(list(found.values()))).all(axis=0).tolist() == [False, False, True, True]
        assert found["ask_depth_500bp"][2] == pytest.approx((prices[2, 1, :5] * sizes[2, 1, :5]).sum())

    def test_need_books(self):
        with pytest.raises(DataError, match=r"\(n_books, 2, n_levels\)"):
            snapshot_features(np.ones((3, 20)), np.ones((3, 20)))
