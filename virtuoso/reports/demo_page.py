"""The page that the demo ends with: what was done on the simulated market, what came out, and what is not there yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from virtuoso.clock import iso
from virtuoso.prism.result.scores import Scores
from virtuoso.prism.words import lean, reliability_rank
from virtuoso.reports.charts.base import NARROW, WIDE
from virtuoso.reports.contribution import contribution
from virtuoso.reports.exhibits import Judged, Leak, OwnIdea, Planted
from virtuoso.reports.format import DASH, number, percent, price, whole
from virtuoso.reports.palette import DARK, LIGHT, effect_of_change
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.reports.templates import render
from virtuoso.signals.message.signal import Signal

SHOWN_SIGNALS = 12
NOT_YET = (
    ("Trades and order book of every day", "they are recorded for the last days only; before them two faces know less"),
    ("PDF and chart of a signal", "signals are written as JSON"),
    ("Live and paper trading, the signals API", "nothing listens and nothing trades"),
)
"""What the full job has besides; it is left out rather than faked."""


@dataclass(frozen=True)
class CoinReport:
    """What was found about one coin.

    Attributes
    ----------
    scores : Scores
    trades : int
    gained : float, quote currency
        What its trades came to in the account that all coins share.
    signals : sequence of Signal
        As they were written, newest first.
    """

    scores: Scores
    trades: int
    gained: float
    signals: Sequence[Signal]

    @property
    def symbol(self) -> str:
        """Its name."""
        return self.scores.frame.instrument.symbol

    @property
    def cells(self) -> dict[str, str]:
        """Its line in the overview."""
        scores, close = self.scores, self.scores.column("close")
        points, known = float(scores.confluence[-1]), close[np.isfinite(close)]
        held = float(known[-1] / known[0] - 1.0) if len(known) else float("nan")
        return {
            "price": price(float(close[-1])),
            "points": f"{points:.1f}",
            "score": number(points, 1),
            "lean": lean(points),
            "coverage": percent(float(scores.coverage[-1]), 0),
            "trades": whole(self.trades),
            "gained": number(self.gained, 0, signed=True),
            "effect": effect_of_change(self.gained),
            "held": percent(held, signed=True),
        }


@dataclass(frozen=True)
class DemoPage:
    """Content of the page.

    Attributes
    ----------
    coins : sequence of CoinReport
    shipped : TearSheet
        Of the shipped weights, all coins in one account.
    shipped_href : str
        Its page, relative to this one.
    leak, planted, own : Leak, Planted, OwnIdea
        The exhibits.
    judged : sequence of Judged
        Short studies.
    study_hrefs : mapping of str to str
        Their pages, relative to this one.
    steps : sequence of (name, what came of it, seconds, command)
    days, seed : int
    min_coverage : float, 0..1
        Share of the weight that must be known before anything is signalled.
    """

    coins: Sequence[CoinReport]
    shipped: TearSheet
    shipped_href: str
    leak: Leak
    planted: Planted
    own: OwnIdea
    judged: Sequence[Judged]
    study_hrefs: Mapping[str, str]
    steps: Sequence[tuple[str, str, str, str]]
    days: int
    seed: int
    min_coverage: float

    def html(self) -> str:
        """Write the whole page."""
        return str(render("demo.html", page=self, light=LIGHT.css(), dark=DARK.css(), not_yet=NOT_YET))

    @property
    def seconds(self) -> str:
        """How long the steps took together."""
        return number(sum(float(seconds) for _, _, seconds, _ in self.steps), 0)

    @property
    def period(self) -> str:
        """From when to when, and on which timeframe."""
        scores = self.coins[0].scores
        first, last = scores.start * scores.frame.timeframe.ms, int(scores.close_times[-1])
        return f"{iso(first)[:10]} to {iso(last)[:10]}, scored and traded on {scores.frame.timeframe}"

    @property
    def shipped_charts(self) -> list[Markup]:
        """Equity of the shipped weights, for a screen and for a phone."""
        return [self.shipped.equity_chart(width).svg("shipped") for width in (WIDE, NARROW)]

    @property
    def patience(self) -> str:
        """Why the equity stands still at first."""
        share = percent(self.min_coverage, 0)
        enough = [coin.scores.coverage >= self.min_coverage for coin in self.coins]
        first = [coin.scores for coin in self.coins]
        began = [int(s.close_times[int(np.argmax(e))]) for s, e in zip(first, enough, strict=True) if e.any()]
        when = f"here from {iso(min(began))[:10]} on" if began else f"which {self.days} days are too few for"
        return (
            f"Nothing is signalled before {share} of the weight is known, and slow timeframes know nothing for some "
            f"weeks: {when}."
        )

    @property
    def signal_rows(self) -> list[dict[str, str]]:
        """The newest signals of all coins."""
        newest = sorted((s for coin in self.coins for s in coin.signals), key=lambda s: (-s.timestamp, s.symbol))
        return [_signal_row(signal) for signal in newest[:SHOWN_SIGNALS]]

    @property
    def newest(self) -> Signal | None:
        """The newest signal with levels, which is shown whole."""
        told = [s for coin in self.coins for s in coin.signals if s.entry_price is not None]
        return max(told, key=lambda s: (s.timestamp, s.symbol), default=None)

    @property
    def tables(self) -> list[Markup]:
        """Contribution tables at the moment of that signal."""
        newest = self.newest
        coin = next((c for c in self.coins if newest and c.symbol == newest.symbol), self.coins[0])
        explained = coin.scores.explain(newest.timestamp if newest else None)
        known = [name for name, rows in explained.faces.items() if any(row.score == row.score for row in rows)]
        return [contribution(explained, face).to_html(footnote=False) for face in (None, *known)]


ARROWS = {"BULLISH": "▲", "BEARISH": "▼"}


def _signal_row(signal: Signal) -> dict[str, str]:
    def shown(value: float | None) -> str:
        return DASH if value is None else price(value)

    file = (signal.file_references["json"] or "").removeprefix("/reports/")
    target = signal.targets.get("target1")
    return {
        "time": iso(signal.timestamp),
        "symbol": signal.symbol,
        "signal": f"{ARROWS.get(signal.signal, '·')} {signal.signal.lower()}",
        "lean": {"BULLISH": "bullish", "BEARISH": "bearish"}.get(signal.signal, "neutral"),
        "score": DASH if signal.score is None else number(signal.score, 1),
        "reliability": reliability_rank(
            float("nan") if signal.reliability is None else signal.reliability, signal.reliability_basis
        ),
        "entry": shown(signal.entry_price),
        "stop": shown(signal.stop_loss),
        "target": shown(target.price if target else None),
        "reason": signal.reason,
        "href": file,
    }
