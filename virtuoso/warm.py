"""Compile what scoring and trading need, beside a first run that is still making its market.

`make demo` on a fresh clone compiles every kernel, in the order in which it comes to them, on one core. What it needs
last needs no market of its own: this scores and trades two days of simulated minutes, whose arrays are of the same
types. numba keeps what it compiled in files that are written whole and then put in place, so that two processes may
fill one cache; what the demo reaches first it compiles itself, as if this were not there.
"""

from __future__ import annotations

from typing import Any

from virtuoso import verbs
from virtuoso.account.instrument import Instrument
from virtuoso.clock import Timeframe

SYMBOL, DAYS, SEED = "BTCUSDT", 2, 7


def warm() -> None:
    """Score, trade and signal two days of simulated minutes, for the sake of what is compiled on the way."""
    from virtuoso.market.bars import Bars
    from virtuoso.market.frame import MarketFrame
    from virtuoso.market.gaps import policy_for
    from virtuoso.research.portfolio import Account
    from virtuoso.research.portfolio_backtest import backtest
    from virtuoso.research.stage import FundingTerms
    from virtuoso.venues.simulator import VENUE, simulate

    columns: dict[str, Any] = dict(simulate([SYMBOL], days=DAYS, seed=SEED)[SYMBOL])
    times, minute = columns.pop("open_time"), Timeframe("1m")
    bars = Bars.from_rows(minute, times, columns, policy_for(VENUE, minute.ms))
    scores = verbs.score(MarketFrame(Instrument(VENUE, SYMBOL), bars))
    backtest([scores], Account(), funding_terms=FundingTerms(0.0, mark_is_last=True))
    verbs.issued(scores, last=1)


if __name__ == "__main__":
    warm()
