"""The facts and tables of a backtest, as its run folder holds them (runs/schema.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from virtuoso.account.metrics import monthly_returns, r_multiples
from virtuoso.account.records import KINDS
from virtuoso.clock import iso
from virtuoso.errors import DataError
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import has_traded
from virtuoso.market.schema.columns import PRICES as PRICE_COLUMNS
from virtuoso.prism.result.scores import Scores
from virtuoso.reports.charts.candles import ChartBars, chart_bars, score_lines, slower_clocks
from virtuoso.reports.summary import Summary
from virtuoso.research.backtest.figures import PortfolioFigures
from virtuoso.research.backtest.metrics import excursions
from virtuoso.research.backtest.round_trips import REASONS
from virtuoso.research.validation.reliability import reliability_of
from virtuoso.research.validation.resampling import drawn_days, other_orders, shares
from virtuoso.runs.read import Facts, RunData, RunTable
from virtuoso.runs.schema import (
    BREAKDOWNS,
    CONFIG,
    EQUITY,
    EVENTS,
    FANS,
    FIGURES,
    INTENTS,
    PANES,
    POSITION,
    PRICES,
    PROVENANCE,
    RELIABILITY,
    RESULT_HASH,
    SCORE_BUCKETS,
    SCORES,
    SUMMARY,
    TRADES,
    WORDS,
)
from virtuoso.runs.write import encoded, fields_of

MOST_BARS, ALL_BARS = 10_000, 24_000
"""Bars of the whole run that are kept of an instrument and of all, on the fastest clock that has no more."""
NEAR_BARS = 40_000
"""Bars around trades that are kept of all instruments."""
AROUND = ((90, 600), (60, 400), (40, 250), (24, 150), (16, 90), (8, 40), (4, 16))
"""Bars on either side of a trade, and how long one is kept whole: the first of these that keeps no more than that."""


def run_data(result: PortfolioFigures) -> RunData:
    """Return what the words of a run are made from.

    Parameters
    ----------
    result : PortfolioFigures
    """
    facts: dict[str, Facts] = {
        CONFIG: configuration(result),
        PROVENANCE: result.provenance,
        FIGURES: figure_facts(result),
    }
    tables: dict[str, RunTable] = {
        TRADES: trades_table(result),
        EQUITY: equity_table(result),
        BREAKDOWNS: fields_of(result.breakdowns),
        **({SCORE_BUCKETS: fields_of(result.buckets)} if result.scores else {}),
    }
    return RunData("", facts, tables)


def drawn_data(result: PortfolioFigures) -> RunData:
    """Return bars, scores and trades alone: what a chart of a run is made from."""
    found = views(result)
    tables: dict[str, RunTable] = {
        EQUITY: {"close_time": result.close_times},
        TRADES: trades_table(result),
        PRICES: price_table(found, result),
        PANES: pane_table(found, result),
    }
    return RunData("", {}, tables)


def run_files(result: PortfolioFigures, data: RunData, summary: str) -> dict[str, bytes]:
    """Return the contents of the files of a run that the same inputs repeat, by name.

    Parameters
    ----------
    result : PortfolioFigures
    data : RunData
        What its words are made from, see `run_data`.
    summary : str
        The report in plain text.
    """
    simulated = {"simulated": result.is_simulated}
    symbols, shown = _symbols(result, result.run.instrument_of), result.shown
    drawn = views(result)
    of_scores: dict[str, Any] = {}
    if shown is not None:
        of_scores = {
            SCORES: simulated | scores_facts(result, shown),
            RELIABILITY: simulated | reliability_facts(result),
        }
    return encoded(
        {
            **data.facts,
            **data.tables,
            INTENTS: {"symbol": symbols, **fields_of(result.run.intents)},
            EVENTS: events_table(result),
            WORDS: Summary(data).words(),
            **of_scores,
            FANS: simulated | fan_facts(result),
            PRICES: price_table(drawn, result),
            PANES: pane_table(drawn, result),
            SUMMARY: summary + "\n",
        }
    )


def configuration(result: PortfolioFigures) -> dict[str, Any]:
    """Terms of trading and settings in force; says whether a market was simulated, as every file of a run does."""
    account = result.account
    plain = ("cash", "maker", "taker", "liquidation_fee", "leverage", "trail", "halt", "reset_halt", "limited")
    return {
        "simulated": result.is_simulated,
        "terms": {name: getattr(account, name) for name in plain}
        | ({"target_volatility": account.target_volatility} if account.target_volatility > 0.0 else {})
        | {
            "margin": "isolated" if account.isolated else "cross",
            "slippage": result.slippage,
            "inside": None if result.panel.inside is None else result.panel.inside.timeframe.name,
            "limits": account.limits._asdict(),
            "tiers": {str(name): tiers.table.tolist() for name, tiers in sorted(account.tiers.items())},
            "rules": {str(name): rules._asdict() for name, rules in sorted(account.rules.items())},
        },
        "assumed": list(result.assumed),
        "decided_by": dict(result.decided_by),
        **({"explained": result.explained} if result.explained else {}),
        "settings": result.config,
    }


def figure_facts(result: PortfolioFigures) -> dict[str, Any]:
    """Figures of the run, of its optimistic bound and of what it is compared with."""
    ms, halted = result.timeframe.ms, result.halted
    told = {} if halted is None else {**halted._asdict(), "at": iso(halted.at)}
    return {
        "simulated": result.is_simulated,
        RESULT_HASH: result.result_hash,
        "strategy": result.metrics,
        "optimistic": result.optimistic_metrics,
        "buy_and_hold": result.benchmark_metrics,
        "inverted": result.inverted_metrics,
        "faces_alone": result.faces_alone,
        "random_entries": asdict(result.random_entries),
        "months": monthly_returns(result.close_times, result.run.equity, result.account.cash),
        "counts": result.counts,
        "inside": _inside(result),
        "halt": {"enforced": result.account.halt, "reached": halted is not None, **told},
        "halted_at": [iso((int(number) + 1) * ms) for number in result.run.halts],
    }


def _inside(result: PortfolioFigures) -> dict[str, Any] | None:
    """Finer bars that tell the order of prices inside bars: their clock, of what share, of how many instruments."""
    inside = result.panel.inside
    if inside is None:
        return None
    some = int(inside.told.any(axis=0).sum())
    return {"timeframe": inside.timeframe.name, "share": result.told_share, "instruments": some}


def trades_table(result: PortfolioFigures) -> dict[str, Any]:
    """RunTable of `trades.parquet`, one row the life of a position.

    Moments are UTC milliseconds: `decided_at` is the close of the decision, `entry_time` and `exit_bar_time` the opens
    of the bars of the first and the last fill.
    """
    trades, ms = result.trade_records, result.timeframe.ms
    chosen = [result.instruments[i] for i in trades["instrument"]]
    columns: dict[str, Any] = {
        "symbol": np.array([one.symbol for one in chosen], dtype=object),
        "venue": np.array([one.venue for one in chosen], dtype=object),
        "decided_at": (trades["number"] + 1) * ms,
        "side": np.array(["short", "", "long"], dtype=object)[trades["side"].astype(np.int64) + 1],
        "entry_time": trades["entry_number"] * ms,
        "exit_bar_time": trades["exit_number"] * ms,
    }
    columns |= {name: trades[name] for name in ("entry_price", "exit_price", "size", "stop")}
    columns["target"] = result.run.intents["target"][trades["intent"], 0]
    columns |= {name: trades[name] for name in ("fees", "slippage", "funding", "gross", "pnl", "risk")}
    columns["r"] = r_multiples(trades["pnl"], trades["risk"])
    columns["mae"], columns["mfe"] = excursions(result.run, trades)
    columns["reason"] = np.array([REASONS[int(code)] for code in trades["reason"]], dtype=object)
    columns |= {"targets": trades["targets"], "ambiguous": trades["ambiguous"], "across_gap": result.across_gap}
    return columns | {name: trades[name] for name in ("repaired", "score", "reliability")}


def events_table(result: PortfolioFigures) -> dict[str, Any]:
    """RunTable of `events.parquet`, one row an event of the account; `bar_time` is the open of its bar."""
    events = result.run.events
    columns: dict[str, Any] = {
        "bar_time": events["instant"] * result.timeframe.ms,
        "symbol": _symbols(result, events["instrument"]),
        "kind": np.array(KINDS, dtype=object)[events["kind"]],
    }
    names = ("size", "price", "fee", "slippage", "realised", "funding", "wallet", "ambiguous")
    return columns | {name: events[name] for name in names} | {"intent": result.run.intent_of}


def equity_table(result: PortfolioFigures) -> dict[str, Any]:
    """RunTable of `equity.parquet`, one row a bar."""
    return {
        "close_time": result.close_times,
        "equity": result.run.equity,
        "optimistic": result.optimistic.equity,
        "buy_and_hold": result.benchmark,
        "inverted": result.inverted.equity,
        "drawdown": result.drawdown,
        "exposure": result.run.exposure,
    }


def _symbols(result: PortfolioFigures, instruments: np.ndarray) -> np.ndarray:
    names: np.ndarray = np.array([one.symbol for one in result.instruments], dtype=object)[instruments]
    return names


def scores_facts(result: PortfolioFigures, shown: Scores) -> dict[str, Any]:
    """Return why it signalled the last time, and how much is known of the instrument that was traded most."""
    trades = _drawn(result)
    of_trade = len(trades) > 0
    when = (int(trades["number"][-1]) + 1) * shown.frame.timeframe.ms if of_trade else None
    seen = last_bars(result)
    return {
        "instrument": str(shown.frame.instrument),
        "known": float(np.isfinite(shown.column("close")).mean()),
        "scored": float(np.isfinite(shown.confluence).mean()),
        "of_trade": of_trade,
        "explanation": asdict(shown.explain(when)),
        "coverage": _coverage(shown),
        "strips": _strips(shown, seen),
    }


def _coverage(scores: Scores) -> list[dict[str, Any]]:
    """Share of the bars on which each component is known, face by face."""
    return [
        {
            "title": face.title,
            "weight": face.weight,
            "unavailable": list(face.unavailable),
            "components": [
                {
                    "title": part.component.title,
                    "share": float(part.known.mean()),
                    "missing": list(part.missing),
                }
                for part in face.components.values()
            ],
        }
        for face in scores.faces.values()
    ]


def _strips(scores: Scores, seen: ChartBars) -> dict[str, Any]:
    """Scores at the closes of the bars on which the last trades are drawn."""
    lines = {name: values.tolist() for name, values in score_lines(scores, seen).items()}
    return {"timeframe": seen.bars.timeframe.name, "first": seen.bars.first, "scores": lines}


def _drawn(result: PortfolioFigures) -> np.ndarray:
    """Trades of the instrument that is drawn."""
    mine: np.ndarray = result.trade_records[result.trade_records["instrument"] == result.most_traded]
    return mine


def reliability_facts(result: PortfolioFigures) -> dict[str, Any]:
    """What reliability told against what was right; a reason instead where that cannot be known."""
    if result.rule is None:
        return {"reason": "The intents were handed in, so there are no signals whose reliability could be followed."}
    try:
        found = reliability_of(result.scores, result.rule, env=result.env)
    except DataError as refused:
        return {"reason": str(refused)}
    bins, of_bin = found.diagram.bins, found.diagram.bins.dtype.names or ()
    if not len(bins):
        return {"reason": "No signal of this run has an outcome that is known."}
    signals = int(bins["signals"].sum())
    return {
        "basis": found.basis,
        "signals": signals,
        "right": round(float((bins["right"] * bins["signals"]).sum())),
        "ambiguous": int(found.outcomes.rows["ambiguous"].sum()),
        "left_out": found.outcomes.left_out,
        "brier": found.diagram.brier._asdict(),
        "calibration_error": found.diagram.calibration_error,
        "bins": [dict(zip(of_bin, row, strict=True)) for row in bins.tolist()],
    }


def fan_facts(result: PortfolioFigures) -> dict[str, Any]:
    """What else the same trades and the same days might have come to; null where they are too few."""
    ended = result.closed[np.argsort(result.closed["exit_number"], kind="stable")]
    of_trades = other_orders(shares(ended["pnl"], ended["entry_number"], result.run), env=result.env)
    of_days = drawn_days(result.daily_returns, env=result.env)
    return {name: fan.told() if fan else None for name, fan in (("trades", of_trades), ("days", of_days))}


class View(NamedTuple):
    """Bars of an instrument that are kept to be drawn.

    Attributes
    ----------
    name : str
        `whole`, `near` or `last`.
    instrument : int
        Position among those of the stage.
    bars : Bars
    rows : array of int64
        Which of the bars are kept: only such as were published.
    """

    name: str
    instrument: int
    bars: Bars
    rows: NDArray[np.int64]


def views(result: PortfolioFigures) -> list[View]:
    """Return what is drawn: every instrument's whole run, then its bars around each trade, then the last trades."""
    n = len(result.instruments)
    order = [result.most_traded, *(i for i in range(n) if i != result.most_traded)]
    whole = [_view("whole", i, _whole(result, i)) for i in order]
    slower = [view.instrument for view in whole if view.bars.timeframe > result.timeframe]
    return [*whole, *_near(result, slower), _view("last", result.most_traded, last_bars(result).bars)]


