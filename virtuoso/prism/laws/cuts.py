"""Where to cut: at what a leak would love, and at random over all blocks.

A component that looks ahead after large moves only, in the first bar of a session, or where nothing was traded, is not
met by cuts at random; those that it would love are few, so all of them are cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from virtuoso.clock import Env, Timeframe
from virtuoso.market.bars import Bars
from virtuoso.market.frame import MarketFrame
from virtuoso.market.gaps import begins_anew
from virtuoso.prism.engine.workspace import block_length
from virtuoso.types import Array

RANDOM = 1_000
"""Cuts at random: they catch a leak on one bar in 334 with 95 %."""
LARGEST, SPREAD = 12, 8
"""How many of the largest moves are cut around, and how many of other places, spread over all of them."""
USUAL = 100
"""Bars that say how large a move usually is."""
TURNS, SELDOM = 200, 0.2
"""Changes of what is said that are cut around, if it changes on no larger share of the bars."""
LAST = 128
"""Bars at the end that are all asked for one by one."""
STRETCH = 256
"""Bars of a block that are computed with other markets in between, and by another process."""

Positions = NDArray[np.int64]


def telling(bars: Bars, block: int) -> Positions:
    """Positions of the bars that a leak would love, and of their neighbours, in order.

    The largest moves, ranges and volumes, the highest and lowest closes, bars without a trade, bars after a hole,
    block edges and session starts.
    """
    n = len(bars)
    found = [_around(_largest(size, LARGEST), (-1, 0, 1, 2)) for size in _sizes(bars)]
    hole = begins_anew(bars.state)
    day, numbers = 86_400_000 // bars.timeframe.ms, np.arange(bars.first, bars.end)
    found += [
        _around(_spread(np.flatnonzero(bars.columns["volume"] == 0.0)), (0, 1)) if "volume" in bars.columns else [],
        _around(_spread(np.flatnonzero(hole[:-1] & ~hole[1:]) + 1), (-1, 0, 1)),
        _around(_spread(np.flatnonzero(numbers % block == 0)), (-1, 0, 1)),
        _around(_spread(np.flatnonzero(numbers % day == 0)), (-1, 0, 1)),
        [0, 1, n - 3, n - 2, n - 1],
    ]
    places = np.unique(np.concatenate([np.asarray(part, dtype=np.int64) for part in found]))
    return places[(places >= 0) & (places < n)]


def scattered(among: Positions, count: int) -> Positions:
    """At most so many of some positions: a random one of each of as many equal stretches."""
    if len(among) <= count:
        return among
    edges = np.linspace(0, len(among), count + 1).astype(np.int64)
    return among[Env(seed=len(among)).random().integers(edges[:-1], edges[1:])]


def cut_points(frame: MarketFrame, timeframe: Timeframe, block: int | None = None, count: int = 12) -> list[int]:
    """Numbers before which the history itself is cut: block edges, gaps, session starts, and bars of all blocks."""
    bars = frame.bars(timeframe)
    length = block or block_length(timeframe)
    last_block = (bars.end - 1) // length * length
    cuts = {last_block, last_block + 1, last_block - 1, bars.end - 1}
    day = 86_400_000 // timeframe.ms
    if day:
        session = (bars.end - 1) // day * day
        cuts |= {session, session + 1}
    holes = np.flatnonzero(np.diff(begins_anew(bars.state).astype(np.int8))) + bars.first + 1
    cuts |= {int(h) + d for h in holes[-2:] for d in (0, 1)}
    cuts |= {int(c) + bars.first for c in scattered(np.arange(1, len(bars)), count)}
    return sorted(c for c in cuts if bars.first + 1 < c < bars.end)


def answering_at(value: Array, bars: Bars) -> Positions:
    """Positions at which a node could answer: where there are bars, from its first answer on."""
    answered = np.isfinite(value)
    first = int(np.argmax(answered)) if answered.any() else len(value)
    return np.flatnonzero(~begins_anew(bars.state) & (np.arange(len(value)) >= first))


def singles(bars: Bars, length: int, at_random: Positions) -> Positions:
    """Positions of the bars after which is cut: telling ones, random ones, the last ones."""
    last = np.arange(max(len(bars) - min(length, LAST) - 8, 0), len(bars))
    return np.unique(np.concatenate((telling(bars, length), at_random, last)))


def turning(values: Sequence[Array]) -> Positions:
    """Positions at which what is said changes, where it does so seldom, and their neighbours: there a leak decides."""
    changed = np.zeros(len(values[0]), dtype=bool)
    for value in values:
        changed[1:] |= (value[1:] != value[:-1]) & ~(np.isnan(value[1:]) & np.isnan(value[:-1]))
    at = np.flatnonzero(changed)
    if len(at) > SELDOM * len(changed):
        return np.empty(0, dtype=np.int64)
    places = np.unique(np.array(_around(scattered(at, TURNS), (-1, 0, 1)), dtype=np.int64))
    return places[(places >= 0) & (places < len(changed))]


def garbage_places(answering: Positions, bars: Bars) -> list[int]:
    """Positions from which on everything is replaced: over all that answers, and after the largest moves of it."""
    if len(answering) == 0:
        return []
    shares = [int(answering[len(answering) * part // 100]) + 1 for part in (10, 30, 50, 70, 90, 97)]
    close = bars.columns.get("close")
    if close is None:
        return sorted(set(shares))
    move = np.abs(np.diff(close, prepend=close[:1]))[answering]
    largest = answering[np.argsort(np.nan_to_num(move))[-2:]] + 1
    return sorted({*shares, *largest.tolist()})


def stretches(value: Array, bars: Bars, length: int) -> tuple[tuple[int, int], ...]:
    """Numbers of some bars that answer, from the starts of their blocks: early, in the middle and late."""
    answering = answering_at(value, bars)
    if len(answering) == 0:
        return ()
    starts = {(int(answering[len(answering) * part // 100]) + bars.first) // length * length for part in (15, 50, 85)}
    return tuple((max(start, bars.first), min(start + min(length, STRETCH), bars.end)) for start in sorted(starts))


def _sizes(bars: Bars) -> list[Array]:
    """By what bars are large: moves, plain and against usual ones, ranges, volumes, and how high and low they close."""
    with np.errstate(all="ignore"):
        close = bars.columns.get("close")
        if close is None:
            return [np.abs(np.diff(values, prepend=values[:1])) for values in list(bars.columns.values())[:2]]
        move = np.abs(np.diff(close, prepend=close[:1]))
        total = np.concatenate(([0.0], np.cumsum(np.nan_to_num(move))))
        at = np.arange(len(move))
        usual = total[at] - total[np.maximum(at - USUAL, 0)]  # the moves before each one, but for a factor
        sizes = [move, move / close, move / usual, close, -close]
        if "high" in bars.columns and "low" in bars.columns:
            sizes.append((bars.columns["high"] - bars.columns["low"]) / close)
        return [*sizes, bars.columns["volume"]] if "volume" in bars.columns else sizes


def _largest(values: Array, count: int) -> Positions:
    finite = np.where(np.isfinite(values), values, -np.inf)
    return np.argpartition(finite, -count)[-count:] if len(values) > count else np.arange(len(values))


def _spread(positions: Positions) -> Positions:
    """At most a few of some positions, spread evenly from the first to the last."""
    return (
        positions[np.unique(np.linspace(0, len(positions) - 1, SPREAD).astype(np.int64))]
        if len(positions)
        else positions
    )


def _around(positions: Iterable[int], offsets: tuple[int, ...]) -> list[int]:
    return [int(at) + offset for at in positions for offset in offsets]
