"""The figures of one configuration that was run in full by `backtest.engine`: the row that a sweep writes of it."""

from __future__ import annotations

import numpy as np

from virtuoso.account import state as s
from virtuoso.account.metrics import max_drawdown
from virtuoso.jit.kernel import kernel
from virtuoso.research.backtest.engine import PortfolioRun
from virtuoso.research.sweep.accounts import count_events
from virtuoso.research.sweep.plans import (
    DRAWDOWN,
    EQUITY,
    FIGURES,
    HALTED,
    HALTED_EQUITY,
    HALTED_ON,
    HELD_BARS,
    keep_flows,
)
from virtuoso.research.sweep.scores import Rows
from virtuoso.types import Array


def measured(run: PortfolioRun, days: Rows, flows: Array) -> tuple[Array, Array]:
    """Measure a run of one instrument.

    Parameters
    ----------
    run : PortfolioRun
    days : array of int64, shape (n_days,)
        Last bar that has closed by the end of each whole day; -1 where none has.
    flows : Array, shape (n_days, len(FLOWS))
        Written: figures by the end of each day; with no days they are not kept.

    Returns
    -------
    tuple of Array
        Its figures, shape (len(FIGURES),), and equity at the end of each day, quote currency, shape (n_days,).
    """
    figures, cash = np.zeros(len(FIGURES)), run.account.cash
    events = np.column_stack([run.events[name].astype(np.float64) for name in run.events.dtype.names or ()])
    _add_up(np.ascontiguousarray(events), days + run.panel.first, figures, flows)
    figures[HELD_BARS] = np.count_nonzero(run.exposure)
    figures[EQUITY], figures[DRAWDOWN] = run.equity[-1], max_drawdown(run.equity, cash)
    reached = len(run.halts) > 0
    figures[HALTED] = float(reached)
    figures[HALTED_ON] = run.halts[0] - run.panel.first if reached else -1.0
    figures[HALTED_EQUITY] = run.halt_equity[0] if reached else np.nan
    return figures, np.where(days < 0, cash, run.equity[days])


@kernel
def _add_up(events: Array, days: Rows, figures: Array, flows: Array) -> None:
    """Add up what all events cost, and what each position brought that ends with them; days by number of their bar."""
    life, seen = np.zeros(3), 0
    for day in range(len(flows)):
        until = seen
        while until < len(events) and events[until, s.EVENT_INSTANT] <= days[day]:
            until += 1
        seen = count_events(events, seen, until, life, figures)
        keep_flows(flows, day, day + 1, figures)
    count_events(events, seen, len(events), life, figures)
