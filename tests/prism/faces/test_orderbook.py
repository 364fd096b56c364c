"""The orderbook face: who is waiting, who holds, and when the book is not to be believed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import START, market
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe
from virtuoso.errors import MissingColumnError
from virtuoso.market.bars import Bars
from virtuoso.market.events import concat_events, events_of
from virtuoso.market.features.book.columns import BookFeatures
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.market.schema.columns import BANDS
from virtuoso.market.schema.kinds import KINDS
from virtuoso.prism.component import Gate
from virtuoso.prism.engine.aggregate import participation
from virtuoso.prism.engine.graph import total_warmup
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.faces.orderbook import (
    FACE,
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
from virtuoso.prism.laws.distribution import distribution
from virtuoso.venues.streams.binance import read_recording

MINUTE = Timeframe("1m")
COMPONENTS, GATES = list(FACE.components), list(FACE.gates)


def book(bars: int = 200, seed: int = 1) -> dict[str, np.ndarray]:
    """A balanced book: both sides alike but for noise, price going nowhere."""
    random = np.random.default_rng(seed)

    def about(size, spread=0.1):
        return size * (1.0 + spread * random.standard_normal(bars))

    close = 1_000.0 + 0.3 * random.standard_normal(bars)
    made = {
        "open": close, "high": close + 0.5, "low": close - 0.5, "close": close, "volume": about(50.0),
        "bid": close - 0.05, "ask": close + 0.05, "spread": about(0.1, 0.02), "spread_high": about(0.2, 0.02),
        "micro_lean": 0.05 * random.standard_normal(bars), "book_lean": 0.05 * random.standard_normal(bars),
        "ofi_best": 1e4 * random.standard_normal(bars), "ofi_deep": 3e4 * random.standard_normal(bars),
    }  # fmt: skip
    for side in ("bid", "ask"):
        for i, band in enumerate(BANDS):
            made[f"{side}_depth_{band}"] = about(1e6 * (i + 1))
        made[f"{side}_taken"] = about(1e5)
        made[f"{side}_refill"], made[f"{side}_absorbed"] = about(6e4), about(5e4)
        made[f"{side}_fleeting"] = about(1e4)
    return made


def frame_of(columns: dict) -> MarketFrame:
    times = (np.arange(len(columns["close"]), dtype=np.int64) + START) * MINUTE.ms
    return MarketFrame(Instrument("simulated", "BTCUSDT"), Bars.from_rows(MINUTE, times, columns, GapPolicy("cut", 0)))


def scores(component, columns) -> np.ndarray:
    frame = columns if isinstance(columns, MarketFrame) else frame_of(columns)
    return component.score(Workspace(frame).values(component, frame.timeframe, frame.base.first, frame.base.end)[0])


class TestImbalance:
    def test_is_bullish_when_bids_outweigh_asks_and_bearish_when_asks_do(self):
        for lean, low, high in ((0.5, 85.0, 100.0), (-0.5, 0.0, 15.0), (0.0, 48.0, 52.0)):
            made = book()
            made["book_lean"][-20:] = lean
            assert low < scores(Imbalance(), made)[-1] < high

    def test_keeps_saying_so_as_long_as_the_book_leans(self):
        """A lean is a finding, however long it lasts: its mean is not taken off."""
        made = book()
        made["book_lean"][:] = 0.4
        np.testing.assert_allclose(scores(Imbalance(), made)[60:], scores(Imbalance(), made)[-1])
        assert scores(Imbalance(), made)[-1] > 80.0


class TestOFI:
    """Cont, Kukanov and Stoikov: flow of orders over depth."""

    def test_is_bullish_when_bids_are_added_and_asks_are_pulled(self):
        made = book()
        made["ofi_best"][-10:], made["ofi_deep"][-10:] = 1e5, 2e5
        assert scores(OFI(), made)[-1] > 85.0

    def test_is_bearish_when_asks_are_added_and_bids_are_pulled(self):
        made = book()
        made["ofi_best"][-10:], made["ofi_deep"][-10:] = -1e5, -2e5
        assert scores(OFI(), made)[-1] < 15.0

    def test_counts_the_same_flow_for_less_in_a_deep_book(self):
        made = book()
        made["ofi_best"][-10:], made["ofi_deep"][-10:] = 5e4, 5e4
        thin = scores(OFI(), made)[-1]
        for side in ("bid", "ask"):
            made[f"{side}_depth_10bp"][-10:] *= 10.0
        assert 50.0 < scores(OFI(), made)[-1] < thin - 10.0

    def test_is_not_known_where_there_is_nothing_near_the_middle_to_be_moved(self):
        made = book()
        for side in ("bid", "ask"):
            made[f"{side}_depth_10bp"][-10:] = 0.0
        assert np.isnan(scores(OFI(), made)[-1])


class TestDepth:
    def test_is_bullish_when_bids_become_deeper_than_they_are_used_to_be(self):
        made = book()
        for band in BANDS:
            made[f"bid_depth_{band}"][-5:] *= 1.5
        assert scores(Depth(), made)[-1] > 80.0

    def test_is_bearish_when_asks_do(self):
        made = book()
        for band in BANDS:
            made[f"ask_depth_{band}"][-5:] *= 1.5
        assert scores(Depth(), made)[-1] < 20.0

    def test_does_not_call_a_lasting_asymmetry_news(self):
        """Far bids are deeper than far asks for weeks on some venues: scored as a level that is a permanent bias."""
        made = book(2_000)
        for band in BANDS:
            made[f"bid_depth_{band}"] *= 2.0
        assert np.nanmean(scores(Depth(), made)) == pytest.approx(50.0, abs=2.0)

    def test_does_not_blow_up_a_book_that_hardly_moves(self):
        made = book()
        for band in BANDS:
            made[f"bid_depth_{band}"][:] = made[f"ask_depth_{band}"][:] = 1e6
            made[f"bid_depth_{band}"][-5:] = 1.001e6
        assert scores(Depth(), made)[-1] == pytest.approx(50.0, abs=2.0)

    def test_answers_from_the_far_bands_where_a_source_gives_no_others(self):
        """Binance's files of depth begin at one per cent."""
        made = book()
        for side in ("bid", "ask"):
            for band in ("10bp", "50bp"):
                made[f"{side}_depth_{band}"][:] = np.nan
        for band in ("100bp", "200bp", "500bp"):
            made[f"bid_depth_{band}"][-5:] *= 1.5
        found = scores(Depth(), made)
        assert found[-1] > 80.0
        assert np.isfinite(found[60:]).all()

    def test_is_not_known_where_one_band_alone_is(self):
        """A slope needs two; one band says what the imbalance says already."""
        made = book()
        for side in ("bid", "ask"):
            for band in list(BANDS)[1:]:
                made[f"{side}_depth_{band}"][:] = np.nan
        assert np.isnan(scores(Depth(), made)).all()

    def test_is_not_known_where_no_band_is(self):
        made = book()
        for side in ("bid", "ask"):
            for band in BANDS:
                made[f"{side}_depth_{band}"][150] = np.nan
        found = scores(Depth(), made)
        assert np.isnan(found[150:]).all()
        assert np.isfinite(found[60:150]).all()

    def test_hears_a_nearer_band_more_in_the_slope(self):
        near, far = book(), book()
        near["bid_depth_10bp"][-5:] *= 1.3
        far["bid_depth_500bp"][-5:] *= 1.3
        assert scores(Depth(), near)[-1] > scores(Depth(), far)[-1]


