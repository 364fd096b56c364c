"""Insights: every rule speaks where it applies and is silent where it does not, or where something is not known."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.signals import scenes
from virtuoso.prism.open_interest.squeeze import SqueezePoint
from virtuoso.signals.decision import decide
from virtuoso.signals.message.context import Break, Divergence, SignalContext, Slope, Trade, context_of, decimals
from virtuoso.signals.message.insights import (
    ACTIONS,
    INSIGHTS,
    actionable_insights,
    bias,
    breakout_with_volume,
    changing_speed,
    complacency_or_opportunity,
    conviction,
    distribution_or_accumulation,
    independent_inputs,
    insights,
    institutional_share,
    key_levels,
    level_in_the_way,
    market_maker_behaviour,
    reinforced,
    risk,
    squeeze,
    strategy,
    strongest_divergence,
    timeframes_agree,
    timing,
    unseen_faces,
    wall,
    weak_breakout,
)
from virtuoso.signals.message.large_traders import Institutions, MarketMakers
from virtuoso.signals.rule import BEARISH, BULLISH, NEUTRAL

NAN = float("nan")


def moment(**known) -> SignalContext:
    base = {"price": 97_250.1, "decimals": 1, "faces": {}, "components": {}, "timeframes": {}, "slopes": {}}
    return SignalContext(**(base | known))


def faces(**scores: float) -> SignalContext:
    return moment(faces=scores)


LONG = Trade(BULLISH, 100.0, False, 0, 98.0, (103.0, 105.0, 108.0), (0.5, 0.3, 0.2))
UP = Break(1, 97_000.0, "30m", "break of structure")
DOWN = Break(-1, 98_000.0, "5m", "change of character")


class TestFacesAgainstEachOther:
    """A face takes a side from 60 and 40 on."""

    @pytest.mark.parametrize(
        ("rule", "one", "other", "up", "down"),
        [
            (distribution_or_accumulation, "technical", "orderflow", "Distribution", "Accumulation"),
            (complacency_or_opportunity, "technical", "sentiment", "Complacency", "Opportunity"),
        ],
    )
    def test_that_part_are_named(self, rule, one, other, up, down):
        assert rule(faces(**{one: 72, other: 31})).startswith(up)
        assert rule(faces(**{one: 28, other: 69})).startswith(down)
        assert rule(faces(**{one: 72, other: 45})) is None
        assert rule(faces(**{one: 72, other: 71})) is None
        assert rule(faces(**{one: 55, other: 45})) is None
        assert rule(faces(**{one: 72})) is None
        assert rule(faces(**{other: 31})) is None

    @pytest.mark.parametrize(
        ("rule", "one", "other", "name"),
        [
            (reinforced, "orderbook", "price_structure", "Reinforced"),
            (conviction, "orderflow", "sentiment", "Conviction"),
        ],
    )
    def test_that_agree_are_named(self, rule, one, other, name):
        assert rule(faces(**{one: 72, other: 61})).startswith(name)
        assert rule(faces(**{one: 28, other: 39})).startswith(name)
        assert rule(faces(**{one: 72, other: 31})) is None
        assert rule(faces(**{one: 72, other: 55})) is None
        assert rule(faces(**{one: 72})) is None

    def test_they_say_scores_and_price(self):
        said = distribution_or_accumulation(faces(technical=72, orderflow=31))
        assert said == "Distribution: strength is sold into at 97,250.1, technical 72 against orderflow 31."

    def test_reinforcement_names_the_level_that_is_held(self):
        held = moment(faces={"orderbook": 70, "price_structure": 70}, supports=(97_000.0,), resistances=(98_000.0,))
        assert "support at 97,000.0" in reinforced(held)
        held = moment(faces={"orderbook": 30, "price_structure": 30}, supports=(97_000.0,), resistances=(98_000.0,))
        assert "resistance at 98,000.0" in reinforced(held)


class TestParticipants:
    """Large orders, quotes, squeeze points and walls: who is there, never a direction by itself."""

    def test_large_orders_are_spoken_of_with_their_side(self):
        said = institutional_share(moment(institutions=Institutions(0.42, -0.3)))
        assert said == (
            "Institutions: large orders are 42% of the last hour's volume, mostly selling (-30%), at 97,250.1."
        )
        assert "both sides alike" in institutional_share(moment(institutions=Institutions(0.42, 0.05)))

    def test_few_or_unknown_large_orders_are_not(self):
        assert institutional_share(moment(institutions=Institutions(0.1, 0.9))) is None
        assert institutional_share(moment()) is None

    def test_quotes_that_are_withdrawn_wide_or_one_sided_are_spoken_of(self):
        makers = MarketMakers(spread=2.0, depth=0.5, bid_refill=0.9, ask_refill=0.4, bid_held=0.2, ask_held=0.6)
        said = market_maker_behaviour(moment(market_makers=makers))
        assert "50% of usual, quotes are withdrawn" in said
        assert "2.0 x usual" in said
        assert "bids are refilled faster (90% bids, 40% asks)" in said
        assert "asks hold against takers (20% bids, 60% asks)" in said

    def test_usual_or_unknown_quotes_are_not(self):
        usual = MarketMakers(spread=1.0, depth=1.0, bid_refill=0.8, ask_refill=0.7, bid_held=0.4, ask_held=0.4)
        assert market_maker_behaviour(moment(market_makers=usual)) is None
        assert market_maker_behaviour(moment()) is None

    def test_the_strongest_squeeze_point_is_named_as_an_estimate(self):
        weak = SqueezePoint(98_000.0, "above", 0.45, 2.0, 1.0, 0.0, ("swings",))
        strong = SqueezePoint(95_000.0, "below", 0.7, 4.0, 0.0, 1e6, ("liquidations", "funding"))
        said = squeeze(moment(squeezes=(strong, weak)))
        assert said.startswith("Squeeze point (estimate): longs would be forced out below 95,000.0, 4.0 ATR away")
        assert "liquidations, funding" in said
        assert squeeze(moment(squeezes=(SqueezePoint(1.0, "above", 0.1, 1.0, 0.0, 0.0, ()),))) is None
        assert squeeze(moment()) is None

    def test_a_wall_is_named_with_its_distance(self):
        assert "bid at 96,277.6 (1.00% away)" in wall(moment(bid_wall=96_277.599))
        assert wall(moment()) is None


class TestBreaksOfStructure:
    """A break is carried by volume, or it is weak, or nothing is said."""

    def test_without_volume_is_weak(self):
        said = weak_breakout(moment(broken=UP, faces={"volume": 48}))
        assert said == "Weak breakout: break of structure on 30m above 97,000.0, and volume 48 does not follow."
        assert "below 98,000.0" in weak_breakout(moment(broken=DOWN, faces={"volume": 52}))

    def test_with_volume_is_carried(self):
        assert "carried by volume 64" in breakout_with_volume(moment(broken=UP, faces={"volume": 64}))
        assert "below 98,000.0" in breakout_with_volume(moment(broken=DOWN, faces={"volume": 36}))

    @pytest.mark.parametrize("broken", [UP, DOWN], ids=["up", "down"])
    @pytest.mark.parametrize("volume", [20, 45, 50, 55, 80])
    def test_is_one_or_the_other(self, broken, volume):
        said = moment(broken=broken, faces={"volume": volume})
        assert (weak_breakout(said) is None) != (breakout_with_volume(said) is None)

    def test_is_judged_by_the_volume_of_its_bar_where_that_is_known(self):
        said = moment(broken=UP, faces={"volume": 64}, components={"volume.relative_volume": 50})
        assert breakout_with_volume(said) is None
        assert "relative volume 50" in weak_breakout(said)

    def test_nothing_is_said_without_a_break_or_without_volume(self):
        for rule in (weak_breakout, breakout_with_volume):
            assert rule(faces(volume=20)) is None
            assert rule(moment(broken=UP)) is None


class TestTimeframesAndMomentum:
    """Agreement needs the whole ladder; speed needs both oscillators."""

    def test_all_timeframes_agree(self):
        said = timeframes_agree(moment(timeframes={"1m": 71, "5m": 66, "4h": 58}))
        assert said == "All timeframes agree and are bullish: 1m 71, 5m 66, 4h 58."
        assert "bearish" in timeframes_agree(moment(timeframes={"1m": 31, "5m": 44}))

    @pytest.mark.parametrize(
        "scores", [{"1m": 71, "5m": 54}, {"1m": 71, "5m": 40}, {"1m": 71, "5m": NAN}, {"1m": 71}, {}], ids=repr
    )
    def test_anything_less_is_not_agreement(self, scores):
        assert timeframes_agree(moment(timeframes=scores)) is None

    def speed(self, macd: Slope | None, ao: Slope | None) -> str | None:
        known = {"technical.macd": macd, "technical.ao": ao}
        return changing_speed(moment(slopes={k: v for k, v in known.items() if v}, slope_timeframe="5m"))

    def test_a_move_gains_or_loses_speed(self):
        assert self.speed(Slope(0.3, 0.1), Slope(1.2, 0.4)).startswith("Acceleration: the rise gains speed on 5m at 97")
        assert self.speed(Slope(0.3, -0.1), Slope(1.2, -0.4)).startswith("Deceleration: the rise loses speed")
        assert self.speed(Slope(-0.3, -0.1), Slope(-1.2, -0.4)).startswith("Acceleration: the fall gains speed")
        assert self.speed(Slope(-0.3, 0.1), Slope(-1.2, 0.4)).startswith("Deceleration: the fall loses speed")

    def test_two_minds_or_one_unknown_say_nothing(self):
        assert self.speed(Slope(0.3, 0.1), Slope(-1.2, 0.4)) is None
        assert self.speed(Slope(0.3, 0.1), Slope(1.2, -0.4)) is None
        assert self.speed(Slope(0.3, 0.0), Slope(1.2, 0.4)) is None
        assert self.speed(Slope(0.3, 0.1), None) is None

    def test_the_strongest_divergence_is_named(self):
        two = (Divergence("RSI", "regular_bearish", -4.25), Divergence("CCI", "hidden_bullish", 3.5))
        assert strongest_divergence(moment(divergences=two)) == (
            "Divergence: regular bearish on RSI, -4.2 points, at 97,250.1."
        )
        assert strongest_divergence(moment(divergences=(Divergence("RSI", "regular_bearish", -2.9),))) is None
        assert strongest_divergence(moment()) is None


class TestWhatIsMissing:
    """What stands in the way, what was not seen, how often the score agrees with itself."""

    def test_a_level_before_the_first_target(self):
        in_the_way = level_in_the_way(moment(trade=LONG, resistances=(101.0, 104.0), decimals=0))
        assert in_the_way == "In the way: resistance at 101 stands before the first target 103."
        assert level_in_the_way(moment(trade=LONG, resistances=(103.0,))) is None
        assert level_in_the_way(moment(resistances=(101.0,))) is None

    def test_faces_without_data(self):
        said = unseen_faces(moment(unseen=("Orderflow", "Sentiment"), coverage=0.45))
        assert said == "Not seen: Orderflow, Sentiment; the score rests on 45% of the weight."
        assert unseen_faces(moment(coverage=1.0)) is None

    def test_independent_inputs(self):
        said = independent_inputs(moment(components={"a.b": 50, "a.c": 50}, effective_inputs=1.24))
        assert said == "Independence: 2 component scores carry 1.2 independent inputs."
        assert independent_inputs(moment()) is None


class TestActions:
    """Bias, risk, key levels, timing and strategy, with prices."""

    BULL = {
        "state": BULLISH, "reason": "confluence 70.0 reached 68", "price": 100.0, "atr": 4.0, "trade": LONG,
        "reliability": 0.34, "structure_timeframe": "30m", "supports": (98.5, 96.0), "resistances": (103.0,),
        "lapses": 3_600_000,
    }  # fmt: skip

    def test_of_a_long(self):
        said = actionable_insights(moment(**self.BULL))
        assert said == [
            "Bias: bullish, confluence 70.0 reached 68; reliability medium (uncalibrated).",
            "Risk: 1 R is 2.0 (2.00%, 0.5 ATR of 30m), from 100.0 to the stop at 98.0.",
            "Key levels: support 98.5, 96.0; resistance 103.0.",
            "Timing: decided at the close of 1970-01-01 00:00:00Z, in force from the next open, "
            "lapses 1970-01-01 01:00:00Z.",
            "Strategy: buy at the next open, stop 98.0; take 50% at 103.0 (1.5 R), 30% at 105.0 (2.5 R), "
            "20% at 108.0 (4.0 R).",
        ]

    def test_of_a_short_with_a_limit(self):
        trade = Trade(BEARISH, 101.0, True, 3_600_000, 103.0, (98.0,), (1.0,))
        said = strategy(moment(**(self.BULL | {"state": BEARISH, "trade": trade})))
        assert said == (
            "Strategy: sell short at 101.0 or better, until 1970-01-01 01:00:00Z, stop 103.0; "
            "take 100% at 98.0 (1.5 R)."
        )

    def test_of_neutral(self):
        calm = moment(state=NEUTRAL, reason="coverage 0.31 below 0.40")
        assert bias(calm) == "Bias: neutral, coverage 0.31 below 0.40."
        assert risk(calm) == "Risk: none is taken; ATR is not known."
        assert "lapses" not in timing(calm)
        assert strategy(calm) == "Strategy: be out until confluence reaches 68 or 32."

    def test_without_levels_there_is_no_entry(self):
        said = moment(**(self.BULL | {"trade": None, "supports": (), "resistances": ()}))
        assert strategy(said).startswith("Strategy: no entry")
        assert key_levels(said) == "Key levels: none is confirmed on 30m."

    def test_a_broken_level_is_a_key_level(self):
        assert key_levels(moment(broken=UP)) == "Key levels: broken 97,000.0."


class TestPricesAsText:
    """Prices are written with the digits of their market."""

    @pytest.mark.parametrize(
        ("prices", "digits"),
        [
            ([97_250.1, 97_250.0, 97_249.9], 1),
            ([97_250.0, 97_251.0], 0),
            ([0.00001234, 0.00001235], 8),
            ([0.07, 0.08], 2),
            ([1.0 / 3.0, 2.0 / 3.0], 6),
            ([100.0 / 3.0, 200.0 / 3.0], 4),
            ([300_000.0 / 7.0, 1.0 / 7.0], 1),
            ([0.00001 / 3.0, 0.00001 / 7.0], 11),
            ([NAN, 97_250.1], 1),
            ([7_167.6, 7_168.1, 7_170.5, 7_171.3, 7_201.29026477], 1),
            ([NAN], 2),
        ],
        ids=repr,
    )
    def test_digits(self, prices, digits):
        assert decimals(np.array(prices)) == digits

    def test_thousands_are_grouped_and_nothing_is_made_up(self):
        assert moment(decimals=1).shown(97_250.06) == "97,250.1"
        assert moment().shown(NAN) == "not known"


class TestOnAMarket:
    """Gathered from scores, a moment holds what is known and nothing else."""

    def moments(self) -> list[SignalContext]:
        decided = decide(scenes.scores(), scenes.SETTINGS)
        times = scenes.scores().close_times[decided.at]
        return [context_of(decided, j, scenes.scores().explain(int(times[j]))) for j in range(0, len(decided), 2)]

    def test_it_holds_known_scores_only(self):
        for gathered in self.moments():
            assert all(score == score for score in (*gathered.faces.values(), *gathered.components.values()))
            assert "Orderbook" in gathered.unseen

    def test_the_rules_that_bars_can_feed_do_speak(self):
        gathered = self.moments()
        spoken = {rule.__name__ for m in gathered for rule in INSIGHTS if rule(m) is not None}
        assert spoken >= {
            "breakout_with_volume", "weak_breakout", "timeframes_agree", "changing_speed", "strongest_divergence",
            "unseen_faces", "independent_inputs",
        }  # fmt: skip
        assert not spoken & {"reinforced", "institutional_share", "market_maker_behaviour", "squeeze", "wall"}

    def test_no_sentence_speaks_of_chances(self):
        words = re.compile(r"\b(likely|unlikely|probab\w*|chances?|odds|expect\w*|will|should)\b", re.IGNORECASE)
        for gathered in self.moments():
            for sentence in (*insights(gathered), *actionable_insights(gathered)):
                assert not words.search(sentence), sentence
                assert sentence.endswith(".")
                assert "nan" not in sentence

    def test_every_rule_is_listed_once(self):
        names = [rule.__name__ for rule in (*INSIGHTS, *ACTIONS)]
        assert len(names) == len(set(names)) == 22
