"""The orderbook face against the definitions of its sources and slow Python twins."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.builders import columns, light
from tests.oracles.tables import agree
from virtuoso.market.schema.columns import BANDS
from virtuoso.prism.faces.orderbook import (
    MPI,
    OBPS,
    OFI,
    AbsorptionExhaustion,
    Depth,
    DOMMomentum,
    Imbalance,
    Liquidity,
    Manipulation,
    Spread,
)
from virtuoso.prism.features.book import decay_weights, depth_lean, near_depth, share_gap, unusual
from virtuoso.prism.features.volatility import mean_range

FIRST = 17


@pytest.fixture(scope="module")
def made():
    """A made-up market with a book that is never lost."""
    bars = columns(seed=5, bars=2_000, flats=False)
    every = bars | light(5, bars)
    return {name: pd.Series(values).ffill().to_numpy() for name, values in every.items()}


def series(made, *names):
    found = [pd.Series(made[name]) for name in names]
    return found[0] if len(found) == 1 else found


class TestOFI:
    """Cont et al. (2014): e = 1{Pb >= Pb_} qb - 1{Pb <= Pb_} qb_ - 1{Pa <= Pa_} qa + 1{Pa >= Pa_} qa_."""

    QUOTES = (
        # bid, size, ask, size: what happened, and its contribution by hand
        (100, 10, 101, 5, None),
        (100, 14, 101, 5, 4),  # four are added to the bid
        (100, 14, 101, 3, 2),  # two leave the ask
        (101, 6, 102, 8, 6 + 3),  # the bid rises: all 6 of it are new; the ask's 3 are gone
        (101, 2, 102, 8, -4),  # four leave the bid
        (100, 9, 101, 7, -2 - 7),  # the bid's 2 are gone; the ask falls: all 7 of it are new
        (100, 9, 101, 7, 0),  # nothing
    )

    @staticmethod
    def contribution(now, before) -> float:
        """The definition, term by term."""
        bid, bid_size, ask, ask_size, _ = now
        bid_, bid_size_, ask_, ask_size_, _ = before
        return (
            (bid >= bid_) * bid_size - (bid <= bid_) * bid_size_ - (ask <= ask_) * ask_size + (ask >= ask_) * ask_size_
        )

    def test_contributions_by_hand_are_those_of_the_definition(self):
        found = [self.contribution(now, before) for before, now in zip(self.QUOTES, self.QUOTES[1:], strict=False)]
        assert found == [quote[4] for quote in self.QUOTES[1:]]

    def test_component_is_their_sum_over_depth_in_its_usual_size(self):
        """Six events in six bars, the book 10 and 15 deep in turn; root mean square over the same six bars."""
        flow = np.array([float(quote[4]) for quote in self.QUOTES[1:]])
        depth = np.array([10.0, 15.0] * 3)
        found = OFI(period=6, history=10).value(
            np.concatenate((np.zeros(4), flow)), np.zeros(10), *(np.concatenate((np.ones(4), depth)),) * 2, FIRST
        )
        shares = [4 / 10, 2 / 15, 9 / 10, -4 / 15, -9 / 10, 0.0]
        usual = np.sqrt(sum(share * share for share in shares) / 10.0 + 0.001**2)
        assert np.isnan(found[:9]).all()
        assert found[9] == pytest.approx(sum(shares) / np.sqrt(6.0) / usual)

    def test_component_is_its_pandas_twin(self, made):
        best, deep, bid, ask = series(made, "ofi_best", "ofi_deep", "bid_depth_10bp", "ask_depth_10bp")
        flow = (best + deep) / (0.5 * (bid + ask))
        expected = flow.rolling(10).sum() / np.sqrt(10.0) / rms(flow, 60, 0.001)
        names = ("ofi_best", "ofi_deep", "bid_depth_10bp", "ask_depth_10bp")
        agree(OFI().value(*(made[name] for name in names), FIRST), expected.to_numpy(), relative=1e-7)

    def test_price_moves_with_it_in_a_market_that_obeys_their_model(self):
        """Delta P = OFI / (2 D) + noise, their eq. 12 with beta = c / D: flow alone tells less than flow over depth."""
        random = np.random.default_rng(4)
        depth = np.repeat(random.uniform(1.0, 20.0, 400), 5)
        flow = depth * random.standard_normal(2_000)
        move = flow / (2.0 * depth) + 0.2 * random.standard_normal(2_000)
        found = OFI(period=1).value(flow, np.zeros(2_000), depth, depth, FIRST)
        known = np.isfinite(found)
        explained = np.corrcoef(found[known], move[known])[0, 1]
        assert explained > 0.9
        assert explained > np.corrcoef(flow[known], move[known])[0, 1] + 0.05


def rms(x: pd.Series, history: int, floor: float) -> pd.Series:
    return np.sqrt((x * x).rolling(history).mean() + floor**2)


class TestDepth:
    def test_lean_of_a_book_by_hand(self):
        """Bands of 0.1 % and 0.5 % alone: (30-10)/40 and (60-60)/120, mean 0.25; slopes 30/.001 + 60/.005 = 42,000
        against 10/.001 + 60/.005 = 22,000, 20/64; the mean of both is 0.28125."""
        unknown = np.full(1, np.nan)
        bids = (np.array([30.0]), np.array([60.0]), unknown, unknown, unknown)
        asks = (np.array([10.0]), np.array([60.0]), unknown, unknown, unknown)
        assert depth_lean(bids, asks)[0] == pytest.approx(0.5 * (0.25 + 20.0 / 64.0))

    def test_component_is_its_pandas_twin(self, made):
        asymmetry, slopes = [], {"bid": 0.0, "ask": 0.0}
        for band, reach in BANDS.items():
            bid, ask = series(made, f"bid_depth_{band}", f"ask_depth_{band}")
            asymmetry.append((bid - ask) / (bid + ask))
            slopes["bid"], slopes["ask"] = slopes["bid"] + bid / reach, slopes["ask"] + ask / reach
        slope = (slopes["bid"] - slopes["ask"]) / (slopes["bid"] + slopes["ask"])
        lean = (0.5 * (sum(asymmetry) / 5.0 + slope)).rolling(15).mean()
        window = lean.rolling(45)
        expected = (lean - window.mean()) / np.sqrt(window.var(ddof=0) + 0.01**2)
        inputs = (made[f"{side}_depth_{band}"] for side in ("bid", "ask") for band in BANDS)
        agree(Depth().value(*inputs, FIRST), expected.to_numpy(), relative=1e-6)


class TestTheMeans:
    def test_imbalance_microprice_and_momentum_are_their_pandas_twins(self, made):
        lean, micro = series(made, "book_lean", "micro_lean")
        heavy, pressed = lean.rolling(10).mean() / rms(lean, 60, 0.02), micro.rolling(3).mean() / rms(micro, 60, 0.02)
        agree(Imbalance().value(made["book_lean"], FIRST), heavy.to_numpy(), relative=1e-7)
        agree(MPI().value(made["micro_lean"], FIRST), pressed.to_numpy(), relative=1e-7)
        turn = lean.rolling(4).mean() - lean.rolling(4).mean().shift(4)
        turn /= np.sqrt(lean.rolling(40).var(ddof=0) + 0.02**2)
        agree(DOMMomentum().value(made["book_lean"], FIRST), turn.to_numpy(), relative=1e-7)

    def test_unusual_is_the_distance_from_the_mean_in_deviations(self):
        """1, 2, 3, 6: mean 3, variance 3.5; with a floor of 0.5 the last is 3 / sqrt(3.75) away."""
        found = unusual(np.array([1.0, 2.0, 3.0, 6.0]), 4, 0.5, FIRST)
        assert found[3] == pytest.approx(3.0 / np.sqrt(3.75))

    def test_near_depth_is_the_mean_of_both_sides_or_the_one_that_is_known(self):
        found = near_depth(np.array([4.0, np.nan, 8.0, np.nan]), np.array([2.0, 2.0, np.nan, np.nan]))
        np.testing.assert_array_equal(found, [3.0, 2.0, 8.0, np.nan])


class TestShares:
    def test_gap_by_hand(self):
        """Bids put back 80 of 100, asks 20 of 50: (0.8 - 0.4) x 4 x 100 x 50 / 150^2."""
        found = share_gap(*(np.array([x]) for x in (80.0, 100.0, 20.0, 50.0)))
        assert found[0] == pytest.approx(0.4 * 4.0 * 5_000.0 / 22_500.0)

    @pytest.mark.parametrize(("component", "part"), [(Liquidity(), "refill"), (AbsorptionExhaustion(), "absorbed")])
    def test_components_are_their_pandas_twins(self, made, component, part):
        names = (f"bid_{part}", "bid_taken", f"ask_{part}", "ask_taken")
        bid, bid_taken, ask, ask_taken = (x.rolling(20).sum() for x in series(made, *names))
        balance = 4.0 * bid_taken * ask_taken / (bid_taken + ask_taken) ** 2
        gap = (bid / bid_taken - ask / ask_taken) * balance
        expected = gap / np.sqrt((gap * gap).rolling(40, min_periods=30).mean() + 0.05**2)
        expected[:59] = np.nan
        agree(component.value(*(made[name] for name in names), FIRST), expected.to_numpy(), relative=1e-7)


class TestOBPS:
    def test_weights_halve_and_sum_to_one(self):
        weights = decay_weights(8, 40)
        assert weights.sum() == pytest.approx(1.0)
        np.testing.assert_allclose(weights[8:] / weights[:-8], 2.0, rtol=1e-9)

    def test_is_its_slow_twin(self, made):
        unit = mean_range(made["high"], made["low"], made["close"], 14, FIRST)
        names = ("ofi_deep", "bid_depth_10bp", "ask_depth_10bp", "bid", "ask")
        found = OBPS().value(*(made[name] for name in names), unit, FIRST)
        middle = (made["bid"] + made["ask"]) / 2.0
        flow = made["ofi_deep"] / ((made["bid_depth_10bp"] + made["ask_depth_10bp"]) / 2.0)
        expected = np.full(len(found), np.nan)
        for t in range(60, len(found), 7):
            total = weight = 0.0
            for age in range(20):
                i = t - age
                usual, step = np.sqrt(np.mean(flow[i - 24 : i + 1] ** 2) + 1e-6), middle[i] - middle[i - 1]
                push = flow[i] / np.hypot(flow[i], usual)
                total += 0.5 ** (age / 6) * (push - step / np.hypot(step, unit[i]))
                weight += 0.5 ** (age / 6)
            expected[t] = total / weight
        agree(found, expected, relative=1e-7)


class TestTheGates:
    def test_spread_is_its_pandas_twin(self, made):
        parts = [x.rolling(5).mean() / x.rolling(60).mean() for x in series(made, "spread", "spread_high")]
        expected = (0.5 * (parts[0] + parts[1])).to_numpy()
        agree(Spread().value(made["spread"], made["spread_high"], FIRST), expected, relative=1e-7)

    def test_manipulation_is_its_pandas_twin(self, made):
        names = ("bid_fleeting", "ask_fleeting", "bid_depth_10bp", "ask_depth_10bp")
        bid, ask, bid_depth, ask_depth = series(made, *names)
        fleeting = (bid + ask) / (0.5 * (bid_depth + ask_depth))
        expected = fleeting.rolling(5).mean() / (fleeting.rolling(60).mean() + 0.05)
        agree(Manipulation().value(*(made[name] for name in names), FIRST), expected.to_numpy(), relative=1e-7)
