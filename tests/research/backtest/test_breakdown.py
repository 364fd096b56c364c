"""Breakdowns: which trades made it, by symbol, month, regime, face, score and exit reason."""

from functools import partial

import numpy as np
import pytest

from tests.builders import START
from tests.research.backtest.test_backtest import trade, two
from virtuoso.account.records import STOPPED
from virtuoso.clock import Env
from virtuoso.prism.engine.score import score
from virtuoso.prism.face import Face
from virtuoso.prism.faces import orderflow
from virtuoso.prism.faces.technical import RSI
from virtuoso.prism.prism import Prism
from virtuoso.research.backtest.breakdown import breakdowns, labels_of
from virtuoso.research.backtest.round_trips import LIFE
from virtuoso.signals.regime import regimes
from virtuoso.signals.settings import REGIMES

TWO_FACES = Prism(
    (Face("technical", "Technical", {RSI(): 1.0}), orderflow.FACE), {"technical": 0.6, "orderflow": 0.4}, {"1m": 1.0}
)
"""Both of which bars alone can tell something of."""
MINUTE = 60_000
DAY = 1_440


def closed(*pnl, apart=DAY, first=START):
    """Closed trades of one minute each, so many bars apart, each of which risked 10."""
    made = np.zeros(len(pnl), dtype=LIFE)
    made["pnl"], made["risk"], made["side"], made["reason"] = pnl, 10.0, 1, STOPPED
    made["entry_number"] = made["exit_number"] = first + apart * np.arange(len(pnl))
    return made


def row(table, by, name):
    found = table[(table["by"] == by) & (table["name"] == name)]
    assert len(found) == 1
    return found[0]


class TestGroups:
    """Every trade lies in exactly one group of each way of grouping."""

    @pytest.fixture(scope="class")
    @classmethod
    def result(cls):
        return trade(*two(3, n=8_000, score=partial(score, TWO_FACES)))

    def test_the_parts_sum_to_the_whole(self, result):
        table = result.breakdowns
        for by in ("symbol", "side", "month", "regime", "face", "score", "exit reason"):
            rows = table[table["by"] == by]
            assert rows["trades"].sum() == len(result.closed), by
            assert rows["pnl"].sum() == pytest.approx(result.closed["pnl"].sum()), by

    def test_the_first_row_is_of_all_trades(self, result):
        first = result.breakdowns[0]
        assert (first["by"], first["trades"]) == ("all", len(result.closed))
        assert first["fees"] == pytest.approx(result.closed["fees"].sum())

    def test_a_symbol_has_its_own_trades(self, result):
        own = result.closed[result.closed["instrument"] == 1]
        assert row(result.breakdowns, "symbol", "ETHUSDT")["pnl"] == pytest.approx(own["pnl"].sum())

    def test_the_regime_is_that_of_the_decision(self, result):
        labels = labels_of(result.run, result.closed, result.scores)["regime"]
        for k in (0, len(labels) // 2, -1):
            one = result.closed[k]
            scores = result.scores[one["instrument"]]
            code = int(regimes(scores.prism, scores.workspace, int(one["number"]), int(one["number"]) + 1)[0])
            assert labels[k] == ("not known" if code < 0 else REGIMES[code])
        assert len(set(labels) - {"not known"}) >= 3

    def test_the_leading_face_pulled_furthest_to_the_side_of_the_trade(self, result):
        labels = labels_of(result.run, result.closed, result.scores)["face"]
        for k in range(0, len(labels), 7):
            one = result.closed[k]
            scores = result.scores[one["instrument"]]
            at = int(one["number"]) - scores.start
            pulls = {
                f.title: one["side"] * f.weight * f.coverage[at] * (f.score[at] - 50.0) for f in scores.faces.values()
            }
            known = {title: pull for title, pull in pulls.items() if pull == pull}
            assert labels[k] == (max(known, key=known.get) if known else "not known")
        assert set(labels) >= {"Technical", "Orderflow"}

    def test_no_trade_gives_no_row(self):
        assert len(breakdowns(np.empty(0, dtype=LIFE), {}, MINUTE)) == 0


class TestIntervals:
    """95 % intervals of the mean R from whole blocks of time; too few of them are not testable."""

    def test_hold_the_true_mean_about_as_often_as_they_say(self):
        held = 0
        for seed in range(60):
            gained = np.random.default_rng(seed).normal(2.0, 10.0, 80)
            found = breakdowns(closed(*gained), {}, MINUTE, Env(seed=seed))[0]
            held += found["low_r"] <= 0.2 <= found["high_r"]
        assert 51 <= held <= 60

    def test_trades_of_one_day_are_one_observation(self):
        gained = np.repeat(np.random.default_rng(1).normal(2.0, 10.0, 40), 5)
        near = breakdowns(closed(*gained, apart=DAY // 5), {}, MINUTE)[0]
        far = breakdowns(closed(*gained, apart=DAY), {}, MINUTE)[0]
        assert near["mean_r"] == pytest.approx(far["mean_r"])
        assert near["high_r"] - near["low_r"] > 1.5 * (far["high_r"] - far["low_r"])

    def test_a_group_of_few_blocks_is_not_testable(self):
        names = ["often"] * 40 + ["once"] * 2
        table = breakdowns(closed(*np.linspace(-5.0, 8.0, 42)), {"side": names}, MINUTE)
        assert np.isfinite(row(table, "side", "often")["low_r"])
        assert np.isnan(row(table, "side", "once")["low_r"])
        assert np.isfinite(row(table, "side", "once")["mean_r"])

    def test_the_same_seed_gives_the_same_bits(self):
        made = closed(*np.linspace(-5.0, 8.0, 42))
        here, there, other = (breakdowns(made, {}, MINUTE, Env(seed=s)) for s in (1, 1, 2))
        assert here.tobytes() == there.tobytes() != other.tobytes()