def _view(name: str, instrument: int, bars: Bars, wanted: NDArray[np.bool_] | None = None) -> View:
    """Keep the bars that were published, of those that are wanted."""
    prices = np.isfinite([bars.columns[column] for column in PRICE_COLUMNS]).all(axis=0)
    there = has_traded(bars.state) & prices
    return View(name, instrument, bars, np.flatnonzero(there if wanted is None else there & wanted))


def price_table(found: Sequence[View], result: PortfolioFigures) -> dict[str, Any]:
    """RunTable of `prices.parquet`, one row a bar of a view."""
    sizes = [len(view.rows) for view in found]
    names = {
        "view": [view.name for view in found],
        "venue": [result.instruments[view.instrument].venue for view in found],
        "symbol": [result.instruments[view.instrument].symbol for view in found],
        "timeframe": [view.bars.timeframe.name for view in found],
    }
    columns: dict[str, Any] = {name: np.repeat(np.array(of, dtype=object), sizes) for name, of in names.items()}
    columns["open_time"] = np.concatenate([(view.bars.first + view.rows) * view.bars.timeframe.ms for view in found])
    for name in (*PRICE_COLUMNS, "volume"):
        columns[name] = np.concatenate([view.bars.columns[name][view.rows] for view in found])
    return columns


def pane_table(found: Sequence[View], result: PortfolioFigures) -> dict[str, Any]:
    """RunTable of `panes.parquet`: scores at the closes of the bars of `prices.parquet`, or else what was held."""
    parts: list[dict[str, NDArray[np.float32]]] = []
    for view in found:
        if result.scores:
            scores = result.scores[view.instrument]
            lines = score_lines(scores, ChartBars(view.bars, scores.frame.timeframe))
        else:
            lines = {POSITION: _held(result, view)}
        parts.append({name: values[view.rows].astype(np.float32) for name, values in lines.items()})
    names = dict.fromkeys(name for part in parts for name in part)
    unknown = [np.full(len(view.rows), np.nan, dtype=np.float32) for view in found]
    return {
        name: np.concatenate([part.get(name, nothing) for part, nothing in zip(parts, unknown, strict=True)])
        for name in names
    }


