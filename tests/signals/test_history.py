"""After scores like this: what followed them, as it was known at the close of a bar and never later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from tests.research.scenes import bars, walk, with_confluence
from tests.signals import scenes as market_scenes
from virtuoso.clock import Span
from virtuoso.market.gaps import BREAK
from virtuoso.prism.engine.score import assemble, score
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.signals.history import EDGES, LEAST_BLOCKS, Past, hold_of, looked_back
from virtuoso.signals.message.signal import Signal
from virtuoso.signals.settings import CostSettings, SignalSettings
from virtuoso.signals.strategy import signal_at, signals

HOLD, HISTORY = 15, 250
SETTINGS = SignalSettings(max_age=Span("15m"), history=HISTORY)


def slow(seed: int, n: int) -> np.ndarray:
    """A score that knows nothing and stays where it is for a while."""
    random = np.random.default_rng([seed, 3])
    smooth = np.convolve(random.standard_normal(n + 59), np.ones(60) / 60.0, "valid")
    return np.clip(50.0 + 100.0 * smooth, 0.0, 100.0)


def scored(seed: int = 1, n: int = 6_000, venue: str = "binance-spot"):
    return with_confluence(walk(seed, n, venue), slow(seed, n))


def by_hand(scores, number: int, history: int = HISTORY):
    """The same from its definition, bar after bar."""
    base, first = scores.frame.base, scores.frame.base.first
    open_, close = base.columns["open"], base.columns["close"]
    own = scores.confluence[number - first]
    k = min(np.searchsorted(EDGES, own, side="right") - 1, len(EDGES) - 2)
    low, high = EDGES[k], EDGES[k + 1]
    moves, at = [], []
    for u in range(max(first, number - history * HOLD - HOLD + 1), number - HOLD + 1):
        there = scores.confluence[u - first]
        if low <= there < high:
            moves.append(1e4 * (close[u - first + HOLD] / open_[u - first + 1] - 1.0))
            at.append(u)
    moves, at = np.array(moves), np.array(at)
    mean = moves.mean()
    block = at // (3 * HOLD)
    names = np.unique(block)
    strays = sum(((moves - mean)[block == name].sum()) ** 2 for name in names)
    error = np.sqrt(9.0 / 8.0 * strays * len(names) / (len(names) - 1)) / len(moves)
    away = student.ppf(0.975, len(names) - 1) * error
    return len(moves), len(np.unique(at // HOLD)), mean, mean - away, mean + away, (moves > 0.0).mean()


class TestWhatFollowed:
    """Mean, interval, share upwards, windows: from their definition."""

    @pytest.mark.parametrize("back", [1, 7, 400])
    def test_is_that_of_a_loop_over_the_bars(self, back):
        scores = scored()
        number = scores.frame.base.end - back
        found, expected = Past.of(scores, SETTINGS).after(number), by_hand(scores, number)
        assert (found.bars, found.windows) == expected[:2]
        assert (found.mean, found.mean_low, found.mean_high, found.up) == pytest.approx(expected[2:])
        assert found.is_known
        assert found.low <= scores.confluence[-back] < found.high

    def test_the_interval_holds_nothing_in_nineteen_of_twenty_markets_without_knowledge(self):
        """Slow scores and overlapping moves: an interval of independent bars would miss it far more often."""
        missed = asked = naive = 0
        for seed in range(160):
            scores = scored(seed, 4_000)
            found = Past.of(scores, SETTINGS).after(scores.frame.base.end - 1)
            if found.is_known:
                asked += 1
                missed += not found.mean_low <= 0.0 <= found.mean_high
                away = 1.96 * 8.0 * HOLD**0.5 / found.bars**0.5
                naive += abs(found.mean) > away
        assert asked > 100
        assert missed <= 0.09 * asked
        assert naive > 0.25 * asked

    def test_is_not_known_after_too_few(self):
        scores = scored(n=400)
        found = Past.of(scores, SETTINGS).after(scores.frame.base.end - 1)
        assert not found.is_known
        assert found.windows < 3 * LEAST_BLOCKS
        assert "not known, too few" in found.words()
        assert "cost 14 bp" in found.words()

    def test_of_a_score_that_is_not_known_is_not_known(self):
        confluence = slow(1, 600)
        confluence[-1] = np.nan
        scores = with_confluence(walk(1, 600), confluence)
        found = Past.of(scores, SETTINGS).after(scores.frame.base.end - 1)
        assert "not known, since the score is not" in found.words()

    def test_is_written_in_one_line(self):
        scores = scored()
        found = Past.of(scores, SETTINGS).after(scores.frame.base.end - 1)
        assert found.words().startswith(f"after scores like this: mean {found.mean:+.1f} bp ({found.mean_low:+.0f}, ")
        assert f"up {100 * found.up:.0f} %, cost 14 bp; " in found.words()


class TestTheHorizon:
    """The hold that the weights declare, else the age of a signal."""

    def test_is_that_of_the_weights_first(self):
        prism = scored(n=100).prism
        assert hold_of(prism, SETTINGS) == Span("15m")
        assert hold_of(replace(prism, horizon=Span("1h")), SETTINGS) == Span("1h")

    def test_is_a_bar_at_least(self):
        scores = with_confluence(walk(1, 300, "binance-spot"), slow(1, 300))
        found = Past.of(scores, SETTINGS.model_copy(update={"max_age": Span("10s")}))
        assert (found.hold, found.horizon.text) == (1, "1m")


class TestWhatWasKnown:
    """Nothing of a hold that had not ended counts, nothing of another instrument, nothing from too far back."""

    def test_moves_that_had_not_ended_do_not_count(self):
        whole = scored()
        number = whole.frame.base.end - 200
        known = Past.of(whole, SETTINGS).after(number)
        frame = whole.frame.until((number + 1) * 60_000)
        cut = with_confluence(frame, whole.confluence[: len(frame)])
        assert Past.of(cut, SETTINGS).after(number) == known

    def test_whatever_comes_later_changes_nothing(self):
        whole = scored()
        number = whole.frame.base.end - 200
        known = Past.of(whole, SETTINGS).after(number)
        columns = {name: values.copy() for name, values in whole.frame.base.columns.items()}
        for values in columns.values():
            values[-199:] *= 3.0
        other = replace(whole.frame, base=replace(whole.frame.base, columns=columns))
        later = np.concatenate((whole.confluence[:-199], np.full(199, 1.0)))
        assert Past.of(with_confluence(other, later), SETTINGS).after(number) == known

    def test_what_lies_too_far_back_changes_nothing(self):
        whole = scored()
        number = whole.frame.base.end - 1
        known = Past.of(whole, SETTINGS).after(number)
        far = len(whole) - (HISTORY + 1) * HOLD
        changed = whole.confluence.copy()
        changed[:far] = 100.0 - changed[:far]
        assert Past.of(with_confluence(whole.frame, changed), SETTINGS).after(number) == known
        assert looked_back(whole.prism, SETTINGS, whole.frame.timeframe) == (HISTORY + 1) * HOLD

    def test_of_another_instrument_of_the_same_name_nothing_counts(self):
        whole = scored()
        state = whole.frame.base.state.copy()
        state[-300] = BREAK
        frame = replace(whole.frame, base=replace(whole.frame.base, state=state))
        found = Past.of(with_confluence(frame, whole.confluence), SETTINGS).after(frame.base.end - 1)
        assert found.bars <= 300 - HOLD
        assert not found.is_known


class TestTheCost:
    """A round trip as a taker, and funding over the hold: recorded, else declared, else not known."""

    def test_is_what_is_declared(self):
        settings = SETTINGS.model_copy(update={"costs": CostSettings(taker=0.001, slippage=0.0, funding=0.0004)})
        scores = scored(venue="binance-usdm")
        found = Past.of(scores, settings).after(scores.frame.base.end - 1)
        assert found.cost == pytest.approx(20.0)
        assert found.funding == pytest.approx(4.0 / 32.0)

    def test_funding_that_is_neither_recorded_nor_declared_is_not_known_and_spot_pays_none(self):
        perpetual, spot = scored(venue="binance-usdm"), scored(venue="binance-spot")
        assert np.isnan(Past.of(perpetual, SETTINGS).after(perpetual.frame.base.end - 1).funding)
        assert Past.of(spot, SETTINGS).after(spot.frame.base.end - 1).funding == 0.0

    def test_recorded_spread_and_funding_come_first(self):
        plain = scored(venue="binance-usdm")
        n = len(plain.frame.base)
        columns = {**plain.frame.base.columns, "spread": np.full(n, 0.2), "funding_rate": np.full(n, 0.0003)}
        frame = replace(plain.frame, base=replace(plain.frame.base, columns=columns))
        found = Past.of(with_confluence(frame, plain.confluence), SETTINGS).after(frame.base.end - 1)
        close = columns["close"][-1]
        assert found.cost == pytest.approx(2e4 * (0.0005 + 0.1 / close))
        assert found.funding == pytest.approx(3.0 / 32.0)


class TestASignalCarriesIt:
    """In its JSON, with its reasons and what the weights have shown; the same in batch and live."""

    SETTINGS = market_scenes.SETTINGS.model_copy(update={"history": 30})

    def test_as_it_was_known_at_its_bar(self):
        scores = market_scenes.scores()
        made = signal_at(scores, self.SETTINGS)
        after = Past.of(scores, self.SETTINGS).after(scores.start + len(scores) - 1)
        assert made.history is not None
        assert made.history.text == after.words()
        assert made.history.horizon == hold_of(scores.prism, self.SETTINGS).text
        assert made.weights == scores.prism.standing
        assert Signal.from_json(made.to_json()) == made

    def test_a_signal_of_an_earlier_version_is_still_read(self):
        import json

        made = json.loads(signal_at(market_scenes.scores(), self.SETTINGS).to_json())
        del made["history"], made["weights"]
        assert Signal.from_json(json.dumps(made)).history is None

    def test_bar_by_bar_on_a_growing_history_it_is_the_same(self):
        """The hold is short, so that something is known, and changes from signal to signal."""
        prism = replace(market_scenes.PRISM, horizon=Span("5m"))
        whole = signals(score(prism, market_scenes.frame(), block=64), self.SETTINGS)
        first = market_scenes.frame().base.first
        at = market_scenes.busiest(np.array([s.timestamp // 60_000 - 1 for s in whole]), 60) - first
        workspace, live = Workspace(market_scenes.until(at), block=64), []
        for i in range(at, at + 60):
            workspace.grow(market_scenes.until(i + 1))
            live += signals(assemble(prism, workspace, first + i, first + i + 1), self.SETTINGS)
        expected = [s for s in whole if first + at < s.timestamp // 60_000 <= first + at + 60]
        assert live == expected
        assert len({s.history.text for s in live}) > 3

    def test_only_bars_of_one_market_are_needed(self):
        frame = bars(*[(100.0, 100.0, 100.0, 100.0)] * 50)
        found = Past.of(with_confluence(frame, np.full(50, 60.0)), SETTINGS).after(frame.base.end - 1)
        assert found.bars == 50 - HOLD
        assert not found.is_known
