"""What is compiled beside a first run is what that run needs."""

from __future__ import annotations

from numba.core import event

from tests.builders import market
from virtuoso import workflows
from virtuoso.precompile import warm
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.panel import FundingTerms


def test_bars_of_another_source_then_need_no_compilation():
    warm()
    with event.install_recorder("numba:compile") as compiled:
        scores = workflows.score(market(bars=2_000))
        terms = FundingTerms(0.0001, mark_is_last=True)
        assert backtest([scores], Account(), funding_terms=terms).metrics
        workflows.issued(scores, last=1)
    assert [at.data["dispatcher"] for _, at in compiled.buffer] == []
