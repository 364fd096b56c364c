"""Compile what scoring and trading need, beside a first run that is still making its market.

`make demo` on a fresh clone compiles every kernel, in the order in which it comes to them, on one core. What it needs
last needs no market of its own: this scores and trades a random walk, whose arrays are of the same types. numba keeps
what it compiled in files that are written whole and then put in place, so that two processes may fill one cache; what
the demo reaches first it compiles itself, as if this were not there.
"""

from __future__ import annotations

import numpy as np

from virtuoso import workflows
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Env, Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import GapPolicy
from virtuoso.market.schema.columns import COLUMNS
from virtuoso.research.backtest.backtest import backtest
from virtuoso.research.backtest.engine import Account
from virtuoso.research.backtest.panel import FundingTerms

MINUTES = 2_000


def warm() -> None:
    """Score, trade and signal a random walk with every column there is, for the sake of what is compiled on the way."""
    random, minute = Env(seed=7).random(), Timeframe("1m")
    columns = {name: 1e-4 * random.uniform(1.0, 2.0, MINUTES) for name in COLUMNS}
    close = 100.0 + np.cumsum(0.01 * random.standard_normal(MINUTES))
    columns |= {"open": close, "high": close + 0.01, "low": close - 0.01, "close": close, "mark": close, "index": close}
    times = minute.ms * np.arange(MINUTES, dtype=np.int64)
    frame = MarketFrame(Instrument("simulated", "BTCUSDT"), Bars.from_rows(minute, times, columns, GapPolicy("cut", 0)))
    scores = workflows.score(frame)
    backtest([scores], Account(), funding_terms=FundingTerms(0.0, mark_is_last=True))
    workflows.issued(scores, last=1)


if __name__ == "__main__":
    warm()