class TestMPI:
    def test_follows_the_microprice(self):
        for lean, low, high in ((0.3, 85.0, 100.0), (-0.3, 0.0, 15.0), (0.0, 48.0, 52.0)):
            made = book()
            made["micro_lean"][-3:] = lean
            assert low < scores(MPI(), made)[-1] < high


@pytest.mark.parametrize(("component", "part"), [(Liquidity(), "refill"), (AbsorptionExhaustion(), "absorbed")],
                         ids=["liquidity", "absorption_exhaustion"])  # fmt: skip
class TestLiquidityAndAbsorption:
    """What a side does when it is hit; how often it is hit says nothing."""

    def test_is_bullish_when_bids_stand_and_bearish_when_asks_do(self, component, part):
        for side, low, high in (("bid", 75.0, 100.0), ("ask", 0.0, 25.0)):
            made = book()
            made[f"{side}_{part}"][-20:] = 0.95e5
            assert low < scores(component, made)[-1] < high

    def test_takes_no_side_because_one_side_is_hit_more(self, component, part):
        """Selling meets bids: more of it is taken and answered there, at the same share."""
        made = book()
        for side, scale in (("bid", 5.0), ("ask", 1.0)):
            made[f"{side}_taken"][:] = scale * 1e5
            made[f"{side}_{part}"][:] = scale * 5e4
        np.testing.assert_allclose(scores(component, made)[60:], 50.0)

    def test_hardly_hears_a_side_that_was_hardly_hit(self, component, part):
        """Ten coins taken and all of it put back: that is no resilience that anybody has seen."""
        made = book()
        made["bid_taken"][-60:], made[f"bid_{part}"][-60:] = 1_000.0, 1_000.0
        assert scores(component, made)[-1] == pytest.approx(50.0, abs=20.0)

    def test_is_not_known_where_nothing_was_taken(self, component, part):
        made = book()
        for side in ("bid", "ask"):
            made[f"{side}_taken"][-20:] = made[f"{side}_{part}"][-20:] = 0.0
        assert np.isnan(scores(component, made)[-1])


