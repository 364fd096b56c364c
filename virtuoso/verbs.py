"""The verbs: load, score, explain, backtest, verify, and the demo that says them all in a row.

Notebooks call them as `vt.load`, `vt.score` and so on; every command of the command line is a thin caller of one.
Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtuoso.clock import parse_timerange

if TYPE_CHECKING:
    from virtuoso.config import Settings
    from virtuoso.market.frame import MarketFrame
    from virtuoso.market.store import Lake
    from virtuoso.prism.certificate import Certificate
    from virtuoso.prism.prism import Prism
    from virtuoso.prism.scores import Scores
    from virtuoso.research.results import BacktestResult
    from virtuoso.signals.signal import Signal

Progress = Callable[[str, int, int], None]


def lake(data: str | Path | None = None, settings: Settings | None = None) -> Lake:
    """Open the lake under a data root (`data/` or what configuration says)."""
    from virtuoso.market.store import Lake

    return Lake(_root(data, settings) / "lake")


def _root(data: str | Path | None, settings: Settings | None) -> Path:
    if data is not None:
        return Path(data)
    return _settings(settings).data.root


def _settings(settings: Settings | None) -> Settings:
    from virtuoso.config import Settings

    return settings if settings is not None else Settings.load()


def block_cache(data: str | Path | None = None, settings: Settings | None = None) -> Path:
    """Folder of the score cache under a data root; deleting it loses nothing."""
    return _root(data, settings) / "scores" / "blocks"


def load(
    symbol: str,
    timeframe: str = "1m",
    *,
    timerange: str | None = None,
    venue: str | None = None,
    data: str | Path | None = None,
    as_of: int | str | None = None,
    settings: Settings | None = None,
) -> MarketFrame:
    """Load the bars of an instrument from the lake.

    Parameters
    ----------
    symbol : str
        `BTCUSDT` or `BTC/USDT:USDT`.
    timeframe : str
        The base clock; folded from finer bars where it is not stored itself.
    timerange : str, optional
        `20250704-20251031`: bars for which answers are wanted. Older ones are loaded to be remembered.
    venue : str, optional
        Needed where several venues have the symbol.
    data : str or Path, optional
        The data root; configuration says it if absent.
    as_of : int (ms) or str, optional
        History as it was known then.

    Returns
    -------
    MarketFrame
    """
    start, end = parse_timerange(timerange) if timerange else (None, None)
    return lake(data, settings).frame(symbol, timeframe, start, end, venue, as_of)


def score(
    frame: MarketFrame,
    prism: Prism | None = None,
    *,
    settings: Settings | None = None,
    cache: str | Path | None = None,
) -> Scores:
    """Score every bar of a frame's window.

    Parameters
    ----------
    frame : MarketFrame
    prism : Prism, optional
        The one that settings describe if absent.
    settings : Settings, optional
    cache : str or Path, optional
        Folder that keeps finished blocks between runs.

    Returns
    -------
    Scores
    """
    chosen = prism if prism is not None else _prism_of(settings)
    return chosen.score(frame, cache_folder=Path(cache) if cache is not None else None)


def _prism_of(settings: Settings | None) -> Prism:
    from virtuoso.prism.registry import prism_from

    return prism_from(_settings(settings).prism)


def issued(scores: Scores, *, settings: Settings | None = None) -> list[Signal]:
    """Every signal that was issued over the scored bars, oldest first."""
    from virtuoso.signals.issue import issued as found

    chosen = _settings(settings)
    return found(scores, chosen.signals, config=chosen.fingerprint("prism", "signals"))


def backtest(scores: Scores, *, settings: Settings | None = None, **terms: Any) -> BacktestResult:
    """Trade the signals of scores, decided at the close and filled at the next open.

    Parameters
    ----------
    scores : Scores
    settings : Settings, optional
    **terms
        fees, slippage, cash, risk: see `virtuoso.research.backtest.backtest`.

    Returns
    -------
    BacktestResult
    """
    from virtuoso.prism.fingerprint import environment, sources_digest
    from virtuoso.research.backtest import backtest as run
    from virtuoso.signals.strategy import intents

    chosen = _settings(settings)
    provenance = {
        "data": scores.frame.fingerprint,
        "config": chosen.fingerprint("prism", "signals"),
        "prism": scores.prism.fingerprint,
        "code": sources_digest(),
        **{f"version {name}": text for name, text in environment().items()},
    }
    config = {name: part for name, part in chosen.masked().items() if name in ("prism", "signals", "trading", "risk")}
    return run(scores, intents(scores, chosen.signals), config=config, provenance=provenance, **terms)


def verify(
    frame: MarketFrame,
    prism: Prism | None = None,
    *,
    settings: Settings | None = None,
    live_bars: int = 3_000,
    progress: Progress | None = None,
) -> Certificate:
    """Examine a prism by every law on a market: parity of batch and live, no look-ahead, and the rest.

    Parameters
    ----------
    frame : MarketFrame
    prism : Prism, optional
    settings : Settings, optional
    live_bars : int
        Bars at the end that another process scores one by one.
    progress : callable, optional
        Called with what is examined, how many are done and how many there are.

    Returns
    -------
    Certificate
        `certificate.holds`, `certificate.broken`; prints with the first offending bars.
    """
    from virtuoso.prism.certificate import certify

    return certify(prism or _prism_of(settings), frame, live_bars=live_bars, progress=progress)
