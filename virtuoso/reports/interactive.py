"""`.chart()`: a market in a notebook that can be moved: candles, scores below and trades above, by the page's scripts.

A chart is a page of its own in a frame without rights: it holds its data and scripts, and fetches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from virtuoso.errors import ConfigError
from virtuoso.files.atomic import Disk
from virtuoso.market.bars import Bars
from virtuoso.market.gaps import has_traded
from virtuoso.market.schema.columns import PRICES as PRICE_COLUMNS
from virtuoso.reports.charts.candles import ChartBars, score_lines, slower_clocks
from virtuoso.reports.palette import DARK, LIGHT
from virtuoso.reports.scripts import ATTRIBUTION, data_block, policy, source
from virtuoso.reports.tearsheet.payload import MOST_IN_VIEW, SCRIPTS, market_payload
from virtuoso.reports.templates import render
from virtuoso.runs.read import RunData, RunTable
from virtuoso.runs.schema import EQUITY, PANES, PRICES

if TYPE_CHECKING:
    from virtuoso.market.frame import MarketFrame
    from virtuoso.prism.result.scores import Scores

HEIGHT = 700
"""Pixels of a chart in a notebook."""


@dataclass(frozen=True)
class Chart:
    """A chart that can be moved: the last line of a cell shows it.

    Attributes
    ----------
    title : str
    html : str
        A page of its own.
    """

    title: str
    html: str = field(repr=False)

    def __repr__(self) -> str:
        return f'<Chart of {self.title}: the last line of a cell shows it; .save("chart.html") writes a page>'

    def _repr_html_(self) -> str:
        return (
            f'<iframe sandbox="allow-scripts allow-popups" title="{escape(self.title)}" srcdoc="{escape(self.html)}" '
            f'style="width: 100%; height: {HEIGHT}px; border: 0"></iframe>'
        )

    def save(self, file: Path | str) -> Path:
        """Write it as a page that needs nothing else, and return where it is.

        Parameters
        ----------
        file : Path or str
            Such as `chart.html`; replaced where it is there.
        """
        target = Path(file)
        Disk().write(target, self.html.encode())
        return target


def frame(market: MarketFrame) -> Chart:
    """Candles of a frame, on a slower clock where it is long, and its last bars on its own."""
    title = f"{market.instrument} {market.timeframe}"
    return _chart(title, _market(market, None), market.instrument.is_simulated, near="Last bars")


def scores(found: Scores) -> Chart:
    """Candles of scores, with the confluence and the faces below."""
    market = found.frame
    title = f"{market.instrument} {market.timeframe}: confluence and faces"
    return _chart(title, _market(market, found), market.instrument.is_simulated, near="Last bars")


def result(run: Any) -> Chart:
    """Candles of every instrument of a backtest, with its trades and, where there are any, its scores."""
    traded = ", ".join(map(str, run.instruments[:3])) + (" and more" if len(run.instruments) > 3 else "")
    return _chart(f"{traded} {run.timeframe}: trades", run.drawn, run.is_simulated, near="Around trades", trades=True)


def _market(market: MarketFrame, found: Scores | None) -> RunData:
    """Bars of a frame: all of them on a clock that fits a view, and the last ones on its own clock."""
    of = market if found is None else found
    first, end = of.start, of.start + len(of)
    if end <= first:
        raise ConfigError("This frame holds no bars that could be drawn.")
    base = market.timeframe
    clocks = slower_clocks(base)
    clock = next((one for one in clocks if end - first <= MOST_IN_VIEW * one.ratio(base)), clocks[-1])
    ratio = clock.ratio(base)
    views = {"whole": market.bars(clock).since(-(-first // ratio)).until(end // ratio)}
    if ratio > 1:
        views["near"] = market.base.since(max(first, end - MOST_IN_VIEW)).until(end)
    rows = {name: np.flatnonzero(_published(bars)) for name, bars in views.items()}
    prices: dict[str, Any] = {
        "view": np.repeat(np.array(list(views), dtype=object), [len(rows[name]) for name in views]),
        "timeframe": np.concatenate(
            [np.full(len(rows[name]), bars.timeframe.name, object) for name, bars in views.items()]
        ),
        "open_time": np.concatenate([(bars.first + rows[name]) * bars.timeframe.ms for name, bars in views.items()]),
    }
    prices["symbol"] = np.full(len(prices["view"]), market.instrument.symbol, dtype=object)
    prices["venue"] = np.full(len(prices["view"]), market.instrument.venue, dtype=object)
    for column in (*PRICE_COLUMNS, "volume"):
        prices[column] = np.concatenate([bars.columns[column][rows[name]] for name, bars in views.items()])
    closes = (np.arange(first, end, dtype=np.int64) + 1) * base.ms
    tables: dict[str, RunTable] = {EQUITY: {"close_time": closes}, PRICES: prices}
    if found is not None:
        lines = [
            {line: values[rows[name]] for line, values in score_lines(found, ChartBars(bars, base)).items()}
            for name, bars in views.items()
        ]
        tables[PANES] = {line: np.concatenate([part[line] for part in lines]) for line in lines[0]}
    return RunData("", {}, tables)


def _published(bars: Bars) -> np.ndarray:
    """Which bars were published, with every price of them known."""
    there: np.ndarray = has_traded(bars.state) & np.isfinite([bars.columns[name] for name in PRICE_COLUMNS]).all(axis=0)
    return there


def _chart(title: str, data: RunData, simulated: bool, *, near: str, trades: bool = False) -> Chart:
    content = market_payload(data)
    if not trades:
        content["near"] = "at the end"
    how = {
        "title": title,
        "light": LIGHT.css(),
        "dark": DARK.css(),
        "policy": policy(SCRIPTS),
        "early": source(SCRIPTS[0]),
        "scripts": [source(name) for name in SCRIPTS[1:]],
        "data": data_block(content),
        "attribution": ATTRIBUTION,
        "simulated": simulated,
        "near": near,
        "trades": trades,
        "list": "",
    }
    return Chart(title, str(render("chart.html", **how)))
