"""The volume profile: at which prices a market has done its business."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from virtuoso.clock import Timeframe
from virtuoso.jit.kernel import inner, kernel
from virtuoso.prism.component import Feature, Float, Int
from virtuoso.prism.features.windows import unknown, write_sums
from virtuoso.types import Array

LADDER = tuple(Timeframe(name) for name in ("1m", "5m", "30m", "2h", "4h"))
KNOWN_SHARE = 0.9
"""Share of the window's bars that must be known, as for a slow bar of fast ones."""
SMEAR = 0.25
"""Share of the mean range by which a bar's volume is spread beyond its high and low: a profile of ticks is noise."""
SMEAR_BARS = 14
NARROW = 0.001
"""Share of the profile's span below which a step counts less the narrower it is: two edges may just happen to meet."""
TIE = 0.02
"""Share of the highest step within which another one is about as high: between equals no order of prices decides."""
THIN = 0.001
"""Share of the volume that is spread over the whole profile: a stretch without trades then has a middle."""


class ProfileLevels(NamedTuple):
    """Levels of the profile, as seen at each bar.

    Attributes
    ----------
    control : Array, price units, shape (n_bars,)
        Point of control: where most volume was traded per unit of price.
    low, high : Array, price units, shape (n_bars,)
        Edges of the value area around it.
    """

    control: Array
    low: Array
    high: Array


class ValueArea(Feature):
    """Point of control and value area of a rolling profile without a price grid.

    Each bar's volume is spread evenly over its range. The sum of these boxes is a staircase over price: the middle of
    its highest step is the point of control, and of several that are about as high their mean, each by how near it
    comes to the highest and by its width. The value area holds half of its share of the volume on either side of it;
    what one side lacks the other gives. Nothing is rounded to bins and no tie goes to the lower price, so units and
    mirrors are exact. Built from the next slower bars; unknown bars, at most a tenth, are left out.

    Source: Steidlmayer (1984), Market Profile; Dalton (1990), Mind over Markets, ch. 2, for the value area.
    """

    outputs = ProfileLevels
    windowed = True
    holes = True

    period: int = Int(96, low=10, high=500)
    share: float = Float(0.70, low=0.30, high=0.95, unit="share")

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """Next slower of 1m, 5m, 30m, 2h, 4h; the asker's own from 4h on."""
        slower = [step for step in LADDER if step.ms > timeframe.ms and step.ms % timeframe.ms == 0]
        return slower[0] if slower else timeframe

    def memory(self, timeframe: Timeframe) -> int:
        """The window, and the bars behind its oldest one that say how far to smear."""
        return self.period + SMEAR_BARS

    def value(self, high: Array, low: Array, volume: Array, first: int, wanted: int) -> ProfileLevels:
        """Levels of the profile. Uses `x[: t + 1]` only."""
        room, period = np.empty((8, len(high))), self.period
        _boxes(high, low, volume, SMEAR_BARS, first % SMEAR_BARS, period, first % period, room)
        start = max(wanted, period + SMEAR_BARS - 2)
        levels = unknown(3, len(high))
        bottom, top, density, known = room[:4]
        _profile(bottom, top, density, known, period, self.share, start, *levels)
        return ProfileLevels(*levels)


class CompositeArea(ValueArea):
    """The value area of the profile face, over a horizon one step longer.

    Seen from 1m it covers a day, with the sessions of three continents, from 5m four days, from 30m and 4h eight.

    Source: Dalton (1990), Mind over Markets, ch. 4, on composite ("long-term") profiles.
    """

    period: int = Int(48, low=10, high=500)

    def clock(self, timeframe: Timeframe) -> Timeframe:
        """Second slower of 1m, 5m, 30m, 2h, 4h, as far as there is one; the asker's own from 4h on."""
        slower = [step for step in LADDER if step.ms > timeframe.ms and step.ms % timeframe.ms == 0]
        return slower[min(1, len(slower) - 1)] if slower else timeframe


@kernel
def _boxes(
    high: Array, low: Array, volume: Array, smear_bars: int, smear_place: int, period: int, place: int, room: Array
) -> None:
    """Write the smeared box of each bar, its volume per unit of price, and how many bars of the window are known."""
    bottom, top, density, known = room[0], room[1], room[2], room[3]
    counted, span, counts, reach = room[4], room[5], room[6], room[7]
    for t in range(len(high)):
        there = np.isfinite(high[t]) & np.isfinite(low[t]) & np.isfinite(volume[t])
        counted[t], span[t] = (1.0, high[t] - low[t]) if there else (0.0, 0.0)
    write_sums(span, smear_bars, smear_place, reach)
    write_sums(counted, smear_bars, smear_place, counts)
    write_sums(counted, period, place, known)
    for t in range(len(high)):
        smear = SMEAR * reach[t] / (1.0 if counts[t] < 1.0 else counts[t])
        width = span[t] + 2.0 * smear
        bottom[t], top[t] = low[t] - smear, high[t] + smear
        density[t] = volume[t] / width if (counted[t] > 0.0) & (volume[t] > 0.0) & (width > 0.0) else 0.0


