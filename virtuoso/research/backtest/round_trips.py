"""The life of each position: the events of a portfolio, from the fill that opened it to the one that closed it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.research.backtest.engine import PortfolioRun

STILL_OPEN = -1
REASONS = {
    STILL_OPEN: "open", r.CLOSED: "signal", r.STOPPED: "stop", r.TARGETED: "target", r.LIQUIDATED: "liquidation",
    r.BROKEN: "break",
}  # fmt: skip
"""Why a life ended, by the kind of its last event."""

LIFE = np.dtype(
    [
        ("instrument", np.int64),  # position among those of the stage
        ("intent", np.int64),  # row of the intent that opened it
        ("number", np.int64),  # bar at whose close that was decided
        ("side", np.int8),  # 1 long, -1 short
        ("entry_number", np.int64),  # bar of the first fill
        ("exit_number", np.int64),  # bar of the last fill, of the last mark while open
        ("entry_price", np.float64),  # mean of the fills, slippage included
        ("exit_price", np.float64),  # the same; the last mark counts for what is still open
        ("size", np.float64),  # base currency, all that was entered
        ("stop", np.float64),  # price when it was entered, NaN for none
        ("risk", np.float64),  # quote currency lost if the fill at the stop were exact, NaN without a stop
        ("fees", np.float64),  # quote currency
        ("slippage", np.float64),  # quote currency
        ("funding", np.float64),  # quote currency, received if positive
        ("gross", np.float64),  # quote currency, of prices alone, slippage included
        ("pnl", np.float64),  # gross - fees + funding
        ("targets", np.int8),  # how many were reached
        ("reason", np.int8),  # code of REASONS
        ("ambiguous", np.bool_),  # the order of prices inside a bar decided it
        ("repaired", np.bool_),  # a bar of its life is repaired or follows a gap
        ("score", np.float64),  # confluence of the intent, 0..100
        ("reliability", np.float64),  # of the intent, 0..1
    ]
)
"""One row a life, in the order of the entries."""


def lives(run: PortfolioRun) -> np.ndarray:
    """Put the events of each position together.

    Parameters
    ----------
    run : PortfolioRun

    Returns
    -------
    array of LIFE
        The last one of an instrument may be open; it is marked to the last known mark.
    """
    found = [row for i in range(len(run.panel.instruments)) for row in _of_instrument(run, i)]
    table = np.array(found, dtype=LIFE) if found else np.empty(0, dtype=LIFE)
    return table[np.lexsort((table["instrument"], table["entry_number"]))]


def _of_instrument(run: PortfolioRun, i: int) -> list[tuple[object, ...]]:
    """Lives of one instrument, oldest first."""
    mine = np.flatnonzero((run.events["instrument"] == i) & ~np.isin(run.events["kind"], r.UNFILLED))
    held = np.cumsum(run.events["size"][mine])
    ends = np.flatnonzero((held == 0.0) & (run.events["kind"][mine] != r.FUNDED))  # summed as the account sums them
    bounds = [0, *(ends + 1).tolist()]
    if bounds[-1] < len(mine):
        bounds.append(len(mine))
    return [_life(run, i, mine[a:b]) for a, b in pairwise(bounds)]


def _held_at(events: np.ndarray) -> float:
    """Mean price of what is held in the end: what was entered after a part had left counts with what was left."""
    size = price = 0.0
    for kind, change, at in events[["kind", "size", "price"]].tolist():
        if kind == r.ENTERED:
            price = (size * price + change * at) / (size + change)
        size += change
    return price


def _life(run: PortfolioRun, i: int, rows: NDArray[np.int64]) -> tuple[object, ...]:
    events, first = run.events[rows], run.panel.first
    entries = events["kind"] == r.ENTERED
    exits = ~entries & (events["kind"] != r.FUNDED)
    size, left = float(events["size"][entries].sum()), float(np.cumsum(events["size"])[-1])
    entry = float((events["size"] * events["price"])[entries].sum()) / size
    open_ = left != 0.0
    kind = STILL_OPEN if open_ else int(events["kind"][exits][-1])
    intent_row = int(run.intent_of[rows[entries][0]])
    intent = run.intents[intent_row]
    last = int(run.panel.last[i])
    mark = float(run.panel.bars[last, i, s.MARK_CLOSE]) if open_ else 0.0
    gross = float(events["realised"].sum()) + (left * (mark - _held_at(events)) if open_ else 0.0)
    sold = float((-events["size"] * np.nan_to_num(events["price"]))[exits].sum()) + left * mark
    fees, funding = float(events["fee"].sum()), float(events["funding"].sum())
    begin, end = int(events["instant"][0]), first + last if open_ else int(events["instant"][-1])
    return (
        i, intent_row, int(intent["number"]), 1 if size > 0.0 else -1, begin, end, entry, sold / size, abs(size),
        float(intent["stop"]), abs(size) * abs(entry - float(intent["stop"])), fees, float(events["slippage"].sum()),
        funding, gross, gross - fees + funding, int((events["kind"] == r.TARGETED).sum()), kind,
        bool(events["ambiguous"].any()), bool(run.panel.repaired[begin - first : end - first + 1, i].any()),
        float(intent["score"]), float(intent["reliability"]),
    )  # fmt: skip
