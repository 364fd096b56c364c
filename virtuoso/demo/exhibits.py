"""Exhibits: what the tool is for, shown on the simulated market. Each is computed here and told as it came out.

1. `leak`: one idea, honest and read one bar too early. What each seems to earn, and what `vt.verify` says of both.
2. `planted`: a market into which an effect was put, and the same market without it. What the information coefficient
   and the score buckets see of it in each.
3. `own`: a strategy of ten lines, backtested.
"""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np

from virtuoso import workflows
from virtuoso.config import Settings
from virtuoso.demo import ideas
from virtuoso.market.frame import MarketFrame
from virtuoso.prism.component import Component
from virtuoso.prism.face import Face
from virtuoso.prism.laws.certificate import Certificate
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores
from virtuoso.reports.exhibits import Accused, Believed, Leak, Measured, Planted
from virtuoso.research.backtest.result import PortfolioResult
from virtuoso.research.validation.ic import information
from virtuoso.research.validation.quantiles import score_buckets
from virtuoso.types import Array

HORIZON, HOUR_MS = "1h", 3_600_000
PLANTED_BP = 20.0
"""Drift an hour at a score of 100, in hundredths of a percent; its opposite at 0, none at 50."""
EDGES = (0.0, 35.0, 45.0, 55.0, 65.0, 100.0)


def code_of(*shown: type) -> str:
    """Return the source of classes, as it runs."""
    return "\n\n".join(inspect.getsource(one).rstrip() for one in shown)


def alone(*components: Component, clock: str | None = None) -> Prism:
    """Return a prism of these components in equal parts, and nothing else; on one timeframe, or on the usual ones."""
    weights = {one: 1.0 / len(components) for one in components}
    face = Face("idea", "Idea", weights)
    if clock is None:
        return Prism((face,), {"idea": 1.0})
    return Prism((face,), {"idea": 1.0}, {clock: 1.0})


# --- a leak -----------------------------------------------------------------------------------------------------


def examined(frame: MarketFrame) -> Certificate:
    """Put the honest idea and the peeking one before the laws."""
    market = MarketFrame(frame.instrument, frame.base)  # the lake behind it is not what is examined
    return workflows.verify(market, alone(ideas.Tilt(), ideas.PeekingTilt()), live_bars=0)


def leak(frame: MarketFrame, settings: Settings, certificate: Certificate) -> Leak:
    """Trade an idea as it is and one bar too early, on the same terms; the certificate is of both, see `examined`."""
    honest, ahead = ideas.Tilt(), ideas.PeekingTilt()
    told = [
        Accused(one.law, one.timeframe, one.at, one.detail) for one in certificate.broken if one.node == repr(ahead)
    ]
    return Leak(
        believed=(_believed("honest", honest, frame, settings), _believed("one bar ahead", ahead, frame, settings)),
        broken=told,
        acquitted=not any(one.node == repr(honest) for one in certificate.broken),
        laws=sorted({one.law for one in certificate.findings if one.node == repr(honest) and one.holds}),
        code=code_of(ideas.Tilt, ideas.PeekingTilt),
    )


def _believed(name: str, component: Component, frame: MarketFrame, settings: Settings) -> Believed:
    scores = workflows.score(frame, alone(component), settings=settings)
    result = workflows.backtest(scores, settings=settings, record=False)
    growth = result.equity.to_numpy() / result.account.cash
    return Believed(name, result.close_times, growth, len(result.trade_records), result.metrics["sharpe"])


# --- a planted effect -------------------------------------------------------------------------------------------


def planted(frame: MarketFrame, settings: Settings) -> Planted:
    """Put an effect into a market, and measure it there and in the market as it was."""
    idea, coin = ideas.TradeSize(), ideas.Coin()
    clock = frame.timeframe.name
    known = workflows.score(frame, alone(idea, clock=clock), settings=settings)
    markets = {"planted": (there := plant(frame, known)), "absent": frame}
    alike = {"planted": workflows.score(there, known.prism, settings=settings), "absent": known}
    found, buckets = {}, {}
    for name, market in markets.items():
        rows = information(workflows.score(market, alone(idea, coin, clock=clock), settings=settings), [HORIZON]).rows
        found[name] = {row["name"]: (float(row["ic"]), float(row["low"]), float(row["high"])) for row in rows}
        buckets[name] = score_buckets(alike[name], [HORIZON], EDGES)
    measured = [
        Measured(one.title, found["planted"].get(f"idea.{one.name}"), found["absent"].get(f"idea.{one.name}"))
        for one in (idea, coin)
    ]
    return Planted(measured, buckets["planted"], buckets["absent"], PLANTED_BP, HORIZON, code_of(ideas.TradeSize))


def plant(frame: MarketFrame, scores: Scores, drift_bp: float = PLANTED_BP) -> MarketFrame:
    """Return the same market with a drift after each score: at 100 up, at 0 down, by so much an hour.

    Volumes and trades are left alone, so a score of them is the same in both markets. A score at the close of a bar
    moves the bar after it, from its open to its close.

    Parameters
    ----------
    frame : MarketFrame
    scores : Scores
        Of all bars of the frame.
    drift_bp : float
        Hundredths of a percent.
    """
    bars = frame.base
    lean = np.nan_to_num(scores.confluence / 50.0 - 1.0)
    drift = np.zeros(len(bars))
    drift[scores.start - bars.first + 1 :][: len(lean) - 1] = lean[:-1]
    after = np.exp(np.cumsum(drift * drift_bp / 1e4 * bars.timeframe.ms / HOUR_MS))
    before = np.concatenate(([1.0], after[:-1]))
    prices = _moved({name: bars.columns[name] for name in ("open", "high", "low", "close")}, before, after)
    columns = {name: values for name, values in bars.columns.items() if name in ("volume", "trades")}
    return MarketFrame(frame.instrument, replace(bars, columns={**prices, **columns}), frame.window)


def _moved(of: dict[str, Array], before: Array, after: Array) -> dict[str, Array]:
    """Move prices by a factor that grows over each bar: `before` at its open, `after` at its close."""
    opened, closed = of["open"] * before, of["close"] * after
    high = np.fmax(np.fmax(of["high"] * np.minimum(before, after), opened), closed)
    low = np.fmin(np.fmin(of["low"] * np.maximum(before, after), opened), closed)
    return {"open": opened, "high": high, "low": low, "close": closed}


# --- an own strategy --------------------------------------------------------------------------------------------


def own(frame: MarketFrame, settings: Settings) -> PortfolioResult:
    """Backtest the strategy of ten lines."""
    return workflows.backtest(frame, ideas.EmaCross(), settings=settings, record=False)
