"""Scoring: a prism over a frame, the one call that turns a market into scores.

1. The ladder: the base timeframe and the configured ones slower than it, weights renormalised (prism/prism.py).
2. Each component is evaluated on each timeframe of the ladder in anchored blocks (workspace.py).
3. Slow scores are seen from their close on, timeframes are aggregated, divergence is added, and faces and confluence
   are summed (assembly.py), for any stretch of bars: five years in a backtest, one bar live.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from virtuoso.market.frame import MarketFrame
from virtuoso.prism.engine.assembly import Aggregator, is_long
from virtuoso.prism.engine.cache import AggregateCache, ScoreCache
from virtuoso.prism.engine.workspace import Workspace
from virtuoso.prism.prism import Prism
from virtuoso.prism.result.scores import Scores


def score(
    prism: Prism,
    frame: MarketFrame,
    block: int | None = None,
    cache_folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score the window of a frame.

    Parameters
    ----------
    prism : Prism
    frame : MarketFrame
    block : int, optional
        Length of a block; the standard lengths if absent.
    cache_folder : Path, optional
        Folder in which finished blocks are kept between runs.
    progress : callable, optional
        `callback(done, total)`, in bars.

    Returns
    -------
    Scores
    """
    workspace = Workspace(frame, block)
    if cache_folder is None or len(frame) == 0:
        return assemble(prism, workspace, frame.start, frame.stop, progress)
    cache = ScoreCache(cache_folder)
    workspace.pending = partial(cache.fill, prism=prism)
    kept = None
    if is_long(frame.start, frame.stop):
        kept = cache.aggregates(workspace, prism)
    else:
        workspace.load_cache()
    scores = assemble(prism, workspace, frame.start, frame.stop, progress, kept)
    if workspace.pending is None:  # else nothing was asked of the components
        cache.keep(workspace, prism)
    return scores


def assemble(
    prism: Prism,
    workspace: Workspace,
    start: int,
    stop: int,
    progress: Callable[[int, int], None] | None = None,
    kept: AggregateCache | None = None,
) -> Scores:
    """Return the scores of the base bars numbered [start, stop): the same for five years and for one bar.

    Parameters
    ----------
    prism : Prism
    workspace : Workspace
    start, stop : int
    progress : callable, optional
        `callback(done, total)`, in bars.
    kept : AggregateCache, optional
        Where faces and confluence of a long stretch are kept between runs.

    Returns
    -------
    Scores
    """
    aggregator = workspace.aggregators.get(prism.fingerprint)
    if aggregator is None:
        aggregator = workspace.aggregators[prism.fingerprint] = Aggregator(prism, workspace)
    return Scores.of(prism, workspace, start, aggregator.assemble(workspace, start, stop, progress, kept), aggregator)