@kernel
def _profile(
    low: Array, high: Array, density: Array, known: Array, period: int, share: float, start: int,
    control: Array, bottom: Array, top: Array,
) -> None:  # fmt: skip
    """Keep the edges of all boxes sorted, and climb the staircase anew at each bar. Uses `x[: t + 1]` only."""
    edges, rises = np.empty(2 * period), np.empty(2 * period)
    volumes, steps = np.empty(2 * period), np.empty(2 * period)
    oldest = start - period + 1
    count: Any = np.int64(0)  # a bare 0 would compile everything below once more, for the number 0
    for t in range(oldest, len(low)):
        gone = t - period
        leaves, comes = gone >= oldest and density[gone] > 0.0, density[t] > 0.0
        for side in range(2):
            edge, rise = (low, density[t]) if side == 0 else (high, -density[t])
            old = density[gone] if side == 0 else -density[gone]
            a = _rank(edges, rises, count, edge[gone], old) if leaves else count
            b = _rank(edges, rises, count, edge[t], rise) if comes else count
            _move(edges, rises, a, b)
            if comes:
                b -= a < b
                edges[b], rises[b] = edge[t], rise
            count += int(comes) - int(leaves)
        if t >= start and known[t] >= KNOWN_SHARE * period and count > 0 and edges[count - 1] > edges[0]:
            control[t], bottom[t], top[t] = _climb(edges, rises, count, share, volumes, steps)


@inner
def _rank(edges: Array, rises: Array, count: int, edge: float, rise: float) -> int:
    """How many edges lie before this one; falls come before rises. Counting them all beats a search: no branches."""
    before = 0
    for k in range(count):
        before += (edges[k] < edge) | ((edges[k] == edge) & (rises[k] < rise))
    return before


@inner
def _move(edges: Array, rises: Array, a: int, b: int) -> None:
    """Close the place `a` and open the place before `b`, moving only what lies between."""
    for j in range(a, b - 1):
        edges[j], rises[j] = edges[j + 1], rises[j + 1]
    for j in range(a, b, -1):
        edges[j], rises[j] = edges[j - 1], rises[j - 1]


@inner
def _climb(
    edges: Array, rises: Array, count: int, share: float, volumes: Array, steps: Array
) -> tuple[float, float, float]:
    """Point of control and edges of the value area of one staircase, given its sorted edges."""
    span = edges[count - 1] - edges[0]
    steepness = 1.0 / (NARROW * span)
    height, highest, volume = 0.0, 0.0, 0.0
    for k in range(count - 1):
        height += rises[k]
        wide = edges[k + 1] - edges[k]
        volumes[k] = volume
        volume += height * wide
        steps[k] = height * min(wide * steepness, 1.0)
        highest = max(steps[k], highest)
    thin = THIN * volume / span
    for k in range(count - 1):
        volumes[k] += thin * (edges[k] - edges[0])
    volume += THIN * volume
    volumes[count - 1] = volume
    whole, place, held = 0.0, 0.0, 0.0
    for k in range(count - 1):
        near = steps[k] - (1.0 - TIE) * highest
        if near > 0.0:
            counts = near * (edges[k + 1] - edges[k])
            whole += counts
            place += counts * ((edges[k] - edges[0]) + (edges[k + 1] - edges[0]))
            held += counts * (volumes[k] + volumes[k + 1])
    control, held = edges[0] + place / (2.0 * whole), held / (2.0 * whole)
    below = min(held, max(share * volume / 2.0, share * volume - (volume - held)))
    low = _price_of(edges, volumes, count, held - below)
    high = _price_of(edges, volumes, count, held - below + share * volume)
    return control, low, high


@inner
def _price_of(edges: Array, volumes: Array, count: int, volume: float) -> float:
    """Price below which a volume was traded, straight within each step."""
    a, b = 0, count - 1
    while b - a > 1:
        middle = (a + b) // 2
        if volumes[middle] <= volume:
            a = middle
        else:
            b = middle
    held = volumes[b] - volumes[a]
    inside = min(max((volume - volumes[a]) / held, 0.0), 1.0) if held > 0.0 else 0.0
    price: float = edges[a] + inside * (edges[b] - edges[a])
    return price
