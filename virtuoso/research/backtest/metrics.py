"""Measures of a portfolio run: its account, its trades, what it paid, how much of it rests on doubtful data.

The figures come from `account/metrics.py`; here they are taken from events and lives. NaN is *not testable*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.account import metrics
from virtuoso.account import records as r
from virtuoso.account import state as s
from virtuoso.market.frame import MarketFrame
from virtuoso.research.backtest.engine import PortfolioRun
from virtuoso.research.backtest.round_trips import STILL_OPEN
from virtuoso.types import Array

SAFE_QUANTILE = 0.10


def measure(run: PortfolioRun, lives: np.ndarray) -> dict[str, float]:
    """Measure a run by its equity and its trades.

    Parameters
    ----------
    run : PortfolioRun
    lives : array of LIFE
        Those of the run.

    Returns
    -------
    dict of str to float
        Money in quote currency; the ratios are withheld where hardly anything was traded.
    """
    panel, cash = run.panel, run.account.cash
    days = len(panel) * panel.timeframe.ms / metrics.DAY_MS
    traded, first = traded_notional(run), int(panel.open_times[0])
    hours = (lives["exit_number"] - lives["entry_number"] + 1) * (panel.timeframe.ms / 3_600_000)
    return metrics.judged(
        metrics.account_metrics(close_times(run), run.equity, cash, first)
        | metrics.trade_metrics(lives, STILL_OPEN)
        | {
            "funding": float(run.events["funding"].sum()),
            "exposure": metrics.exposure(run.exposure > 0.0),
            "mean_leverage": _mean_leverage(run),
            "mean_hours": float(hours.mean()) if len(hours) else float("nan"),
            "turnover": metrics.turnover(traded, run.equity, days),
            "traded": traded,
            "days": days,
        }
    )


def close_times(run: PortfolioRun) -> NDArray[np.int64]:
    """Moments at which equity was marked, ms."""
    return run.panel.open_times + run.panel.timeframe.ms


def fills(run: PortfolioRun) -> NDArray[np.bool_]:
    """Which events changed a position."""
    filled: NDArray[np.bool_] = (run.events["size"] != 0.0) & ~np.isin(run.events["kind"], r.UNFILLED)
    return filled


def traded_notional(run: PortfolioRun) -> float:
    """Notional of all fills, quote currency."""
    done = run.events[fills(run)]
    return float((np.abs(done["size"]) * done["price"]).sum())


def _mean_leverage(run: PortfolioRun) -> float:
    """Mean of the notional over the equity, of the bars at whose close a position was held."""
    held = (run.exposure > 0.0) & (run.equity > 0.0)
    return float((run.exposure[held] / run.equity[held]).mean()) if held.any() else 0.0


def counts(run: PortfolioRun, lives: np.ndarray) -> dict[str, int]:
    """How often each thing happened that a reader should know of."""
    kinds, sides = run.events["kind"], run.intents["side"]
    spot = np.array([name.is_spot for name in run.panel.instruments], dtype=bool)
    entered = run.intents[lives["intent"]]
    last = run.panel.first + run.panel.last[run.instrument_of]
    one_bar = lives["entry_number"] == lives["exit_number"]
    unpaid = _unpaid(run)
    return {
        "intents": len(run.intents),
        "intents to open": int((sides != 0).sum()),
        "opened": len(lives),
        **{f"refused: {name}": n for name, n in run.refused.items()},
        **{f"cut: {name}": n for name, n in run.cut.items()},
        "cut: cash": unpaid,
        **_not_enforced(run),
        "refused: short on spot": int((spot[run.instrument_of] & (sides < 0)).sum()),
        "refused: decided at the last bar": int(((run.intents["number"] >= last) & (sides != 0)).sum()),
        "refused: no margin, or opened beyond its stop": int((kinds == r.REJECTED).sum()),
        "limit entries that lapsed": int((kinds == r.LAPSED).sum()),
        "limit entries": int(np.isfinite(entered["entry"]).sum()),
        "trades with more than one target": int((np.isfinite(entered["target"]).sum(axis=1) > 1).sum()),
        "stopped on the bar of the entry": int(((lives["reason"] == r.STOPPED) & one_bar).sum()),
        "liquidations": int((kinds == r.LIQUIDATED).sum()),
        "ambiguous trades": int(lives["ambiguous"].sum()),
        "trades across a gap": int(across_gap(run, lives).sum()),
        "trades on repaired or missing data": int(lives["repaired"].sum()),
        "halts": len(run.halts),
        "withdrawn": int((kinds == r.WITHDRAWN).sum()) - unpaid,
        "correlation_unknown": run.correlation_unknown,
        **({"settled at a break": broken} if (broken := int((kinds == r.BROKEN).sum())) else {}),
    }


def _unpaid(run: PortfolioRun) -> int:
    """How many orders were cut to what the account could pay; a market order that had no place has no price."""
    withdrawn = run.events[run.events["kind"] == r.WITHDRAWN]
    market = np.isnan(run.intents["entry"][withdrawn["order"]])
    return int((market & np.isfinite(withdrawn["price"])).sum()) if run.account.limited else len(withdrawn)


def _not_enforced(run: PortfolioRun) -> dict[str, int]:
    """How often each limit that is only reported would have refused or cut an order, as the first one."""
    if run.account.limited:
        return {}
    told = {"refused": run.would_refuse, "cut": run.would_cut}
    return {f"would have been {how}: {name}": n for how, of in told.items() for name, n in of.items() if n}


class Halted(NamedTuple):
    """The first time that equity fell so far that trading halts, and what followed.

    Attributes
    ----------
    at : int
        Close of that bar, UTC ms.
    equity : float, quote currency
        When it was reached.
    share : float, 0..1
        Of the time that had passed.
    return_after : float
        Of the equity, from then to the end.
    signals_after : int
        Signals to open that were decided at that close or later.
    """

    at: int
    equity: float
    share: float
    return_after: float
    signals_after: int


def halted(run: PortfolioRun) -> Halted | None:
    """Say what followed the first halt, whether it was enforced or not; None where none was reached."""
    if not len(run.halts):
        return None
    number, equity = int(run.halts[0]), float(run.halt_equity[0])
    after = (run.intents["side"] != 0) & (run.intents["number"] >= number)
    return Halted(
        (number + 1) * run.panel.timeframe.ms, equity, (number + 1 - run.panel.first) / len(run.panel),
        float(run.equity[-1]) / equity - 1.0 if equity > 0.0 else float("nan"), int(after.sum()),
    )  # fmt: skip


def across_gap(run: PortfolioRun, lives: np.ndarray) -> NDArray[np.bool_]:
    """Whether bars of a life are not known, array of shape (n_lives,)."""
    unknown = np.isnan(run.panel.bars[:, :, s.OPEN])
    before = np.concatenate((np.zeros((1, unknown.shape[1]), np.int64), np.cumsum(unknown, axis=0)))
    begin, end = lives["entry_number"] - run.panel.first, lives["exit_number"] - run.panel.first
    missed: NDArray[np.bool_] = before[end + 1, lives["instrument"]] > before[begin, lives["instrument"]]
    return missed


def excursions(run: PortfolioRun, lives: np.ndarray) -> tuple[Array, Array]:
    """Return the worst and the best price of the bars of each life, from its entry, in its favour.

    Returns
    -------
    tuple of Array, share of the entry price, shape (n_lives,)
        0 where no price was worse, or better, than the entry; NaN where no bar of the life is known.
    """
    worst, best = np.full(len(lives), np.nan), np.full(len(lives), np.nan)
    for k, life in enumerate(lives):
        begin, end = int(life["entry_number"]) - run.panel.first, int(life["exit_number"]) - run.panel.first
        bars = run.panel.bars[begin : end + 1, int(life["instrument"])]
        known = bars[~np.isnan(bars[:, s.OPEN])]
        if len(known):
            reached = np.array([known[:, s.LOW].min(), known[:, s.HIGH].max()]) / life["entry_price"] - 1.0
            low, high = sorted(reached * life["side"])
            worst[k], best[k] = min(low, 0.0), max(high, 0.0)
    return worst, best


def repaired_share(lives: np.ndarray) -> dict[str, float]:
    """How much of what was gained and lost rests on bars that are repaired, or follow a gap.

    Returns
    -------
    dict of str to float
        `repaired_pnl` in quote currency; `repaired_share` of gains and losses taken without their sign, 0..1.
    """
    moved, on_repaired = np.abs(lives["pnl"]), lives["repaired"]
    total = float(moved.sum())
    share = float(moved[on_repaired].sum()) / total if total > 0.0 else float("nan")
    return {"repaired_pnl": float(lives["pnl"][on_repaired].sum()), "repaired_share": share}


def capacity(run: PortfolioRun, lives: np.ndarray, frames: Sequence[MarketFrame]) -> dict[str, float]:
    """How much larger entries could have been at the depth that was recorded.

    An entry takes the other side of the book, as it stood at the close of the decision; it may take DEPTH_TAKEN of what
    lay within 10 bp.

    Parameters
    ----------
    run : PortfolioRun
    lives : array of LIFE
    frames : sequence of MarketFrame
        In the order of the stage's instruments.

    Returns
    -------
    dict of str to float
        `capacity_known`, the share of the trades at which the book is known; `capacity_multiple`, by which nine in
        ten of those could have been larger; `capacity_cash`, the cash that amounts to. NaN where no book is known.
    """
    room = np.full(len(lives), np.nan)
    for i, frame in enumerate(frames):
        columns = frame.base.columns
        for side, name in ((1, "ask_depth_10bp"), (-1, "bid_depth_10bp")):
            mine = (lives["instrument"] == i) & (lives["side"] == side)
            if name in columns:
                room[mine] = columns[name][lives["number"][mine] - frame.base.first]
    notional = lives["size"] * lives["entry_price"]
    multiple = metrics.DEPTH_TAKEN * room / notional
    known = np.isfinite(multiple)
    safe = float(np.quantile(multiple[known], SAFE_QUANTILE)) if known.any() else float("nan")
    return {
        "capacity_known": float(known.mean()) if len(lives) else 0.0,
        "capacity_multiple": safe,
        "capacity_cash": safe * run.account.cash,
    }
