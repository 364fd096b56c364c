"""Entries by regime: the gate of the strategy, seen from a backtest."""

from __future__ import annotations

from dataclasses import replace

from tests.builders import hours
from tests.signals import scenes
from virtuoso.account.risk import Limits
from virtuoso.clock import Span
from virtuoso.prism.engine.score import score
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.panel import FundingTerms
from virtuoso.signals.decision import stopped_entries
from virtuoso.signals.regime import REGIMES, regimes_at
from virtuoso.signals.settings import SignalSettings
from virtuoso.signals.strategy import RuleStrategy

HOURLY = replace(scenes.PRISM, timeframes={"1h": 0.7, "4h": 0.3})
RULE = SignalSettings(min_coverage=0.1, max_age=Span("12h"), bull_enter=60.0, bear_enter=40.0)
SCORES = score(HOURLY, hours(bars=5_000), block=scenes.BLOCK)
ACCOUNT = Account(limits=Limits(max_drawdown=0.99))


def traded(settings):
    strategy = RuleStrategy.of([SCORES], settings)
    return backtest([SCORES], ACCOUNT, strategy=strategy, funding_terms=FundingTerms(0.0, mark_is_last=True))


class TestInABacktest:
    """What the gate stops is not traded, and is counted among what was refused."""

    def test_trades_are_made_in_the_named_regimes_alone_and_the_rest_is_counted(self):
        settings = RULE.model_copy(update={"regimes": ("volatile range",)})
        result = traded(settings)
        codes = regimes_at(HOURLY, SCORES.workspace, result.trade_records["number"])
        assert {REGIMES[code] for code in codes} == {"volatile range"}
        counted = {name: n for name, n in result.counts.items() if " in a " in name or "regime" in name}
        assert set(counted) == {"refused: in a calm range", "refused: in a calm trend", "refused: regime not known"}
        assert sum(counted.values()) == sum(stopped_entries(SCORES, settings).values())
        assert f"{counted['refused: in a calm range']} in a calm range" in result.summary()

    def test_without_a_gate_nothing_is_counted(self):
        assert not [name for name in traded(RULE).counts if " in a " in name or "regime" in name]
