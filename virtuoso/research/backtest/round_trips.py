"""The life of each position: the events of a portfolio, from the fill that opened it to the one that closed it."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.research.backtest.engine import PortfolioRun
from virtuoso.types import Array, Mask

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
    found = [_of_instrument(run, i) for i in range(len(run.panel.instruments))]
    table = np.concatenate(found) if found else np.empty(0, dtype=LIFE)
    return table[np.lexsort((table["instrument"], table["entry_number"]))]


def _of_instrument(run: PortfolioRun, i: int) -> np.ndarray:
    """Lives of one instrument, oldest first: its events are numbered by their life, and summed in their order."""
    mine = np.flatnonzero((run.events["instrument"] == i) & ~np.isin(run.events["kind"], r.UNFILLED))
    kind, size, price = (run.events[name][mine] for name in ("kind", "size", "price"))
    ends = (np.cumsum(size) == 0.0) & (kind != r.FUNDED)  # summed as the account sums them, to the last digit
    life = np.cumsum(ends) - ends
    n = int(life[-1]) + 1 if len(life) else 0
    table = np.zeros(n, dtype=LIFE)
    if n == 0:
        return table
    entered = kind == r.ENTERED
    left_by_exit = ~entered & (kind != r.FUNDED)
    sums = partial(np.bincount, life, minlength=n)
    size_in, left = sums(np.where(entered, size, 0.0)), sums(size)
    open_ = left != 0.0  # the last one alone
    first, last = run.panel.first, int(run.panel.last[i])
    mark = np.where(open_, run.panel.bars[last, i, s.MARK_CLOSE], 0.0)
    entry = sums(np.where(entered, size * price, 0.0)) / size_in
    sold = sums(np.where(left_by_exit, -size * np.nan_to_num(price), 0.0)) + left * mark
    intent_rows = run.intent_of[mine][_first(entered, life, n)]
    intents, instants = run.intents[intent_rows], run.events["instant"][mine]
    begin, end = instants[_first(np.ones(len(mine), bool), life, n)], instants[_last(np.ones(len(mine), bool), life, n)]
    end = np.where(open_, first + last, end)
    gross = sums(run.events["realised"][mine]) + np.where(open_, left * (mark - _held_at(kind, size, price, life)), 0.0)
    fees, funding = sums(run.events["fee"][mine]), sums(run.events["funding"][mine])
    repaired = np.concatenate(([0], np.cumsum(run.panel.repaired[:, i])))
    columns = {
        "instrument": i, "intent": intent_rows, "number": intents["number"], "side": np.where(size_in > 0.0, 1, -1),
        "entry_number": begin, "exit_number": end, "entry_price": entry, "exit_price": sold / size_in,
        "size": np.abs(size_in), "stop": intents["stop"], "risk": np.abs(size_in) * np.abs(entry - intents["stop"]),
        "fees": fees, "slippage": sums(run.events["slippage"][mine]), "funding": funding, "gross": gross,
        "pnl": gross - fees + funding, "targets": sums(kind == r.TARGETED),
        "reason": np.where(open_, STILL_OPEN, kind[_last(left_by_exit, life, n)]),
        "ambiguous": sums(run.events["ambiguous"][mine]) > 0,
        "repaired": repaired[end - first + 1] > repaired[begin - first], "score": intents["score"],
        "reliability": intents["reliability"],
    }  # fmt: skip
    for name, values in columns.items():
        table[name] = values
    return table


def _held_at(kind: NDArray[np.int8], size: Array, price: Array, life: NDArray[np.int64]) -> float:
    """Mean price of what is held in the last life: what enters after a part has left counts beside what was left."""
    held = mean = 0.0
    mine = life == life[-1]
    for of, change, at in zip(kind[mine].tolist(), size[mine].tolist(), price[mine].tolist(), strict=True):
        if of == r.ENTERED:
            mean = (held * mean + change * at) / (held + change)
        held += change
    return mean


def _first(wanted: Mask, life: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Position of the first event of each life that is wanted; 0 where there is none."""
    return _last(wanted[::-1], life[::-1], n, np.arange(len(life))[::-1])


def _last(
    wanted: Mask, life: NDArray[np.int64], n: int, positions: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Position of the last event of each life that is wanted; 0 where there is none."""
    found = np.zeros(n, dtype=np.int64)
    at = np.flatnonzero(wanted)
    found[life[at]] = at if positions is None else positions[at]  # of several the last one stays
    return found
