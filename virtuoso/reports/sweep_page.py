"""The page of a sweep, from its run folder alone: ranking, heat map, plateau, and the honesty box of the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from virtuoso.files.atomic import Disk
from virtuoso.reports.charts.base import SMALL, WIDE
from virtuoso.reports.charts.sheet import Chart
from virtuoso.reports.format import DASH, MINUS, number, plural, whole
from virtuoso.reports.metrics import METRICS, Finding, Metric
from virtuoso.reports.palette import DARK, LIGHT
from virtuoso.reports.scripts import policy, source
from virtuoso.reports.templates import render
from virtuoso.runs.read import RunData, RunTable, read_sweep
from virtuoso.runs.schema import CONFIG, HONESTY, PROVENANCE, SWEEP_HTML, TRIALS
from virtuoso.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCRIPTS = ("early.js", "sort.js")
SHOWN = ("net_return", "sharpe", "max_drawdown", "profit_factor", "win_rate", "trades", "exposure", "fees")
"""Figures of the ranking, in its order."""
FIGURE_NAMES = {"net_return": "total_return"}
"""Figures of a sweep that have another name among those of a run."""
MOST_ROWS, MOST_CELLS = 50, 40
"""Configurations of the ranking, and values on either axis of the heat map."""
TINT = 55.0
"""Per cent of the colour in the cell that is farthest from nothing."""
_METRIC = {metric.name: metric for metric in METRICS}


class Cell(NamedTuple):
    """A cell of the heat map."""

    text: str
    lean: str
    tint: str
    title: str
    best: bool


class Heat(NamedTuple):
    """A figure over the values of two parameters."""

    figure: str
    across: str
    up: str
    words: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]


class Ranked(NamedTuple):
    """A row of the ranking: cells as text and as the number that they are sorted by."""

    first: bool
    cells: list[dict[str, Any]]


@dataclass(frozen=True)
class SweepPage:
    """Words and cells of a sweep's page.

    Attributes
    ----------
    run : RunData
    """

    run: RunData

    @property
    def simulated(self) -> bool:
        """Whether the market was made by the simulator."""
        return bool(self.run.fact(CONFIG).get("simulated"))

    @cached_property
    def trials(self) -> RunTable:
        """One row a configuration."""
        return self.run.table(TRIALS)

    @property
    def title(self) -> str:
        """What was traded, and on which clock."""
        told = self.run.fact(PROVENANCE)
        return f"{told.get('instrument', self.run.name)} {told.get('timeframe', '')}".strip()

    @property
    def period(self) -> str:
        """From, to, and how many configurations."""
        told = self.run.fact(PROVENANCE)
        first, last = (str(told.get(name, "")).replace(":00Z", "Z") for name in ("from", "to"))
        return f"{first} to {last}, {plural(len(self._values), 'configuration')}"

    @property
    def verdict(self) -> str:
        """The best one's figure beside the first one's."""
        named = self._metric(self.by)
        best, first = (named.text(float(self._values[row])) for row in (self.chosen, 0))
        many = whole(len(self._values))
        return f"{named.title} of the best of {many} configurations: {best}; of the first one: {first}."

    @property
    def by(self) -> str:
        """What they are ranked by."""
        return str(self.run.fact(CONFIG).get("ranked_by", "sharpe"))

    @property
    def ranked(self) -> str:
        """How that is called."""
        return self._metric(self.by).title

    @property
    def _values(self) -> Array:
        return np.asarray(self.trials[self.by], dtype=np.float64)

    @cached_property
    def order(self) -> list[int]:
        """Rows of the configurations that can be ranked, the best first."""
        order = np.argsort(-self._values, kind="stable")
        return [int(row) for row in order if np.isfinite(self._values[row])]

    @property
    def chosen(self) -> int:
        """Row of the best one; the first where none can be ranked."""
        return self.order[0] if self.order else 0

    @cached_property
    def parameters(self) -> list[str]:
        """Names of the columns that differ between configurations."""
        names = list(self.trials)
        own = names[1 : names.index("trades")]  # `configuration` comes first, figures after what it is
        return [name for name in own if (self.trials[name] != self.trials[name][0]).any()]

    @staticmethod
    def _metric(name: str) -> Metric:
        return _METRIC[FIGURE_NAMES.get(name, name)]

    # --- the heat map ---

    @cached_property
    def heat(self) -> Heat | None:
        """The ranked figure over the two parameters with the most values; None where fewer than two form a grid."""
        axes = sorted(self.parameters, key=lambda name: -len(np.unique(self.trials[name])))[:2]
        if len(axes) < 2:
            return None
        across, up = axes
        columns, at = np.unique(self.trials[across], return_inverse=True)
        rows, beside = np.unique(self.trials[up], return_inverse=True)
        if len(columns) > MOST_CELLS or len(rows) > MOST_CELLS:
            return None
        cells = {(i, k): self._values[(at == i) & (beside == k)] for i in range(len(columns)) for k in range(len(rows))}
        if any(not len(values) for values in cells.values()):
            return None
        medians = {place: _median(values) for place, values in cells.items()}
        far = max((abs(value) for value in medians.values() if value == value), default=1.0) or 1.0
        best = (int(at[self.chosen]), int(beside[self.chosen]))
        named, several = self._metric(self.by), len(self._values) > len(cells)
        words = "Median over the other parameters; the outlined cell holds the best one." if several else (
            "The outlined cell is the best one. A plateau keeps its colour around it, a spike stands alone."
        )  # fmt: skip
        lines = [
            (
                _plain(rows[k]),
                [
                    self._cell(named, medians[i, k], far, (i, k) == best, columns[i], rows[k])
                    for i in range(len(columns))
                ],
            )
            for k in range(len(rows))[::-1]
        ]
        return Heat(named.title, across, up, words, [_plain(value) for value in columns], lines)

    @staticmethod
    def _cell(named: Metric, value: float, far: float, best: bool, across: Any, up: Any) -> Cell:
        lean = "unknown" if value != value else "bullish" if value > 0.0 else "bearish" if value < 0.0 else "none"
        tint = f"{TINT * min(abs(value) / far, 1.0):.0f}" if value == value else "0"
        text = named.text(value) if value == value else DASH
        return Cell(text.removesuffix(" %"), lean, tint, f"{_plain(across)}, {_plain(up)}: {text}", best)

    # --- the ranking ---

    @property
    def heads(self) -> list[str]:
        """Heads of the ranking."""
        return ["rank", *self.parameters, *(self._metric(name).heading for name in self._shown)]

    @property
    def _shown(self) -> list[str]:
        return [name for name in SHOWN if name in self.trials]

    @property
    def ranking_words(self) -> str:
        """How many are shown, and by what they are ranked."""
        n, shown = len(self._values), min(len(self.order), MOST_ROWS)
        untested = n - len(self.order)
        words = f"The best {whole(shown)} of {whole(n)} by {self.ranked}; a head sorts them. Tinted: the first."
        return words + (f" {whole(untested)} could not be tested." if untested else "")

    @property
    def rows(self) -> list[Ranked]:
        """The best configurations, and the first one wherever it stands."""
        ranks = {row: rank for rank, row in enumerate(self.order, 1)}
        return [self._ranked(row, ranks.get(row)) for row in dict.fromkeys([*self.order[:MOST_ROWS], 0])]

    def _ranked(self, row: int, rank: int | None) -> Ranked:
        cells: list[dict[str, Any]] = [{"text": whole(rank) if rank else DASH, "value": rank or len(self._values)}]
        cells += [
            {"text": _plain(self.trials[name][row]), "value": _sorted_by(self.trials[name][row])}
            for name in self.parameters
        ]
        for name in self._shown:
            value = float(self.trials[name][row])
            cells.append({"text": self._metric(name).text(value), "value": value if value == value else "NaN"})
        return Ranked(row == 0, cells)

    # --- beside them ---

    @property
    def honesty(self) -> list[Finding]:
        """What the best one is worth after all tries."""
        rows = [Finding(*map(str, row)) for row in self.run.fact(HONESTY).get("rows", ())]
        return rows or [Finding("Tries, overfitting", "not judged", "this run folder holds no honesty.json")]

    @property
    def said(self) -> list[str]:
        """What the summary says: what was swept, halts, and the plateau."""
        return [line for line in self.run.summary.splitlines() if line]

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where every number came from."""
        return {"run": self.run.name} | {k: str(v) for k, v in self.run.fact(PROVENANCE).items()}

    def order_chart(self, width: int) -> Chart:
        """The ranked figure of all configurations, from the worst to the best."""
        known = np.sort(self._values[np.isfinite(self._values)])
        label = f"{self.ranked} of {plural(len(known), 'configuration')}, in order"
        height = 320 if width >= WIDE else 280
        first = float(self._values[0])
        return Chart("order", label, width, height, lambda figure: _paint(figure, known, first), self.simulated)


