"""Modules that have moved: an import by the old name says where the new one is.

Only those that somebody outside may have imported are listed. They can go with the next release.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

HERE = __name__.rpartition(".")[0]
MOVED = {
    "account.books": "account.state",
    "account.contract": "account.engine",
    "account.intent": "account.records",
    "account.trades": "account.records",
    "compiled": "jit.kernel",
    "market.attach": "lake.enrich",
    "market.book_fold": "market.features.book.columns",
    "market.columns": "market.schema.columns",
    "market.feed": "market.live",
    "market.flow": "market.features.trades",
    "market.fold": "market.resample",
    "market.ingest": "ingest.importer",
    "market.kinds": "market.schema.kinds",
    "market.manifest": "lake.manifest",
    "market.positioning": "market.features.derivatives",
    "market.quality": "ingest.validate_bars",
    "market.store": "lake.lake",
    "prism.blocks": "prism.engine.workspace",
    "prism.distribution": "prism.laws.distribution",
    "prism.divergence": "prism.features.divergence",
    "prism.explanation": "prism.result.explanation",
    "prism.orderbook": "prism.faces.orderbook",
    "prism.orderflow": "prism.faces.orderflow",
    "prism.price_structure": "prism.faces.price_structure",
    "prism.scores": "prism.result.scores",
    "prism.sentiment": "prism.faces.sentiment",
    "prism.technical": "prism.faces.technical",
    "prism.views": "prism.engine.alignment",
    "prism.volume": "prism.faces.volume",
    "reports.numbers": "reports.format",
    "reports.tables": "reports.contribution",
    "research.buckets": "research.validation.quantiles",
    "research.calibration": "research.validation.calibration",
    "research.canaries": "research.backtest.checks",
    "research.configurations": "research.sweep.grid",
    "research.fans": "research.validation.resampling",
    "research.foresight": "research.validation.foresight",
    "research.honesty": "research.validation.robustness",
    "research.information": "research.validation.ic",
    "research.outcomes": "research.validation.barriers",
    "research.overfitting": "research.validation.overfitting",
    "research.plausible": "research.validation.plausibility",
    "research.portfolio": "research.backtest.engine",
    "research.portfolio_backtest": "research.backtest.backtest",
    "research.portfolio_result": "research.backtest.result",
    "research.reliability_diagram": "research.validation.reliability",
    "research.splits": "research.validation.splits",
    "research.stage": "research.backtest.panel",
    "research.stress": "research.validation.stress",
    "research.trials": "research.tracking.experiments",
    "research.unseen": "research.validation.tail_risk",
    "research.vectorbt_result": "research.crosscheck.compare",
    "research.verdict": "research.validation.verdict",
    "signals.folder": "signals.message.store",
    "signals.insights": "signals.message.insights",
    "signals.issue": "signals.message.build",
    "signals.moment": "signals.message.context",
    "signals.provenance": "signals.message.provenance",
    "signals.signal": "signals.message.signal",
    "venues.binance_streams": "venues.streams.binance",
    "verbs": "workflows",
}
"""Old and new names below `virtuoso`."""


class Signpost:
    """The last finder that Python asks: it finds nothing, and says where something went."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Raise for a module that has moved.

        Raises
        ------
        ModuleNotFoundError
            It has another name now.
        """
        package, _, rest = name.partition(".")
        if package == HERE and rest in MOVED:
            raise ModuleNotFoundError(f"{name} is now {HERE}.{MOVED[rest]}. Import it from there.", name=name)
        return None