class TestDOMMomentum:
    def test_is_bullish_while_the_book_turns_to_the_bids(self):
        made = book()
        made["book_lean"][-5:] += 0.4
        assert scores(DOMMomentum(), made)[-1] > 80.0

    def test_is_bearish_while_it_turns_to_the_asks(self):
        made = book()
        made["book_lean"][-5:] -= 0.4
        assert scores(DOMMomentum(), made)[-1] < 20.0

    def test_does_not_care_how_the_book_leans_but_how_that_changes(self):
        made = book()
        steady = scores(DOMMomentum(), made)
        made["book_lean"] += 0.5
        np.testing.assert_allclose(scores(DOMMomentum(), made), steady, atol=1e-9)


class TestOBPS:
    """Pressure that price has answered is spent."""

    @staticmethod
    def pushed(push: float, answer: float) -> float:
        made = book(300)
        made["ofi_deep"][-20:] = push
        path = np.concatenate((np.zeros(280), answer * np.arange(1.0, 21.0)))
        for name in ("open", "high", "low", "close", "bid", "ask"):
            made[name] = made[name] + path
        return scores(OBPS(), made)[-1]

    def test_is_bullish_when_the_book_pushes_up_and_price_has_not_followed(self):
        assert self.pushed(1e6, 0.0) > 80.0

    def test_is_bearish_when_the_book_pushes_down_and_price_has_not_followed(self):
        assert self.pushed(-1e6, 0.0) < 20.0

    def test_is_calmer_when_price_has_followed(self):
        assert self.pushed(1e6, 3.0) < self.pushed(1e6, 0.0) - 10.0

    def test_forgets(self):
        made = book(400)
        made["ofi_deep"][200:205] = 1e6
        found, calm = scores(OBPS(), made), scores(OBPS(), book(400))
        assert found[205] > calm[205] + 10.0
        np.testing.assert_array_equal(found[250:], calm[250:])

    def test_is_not_known_in_a_market_that_does_not_move_at_all(self):
        made = book()
        for name in ("open", "high", "low", "close"):
            made[name] = np.full(200, 1_000.0)
        made["bid"], made["ask"] = np.full(200, 999.95), np.full(200, 1_000.05)
        assert np.isnan(scores(OBPS(), made)).all()