def _paint(figure: Figure, known: Array, first: float) -> None:
    from matplotlib.ticker import FuncFormatter

    width, height = figure.get_figwidth() * figure.dpi, figure.get_figheight() * figure.dpi
    axes = figure.subplots()
    if len(known):
        some = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), 600)).astype(np.int64))]
        share = np.linspace(0.0, 100.0, len(some))
        axes.plot(share, some, color=LIGHT.ink, linewidth=1.3)
        for part, colour in ((some > 0.0, LIGHT.bullish), (some < 0.0, LIGHT.bearish)):
            axes.fill_between(share, some, 0.0, where=part, color=colour, alpha=0.25, linewidth=0)
    if first == first:
        axes.axhline(first, color=LIGHT.quiet, linewidth=0.9, linestyle=(0, (4, 2)))
    axes.set_xlim(0.0, 100.0)
    axes.set_xlabel("share of the configurations, %", fontsize=SMALL)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}".replace("-", MINUS)))
    figure.subplots_adjust(left=52 / width, right=1 - 12 / width, top=1 - 12 / height, bottom=44 / height)


def _median(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _plain(value: Any) -> str:
    """Write the value of a parameter: numbers without needless digits."""
    if isinstance(value, int | float | np.number):
        return number(float(value), 0) if float(value).is_integer() else f"{float(value):.4g}".replace("-", MINUS)
    return str(value)


def _sorted_by(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float | np.number) else None


def html(page: SweepPage) -> str:
    """Return the page.

    Parameters
    ----------
    page : SweepPage
    """
    scripts: Sequence[str] = SCRIPTS
    how = {
        "light": LIGHT.css(),
        "dark": DARK.css(),
        "policy": policy(scripts),
        "early": source(scripts[0]),
        "scripts": [source(name) for name in scripts[1:]],
    }
    return str(render("sweep.html", page=page, **how))


def write_sweep_page(folder: Path | str, out: Path | str | None = None, *, name: str | None = None) -> Path:
    """Write the page of a sweep from its run folder, and return where it is.

    Parameters
    ----------
    folder : Path or str
    out : Path or str, optional
        Where to write it; into the run folder if absent.
    name : str, optional
        Name of the run; that of the folder if absent.

    Raises
    ------
    NoDataError
        It is not the run folder of a sweep.
    UnreadableFileError
        A file of it is not what its name says.
    """
    run = read_sweep(folder)
    target = Path(folder if out is None else out)
    disk = Disk()
    disk.make_folder(target)
    file = target / SWEEP_HTML
    disk.write(file, html(SweepPage(run if name is None else replace(run, name=name))).encode())
    return file
