"""Entry by what is expected: the net move of a hold against round trips, fitted on what was known, left at the sign."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from tests.research.scenes import bars, walk, with_confluence
from tests.signals import scenes as market_scenes
from virtuoso.clock import Span
from virtuoso.errors import ConfigError, NoDataError
from virtuoso.prism.engine.score import assemble
from virtuoso.signals.decision import decide
from virtuoso.signals.edge import edges_of
from virtuoso.signals.history import Past
from virtuoso.signals.moves import deviations, period_of_hold
from virtuoso.signals.rule import apply_rule, states
from virtuoso.signals.settings import CostSettings, SignalSettings
from virtuoso.signals.strategy import RuleStrategy, intents, signals

HOLD = 15
SETTINGS = SignalSettings(min_edge=2.0, max_age=Span("15m"), history=250, min_coverage=0.0)


def slow(seed: int, n: int) -> np.ndarray:
    """A score that stays where it is for a while."""
    random = np.random.default_rng([seed, 4])
    smooth = np.convolve(random.standard_normal(n + 59), np.ones(60) / 60.0, "valid")
    return np.clip(50.0 + 100.0 * smooth, 0.0, 100.0)


def planted(seed: int = 1, n: int = 6_000, bp: float = 6.0, venue: str = "binance-spot"):
    """A market that drifts by so many bp a bar after each deviation of its score."""
    score = slow(seed, n)
    random = np.random.default_rng([seed, 5])
    drift = np.concatenate(([0.0], (score[:-1] - 50.0) / 13.0)) * bp * 1e-4
    close = 100.0 * np.exp(np.cumsum(drift + random.normal(0.0, 8e-4, n)))
    open_ = np.concatenate(([100.0], close[:-1]))
    table = np.column_stack((open_, np.maximum(open_, close), np.minimum(open_, close), close))
    return with_confluence(bars(*table, venue=venue), score)


def covered(scores):
    """The same scores with all of the weight known."""
    return replace(scores, coverage=np.ones(len(scores)))


class TestWhatIsExpected:
    """Slope x standardised score x deviation; the slope by least squares on ended holds, shrunk by its t."""

    def test_is_that_of_numpy(self):
        scores = covered(planted())
        base = scores.frame.base
        found = edges_of(scores, SETTINGS, 0)
        number = base.end - 4
        fitted = number // HOLD * HOLD
        low, high = fitted - 251 * HOLD + 1 - base.first, fitted - HOLD + 1 - base.first
        sd = deviations(base, base.first, len(base), period_of_hold(HOLD)) * HOLD**0.5
        opened, closed = base.columns["open"], base.columns["close"]
        at = np.arange(low, high)
        money = np.clip(1e4 * (closed[at + HOLD] / opened[at + 1] - 1.0) / sd[at], -3.0, 3.0)
        x = (scores.confluence[at] - scores.confluence[at].mean()) / scores.confluence[at].std()
        slope, level = np.polyfit(x, money, 1)
        block = (base.first + at) // (3 * HOLD)
        names = np.unique(block)
        strays = [(x * (money - level - slope * x))[block == name].sum() for name in names]
        error = np.sqrt(9 / 8 * np.sum(np.square(strays)) * len(names) / (len(names) - 1)) / (x @ x)
        t2 = (slope / error) ** 2
        z = (scores.confluence[-4] - scores.confluence[at].mean()) / scores.confluence[at].std()
        expected = slope * t2 / (1.0 + t2) * np.clip(z, -3.0, 3.0) * sd[-4]
        assert found.move[-4] == pytest.approx(expected, rel=1e-9)
        assert t2 > 20.0

    def test_what_the_market_did_whatever_the_score_was_is_not_in_it(self):
        """A rising market alone is no reason to buy after any score."""
        n = 6_000
        up = walk(3, n, "binance-spot", drift=2e-4)
        rule = apply_rule(covered(with_confluence(up, slow(3, n))), SETTINGS)
        assert rule.edges is not None
        known = np.isfinite(rule.edges.move)
        assert known.mean() > 0.5
        assert abs(rule.edges.move[known].mean()) < 3.0
        assert (rule.state == 0).mean() > 0.95

    def test_is_not_known_before_there_is_history(self):
        rule = apply_rule(covered(planted(n=400)), SETTINGS)
        assert rule.edges is not None
        assert np.isnan(rule.edges.move).all()
        assert (rule.state == 0).all()
        assert "what to expect over 15m is not known" in rule.reason(399)


class TestTheRule:
    """A side begins where the net move exceeds k round trips, and ends where the expected move turns its sign."""

    def test_enters_where_something_was_planted_and_hardly_where_nothing_was(self):
        found = apply_rule(covered(planted()), SETTINGS)
        nothing = apply_rule(covered(with_confluence(walk(2, 6_000, "binance-spot"), slow(2, 6_000))), SETTINGS)
        assert (found.state != 0).mean() > 0.2
        assert {-1, 1} <= set(found.state.tolist())
        assert (nothing.state == 0).all()

    def test_begins_above_k_round_trips_net_of_funding_and_ends_at_the_sign(self):
        costs = CostSettings(funding=0.0032)  # 1 bp over a hold of 15m
        settings = SETTINGS.model_copy(update={"costs": costs})
        rule = apply_rule(covered(planted(venue="binance-usdm")), settings)
        edges, state, before = rule.edges, rule.state, rule.before
        assert edges is not None
        assert edges.funding == pytest.approx(np.full(len(state), 1.0))
        begun_long, begun_short = (state == 1) & (before != 1), (state == -1) & (before != -1)
        assert begun_long.sum() > 5
        assert begun_short.sum() > 5
        assert (edges.move[begun_long] - 1.0 > 28.0).all()
        assert (edges.move[begun_short] < -28.0).all()
        assert (edges.move[state == 1] > 0.0).all()
        assert (edges.move[state == -1] < 0.0).all()
        left = (state == 0) & (before == 1)
        recent = np.array([(edges.move[max(i - HOLD + 1, 0) : i + 1] - 1.0 > 28.0).any() for i in np.flatnonzero(left)])
        assert ((edges.move[left] <= 0.0) | ~recent).all()

    def test_dearer_trades_are_fewer(self):
        shares = [
            (apply_rule(covered(planted()), SETTINGS.model_copy(update={"costs": costs})).state != 0).mean()
            for costs in (CostSettings(), CostSettings(taker=0.001), CostSettings(taker=0.01))
        ]
        assert shares[0] > shares[1] > shares[2] == 0.0

    def test_a_wide_spread_forbids(self):
        plain = planted()
        columns = {**plain.frame.base.columns, "spread": np.full(len(plain), 2.0)}
        frame = replace(plain.frame, base=replace(plain.frame.base, columns=columns))
        assert (apply_rule(covered(with_confluence(frame, plain.confluence)), SETTINGS).state == 0).all()

    def test_says_why(self):
        rule = apply_rule(covered(planted()), SETTINGS)
        begun = int(np.flatnonzero((rule.state != 0) & (rule.before == 0))[0])
        assert "exceeds 2 round trips of 14 bp" in rule.reason(begun)
        out = int(np.flatnonzero((rule.state == 0) & (rule.before == 0) & np.isfinite(rule.edges.move))[0])
        assert "does not exceed 2 round trips of 14 bp" in rule.reason(out)
        assert rule.awaited(out) == "the move expected over 15m exceeds 2 round trips of 14 bp net of funding"

    def test_off_it_is_the_rule_of_thresholds_bit_for_bit(self):
        scores, settings = market_scenes.scores(), market_scenes.SETTINGS
        rule = apply_rule(scores, settings)
        assert settings.min_edge == 0.0
        assert rule.edges is None
        expected = states(scores.confluence, scores.coverage, settings, scores.frame.timeframe)
        assert np.array_equal(rule.state, expected)

    @pytest.mark.parametrize("k", [0.5, 1.0, 1.99, -1.0])
    def test_less_than_two_round_trips_is_refused(self, k):
        with pytest.raises(ValidationError, match="min_edge"):
            SignalSettings(min_edge=k)

    def test_and_says_what_it_may_be(self):
        from virtuoso.config import Settings
        from virtuoso.errors import ConfigError

        with pytest.raises(ConfigError, match=r"min_edge.* must be 0 \(off\) or at least 2, was 1"):
            Settings.load(env={}, overrides={"signals": {"min_edge": 1}})

    def test_funding_that_is_not_known_is_refused_with_the_remedy(self):
        with pytest.raises(NoDataError, match="--assume-funding"):
            apply_rule(covered(planted(venue="binance-usdm")), SETTINGS)


class TestTheLaw:
    """Cut the end anywhere, ask for a window, go bar by bar: the same decisions."""

    PRISM = replace(market_scenes.PRISM, horizon=Span("5m"))
    SETTINGS = market_scenes.SETTINGS.model_copy(
        update={"min_edge": 2.0, "history": 100, "costs": CostSettings(taker=0.0, slippage=1e-6, funding=0.0)}
    )

    def whole(self):
        return assemble(
            self.PRISM, market_scenes.scores().workspace, market_scenes.frame().start, market_scenes.frame().stop
        )

    def test_decides_something_on_the_market(self):
        made = intents(self.whole(), self.SETTINGS)
        assert len(made) > 50
        assert {-1, 0, 1} == set(made["side"].tolist())

    @pytest.mark.parametrize("at", [3_001, 5_555, 6_998])
    def test_of_a_cut_history_they_are_the_beginning(self, at):
        from virtuoso.prism.engine.score import score

        whole = intents(self.whole(), self.SETTINGS)
        part = intents(score(self.PRISM, market_scenes.until(at), block=64), self.SETTINGS)
        count = int((whole["number"] < market_scenes.frame().base.first + at).sum())
        assert part.tobytes() == whole[:count].tobytes()

    @pytest.mark.parametrize(("at", "length"), [(2_000, 1), (4_321, 97), (6_000, 600)])
    def test_of_a_window_they_are_a_part(self, at, length):
        whole = intents(self.whole(), self.SETTINGS)
        a = market_scenes.frame().base.first + at
        part = intents(assemble(self.PRISM, market_scenes.scores().workspace, a, a + length), self.SETTINGS)
        inside = whole[(whole["number"] >= a) & (whole["number"] < a + length)]
        assert part.tobytes() == inside.tobytes()

    def test_whatever_comes_later_changes_nothing(self):
        plain = planted()
        columns = {name: values.copy() for name, values in plain.frame.base.columns.items()}
        for values in columns.values():
            values[-1_000:] *= 2.0
        frame = replace(plain.frame, base=replace(plain.frame.base, columns=columns))
        other = with_confluence(frame, np.concatenate((plain.confluence[:-1_000], np.full(1_000, 99.0))))
        one, two = (apply_rule(covered(scores), SETTINGS) for scores in (plain, other))
        assert one.state[:-1_000].tobytes() == two.state[:-1_000].tobytes()
        assert one.edges.move[:-1_000].tobytes() == two.edges.move[:-1_000].tobytes()

    def test_a_signal_lapses_with_its_hold(self):
        made = signals(self.whole()[6_500:], self.SETTINGS)
        assert made
        assert {signal.expires_at - signal.timestamp for signal in made} == {300_000}


class TestWhereItCannotBeUsed:
    """Said, with the remedy."""

    def test_a_sweep_refuses_it(self):
        from virtuoso.clock import Env
        from virtuoso.research.sweep.grid import Configurations
        from virtuoso.research.sweep.sweep import sweep

        scores = market_scenes.scores()
        tried = Configurations.around(scores.prism, TestTheLaw.SETTINGS, 3, Env(seed=1))
        with pytest.raises(ConfigError, match=r"Sweep with signals\.min_edge=0"):
            sweep(scores, tried)

    def test_the_laws_are_told_that_they_cannot_take_it_apart(self):
        with pytest.raises(ConfigError, match="check for look-ahead"):
            RuleStrategy(signals=SETTINGS).decide(np.zeros(3), np.ones(3), market_scenes.frame().timeframe)

    def test_decisions_hold_the_history_too(self):
        decided = decide(TestTheLaw().whole(), TestTheLaw.SETTINGS)
        assert isinstance(decided.past, Past)


class TestABacktest:
    """Measures the move in what its account pays, and its orders are found to know of no later bar."""

    def settings(self, **signals):
        from virtuoso.config import Settings

        return Settings.load(
            env={}, overrides={"signals": {"min_edge": 2, "history": 250, "min_coverage": 0, **signals}}
        )

    def traded(self, **terms):
        import virtuoso as vt

        scores = covered(planted())
        scores = replace(scores, prism=replace(scores.prism, horizon=Span("15m")))
        return vt.backtest(scores, settings=self.settings(), record=False, **terms)

    def test_of_a_dearer_account_trades_less(self):
        results = [self.traded(taker=taker) for taker in (0.0, 0.0005, 0.01)]
        entered = [int((result.intents_of[result.instruments[0]]["side"] != 0).sum()) for result in results]
        assert entered[0] > entered[1] > entered[2] == 0

    def test_is_found_to_know_of_no_later_bar(self):
        import virtuoso as vt
        from virtuoso.research.backtest.judgement import foresight_of

        scores = TestTheLaw().whole()
        settings = self.settings(history=100, min_coverage=0.1)
        terms = {"taker": 0.0, "maker": 0.0, "slippage": 1e-6, "assume_funding": 0.0, "mark": "last"}
        result = vt.backtest(scores, settings=settings, record=False, **terms)
        assert len(result.intents_of[result.instruments[0]]) > 50
        found = foresight_of(result)
        assert found is not None
        assert found.holds, found.detail