class TestTheGates:
    def test_let_a_usual_book_through(self):
        for gate in GATES:
            assert scores(gate, book())[-1] > 90.0

    def test_close_while_the_spread_is_wide(self):
        made = book()
        for name in ("spread", "spread_high"):
            made[name][-5:] *= 4.0
        assert scores(Spread(), made)[-1] < 10.0

    def test_close_half_way_while_it_is_only_unsteady(self):
        made = book()
        made["spread_high"][-5:] *= 5.0
        assert 10.0 < scores(Spread(), made)[-1] < 80.0

    def test_do_not_reward_a_spread_that_is_tighter_than_usual(self):
        made = book()
        for name in ("spread", "spread_high"):
            made[name][-5:] *= 0.5
        assert scores(Spread(), made)[-1] == 100.0

    def test_close_while_large_orders_come_and_go(self):
        made = book()
        made["ask_fleeting"][-10:] = 1e6
        assert scores(Manipulation(), made)[-1] < 10.0

    def test_do_not_ask_on_which_side(self):
        one, other = book(), book()
        one["bid_fleeting"][-10:], one["ask_fleeting"][-10:] = 4e5, 0.0
        other["bid_fleeting"][-10:], other["ask_fleeting"][-10:] = 0.0, 4e5
        assert scores(Manipulation(), one)[-1] == scores(Manipulation(), other)[-1]

    def test_have_no_weight_and_so_no_direction(self):
        assert all(isinstance(gate, Gate) for gate in GATES)
        assert not any(isinstance(component, Gate) for component in COMPONENTS)


class TestTheFace:
    def test_holds_the_components_of_the_book_with_their_weights(self):
        assert {component.name: weight for component, weight in FACE.components.items()} == {
            "imbalance": 0.20, "ofi": 0.18, "depth": 0.17, "mpi": 0.12, "liquidity": 0.10,
            "absorption_exhaustion": 0.10, "dom_momentum": 0.08, "obps": 0.05,
        }  # fmt: skip
        assert [gate.name for gate in FACE.gates] == ["spread", "manipulation"]
        assert not FACE.unavailable

    @pytest.mark.parametrize("node", [*COMPONENTS, *GATES], ids=lambda node: node.name)
    def test_answers_within_minutes(self, node):
        """Recordings are minutes long: an hour of warm-up would say nothing about them."""
        assert total_warmup(node, Timeframe("1s")) <= 60

    @pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
    def test_takes_no_side_over_a_long_time(self, component):
        """Depth, liquidity and spread scored as direction gave a permanent bullish bias once."""
        found = scores(component, market(bars=9_000, lit=True))
        assert np.nanmean(found) == pytest.approx(50.0, abs=5.0)

    @pytest.mark.parametrize("node", [*COMPONENTS, *GATES], ids=lambda node: node.name)
    def test_is_not_known_while_the_book_is_lost_and_known_again_soon_after(self, node):
        made = book(300)
        lost = [name for name in made if name not in ("open", "high", "low", "close", "volume")]
        for name in lost:
            made[name][150:160] = np.nan
        found = scores(node, made)
        assert np.isnan(found[150:160]).all()
        assert np.isfinite(found[100:150]).all()
        assert np.isfinite(found[221:]).all()

    def test_does_not_guess_a_book_that_is_not_there(self):
        made = book()
        del made["book_lean"]
        with pytest.raises(MissingColumnError, match="book_lean"):
            scores(Imbalance(), made)

    @pytest.mark.parametrize("node", [*COMPONENTS, *GATES], ids=lambda node: node.name)
    def test_explains_itself_in_a_sentence_at_every_score(self, node):
        for score in (0.0, 19.9, 20.0, 50.0, 80.0, 100.0):
            assert node.explain(score, 0.123).strip()


def ranks(x: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(x)).astype(float)


