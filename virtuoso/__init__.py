"""Virtuoso: a vectorized, backtest-first research and trading platform for crypto.

    import virtuoso as vt

    vt.import_files("raw/", venue="binance-usdm")
    frame = vt.load("BTCUSDT", "1m")
    scores = vt.score(frame)
    scores.explain("2025-10-10T21:15Z")
    result = vt.backtest(scores)

Everything is imported when it is first used, so that `import virtuoso` costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from virtuoso.moved import Signpost
from virtuoso.pictures import register

if TYPE_CHECKING:
    from virtuoso.clock import Span, Timeframe
    from virtuoso.config import Settings
    from virtuoso.errors import VirtuosoError
    from virtuoso.lake.lake import Lake
    from virtuoso.market.frame import MarketFrame
    from virtuoso.prism.component import Component, Feature, Float, Gate, Int
    from virtuoso.prism.face import Face
    from virtuoso.prism.features.swings import Swings
    from virtuoso.prism.features.volatility import ATR
    from virtuoso.prism.prism import Prism
    from virtuoso.prism.result.scores import Scores
    from virtuoso.prism.scale import Linear, Squash, ratio
    from virtuoso.research.validation.ic import information
    from virtuoso.signals.declared import Strategy
    from virtuoso.venues.simulator import record, simulate, write_archive
    from virtuoso.workflows import (
        backtest,
        import_files,
        issued,
        load,
        promote,
        saved_runs,
        score,
        sweep,
        tune,
        verify,
    )

__version__ = "0.1.0"

_HOMES = {
    "ATR": "virtuoso.prism.features.volatility",
    "Component": "virtuoso.prism.component",
    "Face": "virtuoso.prism.face",
    "Feature": "virtuoso.prism.component",
    "Float": "virtuoso.prism.component",
    "Gate": "virtuoso.prism.component",
    "Int": "virtuoso.prism.component",
    "Lake": "virtuoso.lake.lake",
    "Linear": "virtuoso.prism.scale",
    "MarketFrame": "virtuoso.market.frame",
    "Prism": "virtuoso.prism.prism",
    "Scores": "virtuoso.prism.result.scores",
    "Settings": "virtuoso.config",
    "Span": "virtuoso.clock",
    "Squash": "virtuoso.prism.scale",
    "Strategy": "virtuoso.signals.declared",
    "Swings": "virtuoso.prism.features.swings",
    "Timeframe": "virtuoso.clock",
    "VirtuosoError": "virtuoso.errors",
    "backtest": "virtuoso.workflows",
    "import_files": "virtuoso.workflows",
    "information": "virtuoso.research.validation.ic",
    "issued": "virtuoso.workflows",
    "load": "virtuoso.workflows",
    "promote": "virtuoso.workflows",
    "ratio": "virtuoso.prism.scale",
    "record": "virtuoso.venues.simulator",
    "saved_runs": "virtuoso.workflows",
    "score": "virtuoso.workflows",
    "simulate": "virtuoso.venues.simulator",
    "sweep": "virtuoso.workflows",
    "tune": "virtuoso.workflows",
    "verify": "virtuoso.workflows",
    "write_archive": "virtuoso.venues.simulator",
}

__all__ = [
    "ATR",
    "Component",
    "Face",
    "Feature",
    "Float",
    "Gate",
    "Int",
    "Lake",
    "Linear",
    "MarketFrame",
    "Prism",
    "Scores",
    "Settings",
    "Span",
    "Squash",
    "Strategy",
    "Swings",
    "Timeframe",
    "VirtuosoError",
    "backtest",
    "import_files",
    "information",
    "issued",
    "load",
    "promote",
    "ratio",
    "record",
    "saved_runs",
    "score",
    "simulate",
    "sweep",
    "tune",
    "verify",
    "write_archive",
]


_PLOTS = {
    "MarketFrame": "frame",
    "Scores": "scores",
    "Explanation": "explanation",
    "PortfolioResult": "result",
    "SweepResult": "sweep",
    "StudyResult": "study",
    "Certificate": "certificate",
    "Information": "information",
}
_CHARTS = {"MarketFrame": "frame", "Scores": "scores", "PortfolioResult": "result"}
register(
    {name: f"virtuoso.reports.plots:{function}" for name, function in _PLOTS.items()},
    {name: f"virtuoso.reports.interactive:{function}" for name, function in _CHARTS.items()},
)

if Signpost not in sys.meta_path:
    sys.meta_path.append(Signpost)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'virtuoso' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__
