"""Exhibits of the demo page: their facts, as plain values, and the words and charts that these make.

Words follow from the facts: what was not found is told as not found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from virtuoso.clock import iso
from virtuoso.reports.charts.base import (
    NARROW,
    WIDE,
    bucket_panel,
    calendar,
    drawing,
    end_labels,
    growth_axis,
    instants,
    thinned,
    to_svg,
)
from virtuoso.reports.format import DASH, NOT_TESTABLE, number, percent, plural, whole
from virtuoso.reports.palette import LIGHT, effect_of_change
from virtuoso.reports.tearsheet.model import TearSheet
from virtuoso.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GONE = 0.001
"""Share of the cash below which equity is drawn no deeper: a logarithmic axis has no zero."""
LAWS = {
    "cutting": "the history was cut at its end, and values before the cut changed",
    "future": "later bars were replaced by garbage, and values before them changed",
    "purity": "computed again, with other markets in between, values changed",
    "live": "bar by bar, as live trading would compute them, values differ",
    "memory": "fed from another start of the history, values changed",
}
"""What a law did that found something."""

Interval = tuple[float, float, float]
"""A value and its 95 % interval, low and high."""


def _pictures(paint: Callable[[Figure, int], None], name: str, label: str, heights: tuple[int, int]) -> list[Markup]:
    """Draw a chart for a screen and for a phone."""
    found = []
    for width, height in zip((WIDE, NARROW), heights, strict=True):
        with drawing(width, height) as figure:
            paint(figure, width)
            found.append(to_svg(figure, f"{name}{width}", label, simulated=True))
    return found


# --- a leak -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Believed:
    """What a backtest of an idea came to.

    Attributes
    ----------
    name : str
    close_times : array of int64, ms
    growth : Array
        Equity over cash at each of them.
    trades : int
    sharpe : float
    """

    name: str
    close_times: NDArray[np.int64]
    growth: Array
    trades: int
    sharpe: float

    @property
    def made(self) -> float:
        """The return, as a share."""
        return float(self.growth[-1]) - 1.0

    @property
    def cells(self) -> dict[str, str]:
        """Its line in the table."""
        return {
            "name": self.name,
            "made": percent(self.made, signed=True),
            "gain": effect_of_change(100.0 * self.made),
            "sharpe": number(self.sharpe, 1, signed=True),
            "trades": whole(self.trades),
        }


@dataclass(frozen=True, slots=True)
class Accused:
    """A law that an idea broke: on which timeframe, the close of the first offending bar (ms), and what was seen."""

    law: str
    timeframe: str
    at: int | None
    detail: str

    @property
    def cells(self) -> dict[str, str]:
        """Its line in the table."""
        at = DASH if self.at is None else iso(self.at)
        return {"law": self.law, "clock": self.timeframe, "at": at, "words": LAWS.get(self.law, self.detail),
                "detail": self.detail}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Leak:
    """One idea as it is and one bar too early.

    Attributes
    ----------
    believed : tuple of Believed
        The honest one, then the other.
    broken : sequence of Accused
        Laws that the other broke, by the time of the first offending bar.
    acquitted : bool
        Whether the honest one broke none.
    laws : sequence of str
        Those that were tested on the honest one and hold.
    code : str
    """

    believed: tuple[Believed, Believed]
    broken: Sequence[Accused]
    acquitted: bool
    laws: Sequence[str]
    code: str

    @property
    def caught(self) -> bool:
        """Whether the other one is accused and the honest one is not."""
        return bool(self.broken) and self.acquitted

    @property
    def heading(self) -> str:
        """What came of it."""
        return "A leak, caught" if self.caught else "A leak, and what the laws could say of it"

    @property
    def words(self) -> str:
        """What a backtest would have had you believe."""
        honest, ahead = (percent(one.made, signed=True) for one in self.believed)
        return (
            f"One idea twice, traded on the same terms after the same costs. As it is, it comes to {honest}. Read one "
            f"bar too early, it comes to {ahead}: the better curve is the lie, and nothing in its figures says so."
        )

    @property
    def verdict(self) -> str:
        """What the laws said."""
        if not self.broken:
            return "vt.verify had too few bars here to tell them apart. Ask for more days."
        first = next((one for one in self.broken if one.at is not None), self.broken[0])
        told = f"vt.verify names the bar: {first.law} on {first.timeframe}"
        told += "" if first.at is None else f", first at the close of {iso(first.at)}"
        honest = f"The honest twin holds every law that could be tested ({', '.join(self.laws)})."
        return f"{told}. {honest if self.acquitted else 'It accuses the honest twin too, which should not be.'}"

    def to_dict(self) -> dict[str, object]:
        """Its facts as plain values, for JSON."""
        return {
            "caught": self.caught,
            "honest_return": self.believed[0].made,
            "one_bar_ahead_return": self.believed[1].made,
            "acquitted": self.acquitted,
            "broken": [
                {"law": one.law, "timeframe": one.timeframe, "first_utc": None if one.at is None else iso(one.at)}
                for one in self.broken
            ],
        }

    @property
    def charts(self) -> list[Markup]:
        """Both equity curves."""
        label = "Equity: " + ", ".join(f"{one.name} {percent(one.made, signed=True)}" for one in self.believed)
        return _pictures(self._paint, "leak", label, (330, 300))

    def _paint(self, figure: Figure, width: int) -> None:
        looks = ((LIGHT.ink, "bold", "-", 1.6), (LIGHT.accent, "normal", (0, (4, 2)), 1.4))
        axes, ends = figure.subplots(), []
        for one, (colour, weight, style, thick) in zip(self.believed, looks, strict=True):
            last = np.append(thinned(len(one.growth))[1:], len(one.growth)) - 1
            shown = np.maximum(one.growth, GONE)
            axes.plot(instants(one.close_times[last]), shown[last], color=colour, linestyle=style, linewidth=thick)
            ends.append((one.name, float(shown[-1]), colour, weight))
        curves = [np.maximum(one.growth, GONE) for one in self.believed]
        growth_axis(axes, min(of.min() for of in curves), max(of.max() for of in curves))
        end_labels(axes, ends)
        calendar(axes, ticks=9 if width >= WIDE else 4)
        times = instants(self.believed[0].close_times)
        axes.set_xlim(times[0], times[-1] if len(times) > 1 else times[0] + 1)
        right, height = (136 if width >= WIDE else 96), figure.get_figheight() * figure.dpi
        figure.subplots_adjust(left=60 / width, right=1 - right / width, top=1 - 26 / height, bottom=26 / height)


# --- a planted effect -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measured:
    """Information coefficient of a score where an effect was planted and where none was; None if it was not known."""

    title: str
    planted: Interval | None
    absent: Interval | None

    @property
    def cells(self) -> list[dict[str, str]]:
        """Coefficient, interval and word for each of the two markets."""
        markets = (("planted", self.planted), ("not planted", self.absent))
        return [{"market": name, **_coefficient(one)} for name, one in markets]


def _plain(one: Interval | None) -> dict[str, float] | None:
    return None if one is None else dict(zip(("ic", "low", "high"), one, strict=True))


def stands_out(one: Interval | None) -> bool:
    """Whether an interval excludes 0."""
    return one is not None and (one[1] > 0.0 or one[2] < 0.0)


def _coefficient(one: Interval | None) -> dict[str, str]:
    if one is None or one[1] != one[1]:
        return {"ic": DASH, "interval": NOT_TESTABLE, "word": DASH, "lean": "quiet"}
    ic, low, high = (number(value, 2, signed=True) for value in one)
    word = "found" if stands_out(one) else "nothing"
    lean = "quiet" if word == "nothing" else "bullish" if one[0] > 0.0 else "bearish"
    return {"ic": ic, "interval": f"{low} to {high}", "word": word, "lean": lean}


@dataclass(frozen=True, slots=True)
class Planted:
    """An effect that was put into a market.

    Attributes
    ----------
    measured : sequence of Measured
        The score that knows of it first, then one that cannot.
    planted, absent : array of BUCKET
        Mean returns after each score where it was planted and where it was not.
    strength : float, bp an hour
        Drift after the highest score.
    horizon : str
        Over which returns are measured.
    code : str
    """

    measured: Sequence[Measured]
    planted: np.ndarray
    absent: np.ndarray
    strength: float
    horizon: str
    code: str

    @property
    def found(self) -> bool:
        """Whether it is found where it is, and nothing is found where it is not."""
        here = self.measured[0]
        return stands_out(here.planted) and not stands_out(here.absent)

    @property
    def heading(self) -> str:
        """What came of it."""
        return "A planted effect, found" if self.found else "A planted effect, and what is seen of it"

    @property
    def words(self) -> str:
        """What was planted."""
        return (
            "Into a copy of the market an effect was planted: after an hour of unusually large trades the price drifts "
            f"up, after one of small trades down, by at most {number(self.strength, 0)} hundredths of a percent an "
            "hour. Nothing else was changed."
        )

    @property
    def verdict(self) -> str:
        """What was found, in which market."""
        title, here = self.measured[0].title, self.measured[0]
        if self.found:
            told = f"{title} is found where the effect is, and nothing where it is not."
        elif stands_out(here.planted):
            told = (
                f"{title} is found where the effect is. Where it is not, its interval excludes 0 too: one in 20 does."
            )
        else:
            told = f"{title} is not found: too few bars for an effect of this size."
        return f"{told} Measured by the rank correlation of a score with the return of the next {self.horizon}."

    def to_dict(self) -> dict[str, object]:
        """Its facts as plain values, for JSON."""
        return {
            "found": self.found,
            "strength_bp_an_hour": self.strength,
            "horizon": self.horizon,
            "information": {
                one.title: {name: _plain(of) for name, of in (("planted", one.planted), ("not_planted", one.absent))}
                for one in self.measured
            },
        }

    @property
    def charts(self) -> list[Markup]:
        """Mean return after each score, in both markets."""
        label = f"Mean return over {self.horizon} by score, where the effect was planted and where it was not"
        return _pictures(self._paint, "planted", label, (300, 280))

    def _paint(self, figure: Figure, width: int) -> None:
        height = figure.get_figheight() * figure.dpi
        panels = figure.subplots(1, 2, sharey=True, sharex=True)
        reach = []
        for axes, name, rows in zip(panels, ("planted", "not planted"), (self.planted, self.absent), strict=True):
            bucket_panel(axes, rows, f"{name}: after {self.horizon}, bp" if width >= WIDE else f"{name}, bp")
            reach.append(axes.get_xlim())
        panels[0].set_xlim(min(low for low, _ in reach), max(high for _, high in reach))
        figure.subplots_adjust(
            left=64 / width, right=1 - 12 / width, top=1 - 28 / height, bottom=28 / height, wspace=0.1
        )


# --- an own strategy --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OwnIdea:
    """A strategy of a few lines, backtested.

    Attributes
    ----------
    symbol : str
    code : str
    sheet : TearSheet
    href : str
        Its page, relative to this one.
    """

    symbol: str
    code: str
    sheet: TearSheet
    href: str

    @property
    def words(self) -> str:
        """What it is, and that nothing was tuned."""
        trades = plural(self.sheet.run.figures_of("strategy")["trades"], "trade")
        return (
            f"The class is the whole strategy; fills at the next open, fees, funding and margin are the engine's. On "
            f"{self.symbol}: {trades}, with the lengths that were written down first. Nothing was tuned."
        )

    @property
    def charts(self) -> list[Markup]:
        """Equity against buying and holding, for a screen and for a phone."""
        return [self.sheet.equity_chart(width).svg("own") for width in (WIDE, NARROW)]


# --- studies ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """A short study and what the gate of promotion made of it.

    Attributes
    ----------
    name : str
    reason : str
        Why there is no result; empty where there is one.
    folder : Path, optional
        Of its result.
    trials, days : int
        Of all rounds; out of sample.
    rounds : sequence of (name, Sharpe ratio in sample, out of sample)
    sharpes, growths : sequence of float
        Out of sample: of the winners, of what was not tuned, of holding.
    passed, asked : int
        Questions of the gate.
    reasons : sequence of str
    promoted : sequence of str
        Files that promotion wrote, from the data root of the demo.
    """

    name: str
    reason: str = ""
    folder: Path | None = None
    trials: int = 0
    days: int = 0
    rounds: Sequence[tuple[str, float, float]] = ()
    sharpes: Sequence[float] = ()
    growths: Sequence[float] = ()
    passed: int = 0
    asked: int = 0
    reasons: Sequence[str] = ()
    promoted: Sequence[str] = ()

    @property
    def heading(self) -> str:
        """What was tuned."""
        return "With a planted effect" if self.name == "planted" else "The market as it is"

    @property
    def verdict(self) -> str:
        """What came of it, in a sentence."""
        if self.reason:
            return f"Not tuned: {self.reason}"
        asked = f"{self.passed} of {self.asked} questions passed"
        return f"Promoted: {asked}" if self.promoted else f"Refused: {asked}"

    @property
    def shown_reasons(self) -> Sequence[str]:
        """The first things that spoke against it."""
        return () if self.promoted else self.reasons[:MOST_REASONS]

    @property
    def round_cells(self) -> list[dict[str, str]]:
        """A line a round."""
        return [
            {"name": name, "inside": number(inside), "outside": number(outside)}
            for name, inside, outside in self.rounds
        ]

    @property
    def cells(self) -> list[dict[str, str]]:
        """Lines of what was earned out of sample."""
        names = ("winners of the rounds", "not tuned", "buy and hold")
        return [
            {"name": name, "sharpe": number(sharpe), "made": percent(made, signed=True), "gain": effect_of_change(made)}
            for name, sharpe, made in zip(names, self.sharpes, self.growths, strict=False)
        ]

    def to_dict(self) -> dict[str, object]:
        """Everything as plain values, for JSON."""
        return {
            "study": self.name, "reason": self.reason or None, "trials": self.trials, "days": self.days,
            "passed": self.passed, "asked": self.asked, "reasons": list(self.reasons), "promoted": list(self.promoted),
            "sharpe_out_of_sample": self.sharpes[0] if self.sharpes else None,
        }  # fmt: skip


MOST_REASONS = 4
"""Reasons that the page shows of a refused study; its own page has all."""
