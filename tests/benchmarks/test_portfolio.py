"""The portfolio backtest over a symbol-year of minutes, after scoring: one run with its figures, and all comparisons.

`bars_per_s` and `trades` in the extra info are the figures to compare; the density of trades is part of any claim.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.research.scenes import random_intents, unscored
from virtuoso.account.risk import Limits
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.panel import FundingTerms

ACCOUNT = Account(limits=Limits(max_drawdown=0.99, max_leverage=2.8))


def traded(year, made):
    terms = FundingTerms(0.0001, True)
    return backtest([unscored(year)], ACCOUNT, intents_of={year.instrument: made}, funding_terms=terms)


@pytest.fixture(scope="module")
def made(year):
    intents = random_intents(year, 7, 6_000)
    intents["size"] = np.where(np.arange(3) == 0, 1.0, 0.0)
    return intents


def measured(benchmark, year, run):
    result = benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    benchmark.extra_info["bars_per_s"] = round(len(year) / benchmark.stats["min"])
    benchmark.extra_info["trades"] = len(result.trades)


def test_run_and_figures(benchmark, year, made):
    def run():
        result = traded(year, made)
        assert result.metrics["trades"] > 100
        return result

    measured(benchmark, year, run)


def test_run_and_all_comparisons(benchmark, year, made):
    def run():
        result = traded(year, made)
        assert result.optimistic_metrics["trades"] > 100
        assert result.random_entries.draws > 0
        assert result.inverted_metrics["trades"] > 100
        assert len(result.benchmark) == len(year)
        return result

    measured(benchmark, year, run)