def largest_rank_correlation(rows: np.ndarray) -> float:
    """Largest absolute rank correlation of two rows, over the columns that all of them know."""
    known = np.isfinite(rows).all(axis=0)
    assert known.sum() > 100
    found = np.corrcoef([ranks(row[known]) for row in rows])
    return float(np.abs(found - np.eye(len(rows))).max())


def effective_inputs(rows: np.ndarray) -> float:
    known, found = rows[:, np.isfinite(rows).all(axis=0)], np.empty(1)
    participation(np.ascontiguousarray(known), known.shape[1], found)
    return float(found[0])


@pytest.fixture(scope="module")
def rows():
    """Scores of every component on a made-up market."""
    frame = market(bars=9_000, lit=True)
    return np.stack([scores(component, frame) for component in COMPONENTS])


class TestIndependence:
    """No two components may be monotone transforms of one number, or the face agrees with itself."""

    def test_no_two_components_rank_the_bars_alike(self, rows):
        assert largest_rank_correlation(rows) < 0.9

    def test_the_measure_would_see_a_monotone_transform(self, rows):
        twin = np.vstack((rows, 50.0 + (rows[:1] - 50.0) ** 3 / 2_500.0))
        assert largest_rank_correlation(twin) > 0.999

    def test_eight_components_carry_several_independent_inputs(self, rows):
        """The book of this market is driven by one hidden lean, so that they have every reason to agree."""
        assert effective_inputs(rows) > 2.0


@pytest.fixture(scope="module")
def recorded(real_data):
    """An hour of the spot book of ETHBTC on seconds, 2020-11-01, rebuilt from a snapshot and its changes."""
    second, parts = Timeframe("1s"), {"depth": [], "trades": []}
    files = [f"l2/binance_spot_ETHBTC_20201101T09_{part}.json.gz" for part in ("snapshot", "update")]
    for file in (*files, "trades/binance_spot_aggTrade_ETHBTC_20201101T09.json.gz"):
        for raw in read_recording(real_data / file):
            parts[raw.kind].append(events_of(KINDS[raw.kind], raw.event_time, raw.columns, raw.received_at))
    events = {kind: concat_events(found, KINDS[kind]) for kind, found in parts.items()}
    first, end = (int(events["depth"].available_at[i]) // second.ms for i in (0, -1))
    until = {kind: found.between(0, second.open_time(end)) for kind, found in events.items()}
    made = BookFeatures(second).bars(until, first, end)
    there = np.isfinite(made["bid"])
    made = {name: values[there] for name, values in made.items()}
    middle = (made["bid"] + made["ask"]) / 2.0
    made |= dict.fromkeys(("open", "high", "low", "close"), middle) | {"volume": made["bid_taken"] + made["ask_taken"]}
    times = np.arange(first, end, dtype=np.int64)[there] * second.ms
    return MarketFrame(Instrument("binance-spot", "ETHBTC"), Bars.from_rows(second, times, made, GapPolicy("cut", 0)))


class TestOnARecording:
    """Scales and independence are judged on what was recorded."""

    def test_no_two_components_rank_the_seconds_alike(self, recorded):
        rows = np.stack([scores(component, recorded) for component in COMPONENTS])
        assert largest_rank_correlation(rows) < 0.8
        assert effective_inputs(rows) > 5.0

    @pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
    def test_uses_its_scale(self, recorded, component):
        (found,) = distribution(component, recorded, ["1s"])
        assert found.known > 0.7
        assert found.span >= 60.0
        assert found.saturated < 0.05

    def test_takes_no_side_where_bids_are_twice_as_deep_all_hour(self, recorded):
        """Within two per cent of the middle: the mistake of the system before this one."""
        bids, asks = (recorded.base.columns[f"{side}_depth_200bp"] for side in ("bid", "ask"))
        assert np.nanmean(bids) > 1.9 * np.nanmean(asks)
        (found,) = distribution(Depth(), recorded, ["1s"])
        assert found.mean == pytest.approx(50.0, abs=5.0)