def last_bars(result: PortfolioFigures) -> ChartBars:
    """Bars on which the last trades of the instrument that is drawn can be seen, on a clock of the scores if any."""
    return chart_bars(result.shown or result.frames[result.most_traded], _drawn(result))


def _held(result: PortfolioFigures, view: View) -> NDArray[np.float64]:
    """Notional of an instrument over the equity at the closes of a view's bars, negative where it was short."""
    run, panel, ratio = result.run, result.panel, view.bars.timeframe.ratio(result.timeframe)
    mine = run.events["instrument"] == view.instrument
    sizes = np.concatenate(([0.0], np.cumsum(run.events["size"][mine])))
    at = np.clip(
        np.arange(view.bars.first + 1, view.bars.end + 1) * ratio - 1, panel.first, panel.first + len(panel) - 1
    )
    held = sizes[np.searchsorted(run.events["instant"][mine], at, side="right")]
    equity = run.equity[at - panel.first]
    share: NDArray[np.float64] = np.full(len(at), np.nan)
    np.divide(held * view.bars.columns["close"], equity, out=share, where=equity > 0.0)
    return share


def _whole(result: PortfolioFigures, instrument: int) -> Bars:
    """Bars of the whole run on the fastest clock that does not need too many."""
    base, start, n = result.timeframe, result.panel.first, len(result.panel)
    most = min(MOST_BARS, ALL_BARS // len(result.instruments))
    clocks = slower_clocks(base)
    clock = next((clock for clock in clocks if n <= most * clock.ratio(base)), clocks[-1])
    ratio = clock.ratio(base)
    return result.frames[instrument].bars(clock).since(-(-start // ratio)).until((start + n) // ratio)


def _near(result: PortfolioFigures, instruments: Sequence[int]) -> list[View]:
    """Bars on the base clock around the trades of some instruments: as many on either side as there is room for."""
    if not instruments:
        return []
    first, lives = result.panel.first, result.trade_records
    of_each = [lives[lives["instrument"] == i] for i in instruments]
    bars = [result.frames[i].base.since(first).until(first + len(result.panel)) for i in instruments]
    for around, longest in AROUND:
        wanted = [_windows(of, around, longest, own) for of, own in zip(of_each, bars, strict=True)]
        if sum(int(mask.sum()) for mask in wanted) <= NEAR_BARS:
            break
    return [_view("near", i, of, mask) for i, of, mask in zip(instruments, bars, wanted, strict=True) if mask.any()]


def _windows(lives: np.ndarray, around: int, longest: int, bars: Bars) -> NDArray[np.bool_]:
    """Which bars lie near trades, shape (n_bars,): a short trade whole, of a long one its entry and its exit."""
    n, begin, end = len(bars), lives["entry_number"] - bars.first, lives["exit_number"] - bars.first
    short = end - begin <= longest
    starts = np.concatenate((begin, end[~short])) - around
    stops = np.concatenate((np.where(short, end, begin), end[~short])) + around + 1
    edges = np.zeros(n + 1, dtype=np.int64)
    np.add.at(edges, np.clip(starts, 0, n), 1)
    np.add.at(edges, np.clip(stops, 0, n), -1)
    covered: NDArray[np.bool_] = np.cumsum(edges)[:n] > 0
    return covered
